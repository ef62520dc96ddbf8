/* CIFAR-10 and CIFAR-100: what their files are called, and their classes. */
#include <stddef.h>

#include "data/cifar_files.h"
#include "data/image_arrays.h"

enum { LABELS_FINE, LABELS_COARSE };

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

static const struct cifar_layout cifar10_layout = {
    .files = {[SPLIT_TRAIN] = (const char *const[]){"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                    "data_batch_4.bin", "data_batch_5.bin", NULL},
              [SPLIT_TEST] = (const char *const[]){"test_batch.bin", NULL}},
    .subfolder = "cifar-10-batches-bin",
    .archive = "cifar-10-binary.tar",
    .label_bytes = 1,
    .label_offset = 0,
    .classes = 10,
    .class_names = cifar10_names,
    .names_file = "batches.meta.txt",
    .advice = "get the binary version of CIFAR-10 from https://www.cs.toronto.edu/~kriz/cifar.html (tools/get_data "
              "cifar10, installed as spherenet-get-data, does) and set data.path to the archive or the folder where it "
              "is unpacked",
};

#define CIFAR100_COMMON                                                                                                \
    .files = {[SPLIT_TRAIN] = (const char *const[]){"train.bin", NULL},                                                \
              [SPLIT_TEST] = (const char *const[]){"test.bin", NULL}},                                                 \
    .subfolder = "cifar-100-binary", .archive = "cifar-100-binary.tar", .label_bytes = 2,                              \
    .advice = "get the binary version of CIFAR-100 from https://www.cs.toronto.edu/~kriz/cifar.html (tools/get_data "  \
              "cifar100, installed as spherenet-get-data, does) and set data.path to the archive or the folder where " \
              "it is unpacked"

static const struct cifar_layout cifar100_layouts[] = {
    [LABELS_FINE] = {CIFAR100_COMMON, .label_offset = 1, .classes = 100, .class_names = fine_names,
                     .names_file = "fine_label_names.txt"},
    [LABELS_COARSE] = {CIFAR100_COMMON, .label_offset = 0, .classes = 20, .class_names = coarse_names,
                       .names_file = "coarse_label_names.txt"},
};

static bool describe(struct dataset *dataset, const struct cifar_layout *layout) {
    dataset->height = dataset->width = CIFAR_SIDE;
    dataset->channels = CIFAR_CHANNELS;
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
    const struct cifar_config *settings = config;
    return cifar_load(dataset, split, &cifar10_layout, settings->path, data_config_limit(&settings->common, split),
                      err);
}

static const struct cifar_layout *cifar100_layout(const struct cifar100_config *config) {
    return &cifar100_layouts[config->labels];
}

static bool cifar100_describe(struct dataset *dataset, const void *config, struct error *err) {
    (void)err;
    return describe(dataset, cifar100_layout(config));
}

static bool cifar100_load(struct dataset *dataset, const void *config, int split, uint64_t seed, struct error *err) {
    (void)seed;
    const struct cifar100_config *settings = config;
    return cifar_load(dataset, split, cifar100_layout(settings), settings->cifar.path,
                      data_config_limit(&settings->cifar.common, split), err);
}

static const struct param cifar10_params[] = {
    INCLUDED_KEYS(struct cifar_config, common, data_config_params),
    PATH_KEY(struct cifar_config, path, "path", "data/cifar10",
             "folder of data_batch_1.bin to data_batch_5.bin and test_batch.bin (or .bin.gz), or "
             "cifar-10-binary.tar.gz or its "
             "folder"),
    END_OF_KEYS,
};

static const char *const label_names[] = {[LABELS_FINE] = "fine", [LABELS_COARSE] = "coarse", NULL};

static const struct param cifar100_params[] = {
    INCLUDED_KEYS(struct cifar100_config, cifar.common, data_config_params),
    PATH_KEY(struct cifar100_config, cifar.path, "path", "data/cifar100",
             "folder of train.bin and test.bin (or .bin.gz), or cifar-100-binary.tar.gz or its folder"),
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
