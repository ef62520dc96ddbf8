/* Optimizers: from gradients to weights.
 *
 * To add one: one file with a `struct optimizer_type`, one line in registry.c. */
#ifndef SPHERENET_OPTIM_OPTIMIZER_H
#define SPHERENET_OPTIM_OPTIMIZER_H

#include <stdint.h>

#include "plan/tensor.h"
#include "spec/param.h"

enum { OPTIMIZER_SLOTS = 2 };

/* Trained values of one tensor, of which an optimizer may take norms and which it may treat by role. */
struct span {
    size_t offset, count; /* in the vectors of an update */
    enum tensor_role role;
    int filters;  /* [filters][count / filters] */
    double decay; /* of an optimizer that decouples weight decay; else 0 */
};

/* One update of all weights. The vectors are of one length and hold the spans; what lies between them is zero. */
struct update {
    double rate;    /* learning rate */
    int64_t number; /* of the updates made, from 1 */
    int threads;
    size_t count; /* values in each vector */
    real *weights;
    const real *grads;
    real *const *slots; /* zero before the first update */
    const struct span *spans;
    int span_count;
};

struct optimizer_type {
    struct kind kind;
    int slots;                               /* vectors of state, each as long as the weights */
    const char *slot_names[OPTIMIZER_SLOTS]; /* as checkpoints call them */
    /* Weight decay acts on the weights beside the gradient (Loshchilov and Hutter 2019), so it is no penalty. */
    bool decouples_decay;
    double largest_gradient; /* of one value that it can take; 0: whatever is finite */
    void (*update)(const void *config, const struct update *update);
};

/* First member of every optimizer's configuration. */
struct optimizer_config {
    double learning_rate;
    double clip_norm; /* longest gradient; 0: any */
};
#define OPTIMIZER_PARAMS(LEARNING_RATE)                                                                                \
    REAL_KEY(struct optimizer_config, learning_rate, "learning_rate", LEARNING_RATE, 0, 100,                           \
             "at the start; the schedule changes it"),                                                                 \
        REAL_KEY(struct optimizer_config, clip_norm, "clip_norm", "0", 0, 1e12,                                        \
                 "a gradient longer than this, over all weights, is shortened to it; 0: none is")

extern const struct registry optimizer_registry;

#endif
