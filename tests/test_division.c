/* How the backward pass of an operator is divided among threads, and into partial sums. */
#include <stdlib.h>
#include <string.h>

#include "kernel/gemm.h"
#include "support/array.h"
#include "support/convolution.h"
#include "support/suite.h"
#include "train/trainer.h"

#include "op/sphere_backward.c" /* in place of the library's: the division is no part of its interface */

/* --- Among threads ----------------------------------------------------------------------------------------------- */

/* Filters so many that the weight gradient is gathered in few sums, which are cut in slices. */
static struct conv wide_convolution(void) {
    struct conv_geometry g = {.height = 16,
                              .width = 16,
                              .channels = 256,
                              .kernel_h = 3,
                              .kernel_w = 3,
                              .stride = 1,
                              .padding = 1,
                              .filters = 256};
    struct conv conv;
    ck_assert(conv_geometry_complete(&g));
    ck_assert(conv_plan(&conv, &g, CONV_AUTO));
    ck_assert_int_gt(conv.slices, 4);
    return conv;
}

static struct division division_of(const struct conv *conv, bool dx, int threads) {
    static const struct gradient_target target;
    struct backward pass = {.n = 64, .partials = conv->partials, .dx = dx ? &target : NULL};
    return divide(conv, &pass, threads);
}

START_TEST(as_many_sums_as_threads_need_one_pass) {
    struct conv conv = wide_convolution();
    for (int threads = 1; threads <= conv.partials; threads++)
        if (conv.partials % threads == 0) {
            struct division division = division_of(&conv, true, threads);
            ck_assert_msg(!division.apart && division.slices == 1, "%d threads, %d sums: %d slices", threads,
                          conv.partials, division.slices);
        }
}
END_TEST

/* Or most of them would wait. */
START_TEST(more_threads_than_sums_take_slices_in_two_passes) {
    struct conv conv = wide_convolution();
    for (int times = 2; times <= 4; times++) {
        struct division division = division_of(&conv, true, times * conv.partials);
        ck_assert_msg(division.apart && division.slices >= times, "%d threads, %d sums: %d slices, %s",
                      times * conv.partials, conv.partials, division.slices, division.apart ? "apart" : "together");
    }
}
END_TEST

/* The gradient of x is computed with that of the weights by whoever has all of a sum. */
START_TEST(slices_are_of_passes_apart) {
    struct conv conv = wide_convolution();
    for (int threads = 1; threads <= 64; threads++)
        for (int dx = 0; dx < 2; dx++) {
            struct division division = division_of(&conv, dx, threads);
            ck_assert_int_ge(division.slices, 1);
            ck_assert_int_le(division.slices, conv.slices);
            ck_assert(division.slices == 1 || division.apart);
        }
}
END_TEST

/* --- Into partial sums ------------------------------------------------------------------------------------------- */

enum { IMAGES = 19, SIDE = 4, FILTERS = 16, CLASSES = SIDE * SIDE * FILTERS };

static const char spec[] = "data: {type: synthetic, height: 4, width: 4, channels: 16, classes: 256}\n"
                           "network: {type: layers, layers: [{type: conv, name: a, filters: 16, padding: 1,\n"
                           "                                  conv_algorithm: %s}]}\n"
                           "train: {iterations: 1, batch_size: 19}\n";

/* Rounded as the sums over images are: each of a number of them that no number of threads changes, then their sum. */
START_TEST(a_weight_gradient_is_the_sum_of_its_partial_sums) {
    static const char *const names[] = {"auto", "im2col"};
    static const enum conv_choice choices[] = {CONV_AUTO, CONV_IM2COL};
    struct experiment experiment;
    struct trainer trainer;
    struct diagnostics diags = {0};
    struct error err;
    struct text text = {0};
    struct conv conv;
    struct conv_geometry g = {.height = SIDE,
                              .width = SIDE,
                              .channels = FILTERS,
                              .kernel_h = 3,
                              .kernel_w = 3,
                              .stride = 1,
                              .padding = 1,
                              .filters = FILTERS};
    struct rng rng = rng_stream(31, RNG_TEST, 0, 0);
    text_printf(&text, spec, names[_i]);
    ck_assert_msg(experiment_parse(&experiment, "test", text.data, NULL, 0, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    struct tensor *weights = trainer.model.tensors[0];
    ck_assert(conv_geometry_complete(&g));
    ck_assert(conv_plan(&conv, &g, choices[_i]));
    ck_assert_int_gt(conv.partials, 1);
    struct conv_results c = {
        .x = array_random(&rng, IMAGES * CLASSES),
        .w = array_new(weights->count),
        .dy = array_random(&rng, IMAGES * CLASSES),
        .r = array_new(IMAGES * SIDE * SIDE),
    };
    memcpy(c.w.data, weights->value, weights->count * sizeof(real));
    conv_compute(&c, &g, choices[_i], IMAGES, 2);
    model_forward(&trainer.model, model_step(&trainer.model, IMAGES, STEP_TRAIN), c.x.data);
    memcpy(trainer.model.head.scores_gradient, c.dy.data, c.dy.count * sizeof(real));
    model_backward(&trainer.model, model_step(&trainer.model, IMAGES, STEP_TRAIN), c.x.data);
    check_same_bits("gradient", &(struct array){weights->count, weights->grad}, &c.dw);
    conv_free_given(&c);
    conv_free_results(&c);
    trainer_close(&trainer);
    experiment_free(&experiment);
    text_free(&text);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    gemm_setup();
    Suite *suite = suite_create("division");
    TCase *threads = suite_group(suite, "threads", 60, NULL, NULL);
    tcase_add_test(threads, as_many_sums_as_threads_need_one_pass);
    tcase_add_test(threads, more_threads_than_sums_take_slices_in_two_passes);
    tcase_add_test(threads, slices_are_of_passes_apart);
    TCase *sums = suite_group(suite, "partial sums", 60, NULL, NULL);
    tcase_add_loop_test(sums, a_weight_gradient_is_the_sum_of_its_partial_sums, 0, 2);
    return suite;
}
