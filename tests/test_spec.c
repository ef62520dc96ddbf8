/* From a spec's text to a checked experiment, and the messages of everything that is wrong on the way. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/model.h"
#include "support/compare.h"
#include "support/specs.h"
#include "support/suite.h"
#include "train/experiment.h"

static bool parse(const char *text, const char *const *overrides, int override_count) {
    struct experiment experiment;
    bool good = experiment_parse(&experiment, "a.yaml", text, overrides, override_count, &diags);
    ck_assert_int_eq(good, diags.count == 0);
    experiment_free(&experiment);
    return good;
}

static char *emitted(const struct experiment *experiment) {
    struct text text = {0};
    experiment_emit(&text, experiment);
    char *copy = arena_string(&arena, text.data);
    text_free(&text);
    return copy;
}

/* What is written reads back as the same experiment, which is written in the same way. */
static void check_round_trip(const struct experiment *experiment) {
    struct experiment again;
    const char *written = emitted(experiment);
    ck_assert_msg(experiment_parse(&again, "again.yaml", written, NULL, 0, &diags), "%s", messages());
    expect_same_lines(emitted(&again), written, experiment->name);
    experiment_free(&again);
}

START_TEST(shipped_configs_are_good) {
    glob_t configs;
    ck_assert_int_eq(glob("configs/*.yaml", 0, NULL, &configs), 0);
    for (size_t i = 0; i < configs.gl_pathc; i++) {
        struct experiment experiment;
        struct model net;
        struct loss loss;
        ck_assert_msg(experiment_read(&experiment, configs.gl_pathv[i], NULL, 0, &diags), "%s", messages());
        ck_assert_msg(experiment_plan(&experiment, STEP_TRAIN, &net, &loss, &diags), "%s", messages());
        ck_assert_int_gt(net.tensor_count, 0);
        model_free(&net);
        check_round_trip(&experiment);
        experiment_free(&experiment);
    }
    globfree(&configs);
}
END_TEST

#define DATA "data: {type: synthetic, height: 8, width: 8, classes: 4}\n"
#define TRAIN "train: {iterations: 1}\n"
#define LAYERS(TEXT) DATA TRAIN "network:\n  layers:\n" TEXT

static const char *const good_networks[] = {
    LAYERS("  - {type: dense, units: 4}\n"),
    LAYERS("  - {type: conv, filters: 2, kernel: 8}\n  - relu\n  - {type: dense, units: 4}\n"),
    LAYERS("  - {type: residual, body: [{type: conv, filters: 5, padding: 1}], shortcut: [{type: conv, filters: 5, "
           "kernel: 1}]}\n  - {type: avg_pool, global: true}\n  - {type: dense, units: 4}\n"),
    LAYERS("  - {type: dense, units: 4, name: 'true'}\n  - {type: batch_norm, name: \"a: b\\n- c\"}\n"),
    DATA TRAIN "network: {type: plain, depth: 3, widths: [1, 2, 3], features: 0}\n",
    DATA TRAIN "network: {type: resnet, depth: 8, widths: [1, 2, 3], operator: {angular: learnable_sigmoid}}\n",
    TRAIN "data: {type: cifar10, path: '#odd: path '}\nnetwork: {type: plain, depth: 9}\n",
    DATA TRAIN "network: {type: plain, depth: 3}\nregularizer: {weight_decay: 1e-4, weight_decay_on: []}\n"
               "schedule: {type: step, milestones: []}\noptimizer: {type: sgd, nesterov: true}\n",
};

START_TEST(good_specs_round_trip) {
    struct experiment experiment;
    ck_assert_msg(experiment_parse(&experiment, "a.yaml", good_networks[_i], NULL, 0, &diags), "%s", messages());
    check_round_trip(&experiment);
    experiment_free(&experiment);
}
END_TEST

#define ONE "  - {type: conv, filters: 4, padding: 1}\n"
#define LAST "  - {type: dense, units: 4}\n"

static const struct {
    const char *text, *message;
} bad_networks[] = {
    {DATA TRAIN "network: {type: plain, depth: 10}\n",
     "a.yaml:3: network: depth 10 is not a multiple of 3, one third for each stage; 9 and 12 are\n"},
    {DATA TRAIN "network: {type: plain, depth: 10, widths: [1, 2]}\n",
     "a.yaml:3: network: depth 10 is not a multiple of 3, one third for each stage; 9 and 12 are\n"
     "a.yaml:3: network: widths has 2 entries, but there are three stages\n"},
    {DATA TRAIN "network: {type: plain, depth: 3, widths: [1, 2, 3, 4]}\n",
     "a.yaml:3: network: widths has 4 entries, but there are three stages\n"},
    {DATA TRAIN "network: {type: plain, depth: 2}\n",
     "a.yaml:3: network.depth: found \"2\"; expected a whole number from 3 to 300\n"},
    {DATA TRAIN "network: {type: resnet, depth: 33}\n",
     "a.yaml:3: network: depth 33 is not 6n + 2; 8, 14, 20, 26, 32, 44, 56 and 110 are\n"},
    {DATA TRAIN "network: {type: resnet, widths: []}\n",
     "a.yaml:3: network: widths has 0 entries, but there are three stages\n"},
    {LAYERS("  - {type: dense, units: 5}\n"), "a.yaml:5: network.layers[0]: dense dense_1: the last layer puts out "
                                              "1x1x5 values, but the dataset has 4 classes\n"},
    {LAYERS(ONE),
     "a.yaml:5: network.layers[0]: conv conv_1: the last layer puts out 8x8x4 values, but the dataset has 4 classes\n"},
    {LAYERS("  - {type: conv, name: big, filters: 4, kernel: 9}\n" LAST),
     "a.yaml:5: network.layers[0]: conv big: a 9x9 kernel does not fit its input of 8x8 with padding 0\n"},
    {LAYERS("  - {type: sphere_conv, filters: 4, kernel: 3, padding: 3}\n" LAST),
     "a.yaml:5: network.layers[0]: sphere_conv sphere_conv_1: padding 3 must be smaller than the kernel, 3\n"},
    {LAYERS("  - max_pool\n  - max_pool\n  - max_pool\n  - max_pool\n" LAST),
     "a.yaml:8: network.layers[3]: max_pool max_pool_4: a 2x2 window does not fit its input of 1x1: too many pools, or "
     "the "
     "images are too small\n"},
    {LAYERS("  - {type: max_pool, kernel: 3, padding: 2}\n" LAST),
     "a.yaml:5: network.layers[0]: max_pool max_pool_1: padding 2 is more than half the window, 3\n"},
    {LAYERS("  - flatten\n" ONE LAST),
     "a.yaml:6: network.layers[1]: conv conv_2: needs an image, but the layers before it made a flat vector\n"},
    {LAYERS("  - {type: dense, units: 9}\n  - avg_pool\n" LAST),
     "a.yaml:6: network.layers[1]: avg_pool avg_pool_2: needs an image, but the layers before it made a flat vector\n"},
    {LAYERS("  - {type: residual, body: [{type: conv, filters: 4, padding: 1}]}\n" LAST),
     "a.yaml:5: network.layers[0]: residual residual_1: the body's output is 8x8x4, the shortcut's 8x8x3; they are to "
     "be "
     "added\n"},
    {LAYERS("  - {type: residual, body: [max_pool], shortcut: [{type: conv, filters: 3, kernel: 1}]}\n" LAST),
     "a.yaml:5: network.layers[0]: residual residual_1: the body's output is 4x4x3, the shortcut's 8x8x3; they are to "
     "be "
     "added\n"},
    {LAYERS("  - {type: residual, body: []}\n" LAST),
     "a.yaml:5: network.layers[0]: residual residual_1: the body has no layers\n"},
    {LAYERS("  - type: residual\n    body:\n      - relu\n      - {type: conv, filters: 4, kernel: 20}\n" LAST),
     "a.yaml:8: network.layers[0].body[1]: conv conv_3: a 20x20 kernel does not fit its input of 8x8 with padding 0\n"},
};

START_TEST(networks_that_cannot_be) {
    ck_assert(!parse(bad_networks[_i].text, NULL, 0));
    ck_assert_str_eq(messages(), bad_networks[_i].message);
}
END_TEST

START_TEST(two_layers_of_one_name) {
    ck_assert(
        !parse(LAYERS("  - {type: conv, name: a, filters: 4}\n  - {type: conv, name: a, filters: 4}\n" LAST), NULL, 0));
    ck_assert_int_eq(diags.count, 1);
    ck_assert_str_eq(messages(), "a.yaml:6: network.layers[1]: conv a: another layer has this name, too; layer names "
                                 "must differ\n");
}
END_TEST

START_TEST(a_layer_of_the_optimizers_name) {
    ck_assert(parse(LAYERS("  - {type: conv, name: optimizers, filters: 4}\n" LAST), NULL, 0));
    ck_assert(!parse(LAYERS("  - {type: conv, name: optimizer.momentum.a, filters: 4}\n" LAST), NULL, 0));
    ck_assert_str_eq(messages(), "a.yaml:5: network.layers[0]: conv optimizer.momentum.a: such names are the "
                                 "optimizer's in checkpoints; give the layer another\n");
    ck_assert(!parse(LAYERS("  - {type: relu, name: optimizer}\n" LAST), NULL, 0));
}
END_TEST

/* Aliases make a million layers of a page, and a gigabyte of a long name. */
START_TEST(networks_have_an_end) {
    static const char format[] = DATA TRAIN "network: {layers: [%s{type: dense, units: 4}]}\n";
    ck_assert_msg(parse(arena_printf(&arena, format, repeated("relu, ", 1998)), NULL, 0), "%s", messages());
    ck_assert(!parse(arena_printf(&arena, format, repeated("relu, ", 90000)), NULL, 0));
    ck_assert_str_eq(messages(), "a.yaml:3: network.layers[2000]: more than 2000 layers in all\n");
    text_free(&diags.text);
    diags.count = 0;
    ck_assert(!parse(arena_printf(&arena, format, arena_printf(&arena, "{type: relu, name: %s}, ", repeated("n", 201))),
                     NULL, 0));
    ck_assert_ptr_nonnull(strstr(messages(), ": a name of more than 200 bytes\n"));
}
END_TEST

/* Every message tells where: a network without layers too. */
START_TEST(no_layers) {
    ck_assert(!parse(DATA TRAIN "network: {layers: []}\n", NULL, 0));
    ck_assert_str_eq(messages(), "a.yaml:3: network: a network needs at least one layer\n");
}
END_TEST

static const struct {
    const char *text, *message;
} bad_roots[] = {
    {"- a\n", "a.yaml:1: a spec is a map of keys: data, network, train and so on\n"},
    {"just words\n", "a.yaml:1: a spec is a map of keys: data, network, train and so on\n"},
    {"name: ../up\n" DATA TRAIN "network: {type: plain, depth: 3}\n",
     "a.yaml:1: name: \"../up\" cannot name a folder; use letters, digits, \".\", \"_\" and \"-\"\n"},
    {DATA "network: {type: plain, depth: 3}\n" TRAIN TRAIN,
     "a.yaml:4: train: this key was given before; keep one of the two\n"},
    {DATA "network: {type: plain, depth: 3}\n",
     "a.yaml:1: train.iterations: missing; expected a whole number from 1 to 2000000000 (batches to train on)\n"},
};

START_TEST(specs_that_are_wrong_at_the_top) {
    ck_assert(!parse(bad_roots[_i].text, NULL, 0));
    ck_assert_str_eq(messages(), bad_roots[_i].message);
}
END_TEST

START_TEST(overrides_are_checked_as_the_spec_is) {
    const char *const overrides[] = {"network.layers[0].units=0", "train.batch_sise=3", "optimizer={type: sgd}"};
    ck_assert(!parse(LAYERS(LAST), overrides, 3));
    ck_assert_str_eq(
        messages(),
        "--set network.layers[0].units=0: network.layers[0].units: found \"0\"; expected a whole number from 1 to "
        "1000000\n"
        "--set train.batch_sise=3: train.batch_sise: unknown key \"batch_sise\"; did you mean \"batch_size\"? "
        "(iterations, batch_size, gradient_sums, eval_every, patience, batch_norm_images, checkpoint_every, log_every, "
        "keep, "
        "on_divergence, "
        "threads, "
        "openblas_core, "
        "init_from, "
        "init_classifier, init_map)\n");
}
END_TEST

START_TEST(overrides_change_the_experiment) {
    struct experiment experiment;
    const char *const overrides[] = {"seed=9", "train.iterations=77", "train.iterations=78", "name=other"};
    ck_assert(experiment_parse(&experiment, "a.yaml", LAYERS(LAST), overrides, 4, &diags));
    ck_assert_int_eq(experiment.seed, 9);
    ck_assert_int_eq(experiment.train.iterations, 78);
    ck_assert_str_eq(experiment.name, "other");
    experiment_free(&experiment);
}
END_TEST

START_TEST(the_name_comes_from_the_file) {
    struct experiment experiment;
    ck_assert(experiment_parse(&experiment, "some/where/a.b.yaml", LAYERS(LAST), NULL, 0, &diags));
    ck_assert_str_eq(experiment.name, "a.b");
    experiment_free(&experiment);
}
END_TEST

/* --- docs/spec.md ------------------------------------------------------------------------------------------------ */

static char *read_stream(FILE *stream) {
    struct text text = {0};
    text_add(&text, "", 0);
    for (int c; (c = getc(stream)) != EOF;)
        text_add(&text, &(char){(char)c}, 1);
    char *copy = arena_string(&arena, text.data);
    text_free(&text);
    return copy;
}

/* `make docs` writes the page. */
START_TEST(the_page_of_keys_is_up_to_date) {
    FILE *page = fopen("docs/spec.md", "r");
    ck_assert_msg(page != NULL, "docs/spec.md cannot be opened");
    const char *program = getenv("SPHERENET");
    FILE *help =
        popen(arena_printf(&arena, "'%s' help spec --markdown", program ? program : "build/release/spherenet"), "r");
    ck_assert_ptr_nonnull(help);
    expect_same_lines(read_stream(page), read_stream(help), "docs/spec.md");
    ck_assert_int_eq(pclose(help), 0);
    fclose(page);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("spec");
    TCase *experiments = suite_group(suite, "experiments", 30, NULL, specs_tear_down);
    tcase_add_test(experiments, shipped_configs_are_good);
    tcase_add_loop_test(experiments, good_specs_round_trip, 0, COUNT(good_networks));
    tcase_add_loop_test(experiments, networks_that_cannot_be, 0, COUNT(bad_networks));
    tcase_add_test(experiments, two_layers_of_one_name);
    tcase_add_test(experiments, a_layer_of_the_optimizers_name);
    tcase_add_test(experiments, networks_have_an_end);
    tcase_add_test(experiments, no_layers);
    tcase_add_loop_test(experiments, specs_that_are_wrong_at_the_top, 0, COUNT(bad_roots));
    tcase_add_test(experiments, overrides_are_checked_as_the_spec_is);
    tcase_add_test(experiments, overrides_change_the_experiment);
    tcase_add_test(experiments, the_name_comes_from_the_file);
    tcase_add_test(experiments, the_page_of_keys_is_up_to_date);
    return suite;
}
