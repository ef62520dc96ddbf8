/* Gradients that are sums over positions are as exact for a large image as for a small one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/gradient.h"
#include "kernel/reduce.h"
#include "support/array.h"
#include "support/suite.h"
#include "train/trainer.h"

/* --- Of a network ------------------------------------------------------------------------------------------------ */

enum { BATCH = 4, CLASSES = 3, CHANNELS = 8 };

static struct experiment experiment;
static struct trainer trainer;

static void open_trainer(const char *layers, int side) {
    char spec[1024];
    struct diagnostics diags = {0};
    struct error err;
    snprintf(spec, sizeof spec,
             "data: {type: synthetic, height: %d, width: %d, channels: 2, classes: 3, train_images: 4}\n"
             "network: {type: layers, layers: [%s, {type: avg_pool, global: true}, {type: dense, name: score, units: 3,"
             " bias: false}]}\n"
             "regularizer: {weight_decay: 0, orthogonality: 0}\n"
             "train: {iterations: 1, batch_size: 4}\n",
             side, side, layers);
    ck_assert_msg(experiment_parse(&experiment, "test", spec, NULL, 0, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
}

static void close_trainer(void) {
    trainer_close(&trainer);
    experiment_free(&experiment);
}

static const struct tensor *tensor_named(const char *name) {
    for (int i = 0; i < trainer.model.tensor_count; i++)
        if (strcmp(trainer.model.tensors[i]->name, name) == 0)
            return trainer.model.tensors[i];
    ck_abort_msg("no tensor %s", name);
}

/* Adds the gradient of an image's channel means: that of its scores, softmax less the label, times the weights. */
static void add_image(double *expected, const real *scores, int label) {
    const real *w = tensor_named("score.weight")->value;
    double sum = 0;
    for (int j = 0; j < CLASSES; j++)
        sum += exp((double)scores[j]);
    for (int j = 0; j < CLASSES; j++)
        for (int c = 0; c < CHANNELS; c++)
            expected[c] += (exp((double)scores[j]) / sum - (j == label)) * (double)w[j * CHANNELS + c] / BATCH;
}

static const struct {
    const char *layers, *bias;
} networks[] = {
    {"{type: conv, filters: 8}, {type: batch_norm, name: norm}", "norm.bias"},
    {"{type: conv, filters: 8}, {type: sphere_norm, name: norm}", "norm.bias"},
    {"{type: conv, name: conv, filters: 8, bias: true}", "conv.bias"},
    {"{type: sphere_conv, name: conv, filters: 8, bias: true}", "conv.bias"},
};

static const int sides[] = {16, 64, 128};

/* The mean over positions hands each of them the same gradient, so that a bias has that of the mean. */
START_TEST(a_bias_gradient_is_exact_whatever_the_images_size) {
    static const int32_t labels[BATCH] = {0, 2, 1, 2};
    struct rng rng = rng_stream(8, RNG_TEST, 0, 0);
    int side = sides[_i % COUNT(sides)], network = _i / COUNT(sides);
    struct array images = array_random(&rng, (size_t)(BATCH * side * side * 2));
    const struct batch batch = {BATCH, images.data, labels};
    double expected[CHANNELS] = {0};
    open_trainer(networks[network].layers, side);
    const real *scores = model_forward(&trainer.model, model_step(&trainer.model, BATCH, STEP_TRAIN), images.data);
    for (int i = 0; i < BATCH; i++)
        add_image(expected, scores + (ptrdiff_t)i * CLASSES, labels[i]);
    trainer_step(&trainer, &batch);
    check_near(networks[network].bias, tensor_named(networks[network].bias)->grad, expected, CHANNELS, 1e-6);
    close_trainer();
    array_free("images", &images);
}
END_TEST

/* --- Of values that are all different ---------------------------------------------------------------------------- */

enum { IMAGES = 2, COLUMNS = 3 };

static const int position_counts[] = {1, 15, 16, 17, 31, 32, 100, 4097, 16384};

static double largest_error(const real *found, const double *expected, int count) {
    double error = 0;
    for (int i = 0; i < count; i++)
        error = fmax(error, fabs((double)found[i] - expected[i]));
    return error;
}

/* Sums of d, and of d x, over all positions; `size`: of their terms. */
static double double_sums(double *sums, const real *d, const real *x, int positions) {
    double size = 0;
    for (int i = 0; i < IMAGES * positions * COLUMNS; i++) {
        sums[i % COLUMNS] += (double)d[i];
        sums[COLUMNS + i % COLUMNS] += (double)d[i] * (double)x[i];
        size += fabs((double)d[i]) / COLUMNS;
    }
    return size;
}

START_TEST(sums_over_positions_are_those_in_double) {
    int positions = position_counts[_i];
    size_t count = (size_t)(IMAGES * positions * COLUMNS);
    struct rng rng = rng_stream(9, RNG_TEST, 0, 0);
    struct array d = array_random(&rng, count), x = array_random(&rng, count), to = array_unwritten(count);
    struct array sums = array_unwritten(IMAGES * gradient_sums_reals(positions, COLUMNS));
    const struct view view = {.data = x.data, .channels = COLUMNS};
    const struct gradient from = {.d = d.data, .of = view};
    const struct gradient_target target = {to.data, false, sums.data, positions};
    real found[2 * COLUMNS];
    double expected[2 * COLUMNS] = {0}, size = double_sums(expected, d.data, x.data, positions);
    gradient_pass(&target, &view, IMAGES, positions, &from, 2);
    sums_join(found, sums.data, IMAGES, positions, 2 * COLUMNS, NULL);
    double error = largest_error(found, expected, 2 * COLUMNS) / size;
    ck_assert_msg(error < 5e-8, "%d positions: %.2g of the terms' sum", positions, error);
    struct array *all[] = {&d, &x, &to, &sums};
    for (int i = 0; i < COUNT(all); i++)
        array_free("sums", all[i]);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("position_sums");
    TCase *sums = suite_group(suite, "sums", 60, NULL, NULL);
    tcase_add_loop_test(sums, a_bias_gradient_is_exact_whatever_the_images_size, 0, COUNT(networks) * COUNT(sides));
    tcase_add_loop_test(sums, sums_over_positions_are_those_in_double, 0, COUNT(position_counts));
    return suite;
}
