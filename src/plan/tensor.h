/* The named tensors of a network: what checkpoints hold. */
#ifndef SPHERENET_PLAN_TENSOR_H
#define SPHERENET_PLAN_TENSOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/real.h"

/* Which penalties and which optimizer state a tensor gets. */
enum tensor_role {
    ROLE_WEIGHT,        /* filters whose length matters */
    ROLE_SPHERE_WEIGHT, /* filters of a normalised operator: only their direction matters */
    ROLE_NORM,          /* weight and bias of normalisation layers */
    ROLE_BIAS,
    ROLE_SHAPE, /* of an activation or a magnitude */
    ROLE_BUFFER, /* saved, but not trained: running averages */
    ROLE_COUNTER /* the same: how many batches they are of */
};

/* A named tensor of the network, as a checkpoint shows it: filters [out, in, kH, kW], dense [out, in], else [count].
 * In memory filters are [out][kH][kW][in]. */
struct tensor {
    const char *name; /* "conv1_0.weight" */
    enum tensor_role role;
    bool trained;
    int dims, shape[4];          /* as stored */
    int filters, kernel, inputs; /* in memory [filters][kernel][inputs], stored [filters][inputs][kernel] */
    double initial_mean, initial_deviation;
    size_t count, offset; /* in reals; offset: in the network's block of values and, where trained, of gradients */
    real *value, *grad;   /* grad NULL: not trained */
    real *next;           /* of a buffer that training moves: what the last training step made of it; else NULL */
};

/* Whether a tensor of that name is the owner's, "OWNER.NAME"; owners' names may hold dots, tensors' own do not. */
bool tensor_is_of(const char *name, const char *owner);

#endif
