/* CIFAR-10 and CIFAR-100 in their official binary format: records of one label byte (CIFAR-10) or two (CIFAR-100:
 * coarse, fine) and 3072 pixel bytes, the red, green and blue planes of 32x32, row by row. A file may hold any number
 * of records. */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/number.h"
#include "base/text.h"
#include "data/class_names.h"
#include "data/image_arrays.h"
#include "data/not_data.h"
#include "storage/gz_file.h"
#include "storage/gzip_reader.h"
#include "storage/tar_reader.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3, IMAGE_BYTES = CHANNELS * PLANE };
enum { FILE_MAX_BYTES = 512 << 20 }; /* the largest official file has 154 MB */
enum { FILES_MAX = 5 };              /* of a split */
enum { LABELS_FINE, LABELS_COARSE };

struct layout {
    const char *const *files[SPLIT_COUNT]; /* in order, NULL-terminated */
    const char *subfolder;                 /* that the official archive unpacks to */
    const char *archive;                   /* the official one, with or without .gz */
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
    .archive = "cifar-10-binary.tar",
    .label_bytes = 1,
    .label_offset = 0,
    .classes = 10,
    .class_names = cifar10_names,
    .names_file = "batches.meta.txt",
    .advice = "get the binary version of CIFAR-10 from https://www.cs.toronto.edu/~kriz/cifar.html (tools/get_data "
              "cifar10 does) and set data.path to the archive or the folder where it is unpacked",
};

#define CIFAR100_COMMON                                                                                                \
    .files = {[SPLIT_TRAIN] = (const char *const[]){"train.bin", NULL},                                                \
              [SPLIT_TEST] = (const char *const[]){"test.bin", NULL}},                                                 \
    .subfolder = "cifar-100-binary", .archive = "cifar-100-binary.tar", .label_bytes = 2,                              \
    .advice = "get the binary version of CIFAR-100 from https://www.cs.toronto.edu/~kriz/cifar.html (tools/get_data "  \
              "cifar100 does) and set data.path to the archive or the folder where it is unpacked"

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

/* Of a file that has been found wrong: says what it is where that can be told. */
static bool explain(const struct file *file, struct error *err) {
    const char *what = not_data_kind(file->bytes, size_smaller(file->size, NOT_DATA_BYTES));
    return what ? error_set(err, "%s: %s", file->path, what) : false;
}

static bool check_size(const struct file *file, size_t record_bytes, struct error *err) {
    return (file->size > 0 && file->size % record_bytes == 0) ||
           error_set(err,
                     "%s: its size of %zu bytes is not a multiple of the record size, %zu bytes; it is cut short, or "
                     "another file",
                     file->path, file->size, record_bytes);
}

/* Appends the file's records to a split until that has `limit` images. `expected`: records in the files after it. */
static bool append_records(struct dataset *dataset, int split, const struct file *file, const struct layout *layout,
                           int limit, int expected, struct error *err) {
    size_t record_bytes = record_size(layout);
    if (!check_size(file, record_bytes, err))
        return explain(file, err);
    struct split *images = &dataset->splits[split];
    int records = (int)(file->size / record_bytes), start = images->count;
    int count = smaller(records, limit - start);
    int room = count < limit - start ? records + expected : count;
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
    return dataset_check_labels(file->path, images->labels + start, count, layout->classes, err) || explain(file, err);
}

/* --- A folder ---------------------------------------------------------------------------------------------------- */

static bool load_file(struct dataset *dataset, int split, const struct layout *layout, const char *folder, int limit,
                      const char *const *names, const char *advice, struct error *err) {
    struct file file;
    if (!file_read(&file, folder, *names, FILE_MAX_BYTES, advice, err))
        return false;
    int expected = expected_records(layout, folder, names + 1, (int)(file.size / record_size(layout)));
    bool good = append_records(dataset, split, &file, layout, limit, expected, err);
    file_free(&file);
    return good;
}

static bool load_folder(struct dataset *dataset, int split, const struct layout *layout, const char *folder, int limit,
                        struct error *err) {
    struct text advice = {0};
    bool good = class_names_read(dataset, folder, layout->names_file, err);
    text_printf(&advice, "%s", layout->advice);
    not_data_remark(&advice, folder);
    for (const char *const *names = layout->files[split]; good && *names && dataset->splits[split].count < limit;
         names++)
        good = load_file(dataset, split, layout, folder, limit, names, advice.data, err);
    text_free(&advice);
    return good;
}

/* --- An archive -------------------------------------------------------------------------------------------------- */

/* Members come in any order, and are appended in that of the dataset as soon as those before them were. */
struct archive {
    struct tar_reader tar;
    struct file members[FILES_MAX]; /* of the split: those that wait */
    int next;                       /* the first that has not been appended */
    bool for_python;                /* there are members of that version */
};

static void free_members(struct archive *archive) {
    for (int i = 0; i < FILES_MAX; i++)
        file_free(&archive->members[i]);
}

/* Bytes of the members that wait. */
static size_t waiting_bytes(const struct archive *archive) {
    size_t bytes = 0;
    for (int i = 0; i < FILES_MAX; i++)
        bytes += archive->members[i].size;
    return bytes;
}

static bool read_member(struct archive *archive, struct file *file, struct error *err) {
    struct text path = {0};
    text_printf(&path, "%s: %s", archive->tar.path, archive->tar.name);
    file->path = path.data;
    if (archive->tar.size > FILE_MAX_BYTES - waiting_bytes(archive))
        return error_set(err, "%s: with those before it holds more than %d bytes, the most that are read", file->path,
                         FILE_MAX_BYTES);
    file->size = (size_t)archive->tar.size;
    file->bytes = tar_read(&archive->tar, err);
    return file->bytes;
}

static int find_member(const char *const *names, const char *name) {
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

/* A file's records for each of those after it, but no more than the archive can hold. */
static int expected_in_archive(const struct archive *archive, const struct layout *layout, int split, size_t size) {
    int after = 0;
    while (layout->files[split][archive->next + 1 + after])
        after++;
    size_t wanted = (size_t)after * (size / record_size(layout));
    return (int)size_smaller(size_smaller(wanted, gzip_reader_most(archive->tar.bytes) / record_size(layout)),
                             INT_MAX / 2);
}

static bool append_waiting(struct dataset *dataset, int split, struct archive *archive, const struct layout *layout,
                           int limit, struct error *err) {
    bool good = true;
    for (; good && archive->next < FILES_MAX && archive->members[archive->next].bytes; archive->next++) {
        struct file *file = &archive->members[archive->next];
        int expected = expected_in_archive(archive, layout, split, file->size);
        good =
            dataset->splits[split].count >= limit || append_records(dataset, split, file, layout, limit, expected, err);
        file_free(file);
    }
    return good;
}

static bool take_names(struct dataset *dataset, struct archive *archive, struct error *err) {
    struct file file = {0};
    bool good = read_member(archive, &file, err) && class_names_take(dataset, file.path, file.bytes, file.size, err);
    file_free(&file);
    return good;
}

static bool take_member(struct dataset *dataset, int split, struct archive *archive, const struct layout *layout,
                        int limit, struct error *err) {
    const char *name = archive->tar.name;
    int index = find_member(layout->files[split], name);
    archive->for_python = archive->for_python || !strcmp(name, "data_batch_1") || !strcmp(name, "train");
    if (!strcmp(name, layout->names_file))
        return take_names(dataset, archive, err);
    if (index < archive->next || archive->members[index].bytes || dataset->splits[split].count >= limit)
        return true;
    return read_member(archive, &archive->members[index], err) &&
           append_waiting(dataset, split, archive, layout, limit, err);
}

static bool check_members(const struct dataset *dataset, int split, const struct archive *archive,
                          const struct layout *layout, int limit, struct error *err) {
    const char *missing = layout->files[split][archive->next];
    if (!missing || dataset->splits[split].count >= limit)
        return true;
    return error_set(err, "%s: has no %s%s; %s", archive->tar.path, missing,
                     archive->for_python ? ", since it is the version for Python" : "", layout->advice);
}

static bool load_archive(struct dataset *dataset, int split, const struct layout *layout, const char *path, int limit,
                         struct error *err) {
    struct archive archive = {.next = 0};
    bool found = true;
    if (!tar_open(&archive.tar, path, err))
        return false;
    bool good = true;
    while (good && found) {
        good = tar_next(&archive.tar, &found, err);
        if (good && found)
            good = take_member(dataset, split, &archive, layout, limit, err);
    }
    if (!archive.tar.begun)
        not_data_explain_path(path, err);
    good = good && check_members(dataset, split, &archive, layout, limit, err);
    free_members(&archive);
    tar_close(&archive.tar);
    return good;
}

/* --- Either ------------------------------------------------------------------------------------------------------ */

static bool is_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static const char *join(struct arena *arena, const char *folder, const char *name, const char *end) {
    return arena_printf(arena, "%s/%s%s", folder, name, end);
}

/* Where the data are: the files in the path or its subfolder, or the archive that it is or that is in it. *archive: it
 * is one. */
static const char *locate(struct arena *arena, bool *archive, const struct layout *layout, const char *path) {
    const char *first = layout->files[SPLIT_TRAIN][0], *subfolder = join(arena, path, layout->subfolder, "");
    const char *archives[] = {join(arena, path, layout->archive, ".gz"), join(arena, path, layout->archive, "")};
    *archive = is_file(path);
    if (*archive || file_exists(path, first))
        return path;
    if (file_exists(subfolder, first))
        return subfolder;
    for (int i = 0; i < 2 && !*archive; i++) {
        *archive = is_file(archives[i]);
        path = *archive ? archives[i] : path;
    }
    return path;
}

static bool load(struct dataset *dataset, const struct layout *layout, const struct cifar_config *config, int split,
                 struct error *err) {
    struct arena arena = {0};
    bool archive;
    int limit = data_config_limit(&config->common, split);
    const char *place = locate(&arena, &archive, layout, config->path);
    bool good = archive ? load_archive(dataset, split, layout, place, limit, err)
                        : load_folder(dataset, split, layout, place, limit, err);
    arena_free(&arena);
    return good;
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
    TEXT_KEY(struct cifar_config, path, "path", "data/cifar10",
             "folder of data_batch_1.bin to data_batch_5.bin and test_batch.bin (or .bin.gz), or "
             "cifar-10-binary.tar.gz or its "
             "folder"),
    END_OF_KEYS,
};

static const char *const label_names[] = {[LABELS_FINE] = "fine", [LABELS_COARSE] = "coarse", NULL};

static const struct param cifar100_params[] = {
    INCLUDED_KEYS(struct cifar100_config, cifar.common, data_config_params),
    TEXT_KEY(struct cifar100_config, cifar.path, "path", "data/cifar100",
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
