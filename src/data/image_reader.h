/* The images of this dataset: read, decoded, cut and resized, or taken from the cache. */
#ifndef SPHERENET_DATA_IMAGE_READER_H
#define SPHERENET_DATA_IMAGE_READER_H

#include "data/dataset_images.h"

/* The pixels of a file of the index. The error begins with the file's path. */
bool image_read(struct images *images, int file, const struct augment_context *context, uint8_t *pixels,
                struct error *err);

/* The same without context, from the file itself, and the size of the picture in it. */
bool image_examine(const struct images *images, int file, int *height, int *width, uint8_t *pixels, struct error *err);

/* The pixels of the file at `path`, which needs to be in no index: cut and resized for tests, as the configuration's
 * height, width, channels, fit and filter say. The error begins with the path, as people may see it. */
bool image_read_file(const struct images_config *config, const char *path, uint8_t *pixels, struct error *err);

#endif
