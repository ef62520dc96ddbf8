/* CIFAR-10 and CIFAR-100 in their official binary format: records of one label byte (CIFAR-10) or two (CIFAR-100:
 * coarse, fine) and 3072 pixel bytes, the red, green and blue planes of 32x32, row by row. A file may hold any number
 * of records. */
#include <limits.h>
#include <stddef.h>

#include "base/number.h"
#include "base/text.h"
#include "data/class_names.h"
#include "data/image_arrays.h"
#include "storage/gz_file.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3, IMAGE_BYTES = CHANNELS * PLANE };
enum { FILE_MAX_BYTES = 512 << 20 }; /* the largest official file has 154 MB */
enum { LABELS_FINE, LABELS_COARSE };

struct layout {
    const char *const *files[SPLIT_COUNT]; /* in order, NULL-terminated */
    const char *subfolder;                 /* that the official archive unpacks to */
    int label_bytes, label_offset;         /* labels at the start of a record; which of them to use */
    int classes;
    const char *const *class_names; /* [classes], where there is no file of them: */
    const char *names_file;
    const char *advice;
};

struct cifar_config {
    struct data_config common;
    const char *path;
};

struct cifar100_config {
    struct cifar_config cifar;
    int labels; /* LABELS_ */
};

/* As the official files have them. */
static const char *const cifar10_names[10] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                              "dog",      "frog",       "horse", "ship", "truck"};
static const char *const fine_names[100] = {
    "apple",      "aquarium_fish", "baby",         "bear",       "beaver",      "bed",         "bee",
    "beetle",     "bicycle",       "bottle",       "bowl",       "boy",         "bridge",      "bus",
    "butterfly",  "camel",         "can",          "castle",     "caterpillar", "cattle",      "chair",
    "chimpanzee", "clock",         "cloud",        "cockroach",  "couch",       "crab",        "crocodile",
    "cup",        "dinosaur",      "dolphin",      "elephant",   "flatfish",    "forest",      "fox",
    "girl",       "hamster",       "house",        "kangaroo",   "keyboard",    "lamp",        "lawn_mower",
    "leopard",    "lion",          "lizard",       "lobster",    "man",         "maple_tree",  "motorcycle",
    "mountain",   "mouse",         "mushroom",     "oak_tree",   "orange",      "orchid",      "otter",
    "palm_tree",  "pear",          "pickup_truck", "pine_tree",  "plain",       "plate",       "poppy",
    "porcupine",  "possum",        "rabbit",       "raccoon",    "ray",         "road",        "rocket",
    "rose",       "sea",           "seal",         "shark",      "shrew",       "skunk",       "skyscraper",
    "snail",      "snake",         "spider",       "squirrel",   "streetcar",   "sunflower",   "sweet_pepper",
    "table",      "tank",          "telephone",    "television", "tiger",       "tractor",     "train",
    "trout",      "tulip",         "turtle",       "wardrobe",   "whale",       "willow_tree", "wolf",
    "woman",      "worm"};
static const char *const coarse_names[20] = {"aquatic_mammals",
                                             "fish",
                                             "flowers",
                                             "food_containers",
                                             "fruit_and_vegetables",
                                             "household_electrical_devices",
                                             "household_furniture",
                                             "insects",
                                             "large_carnivores",
                                             "large_man-made_outdoor_things",
                                             "large_natural_outdoor_scenes",
                                             "large_omnivores_and_herbivores",
                                             "medium_mammals",
                                             "non-insect_invertebrates",
                                             "people",
                                             "reptiles",
                                             "small_mammals",
                                             "trees",
                                             "vehicles_1",
                                             "vehicles_2"};

static const struct layout cifar10_layout = {
    .files = {[SPLIT_TRAIN] = (const char *const[]){"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                    "data_batch_4.bin", "data_batch_5.bin", NULL},
              [SPLIT_TEST] = (const char *const[]){"test_batch.bin", NULL}},
    .subfolder = "cifar-10-batches-bin",
    .label_bytes = 1,
    .label_offset = 0,
    .classes = 10,
    .class_names = cifar10_names,
    .names_file = "batches.meta.txt",
    .advice = "get the binary version of CIFAR-10 from https://www.cs.toronto.edu/~kriz/cifar.html and set data.path "
              "to the folder where it is unpacked",
};

#define CIFAR100_COMMON                                                                                                \
    .files = {[SPLIT_TRAIN] = (const char *const[]){"train.bin", NULL},                                                \
              [SPLIT_TEST] = (const char *const[]){"test.bin", NULL}},                                                 \
    .subfolder = "cifar-100-binary", .label_bytes = 2,                                                                 \
    .advice = "get the binary version of CIFAR-100 from https://www.cs.toronto.edu/~kriz/cifar.html and set "          \
              "data.path to the folder where it is unpacked"

static const struct layout cifar100_layouts[] = {
    [LABELS_FINE] = {CIFAR100_COMMON, .label_offset = 1, .classes = 100, .class_names = fine_names,
                     .names_file = "fine_label_names.txt"},
    [LABELS_COARSE] = {CIFAR100_COMMON, .label_offset = 0, .classes = 20, .class_names = coarse_names,
                       .names_file = "coarse_label_names.txt"},
};

/* From planes to [row][column][channel]. */
static void interleave(uint8_t *pixels, const uint8_t *planes) {
    for (int i = 0; i < PLANE; i++)
        for (int c = 0; c < CHANNELS; c++)
            pixels[i * CHANNELS + c] = planes[c * PLANE + i];
}

static size_t record_size(const struct layout *layout) {
    return (size_t)layout->label_bytes + IMAGE_BYTES;
}

/* How many records to make room for in the files `names`, of which none is read yet, after one of so many records: as
 * many in each, since the official files are all alike, but no more than the files can hold. */
static int expected_records(const struct layout *layout, const char *folder, const char *const *names, int records) {
    size_t most = 0, files = 0;
    for (; names[files]; files++)
        most += file_most(folder, names[files]) / record_size(layout);
    return smaller((int)files * records, most < INT_MAX ? (int)most : INT_MAX);
}

/* Appends the file's records to a split until that has `limit` images. `names`: the files after it. */
static bool append_records(struct dataset *dataset, int split, const struct file *file, const struct layout *layout,
                           int limit, const char *folder, const char *const *names, struct error *err) {
    size_t record_bytes = record_size(layout);
    if (file->size == 0 || file->size % record_bytes)
        return error_set(err, "%s: its size of %zu bytes is not a multiple of the record size, %zu bytes", file->path,
                         file->size, record_bytes);
    struct split *images = &dataset->splits[split];
    int records = (int)(file->size / record_bytes), start = images->count;
    int count = smaller(records, limit - start);
    int room = count < limit - start ? records + expected_records(layout, folder, names, records) : count;
    if (!image_arrays_reserve(dataset, split, start + smaller(room, limit - start), err))
        return false;
    uint8_t *pixels = image_arrays_pixels(dataset, split) + (size_t)start * IMAGE_BYTES;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < count; i++) {
        const uint8_t *record = file->bytes + (size_t)i * record_bytes;
        images->labels[start + i] = record[layout->label_offset];
        interleave(pixels + (size_t)i * IMAGE_BYTES, record + layout->label_bytes);
    }
    images->count += count;
    return dataset_check_labels(file->path, images->labels + start, count, layout->classes, err);
}

static bool load_split(struct dataset *dataset, int split, const struct layout *layout, const char *folder, int limit,
                       struct error *err) {
    const char *const *names = layout->files[split];
    for (; *names && dataset->splits[split].count < limit; names++) {
        struct file file;
        if (!file_read(&file, folder, *names, FILE_MAX_BYTES, layout->advice, err))
            return false;
        bool ok = append_records(dataset, split, &file, layout, limit, folder, names + 1, err);
        file_free(&file);
        if (!ok)
            return false;
    }
    return true;
}

static bool load(struct dataset *dataset, const struct layout *layout, const struct cifar_config *config, int split,
                 struct error *err) {
    const char *first = layout->files[SPLIT_TRAIN][0];
    struct text subfolder = {0};
    text_printf(&subfolder, "%s/%s", config->path, layout->subfolder);
    bool unpacked = !file_exists(config->path, first) && file_exists(subfolder.data, first);
    const char *folder = unpacked ? subfolder.data : config->path;
    bool ok = class_names_read(dataset, folder, layout->names_file, err) &&
              load_split(dataset, split, layout, folder, data_config_limit(&config->common, split), err);
    text_free(&subfolder);
    return ok;
}

static bool describe(struct dataset *dataset, const struct layout *layout) {
    dataset->height = dataset->width = SIDE;
    dataset->channels = CHANNELS;
    dataset->classes = layout->classes;
    dataset->class_names = layout->class_names;
    return true;
}

static bool cifar10_describe(struct dataset *dataset, const void *config, struct error *err) {
    (void)config, (void)err;
    return describe(dataset, &cifar10_layout);
}

static bool cifar10_load(struct dataset *dataset, const void *config, int split, uint64_t seed, struct error *err) {
    (void)seed;
    return load(dataset, &cifar10_layout, config, split, err);
}

static const struct layout *cifar100_layout(const struct cifar100_config *config) {
    return &cifar100_layouts[config->labels];
}

static bool cifar100_describe(struct dataset *dataset, const void *config, struct error *err) {
    (void)err;
    return describe(dataset, cifar100_layout(config));
}

static bool cifar100_load(struct dataset *dataset, const void *config, int split, uint64_t seed, struct error *err) {
    (void)seed;
    const struct cifar100_config *settings = config;
    return load(dataset, cifar100_layout(settings), &settings->cifar, split, err);
}

static const struct param cifar10_params[] = {
    INCLUDED_KEYS(struct cifar_config, common, data_config_params),
    PATH_KEY(struct cifar_config, path, "path", "data/cifar10",
             "folder of data_batch_1.bin to data_batch_5.bin and test_batch.bin (or .bin.gz)"),
    END_OF_KEYS,
};

static const char *const label_names[] = {[LABELS_FINE] = "fine", [LABELS_COARSE] = "coarse", NULL};

static const struct param cifar100_params[] = {
    INCLUDED_KEYS(struct cifar100_config, cifar.common, data_config_params),
    PATH_KEY(struct cifar100_config, cifar.path, "path", "data/cifar100",
             "folder of train.bin and test.bin (or .bin.gz)"),
    ENUM_KEY(struct cifar100_config, labels, "labels", "fine", label_names,
             "which labels to learn: 100 fine or 20 coarse classes"),
    END_OF_KEYS,
};

extern const struct dataset_type dataset_cifar10, dataset_cifar100;

const struct dataset_type dataset_cifar10 = {
    .kind = {.name = "cifar10",
             .help = "CIFAR-10: 32x32 colour images of 10 classes, 50000 to train and 10000 to test",
             .params = cifar10_params,
             .config_size = sizeof(struct cifar_config)},
    .describe = cifar10_describe,
    .load = cifar10_load,
    .fetch = image_arrays_fetch,
    .release = image_arrays_release,
};

const struct dataset_type dataset_cifar100 = {
    .kind = {.name = "cifar100",
             .help =
                 "CIFAR-100: 32x32 colour images of 100 fine or 20 coarse classes, 50000 to train and 10000 to test",
             .params = cifar100_params,
             .config_size = sizeof(struct cifar100_config)},
    .describe = cifar100_describe,
    .load = cifar100_load,
    .fetch = image_arrays_fetch,
    .release = image_arrays_release,
};
