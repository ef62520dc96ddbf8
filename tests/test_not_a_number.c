/* A NaN goes through every layer to the output, where training notices it: none turns it into a number. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/gemm.h"
#include "layer/layer.h"
#include "support/array.h"
#include "support/operators.h"
#include "support/suite.h"
#include "train/trainer.h"

enum { SIDE = 6, CHANNELS = 2, PIXELS = SIDE * SIDE, VALUES = PIXELS * CHANNELS };

/* Layers by themselves, and where they share a pass with others. */
static const struct {
    const char *type, *layers;
    int outputs;
} cases[] = {
    {"relu", "{type: relu}", VALUES},
    {"max_pool", "{type: max_pool}", VALUES / 4},
    {"max_pool", "{type: max_pool, kernel: 3, stride: 1, padding: 1}", VALUES},
    {"max_pool", "{type: max_pool, kernel: 3, stride: 3}", VALUES / 9},
    {"avg_pool", "{type: avg_pool}", VALUES / 4},
    {"avg_pool", "{type: avg_pool, global: true}", CHANNELS},
    {"batch_norm", "{type: batch_norm}", VALUES},
    {"batch_norm", "{type: batch_norm}, {type: relu}", VALUES},
    {"batch_norm", "{type: batch_norm}, {type: relu}, {type: max_pool}", VALUES / 4},
    {"sphere_norm", "{type: sphere_norm}, {type: relu}", VALUES},
    {"residual", "{type: residual, body: [{type: relu}]}", VALUES},
    {"residual", "{type: residual, body: [{type: max_pool, kernel: 3, stride: 1, padding: 1}], shortcut: [relu]}, relu",
     VALUES},
    {"dropout", "{type: dropout, rate: 0.9}, {type: relu}", VALUES},
    {"stochastic_depth", "{type: residual, body: [{type: stochastic_depth, rate: 0.9}, {type: relu}]}, relu", VALUES},
    {"flatten", "{type: flatten}, {type: relu}", VALUES},
    {"conv", "{type: conv, filters: 2, padding: 1}, {type: relu}, {type: max_pool}", VALUES / 4},
    {"sphere_conv", "{type: sphere_conv, filters: 2, padding: 1}, {type: relu}, {type: max_pool}", VALUES / 4},
    {"dense", "{type: dense, units: 5}, {type: relu}", 5},
};

struct opened {
    struct experiment experiment;
    struct trainer trainer;
};

static void open_layers(struct opened *opened, int index) {
    struct diagnostics diags = {0};
    struct error err;
    char spec[512];
    snprintf(spec, sizeof spec,
             "data: {type: synthetic, height: %d, width: %d, channels: %d, classes: %d}\n"
             "network: {type: layers, layers: [%s]}\n"
             "train: {iterations: 1, batch_size: 1, threads: 1}\n",
             SIDE, SIDE, CHANNELS, cases[index].outputs, cases[index].layers);
    bool parsed = experiment_parse(&opened->experiment, "test", spec, NULL, 0, &diags);
    ck_assert_msg(parsed, "%s", diags.text.data);
    ck_assert_msg(trainer_open(&opened->trainer, &opened->experiment, &err), "%s", err.text);
}

static void close_layers(struct opened *opened) {
    trainer_close(&opened->trainer);
    experiment_free(&opened->experiment);
}

static int count_nans(const real *y, int count) {
    int nans = 0;
    for (int i = 0; i < count; i++)
        nans += isnan(y[i]) != 0;
    return nans;
}

/* Wherever it is in the image, and so in a window. */
static void check_every_place(struct model *net, struct array *image, int index, enum step_mode mode) {
    int outputs = cases[index].outputs;
    for (int i = 0; i < VALUES; i++) {
        real was = image->data[i];
        image->data[i] = (real)NAN;
        int nans = count_nans(model_forward(net, model_step(net, 1, mode), image->data), outputs);
        ck_assert_msg(nans > 0, "%s: value %d is lost%s", cases[index].layers, i,
                      mode == STEP_TRAIN ? " in training" : "");
        image->data[i] = was;
    }
}

/* Training comes last: running averages take the NaN up. */
START_TEST(a_nan_in_the_image_is_one_in_the_output) {
    struct opened opened;
    struct rng rng = rng_stream(51, RNG_TEST, (uint64_t)_i, 0);
    struct array image = array_random(&rng, VALUES);
    open_layers(&opened, _i);
    struct model *net = &opened.trainer.model;
    const real *y = model_forward(net, model_step(net, 1, STEP_EVALUATE), image.data);
    ck_assert_int_eq(count_nans(y, cases[_i].outputs), 0);
    check_every_place(net, &image, _i, STEP_EVALUATE);
    check_every_place(net, &image, _i, STEP_TRAIN);
    close_layers(&opened);
    array_free("image", &image);
}
END_TEST

START_TEST(every_layer_is_covered) {
    const char *type = layer_registry.rows[_i]->name;
    bool covered = false;
    for (int i = 0; i < COUNT(cases); i++)
        covered |= !strcmp(cases[i].type, type);
    ck_assert_msg(covered, "no case with a layer of type %s", type);
}
END_TEST

Suite *test_suite(void) {
    gemm_setup();
    Suite *suite = suite_create("not a number");
    TCase *layers = suite_group(suite, "layers", 60, NULL, NULL);
    tcase_add_loop_test(layers, every_layer_is_covered, 0, row_count(&layer_registry));
    tcase_add_loop_test(layers, a_nan_in_the_image_is_one_in_the_output, 0, COUNT(cases));
    return suite;
}
