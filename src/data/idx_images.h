/* From records of IDX files to images and labels. */
#ifndef SPHERENET_DATA_IDX_IMAGES_H
#define SPHERENET_DATA_IDX_IMAGES_H

#include "data/idx_file.h"
#include "data/idx_folder.h"
#include "data/image_arrays.h"

/* How the values of a record lie, and what they mean. */
struct idx_layout {
    int height, width, channels; /* 0: as the header has them */
    bool transposed;             /* columns come first, as in EMNIST */
    bool channels_first;         /* otherwise they come last, as in memory */
    double black, white; /* the values that become pixels 0 and 255; both 0: 0 and 255 of integers, 1 of floats */
};

/* Completes a layout by a file of images: 2 dimensions (rows of pixels, square where the layout does not say), 3
 * (height and width) or 4 (and channels). Fails where the two disagree, and where images are too large. */
bool idx_complete(struct idx_layout *layout, const struct idx_file *idx, struct error *err);

/* Labels, in one dimension or in a column of two. */
struct idx_labels {
    int column;
    int32_t *labels; /* [count], to be freed */
    int count;
};

/* All labels of a file. */
bool idx_read_labels(struct idx_labels *labels, struct idx_file *idx, struct error *err);

struct idx_request {
    struct idx_layout layout;
    int limit; /* images to take at most */
    int first_label, label_column;
    const char *advice, *classes_hint; /* ends of messages: where files are missing, where labels are no classes */
};

/* Fills an empty split of a dataset whose shape and number of classes are known. Values other than those from black to
 * white are refused, and labels other than `classes` from first_label on. Memory is taken for images that were read,
 * not for those that a header tells of. */
bool idx_load_split(struct dataset *dataset, int split, const struct idx_folder *folder,
                    const struct idx_request *request, struct error *err);

#endif
