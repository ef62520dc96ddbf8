/* Any images in IDX files, the format of MNIST: EMNIST, KMNIST, QMNIST, and what people make. What the files do not say
 * the keys do. */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "data/class_names.h"
#include "data/idx_images.h"
#include "data/not_data.h"

enum { CLASSES_MAX = 1000000, FIRST_LABEL_AUTO = -1 };

struct idx_config {
    struct data_config common;
    const char *path, *prefix;
    struct idx_layout layout;
    int classes;     /* 0: as many as the training labels tell of */
    int first_label; /* FIRST_LABEL_AUTO: 0 or 1, where the training labels begin */
    int label_column;
};

static const char *const below[] = {"raw",  "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw", "QMNIST/raw",
                                    "gzip", NULL};
static const char *const advice = "data.path is the folder of the dataset's four IDX files";

/* --- Facts ------------------------------------------------------------------------------------------------------- */

static bool find(struct idx_folder *folder, const struct idx_config *config, struct error *err) {
    return idx_folder_find(folder, config->path, *config->prefix ? config->prefix : NULL, below, err);
}

/* "data.path is ..." and, where a file of the split is missing, what is in the folder instead. To be freed. */
static char *advise(const struct idx_folder *folder, int split) {
    struct text text = {0};
    text_printf(&text, "%s", advice);
    if (!idx_folder_has(folder, split))
        not_data_remark(&text, folder->path);
    return text.data;
}

static bool look_at_images(struct idx_layout *layout, const struct idx_folder *folder, struct error *err) {
    struct idx_file idx;
    char *where = advise(folder, SPLIT_TRAIN);
    bool good = idx_open(&idx, folder->path, folder->names[SPLIT_TRAIN][IDX_IMAGES], where, err);
    good = good && idx_complete(layout, &idx, err);
    idx_close(&idx);
    free(where);
    return good;
}

struct range {
    int64_t least, most;
};

static bool read_range(struct range *range, const struct idx_config *config, const struct idx_folder *folder,
                       struct error *err) {
    struct idx_labels labels = {.column = config->label_column};
    struct idx_file idx;
    if (!idx_open(&idx, folder->path, folder->names[SPLIT_TRAIN][IDX_LABELS], advice, err))
        return false;
    bool good = idx_read_labels(&labels, &idx, err);
    *range = (struct range){INT64_MAX, INT64_MIN};
    for (int i = 0; good && i < labels.count; i++) {
        range->least = labels.labels[i] < range->least ? labels.labels[i] : range->least;
        range->most = labels.labels[i] > range->most ? labels.labels[i] : range->most;
    }
    free(labels.labels);
    idx_close(&idx);
    return good;
}

static bool set_classes(struct idx_config *config, const struct range *range, const struct idx_folder *folder,
                        struct error *err) {
    int64_t count = range->most - config->first_label + 1;
    config->classes = count > 1 && count <= CLASSES_MAX ? (int)count : 0;
    return config->classes ||
           error_set(err,
                     "%s/%s: labels are %lld to %lld, which makes no 2 to %d classes from %d on; set "
                     "data.classes and data.first_label",
                     folder->path, folder->names[SPLIT_TRAIN][IDX_LABELS], (long long)range->least,
                     (long long)range->most, CLASSES_MAX, config->first_label);
}

/* Completes the two where they are to follow from the training labels. */
static bool look_at_labels(struct idx_config *config, const struct idx_folder *folder, struct error *err) {
    struct range range;
    if (config->first_label != FIRST_LABEL_AUTO && config->classes)
        return true;
    if (!read_range(&range, config, folder, err))
        return false;
    if (config->first_label == FIRST_LABEL_AUTO)
        config->first_label = range.least == 1;
    return config->classes || set_classes(config, &range, folder, err);
}

/* Whether the keys tell what the network has to fit. */
static bool has_shape(const struct idx_config *config) {
    return config->classes && config->layout.height && config->layout.width && config->layout.channels;
}

static bool look(struct idx_config *config, const struct idx_folder *folder, struct error *err) {
    struct error why;
    bool images = has_shape(config) || look_at_images(&config->layout, folder, &why);
    if (images && look_at_labels(config, folder, &why))
        return true;
    if (idx_folder_has(folder, SPLIT_TRAIN)) {
        *err = why;
        return false;
    }
    return error_set_code(err, why.code,
                          "%s; without the training images' files a spec has to say data.height, data.width, "
                          "data.channels and data.classes",
                          why.text);
}

static bool check_scale(const struct idx_layout *layout, struct error *err) {
    return layout->black != layout->white || layout->black == 0 ||
           error_set(err, "black and white are both %.9g, so they make no pixels", layout->black);
}

/* A first label that is not known yet matters to nobody before labels are loaded. */
static bool resolve(void *config, struct error *err) {
    struct idx_config *settings = config;
    struct idx_folder folder;
    if (!check_scale(&settings->layout, err))
        return false;
    if (has_shape(settings) && settings->first_label != FIRST_LABEL_AUTO)
        return true;
    if (!find(&folder, settings, err))
        return false;
    bool good = (has_shape(settings) && !idx_folder_has(&folder, SPLIT_TRAIN)) || look(settings, &folder, err);
    idx_folder_free(&folder);
    return good;
}

static bool describe(struct dataset *dataset, const void *config, struct error *err) {
    (void)err;
    const struct idx_config *settings = config;
    dataset->height = settings->layout.height;
    dataset->width = settings->layout.width;
    dataset->channels = settings->layout.channels;
    dataset->classes = settings->classes;
    return true;
}

/* --- Loading ----------------------------------------------------------------------------------------------------- */

/* What EMNIST's mappings say, for files without them. */
static const struct {
    const char *prefix;
    size_t length; /* of a name, in characters */
    const char *names;
} emnist_names[] = {
    {"emnist-byclass-", 1, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"},
    {"emnist-bymerge-", 1, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"},
    {"emnist-balanced-", 1, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"},
    {"emnist-letters-", 2, "AaBbCcDdEeFfGgHhIiJjKkLlMmNnOoPpQqRrSsTtUuVvWwXxYyZz"},
    {"emnist-digits-", 1, "0123456789"},
    {"emnist-mnist-", 1, "0123456789"},
};

static void set_emnist_names(struct dataset *dataset, const char *prefix) {
    for (size_t i = 0; i < sizeof emnist_names / sizeof *emnist_names; i++) {
        const char *all = emnist_names[i].names;
        size_t length = emnist_names[i].length;
        if (strcmp(emnist_names[i].prefix, prefix) || strlen(all) != (size_t)dataset->classes * length)
            continue;
        const char **names = arena_alloc(&dataset->memory, (size_t)dataset->classes * sizeof *names);
        for (int k = 0; k < dataset->classes; k++)
            names[k] = arena_printf(&dataset->memory, "%.*s", (int)length, all + (size_t)k * length);
        dataset->class_names = names;
    }
}

static bool read_names(struct dataset *dataset, const struct idx_folder *folder, int first_label, struct error *err) {
    struct text list = {0}, mapping = {0};
    text_printf(&list, "%sclass_names.txt", folder->prefix);
    text_printf(&mapping, "%smapping.txt", folder->prefix);
    set_emnist_names(dataset, folder->prefix);
    bool good = file_exists(folder->path, list.data)
                    ? class_names_read(dataset, folder->path, list.data, err)
                    : class_names_read_mapping(dataset, folder->path, mapping.data, first_label, err);
    text_free(&list);
    text_free(&mapping);
    return good;
}

static bool load_from(struct dataset *dataset, const struct idx_config *config, const struct idx_folder *folder,
                      int split, struct error *err) {
    struct idx_config known = *config;
    if (!look_at_labels(&known, folder, err) || !read_names(dataset, folder, known.first_label, err))
        return false;
    char *where = advise(folder, split);
    const struct idx_request request = {
        .layout = config->layout,
        .limit = data_config_limit(&config->common, split),
        .first_label = known.first_label,
        .label_column = config->label_column,
        .advice = where,
        .classes_hint = "; data.classes and data.first_label say which classes there are",
    };
    bool good = idx_load_split(dataset, split, folder, &request, err);
    free(where);
    return good;
}

static bool load(struct dataset *dataset, const void *config, int split, uint64_t seed, struct error *err) {
    (void)seed;
    struct idx_folder folder;
    if (!find(&folder, config, err))
        return false;
    bool good = load_from(dataset, config, &folder, split, err);
    idx_folder_free(&folder);
    return good;
}

/* --- The row ----------------------------------------------------------------------------------------------------- */

static const struct param idx_params[] = {
    INCLUDED_KEYS(struct idx_config, common, data_config_params),
    PATH_KEY(struct idx_config, path, "path", "data/idx",
             "folder of the files: [PREFIX]train-images-idx3-ubyte, [PREFIX]t10k-labels.idx1-ubyte.gz and the like, or "
             "of a folder raw, MNIST/raw, KMNIST/raw ... with them"),
    TEXT_KEY(struct idx_config, prefix, "prefix", "''",
             "what the files' names begin with, such as emnist-balanced-; empty: the only files that there are"),
    INT_KEY(struct idx_config, classes, "classes", "0", 0, CLASSES_MAX,
            "number of classes; 0: up to the largest training label"),
    INT_KEY(struct idx_config, first_label, "first_label", "-1", -1, INT_MAX,
            "label of the first class; -1: 1 where that is the smallest training label, else 0"),
    INT_KEY(struct idx_config, label_column, "label_column", "0", 0, 1000,
            "which column has the classes where labels are a table, as in QMNIST"),
    INT_KEY(struct idx_config, layout.height, "height", "0", 0, 1024,
            "height of the images, in pixels; 0: as the training images' file says"),
    INT_KEY(struct idx_config, layout.width, "width", "0", 0, 1024, "width of the images, in pixels; 0: the same"),
    INT_KEY(struct idx_config, layout.channels, "channels", "0", 0, CHANNELS_MAX,
            "channels of the images; 0: the same, 1 where the file has no such dimension"),
    BOOL_KEY(struct idx_config, layout.transposed, "transposed", "false",
             "files have images column by column, as those of EMNIST; true sets them upright"),
    BOOL_KEY(struct idx_config, layout.channels_first, "channels_first", "false",
             "files have one channel after the other; false: the channels of a pixel lie together"),
    REAL_KEY(struct idx_config, layout.black, "black", "0", -1e9, 1e9, "the value in the files that is a pixel of 0"),
    REAL_KEY(struct idx_config, layout.white, "white", "0", -1e9, 1e9,
             "the value that is a pixel of 255; black and white 0: 0 and 255 of integers, 0 and 1 of floats"),
    END_OF_KEYS,
};

extern const struct dataset_type dataset_idx;

const struct dataset_type dataset_idx = {
    .kind = {.name = "idx",
             .help = "images of any size and classes in IDX files, the format of MNIST: EMNIST, KMNIST, QMNIST ...",
             .params = idx_params,
             .config_size = sizeof(struct idx_config)},
    .resolve = resolve,
    .describe = describe,
    .load = load,
    .fetch = image_arrays_fetch,
    .release = image_arrays_release,
};
