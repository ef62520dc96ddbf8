/* Penalties on weights: L2 weight decay and the orthogonality of filters (method, section 4). */
#ifndef SPHERENET_OPTIM_PENALTY_H
#define SPHERENET_OPTIM_PENALTY_H

#include "model/model.h"

/* The section `regularizer`. The masks have a bit for each enum tensor_role up to ROLE_BIAS. */
struct penalty_config {
    double weight_decay;  /* weight_decay / 2 * sum of squares */
    double orthogonality; /* orthogonality / 2 * |W^T W - I|^2, columns of W: a layer's filters */
    unsigned weight_decay_on, orthogonality_on;
};
extern const struct param penalty_params[];

struct penalty_values {
    double weight_decay, orthogonality;
};

/* Reals of work that penalty_add needs. */
size_t penalty_work(const struct penalty_config *config, const struct model *model);

/* Adds the penalties' gradients to those of the network and returns their values. */
struct penalty_values penalty_add(const struct penalty_config *config, struct model *model, real *work);

#endif
