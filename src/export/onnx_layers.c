/* Layers, and chains of them. */
#include <string.h>

#include "export/onnx_rows.h"
#include "layer/configs.h"

const char *onnx_flat(struct onnx_graph *graph, const char *name, const char *x) {
    const char *y = onnx_node(graph, "Flatten", name, ONNX_INPUTS(x));
    onnx_int(graph, "axis", 1);
    return y;
}

const char *onnx_image(struct onnx_graph *graph, const char *name, const char *x, const struct shape *shape) {
    return onnx_reshaped(graph, name, x, (const int64_t[]){shape->channels, shape->height, shape->width});
}

static const char *convolution(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    return onnx_operator(graph, layer->state, false, x, NULL);
}

static const char *dense(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    if (!layer->in.flat)
        x = onnx_flat(graph, "input", x);
    return onnx_operator(graph, layer->state, true, x, NULL);
}

static const char *batch_norm(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    const struct batch_norm_config *config = layer->choice.config;
    const char *inputs[] = {x,
                            onnx_trained(graph, "weight", NULL),
                            onnx_trained(graph, "bias", NULL),
                            onnx_trained(graph, "running_mean", NULL),
                            onnx_trained(graph, "running_var", NULL),
                            NULL};
    const char *y = onnx_node(graph, "BatchNormalization", "normalised", inputs);
    onnx_float(graph, "epsilon", config->epsilon);
    return y;
}

static const char *sphere_norm(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    int channels = layer->in.channels;
    const char *weight = onnx_channels(graph, "weight", onnx_values(graph, "weight"), channels, layer->in.flat);
    const char *bias = onnx_channels(graph, "bias", onnx_values(graph, "bias"), channels, layer->in.flat);
    return onnx_node(graph, "Add", "shifted",
                     ONNX_INPUTS(onnx_node(graph, "Mul", "scaled", ONNX_INPUTS(x, weight)), bias));
}

static const char *relu(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    (void)layer;
    return onnx_node(graph, "Relu", "rectified", ONNX_INPUTS(x));
}

static const char *pool(struct onnx_graph *graph, const struct layer *layer, const char *type, const char *x) {
    const struct pool_config *config = layer->choice.config;
    const char *y = onnx_node(graph, type, "pooled", ONNX_INPUTS(x));
    int height = config->global ? layer->in.height : config->kernel;
    int width = config->global ? layer->in.width : config->kernel, stride = config->global ? 1 : config->stride;
    onnx_ints(graph, "kernel_shape", (const int64_t[]){height, width}, 2);
    onnx_ints(graph, "strides", (const int64_t[]){stride, stride}, 2);
    onnx_ints(graph, "pads", (const int64_t[]){config->padding, config->padding, config->padding, config->padding}, 4);
    return y;
}

static const char *max_pool(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    return pool(graph, layer, "MaxPool", x);
}

static const char *avg_pool(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    return pool(graph, layer, "AveragePool", x);
}

/* Of layers that do nothing outside of training. */
static const char *unchanged(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    (void)graph, (void)layer;
    return x;
}

static const char *flatten(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    return layer->in.flat ? x : onnx_flat(graph, "flat", x);
}

/* A branch of a residual unit, flat where the unit's output is. */
static const char *branch(struct onnx_graph *graph, const struct layer *layer, int index, const char *x) {
    const struct chain *chain = layer->type->branch(layer, index);
    const struct shape *out = &layer->out;
    const char *y = onnx_chain(graph, chain, chain->count, x);
    if (chain->out.flat == out->flat)
        return y;
    return out->flat ? onnx_flat(graph, "flat", y) : onnx_image(graph, "image", y, out);
}

static const char *residual(struct onnx_graph *graph, const struct layer *layer, const char *x) {
    const char *body = branch(graph, layer, 0, x);
    return onnx_node(graph, "Add", "sum", ONNX_INPUTS(body, branch(graph, layer, 1, x)));
}

#define LAYERS(ROW)                                                                                                    \
    ROW(conv, convolution)                                                                                             \
    ROW(sphere_conv, convolution)                                                                                      \
    ROW(dense, dense)                                                                                                  \
    ROW(batch_norm, batch_norm)                                                                                        \
    ROW(sphere_norm, sphere_norm)                                                                                      \
    ROW(relu, relu)                                                                                                    \
    ROW(max_pool, max_pool)                                                                                            \
    ROW(avg_pool, avg_pool)                                                                                            \
    ROW(dropout, unchanged)                                                                                            \
    ROW(residual, residual)                                                                                            \
    ROW(stochastic_depth, unchanged)                                                                                   \
    ROW(flatten, flatten)

#define DECLARE(NAME, ADD) extern const struct layer_type layer_##NAME;
#define TABLE_ROW(NAME, ADD) {&layer_##NAME.kind, ADD},

LAYERS(DECLARE)

static const struct {
    const struct kind *kind;
    onnx_layer_row *add;
} rows[] = {LAYERS(TABLE_ROW)};

onnx_layer_row *onnx_layer_of(const struct kind *kind) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].kind == kind)
            return rows[i].add;
    return NULL;
}

const char *onnx_chain(struct onnx_graph *graph, const struct chain *chain, int count, const char *x) {
    const char *outer = graph->scope;
    for (int i = 0; i < count; i++) {
        const struct layer *layer = &chain->layers[i];
        graph->scope = layer->name;
        x = onnx_layer_of(&layer->type->kind)(graph, layer, x);
    }
    graph->scope = outer;
    return x;
}
