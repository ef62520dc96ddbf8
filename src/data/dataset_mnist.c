/* MNIST and Fashion-MNIST: their four IDX files, 28x28 grey images of 10 classes. */
#include <stddef.h>

#include "data/idx_images.h"
#include "data/not_data.h"

enum { SIDE = 28, CLASSES = 10 };

struct mnist_config {
    struct data_config common;
    const char *path;
};

/* What is not alike in the two. */
struct source {
    const char *name;
    const char *const *below; /* folders, as for idx_folder_find */
    const char *advice;
};

static const struct source mnist_source = {
    .name = "MNIST",
    .below = (const char *const[]){"MNIST/raw", "raw", NULL},
    .advice = "get the four files of MNIST (tools/get_data mnist, installed as spherenet-get-data, does) and set "
              "data.path to their folder",
};

static const struct source fashion_mnist_source = {
    .name = "Fashion-MNIST",
    .below = (const char *const[]){"FashionMNIST/raw", "raw", NULL},
    .advice = "install Debian's package dataset-fashion-mnist, or get the four files (tools/get_data "
              "fashion_mnist, installed as spherenet-get-data, does) and set data.path to their folder",
};

/* --- Loading ----------------------------------------------------------------------------------------------------- */

static bool refuse_type(const struct source *source, const struct idx_file *idx, struct error *err) {
    struct text found = {0};
    error_set(err, "%s: holds %s, where %s's images are unsigned bytes in 3 dimensions; data: {type: idx} reads others",
              idx->file.path, idx_describe(&found, idx->type, idx->dimensions), source->name);
    text_free(&found);
    return false;
}

static bool check_header(const struct source *source, const struct idx_file *idx, struct error *err) {
    if (idx->type != IDX_UINT8 || idx->dimensions != 3)
        return refuse_type(source, idx, err);
    return (idx->sizes[1] == SIDE && idx->sizes[2] == SIDE) ||
           error_set(err, "%s: its images are %ux%u, not %dx%d; data: {type: idx} reads others", idx->file.path,
                     idx->sizes[1], idx->sizes[2], SIDE, SIDE);
}

static bool check_images(const struct source *source, const struct idx_folder *folder, int split, const char *advice,
                         struct error *err) {
    struct idx_file idx;
    if (!idx_open(&idx, folder->path, folder->names[split][IDX_IMAGES], advice, err))
        return false;
    bool good = check_header(source, &idx, err);
    idx_close(&idx);
    return good;
}

/* What else is in the folder where a file is not. */
static void add_remark(struct text *advice, const char *path, const struct source *source) {
    struct idx_folder other;
    struct error several;
    if (!idx_folder_find(&other, path, NULL, source->below, &several))
        text_printf(advice, "; there are files of several other datasets, which data: {type: idx, prefix: ...} reads");
    else if (*other.prefix)
        text_printf(
            advice,
            "; there is %s, which data: {type: idx, prefix: %s} reads, with transposed: true if it is of EMNIST",
            other.names[SPLIT_TRAIN][IDX_IMAGES], other.prefix);
    else
        not_data_remark(advice, path);
    idx_folder_free(&other);
}

static bool load(struct dataset *dataset, const struct mnist_config *config, const struct source *source, int split,
                 struct error *err) {
    struct idx_folder folder;
    struct text advice = {0};
    if (!idx_folder_find(&folder, config->path, "", source->below, err))
        return false;
    text_printf(&advice, "%s", source->advice);
    if (!idx_folder_has(&folder, split))
        add_remark(&advice, config->path, source);
    const struct idx_request request = {
        .layout = {.black = 0},
        .limit = data_config_limit(&config->common, split),
        .advice = advice.data,
        .classes_hint = "; data: {type: idx} reads other classes",
    };
    bool good = check_images(source, &folder, split, advice.data, err) &&
                idx_load_split(dataset, split, &folder, &request, err);
    idx_folder_free(&folder);
    text_free(&advice);
    return good;
}

static bool mnist_load(struct dataset *dataset, const void *config, int split, uint64_t seed, struct error *err) {
    (void)seed;
    return load(dataset, config, &mnist_source, split, err);
}

static bool fashion_mnist_load(struct dataset *dataset, const void *config, int split, uint64_t seed,
                               struct error *err) {
    (void)seed;
    return load(dataset, config, &fashion_mnist_source, split, err);
}

static const char *const digits[CLASSES] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
static const char *const clothes[CLASSES] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                             "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};

static bool describe(struct dataset *dataset, const char *const *class_names) {
    dataset->height = dataset->width = SIDE;
    dataset->channels = 1;
    dataset->classes = CLASSES;
    dataset->class_names = class_names;
    return true;
}

static bool mnist_describe(struct dataset *dataset, const void *config, struct error *err) {
    (void)config, (void)err;
    return describe(dataset, digits);
}

static bool fashion_mnist_describe(struct dataset *dataset, const void *config, struct error *err) {
    (void)config, (void)err;
    return describe(dataset, clothes);
}

#define COMMON_ROW INCLUDED_KEYS(struct mnist_config, common, data_config_params)
#define PATH_ROW(default_path)                                                                                         \
    PATH_KEY(struct mnist_config, path, "path", default_path,                                                          \
             "folder of train- and t10k-images-idx3-ubyte, train- and t10k-labels-idx1-ubyte (or .gz)")

static const struct param mnist_params[] = {COMMON_ROW, PATH_ROW("data/mnist"), END_OF_KEYS};
static const struct param fashion_mnist_params[] = {COMMON_ROW, PATH_ROW("/usr/share/datasets/fashion-mnist"),
                                                    END_OF_KEYS};

extern const struct dataset_type dataset_mnist, dataset_fashion_mnist;

const struct dataset_type dataset_mnist = {
    .kind = {.name = "mnist",
             .help = "MNIST: 28x28 grey images of 10 handwritten digits, 60000 to train and 10000 to test",
             .params = mnist_params,
             .config_size = sizeof(struct mnist_config)},
    .describe = mnist_describe,
    .load = mnist_load,
    .fetch = image_arrays_fetch,
    .release = image_arrays_release,
};

const struct dataset_type dataset_fashion_mnist = {
    .kind = {.name = "fashion_mnist",
             .help = "Fashion-MNIST: 28x28 grey images of 10 kinds of clothing, 60000 to train and 10000 to test",
             .params = fashion_mnist_params,
             .config_size = sizeof(struct mnist_config)},
    .describe = fashion_mnist_describe,
    .load = fashion_mnist_load,
    .fetch = image_arrays_fetch,
    .release = image_arrays_release,
};
