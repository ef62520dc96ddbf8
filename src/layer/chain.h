/* Layers one after the other: a network, or a branch of a residual unit. */
#ifndef SPHERENET_LAYER_CHAIN_H
#define SPHERENET_LAYER_CHAIN_H

#include "layer/layer.h"

/* A layer that computes, and those behind it that fold into it, which readers of its output apply. */
struct fusion {
    struct layer *layer, *folds; /* folds: [fold_count] */
    int fold_count;
    real *y;             /* [n][out] */
    struct view view;    /* of y, through all folded layers */
    bool steps_aside;    /* in evaluation the view is that of the input, through all folded layers: y is not written */
    struct view *inputs; /* [fold_count], of y up to each of them */
    /* Where a folded layer asks for them, else NULL. Of y: [n][2][channels], and per channel over the batch. */
    real *moments, *mean, *variance;
    real *gradient; /* of y's values before ReLU, [n][out]; NULL: the chain is given it */
    /* Of its gradient: [n][gradient_sums_reals], and joined, [2][channels]; scale_d, scale_x and offset of struct
     * gradient, [3][channels]. */
    real *sums, *joined, *coefficients;
    real *forward_scratch, *backward_scratch;
    struct fusion_buffers {
        int y, mean, variance, sums;
    } buffers;                   /* while planning: NO_BUFFER where there is none */
    const struct fusion *source; /* while planning: whose view is the input; NULL: that are the images */
};

struct chain {
    int count, fusion_count;
    struct layer *layers; /* as in the spec */
    struct fusion *fusions;
    int depth; /* depth in residual units, from 0 */
    struct shape in, out;
};

/* Makes the layers of the list, from input to output shape. False after the first mistake, which leaves the shapes
 * behind it unknown. */
bool chain_plan(struct chain *chain, struct planner *planner, const struct choice_list *list, struct shape in);

bool fusion_has_relu(const struct fusion *fusion);
/* Whether the gradient of its values reaches y through an unfold. */
bool fusion_is_scaled(const struct fusion *fusion);
/* Whether the gradient of its values has to be written by a gradient_write before the fusion can use it. */
bool fusion_is_unfinished(const struct fusion *fusion);

/* The chain's output (x itself for an empty chain), valid until the next call. */
const struct view *chain_forward(struct chain *chain, const struct step *step, const struct view *x);

/* dx NULL: the gradient of the input is not wanted. d: gradient of the output's values, [n][out]; may be dx->d where
 * chain_in_place (layer/chain_memory.h). */
void chain_backward(struct chain *chain, const struct step *step, const struct gradient_target *dx, const real *d,
                    const struct view *x);

/* Calls visit for every layer in order, those within residual units after the unit itself. */
void chain_visit(const struct chain *chain, void (*visit)(const struct layer *layer, int depth, void *context),
                 void *context);

#endif
