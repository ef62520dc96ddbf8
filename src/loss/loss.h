/* Losses: from what the network puts out and the labels to one number and its gradient.
 *
 * The network puts out logits or, for an angular loss, what such a loss makes its logits of: the cosines of the angles
 * between the feature x, the classifier's input, and the classes' weights, and the feature's length.
 *
 * To add one: one file with a `struct loss_type`, one line in registry.c; an angular one with a margin of its own is a
 * row in angular.c. */
#ifndef SPHERENET_LOSS_LOSS_H
#define SPHERENET_LOSS_LOSS_H

#include <stdint.h>

#include "op/sphere_op.h"

struct loss_input {
    int n, classes;
    const real *scores;  /* [n][classes]: logits, or cosines */
    const real *lengths; /* [n]: |x|; angular losses alone */
    const int32_t *labels;
    const real *k; /* [classes], or [1] for all: of an activation that trains it; else NULL */
};

/* Of the mean loss, in the places of struct loss_input. */
struct loss_gradient {
    real *scores, *lengths, *k;
};

struct loss_type {
    struct kind kind;
    /* That of an angular loss, which takes cosines and lengths; NULL: the loss takes logits. */
    const struct operator_config *(*activation)(const void *config);
    /* The mean loss of n images. iteration: of the training step, from 1; 0: a test, which knows no margin. gradient:
     * NULL: not wanted. */
    double (*evaluate)(const struct loss_type *type, const void *config, const struct loss_input *in, int64_t iteration,
                       const struct loss_gradient *gradient);
    /* Weight of the logit without margin beside the one with it; NULL: no margin. */
    double (*lambda)(const void *config, int64_t iteration);
};

extern const struct registry loss_registry;

static inline const struct loss_type *loss_type_of(struct choice loss) {
    return (const struct loss_type *)loss.kind;
}

/* 0: the loss has no margin. */
static inline double loss_lambda(struct choice loss, int64_t iteration) {
    const struct loss_type *type = loss_type_of(loss);
    return type->lambda ? type->lambda(loss.config, iteration) : 0;
}

static inline double loss_evaluate(struct choice loss, const struct loss_input *in, int64_t iteration,
                                   const struct loss_gradient *gradient) {
    const struct loss_type *type = loss_type_of(loss);
    return type->evaluate(type, loss.config, in, iteration, gradient);
}

#endif
