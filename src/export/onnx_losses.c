/* Losses: what a test makes of the head, as logits and probabilities. */
#include "export/onnx_rows.h"
#include "loss/angular.h"
#include "loss/sphereface2.h"

/* Outputs of the graph have bare names. */
static const char *output(struct onnx_graph *graph, const char *type, const char *name, const char *const *inputs) {
    graph->scope = NULL;
    return onnx_node(graph, type, name, inputs);
}

static void add_softmax(struct onnx_graph *graph, const char *logits) {
    output(graph, "Softmax", "probabilities", ONNX_INPUTS(logits));
    onnx_int(graph, "axis", 1);
}

static void softmax(struct onnx_graph *graph, const struct loss *loss, const char *scores, const char *lengths) {
    (void)loss, (void)lengths;
    add_softmax(graph, output(graph, "Identity", "logits", ONNX_INPUTS(scores)));
}

/* The feature's length, or the fixed scale, times g(theta). */
static void angular(struct onnx_graph *graph, const struct loss *loss, const char *cosines, const char *lengths) {
    const struct angular_config *config = loss->config;
    const struct angular *activation = angular_loss_activation(loss);
    if (!activation->type->identity) /* as loss/margin.h has it */
        cosines = onnx_clamped(graph, "class_cosines", cosines, 1 - ANGULAR_CLAMP);
    const char *g = onnx_angular_of(&activation->type->kind)(graph, activation, true, cosines);
    const char *scale = config->scale > 0 ? onnx_number(graph, "scale", config->scale) : lengths;
    add_softmax(graph, output(graph, "Mul", "logits", ONNX_INPUTS(g, scale)));
}

/* scale (2 ((cos theta + 1) / 2)^t - 1) + bias; the probability that the image is of the class, for each by itself. */
static void sphereface2(struct onnx_graph *graph, const struct loss *loss, const char *cosines, const char *lengths) {
    (void)lengths;
    const struct sphereface2_config *config = loss->config;
    const char *one = onnx_number(graph, "one", 1), *half = onnx_number(graph, "half", 0.5);
    const char *exponent = onnx_number(graph, "exponent", config->exponent);
    const char *twice = onnx_number(graph, "twice_scale", 2 * config->scale);
    const char *shift = onnx_number(graph, "shift", *onnx_values(graph, "bias") - config->scale);
    const char *from_zero = onnx_node(graph, "Add", "cosines_from_zero", ONNX_INPUTS(cosines, one));
    const char *halves = onnx_node(graph, "Mul", "halves", ONNX_INPUTS(from_zero, half));
    const char *powers = onnx_node(graph, "Pow", "powers", ONNX_INPUTS(halves, exponent));
    const char *scaled = onnx_node(graph, "Mul", "scaled_powers", ONNX_INPUTS(powers, twice));
    const char *logits = output(graph, "Add", "logits", ONNX_INPUTS(scaled, shift));
    output(graph, "Sigmoid", "probabilities", ONNX_INPUTS(logits));
}

#define LOSSES(ROW)                                                                                                    \
    ROW(softmax, softmax)                                                                                              \
    ROW(w_softmax, angular)                                                                                            \
    ROW(a_softmax, angular)                                                                                            \
    ROW(ga_softmax, angular)                                                                                           \
    ROW(cosface, angular)                                                                                              \
    ROW(arcface, angular)                                                                                              \
    ROW(sphereface2, sphereface2)

#define DECLARE(NAME, ADD) extern const struct loss_type loss_##NAME;
#define TABLE_ROW(NAME, ADD) {&loss_##NAME.kind, ADD},

LOSSES(DECLARE)

static const struct {
    const struct kind *kind;
    onnx_loss_row *add;
} rows[] = {LOSSES(TABLE_ROW)};

onnx_loss_row *onnx_loss_of(const struct kind *kind) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].kind == kind)
            return rows[i].add;
    return NULL;
}
