#include "data/dataset.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/validation.h"

extern const struct dataset_type dataset_cifar10, dataset_cifar100, dataset_mnist, dataset_fashion_mnist, dataset_idx,
    dataset_images, dataset_synthetic;

static const struct kind *const dataset_rows[] = {
    &dataset_cifar10.kind, &dataset_cifar100.kind, &dataset_mnist.kind,     &dataset_fashion_mnist.kind,
    &dataset_idx.kind,     &dataset_images.kind,   &dataset_synthetic.kind, NULL,
};

const struct registry dataset_registry = {.noun = "dataset", .rows = dataset_rows};

const char *const split_names[] = {
    [SPLIT_TRAIN] = "train", [SPLIT_TEST] = "test", [SPLIT_VALIDATION] = "validation", NULL};

const struct param data_config_params[] = {
    INT_KEY(struct data_config, train_limit, "train_limit", "0", 0, INT_MAX,
            "load only the first so many training images; 0: all"),
    INT_KEY(struct data_config, test_limit, "test_limit", "0", 0, INT_MAX,
            "load only the first so many test images; 0: all"),
    REAL_KEY(struct data_config, validation, "validation", "0", 0, INT_MAX,
             "training images, of those that train_limit leaves, that are set aside to choose the best test by: a "
             "share below 1 or a number of images, of each class as large a part, drawn from the seed; 0: none"),
    INCLUDED_KEYS(struct data_config, augment, augment_params),
    REALS_KEY(struct data_config, pixel_mean, "pixel_mean", "127.5", 0, 255,
              "network input = (pixel - pixel_mean) / pixel_scale, pixels are 0 to 255; one for all channels, or each"),
    REALS_KEY(struct data_config, pixel_scale, "pixel_scale", "128", PIXEL_SCALE_MIN, 1e6, "of all channels, or each"),
    BOOL_KEY(
        struct data_config, standardize, "standardize", "false",
        "take each channel's mean and standard deviation over the training images for the two, measured when a run "
        "begins"),
    INT_KEY(struct data_config, loader_threads, "loader_threads", "1", 1, 256,
            "threads that prepare batches beside those of train.threads; results do not depend on it"),
    END_OF_KEYS,
};

int data_config_limit(const struct data_config *config, int split) {
    int limit = split == SPLIT_TRAIN ? config->train_limit : split == SPLIT_TEST ? config->test_limit : 0;
    return limit ? limit : INT_MAX;
}

size_t dataset_image_bytes(const struct dataset *dataset) {
    return (size_t)dataset->height * (size_t)dataset->width * (size_t)dataset->channels;
}

size_t dataset_held_bytes(const struct dataset *dataset) {
    size_t images = 0;
    for (int split = 0; split < SPLIT_COUNT; split++)
        images += (size_t)dataset->splits[split].count;
    return dataset->type->held ? dataset->type->held(dataset) : images * dataset_image_bytes(dataset);
}

bool dataset_check_labels(const char *path, const int32_t *labels, int count, int classes, struct error *err) {
    for (int i = 0; i < count; i++)
        if (labels[i] < 0 || labels[i] >= classes)
            return error_set(err, "%s: record %d: label %d is not below %d", path, i, labels[i], classes);
    return true;
}

static const struct dataset_type *type_of(struct choice data) {
    return (const struct dataset_type *)data.kind; /* its first member */
}

static bool check_channels(const char *key, const struct real_list *list, int channels, struct error *err) {
    return list->count == 1 || list->count == channels ||
           error_set(err, "%s has %d values, the images %d channel%s", key, list->count, channels,
                     channels == 1 ? "" : "s");
}

bool dataset_describe(struct dataset *dataset, struct choice data, struct error *err) {
    const struct data_config *config = data.config;
    *dataset = (struct dataset){.type = type_of(data)};
    if ((!dataset->type->resolve || dataset->type->resolve(data.config, err)) &&
        dataset->type->describe(dataset, config, err) &&
        check_channels("pixel_mean", &config->pixel_mean, dataset->channels, err) &&
        check_channels("pixel_scale", &config->pixel_scale, dataset->channels, err) &&
        validation_check(dataset, config, err))
        return true;
    dataset_free(dataset);
    return false;
}

static bool load_split(struct dataset *dataset, struct choice data, uint64_t seed, int split, struct error *err) {
    const struct split *loaded = &dataset->splits[split];
    if (!dataset->type->load(dataset, data.config, split, seed, err))
        return false;
    if (loaded->count <= 0)
        return error_set(err, "%s: there are no %s images", data.kind->name, split_names[split]);
    return dataset_check_labels(data.kind->name, loaded->labels, loaded->count, dataset->classes, err);
}

enum { ALL_SPLITS = -1 }; /* in place of the one that is wanted */

/* Where the images of a split lie: in itself, or in the train split, of which it is set aside. */
static int stored_in(const struct dataset *dataset, int split) {
    return split == SPLIT_VALIDATION && !dataset->stores_validation ? SPLIT_TRAIN : split;
}

static bool load_splits(struct dataset *dataset, struct choice data, uint64_t seed, int split, struct error *err) {
    if (split != ALL_SPLITS)
        return load_split(dataset, data, seed, stored_in(dataset, split), err);
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (stored_in(dataset, s) == s && !load_split(dataset, data, seed, s, err))
            return false;
    return true;
}

static bool load(struct dataset *dataset, struct choice data, uint64_t seed, int split, struct error *err) {
    bool good = dataset_describe(dataset, data, err) && load_splits(dataset, data, seed, split, err) &&
                validation_set_aside(dataset, data.config, seed, err);
    if (good && split == SPLIT_VALIDATION && !dataset->splits[split].count)
        good = error_set(err, "%s: there are no validation images; data.validation sets some aside", data.kind->name);
    if (!good)
        dataset_free(dataset);
    mem_trim(); /* the files' bytes */
    return good;
}

bool dataset_load(struct dataset *dataset, struct choice data, uint64_t seed, struct error *err) {
    return load(dataset, data, seed, ALL_SPLITS, err);
}

bool dataset_load_split(struct dataset *dataset, struct choice data, uint64_t seed, int split, struct error *err) {
    return load(dataset, data, seed, split, err);
}

const char *dataset_class_name(const struct dataset *dataset, int class, char *buffer) {
    assert(class >= 0 && class < dataset->classes);
    if (dataset->class_names)
        return dataset->class_names[class];
    snprintf(buffer, CLASS_NAME_BYTES, "class %d", class);
    return buffer;
}

bool dataset_examine(const struct dataset *dataset, int split, int index, int *height, int *width, uint8_t *pixels,
                     struct error *err) {
    *height = dataset->height;
    *width = dataset->width;
    if (!dataset->type->examine)
        return dataset_fetch(dataset, split, index, NULL, pixels, err);
    struct stored_image image = dataset_stored(dataset, split, index);
    return dataset->type->examine(dataset, image.split, image.index, height, width, pixels, err);
}

void dataset_free(struct dataset *dataset) {
    if (dataset->type)
        dataset->type->release(dataset);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        free(dataset->splits[s].labels);
        free(dataset->splits[s].stored);
    }
    arena_free(&dataset->memory);
    *dataset = (struct dataset){0};
}
