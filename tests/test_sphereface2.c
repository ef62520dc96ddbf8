/* SphereFace2: values against the formula in tests/ref, where its bias starts, what happens at the ends of every range,
 * and a whole network; in double also gradients against differences. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/loss_case.h"
#include "train/trainer.h"

/* --- The loss alone ---------------------------------------------------------------------------------------------- */

static const struct ref_sphereface2 cases[] = {
    {40, 0.4, 3, 0.7, 1}, /* the defaults */
    {1, 0, 1, 0.5, 1},    {64, 1, 2.5, 0.99, 50}, {0.001, 0.2, 20, 0.01, 1000}, {10, 0.3, 1, 0.6, 2},
};

static const double biases[] = {0, -7.5, 12};

static struct choice choose(struct arena *arena, const struct ref_sphereface2 *c, bool detach) {
    return bind_loss(arena, arena_printf(arena,
                                         "loss: {type: sphereface2, scale: %g, margin: %g, exponent: %g, balance: %g, "
                                         "loss_weight: %g, detach: %s}",
                                         c->scale, c->margin, c->exponent, c->balance, c->loss_weight,
                                         detach ? "true" : "false"));
}

static struct arena arena;
static struct inputs in;
static struct gradients gradients;
static real bias, bias_gradient;

static void draw(int classes) {
    struct rng rng = rng_stream(51, RNG_TEST, (uint64_t)classes, 0);
    in.n = 12;
    in.classes = classes;
    for (int i = 0; i < in.n; i++) {
        in.labels[i] = i * 5 % classes;
        in.lengths[i] = (real)(0.1 + 5 * rng_uniform(&rng));
    }
    for (int i = 0; i < in.n * classes; i++)
        in.cosines[i] = (real)(1.96 * rng_uniform(&rng) - 0.98);
}

static double evaluate_with_gradient(struct choice loss, int64_t iteration) {
    const struct loss_input input = {in.n, in.classes, in.cosines, in.lengths, in.labels, &bias};
    memset(&gradients, -1, sizeof gradients); /* NaN */
    bias_gradient = (real)NAN;
    return lone_loss(loss, &input, iteration,
                     &(struct loss_gradient){gradients.cosines, gradients.lengths, &bias_gradient});
}

static double value_of(struct choice loss, int64_t iteration) {
    const struct loss_input input = {in.n, in.classes, in.cosines, in.lengths, in.labels, &bias};
    return lone_loss(loss, &input, iteration, NULL);
}

static double expected_value(const struct ref_sphereface2 *c, int64_t iteration) {
    struct ref_sphereface2 without = *c;
    double cosines[IMAGES * CLASSES];
    for (int i = 0; i < in.n * in.classes; i++)
        cosines[i] = (double)in.cosines[i];
    without.margin = 0;
    return ref_sphereface2(iteration > 0 ? c : &without, in.n, in.classes, cosines, in.labels, (double)bias);
}

static void tear_down(void) {
    arena_free(&arena);
}

START_TEST(values) {
    struct choice loss = choose(&arena, &cases[_i], false);
    for (int classes = 2; classes <= CLASSES; classes += 4)
        for (int b = 0; b < COUNT(biases); b++)
            for (int iteration = 0; iteration < 3; iteration++) {
                draw(classes);
                bias = (real)biases[b];
                double found = evaluate_with_gradient(loss, iteration),
                       expected = expected_value(&cases[_i], iteration);
                EXPECT(fabs(found - expected) <= 1e-12 * fabs(expected), "%.17g, expected %.17g", found, expected);
                EXPECT(found == value_of(loss, iteration), "another value without gradient");
                EXPECT(isfinite(bias_gradient), "no gradient of the bias");
                for (int i = 0; i < in.n; i++)
                    EXPECT(gradients.lengths[i] == 0, "a gradient of lengths");
                for (int i = 0; i < in.n * classes; i++)
                    EXPECT(isfinite(gradients.cosines[i]), "no gradient of cosine %d", i);
            }
}
END_TEST

/* Detached, the gradient lacks the slope of g, and all else is the same. */
START_TEST(a_detached_gradient_lacks_the_slope) {
    struct gradients whole;
    draw(CLASSES);
    bias = (real)-1.5;
    double value = evaluate_with_gradient(choose(&arena, &cases[_i], false), 1), whole_bias = (double)bias_gradient;
    whole = gradients;
    EXPECT(evaluate_with_gradient(choose(&arena, &cases[_i], true), 1) == value, "another value");
    EXPECT((double)bias_gradient == whole_bias, "another gradient of the bias");
    for (int i = 0; i < in.n * in.classes; i++) {
        double slope = cases[_i].exponent * pow(((double)in.cosines[i] + 1) / 2, cases[_i].exponent - 1);
        double expected = (double)whole.cosines[i], found = (double)gradients.cosines[i] * slope;
        EXPECT(fabs(found - expected) <= 8 * (double)REAL_EPSILON * fabs(expected) + 1e-30, "%.17g, expected %.17g",
               found, expected);
    }
}
END_TEST

/* --- Where the bias starts --------------------------------------------------------------------------------------- */

static const struct start {
    int classes;
    double scale, margin, exponent, balance;
} starts[] = {
    {10, 40, 0.4, 3, 0.7}, {2, 40, 0.4, 3, 0.7}, {2, 40, 0.4, 3, 0.5}, {3, 64, 1, 1, 0.99},   {100000, 40, 0.4, 3, 0.7},
    {2, 500, 1, 3, 0.5},   {2, 500, 1, 3, 0.99}, {7, 500, 1, 3, 0.01}, {5, 0.001, 0, 1, 0.3},
};

/* The bias of a network whose loss is that. */
static double initial_bias(const struct start *start) {
    struct choice loss = choose(
        &arena, &(struct ref_sphereface2){start->scale, start->margin, start->exponent, start->balance, 1}, false);
    struct head head = {.classes = start->classes, .name = "score", .kind = HEAD_COSINES};
    struct planner planner = {.arena = &arena, .batch = 1, .threads = 1};
    struct loss planned;
    struct head_request request = loss_request(&planned, loss);
    request.plan(request.owner, &planner, &head);
    ck_assert_int_eq(planner.tensor_count, 1);
    const struct tensor *tensor = planned_tensor(&planner, 0);
    ck_assert_str_eq(tensor->name, "score.bias");
    ck_assert_int_eq(tensor->role, ROLE_BIAS);
    ck_assert_uint_eq(tensor->count, 1);
    return tensor->initial_mean;
}

/* With all cosines at 0 the own class pulls b up as much as all others push it down. Compared as logarithms, since
 * either may be tiny. */
START_TEST(the_bias_starts_in_balance) {
    const struct start *s = &starts[_i];
    double b = initial_bias(s), g = 2 * pow(0.5, s->exponent) - 1;
    double own = s->scale * (g - s->margin) + b, other = s->scale * (g + s->margin) + b;
    double up = log(s->balance) - fmax(own, 0) - log1p(exp(-fabs(own)));
    double down = log((1 - s->balance) * (s->classes - 1)) + fmin(other, 0) - log1p(exp(-fabs(other)));
    EXPECT(isfinite(b), "the bias is %g", b);
    EXPECT(fabs(up - down) <= 1e-9 * (1 + fabs(up)), "b is %.17g: pulled by exp(%.17g), pushed by exp(%.17g)", b, up,
           down);
}
END_TEST

/* The authors' way to write it, where that loses no digits. */
START_TEST(the_bias_starts_as_in_the_authors_code) {
    const struct start *s = &starts[_i];
    double z = s->balance / ((1 - s->balance) * (s->classes - 1)), g = 2 * pow(0.5, s->exponent) - 1;
    double own = s->scale * (g - s->margin), other = s->scale * (g + s->margin);
    double root = sqrt((1 - z) * (1 - z) + 4 * z * exp(own - other));
    double b = initial_bias(s), expected = log(2 * z) - other - log(1 - z + root);
    if (z < 0.9)
        EXPECT(fabs(b - expected) <= 1e-12 * (1 + fabs(expected)), "%.17g, expected %.17g", b, expected);
}
END_TEST

/* --- The ends of every range ------------------------------------------------------------------------------------- */

static const real ends[] = {1, -1, 0, (real)1.0000001, (real)-1.0000001};

START_TEST(the_ends_are_numbers) {
    static const real far[] = {0, -1000, 1000, (real)1e30};
    struct choice loss = choose(&arena, &cases[_i], false);
    draw(3);
    for (int b = 0; b < COUNT(far); b++) {
        bias = far[b];
        for (int i = 0; i < 9; i++)
            in.cosines[i] = ends[(i + b) % COUNT(ends)];
        in.n = 3;
        in.lengths[0] = 0, in.lengths[1] = REAL_LARGEST, in.lengths[2] = (real)INFINITY;
        EXPECT(isfinite(evaluate_with_gradient(loss, 1)), "the loss is not finite with bias %g", (double)bias);
        EXPECT(isfinite(bias_gradient), "nor is the gradient of the bias");
        for (int i = 0; i < 9; i++)
            EXPECT(isfinite(gradients.cosines[i]), "nor that of cosine %d", i);
    }
}
END_TEST

START_TEST(a_nan_stays_one) {
    struct choice loss = choose(&arena, &cases[_i], false);
    for (int j = 0; j < 3; j++) {
        draw(3);
        in.cosines[j] = (real)NAN;
        EXPECT(isnan(value_of(loss, 1)), "the loss is a number though cosine %d is none", j);
    }
    bias = (real)NAN;
    draw(3);
    EXPECT(isnan(value_of(loss, 1)), "the loss is a number though its bias is none");
    bias = 0;
}
END_TEST

/* --- Whole networks ---------------------------------------------------------------------------------------------- */

static const char spec[] = "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
                           "network: {type: layers, layers: [{type: dense, name: feature, units: 2, bias: false}, "
                           "{type: dense, name: score, units: 3, bias: false}]}\n"
                           "loss: {type: sphereface2, scale: 10, loss_weight: 5}\n"
                           "optimizer: {type: sgd, learning_rate: 0.5, momentum: 0}\n"
                           "regularizer: {weight_decay: 0, orthogonality: 0}\n"
                           "train: {iterations: 4, batch_size: 6}\n";

static struct experiment experiment;
static struct trainer trainer;
static const int32_t labels[] = {0, 1, 2, 2, 1, 0};

static void open_trainer(void) {
    struct diagnostics diags = {0};
    struct error err;
    EXPECT(experiment_parse(&experiment, "test", spec, NULL, 0, &diags), "%s", diags.text.data);
    EXPECT(trainer_open(&trainer, &experiment, &err), "%s", err.text);
}

static void close_trainer(void) {
    trainer_close(&trainer);
    experiment_free(&experiment);
    tear_down();
}

/* The bias is the last tensor, is drawn where it starts, and follows its gradient. */
START_TEST(the_bias_takes_a_step) {
    real images[] = {1, 2, -1, 1, 2, -2, 1, 0, 0, 1, -1, -1};
    struct model *model = &trainer.model;
    const struct tensor *tensor = model->tensors[model->tensor_count - 1];
    ck_assert_str_eq(tensor->name, "score.bias");
    ck_assert(tensor->trained);
    double before = (double)*tensor->value;
    ck_assert_double_eq_tol(before, initial_bias(&(struct start){3, 10, 0.4, 3, 0.7}), 1e-6);
    struct step_result result = trainer_step(&trainer, &(struct batch){6, images, labels});
    ck_assert(result.updated && result.lambda == 0);
    ck_assert(*tensor->grad != 0);
    ck_assert_double_eq_tol((double)*tensor->value, before - 0.5 * (double)*tensor->grad, 1e-6);
}
END_TEST

/* Features: none, a huge one, one whose square overflows, and ones along or against weights. */
START_TEST(networks_stay_finite) {
    real images[] = {0, 0, (real)1e15, -(real)1e15, 0, 0, 3, 4, -3, -4, 4, -3};
    static const real weights[] = {6, 8, -8, 6, -6, -8};
    struct model *model = &trainer.model;
    images[4] = 4 * (real)sqrt((double)REAL_LARGEST);
    memcpy(model->tensors[0]->value, (real[]){1, 0, 0, 1}, 4 * sizeof(real));
    memcpy(model->tensors[1]->value, weights, sizeof weights);
    struct step step = model_step(model, 6, STEP_TRAIN);
    step.iteration = 1;
    model_forward(model, step, images);
    EXPECT(isfinite(loss_evaluate(&trainer.loss, &step, &model->head, labels)), "the loss is not finite");
    model_backward(model, step, images);
    for (int i = 0; i < model->tensor_count; i++)
        for (size_t j = 0; j < model->tensors[i]->count; j++)
            EXPECT(isfinite(model->tensors[i]->grad[j]), "gradient of %s[%zu] is %g", model->tensors[i]->name, j,
                   (double)model->tensors[i]->grad[j]);
}
END_TEST

/* --- Gradients --------------------------------------------------------------------------------------------------- */

#ifdef SN_DOUBLE

/* A central difference of fourth order. */
static double difference(double (*value)(const void *of), const void *of, double *at, double step) {
    static const double offsets[] = {-2, -1, 1, 2}, weights[] = {1, -8, 8, -1};
    double was = *at, sum = 0;
    for (int i = 0; i < COUNT(offsets); i++) {
        *at = was + offsets[i] * step;
        sum += weights[i] * value(of);
    }
    *at = was;
    return sum / (12 * step);
}

static double value_at_1(const void *loss) {
    return value_of(*(const struct choice *)loss, 1);
}

/* scale: of the loss, whose rounding the difference divides by its step. */
static void check_slope(const char *what, double found, double expected, double scale, double step) {
    EXPECT(fabs(found - expected) <= 1e-8 * fabs(expected) + 16 * DBL_EPSILON * scale / step,
           "%s: %.15g, expected %.15g", what, found, expected);
}

/* Steps beside what turns a logit, or the steepest g, by 1. */
START_TEST(gradients_against_differences) {
    const struct ref_sphereface2 *c = &cases[_i];
    struct choice loss = choose(&arena, c, false);
    double step = 1e-3 / fmax(c->scale, c->exponent);
    draw(4);
    bias = -0.8;
    double value = evaluate_with_gradient(loss, 1);
    check_slope("bias", bias_gradient, difference(value_at_1, &loss, &bias, 1e-3), value, 1e-3);
    for (int i = 0; i < in.n * in.classes; i++)
        check_slope("cosine", gradients.cosines[i], difference(value_at_1, &loss, &in.cosines[i], step), value, step);
}
END_TEST

/* Of the trainer's network on these images, with the margin. */
static double network_value(const void *images) {
    struct step step = model_step(&trainer.model, 6, STEP_TRAIN);
    step.iteration = 1;
    model_forward(&trainer.model, step, images);
    return loss_evaluate(&trainer.loss, &step, &trainer.model.head, labels);
}

START_TEST(gradients_of_a_network) {
    real images[] = {1, 2, -1, 1, 2, -2, 1, 0.3, -0.2, 1, -1, -1};
    struct model *model = &trainer.model;
    for (int i = 0; i < model->tensor_count; i++) {
        const struct tensor *t = model->tensors[i];
        for (size_t j = 0; j < t->count; j++) {
            double value = network_value(images);
            model_backward(model, model_step(model, 6, STEP_TRAIN), images);
            double found = t->grad[j], expected = difference(network_value, images, &t->value[j], 1e-4);
            check_slope(t->name, found, expected, 8 * value, 1e-4);
        }
    }
}
END_TEST

#endif

Suite *test_suite(void) {
    Suite *suite = suite_create("sphereface2");
    TCase *alone = suite_group(suite, "alone", 60, NULL, tear_down);
    tcase_add_loop_test(alone, values, 0, COUNT(cases));
    tcase_add_loop_test(alone, a_detached_gradient_lacks_the_slope, 0, COUNT(cases));
    tcase_add_loop_test(alone, the_bias_starts_in_balance, 0, COUNT(starts));
    tcase_add_loop_test(alone, the_bias_starts_as_in_the_authors_code, 0, COUNT(starts));
    tcase_add_loop_test(alone, the_ends_are_numbers, 0, COUNT(cases));
    tcase_add_loop_test(alone, a_nan_stays_one, 0, COUNT(cases));
    TCase *networks = suite_group(suite, "networks", 60, open_trainer, close_trainer);
    tcase_add_test(networks, the_bias_takes_a_step);
    tcase_add_test(networks, networks_stay_finite);
#ifdef SN_DOUBLE
    tcase_add_loop_test(alone, gradients_against_differences, 0, COUNT(cases));
    tcase_add_test(networks, gradients_of_a_network);
#endif
    return suite;
}
