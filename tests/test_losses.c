/* Angular losses: values against the formulas of tests/ref, and what happens at the ends of every range; in double also
 * their gradients, against differences of the values. Every angular row of the registry is covered, or a test here
 * fails. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "machine/threads.h"
#include "op/angular.h"
#include "support/loss_case.h"

/* --- Values ------------------------------------------------------------------------------------------------------ */

static void check_values(const struct loss_case *c) {
    static const int classes[] = {2, 3, CLASSES};
    struct inputs in;
    for (int i = 0; i < COUNT(classes); i++) {
        sample(&in, c, classes[i]);
        for (int j = 0; j < LOSS_ITERATIONS; j++)
            check_value(c, &in, iterations[j]);
    }
}

START_TEST(values_of_losses) {
    each_case(_i, check_values);
}
END_TEST

/* The value does not depend on whether the gradient is wanted, and nothing of the gradient stays unset. */
static void check_with_gradient(const struct loss_case *c) {
    struct inputs in;
    struct gradients gradients;
    sample(&in, c, 3);
    for (int j = 0; j < LOSS_ITERATIONS; j++) {
        double with = evaluate(c, &in, iterations[j], &gradients), without = evaluate(c, &in, iterations[j], NULL);
        EXPECT(with == without, "%s: %.17g with gradient, %.17g without", c->yaml, with, without);
        for (int i = 0; i < in.n * in.classes; i++)
            EXPECT(isfinite(gradients.cosines[i]), "%s: scores[%d] is %g", c->yaml, i, gradients.cosines[i]);
        for (int i = 0; i < in.n; i++) {
            EXPECT(isfinite(gradients.lengths[i]), "%s: lengths[%d] is %g", c->yaml, i, gradients.lengths[i]);
            EXPECT(c->row->looks_at_lengths || gradients.lengths[i] == 0, "%s: lengths[%d] is %g", c->yaml, i,
                   gradients.lengths[i]);
        }
    }
}

START_TEST(values_with_and_without_gradient) {
    each_case(_i, check_with_gradient);
}
END_TEST

static void check_lambda(const struct loss_case *c) {
    static const int64_t points[] = {1, 2, 10, 100, 1700, 64000, INT32_MAX};
    for (int i = 0; i < COUNT(points); i++) {
        double found = loss_lambda(c->loss, points[i]), expected = expected_lambda(c, points[i]);
        EXPECT(fabs(found - expected) <= 1e-14 * expected, "%s: lambda is %.17g at %d, expected %.17g", c->yaml, found,
               (int)points[i], expected);
    }
}

START_TEST(lambdas) {
    each_case(_i, check_lambda);
}
END_TEST

/* What a spec that names the loss alone gets: the method's values. */
static const struct {
    const char *type;
    int activation; /* its place in the table of them */
    double margin, scale;
    struct ref_annealing annealing;
} defaults[] = {
    {"w_softmax", 0, 1, 1, {0, 0, 0, 0}},        {"a_softmax", 0, 4, 1, {1000, 0.12, 1, 5}},
    {"ga_softmax", 1, 4, 1, {1000, 0.12, 1, 5}}, {"cosface", 0, 0.35, 64, {0, 0, 1, 0}},
    {"arcface", 0, 0.5, 64, {0, 0, 1, 0}},
};

START_TEST(defaults_of_a_spec) {
    struct loss_case c = {.row = &loss_rows[_i], .activation = &activations[defaults[_i].activation]};
    struct inputs in;
    ck_assert_str_eq(defaults[_i].type, c.row->type);
    c.margin = defaults[_i].margin;
    c.scale = defaults[_i].scale;
    c.annealing = defaults[_i].annealing;
    snprintf(c.yaml, sizeof c.yaml, "loss: %s", c.row->type);
    c.loss = bind_loss(&c.arena, c.yaml);
    sample(&in, &c, CLASSES);
    for (int j = 0; j < LOSS_ITERATIONS; j++)
        check_value(&c, &in, iterations[j]);
    check_lambda(&c);
    arena_free(&c.arena);
}
END_TEST

START_TEST(every_angular_loss_is_covered) {
    for (int row = 0; loss_registry.rows[row]; row++) {
        const struct loss_type *type = (const struct loss_type *)loss_registry.rows[row];
        bool covered = type->needs == HEAD_SCORES || strcmp(type->kind.name, "sphereface2") == 0; /* its own suite */
        for (int i = 0; i < LOSS_ROWS; i++)
            covered |= strcmp(type->kind.name, loss_rows[i].type) == 0;
        EXPECT(covered, "no case for loss %s", type->kind.name);
        EXPECT(type->needs == HEAD_COSINES || (!type->annealing && strcmp(type->kind.name, "softmax") == 0), "loss %s",
               type->kind.name);
    }
}
END_TEST

/* --- The ends of every range ------------------------------------------------------------------------------------- */

/* Where the formulas have finite values in either arithmetic, and beyond. Squares of the latter overflow. */
static const double lengths_within[] = {0, 1e-30, 0.01, 1, 1e3, 1e15};
static const double lengths_beyond[] = {1e25, REAL_LARGEST, INFINITY};
static const real corners[] = {1, -1, 0};

enum { CORNERS = 27 };

/* Every way to have three classes parallel, antiparallel or at a right angle to a feature of that length. */
static void corner_inputs(struct inputs *in, double length, int label) {
    in->n = CORNERS;
    in->classes = 3;
    for (int i = 0; i < CORNERS; i++) {
        in->labels[i] = label;
        in->lengths[i] = (real)length;
        for (int j = 0, rest = i; j < 3; j++)
            in->cosines[3 * i + j] = corners[take(&rest, 3)];
    }
}

static void check_numbers(const struct loss_case *c, const struct inputs *in, const char *what, const real *values,
                          int count, bool finite) {
    for (int i = 0; i < count; i++)
        EXPECT(finite ? isfinite(values[i]) : !isnan(values[i]), "%s, lengths %g: %s[%d] is %g", c->yaml,
               in->lengths[0], what, i, values[i]);
}

static void check_corner(const struct loss_case *c, double length, int label, int64_t iteration, bool finite) {
    struct inputs in;
    struct gradients gradients;
    corner_inputs(&in, length, label);
    double value = evaluate(c, &in, iteration, &gradients);
    EXPECT(finite ? isfinite(value) : !isnan(value), "%s, lengths %g, iteration %d: the loss is %g", c->yaml, length,
           (int)iteration, value);
    check_numbers(c, &in, "scores", gradients.cosines, in.n * in.classes, finite);
    check_numbers(c, &in, "lengths", gradients.lengths, in.n, finite);
    if (finite)
        check_value(c, &in, iteration);
}

static void check_corners(const struct loss_case *c) {
    for (int label = 0; label < 3; label++)
        for (int j = 0; j < LOSS_ITERATIONS; j++) {
            for (int i = 0; i < COUNT(lengths_within); i++)
                check_corner(c, lengths_within[i], label, iterations[j], true);
            for (int i = 0; i < COUNT(lengths_beyond); i++)
                check_corner(c, lengths_beyond[i], label, iterations[j], false);
        }
}

START_TEST(corners_are_numbers) {
    each_case(_i, check_corners);
}
END_TEST

/* What went wrong before the loss must show in it: that is what training watches. */
static void check_nan(const struct loss_case *c) {
    struct inputs in;
    for (int j = 0; j < 3; j++)
        for (int k = 0; k < LOSS_ITERATIONS; k++) {
            sample(&in, c, 3);
            in.cosines[j] = (real)NAN;
            double value = evaluate(c, &in, iterations[k], NULL);
            EXPECT(isnan(value), "%s: the loss is %g where cosine %d of 3, label %d, is not a number", c->yaml, value,
                   j, in.labels[0]);
        }
    sample(&in, c, 3);
    in.lengths[0] = (real)NAN;
    double value = evaluate(c, &in, 1, NULL);
    EXPECT(isnan(value) == c->row->looks_at_lengths, "%s: the loss is %g where a length is not a number", c->yaml,
           value);
}

START_TEST(a_nan_stays_one) {
    each_case(_i, check_nan);
}
END_TEST

/* --- Trained k --------------------------------------------------------------------------------------------------- */

enum { K_IMAGES = 6, K_CLASSES = 3 };

/* A margin and whether all classes share a k, by number. */
static struct choice open_learnable(struct arena *arena, int number) {
    const char *yaml = arena_printf(arena,
                                    "loss: {type: ga_softmax, angular: learnable_sigmoid, k_offset: 0.1, margin: %d, "
                                    "k_shared: %s, annealing: {base: 0, minimum: 0.5}}",
                                    number < 2 ? 1 : 3, number % 2 ? "layer" : "filter");
    return bind_loss(arena, yaml);
}

struct k_batch {
    real cosines[K_IMAGES * K_CLASSES], lengths[K_IMAGES], k[K_CLASSES];
    int32_t labels[K_IMAGES];
    struct loss_input in;
};

static void fill_k_batch(struct k_batch *batch) {
    struct rng rng = rng_stream(21, RNG_TEST, 0, 0);
    for (int i = 0; i < K_IMAGES * K_CLASSES; i++)
        batch->cosines[i] = (real)(1.9 * rng_uniform(&rng) - 0.95);
    for (int i = 0; i < K_IMAGES; i++) {
        batch->lengths[i] = (real)(0.5 + 4 * rng_uniform(&rng));
        batch->labels[i] = i % K_CLASSES;
    }
    for (int i = 0; i < K_CLASSES; i++)
        batch->k[i] = (real)0.25;
    batch->in = (struct loss_input){K_IMAGES, K_CLASSES, batch->cosines, batch->lengths, batch->labels, batch->k};
}

START_TEST(equal_k_are_one_fixed_k) {
    struct arena arena = {0};
    struct k_batch batch;
    real scores[2][K_IMAGES * K_CLASSES], lengths[2][K_IMAGES], dk[K_CLASSES];
    fill_k_batch(&batch);
    const char *yaml = arena_printf(&arena,
                                    "loss: {type: ga_softmax, angular: sigmoid, k: 0.35, margin: %d, annealing: {base: "
                                    "0, minimum: 0.5}}",
                                    _i < 2 ? 1 : 3);
    double trained =
        lone_loss(open_learnable(&arena, _i), &batch.in, 1, &(struct loss_gradient){scores[0], lengths[0], dk});
    batch.in.own = NULL;
    double fixed =
        lone_loss(bind_loss(&arena, yaml), &batch.in, 1, &(struct loss_gradient){scores[1], lengths[1], NULL});
    EXPECT(fabs(trained - fixed) <= 1e-6 * fixed, "%.17g, expected %.17g", trained, fixed);
    for (int i = 0; i < K_IMAGES * K_CLASSES; i++)
        EXPECT(fabs((double)(scores[0][i] - scores[1][i])) <= 1e-5, "%s: cosine %d", yaml, i);
    for (int i = 0; i < K_IMAGES; i++)
        EXPECT(fabs((double)(lengths[0][i] - lengths[1][i])) <= 1e-5, "%s: length %d", yaml, i);
    arena_free(&arena);
}
END_TEST

#ifdef SN_DOUBLE

/* Steps of 1e-5: what they miss is below 1e-8 of the value, rounding below 1e-10. */
START_TEST(gradient_of_k) {
    struct arena arena = {0};
    struct k_batch batch;
    real scores[K_IMAGES * K_CLASSES], lengths[K_IMAGES], dk[K_CLASSES];
    struct choice loss = open_learnable(&arena, _i);
    const double step = 1e-5;
    fill_k_batch(&batch);
    batch.k[0] = 0.7;
    batch.k[1] = -0.2;
    lone_loss(loss, &batch.in, 1, &(struct loss_gradient){scores, lengths, dk});
    for (int j = 0; j < (_i % 2 ? 1 : K_CLASSES); j++) {
        double was = batch.k[j];
        batch.k[j] = was + step;
        double above = lone_loss(loss, &batch.in, 1, NULL);
        batch.k[j] = was - step;
        double below = lone_loss(loss, &batch.in, 1, NULL), expected = (above - below) / (2 * step);
        batch.k[j] = was;
        EXPECT(fabs(dk[j] - expected) <= 1e-8, "d / d k[%d] is %.15g, expected %.15g", j, dk[j], expected);
    }
    arena_free(&arena);
}
END_TEST

/* --- Gradients --------------------------------------------------------------------------------------------------- */

/* Of image i alone, as part of the mean. */
static double share(const struct loss_case *c, const struct inputs *in, int image, int64_t iteration) {
    struct loss_input input = {
        1, in->classes, in->cosines + image * in->classes, in->lengths + image, in->labels + image, NULL};
    return lone_loss(c->loss, &input, iteration, NULL) / in->n;
}

/* Central differences of fourth order. */
static double difference(const struct loss_case *c, struct inputs *in, int image, int64_t iteration, double *at,
                         double step) {
    static const double offsets[] = {-2, -1, 1, 2}, weights[] = {1, -8, 8, -1};
    double was = *at, sum = 0;
    for (int i = 0; i < COUNT(offsets); i++) {
        *at = was + offsets[i] * step;
        sum += weights[i] * share(c, in, image, iteration);
    }
    *at = was;
    return sum / (12 * step);
}

/* Small beside the angle's curvature: near |c| = 1 and near a break, beside the distance to it, so that no difference
 * reaches across; else beside the angle over which the steepest activation at the largest margin turns, 2k / m. */
static double step_at(const struct loss_case *c, double cosine) {
    double at[ANGLES], distance = 1 - fabs(cosine);
    int count = breaks(c, at);
    for (int i = 0; i < count; i++)
        distance = fmin(distance, fabs(cosine - cos(at[i])));
    return fmin(2e-4, 5e-3 * distance);
}

/* With a step of 5e-3 of the distance d to where the root in acos ends, an error of order four is below 1e-8 of the
 * slope. The value is rounded to some 1e-16 of the largest logit, which the difference divides by the step. */
static void check_slope(const struct loss_case *c, const struct inputs *in, const char *what, int image, int class,
                        double found, double expected, double scale, double step) {
    double rounding = 4 * DBL_EPSILON * (1 + largest_logit(c, in)) / (step * in->n);
    EXPECT(fabs(found - expected) <= 1e-7 * scale + rounding,
           "%s: d / d %s[%d][%d] is %.15g, expected %.15g (cosine %.10g, label %d)", c->yaml, what, image, class, found,
           expected, in->cosines[image * in->classes + class], in->labels[image]);
}

static void check_image(const struct loss_case *c, struct inputs *in, int image, int64_t iteration,
                        const struct gradients *gradients) {
    for (int j = 0; j < in->classes; j++) {
        int place = image * in->classes + j;
        double step = step_at(c, in->cosines[place]);
        double expected = difference(c, in, image, iteration, &in->cosines[place], step);
        check_slope(c, in, "scores", image, j, gradients->cosines[place], expected, fabs(expected), step);
    }
    double expected = difference(c, in, image, iteration, &in->lengths[image], 1e-4);
    check_slope(c, in, "lengths", image, 0, gradients->lengths[image], expected, fabs(expected), 1e-4);
}

static void check_gradients(const struct loss_case *c) {
    struct inputs in;
    struct gradients gradients;
    sample(&in, c, 3);
    for (int j = 0; j < LOSS_ITERATIONS; j++) {
        evaluate(c, &in, iterations[j], &gradients);
        for (int i = 0; i < in.n; i++)
            check_image(c, &in, i, iterations[j], &gradients);
    }
}

START_TEST(gradients) {
    each_case(_i, check_gradients);
}
END_TEST

#endif

/* --- Suite ------------------------------------------------------------------------------------------------------- */

/* For each test, in its own process: OpenMP that a process has used is not to be used by its children. */
static void start(void) {
    gemm_setup();
    threads_use(1);
}

Suite *test_suite(void) {
    Suite *suite = suite_create("losses");
    TCase *cases = suite_group(suite, "values", 120, start, NULL);
    tcase_add_test(cases, every_angular_loss_is_covered);
    tcase_add_loop_test(cases, values_of_losses, 0, LOSS_ROWS);
    tcase_add_loop_test(cases, values_with_and_without_gradient, 0, LOSS_ROWS);
    tcase_add_loop_test(cases, lambdas, 0, LOSS_ROWS);
    tcase_add_loop_test(cases, defaults_of_a_spec, 0, COUNT(defaults));
    TCase *ends = suite_group(suite, "ends", 120, start, NULL);
    tcase_add_loop_test(ends, corners_are_numbers, 0, LOSS_ROWS);
    tcase_add_loop_test(ends, a_nan_stays_one, 0, LOSS_ROWS);
    TCase *learnable = suite_group(suite, "trained k", 120, start, NULL);
    tcase_add_loop_test(learnable, equal_k_are_one_fixed_k, 0, 4);
#ifdef SN_DOUBLE
    tcase_add_loop_test(learnable, gradient_of_k, 0, 4);
    TCase *slopes = suite_group(suite, "gradients", 120, start, NULL);
    tcase_add_loop_test(slopes, gradients, 0, LOSS_ROWS);
#endif
    return suite;
}
