/* A picture of training images as the network sees them. */
#ifndef SPHERENET_CLI_CONTACT_SHEET_H
#define SPHERENET_CLI_CONTACT_SHEET_H

#include "data/dataset.h"

/* Writes a PNG of the first training images of a run with that seed, augmented, in rows of eight; small ones are
 * enlarged by a whole factor. Of images of three channels or more the first three are red, green and blue, of others
 * the first one is grey. Zero network input has the colour of pixel_mean. */
bool contact_sheet_write(const char *path, const struct dataset *dataset, const struct data_config *config,
                         uint64_t seed, struct error *err);

#endif
