/* Image datasets: labels, and what fetches the pixels of an image by its number; a train and a test split, and a
 * validation split where the dataset has one or data.validation sets one aside.
 *
 * To add one: a file with a `struct dataset_type`, and its name in the two lists of dataset.c. */
#ifndef SPHERENET_DATA_DATASET_H
#define SPHERENET_DATA_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "data/augment.h"
#include "spec/param.h"

enum { SPLIT_TRAIN, SPLIT_TEST, SPLIT_VALIDATION, SPLIT_COUNT };
extern const char *const split_names[]; /* "train", "test", "validation", NULL */

enum { CHANNELS_MAX = REAL_LIST_MAX };

struct split {
    int count;       /* of images */
    int32_t *labels; /* [count], each in [0, classes) */
    int *stored;     /* [count], ascending: the image's number in the type's own train split; NULL: in its own split */
};

struct dataset {
    int height, width, channels, classes;
    const struct dataset_type *type;
    bool stores_validation; /* set by describe: `load` and `fetch` take SPLIT_VALIDATION; else it may be set aside */
    struct split splits[SPLIT_COUNT];
    void *images; /* the type's own: where it takes pixels from */
    /* [classes]; NULL: "class 0", "class 1", ... Set by describe; load may know better. */
    const char *const *class_names;
    uint64_t checksum;   /* of the training images: data/contents.h; 0: not measured */
    size_t cache_bytes;  /* that fetching may keep of images beside what `load` has taken; set by describe */
    const char *remark;  /* what people should know of the data's files; NULL: nothing */
    struct arena memory; /* of what is freed with the dataset, such as names that were read */
};

/* First member of every dataset's configuration: keys that all datasets share. */
struct data_config {
    int train_limit, test_limit; /* images; 0: all */
    double validation;           /* of the training images: a share below 1, or their number; 0: none is set aside */
    struct augment_config augment;
    struct real_list pixel_mean,
        pixel_scale;    /* network input = (pixel - mean) / scale: one for all channels, or each */
    bool standardize;   /* the two are measured when a run begins: data/standardize.h */
    int loader_threads; /* that prepare batches; no result depends on it */
};
#define PIXEL_SCALE_MIN 1e-3
extern const struct param data_config_params[];

struct dataset_type {
    struct kind kind;
    /* Puts what files tell into the configuration where it says nothing, so that a stored spec needs no files to be
     * described; NULL: it says all. */
    bool (*resolve)(void *config, struct error *err);
    /* Sets height, width, channels, classes as the resolved configuration has them. */
    bool (*describe)(struct dataset *dataset, const void *config, struct error *err);
    /* Fills the labels of a split, at most data_config's limit of them (the first images in the dataset's own order),
     * and prepares `images`. What it leaves on failure is freed by its caller. */
    bool (*load)(struct dataset *dataset, const void *config, int split, uint64_t seed, struct error *err);
    /* Writes the pixels of an image of a loaded dataset, [height][width][channels]. Where an image is cut from a larger
     * picture, the context says which cut a training takes; NULL: the one that tests see. May be called by several
     * threads at once. */
    bool (*fetch)(const struct dataset *dataset, int split, int index, const struct augment_context *context,
                  uint8_t *pixels, struct error *err);
    /* A number that tells what the image is without a look at its pixels: from its file's name and size, say. NULL: the
     * pixels tell it. May be called by several threads at once. */
    bool (*identify)(const struct dataset *dataset, int split, int index, uint64_t *number, struct error *err);
    /* As `fetch` without context, but where the image's own file is bad it fails. Tells the size of the picture in the
     * file. NULL: images are all of the dataset's size, and `fetch` fetches none for another. */
    bool (*examine)(const struct dataset *dataset, int split, int index, int *height, int *width, uint8_t *pixels,
                    struct error *err);
    /* Adds a line for each image whose file was found to be bad, and whose place another one took, since the last call.
     * NULL: there are none. May be called while other threads fetch. */
    void (*tell_bad)(const struct dataset *dataset, struct text *lines);
    /* Bytes of images that are in memory now. NULL: all images of the splits are. */
    size_t (*held)(const struct dataset *dataset);
    /* Frees `images`, which may be NULL. */
    void (*release)(struct dataset *dataset);
};

extern const struct registry dataset_registry;

/* What is known of `data` (a row of dataset_registry) before it is loaded: shape and number of classes. Resolves its
 * configuration. Pass to dataset_free; on failure the dataset is left empty. */
bool dataset_describe(struct dataset *dataset, struct choice data, struct error *err);

/* Makes all splits ready to be fetched from. On success each holds at least one image, but for a validation split that
 * is neither stored nor set aside, and every label is below `classes`; pass to dataset_free. On failure the dataset is
 * left empty. The seed draws the synthetic dataset, and which images are set aside (data/validation.h).
 */
bool dataset_load(struct dataset *dataset, struct choice data, uint64_t seed, struct error *err);

/* The same with one split, which must hold an image; others are loaded only where it is taken from them. */
bool dataset_load_split(struct dataset *dataset, struct choice data, uint64_t seed, int split, struct error *err);
void dataset_free(struct dataset *dataset); /* leaves it empty; an empty dataset is allowed */

/* height * width * channels: the bytes of one image's pixels. */
size_t dataset_image_bytes(const struct dataset *dataset);

/* Bytes of images that are in memory now. */
size_t dataset_held_bytes(const struct dataset *dataset);

enum { CLASS_NAME_BYTES = 32 };

/* What people call a class. buffer: CLASS_NAME_BYTES, for a name that is made. */
const char *dataset_class_name(const struct dataset *dataset, int class, char *buffer);

/* Where the type has an image: the number in one of its own splits. */
struct stored_image {
    int split, index;
};

static inline struct stored_image dataset_stored(const struct dataset *dataset, int split, int index) {
    const int *stored = dataset->splits[split].stored;
    return stored ? (struct stored_image){SPLIT_TRAIN, stored[index]} : (struct stored_image){split, index};
}

/* The pixels of image `index` of a split, dataset_image_bytes of them; context as for the type's `fetch`. Threads may
 * fetch at the same time. */
static inline bool dataset_fetch(const struct dataset *dataset, int split, int index,
                                 const struct augment_context *context, uint8_t *pixels, struct error *err) {
    struct stored_image image = dataset_stored(dataset, split, index);
    return dataset->type->fetch(dataset, image.split, image.index, context, pixels, err);
}

/* As the type's `examine`. */
bool dataset_examine(const struct dataset *dataset, int split, int index, int *height, int *width, uint8_t *pixels,
                     struct error *err);

/* Adds a line for each bad image that another one was fetched for since the last call. */
static inline void dataset_tell_bad(const struct dataset *dataset, struct text *lines) {
    if (dataset->type->tell_bad)
        dataset->type->tell_bad(dataset, lines);
}

/* For the files that read datasets: */

/* Checks labels[0..count) of the file `path`; the error names the first bad record, counted from 0. */
bool dataset_check_labels(const char *path, const int32_t *labels, int count, int classes, struct error *err);

/* The most images to load of a split; INT_MAX where the configuration sets no limit, as for validation. */
int data_config_limit(const struct data_config *config, int split);

#endif
