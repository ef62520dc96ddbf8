/* Optimizers: from gradients to weights.
 *
 * To add one: one file with a `struct optimizer_type`, one line in registry.c. */
#ifndef SPHERENET_OPTIM_OPTIMIZER_H
#define SPHERENET_OPTIM_OPTIMIZER_H

#include <stdint.h>

#include "base/real.h"
#include "spec/param.h"

enum { OPTIMIZER_SLOTS = 2 };

struct optimizer_type {
    struct kind kind;
    int slots;                               /* vectors of state, each as long as the weights */
    const char *slot_names[OPTIMIZER_SLOTS]; /* as checkpoints call them */
    /* The update numbered `step` (from 1) of `count` weights. slots[i]: [count], zero before the first step. */
    void (*step)(const void *config, double rate, int64_t step, size_t count, real *weights, const real *grads,
                 real *const *slots);
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
