#include "data/dataset.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A new dataset is one file that defines its row, and the row's name in the two lists below. */
extern const struct dataset_type dataset_cifar10, dataset_cifar100, dataset_mnist, dataset_fashion_mnist,
    dataset_synthetic;

static const struct kind *const dataset_rows[] = {
    &dataset_cifar10.kind,       &dataset_cifar100.kind,  &dataset_mnist.kind,
    &dataset_fashion_mnist.kind, &dataset_synthetic.kind, NULL,
};

const struct registry dataset_registry = {.noun = "dataset", .rows = dataset_rows};

const char *const split_names[] = {[SPLIT_TRAIN] = "train", [SPLIT_TEST] = "test", NULL};

const struct param data_config_params[] = {
    INT_KEY(struct data_config, train_limit, "train_limit", "0", 0, INT_MAX,
            "load only the first so many training images; 0: all"),
    INT_KEY(struct data_config, test_limit, "test_limit", "0", 0, INT_MAX,
            "load only the first so many test images; 0: all"),
    BOOL_KEY(struct data_config, flip, "flip", "false", "mirror training images left-right with probability 1/2"),
    INT_KEY(struct data_config, crop_padding, "crop_padding", "0", 0, 16,
            "zeros added on each side of a training image before a random crop of its size; 0: no crop"),
    REAL_KEY(struct data_config, pixel_mean, "pixel_mean", "127.5", 0, 255,
             "network input = (pixel - pixel_mean) / pixel_scale, pixels are 0 to 255"),
    REAL_KEY(struct data_config, pixel_scale, "pixel_scale", "128", 1e-3, 1e6,
             "network input = (pixel - pixel_mean) / pixel_scale; above 0"),
    END_OF_KEYS,
};

int data_config_limit(const struct data_config *config, int split) {
    int limit = split == SPLIT_TRAIN ? config->train_limit : config->test_limit;
    return limit ? limit : INT_MAX;
}

size_t dataset_image_bytes(const struct dataset *dataset) {
    return (size_t)dataset->height * (size_t)dataset->width * (size_t)dataset->channels;
}

static void free_split(struct split *split) {
    free(split->pixels);
    free(split->labels);
}

bool dataset_reserve(struct dataset *dataset, int split, int images, struct error *err) {
    struct split *old = &dataset->splits[split];
    size_t image_bytes = dataset_image_bytes(dataset), pixel_bytes = (size_t)images * image_bytes;
    if (images <= old->capacity)
        return true;
    struct split new = {old->count, images, mem_block(pixel_bytes), mem_block((size_t)images * sizeof *new.labels)};
    if (!new.pixels || !new.labels) {
        free_split(&new);
        return error_set(err, "data: not enough memory for %d %s images (%zu bytes)", images, split_names[split],
                         pixel_bytes);
    }
    if (old->count) {
        memcpy(new.pixels, old->pixels, (size_t)old->count * image_bytes);
        memcpy(new.labels, old->labels, (size_t)old->count * sizeof *new.labels);
    }
    free_split(old);
    *old = new;
    return true;
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

void dataset_describe(struct dataset *dataset, struct choice data) {
    type_of(data)->describe(dataset, data.config);
}

static bool check(const struct dataset *dataset, const char *name, struct error *err) {
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct split *split = &dataset->splits[s];
        if (split->count <= 0)
            return error_set(err, "%s: there are no %s images", name, split_names[s]);
        if (!dataset_check_labels(name, split->labels, split->count, dataset->classes, err))
            return false;
    }
    return true;
}

bool dataset_load(struct dataset *dataset, struct choice data, uint64_t seed, struct error *err) {
    *dataset = (struct dataset){0};
    dataset_describe(dataset, data);
    bool good = type_of(data)->load(dataset, data.config, seed, err) && check(dataset, data.kind->name, err);
    if (!good)
        dataset_free(dataset);
    mem_trim(); /* the files' bytes */
    return good;
}

void dataset_free(struct dataset *dataset) {
    for (int s = 0; s < SPLIT_COUNT; s++)
        free_split(&dataset->splits[s]);
    *dataset = (struct dataset){0};
}
