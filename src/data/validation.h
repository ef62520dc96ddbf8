/* Validation images: training images that are set aside, to choose the best test by. */
#ifndef SPHERENET_DATA_VALIDATION_H
#define SPHERENET_DATA_VALIDATION_H

#include "data/dataset.h"

/* Whether data.validation is a share or a number of images, and the described dataset has no validation images of its
 * own beside. */
bool validation_check(const struct dataset *dataset, const struct data_config *config, struct error *err);

/* Marks `count` of the images with a 1, all others with a 0, stratified by class: of a class's n of all N images
 * count * n / N, rounded down or up so that the sum is `count`, up where the fraction is largest, for equal ones of the
 * lower class. How many each class gives depends on the labels alone; which ones is drawn from (seed, class).
 * marks: [images], labels: [images] each below `classes`, 0 <= count <= images. False when there is not enough memory.
 */
bool validation_choose(uint8_t *marks, const int32_t *labels, int images, int classes, int count, uint64_t seed);

/* Where data.validation is set, moves that many images of the loaded train split to the validation split; both keep
 * their order, and pixels stay where they are. Fails where no image would be set aside, or a class would have no
 * training image left. A dataset whose train split is not loaded is left as it is. */
bool validation_set_aside(struct dataset *dataset, const struct data_config *config, uint64_t seed, struct error *err);

#endif
