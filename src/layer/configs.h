/* Configurations of the layers that network families put together. The row of each layer is declared with the type of
 * its configuration, layer_max_pool with layer_max_pool_config, from which the row takes its config_size. */
#ifndef SPHERENET_LAYER_CONFIGS_H
#define SPHERENET_LAYER_CONFIGS_H

#include "layer/layer.h"
#include "op/sphere_op.h"

#define LAYER_ROW(TYPE, CONFIG)                                                                                        \
    extern const struct layer_type layer_##TYPE;                                                                       \
    typedef CONFIG layer_##TYPE##_config

LAYER_ROW(relu, struct layer_config);

struct conv_config {
    struct layer_config layer;
    int filters, kernel, stride, padding;
    bool bias;
    int algorithm; /* enum conv_choice */
    struct operator_config operation;
};
LAYER_ROW(conv, struct conv_config);
LAYER_ROW(sphere_conv, struct conv_config);

struct dense_config {
    struct layer_config layer;
    int units;
    bool bias;
    bool classifies; /* no key: the network's last layer */
    struct operator_config operation;
};
LAYER_ROW(dense, struct dense_config);

/* A fully connected layer as the classifier of what goes into it: each output is a class. Pointers are there once
 * memory is allocated. */
struct classifier {
    int width;              /* of a feature, which is one image's input */
    const real *weights;    /* [units][width] */
    const real *lengths;    /* [n]: of the features; dense_cosines alone */
    real *lengths_gradient; /* [n]: to be set before the layer's backward pass; likewise */
};

/* False: the layer is not a fully connected one. */
bool dense_classifier(const struct layer *layer, struct classifier *classifier);

/* The same layer as a network's last: penalties treat its weights as a classifier's. */
struct choice dense_scores(struct arena *arena, struct choice dense);

/* The same for an angular loss: it puts out the cosines of the angles between its input and its weights, and the
 * input's length beside them. dense: without bias and ordinary. */
struct choice dense_cosines(struct arena *arena, struct choice dense);

struct batch_norm_config {
    struct layer_config layer;
    double epsilon, decay;
    bool debias;
};
LAYER_ROW(batch_norm, struct batch_norm_config);
extern const struct param batch_norm_settings[]; /* the keys below the name */

struct sphere_norm_config {
    struct layer_config layer;
    bool trained;
};
LAYER_ROW(sphere_norm, struct sphere_norm_config);

struct pool_config {
    struct layer_config layer;
    int kernel, stride, padding;
    bool global; /* avg_pool alone */
};
LAYER_ROW(max_pool, struct pool_config);
LAYER_ROW(avg_pool, struct pool_config);

struct residual_config {
    struct layer_config layer;
    struct choice_list body, shortcut;
};
LAYER_ROW(residual, struct residual_config);

#endif
