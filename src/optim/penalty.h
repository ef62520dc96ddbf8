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

/* The penalties on one network, planned once. */
struct penalties {
    int count;
    struct penalty_item *items; /* a tensor that is penalised each */
    int most_blocks;            /* of the orthogonality's gradient, of any tensor */
    size_t work;                /* reals that penalties_place takes */
};

/* Memory comes from the arena; the model has to outlive what is returned. An optimizer that decouples weight decay has
 * none here. */
struct penalties penalties_plan(const struct penalty_config *config, const struct model *model, bool decoupled_decay,
                                struct arena *arena);

/* Gives them their work memory. */
void penalties_place(struct penalties *penalties, real *work);

/* Adds the penalties' gradients to those of the network and returns their values. */
struct penalty_values penalties_add(const struct penalties *penalties, int threads);

/* Whether weight decay acts on a tensor. */
bool penalty_decays(const struct penalty_config *config, const struct tensor *tensor);

#endif
