/* The picture files of a dataset: names, labels and splits, found without opening one of them.
 *
 * A file takes a struct image_file and its name with the NUL; a folder a struct image_folder and its path. */
#ifndef SPHERENET_DATA_IMAGE_INDEX_H
#define SPHERENET_DATA_IMAGE_INDEX_H

#include <stdint.h>
#include <sys/stat.h>

#include "data/dataset.h"

/* The split of files that are still to be divided. */
enum { INDEX_ANY = -1 };

struct image_file {
    size_t name;    /* where its name begins in `names` */
    int32_t folder; /* that it lies in */
    int32_t label;
    int32_t split; /* SPLIT_TRAIN, SPLIT_TEST, SPLIT_VALIDATION, INDEX_ANY */
};

struct image_folder {
    size_t path;      /* where its path, that counts from the root, begins in `names`; "": the root */
    int first, count; /* its files */
    struct folder_state {
        int64_t device, inode, bytes, modified[2], changed[2]; /* the times in seconds, and nanoseconds beyond */
    } state;                                                   /* when it was read */
};

struct image_index {
    char *root; /* that paths count from */
    char *names;
    size_t name_bytes, name_capacity;
    struct image_file *files;
    int count, capacity;
    struct image_folder *folders;
    int folder_count, folder_capacity;
    int foreign;          /* files that are no pictures */
    size_t first_foreign; /* path of the first of them, in `names` */
};

/* Where the classes of each split are. */
struct image_layout {
    const char *splits[SPLIT_COUNT]; /* folders of classes, that count from the root; NULL: there is none */
    bool has_validation;             /* there are files of that split, or a folder for them */
    bool divided;                    /* false: the train folder holds the files of all splits */
    const char *const *classes;      /* [class_count], in the order of their bytes, as the file system has them */
    int class_count;
};

/* Looks at the folders in `root` alone: train/, test/, and validation/ or val/, each a folder of classes; without
 * test/, the other one is the test split. A folder without train/ and one of the others is itself a folder of classes,
 * whose files are still to be divided. All is allocated from the arena. */
bool image_layout_find(struct image_layout *layout, struct arena *arena, const char *root, struct error *err);

/* Finds all files of a layout: those at any depth below a class's folder, in the order of splits, classes, folders and
 * names, each by its bytes. Links are followed, but a folder is entered once for a class. Names that begin with "." are
 * left out; what has not the name of a picture is counted. The error names a folder that cannot be read, a training
 * class without pictures, and classes that a split lacks or has alone. Free with image_index_free in any case. */
bool image_index_scan(struct image_index *index, const char *root, const struct image_layout *layout,
                      struct error *err);

/* Reads the file `list` of lines "PATH<tab>LABEL" or, all of them, "PATH<tab>LABEL<tab>SPLIT"; paths count from its
 * folder. Classes are the labels in the order of their bytes; they are allocated from the arena. Free with
 * image_index_free in any case. */
bool image_index_read_list(struct image_index *index, struct image_layout *layout, struct arena *arena,
                           const char *list, struct error *err);

/* Gives each file a split: of each class the share, at least one file of two, drawn from the seed, is for tests. */
void image_index_divide(struct image_index *index, int classes, double test_share, uint64_t seed);

void image_index_free(struct image_index *index);

/* What tells whether a folder has changed. */
struct folder_state folder_state_of(const struct stat *status);

/* Adds the file's path: as the system takes it, and as people may see it, on one line without control characters. */
void image_index_path(struct text *path, const struct image_index *index, int file);
void image_index_shown(struct text *path, const struct image_index *index, int file);

/* Whether the name ends as that of a picture that can be read. */
bool is_picture_name(const char *name);

/* Adding to an index; false: there is not enough memory. */
bool image_index_add_name(struct image_index *index, const char *name, size_t length, size_t *at);
bool image_index_add_file(struct image_index *index, struct image_file file);
bool image_index_add_folder(struct image_index *index, const char *path);

#endif
