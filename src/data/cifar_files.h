/* The official binary files of CIFAR-10 and CIFAR-100: records of one label byte (CIFAR-10) or two (CIFAR-100: coarse,
 * fine) and 3072 pixel bytes, the red, green and blue planes of 32x32, row by row. A file may hold any number of
 * records. They are read from a folder or from the tar archive that they come in, gzipped or not. */
#ifndef SPHERENET_DATA_CIFAR_FILES_H
#define SPHERENET_DATA_CIFAR_FILES_H

#include "data/dataset.h"

enum { CIFAR_SIDE = 32, CIFAR_CHANNELS = 3, CIFAR_FILES_MAX = 5 /* of a split */ };

struct cifar_layout {
    const char *const *files[SPLIT_COUNT]; /* in order, NULL-terminated */
    const char *subfolder;                 /* that the official archive unpacks to */
    const char *archive;                   /* the official one, with or without .gz */
    int label_bytes, label_offset;         /* labels at the start of a record; which of them to use */
    int classes;
    const char *const *class_names; /* [classes], where there is no file of them: */
    const char *names_file;
    const char *advice;
};

/* Fills an empty split with the first images, at most `limit`, of the files in `path` or its subfolder, or of the
 * archive that `path` is or has in it. Takes the names of the classes from their file where there is one. */
bool cifar_load(struct dataset *dataset, int split, const struct cifar_layout *layout, const char *path, int limit,
                struct error *err);

#endif
