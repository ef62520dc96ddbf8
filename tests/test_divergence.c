/* Gradients as one vector, and steps whose loss or gradient is not finite. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "machine/threads.h"
#include "optim/gradient.h"
#include "support/array.h"
#include "support/suite.h"
#include "train/divergence.h"
#include "train/trainer.h"

/* --- Norms ------------------------------------------------------------------------------------------------------- */

static const size_t counts[] = {0, 1, 63, 64, 65, 1000, 100003};

START_TEST(norm_is_the_root_of_the_sum_of_squares) {
    struct rng rng = rng_stream(3, RNG_TEST, (uint64_t)_i, 0);
    struct array values = array_random(&rng, counts[_i]);
    double sum = 0, norms[3];
    for (size_t i = 0; i < values.count; i++)
        sum += (double)values.data[i] * (double)values.data[i];
    for (int threads = 1; threads <= 3; threads++) {
        norms[threads - 1] = gradient_norm(values.data, values.count, threads);
    }
    ck_assert_double_eq_tol(norms[0], sqrt(sum), 1e-12 * sqrt(sum) + DBL_MIN);
    ck_assert_double_eq(norms[0], norms[1]);
    ck_assert_double_eq(norms[0], norms[2]);
    array_free("values", &values);
}
END_TEST

START_TEST(norm_is_finite_where_all_values_are) {
    real values[1000] = {0};
    for (int i = 0; i < COUNT(values); i++)
        values[i] = (real)FLT_MAX;
    ck_assert(isfinite(gradient_norm(values, COUNT(values), 2)));
    for (int i = 0; i < COUNT(values); i += 111) {
        values[i] = NAN;
        ck_assert(!isfinite(gradient_norm(values, COUNT(values), 2)));
        values[i] = -INFINITY;
        ck_assert(!isfinite(gradient_norm(values, COUNT(values), 2)));
        values[i] = 1;
    }
}
END_TEST

START_TEST(clipping_shortens_what_is_too_long) {
    struct rng rng = rng_stream(4, RNG_TEST, 0, 0);
    struct array values = array_random(&rng, 1000);
    real *before = malloc(values.count * sizeof *before);
    memcpy(before, values.data, values.count * sizeof *before);
    double norm = gradient_norm(values.data, values.count, 2);
    gradient_clip(values.data, values.count, norm, norm * 1.01, 2);
    ck_assert_mem_eq(values.data, before, values.count * sizeof *before);
    gradient_clip(values.data, values.count, norm, norm / 8, 2);
    ck_assert_double_eq_tol(gradient_norm(values.data, values.count, 2), norm / 8, 1e-6 * norm);
    for (size_t i = 0; i < values.count; i++)
        ck_assert_double_eq_tol((double)values.data[i], (double)before[i] / 8, 1e-6);
    free(before);
    array_free("values", &values);
}
END_TEST

/* --- Steps ------------------------------------------------------------------------------------------------------- */

static const char spec[] =
    "data: {type: synthetic, height: 6, width: 6, channels: 2, classes: 3}\n"
    "network:\n"
    "  layers:\n"
    "    - {type: conv, name: first, filters: 4}\n"
    "    - {type: batch_norm, name: norm}\n"
    "    - {type: residual, name: unit, body: [{type: conv, name: within, filters: 4, kernel: 3, padding: 1}]}\n"
    "    - {type: dense, name: score, units: 3, bias: true}\n"
    "optimizer: {type: adam, learning_rate: 0.01}\n"
    "regularizer: {weight_decay: 10, weight_decay_on: [bias]}\n"
    "train: {iterations: 9, batch_size: 5}\n";

enum { BATCH = 5, IMAGE = 6 * 6 * 2 };

static struct experiment experiment;
static struct trainer trainer;
static struct array images;
static int32_t labels[] = {0, 1, 2, 1, 0};

static void open_trainer(void) {
    struct diagnostics diags = {0};
    struct error err;
    struct rng rng = rng_stream(5, RNG_TEST, 0, 0);
    images = array_random(&rng, BATCH * IMAGE);
    ck_assert_msg(experiment_parse(&experiment, "test", spec, NULL, 0, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
}

static void close_trainer(void) {
    trainer_close(&trainer);
    experiment_free(&experiment);
    array_free("images", &images);
}

static struct tensor *tensor(const char *name) {
    for (int i = 0; i < trainer.model.tensor_count; i++)
        if (!strcmp(trainer.model.tensors[i]->name, name))
            return trainer.model.tensors[i];
    ck_abort_msg("no tensor %s", name);
}

/* The step makes no update, and says `expected`. */
static void check_divergence(const char *expected) {
    size_t bytes = (trainer.trained + plan_sizes(&trainer.model.planner).buffers) * sizeof(real);
    size_t state = (size_t)trainer.optimizer->slots * trainer.trained * sizeof(real);
    void *values = malloc(bytes), *slots = malloc(state);
    memcpy(values, trainer.model.memory.values, bytes);
    memcpy(slots, trainer.slots[0], state);
    int64_t iteration = trainer.iteration;
    struct step_result result = trainer_step(&trainer, &(struct batch){BATCH, images.data, labels});
    struct text text = {0};
    divergence_describe(&text, &trainer.model, BATCH, result.fit);
    ck_assert(!result.updated);
    ck_assert_str_eq(text.data, expected);
    ck_assert_mem_eq(trainer.model.memory.values, values, bytes);
    ck_assert_mem_eq(trainer.slots[0], slots, state);
    ck_assert_int_eq(trainer.iteration, iteration + 1);
    text_free(&text);
    free(values);
    free(slots);
}

START_TEST(a_finite_step_updates) {
    real before = tensor("norm.running_mean")->value[0];
    struct step_result result = trainer_step(&trainer, &(struct batch){BATCH, images.data, labels});
    ck_assert(result.updated);
    ck_assert(result.gradient_norm > 0 && isfinite(result.gradient_norm));
    ck_assert(tensor("norm.running_mean")->value[0] != before);
}
END_TEST

START_TEST(a_weight_that_is_not_finite) {
    tensor("within.weight")->value[7] = NAN;
    check_divergence("the loss is nan, and so are weights: first in tensor within.weight");
    tensor("within.weight")->value[7] = INFINITY;
    check_divergence("the loss is nan, and so are weights: first in tensor within.weight");
}
END_TEST

START_TEST(an_output_that_is_not_finite) {
    for (int i = 0; i < IMAGE; i++)
        images.data[3 * IMAGE + i] = i % 2 ? (real)REAL_LARGEST : (real)-REAL_LARGEST;
    for (size_t i = 0; i < tensor("first.weight")->count; i++)
        tensor("first.weight")->value[i] = i % 2 ? 3 : -3;
    check_divergence("the loss is nan; first in the output of layer first, 64 values are not finite");
}
END_TEST

START_TEST(an_output_within_a_residual_unit) {
    for (size_t i = 0; i < tensor("within.weight")->count; i++)
        tensor("within.weight")->value[i] = (real)REAL_LARGEST;
    struct step_result result = trainer_step(&trainer, &(struct batch){BATCH, images.data, labels});
    struct text text = {0};
    divergence_describe(&text, &trainer.model, BATCH, result.fit);
    ck_assert_msg(strstr(text.data, "first in the output of layer within, "), "%s", text.data);
    text_free(&text);
}
END_TEST

/* The loss of a logit that is far too large is a number, but its decay's gradient is not. */
START_TEST(a_gradient_that_is_not_finite) {
    tensor("score.bias")->value[1] = (real)REAL_LARGEST / 2;
    check_divergence("the loss is finite, but the gradient is not: first in tensor score.bias, 1 values of 3");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("divergence");
    TCase *norms = tcase_create("norms");
    tcase_add_loop_test(norms, norm_is_the_root_of_the_sum_of_squares, 0, COUNT(counts));
    tcase_add_test(norms, norm_is_finite_where_all_values_are);
    tcase_add_test(norms, clipping_shortens_what_is_too_long);
    suite_add_tcase(suite, norms);
    TCase *steps = tcase_create("steps");
    tcase_add_checked_fixture(steps, open_trainer, close_trainer);
    tcase_add_test(steps, a_finite_step_updates);
    tcase_add_test(steps, a_weight_that_is_not_finite);
    tcase_add_test(steps, an_output_that_is_not_finite);
    tcase_add_test(steps, an_output_within_a_residual_unit);
    tcase_add_test(steps, a_gradient_that_is_not_finite);
    suite_add_tcase(suite, steps);
    return suite;
}
