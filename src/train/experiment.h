/* A whole spec: what to train, on what, and how. */
#ifndef SPHERENET_TRAIN_EXPERIMENT_H
#define SPHERENET_TRAIN_EXPERIMENT_H

#include "data/dataset.h"
#include "family/family.h"
#include "loss/loss.h"
#include "optim/penalty.h"
#include "train/openblas_core.h"

enum init_classifier { INIT_COPY, INIT_DRAW };
enum on_divergence { DIVERGENCE_STOP, DIVERGENCE_SKIP };

struct train_config {
    int iterations, batch_size;
    int eval_every, checkpoint_every, log_every; /* iterations; 0: at the end only */
    int patience;                                /* tests without a better one that end the run; 0: no limit */
    int gradient_sums;                           /* that a weight gradient is gathered in; 0: 4 or 8 */
    int batch_norm_images;                       /* that are averaged anew before a test; 0: none are */
    int keep;                                    /* checkpoints; 0: all */
    int on_divergence;                           /* enum on_divergence */
    int threads;                                 /* 0: as many as the process may use */
    const char *openblas_core; /* a wish as in machine/openblas.h; known, but this machine may refuse it */
    const char *init_from;     /* a run or checkpoint; "": none */
    int init_classifier;       /* enum init_classifier */
    struct text_map init_map;  /* names of its tensors, or beginnings of names up to a ".", to those of the network */
};

struct experiment {
    struct arena arena;
    /* The spec. */
    const char *name;
    int seed;
    struct choice data, network, loss, optimizer, schedule;
    struct penalty_config regularizer;
    struct train_config train;
    /* What follows from it. */
    int threads;               /* that compute; decided once, when the spec is read */
    const struct group *group; /* of processes that share the run; NULL: one */
    struct share share;        /* of each batch that is this process's */
    struct dataset shape;      /* of the data; no images */
    struct choice_list layers; /* the network, written out */
};
extern const struct param experiment_params[];

/* Reads a spec file, with `overrides` ("KEY=VALUE") put over it, and checks it whole: keys, values, the shapes of the
 * network. False with all mistakes in diags. Free with experiment_free in either case. */
bool experiment_read(struct experiment *experiment, const char *path, const char *const *overrides, int override_count,
                     struct diagnostics *diags);

/* The same from text. */
bool experiment_parse(struct experiment *experiment, const char *source, const char *text, const char *const *overrides,
                      int override_count, struct diagnostics *diags);

/* The same from the text that experiment_emit once wrote into a checkpoint: see spec_bind_stored. */
bool experiment_parse_stored(struct experiment *experiment, const char *source, const char *text,
                             const char *const *overrides, int override_count, struct diagnostics *diags);
void experiment_free(struct experiment *experiment);

/* The resolved spec as YAML: every key with its value. */
void experiment_emit(struct text *out, const struct experiment *experiment);

/* Plans the network of a checked experiment, and its loss on the network's head, for its batches and threads: to be
 * trained, or with STEP_EVALUATE for evaluation alone. The loss is good as long as the model. */
bool experiment_plan(const struct experiment *experiment, enum step_mode mode, struct model *model, struct loss *loss,
                     struct diagnostics *diags);

/* Gives each process of the group its share of every batch; NULL: there is one. False with an error where there are
 * more processes than can share one, or where they would not compute alike. */
bool experiment_divide(struct experiment *experiment, const struct group *group, struct error *err);

const struct data_config *experiment_data(const struct experiment *experiment);

#endif
