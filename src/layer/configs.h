/* Configurations of the layers that network families put together. */
#ifndef SPHERENET_LAYER_CONFIGS_H
#define SPHERENET_LAYER_CONFIGS_H

#include "layer/layer.h"
#include "op/sphere_op.h"

struct conv_config {
    struct layer_config layer;
    int filters, kernel, stride, padding;
    bool bias;
    int algorithm; /* enum conv_choice */
    struct operator_config operation;
};

struct dense_config {
    struct layer_config layer;
    int units;
    bool bias;
    struct operator_config operation;
    /* Not of the spec: an angular loss takes the cosines that this layer is to put out, and its inputs' lengths; where
     * `trains_k` the loss's activation has a k for each class or for all. */
    bool angles, trains_k;
    struct operator_config cosines;
};

/* The operator of a dense layer; NULL: the layer is another one. */
struct sphere_op *dense_operator(const struct layer *layer);

struct batch_norm_config {
    struct layer_config layer;
    double epsilon, decay;
    bool debias;
};
extern const struct param batch_norm_settings[]; /* the keys below the name */

struct sphere_norm_config {
    struct layer_config layer;
    bool trained;
};

struct pool_config {
    struct layer_config layer;
    int kernel, stride, padding;
    bool global; /* avg_pool alone */
};

struct residual_config {
    struct layer_config layer;
    struct choice_list body, shortcut;
};

#endif
