/* Which part of a picture becomes an image, and where it lies in it. */
#ifndef SPHERENET_DATA_IMAGE_CUT_H
#define SPHERENET_DATA_IMAGE_CUT_H

#include "data/dataset_images.h"

struct image_cut {
    double top, left, height, width;          /* of the picture, in its pixels */
    int to_top, to_left, to_height, to_width; /* of the image; around it there is grey */
};

/* Of a picture of height x width. Without context, or without crop_scale, as `fit` says: the largest part in the middle
 * that has the image's shape (crop), all of it (stretch), or all of it with grey around it (pad). Else a rectangle that
 * is drawn as torchvision's RandomResizedCrop draws it: of crop_scale to 1 of the area, its aspect crop_aspect to
 * 1 / crop_aspect; after ten that do not fit, the middle as `fit: crop` has it. */
struct image_cut image_cut(const struct images_config *config, int height, int width,
                           const struct augment_context *context);

#endif
