#include "family/family.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const normalization_names[] = {"batch_norm", "sphere_norm", "both", "none", NULL};
static const char *const activation_names[] = {"relu", "none", NULL};

static const char *const algorithm_names[] = {"auto", "im2col", NULL}; /* enum conv_choice */

const struct param family_params[] = {
    SECTION_KEY(struct family_config, operation, "operator", sphere_operator_params,
                "of all convolutions and the feature layer"),
    ENUM_KEY(struct family_config, normalization, "normalization", "batch_norm", normalization_names,
             "after each convolution; both: sphere_norm, then batch_norm"),
    ENUM_KEY(struct family_config, activation, "activation", "relu", activation_names, "after each normalisation"),
    BOOL_KEY(struct family_config, train_sphere_norm, "train_sphere_norm", "true",
             "train SphereNorm's weight and bias, or fix them at 1 and 0"),
    SECTION_KEY(struct family_config, batch_norm, "batch_norm", batch_norm_settings, "settings of batch normalisation"),
    ENUM_KEY(
        struct family_config, algorithm, "conv_algorithm", "auto", algorithm_names,
        "how convolutions are computed: auto takes winograd where it fits, which is faster and rounds a little more"),
    BOOL_KEY(struct family_config, bias, "bias", "false", "give the convolutions a bias"),
    BOOL_KEY(struct family_config, classifier_bias, "classifier_bias", "false", "give the classifier a bias"),
    SECTION_KEY(struct family_config, classifier, "classifier_operator", ordinary_operator_params,
                "of the classifier, whose weights are penalised as weights; magnitude linear makes W-Softmax"),
    END_OF_KEYS,
};

void network_expand(struct arena *arena, struct choice network, int classes, struct choice_list *layers,
                    struct diagnostics *diags) {
    struct expansion expansion = {arena, diags, network, classes, layers};
    ((const struct network_type *)network.kind)->expand(&expansion, network.config);
}

void expansion_error(struct expansion *expansion, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    diagnose(expansion->diags, expansion->network.source, expansion->network.line, "network", "%s", message);
}

void *expansion_add(struct expansion *expansion, struct choice_list *layers, const struct layer_type *type,
                    const char *name) {
    struct choice choice = choice_default(expansion->arena, &type->kind);
    choice.source = expansion->network.source;
    choice.line = expansion->network.line;
    choice.path = expansion->network.path;
    ((struct layer_config *)choice.config)->name = arena_string(expansion->arena, name);
    choice_list_add(expansion->arena, layers, choice);
    return choice.config;
}

static const char *suffixed(struct expansion *expansion, const char *name, const char *suffix) {
    return arena_printf(expansion->arena, "%s_%s", name, suffix);
}

void expansion_normalization(struct expansion *expansion, struct choice_list *layers,
                             const struct family_config *family, const char *name) {
    int normalization = family->normalization;
    if (normalization == NORMALIZE_SPHERE || normalization == NORMALIZE_BOTH) {
        struct sphere_norm_config *norm =
            EXPANSION_ADD(expansion, layers, sphere_norm, suffixed(expansion, name, "sn"));
        norm->trained = family->train_sphere_norm;
    }
    if (normalization == NORMALIZE_BATCH || normalization == NORMALIZE_BOTH) {
        struct batch_norm_config *norm = EXPANSION_ADD(expansion, layers, batch_norm, suffixed(expansion, name, "bn"));
        struct layer_config layer = norm->layer;
        *norm = family->batch_norm;
        norm->layer = layer;
    }
}

void expansion_conv(struct expansion *expansion, struct choice_list *layers, const struct family_config *family,
                    const char *name, int filters, int kernel, int stride, bool ordinary) {
    ordinary = ordinary || operator_ordinary(&family->operation);
    struct conv_config *conv =
        ordinary ? EXPANSION_ADD(expansion, layers, conv, name) : EXPANSION_ADD(expansion, layers, sphere_conv, name);
    conv->filters = filters;
    conv->kernel = kernel;
    conv->stride = stride;
    conv->padding = kernel / 2;
    conv->bias = family->bias;
    conv->algorithm = family->algorithm;
    if (!ordinary)
        conv->operation = family->operation;
    expansion_normalization(expansion, layers, family, name);
}

void expansion_activation(struct expansion *expansion, struct choice_list *layers, const struct family_config *family,
                          const char *name) {
    if (family->activation == ACTIVATE_RELU)
        EXPANSION_ADD(expansion, layers, relu, suffixed(expansion, name, "relu"));
}

void expansion_classifier(struct expansion *expansion, const struct family_config *family) {
    struct dense_config *score = EXPANSION_ADD(expansion, expansion->layers, dense, "score");
    score->units = expansion->classes;
    score->bias = family->classifier_bias;
    score->operation = family->classifier;
}

void expansion_residual_unit(struct expansion *expansion, const struct family_config *family, const char *name,
                             int filters, int stride, bool project) {
    struct residual_config *unit = EXPANSION_ADD(expansion, expansion->layers, residual, name);
    const char *first = suffixed(expansion, name, "conv1"), *second = suffixed(expansion, name, "conv2");
    expansion_conv(expansion, &unit->body, family, first, filters, 3, stride, false);
    expansion_activation(expansion, &unit->body, family, first);
    expansion_conv(expansion, &unit->body, family, second, filters, 3, 1, false);
    if (project)
        expansion_conv(expansion, &unit->shortcut, family, suffixed(expansion, name, "shortcut"), filters, 1, stride,
                       true);
    expansion_activation(expansion, expansion->layers, family, name);
}
