/* A network: a chain of layers with its memory. */
#ifndef SPHERENET_MODEL_MODEL_H
#define SPHERENET_MODEL_MODEL_H

#include "layer/chain.h"
#include "layer/profile.h"
#include "model/head.h"

struct model {
    struct arena arena;
    struct planner planner;
    struct chain chain;
    struct plan_memory memory;
    int batch;                 /* most images in one step, here and elsewhere */
    const struct group *group; /* that computes a step; NULL: this process alone */
    struct share share;        /* of its images that are computed here */
    struct head head;
    real *output;  /* the head's scores, where the last layers fold; else NULL */
    real *scratch; /* of steps, outside forward and backward */
    int tensor_count;
    struct tensor **tensors;
};

/* What a plan is made for: images of that shape, so many classes, most images in a step, threads that compute it, and
 * whether it is for evaluation alone: without model_backward; and what this process has of each step of a group. */
struct model_request {
    const struct choice_list *layers;
    struct shape in;
    int classes, batch, threads;
    bool forward_only;
    struct head_request head;
    int gradient_sums; /* that a weight gradient is gathered in; 0: 4 or 8, by its size */
    const struct group *group;
    struct share share;
};

/* Plans the layers and what is wanted of the head: checks shapes and names, but allocates no tensor. The last layer
 * must put out `classes` values. False, with diagnostics, when the layers do not fit. Free with model_free in either
 * case. */
bool model_plan(struct model *model, const struct model_request *request, struct diagnostics *diags);

/* Allocates the planned memory, zeroed. */
bool model_allocate(struct model *model, struct error *err);

/* Draws the initial weights from the seed. */
void model_draw(struct model *model, uint64_t seed);
void model_free(struct model *model);

/* A step of n images on the planned threads, of which step.n are computed here; what else it is to know (seed,
 * position) the caller sets. */
struct step model_step(const struct model *model, int n, enum step_mode mode);

/* images: [step.n][height][width][channels]. Returns the head's scores, [n][classes]; valid until the next call, as are
 * its lengths. No tensor changes: a training step leaves what running averages become beside them, for model_commit. */
const real *model_forward(struct model *model, struct step step, const real *images);

/* Whether there are any: those of batch normalisation. */
bool model_has_averages(const struct model *model);

/* Makes the running averages those that the last training step found. */
void model_commit(struct model *model);

/* to: [n][head.width], the features of the last forward pass, on the same n images. Only where that is not 0. */
void model_features(const struct model *model, int n, const real *images, real *to);

/* Sets all gradients from those of the head's scores and lengths; `images` are those of the forward pass of the same
 * step, which must have been a training one. Its activations are gone afterwards, the scores among them. */
void model_backward(struct model *model, struct step step, const real *images);

/* The values [first, first + count) in the order in which checkpoints store a tensor, out of its memory and into it. */
void tensor_to_stored(real *values, const struct tensor *tensor, const real *memory, size_t first, size_t count);
void tensor_from_stored(real *memory, const struct tensor *tensor, const real *values, size_t first, size_t count);

#endif
