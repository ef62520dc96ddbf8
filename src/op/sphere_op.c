#include "op/sphere_op.h"

#include <math.h>
#include <string.h>

#include <omp.h>

#include "kernel/chunk.h"

static const char *const sharing_names[] = {"filter", "layer", NULL};

#define OPERATOR_PARAMS(DEFAULT_MAGNITUDE)                                                                             \
    ROW_KEY(struct operator_config, magnitude, "magnitude", DEFAULT_MAGNITUDE, &magnitude_registry,                    \
            "what the lengths of filter and patch contribute"),                                                        \
        ROW_KEY(struct operator_config, angular, "angular", "cosine", &angular_registry,                               \
                "what the angle between filter and patch contributes"),                                                \
        REAL_KEY(struct operator_config, k, "k", "0.3", 0.01, 100,                                                     \
                 "sigmoid: small is near a step, large near linear"),                                                  \
        REAL_KEY(struct operator_config, initial_k, "initial_k", "0.7", -100, 100,                                     \
                 "learnable_sigmoid: where k starts"),                                                                 \
        REAL_KEY(struct operator_config, k_offset, "k_offset", "0.05", 0.01, 10,                                       \
                 "learnable_sigmoid: effective k = |k| + k_offset"),                                                   \
        ENUM_KEY(struct operator_config, k_shared, "k_shared", "filter", sharing_names,                                \
                 "learnable_sigmoid: one k for each filter or for the layer"),                                         \
        REAL_KEY(struct operator_config, epsilon, "epsilon", "1e-4", 1e-12, 1,                                         \
                 "added to the sum of squares under a norm's root"),                                                   \
        END_OF_KEYS

const struct param sphere_operator_params[] = {OPERATOR_PARAMS("sphere")};
const struct param ordinary_operator_params[] = {OPERATOR_PARAMS("product")};

void sphere_op_init(struct sphere_op *op, const struct operator_config *config, struct conv_geometry geometry,
                    bool bias) {
    *op = (struct sphere_op){
        .geometry = geometry,
        .magnitude = (const struct magnitude *)config->magnitude,
        .angular = (const struct angular *)config->angular,
        .config = config,
        .bias = bias,
    };
}

bool sphere_op_ordinary(const struct sphere_op *op) {
    return op->magnitude == &magnitude_product && op->angular->identity;
}

bool sphere_op_output_is_cosine(const struct sphere_op *op) {
    return op->magnitude == &magnitude_sphere && op->angular->identity && !op->bias;
}

/* --- Scratch ----------------------------------------------------------------------------------------------------- */

/* Sums over positions that the backward pass needs of each filter. */
enum { SUM_BIAS, SUM_COSINE, SUM_MAGNITUDE, SUM_K, SUMS };
/* Rows of work for one thread: the activation's own, and g, dg/dc, dg/dk. */
enum { WORK_ROWS = ANGULAR_WORK + 3 };

struct layout {
    size_t gradient, x_slope, partial, sums, work, squares, conv, end; /* offsets in reals */
};

static struct layout layout_of(const struct sphere_op *op, int n) {
    size_t positions = (size_t)conv_positions(&op->geometry, n), filters = (size_t)op->geometry.filters;
    struct layout at = {0};
    at.x_slope = at.gradient + positions * filters;
    at.partial = at.x_slope + positions;
    at.sums = at.partial + (size_t)chunk_count((int)positions) * SUMS * filters;
    at.work = at.sums + SUMS * filters;
    at.squares = at.work + (size_t)omp_get_max_threads() * WORK_ROWS * filters;
    at.conv = at.squares + (size_t)n * (size_t)op->geometry.height * (size_t)op->geometry.width;
    at.end = at.conv + conv_scratch(&op->geometry);
    return at;
}

size_t sphere_op_scratch(const struct sphere_op *op, int n) {
    return layout_of(op, n).end;
}

static real *thread_work(const struct sphere_op *op, real *work) {
    return work + (size_t)omp_get_thread_num() * WORK_ROWS * (size_t)op->geometry.filters;
}

/* --- Forward ----------------------------------------------------------------------------------------------------- */

static struct angular_coefficients coefficients_of(const struct sphere_op *op) {
    real *base = op->coefficients;
    int filters = op->geometry.filters;
    return (struct angular_coefficients){base, base + filters, base + 2 * filters};
}

static double effective_k(const struct sphere_op *op, int filter) {
    if (!op->angular->trains_k)
        return op->config->k;
    real k = op->k[op->config->k_shared == K_PER_LAYER ? 0 : filter];
    return fabs((double)k) + op->config->k_offset;
}

static void prepare_coefficients(const struct sphere_op *op) {
    struct angular_coefficients coefficients = coefficients_of(op);
    for (int f = 0; op->angular->uses_k && f < op->geometry.filters; f++)
        angular_set_k(&coefficients, f, effective_k(op, f));
}

static void filter_norms(const struct sphere_op *op) {
    int patch = conv_patch(&op->geometry);
    real epsilon = (real)op->config->epsilon;
#pragma omp parallel for schedule(static)
    for (int f = 0; f < op->geometry.filters; f++) {
        const real *w = op->w + (size_t)f * (size_t)patch;
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < patch; i++)
            sum += w[i] * w[i];
        op->w_norm[f] = (real)sqrt(sum + epsilon);
        op->w_inverse[f] = 1 / op->w_norm[f];
        op->w_factor[f] = op->magnitude->of_w.value(op->w_norm[f]);
    }
}

static void patch_norms(const struct sphere_op *op, int n, const real *x, real *scratch) {
    int positions = conv_positions(&op->geometry, n);
    real epsilon = (real)op->config->epsilon;
    conv_patch_squares(&op->geometry, n, op->x_norm, x, scratch);
#pragma omp parallel for simd schedule(static)
    for (int p = 0; p < positions; p++) {
        real squares = op->x_norm[p];
        op->x_norm[p] = (real)sqrt(squares + epsilon);
        op->x_inverse[p] = squares == 0 ? 0 : 1 / op->x_norm[p];
    }
}

static void add_bias(const struct sphere_op *op, int n, real *y) {
    int positions = conv_positions(&op->geometry, n), filters = op->geometry.filters;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < positions; p++)
#pragma omp simd
        for (int f = 0; f < filters; f++)
            y[(size_t)p * (size_t)filters + (size_t)f] += op->b[f];
}

/* From dot products in c (or in y, where y is c) to cosines and outputs, a position at a time. A convolution in the
 * transform domain rounds in proportion to the largest value of a tile, which a small patch's norm would blow up: the
 * cosine of a patch of zeros is 0 all the same, and none leaves [-1, 1]. */
static void apply_angles(const struct sphere_op *op, int n, real *y, real *work) {
    int positions = conv_positions(&op->geometry, n), filters = op->geometry.filters;
    struct angular_coefficients k = coefficients_of(op);
    real *cosines = op->c ? op->c : y;
    bool done = cosines == y;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < positions; p++) {
        real *c = cosines + (size_t)p * (size_t)filters, *out = y + (size_t)p * (size_t)filters;
        real x_inverse = op->x_inverse[p], h_x = op->magnitude->of_x.value(op->x_norm[p]);
#pragma omp simd
        for (int f = 0; f < filters; f++) {
            real cosine = c[f] * x_inverse * op->w_inverse[f];
            c[f] = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
        }
        if (done)
            continue;
        op->angular->value(out, c, &k, filters, thread_work(op, work));
#pragma omp simd
        for (int f = 0; f < filters; f++)
            out[f] *= h_x * op->w_factor[f];
    }
}

void sphere_op_forward(struct sphere_op *op, int n, real *y, const real *x, real *scratch) {
    struct layout at = layout_of(op, n);
    if (sphere_op_ordinary(op)) {
        conv_forward(&op->geometry, n, y, x, op->w, scratch + at.conv);
    } else {
        prepare_coefficients(op);
        filter_norms(op);
        patch_norms(op, n, x, scratch + at.squares);
        conv_forward(&op->geometry, n, op->c ? op->c : y, x, op->w, scratch + at.conv);
        apply_angles(op, n, y, scratch + at.work);
    }
    if (op->bias)
        add_bias(op, n, y);
}

/* --- Backward ---------------------------------------------------------------------------------------------------- */

/* One position's share of the backward pass: G of its filters, r of its patch, and its terms of the filters' sums. */
static void backward_position(const struct sphere_op *op, int p, real *gradient, real *x_slope, real *sums,
                              const real *dy, const real *c, real *work) {
    int filters = op->geometry.filters;
    real *g = work + ANGULAR_WORK * filters, *slope = g + filters, *k_slope = slope + filters;
    struct angular_coefficients k = coefficients_of(op);
    const struct magnitude_factor *of_x = &op->magnitude->of_x;
    const real *h_w = op->w_factor, *w_inverse = op->w_inverse;
    real n_x = op->x_norm[p], x_inverse = 1 / n_x, h_x = of_x->value(n_x);
    real cosine_sum = 0, magnitude_sum = 0;
    op->angular->slope(g, slope, k_slope, c, &k, filters, work);
#pragma omp simd reduction(+ : cosine_sum, magnitude_sum)
    for (int f = 0; f < filters; f++) {
        real h_gradient = dy[f] * h_x * h_w[f] * slope[f]; /* dL/dc */
        gradient[f] = h_gradient * x_inverse * w_inverse[f];
        cosine_sum += h_gradient * c[f];
        magnitude_sum += dy[f] * h_w[f] * g[f];
        sums[SUM_COSINE * filters + f] += h_gradient * c[f];
        sums[SUM_MAGNITUDE * filters + f] += dy[f] * h_x * g[f];
    }
    if (op->angular->trains_k)
#pragma omp simd
        for (int f = 0; f < filters; f++)
            sums[SUM_K * filters + f] += dy[f] * h_x * h_w[f] * k_slope[f];
    *x_slope = -cosine_sum * x_inverse * x_inverse;
    if (of_x->slope)
        *x_slope += magnitude_sum * of_x->slope(n_x) * x_inverse;
}

/* The same where y is c: SphereConv with the cosine activation, which is most of them. */
static void backward_cosine_position(const struct sphere_op *op, int p, real *gradient, real *x_slope, real *sums,
                                     const real *dy, const real *c) {
    int filters = op->geometry.filters;
    real x_inverse = 1 / op->x_norm[p], cosine_sum = 0;
    real *cosine_sums = sums + SUM_COSINE * filters;
#pragma omp simd reduction(+ : cosine_sum)
    for (int f = 0; f < filters; f++) {
        real product = dy[f] * c[f];
        gradient[f] = dy[f] * x_inverse * op->w_inverse[f];
        cosine_sum += product;
        cosine_sums[f] += product;
    }
    *x_slope = -cosine_sum * x_inverse * x_inverse;
}

static void add_bias_sums(real *sums, const real *dy, int filters) {
#pragma omp simd
    for (int f = 0; f < filters; f++)
        sums[SUM_BIAS * filters + f] += dy[f];
}

/* Fills gradient (G), x_slope (r) and the sums over positions. */
static void backward_positions(const struct sphere_op *op, int n, const real *dy, const real *y, real *scratch) {
    struct layout at = layout_of(op, n);
    int positions = conv_positions(&op->geometry, n), filters = op->geometry.filters;
    bool ordinary = sphere_op_ordinary(op), is_cosine = sphere_op_output_is_cosine(op);
    const real *cosines = op->c ? op->c : y;
#pragma omp parallel for schedule(static)
    for (int chunk = 0; chunk < chunk_count(positions); chunk++) {
        real *sums = scratch + at.partial + (size_t)chunk * SUMS * (size_t)filters;
        real *work = thread_work(op, scratch + at.work);
        memset(sums, 0, SUMS * (size_t)filters * sizeof *sums);
        for (int p = chunk * CHUNK_ROWS; p < chunk_end(chunk, positions); p++) {
            size_t row = (size_t)p * (size_t)filters;
            real *gradient = scratch + at.gradient + row, *x_slope = scratch + at.x_slope + p;
            if (is_cosine)
                backward_cosine_position(op, p, gradient, x_slope, sums, dy + row, cosines + row);
            else if (!ordinary)
                backward_position(op, p, gradient, x_slope, sums, dy + row, cosines + row, work);
            if (op->bias)
                add_bias_sums(sums, dy + row, filters);
        }
    }
    chunk_reduce(scratch + at.sums, scratch + at.partial, chunk_count(positions), SUMS * filters);
}

/* What the filters' own norms add to their gradient. */
static void add_norm_gradient(const struct sphere_op *op, const real *sums) {
    int filters = op->geometry.filters, patch = conv_patch(&op->geometry);
    const struct magnitude_factor *of_w = &op->magnitude->of_w;
#pragma omp parallel for schedule(static)
    for (int f = 0; f < filters; f++) {
        real n_w = op->w_norm[f];
        real factor = -sums[SUM_COSINE * filters + f] / (n_w * n_w);
        if (of_w->slope)
            factor += sums[SUM_MAGNITUDE * filters + f] * of_w->slope(n_w) / n_w;
        const real *w = op->w + (size_t)f * (size_t)patch;
        real *dw = op->dw + (size_t)f * (size_t)patch;
#pragma omp simd
        for (int i = 0; i < patch; i++)
            dw[i] += factor * w[i];
    }
}

/* d effective k / dk = sign(k) */
static void set_k_gradient(const struct sphere_op *op, const real *sums) {
    int filters = op->geometry.filters;
    bool shared = op->config->k_shared == K_PER_LAYER;
    memset(op->dk, 0, (shared ? 1 : (size_t)filters) * sizeof *op->dk);
    for (int f = 0; f < filters; f++) {
        int i = shared ? 0 : f;
        op->dk[i] += op->k[i] < 0 ? -sums[SUM_K * filters + f] : sums[SUM_K * filters + f];
    }
}

void sphere_op_backward(struct sphere_op *op, int n, real *dx, const real *dy, const real *x, const real *y,
                        real *scratch) {
    struct layout at = layout_of(op, n);
    const struct conv_geometry *g = &op->geometry;
    bool ordinary = sphere_op_ordinary(op);
    const real *sums = scratch + at.sums, *gradient = ordinary ? dy : scratch + at.gradient;
    if (!ordinary || op->bias)
        backward_positions(op, n, dy, y, scratch);
    if (op->bias)
        memcpy(op->db, sums + SUM_BIAS * g->filters, (size_t)g->filters * sizeof *op->db);
    conv_backward_weights(g, n, op->dw, x, gradient, scratch + at.conv);
    if (dx)
        conv_backward_data(g, n, dx, gradient, op->w, scratch + at.conv);
    if (ordinary)
        return;
    add_norm_gradient(op, sums);
    if (dx)
        conv_add_box(g, n, dx, x, scratch + at.x_slope);
    if (op->angular->trains_k)
        set_k_gradient(op, sums);
}
