/* Operators and networks at the ends of every range, in double: patches of zeros, parallel ones, huge and tiny lengths,
 * batches smaller than planned. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernel/gemm.h"
#include "layer/configs.h"
#include "machine/threads.h"
#include "ref/reference.h"
#include "support/f64_layers.h"
#include "support/f64_subject.h"
#include "support/operators.h"

static void open_operator(struct subject *s, int operation, const char *keys, struct shape in, int n) {
    char yaml[512];
    snprintf(yaml, sizeof yaml, "layers: [{type: conv, name: a, filters: 3, kernel: 1, operator: %s}]",
             operator_yaml(operation, keys));
    subject_open(s, yaml, in, (struct shape){in.height, in.width, 3, false}, n, n);
}

static const struct operator_config *operation_of(const struct subject *s) {
    return &((const struct conv_config *)s->layers.choices[0].config)->operation;
}

static double effective_k(const struct subject *s, int filter) {
    const double *k = tensor_values(&s->net, "a", "k");
    struct choice angular = operation_of(s)->angular;
    return k ? fabs(k[filter]) + row_number(angular, "k_offset", 0) : row_number(angular, "k", 0);
}

static double sum_of_squares(const double *values, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sum;
}

/* h and n_w n_x where x is 0. */
static void at_zero(const struct subject *s, int filter, double *h, double *norms) {
    const struct operator_config *config = operation_of(s);
    const double *w = tensor_values(&s->net, "a", "weight") + filter * s->in.channels;
    double x_norm = sqrt(config->epsilon), w_norm = sqrt(sum_of_squares(w, s->in.channels) + config->epsilon);
    double rho = effective_rho(&s->net, "a", config->magnitude);
    *h = ref_magnitude(config->magnitude.kind->name, rho, w_norm, x_norm);
    *norms = w_norm * x_norm;
}

/* g and dg/dc of a small c. */
static double angular_near_zero(const struct subject *s, int filter, double c, double *slope) {
    const struct angular_type *type = (const struct angular_type *)operation_of(s)->angular.kind;
    if (!type->clamped)
        return ref_smooth_angular(type->kind.name, c, slope);
    *slope = -ref_angular_slope(type->kind.name, M_PI / 2, effective_k(s, filter));
    return *slope * c;
}

/* Gradient of y with respect to x at x = 0, where theta = pi/2 and all but c is even in x: h dg/dc w / (n_w n_x). */
static double slope_at_zero(const struct subject *s, int filter) {
    double h, norms, slope;
    at_zero(s, filter, &h, &norms);
    angular_near_zero(s, filter, 0, &slope);
    return h * slope / norms;
}

/* y of a dot product so small that the norms are as at x = 0. */
static double value_near_zero(const struct subject *s, int filter, double dot) {
    double h, norms, slope;
    at_zero(s, filter, &h, &norms);
    return h * angular_near_zero(s, filter, dot / norms, &slope);
}

START_TEST(zero_patch) {
    struct subject s;
    open_operator(&s, _i, "", (struct shape){3, 2, 5, false}, 2);
    memset(s.x, 0, input_count(&s) * sizeof(real));
    const real *y = model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x);
    for (size_t i = 0; i < output_count(&s); i++)
        ck_assert_msg(y[i] == 0, "y[%zu] is %g", i, y[i]);
    backward(&s, s.dx);
    const double *w = tensor_values(&s.net, "a", "weight");
    double expected[2 * 3 * 2 * 5] = {0};
    for (int i = 0; i < COUNT(expected); i++)
        for (int f = 0; f < 3; f++)
            expected[i] += s.dy[i / 5 * 3 + f] * slope_at_zero(&s, f) * w[f * 5 + i % 5];
    check_near("dx", s.dx, expected, COUNT(expected), VALUE_TOLERANCE);
    check_all_finite(&s);
    subject_close(&s);
}
END_TEST

/* One image: w0, -w0, 1e8 w0, -1e8 w0. The parallel part of dc/dx vanishes, so that dx stays small. */
START_TEST(parallel_and_antiparallel) {
    enum { CHANNELS = 17, FACTORS = 4 };
    static const double factors[FACTORS] = {1, -1, 1e8, -1e8};
    struct subject s;
    open_operator(&s, _i, ", epsilon: 1e-12", (struct shape){FACTORS, 1, CHANNELS, false}, 1);
    const double *w = tensor_values(&s.net, "a", "weight");
    for (int i = 0; i < FACTORS * CHANNELS; i++)
        s.x[i] = factors[i / CHANNELS] * w[i % CHANNELS];
    check_forward(&s, "y");
    const real *y = model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x);
    double length = sqrt(sum_of_squares(w, CHANNELS));
    for (int i = 0; i < FACTORS; i++) {
        struct choice magnitude = operation_of(&s)->magnitude;
        double h = ref_magnitude(magnitude.kind->name, effective_rho(&s.net, "a", magnitude), length,
                                 fabs(factors[i]) * length);
        ck_assert_double_eq_tol(y[i * 3] / h, factors[i] < 0 ? -1 : 1, 0.02);
    }
    check_all_finite(&s);
    subject_close(&s);
}
END_TEST

/* dg/dc near |c| = 1 is the one at the clamped value, and so at most 708 times the largest dg/dtheta. */
START_TEST(angular_slope_is_clamped) {
    static const double cosines[] = {
        1,        -1,     1 + 1e-14, -1 - 1e-14, 1 - 1e-7, -1 + 1e-7, 1 - ANGULAR_CLAMP, -1 + ANGULAR_CLAMP,
        1 - 1e-5, -0.999, 0.3,       0};
    static const double ks[] = {0.01, 0.3, 0.7, 100};
    enum { FILTERS = COUNT(cosines) };
    const struct angular_type *row = (const struct angular_type *)angular_registry.rows[_i];
    for (int i = 0; i < COUNT(ks); i++) {
        struct lone_angular lone;
        double shapes[FILTERS];
        real ones[FILTERS], g[FILTERS], again[FILTERS], slope[FILTERS], shape_slope[FILTERS], work[FILTERS];
        for (int f = 0; f < FILTERS; f++) {
            shapes[f] = ks[i];
            ones[f] = 1;
        }
        lone_angular_open(&lone, row, shapes, FILTERS);
        row->value(&lone.angular, g, &(struct angular_cosines){cosines, ones, 1}, FILTERS);
        row->slope(&lone.angular, &(struct angular_slopes){again, slope, shape_slope, work}, g, FILTERS);
        for (int f = 0; f < FILTERS; f++) {
            double c = row->clamped ? fmax(-1 + ANGULAR_CLAMP, fmin(1 - ANGULAR_CLAMP, cosines[f]))
                                    : fmax(-1, fmin(1, cosines[f]));
            double theta = acos(c);
            double expected = -ref_angular_slope(row->kind.name, theta, ks[i]) / sin(theta);
            if (!row->clamped)
                ref_smooth_angular(row->kind.name, c, &expected);
            /* Where g saturates, the angle is lost, and the slope with it. */
            if (fabs(expected) > 1e-3)
                ck_assert_double_eq_tol(again[f], c, 1e-10);
            ck_assert(fabs(again[f]) <= 1);
            ck_assert_double_eq_tol(g[f], ref_angular(row->kind.name, theta, ks[i]), 1e-12);
            ck_assert_double_eq_tol(slope[f], expected, 1e-8 * fabs(expected) + 1e-11);
            ck_assert_double_le(slope[f], 708 * fmax(2 / M_PI, 1 / (2 * ks[i] * tanh(M_PI / (4 * ks[i])))));
            if (row->gradient)
                ck_assert(isfinite(shape_slope[f]));
        }
        lone_angular_close(&lone);
    }
}
END_TEST

static void multiply(real *values, size_t count, double factor) {
    for (size_t i = 0; i < count; i++)
        values[i] *= factor;
}

static void scale_weights(struct subject *s, double factor) {
    const struct tensor *w = find_tensor(&s->net, "a", "weight");
    multiply(w->value, w->count, factor);
}

START_TEST(huge_lengths) {
    for (int both = 0; both < 2; both++) {
        struct subject s;
        open_operator(&s, _i, "", (struct shape){4, 3, 5, false}, 2);
        multiply(s.x, input_count(&s), 1e15);
        scale_weights(&s, both ? 1e15 : 1);
        check_all_finite(&s);
        check_forward(&s, "y");
        subject_close(&s);
    }
}
END_TEST

/* So near 0 that nothing but the cosine changes. */
static void check_tiny_lengths(int operation, double x_factor, double w_factor) {
    struct subject s;
    double expected[2 * 4 * 3 * 3];
    open_operator(&s, operation, "", (struct shape){4, 3, 5, false}, 2);
    multiply(s.x, input_count(&s), x_factor);
    scale_weights(&s, w_factor);
    check_all_finite(&s);
    const double *w = tensor_values(&s.net, "a", "weight");
    for (int i = 0; i < COUNT(expected); i++) {
        double dot = 0;
        for (int c = 0; c < 5; c++)
            dot += w[i % 3 * 5 + c] * s.x[i / 3 * 5 + c];
        expected[i] = value_near_zero(&s, i % 3, dot);
    }
    check_near("y", model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x), expected, COUNT(expected),
               VALUE_TOLERANCE);
    subject_close(&s);
}

START_TEST(tiny_lengths) {
    check_tiny_lengths(_i, 1e-15, 1);
    check_tiny_lengths(_i, 1e-15, 1e-15);
    check_tiny_lengths(_i, 1e-15, 0);
    check_tiny_lengths(_i, 0, 0);
}
END_TEST

START_TEST(extreme_lengths_through_a_network) {
    static const double lengths[] = {1e15, 1e-15, 0};
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "layers: [%s, %s]",
             SIGMOID("a") ", " NORM("b") ", " BATCH("c") ", " RELU ", " RESIDUAL("d", SPHERE("e"), CONV("f")),
             "{type: max_pool}, {type: dense, name: g, units: 4, operator: {magnitude: linear, angular: linear}}");
    for (int i = 0; i < COUNT(lengths); i++) {
        struct subject s;
        subject_open(&s, yaml, (struct shape){7, 5, 3, false}, (struct shape){1, 1, 4, true}, 3, 3);
        multiply(s.x, input_count(&s), lengths[i]);
        check_all_finite(&s);
        subject_close(&s);
    }
}
END_TEST

/* A batch smaller than planned comes out as in a network planned for it, whatever larger batch went before. */
START_TEST(small_batch_in_a_large_plan) {
    struct subject small, large;
    struct shape in = {7, 5, 3, false}, out = {1, 1, 4, true};
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "layers: [%s, {type: max_pool}, {type: dense, name: g, units: 4}]",
             SIGMOID("a") ", " BATCH("b") ", " RELU ", " RESIDUAL("c", SPHERE("d") ", " NORM("e"), CONV("f")));
    subject_open(&small, yaml, in, out, 2, 2);
    subject_open(&large, yaml, in, out, 9, 9);
    memcpy(large.net.memory.values, small.net.memory.values, gradient_count(&small.net) * sizeof(real));
    model_forward(&large.net, model_step(&large.net, large.n, STEP_TRAIN), large.x);
    backward(&large, large.dx);
    large.n = small.n;
    memcpy(large.x, small.x, input_count(&small) * sizeof(real));
    memcpy(large.dy, small.dy, output_count(&small) * sizeof(real));
    const real *expected = model_forward(&small.net, model_step(&small.net, small.n, STEP_TRAIN), small.x);
    check_near("y", model_forward(&large.net, model_step(&large.net, large.n, STEP_TRAIN), large.x), expected,
               output_count(&small), 1e-14);
    backward(&small, small.dx);
    backward(&large, large.dx);
    check_near("dx", large.dx, small.dx, input_count(&small), 1e-13);
    check_near("gradients", large.net.memory.grads, small.net.memory.grads, gradient_count(&small.net), 1e-13);
    subject_close(&small);
    subject_close(&large);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    gemm_setup();
    threads_use(1);
    Suite *suite = suite_create("edge cases");
    TCase *edges = suite_group(suite, "edge cases", 120, NULL, NULL);
    tcase_add_loop_test(edges, zero_patch, 0, operator_count());
    tcase_add_loop_test(edges, parallel_and_antiparallel, 0, operator_count());
    tcase_add_loop_test(edges, angular_slope_is_clamped, 0, row_count(&angular_registry));
    tcase_add_loop_test(edges, huge_lengths, 0, operator_count());
    tcase_add_loop_test(edges, tiny_lengths, 0, operator_count());
    tcase_add_test(edges, extreme_lengths_through_a_network);
    tcase_add_test(edges, small_batch_in_a_large_plan);
    return suite;
}
