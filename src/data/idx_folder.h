/* The four files of an IDX dataset, under the names that they have where people got them:
 *
 *   [PREFIX](train|t10k|test)-(images|labels)(-|.)idx...    with or without .gz
 *
 * such as train-images-idx3-ubyte, t10k-labels.idx1-ubyte, emnist-balanced-test-images-idx3-ubyte.gz,
 * qmnist-train-labels-idx2-int; in the folder, or below it where torchvision puts them; each maybe in a folder of its
 * own, of the same name. */
#ifndef SPHERENET_DATA_IDX_FOLDER_H
#define SPHERENET_DATA_IDX_FOLDER_H

#include "data/dataset.h"

enum { IDX_IMAGES, IDX_LABELS, IDX_KINDS };
enum { IDX_SPLITS = SPLIT_TEST + 1 }; /* that have files: train and test */

struct idx_folder {
    struct arena memory; /* of all below */
    const char *path;    /* where the files are */
    const char *prefix;
    const char *names[IDX_SPLITS][IDX_KINDS]; /* without .gz; those of MNIST where there is no such file */
};

/* prefix: what the names begin with, NULL: nothing if there are such files, otherwise the one prefix that there is; the
 * error lists several. below: folders below `path` to look at where the folder itself has none of the files,
 * NULL-terminated. Pass to idx_folder_free; on failure nothing is left. */
bool idx_folder_find(struct idx_folder *folder, const char *path, const char *prefix, const char *const *below,
                     struct error *err);
/* Whether both files of the split are there. */
bool idx_folder_has(const struct idx_folder *folder, int split);
void idx_folder_free(struct idx_folder *folder);

#endif
