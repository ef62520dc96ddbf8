/* Layers one after the other: a network, or a branch of a residual unit. */
#ifndef SPHERENET_LAYER_CHAIN_H
#define SPHERENET_LAYER_CHAIN_H

#include "layer/plan.h"

struct chain {
    int count;
    struct layer *layers;
    real **outputs; /* of each layer; some share memory with the one before */
    int level;      /* depth in residual units, from 0 */
    struct shape in, out;
};

/* Makes the layers of the list, from input to output shape, and asks for their memory. Goes on after a mistake where it
 * can, so that all are reported; false when there was one. */
bool chain_plan(struct chain *chain, struct planner *planner, const struct choice_list *list, struct shape in);

/* The chain's output, in its own memory (x itself for an empty chain). */
const real *chain_forward(struct chain *chain, const struct pass *pass, const real *x);

/* dx NULL: the gradient of the input is not wanted. */
void chain_backward(struct chain *chain, const struct pass *pass, real *dx, const real *dy, const real *x);

/* Calls visit for every layer in order, those within residual units after the unit itself. */
void chain_visit(const struct chain *chain, void (*visit)(const struct layer *layer, int level, void *context),
                 void *context);

#endif
