/* The tensors that a network and its optimizer have, and where in a file each of them is found. */
#ifndef SPHERENET_RUN_STORED_TENSORS_H
#define SPHERENET_RUN_STORED_TENSORS_H

#include "storage/safetensors.h"
#include "train/trainer.h"

/* Where a stored tensor lies in memory: its values, or what the optimizer has for them. */
struct place {
    const struct tensor *tensor;
    real *memory;
};

/* All tensors that a checkpoint has, in its order. */
struct listing {
    int count;
    struct tensor_info *infos;
    struct place *places;
};

/* The network's own tensors under their names and, of a trainer that is not NULL, the optimizer's state as
 * "optimizer.SLOT.NAME". */
struct listing list_tensors(struct arena *arena, const struct model *model, const struct trainer *trainer);

/* NULL: it has none of that name. */
struct place *listing_find(const struct listing *list, const char *name);

/* An open file, and what the network calls its tensors. */
struct stored_tensors {
    struct safetensors *file;
    const char *path;
    const char **names; /* [file->tensor_count] */
};

/* With the file's own names. */
struct stored_tensors stored_tensors_of(struct arena *arena, struct safetensors *file, const char *path);

/* By the network's name; -1 when absent. */
int stored_find(const struct stored_tensors *stored, const char *name);

/* "[5, 3, 3, 3]" */
const char *shape_text(struct arena *arena, const struct tensor_info *tensor);

/* What keeps the file's tensor from taking the place of number `index` in the list, were it that there is none; NULL:
 * nothing. A shape [] is as good as [1]. A counter may be of any number type, what else there is of reals only. */
const char *stored_difference(struct arena *arena, const struct stored_tensors *stored, const struct listing *list,
                              int index);

/* Whether the tensor is one of the layer that is drawn; layer NULL: none is. */
bool is_drawn(const char *tensor, const char *layer);

/* Reads the file's tensors straight to their places, in the file's order, but those of the layer that is drawn. */
bool stored_read(const struct stored_tensors *stored, const struct listing *list, const char *drawn, struct error *err);

#endif
