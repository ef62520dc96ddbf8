/* A network: a chain of layers with its memory. */
#ifndef SPHERENET_MODEL_MODEL_H
#define SPHERENET_MODEL_MODEL_H

#include "layer/chain.h"
#include "layer/configs.h"
#include "layer/profile.h"

struct model {
    struct arena arena;
    struct planner planner;
    struct chain chain;
    struct plan_memory memory;
    int batch;    /* most images in one step */
    real *output; /* logits, where the last layers fold; else NULL */
    /* The last layer, where that is a dense one; else NULL. Its input is the image's feature. When an angular loss
     * trains it, it puts out cosines, and x_norm and x_norm_gradient are the loss's (loss/loss.h). */
    struct sphere_op *classifier;
    int tensor_count;
    struct tensor **tensors;
};

/* What a plan is made for: images of that shape, so many classes, most images in a step, and threads that compute it.
 */
struct model_request {
    const struct choice_list *layers;
    struct shape in;
    int classes, batch, threads;
};

/* Plans the layers: checks shapes and names, but allocates no tensor. The last layer must put out `classes` values.
 * False, with diagnostics, when the layers do not fit. Free with model_free in either case. */
bool model_plan(struct model *model, const struct model_request *request, struct diagnostics *diags);

/* Allocates the planned memory and draws the initial weights from the seed. */
bool model_allocate(struct model *model, uint64_t seed, struct error *err);
void model_free(struct model *model);

/* A step of n images on the planned threads; what else it is to know (seed, position) the caller sets. */
struct step model_step(const struct model *model, int n, enum step_mode mode);

/* images: [step.n][height][width][channels]. Returns the logits, [n][classes]; valid until the next call. No tensor
 * changes: a training step leaves what running averages become beside them, for model_commit. */
const real *model_forward(struct model *model, struct step step, const real *images);

/* Makes the running averages those that the last training step found. */
void model_commit(struct model *model);

/* to: [n][model_feature_width], the features of the last forward pass, on the same n images. Only where there is a
 * classifier. */
void model_features(const struct model *model, int n, const real *images, real *to);
int model_feature_width(const struct model *model);

/* Sets all gradients; `images` are those of the forward pass of the same step, which must have been a training one. Its
 * activations are gone afterwards, the logits among them. */
void model_backward(struct model *model, struct step step, const real *dlogits, const real *images);

/* The values [first, first + count) in the order in which checkpoints store a tensor, out of its memory and into it. */
void tensor_to_stored(real *values, const struct tensor *tensor, const real *memory, size_t first, size_t count);
void tensor_from_stored(real *memory, const struct tensor *tensor, const real *values, size_t first, size_t count);

#endif
