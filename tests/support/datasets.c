#include "support/datasets.h"

#include <string.h>
#include <sys/resource.h>

#include "support/suite.h"

struct dataset dataset;
struct error err;

void dataset_set_up(void) {
    folder_make(NULL, "data");
}

void dataset_tear_down(void) {
    dataset_free(&dataset);
    folder_remove();
}

static void *find_value(const struct param *params, void *section, const char *key) {
    for (const struct param *p = params; p->type != PARAM_END; p++) {
        char *value = (char *)section + p->offset;
        void *inner = p->type == PARAM_INCLUDE ? find_value(p->params, value, key) : NULL;
        if (inner || (p->key && !strcmp(p->key, key)))
            return inner ? inner : value;
    }
    return NULL;
}

void *value_of(struct choice data, const char *key) {
    void *value = find_value(data.kind->params, data.config, key);
    ck_assert_msg(value != NULL, "no key %s", key);
    return value;
}

void set_int(struct choice data, const char *key, int value) {
    *(int *)value_of(data, key) = value;
}

struct choice choose(const char *name) {
    const struct kind *kind = registry_find(&dataset_registry, name);
    ck_assert_ptr_nonnull(kind);
    struct choice data = choice_default(&arena, kind);
    if (strcmp(name, "synthetic"))
        *(const char **)value_of(data, "path") = folder;
    return data;
}

struct choice choose_synthetic(int classes, int height, int width, int channels, int images) {
    struct choice data = choose("synthetic");
    set_int(data, "classes", classes);
    set_int(data, "height", height);
    set_int(data, "width", width);
    set_int(data, "channels", channels);
    set_int(data, "train_images", images);
    return data;
}

void load(struct choice data) {
    dataset_free(&dataset);
    ck_assert_msg(dataset_load(&dataset, data, 1, &err), "%s", err.text);
}

uint8_t *image_of(int split, int index) {
    return image_arrays_pixels(&dataset, split) + (size_t)index * dataset_image_bytes(&dataset);
}

void check_counts(int train, int test) {
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].count, train);
    ck_assert_int_eq(dataset.splits[SPLIT_TEST].count, test);
}

void check_shape(int height, int width, int channels, int classes) {
    ck_assert_int_eq(dataset.height, height);
    ck_assert_int_eq(dataset.width, width);
    ck_assert_int_eq(dataset.channels, channels);
    ck_assert_int_eq(dataset.classes, classes);
}

long peak_kilobytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}
