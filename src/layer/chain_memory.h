/* Which memory a chain of layers needs when: the two passes, acted out on the planner's clock with buffers for arrays.
 *
 * Here is decided where gradients go. In place, the gradient of a layer's input is the same buffer as that of its
 * output. */
#ifndef SPHERENET_LAYER_CHAIN_MEMORY_H
#define SPHERENET_LAYER_CHAIN_MEMORY_H

#include "layer/chain.h"

/* Marks what a reader of the fusion's values uses. NULL: the images, which lie elsewhere. */
void plan_use_view(struct planner *planner, const struct fusion *fusion);

/* chain_forward. Returns the fusion whose view is the chain's output: x, if the chain is empty. */
const struct fusion *chain_plan_forward(struct chain *chain, struct planner *planner, const struct fusion *x);

/* The step between the passes of the outermost chain: somebody uses the last layer's output and what else it keeps (the
 * lengths of its inputs), and its input (the features). */
void chain_plan_turn(const struct chain *chain, struct planner *planner);

/* What chain_backward and a layer's backward are given. */
struct planned_gradient {
    int d, dx;   /* NO_BUFFER: they lie elsewhere, or dx is not wanted */
    bool add;    /* gradient_target.add of dx */
    bool scaled; /* d has scale_d (struct gradient); of layers alone */
    const struct fusion *x;
};
void chain_plan_backward(struct chain *chain, struct planner *planner, struct planned_gradient gradient);

/* Whether the gradient of the input may take the place of the output's, when both are of one size. */
bool chain_in_place(const struct chain *chain);

#endif
