/* Whole networks of every family with their loss, in double: values against the formulas of tests/ref, gradients
 * against central differences. Every row of the registry is covered, or a test here fails and says which is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/gemm.h"
#include "machine/threads.h"
#include "ref/reference.h"
#include "support/f64_layers.h"
#include "support/f64_subject.h"
#include "support/lone_loss.h"
#include "train/experiment.h"

static const struct {
    const char *type, *data, *keys;
} networks[] = {
    {"plain", "height: 8, width: 10, channels: 3",
     "depth: 3, widths: [3, 4, 5], features: 6, normalization: both, operator: {angular: learnable_sigmoid}"},
    {"resnet", "height: 9, width: 8, channels: 1",
     "depth: 8, widths: [3, 4, 5], classifier_bias: true, operator: {angular: linear}"},
    {"imagenet_plain", "height: 40, width: 36, channels: 3",
     "widths: [2, 3, 4, 5], normalization: sphere_norm, operator: {angular: sigmoid}"},
    {"imagenet_resnet", "height: 36, width: 40, channels: 3", "widths: [2, 3, 4, 5], bias: true"},
    {"layers", "height: 7, width: 5, channels: 3",
     "layers: [" SPHERE("a") ", " RELU ", {type: dense, name: score, units: 4}]"},
};

static const struct {
    const char *type, *keys;
    double smoothing, floor;
} losses[] = {
    /* angular ones: test_loss_networks.c */
    {"softmax", "label_smoothing: 0, probability_floor: 0", 0, 0},
    {"softmax", "label_smoothing: 0.01, probability_floor: 1e-4", 0.01, 1e-4},
    {"softmax", "label_smoothing: 0.3, probability_floor: 0", 0.3, 0},
};

struct whole {
    struct experiment experiment;
    struct model net;
    struct loss loss;
    int n, classes;
    real *x;
    int32_t *labels;
    struct rng rng;
};

static void whole_open(struct whole *whole, int network, int loss) {
    char yaml[1024];
    struct diagnostics diags = {0};
    struct error err;
    snprintf(yaml, sizeof yaml,
             "data: {type: synthetic, classes: 4, %s}\nnetwork: {type: %s, %s}\nloss: {type: %s, %s}\n"
             "train: {iterations: 1, batch_size: 5}\n",
             networks[network].data, networks[network].type, networks[network].keys, losses[loss].type,
             losses[loss].keys);
    memset(whole, 0, sizeof *whole);
    bool parsed = experiment_parse(&whole->experiment, "test", yaml, NULL, 0, &diags);
    ck_assert_msg(parsed && experiment_plan(&whole->experiment, STEP_TRAIN, &whole->net, &whole->loss, &diags), "%s",
                  diags.text.data);
    ck_assert_msg(model_allocate(&whole->net, &err), "%s", err.text);
    model_draw(&whole->net, 3);
    whole->n = 5;
    whole->classes = whole->experiment.shape.classes;
    whole->rng = rng_stream(12, RNG_TEST, 0, 0);
    size_t count = (size_t)whole->n * shape_size(&whole->net.chain.in);
    whole->x = mem_alloc(count * sizeof(real));
    whole->labels = mem_alloc((size_t)whole->n * sizeof *whole->labels);
    fill(&whole->rng, whole->x, count, 1);
    randomise_parameters(&whole->net, &whole->rng);
    for (int i = 0; i < whole->n; i++)
        whole->labels[i] = (int32_t)rng_below(&whole->rng, (uint32_t)whole->classes);
}

static void whole_close(struct whole *whole) {
    model_free(&whole->net);
    experiment_free(&whole->experiment);
    free(whole->x);
    free(whole->labels);
}

static double whole_loss(void *context) {
    struct whole *whole = context;
    const real *logits = model_forward(&whole->net, model_step(&whole->net, whole->n, STEP_TRAIN), whole->x);
    struct loss_input in = {whole->n, whole->classes, logits, NULL, whole->labels, NULL};
    return lone_loss(whole->experiment.loss, &in, 1, NULL);
}

static void check_whole(int network, int loss) {
    struct whole whole;
    whole_open(&whole, network, loss);
    const real *logits = model_forward(&whole.net, model_step(&whole.net, whole.n, STEP_TRAIN), whole.x);
    struct signal images = {whole.n, whole.net.chain.in, whole.x};
    struct signal expected = reference_chain(&whole.net, &whole.experiment.layers, images);
    check_near(networks[network].type, logits, expected.values, (size_t)(whole.n * whole.classes), VALUE_TOLERANCE);
    struct loss_input in = {whole.n, whole.classes, logits, NULL, whole.labels, NULL};
    double value =
        lone_loss(whole.experiment.loss, &in, 1, &(struct loss_gradient){whole.net.head.scores_gradient, NULL, NULL});
    ck_assert_double_eq_tol(value,
                            ref_softmax_loss(whole.n, whole.classes, expected.values, whole.labels,
                                             losses[loss].smoothing, losses[loss].floor),
                            1e-10 * value);
    model_backward(&whole.net, model_step(&whole.net, whole.n, STEP_TRAIN), whole.x);
    real *gradients = copy_of(whole.net.memory.grads, gradient_count(&whole.net));
    check_tensor_gradients(&whole.net, whole_loss, &whole, gradients, &whole.rng, VALUE_NOISE * (1 + value));
    free(gradients);
    free(expected.values);
    whole_close(&whole);
}

START_TEST(network) {
    check_whole(_i, 1);
}
END_TEST

START_TEST(network_with_loss) {
    check_whole(COUNT(networks) - 1, _i);
}
END_TEST

START_TEST(every_network_is_covered) {
    for (int row = 0; network_registry.rows[row]; row++) {
        bool covered = false;
        for (int i = 0; i < COUNT(networks); i++)
            covered |= strcmp(networks[i].type, network_registry.rows[row]->name) == 0;
        ck_assert_msg(covered, "no case for network %s", network_registry.rows[row]->name);
    }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    gemm_setup();
    threads_use(1);
    Suite *suite = suite_create("networks");
    TCase *whole = suite_group(suite, "whole networks", 120, NULL, NULL);
    tcase_add_test(whole, every_network_is_covered);
    tcase_add_loop_test(whole, network, 0, COUNT(networks));
    tcase_add_loop_test(whole, network_with_loss, 0, COUNT(losses));
    return suite;
}
