/* Magnitudes, angular activations, and the operator they make (op/sphere_op.h). The filters go into the file
 * normalised, so that cos theta is one convolution, or product, divided by the lengths of the patches. */
#include <math.h>

#include "export/onnx_rows.h"
#include "kernel/vector.h"

#define PI 3.14159265358979324

/* --- Magnitudes -------------------------------------------------------------------------------------------------- */

static const char *of_no_length(struct onnx_graph *graph, const struct magnitude *magnitude, const char *lengths) {
    (void)graph, (void)magnitude, (void)lengths;
    return NULL;
}

static const char *of_length(struct onnx_graph *graph, const struct magnitude *magnitude, const char *lengths) {
    (void)graph, (void)magnitude;
    return lengths;
}

static const char *of_tanh(struct onnx_graph *graph, const struct magnitude *magnitude, const char *lengths) {
    const char *inverse = onnx_number(graph, "inverse_rho", 1 / magnitude->type->shape(magnitude));
    const char *scaled = onnx_node(graph, "Mul", "lengths_by_rho", ONNX_INPUTS(lengths, inverse));
    return onnx_node(graph, "Tanh", "tanh_of_lengths", ONNX_INPUTS(scaled));
}

#define MAGNITUDES(ROW)                                                                                                \
    ROW(product, of_length)                                                                                            \
    ROW(sphere, of_no_length)                                                                                          \
    ROW(linear, of_length)                                                                                             \
    ROW(tanh, of_tanh)

/* --- Angular activations ----------------------------------------------------------------------------------------- */

static const char *cosine(struct onnx_graph *graph, const struct angular *angular, bool flat, const char *cosines) {
    (void)graph, (void)angular, (void)flat;
    return cosines;
}

static const char *square_cosine(struct onnx_graph *graph, const struct angular *angular, bool flat,
                                 const char *cosines) {
    (void)angular, (void)flat;
    const char *sizes = onnx_node(graph, "Abs", "cosine_sizes", ONNX_INPUTS(cosines));
    return onnx_node(graph, "Mul", "square_cosines", ONNX_INPUTS(cosines, sizes));
}

/* pi/2 - theta, which is exact where most angles are. */
static const char *angles(struct onnx_graph *graph, const char *cosines) {
    return onnx_node(graph, "Asin", "angles_from_right", ONNX_INPUTS(cosines));
}

static const char *linear(struct onnx_graph *graph, const struct angular *angular, bool flat, const char *cosines) {
    (void)angular, (void)flat;
    const char *slope = onnx_number(graph, "two_over_pi", 2 / PI);
    return onnx_node(graph, "Mul", "linear", ONNX_INPUTS(angles(graph, cosines), slope));
}

/* coth(pi/(4k)) tanh((pi/2 - theta)/(2k)) */
static const char *sigmoid(struct onnx_graph *graph, const struct angular *angular, bool flat, const char *cosines) {
    int filters = angular->filters;
    double *steepness = arena_alloc(&graph->arena, (size_t)filters * sizeof *steepness);
    double *height = arena_alloc(&graph->arena, (size_t)filters * sizeof *height);
    for (int f = 0; f < filters; f++) {
        double k = angular_shape(angular, f);
        steepness[f] = 1 / (2 * k);
        height[f] = 1 / tanh(PI / (4 * k));
    }
    const char *steep = onnx_channels(graph, "steepness", steepness, filters, flat);
    const char *scaled = onnx_node(graph, "Mul", "scaled_angles", ONNX_INPUTS(angles(graph, cosines), steep));
    const char *tanh_of = onnx_node(graph, "Tanh", "tanh_of_angles", ONNX_INPUTS(scaled));
    return onnx_node(graph, "Mul", "sigmoid",
                     ONNX_INPUTS(tanh_of, onnx_channels(graph, "height", height, filters, flat)));
}

#define ANGULARS(ROW)                                                                                                  \
    ROW(cosine, cosine)                                                                                                \
    ROW(square_cosine, square_cosine)                                                                                  \
    ROW(linear, linear)                                                                                                \
    ROW(sigmoid, sigmoid)                                                                                              \
    ROW(learnable_sigmoid, sigmoid)

/* --- Tables ------------------------------------------------------------------------------------------------------ */

#define DECLARE_MAGNITUDE(NAME, ADD) extern const struct magnitude_type magnitude_##NAME;
#define DECLARE_ANGULAR(NAME, ADD) extern const struct angular_type angular_##NAME;
#define MAGNITUDE_ROW(NAME, ADD) {&magnitude_##NAME.kind, ADD},
#define ANGULAR_ROW(NAME, ADD) {&angular_##NAME.kind, ADD},

MAGNITUDES(DECLARE_MAGNITUDE)
ANGULARS(DECLARE_ANGULAR)

static const struct {
    const struct kind *kind;
    onnx_magnitude_row *add;
} magnitudes[] = {MAGNITUDES(MAGNITUDE_ROW)};

static const struct {
    const struct kind *kind;
    onnx_angular_row *add;
} angulars[] = {ANGULARS(ANGULAR_ROW)};

onnx_magnitude_row *onnx_magnitude_of(const struct kind *kind) {
    for (size_t i = 0; i < sizeof magnitudes / sizeof *magnitudes; i++)
        if (magnitudes[i].kind == kind)
            return magnitudes[i].add;
    return NULL;
}

onnx_angular_row *onnx_angular_of(const struct kind *kind) {
    for (size_t i = 0; i < sizeof angulars / sizeof *angulars; i++)
        if (angulars[i].kind == kind)
            return angulars[i].add;
    return NULL;
}

/* --- The operator ------------------------------------------------------------------------------------------------ */

/* What filters make of x. inputs: x, filters and, unless NULL, bias. */
static const char *filtered(struct onnx_graph *graph, const struct sphere_op *op, bool flat, const char *name,
                            const char *const *inputs) {
    const struct conv_geometry *g = &op->conv.g;
    const char *y = onnx_node(graph, flat ? "Gemm" : "Conv", name, inputs);
    if (flat) {
        onnx_int(graph, "transB", 1);
        return y;
    }
    onnx_ints(graph, "kernel_shape", (const int64_t[]){g->kernel_h, g->kernel_w}, 2);
    onnx_ints(graph, "strides", (const int64_t[]){g->stride, g->stride}, 2);
    onnx_ints(graph, "pads", (const int64_t[]){g->padding, g->padding, g->padding, g->padding}, 4);
    return y;
}

/* sqrt(sum of squares + epsilon) of each patch: [N, 1], or [N, 1, height, width]. The squares are added by a filter of
 * ones: runtimes add a filter's products more exactly than a reduction's terms. */
static const char *patch_lengths(struct onnx_graph *graph, const struct sphere_op *op, bool flat, const char *x) {
    const struct conv_geometry *g = &op->conv.g;
    int count = conv_patch(g);
    double *ones = arena_alloc(&graph->arena, (size_t)count * sizeof *ones);
    for (int i = 0; i < count; i++)
        ones[i] = 1;
    const int64_t of_vector[] = {1, count}, of_image[] = {1, g->channels, g->kernel_h, g->kernel_w};
    const char *box = onnx_constant(graph, "ones", ones, flat ? 2 : 4, flat ? of_vector : of_image);
    const char *squares = onnx_node(graph, "Mul", "squares", ONNX_INPUTS(x, x));
    const char *sums = filtered(graph, op, flat, "patch_squares", ONNX_INPUTS(squares, box));
    const char *epsilon = onnx_number(graph, "epsilon", op->config->epsilon);
    return onnx_node(graph, "Sqrt", "lengths",
                     ONNX_INPUTS(onnx_node(graph, "Add", "squares_and_epsilon", ONNX_INPUTS(sums, epsilon))));
}

/* [filters]: |w| */
static double *filter_lengths(struct onnx_graph *graph, const struct sphere_op *op) {
    int filters = op->conv.g.filters;
    size_t patch = (size_t)conv_patch(&op->conv.g);
    double *lengths = arena_alloc(&graph->arena, (size_t)filters * sizeof *lengths);
    for (int f = 0; f < filters; f++)
        lengths[f] = sqrt(vector_squares(op->w + (size_t)f * patch, patch) + op->config->epsilon);
    return lengths;
}

const char *onnx_clamped(struct onnx_graph *graph, const char *name, const char *cosines, double limit) {
    const char *least = onnx_number(graph, arena_printf(&graph->arena, "%s_least", name), -limit);
    const char *largest = onnx_number(graph, arena_printf(&graph->arena, "%s_largest", name), limit);
    return onnx_node(graph, "Clip", name, ONNX_INPUTS(cosines, least, largest));
}

static const char *cosines_of(struct onnx_graph *graph, const struct sphere_op *op, bool flat, const char *x,
                              const double *w_lengths, const char *x_lengths) {
    int filters = op->conv.g.filters;
    double *inverses = arena_alloc(&graph->arena, (size_t)filters * sizeof *inverses);
    for (int f = 0; f < filters; f++)
        inverses[f] = 1 / w_lengths[f];
    const char *weights = onnx_trained(graph, "weight", inverses);
    const char *dots = filtered(graph, op, flat, "products", ONNX_INPUTS(x, weights));
    const char *rounded = onnx_node(graph, "Div", "rounded_cosines", ONNX_INPUTS(dots, x_lengths));
    return onnx_clamped(graph, "cosines", rounded, op->angular.type->clamped ? 1 - ANGULAR_CLAMP : 1);
}

static const char *with_magnitude(struct onnx_graph *graph, const struct sphere_op *op, bool flat, const char *g,
                                  double *w_lengths, const char *x_lengths) {
    const struct magnitude *magnitude = &op->magnitude;
    const char *of_x = onnx_magnitude_of(&magnitude->type->kind)(graph, magnitude, x_lengths);
    if (of_x)
        g = onnx_node(graph, "Mul", "with_patch_length", ONNX_INPUTS(g, of_x));
    if (magnitude->type->scale_free)
        return g;
    for (int f = 0; f < op->conv.g.filters; f++)
        w_lengths[f] = (double)magnitude->type->of_w(magnitude, (real)w_lengths[f]).value;
    return onnx_node(graph, "Mul", "with_filter_length",
                     ONNX_INPUTS(g, onnx_channels(graph, "filter_lengths", w_lengths, op->conv.g.filters, flat)));
}

const char *onnx_operator(struct onnx_graph *graph, const struct sphere_op *op, bool flat, const char *x,
                          const char **lengths) {
    if (op->ordinary) {
        const char *weights = onnx_trained(graph, "weight", NULL);
        return filtered(graph, op, flat, "products",
                        ONNX_INPUTS(x, weights, op->bias ? onnx_trained(graph, "bias", NULL) : NULL));
    }
    double *w_lengths = filter_lengths(graph, op);
    const char *x_lengths = patch_lengths(graph, op, flat, x);
    const char *cosines = cosines_of(graph, op, flat, x, w_lengths, x_lengths);
    const char *g = onnx_angular_of(&op->angular.type->kind)(graph, &op->angular, flat, cosines);
    const char *y = with_magnitude(graph, op, flat, g, w_lengths, x_lengths);
    if (lengths)
        *lengths = x_lengths;
    if (!op->bias)
        return y;
    const char *bias = onnx_channels(graph, "bias", onnx_values(graph, "bias"), op->conv.g.filters, flat);
    return onnx_node(graph, "Add", "with_bias", ONNX_INPUTS(y, bias));
}
