/* Losses: from the network's outputs and the labels to one number and its gradient.
 *
 * To add one: one file with a `struct loss_type`, one line in registry.c. */
#ifndef SPHERENET_LOSS_LOSS_H
#define SPHERENET_LOSS_LOSS_H

#include <stdint.h>

#include "base/real.h"
#include "spec/param.h"

struct loss_type {
    struct kind kind;
    /* The mean loss of n images. logits: [n][classes], labels: [n]. dlogits: the gradient, or NULL: not wanted. */
    double (*evaluate)(const void *config, int n, int classes, real *dlogits, const real *logits,
                       const uint8_t *labels);
};

extern const struct registry loss_registry;

static inline double loss_evaluate(struct choice loss, int n, int classes, real *dlogits, const real *logits,
                                   const uint8_t *labels) {
    return ((const struct loss_type *)loss.kind)->evaluate(loss.config, n, classes, dlogits, logits, labels);
}

#endif
