/* Whole training steps in float: the same bits on any number of threads, and finite where images are extreme. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "machine/threads.h"
#include "op/angular.h"
#include "op/magnitude.h"
#include "support/array.h"
#include "support/operators.h"
#include "support/suite.h"
#include "train/trainer.h"

/* Fewer than the partial sums of a weight gradient, and more; divisors of their number or not. */
static const int thread_counts[] = {2, 3, 4, 13};

#define STEP_DATA(HEIGHT, WIDTH)                                                                                       \
    "data: {type: synthetic, height: " #HEIGHT ", width: " #WIDTH ", channels: 3, classes: 5}\n"
#define STEP_HEAD STEP_DATA(17, 15)
#define STEP_TAIL "regularizer: {orthogonality: 0.01}\ntrain: {iterations: 3, batch_size: 19}\n"

static const char *const step_specs[] = {
    STEP_HEAD "network: {type: resnet, depth: 8, widths: [5, 9, 17], normalization: both,"
              " operator: {angular: learnable_sigmoid}}\n" STEP_TAIL,
    STEP_HEAD "network: {type: plain, depth: 3, widths: [16, 32, 48], features: 33, bias: true,"
              " operator: {magnitude: linear, angular: linear},"
              " classifier_operator: {magnitude: linear, angular: learnable_sigmoid, k_shared: layer}}\n" STEP_TAIL,
    STEP_HEAD "network: {type: plain, depth: 3, operator: {magnitude: product, angular: cosine}}\n"
              "optimizer: {type: sgd, nesterov: true}\n" STEP_TAIL,
    STEP_HEAD "network: {type: plain, depth: 3, operator: {magnitude: sphere, angular: cosine}}\n" STEP_TAIL,
    STEP_HEAD "network: {type: plain, depth: 3, operator: {magnitude: tanh, train_rho: true, angular: "
              "square_cosine}}\n" STEP_TAIL,
    /* Residual units and batch normalisation around convolutions whose channels fill vectors. */
    STEP_DATA(32, 32) "network: {type: resnet, depth: 8, widths: [16, 32, 32]}\n" STEP_TAIL,
};

enum { STEPS = 3, BATCH = 19 }; /* more than one image to each sum of a weight gradient */

struct step_run {
    struct step_result results[STEPS];
    struct array values; /* of all tensors, one after the other */
};

static struct array all_values(const struct model *net) {
    size_t count = 0, at = 0;
    for (int i = 0; i < net->tensor_count; i++)
        count += net->tensors[i]->count;
    struct array values = array_new(count);
    for (int i = 0; i < net->tensor_count; at += net->tensors[i++]->count)
        memcpy(values.data + at, net->tensors[i]->value, net->tensors[i]->count * sizeof(real));
    return values;
}

static void open_trainer(struct trainer *trainer, struct experiment *experiment, const char *spec, int threads) {
    struct diagnostics diags = {0};
    struct error err;
    char setting[32];
    const char *override = setting;
    snprintf(setting, sizeof setting, "train.threads=%d", threads);
    ck_assert_msg(experiment_parse(experiment, "test", spec, &override, 1, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(trainer, experiment, &err), "%s", err.text);
}

static void run_steps(struct step_run *run, const char *spec, int threads) {
    struct experiment experiment;
    struct trainer trainer;
    struct rng rng = rng_stream(27, RNG_TEST, 0, 0);
    int32_t labels[BATCH];
    open_trainer(&trainer, &experiment, spec, threads);
    for (int step = 0; step < STEPS; step++) {
        struct array images = array_random(&rng, BATCH * shape_size(&trainer.model.chain.in));
        for (int i = 0; i < BATCH; i++)
            labels[i] = (int32_t)rng_below(&rng, 5);
        run->results[step] = trainer_step(&trainer, &(struct batch){BATCH, images.data, labels});
        array_free("images", &images);
    }
    run->values = all_values(&trainer.model);
    trainer_close(&trainer);
    experiment_free(&experiment);
}

START_TEST(steps_on_any_number_of_threads) {
    struct step_run one, many;
    run_steps(&one, step_specs[_i], 1);
    for (int i = 0; i < COUNT(thread_counts); i++) {
        run_steps(&many, step_specs[_i], thread_counts[i]);
        for (int step = 0; step < STEPS; step++) {
            ck_assert_double_eq(many.results[step].fit, one.results[step].fit);
            ck_assert_double_eq(many.results[step].weight_decay, one.results[step].weight_decay);
            ck_assert_double_eq(many.results[step].orthogonality, one.results[step].orthogonality);
        }
        check_same_bits("values", &many.values, &one.values);
        array_free("values", &many.values);
    }
    array_free("values", &one.values);
}
END_TEST

/* --- Extreme images in float ------------------------------------------------------------------------------------- */

static void check_all_finite(const struct trainer *trainer, const char *what) {
    struct array values = all_values(&trainer->model);
    for (size_t i = 0; i < values.count; i++)
        ck_assert_msg(isfinite(values.data[i]), "%s: value %zu is %g", what, i, (double)values.data[i]);
    array_free("values", &values);
}

/* One step of an update that is as large as the gradient: a NaN or Inf in either stays in the weights. */
static void step_on_extreme_images(const char *spec, real size) {
    struct experiment experiment;
    struct trainer trainer;
    struct rng rng = rng_stream(28, RNG_TEST, 0, 0);
    static const int32_t labels[] = {0, 1, 2};
    open_trainer(&trainer, &experiment, spec, 2);
    struct array images = array_random(&rng, 3 * 6 * 5 * 2);
    for (size_t i = 0; i < images.count; i++)
        images.data[i] *= size;
    struct step_result result = trainer_step(&trainer, &(struct batch){3, images.data, labels});
    ck_assert_msg(isfinite(result.fit), "%s at %g: loss %g", spec, (double)size, result.fit);
    check_all_finite(&trainer, spec);
    array_free("images", &images);
    trainer_close(&trainer);
    experiment_free(&experiment);
}

/* A cosine stays within [-1, 1] whatever lies beside it; Winograd's rounding errors spread within a tile. */
START_TEST(cosines_beside_a_large_pixel) {
    static const real sizes[] = {1, 1e2F, 1e4F, 1e8F};
    static const char spec[] = "data: {type: synthetic, height: 9, width: 9, channels: 16, classes: 256}\n"
                               "network: {type: layers, layers: [{type: sphere_conv, filters: 16},"
                               " {type: max_pool, kernel: 4, stride: 1}]}\n"
                               "train: {iterations: 1, batch_size: 1}\n";
    struct experiment experiment;
    struct trainer trainer;
    struct rng rng = rng_stream(29, RNG_TEST, 0, 0);
    open_trainer(&trainer, &experiment, spec, 2);
    struct array image = array_random(&rng, 9 * 9 * 16);
    for (int i = 0; i < COUNT(sizes); i++) {
        image.data[(2 * 9 + 2) * 16] = sizes[i];
        const real *y = model_forward(&trainer.model, model_step(&trainer.model, 1, STEP_EVALUATE), image.data);
        for (int j = 0; j < 256; j++)
            ck_assert_msg(fabs((double)y[j]) <= 1 + 1e-5, "beside %g: cosine %g", (double)sizes[i], (double)y[j]);
    }
    array_free("image", &image);
    trainer_close(&trainer);
    experiment_free(&experiment);
}
END_TEST

START_TEST(extreme_images) {
    static const real sizes[] = {1e15F, 1e-15F, 0};
    char spec[1024];
    int angulars = row_count(&angular_registry);
    snprintf(spec, sizeof spec,
             "data: {type: synthetic, height: 6, width: 5, channels: 2, classes: 3}\n"
             "network: {type: layers, layers: [{type: conv, filters: 4, operator: {magnitude: %s, angular: %s}}, "
             "{type: batch_norm}, {type: relu}, {type: dense, units: 3}]}\n"
             "optimizer: {type: sgd, learning_rate: 1}\n"
             "train: {iterations: 1, batch_size: 3}\n",
             magnitude_registry.rows[_i / angulars]->name, angular_registry.rows[_i % angulars]->name);
    for (int i = 0; i < COUNT(sizes); i++)
        step_on_extreme_images(spec, sizes[i]);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    gemm_setup();
    Suite *suite = suite_create("steps");
    TCase *steps = suite_group(suite, "training steps", 120, NULL, NULL);
    tcase_add_loop_test(steps, steps_on_any_number_of_threads, 0, COUNT(step_specs));
    tcase_add_test(steps, cosines_beside_a_large_pixel);
    tcase_add_loop_test(steps, extreme_images, 0, row_count(&magnitude_registry) * row_count(&angular_registry));
    return suite;
}
