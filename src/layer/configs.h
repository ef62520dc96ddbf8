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
};

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

/* The same layer for an angular loss: it puts out the cosines of the angles between its input and its weights, and the
 * input's length beside them. dense: without bias and ordinary. */
struct choice dense_cosines(struct arena *arena, struct choice dense);

extern const struct layer_type layer_dense;

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
