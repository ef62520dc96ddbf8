/* The dataset under test, with the folder that its files are in. */
#ifndef SPHERENET_TESTS_SUPPORT_DATASETS_H
#define SPHERENET_TESTS_SUPPORT_DATASETS_H

#include "base/error.h"
#include "data/image_arrays.h"
#include "spec/bind.h"
#include "support/folder.h"

extern struct dataset dataset;
extern struct error err; /* of the call that failed last */

/* Fixtures. */
void dataset_set_up(void);
void dataset_tear_down(void);

/* The defaults of a dataset, and the test's folder for its path. */
struct choice choose(const char *name);
struct choice choose_synthetic(int classes, int height, int width, int channels, int images);

/* The key's value in the section. */
void *value_of(struct choice data, const char *key);
void set_int(struct choice data, const char *key, int value);

void load(struct choice data); /* the dataset under test, in place of the one before */

/* The pixels of an image of the dataset under test, which keeps them in memory. */
uint8_t *image_of(int split, int index);

void check_counts(int train, int test);
void check_shape(int height, int width, int channels, int classes);

long peak_kilobytes(void); /* of memory that this process had */

#endif
