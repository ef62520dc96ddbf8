/* MNIST and datasets in its format, IDX: a big-endian magic number (0x0000TTDD: element type, number of dimensions),
 * one big-endian 32-bit size for each dimension, then the elements. */
#include <stddef.h>
#include <string.h>

#include "data/image_arrays.h"
#include "storage/gz_file.h"

enum { SIDE = 28, IMAGE_BYTES = SIDE * SIDE, CLASSES = 10 };
enum { MAGIC_LABELS = 0x801, MAGIC_IMAGES = 0x803 }; /* unsigned bytes in 1 and 3 dimensions */
enum { DIMENSIONS_MAX = 3 };
enum { FILE_MAX_BYTES = 512 << 20 }; /* the largest official file has 47 MB */

struct idx_config {
    struct data_config common;
    const char *path;
};

static const char *const image_files[] = {
    [SPLIT_TRAIN] = "train-images-idx3-ubyte", [SPLIT_TEST] = "t10k-images-idx3-ubyte"};
static const char *const label_files[] = {
    [SPLIT_TRAIN] = "train-labels-idx1-ubyte", [SPLIT_TEST] = "t10k-labels-idx1-ubyte"};

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static size_t header_bytes(int dimensions) {
    return 4 + 4 * (size_t)dimensions;
}

static bool read_header(struct file *file, uint32_t magic, uint32_t sizes[DIMENSIONS_MAX], struct error *err) {
    int dimensions = magic & 0xff;
    if (!file_fill(file, header_bytes(dimensions), err))
        return false;
    if (file->size < header_bytes(dimensions))
        return error_set(err, "%s: its %zu bytes are too few for an IDX header", file->path, file->size);
    if (big_endian(file->bytes) != magic)
        return error_set(err, "%s: begins with 0x%08x where an IDX file of %s has 0x%08x", file->path,
                         big_endian(file->bytes), magic == MAGIC_IMAGES ? "images" : "labels", magic);
    for (int i = 0; i < dimensions; i++)
        sizes[i] = big_endian(file->bytes + 4 + 4 * i);
    return true;
}

static bool refuse_size(const struct file *file, uint32_t count, uint64_t expected, const char *found, size_t bytes,
                        struct error *err) {
    return error_set(err, "%s: its header tells of %u records, which makes %llu bytes, but there are %s%zu", file->path,
                     count, (unsigned long long)expected, found, bytes);
}

/* Reads the records, of which the file must hold as many as its header tells of, no less and no more. The size of the
 * file on the disk is asked first, so that a header that lies takes no memory. */
static bool read_records(struct file *file, int dimensions, uint32_t count, uint64_t element_bytes, struct error *err) {
    uint64_t expected = header_bytes(dimensions) + count * element_bytes;
    if (count == 0)
        return error_set(err, "%s: holds no records", file->path);
    if (expected > file->most || (!file->compressed && expected < file->most))
        return refuse_size(file, count, expected, file->compressed ? "at most " : "", file->most, err);
    if (expected > FILE_MAX_BYTES)
        return error_set(err, "%s: holds more than %d bytes, the most such a file may", file->path, FILE_MAX_BYTES);
    if (!file_fill(file, expected + 1, err))
        return false;
    if (file->size != expected)
        return refuse_size(file, count, expected, file->size > expected ? "at least " : "", file->size, err);
    return true;
}

static bool read_images(struct file *file, uint32_t *count, struct error *err) {
    uint32_t sizes[DIMENSIONS_MAX] = {0};
    if (!read_header(file, MAGIC_IMAGES, sizes, err))
        return false;
    *count = sizes[0];
    if (sizes[1] != SIDE || sizes[2] != SIDE)
        return error_set(err, "%s: its images are %ux%u, not %dx%d", file->path, sizes[1], sizes[2], SIDE, SIDE);
    return read_records(file, 3, *count, IMAGE_BYTES, err);
}

/* `in_file` is set to the number of images in the file, of which the split takes at most `limit`. */
static bool load_images(struct dataset *dataset, int split, struct file *file, int limit, uint32_t *in_file,
                        struct error *err) {
    if (!read_images(file, in_file, err))
        return false;
    int count = *in_file < (uint32_t)limit ? (int)*in_file : limit;
    if (!image_arrays_reserve(dataset, split, count, err))
        return false;
    dataset->splits[split].count = count;
    memcpy(image_arrays_pixels(dataset, split), file->bytes + header_bytes(3), (size_t)count * IMAGE_BYTES);
    return true;
}

static bool load_labels(struct split *split, struct file *file, uint32_t images, struct error *err) {
    uint32_t sizes[DIMENSIONS_MAX] = {0};
    if (!read_header(file, MAGIC_LABELS, sizes, err) || !read_records(file, 1, sizes[0], 1, err))
        return false;
    if (sizes[0] != images)
        return error_set(err, "%s: holds %u labels, but there are %u images", file->path, sizes[0], images);
    for (int i = 0; i < split->count; i++)
        split->labels[i] = file->bytes[header_bytes(1) + (size_t)i];
    return dataset_check_labels(file->path, split->labels, split->count, CLASSES, err);
}

static bool load_split(struct dataset *dataset, int split, const struct idx_config *config, const char *advice,
                       struct error *err) {
    struct file file;
    uint32_t images;
    if (!file_open(&file, config->path, image_files[split], advice, err))
        return false;
    bool ok = load_images(dataset, split, &file, data_config_limit(&config->common, split), &images, err);
    file_free(&file); /* before the next is read */
    if (!ok || !file_open(&file, config->path, label_files[split], advice, err))
        return false;
    ok = load_labels(&dataset->splits[split], &file, images, err);
    file_free(&file);
    return ok;
}

static bool mnist_load(struct dataset *dataset, const void *config, int split, uint64_t seed, struct error *err) {
    (void)seed;
    return load_split(dataset, split, config, "get the four files of MNIST and set data.path to their folder", err);
}

static bool fashion_mnist_load(struct dataset *dataset, const void *config, int split, uint64_t seed,
                               struct error *err) {
    (void)seed;
    return load_split(dataset, split, config,
                      "install Debian's package dataset-fashion-mnist, or get the four files from "
                      "https://github.com/zalandoresearch/fashion-mnist and set data.path to their folder",
                      err);
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

#define COMMON_ROW INCLUDED_KEYS(struct idx_config, common, data_config_params)
#define PATH_ROW(default_path)                                                                                         \
    PATH_KEY(struct idx_config, path, "path", default_path,                                                            \
             "folder of train- and t10k-images-idx3-ubyte, train- and t10k-labels-idx1-ubyte (or .gz)")

static const struct param mnist_params[] = {COMMON_ROW, PATH_ROW("data/mnist"), END_OF_KEYS};
static const struct param fashion_mnist_params[] = {COMMON_ROW, PATH_ROW("/usr/share/datasets/fashion-mnist"),
                                                    END_OF_KEYS};

extern const struct dataset_type dataset_mnist, dataset_fashion_mnist;

const struct dataset_type dataset_mnist = {
    .kind = {.name = "mnist",
             .help = "MNIST: 28x28 grey images of 10 handwritten digits, 60000 to train and 10000 to test",
             .params = mnist_params,
             .config_size = sizeof(struct idx_config)},
    .describe = mnist_describe,
    .load = mnist_load,
    .fetch = image_arrays_fetch,
    .release = image_arrays_release,
};

const struct dataset_type dataset_fashion_mnist = {
    .kind = {.name = "fashion_mnist",
             .help = "Fashion-MNIST: 28x28 grey images of 10 kinds of clothing, 60000 to train and 10000 to test",
             .params = fashion_mnist_params,
             .config_size = sizeof(struct idx_config)},
    .describe = fashion_mnist_describe,
    .load = fashion_mnist_load,
    .fetch = image_arrays_fetch,
    .release = image_arrays_release,
};
