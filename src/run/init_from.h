/* Weights to start a new run from: those of another run, or of another program. */
#ifndef SPHERENET_RUN_INIT_FROM_H
#define SPHERENET_RUN_INIT_FROM_H

#include "storage/safetensors.h"
#include "train/trainer.h"

struct init_request {
    const struct text_map *names; /* as train.init_map */
    const char *drawn;            /* a layer whose tensors stay as they were drawn; NULL: none */
};

/* What a user should know of a start that was good. */
struct init_notes {
    struct text unused; /* one line where the file has weights that the network does not; else empty */
    struct text lines;  /* on what was left in the file, and what was missing */
};

void init_notes_free(struct init_notes *notes);

/* Takes the network's weights from the file's tensors, matched by name and shape. What the network does not want is
 * left in the file; what it wants must be there, but for the counters of running averages. The error lists the
 * differences, and counts what it has no room for, or tells the train.init_map that was forgotten; then nothing is
 * changed. */
bool init_from_file(struct safetensors *file, const char *path, const struct init_request *request, struct model *model,
                    struct init_notes *notes, struct error *err);

#endif
