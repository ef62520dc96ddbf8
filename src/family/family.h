/* Network families: a few numbers expand into the explicit list of layers that a user could write by hand.
 *
 * To add a family: one file with a `struct network_type`, one line in registry.c. */
#ifndef SPHERENET_FAMILY_FAMILY_H
#define SPHERENET_FAMILY_FAMILY_H

#include "layer/configs.h"
#include "spec/bind.h"

struct expansion {
    struct arena *arena;
    struct diagnostics *diags;
    struct choice network; /* what is being expanded */
    int classes;
    struct choice_list *layers; /* the result */
};

struct network_type {
    struct kind kind;
    /* Appends the layers; mistakes in the configuration add diagnostics. */
    void (*expand)(struct expansion *expansion, const void *config);
};

extern const struct registry network_registry;

/* The network written out layer by layer, as any is once it is expanded. */
struct layers_config {
    struct choice_list layers;
};

/* The layers of the network section `network`, a row of network_registry. */
void network_expand(struct arena *arena, struct choice network, int classes, struct choice_list *layers,
                    struct diagnostics *diags);

/* --- What families share ----------------------------------------------------------------------------------------- */

enum normalization { NORMALIZE_BATCH, NORMALIZE_SPHERE, NORMALIZE_BOTH, NORMALIZE_NONE };
enum activation { ACTIVATE_RELU, ACTIVATE_NONE };

/* First member of every family's configuration. */
struct family_config {
    struct operator_config operation; /* of every convolution that is not said to be ordinary */
    int normalization, activation;
    bool train_sphere_norm;
    struct batch_norm_config batch_norm;
    int algorithm; /* enum conv_choice */
    bool bias;     /* of the convolutions */
    bool classifier_bias;
    struct operator_config classifier;
};
extern const struct param family_params[];

/* Appends a layer of the row layer_TYPE with its defaults, and returns its configuration for changes:
 *     struct pool_config *pool = EXPANSION_ADD(expansion, layers, max_pool, "pool"); */
#define EXPANSION_ADD(EXPANSION, LAYERS, TYPE, NAME)                                                                   \
    ((layer_##TYPE##_config *)expansion_add(EXPANSION, LAYERS, &layer_##TYPE, NAME))
void *expansion_add(struct expansion *expansion, struct choice_list *layers, const struct layer_type *type,
                    const char *name);

/* Appends the family's normalisation layers after the layer called name. */
void expansion_normalization(struct expansion *expansion, struct choice_list *layers,
                             const struct family_config *family, const char *name);

/* Appends a convolution and its normalisation. ordinary: the product with the cosine, whatever the family's operator.
 */
void expansion_conv(struct expansion *expansion, struct choice_list *layers, const struct family_config *family,
                    const char *name, int filters, int kernel, int stride, bool ordinary);

/* Appends the family's activation, if it has one. */
void expansion_activation(struct expansion *expansion, struct choice_list *layers, const struct family_config *family,
                          const char *name);

/* Appends the dense layer "score" with as many units as there are classes. */
void expansion_classifier(struct expansion *expansion, const struct family_config *family);

/* Appends a residual unit of two 3x3 convolutions and the activation after the sum. project: a 1x1 ordinary
 * convolution on the shortcut. */
void expansion_residual_unit(struct expansion *expansion, const struct family_config *family, const char *name,
                             int filters, int stride, bool project);

void expansion_error(struct expansion *expansion, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
