/* What a training set holds, told by a number: whether it is the same one although its files lie elsewhere. */
#ifndef SPHERENET_DATA_CONTENTS_H
#define SPHERENET_DATA_CONTENTS_H

#include "data/dataset.h"

/* Sets the checksum of a loaded dataset: XXH3 of shape, labels and pixels of the training images in their order,
 * without those that are set aside for validation, which looks at every pixel, as fast as memory gives them; of
 * pictures in files the name and the size stand for the pixels. The number of threads does not matter. A dataset that
 * comes from no files gets none, since seed and spec tell all about it. */
bool contents_measure(struct dataset *dataset, struct error *err);

/* As text for a checkpoint, "50000 images, checksum 00112233445566ff"; "": there is no checksum. */
const char *contents_text(struct arena *arena, const struct dataset *dataset);

/* Whether the text, of the file `path`, says the same. NULL, and a dataset without checksum, agree with all. */
bool contents_agree(const char *text, const char *path, const struct dataset *dataset, struct error *err);

#endif
