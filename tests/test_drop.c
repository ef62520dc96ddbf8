/* Layers that drop at random: how much, independently of what, the same whatever computes it, and nothing in
 * evaluation. Their values and gradients are tested in f64_layers.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernel/gemm.h"
#include "machine/threads.h"
#include "support/array.h"
#include "support/compare.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"
#include "train/experiment.h"

enum { BATCH = 6, SIZE = 24, CHANNELS = 3, IMAGE = SIZE * SIZE * CHANNELS, CLASSES = 4 };

/* --- A network --------------------------------------------------------------------------------------------------- */

struct network {
    struct experiment experiment;
    struct model model;
};

static void network_open(struct network *network, const char *layers, int threads, bool forward_only) {
    struct diagnostics problems = {0};
    struct text text = {0};
    struct error err;
    text_printf(&text,
                "data: {type: synthetic, height: %d, width: %d, channels: %d, classes: %d}\n"
                "network: {layers: [%s]}\ntrain: {iterations: 1, batch_size: %d}\n",
                SIZE, SIZE, CHANNELS, CLASSES, layers, BATCH);
    bool good = experiment_parse(&network->experiment, "test", text.data, NULL, 0, &problems);
    ck_assert_msg(good, "%s", problems.text.data);
    const struct model_request request = {
        .layers = &network->experiment.layers,
        .in = {SIZE, SIZE, CHANNELS, false},
        .classes = CLASSES,
        .batch = BATCH,
        .threads = threads,
        .forward_only = forward_only,
    };
    ck_assert_msg(model_plan(&network->model, &request, &problems), "%s", problems.text.data);
    ck_assert_msg(model_allocate(&network->model, &err), "%s", err.text);
    model_draw(&network->model, 5);
    text_free(&text);
    text_free(&problems.text);
}

static void network_close(struct network *network) {
    model_free(&network->model);
    experiment_free(&network->experiment);
}

static struct array random_images(void) {
    struct rng rng = rng_stream(8, RNG_TEST, 0, 0);
    return array_random(&rng, (size_t)BATCH * IMAGE);
}

/* --- Masks ------------------------------------------------------------------------------------------------------- */

static struct array images_of_ones(void) {
    struct array images = array_new((size_t)BATCH * IMAGE);
    for (size_t i = 0; i < images.count; i++)
        images.data[i] = 1;
    return images;
}

/* What the first layer, which drops, makes of images of ones: those of the run from `first_image` on. */
static struct array mask_of(struct network *network, uint64_t seed, int64_t first_image, int n) {
    struct array ones = images_of_ones(), mask = array_new((size_t)n * IMAGE);
    struct step step = model_step(&network->model, n, STEP_TRAIN);
    step.seed = seed;
    step.first_image = first_image;
    model_forward(&network->model, step, ones.data);
    memcpy(mask.data, network->model.chain.fusions[0].y, mask.count * sizeof *mask.data);
    array_free("ones", &ones);
    return mask;
}

/* Five standard deviations around the expected share. */
static void expect_share(const char *what, double share, double expected, double count) {
    double most = 5 * sqrt(expected * (1 - expected) / count);
    ck_assert_msg(fabs(share - expected) <= most, "%s: %g, expected %g within %g", what, share, expected, most);
}

static double share_of_zeros(const real *values, size_t count) {
    double zeros = 0;
    for (size_t i = 0; i < count; i++)
        zeros += values[i] == 0;
    return zeros / (double)count;
}

/* Masks that know nothing of each other agree where both drop, and where both keep. */
static void expect_independent(const char *what, const real *mask, const real *other, double rate, size_t count) {
    double same = 0;
    for (size_t i = 0; i < count; i++)
        same += (mask[i] == 0) == (other[i] == 0);
    expect_share(what, same / (double)count, rate * rate + (1 - rate) * (1 - rate), (double)count);
}

static const double rates[] = {0, 0.1, 0.5, 0.9};

static void open_dropout(struct network *network, double rate) {
    char layers[128];
    snprintf(layers, sizeof layers,
             "{type: dropout, rate: %g}, {type: avg_pool, global: true}, {type: dense, units: 4}", rate);
    network_open(network, layers, 2, false);
}

START_TEST(dropout_drops_its_share_and_scales_the_rest) {
    struct network network;
    double rate = rates[_i];
    open_dropout(&network, rate);
    struct array mask = mask_of(&network, 1, 0, BATCH);
    expect_share("dropped", share_of_zeros(mask.data, mask.count), rate, (double)mask.count);
    for (size_t i = 0; i < mask.count; i++)
        EXPECT(mask.data[i] == 0 || mask.data[i] == (real)(1 / (1 - rate)), "%g", (double)mask.data[i]);
    array_free("mask", &mask);
    network_close(&network);
}
END_TEST

START_TEST(masks_are_independent_over_images_iterations_and_seeds) {
    struct network network;
    double rate = 0.3;
    open_dropout(&network, rate);
    struct array mask = mask_of(&network, 1, 0, BATCH), later = mask_of(&network, 1, BATCH, BATCH);
    struct array seeded = mask_of(&network, 2, 0, BATCH);
    for (int i = 1; i < BATCH; i++)
        expect_independent("images", mask.data, mask.data + (size_t)i * IMAGE, rate, IMAGE);
    expect_independent("rows", mask.data, mask.data + (size_t)SIZE * CHANNELS, rate, IMAGE - (size_t)SIZE * CHANNELS);
    expect_independent("channels", mask.data, mask.data + 1, rate, IMAGE - 1);
    expect_independent("iterations", mask.data, later.data, rate, mask.count);
    expect_independent("seeds", mask.data, seeded.data, rate, mask.count);
    array_free("mask", &mask);
    array_free("later", &later);
    array_free("seeded", &seeded);
    network_close(&network);
}
END_TEST

/* Of what one layer keeps the next drops its own share. */
START_TEST(masks_are_independent_over_layers) {
    struct network network;
    network_open(&network,
                 "{type: dropout, rate: 0.4}, {type: dropout, rate: 0.4}, {type: avg_pool, global: true}, "
                 "{type: dense, units: 4}",
                 2, false);
    struct array mask = mask_of(&network, 1, 0, BATCH);
    double kept = 0, dropped = 0;
    for (size_t i = 0; i < mask.count; i++) {
        kept += mask.data[i] != 0;
        dropped += mask.data[i] != 0 && network.model.chain.fusions[1].y[i] == 0;
    }
    expect_share("dropped of what was kept", dropped / kept, 0.4, kept);
    array_free("mask", &mask);
    network_close(&network);
}
END_TEST

START_TEST(an_image_has_its_mask_wherever_it_is_in_a_batch) {
    struct network network;
    open_dropout(&network, 0.5);
    struct array mask = mask_of(&network, 1, 1000, BATCH), moved = mask_of(&network, 1, 1002, BATCH - 2);
    ck_assert_mem_eq(moved.data, mask.data + (size_t)2 * IMAGE, moved.count * sizeof *moved.data);
    array_free("mask", &mask);
    array_free("moved", &moved);
    network_close(&network);
}
END_TEST

/* --- Stochastic depth -------------------------------------------------------------------------------------------- */

/* The body is the identity: an image of ones is 1 where it skips the unit, else 1 + 1 / (1 - rate). */
static void count_skips(struct network *network, double rate, int64_t steps, double *first, double *second,
                        double *both) {
    struct array ones = images_of_ones();
    const struct fusion *fusions = network->model.chain.fusions;
    for (int64_t s = 0; s < steps; s++) {
        struct step step = model_step(&network->model, BATCH, STEP_TRAIN);
        step.seed = 3;
        step.first_image = s * BATCH;
        model_forward(&network->model, step, ones.data);
        for (int i = 0; i < BATCH; i++) {
            const real *one = fusions[0].y + (size_t)i * IMAGE, *two = fusions[1].y + (size_t)i * IMAGE;
            bool skips = one[0] == 1, skips_second = two[0] == one[0];
            for (int j = 0; j < IMAGE; j++) {
                EXPECT(one[j] == (skips ? 1 : 1 + (real)(1 / (1 - rate))), "unit 1: %g", (double)one[j]);
                EXPECT((two[j] == one[j]) == skips_second, "unit 2: %g after %g", (double)two[j], (double)one[j]);
            }
            *first += skips;
            *second += skips_second;
            *both += skips && skips_second;
        }
    }
    array_free("ones", &ones);
}

START_TEST(images_skip_units_as_a_whole_and_independently) {
    enum { STEPS = 300 };
    struct network network;
    double first = 0, second = 0, both = 0, count = STEPS * BATCH;
    network_open(&network,
                 "{type: residual, body: [{type: stochastic_depth, rate: 0.3}]}, "
                 "{type: residual, body: [{type: stochastic_depth, rate: 0.6}]}, "
                 "{type: avg_pool, global: true}, {type: dense, units: 4}",
                 2, false);
    count_skips(&network, 0.3, STEPS, &first, &second, &both);
    expect_share("first unit", first / count, 0.3, count);
    expect_share("second unit", second / count, 0.6, count);
    expect_share("both units", both / count, 0.3 * 0.6, count);
    network_close(&network);
}
END_TEST

START_TEST(stochastic_depth_stands_in_residual_units_alone) {
    run(2, "show spec.yaml --set 'network.layers=[stochastic_depth, {type: dense, units: 4}]'");
    expect_error(
        "network.layers[0]: stochastic_depth stochastic_depth_1: stands outside of a residual unit; it belongs "
        "at the end of a unit's body");
}
END_TEST

/* --- Evaluation -------------------------------------------------------------------------------------------------- */

/* With and without the layers that drop. */
static const struct {
    const char *with, *without;
    bool is_free; /* they take no memory and no time */
} evaluations[] = {
    {"{type: conv, filters: 8}, batch_norm, relu, dropout, {type: conv, filters: 4, kernel: 22}",
     "{type: conv, filters: 8}, batch_norm, relu, {type: conv, filters: 4, kernel: 22}", true},
    {"dropout, {type: conv, filters: 8}, dropout, relu, {type: dropout, rate: 0.1}, dropout, max_pool, flatten, "
     "dropout, "
     "{type: dense, units: 4}",
     "{type: conv, filters: 8}, relu, max_pool, flatten, {type: dense, units: 4}", true},
    {"{type: conv, filters: 8}, batch_norm, dropout, batch_norm, relu, flatten, {type: dense, units: 4}",
     "{type: conv, filters: 8}, batch_norm, batch_norm, relu, flatten, {type: dense, units: 4}", true},
    {"{type: conv, filters: 8}, {type: residual, body: [{type: conv, filters: 8, padding: 1}, batch_norm, "
     "stochastic_depth]}, relu, {type: residual, body: [stochastic_depth, relu]}, flatten, {type: dense, units: 4}",
     "{type: conv, filters: 8}, {type: residual, body: [{type: conv, filters: 8, padding: 1}, batch_norm]}, relu, "
     "{type: residual, body: [relu]}, flatten, {type: dense, units: 4}",
     true},
    /* A scale after a ReLU, and the output, need memory of their own. */
    {"{type: conv, filters: 8}, relu, dropout, batch_norm, {type: conv, filters: 4, kernel: 22}",
     "{type: conv, filters: 8}, relu, batch_norm, {type: conv, filters: 4, kernel: 22}", false},
    {"{type: conv, filters: 8}, relu, dropout, dropout, batch_norm, flatten, {type: dense, units: 4}",
     "{type: conv, filters: 8}, relu, batch_norm, flatten, {type: dense, units: 4}", false},
    {"flatten, {type: dense, units: 4}, dropout", "flatten, {type: dense, units: 4}", false},
    {"flatten, {type: dense, units: 4}, batch_norm, dropout, relu",
     "flatten, {type: dense, units: 4}, batch_norm, relu", false},
};

/* Biases and averages that are not 0; a variance is positive. */
static void randomise_tensors(const struct model *model) {
    struct rng rng = rng_stream(9, RNG_TEST, 0, 0);
    for (int i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = model->tensors[i];
        for (size_t j = 0; j < tensor->count; j++) {
            real normal = (real)rng_normal(&rng);
            tensor->value[j] = tensor->role >= ROLE_BUFFER ? real_abs(normal) : normal;
        }
    }
}

static struct array scores_of(const char *layers, bool forward_only, const struct array *images, size_t *region) {
    struct network network;
    struct array scores = array_unwritten((size_t)BATCH * CLASSES);
    network_open(&network, layers, 2, forward_only);
    randomise_tensors(&network.model);
    memcpy(scores.data, model_forward(&network.model, model_step(&network.model, BATCH, STEP_EVALUATE), images->data),
           scores.count * sizeof *scores.data);
    *region = plan_sizes(&network.model.planner).region;
    network_close(&network);
    return scores;
}

START_TEST(evaluation_is_that_of_the_network_without_the_layer) {
    struct array images = random_images();
    for (int forward_only = 0; forward_only < 2; forward_only++) {
        size_t with_region, without_region;
        struct array with = scores_of(evaluations[_i].with, forward_only, &images, &with_region);
        struct array without = scores_of(evaluations[_i].without, forward_only, &images, &without_region);
        check_same_bits(evaluations[_i].with, &with, &without);
        if (evaluations[_i].is_free && forward_only)
            ck_assert_uint_eq(with_region, without_region);
        array_free("with", &with);
        array_free("without", &without);
    }
    array_free("images", &images);
}
END_TEST

/* --- The program ------------------------------------------------------------------------------------------------- */

static const char *const spec =
    "name: drop\n"
    "data: {type: synthetic, height: 8, width: 8, classes: 4, train_images: 64, test_images: 29, flip: true}\n"
    "network:\n"
    "  layers:\n"
    "    - {type: sphere_conv, filters: 6, padding: 1}\n"
    "    - batch_norm\n"
    "    - relu\n"
    "    - {type: dropout, rate: 0.3}\n"
    "    - {type: residual, body: [{type: sphere_conv, filters: 6, padding: 1}, batch_norm, stochastic_depth]}\n"
    "    - flatten\n"
    "    - dropout\n"
    "    - {type: dense, units: 4}\n"
    "optimizer: {type: adam, learning_rate: 1e-2}\n"
    "train: {iterations: 16, batch_size: 12, eval_every: 8, checkpoint_every: 8, log_every: 1, threads: 1}\n";

static void expect_equal_training(const char *run_dir, const char *other) {
    expect_same_lines(without_times(in_run(run_dir, "train.csv")), without_times(in_run(other, "train.csv")), other);
    expect_same_lines(without_times(in_run(run_dir, "eval.csv")), without_times(in_run(other, "eval.csv")), other);
    ck_assert_msg(equal_tensors(checkpoint(run_dir, 16), checkpoint(other, 16)), "%s", other);
}

START_TEST(threads_and_a_resumed_run_change_no_bit) {
    disk_write_text("drop.yaml", spec);
    run(0, "train drop.yaml --run-dir one");
    run(0, "train drop.yaml --run-dir three --set train.threads=3");
    expect_equal_training("one", "three");
    run(0, "train drop.yaml --run-dir resumed --set train.iterations=8");
    run(0, "train drop.yaml --run-dir resumed --set train.threads=2 --resume");
    expect_equal_training("one", "resumed");
    run(0, "train drop.yaml --run-dir other --set network.layers[3].rate=0");
    ck_assert(!equal_tensors(checkpoint("one", 16), checkpoint("other", 16)));
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

static void start(void) {
    gemm_setup();
    threads_use(2);
}

Suite *test_suite(void) {
    Suite *suite = suite_create("layers that drop");
    TCase *masks = suite_group(suite, "masks", 30, start, NULL);
    tcase_add_loop_test(masks, dropout_drops_its_share_and_scales_the_rest, 0, COUNT(rates));
    tcase_add_test(masks, masks_are_independent_over_images_iterations_and_seeds);
    tcase_add_test(masks, masks_are_independent_over_layers);
    tcase_add_test(masks, an_image_has_its_mask_wherever_it_is_in_a_batch);
    tcase_add_test(masks, images_skip_units_as_a_whole_and_independently);
    TCase *evaluation = suite_group(suite, "evaluation", 30, start, NULL);
    tcase_add_loop_test(evaluation, evaluation_is_that_of_the_network_without_the_layer, 0, COUNT(evaluations));
    TCase *program = suite_group(suite, "the program", 120, program_set_up, program_tear_down);
    tcase_add_test(program, threads_and_a_resumed_run_change_no_bit);
    tcase_add_test(program, stochastic_depth_stands_in_residual_units_alone);
    return suite;
}
