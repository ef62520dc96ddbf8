/* Image datasets in memory: uint8 pixels and labels, a train and a test split. */
#ifndef SPHERENET_DATA_DATASET_H
#define SPHERENET_DATA_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "spec/param.h"

struct split {
    int count, capacity; /* images that there are; that there is room for */
    uint8_t *pixels;     /* [count][height][width][channels] */
    int32_t *labels;     /* [count], each < classes */
};

enum { SPLIT_TRAIN, SPLIT_TEST, SPLIT_COUNT };
extern const char *const split_names[]; /* "train", "test", NULL */

struct dataset {
    int height, width, channels, classes;
    struct split splits[SPLIT_COUNT];
};

/* First member of every dataset's configuration: keys that all datasets share. */
struct data_config {
    int train_limit, test_limit;    /* images; 0: all */
    bool flip;                      /* mirror left-right with probability 1/2 */
    int crop_padding;               /* pixels added on each side before a random crop of the original size; 0: none */
    double pixel_mean, pixel_scale; /* network input = (pixel - mean) / scale */
};
extern const struct param data_config_params[];

struct dataset_type {
    struct kind kind;
    /* Shape and number of classes, known from the configuration alone. */
    void (*describe)(struct dataset *dataset, const void *config);
    /* Reads both splits, at most data_config's limits of each (the first images in file order). */
    bool (*load)(struct dataset *dataset, const void *config, uint64_t seed, struct error *err);
};

extern const struct registry dataset_registry;

/* Sets height, width, channels, classes; no file is opened. */
void dataset_describe(struct dataset *dataset, struct choice data);

/* Reads the splits named by `data` (a row of dataset_registry). On success both splits hold at least one image and
 * every label is below `classes`; pass to dataset_free. On failure the dataset is left empty.
 * The seed matters to the synthetic dataset only. */
bool dataset_load(struct dataset *dataset, struct choice data, uint64_t seed, struct error *err);
void dataset_free(struct dataset *dataset); /* leaves it empty; an empty dataset is allowed */

/* height * width * channels: the bytes of one image in split.pixels. */
size_t dataset_image_bytes(const struct dataset *dataset);

/* For the files that read datasets: */

/* The most images to load of a split; INT_MAX where the configuration sets no limit. */
int data_config_limit(const struct data_config *config, int split);

/* Makes room for `images` > 0 images and labels in a split, which keeps its `count` images. What is new is zero; the
 * caller fills it and raises the count. Fails when there is not enough memory; the split is then as it was. */
bool dataset_reserve(struct dataset *dataset, int split, int images, struct error *err);

/* Checks labels[0..count) of the file `path`; the error names the first bad record, counted from 0. */
bool dataset_check_labels(const char *path, const int32_t *labels, int count, int classes, struct error *err);

#endif
