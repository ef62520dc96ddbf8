/* Layers and chains of them in double: values against the formulas of tests/ref, gradients against central
 * differences. Every row of the registry is covered, or a test here fails and says which is not. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernel/gemm.h"
#include "machine/threads.h"
#include "ref/reference.h"
#include "support/f64_layers.h"
#include "support/f64_subject.h"
#include "support/operators.h"

static const struct {
    int n;
    struct shape in, out;
    const char *layers;
} chains[] = {
    /* Layers alone. */
    {3, {7, 5, 4, false}, {7, 5, 4, false}, BATCH("a")},
    {3, {7, 5, 4, false}, {7, 5, 4, false}, "{type: batch_norm, name: a, epsilon: 0.3, decay: 0, debias: false}"},
    {3, {12, 11, 1, false}, {12, 11, 1, false}, BATCH("a")},
    {3, {12, 11, 17, false}, {12, 11, 17, false}, BATCH("a")},
    {300, {1, 1, 3, false}, {1, 1, 3, false}, BATCH("a")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, NORM("a")},
    {3, {12, 11, 3, false}, {12, 11, 3, false}, NORM("a")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, "{type: sphere_norm, name: a, trained: false}"},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RELU},
    {2, {7, 5, 3, false}, {7, 5, 3, true}, FLATTEN},
    {2, {7, 5, 3, false}, {3, 2, 3, false}, "{type: max_pool}"},
    {2, {7, 5, 17, false}, {3, 2, 17, false}, "{type: max_pool, kernel: 3, stride: 2}"},
    {2, {7, 5, 1, false}, {4, 3, 1, false}, "{type: max_pool, kernel: 3, stride: 2, padding: 1}"},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, "{type: max_pool, kernel: 5, stride: 1, padding: 2}"},
    {3, {12, 11, 2, false}, {4, 4, 2, false}, "{type: max_pool, kernel: 1, stride: 3}"},
    {2, {7, 5, 3, false}, {3, 2, 3, false}, "{type: avg_pool}"},
    {2, {7, 5, 3, false}, {5, 3, 3, false}, "{type: avg_pool, kernel: 3, stride: 1}"},
    {2, {7, 5, 17, false}, {2, 1, 17, false}, "{type: avg_pool, kernel: 2, stride: 4}"},
    {3, {7, 5, 3, false}, {1, 1, 3, false}, "{type: avg_pool, global: true}"},
    {3, {7, 5, 3, false}, {7, 5, 3, false}, "{type: dropout}"},
    {3, {5, 4, 17, false}, {5, 4, 17, true}, "{type: dropout, rate: 0.2}, " FLATTEN ", " RELU},
    {3, {7, 5, 4, false}, {7, 5, 4, false}, CONV("a") ", " RELU ", {type: dropout, rate: 0.3}, " BATCH("b") ", " RELU},
    {3, {7, 5, 4, false}, {7, 5, 4, false}, SPHERE("a") ", {type: dropout, rate: 0.7}, {type: dropout, rate: 0.1}"},
    {3,
     {7, 5, 4, false},
     {7, 5, 4, false},
     RESIDUAL("a", SPHERE("b") ", " BATCH("c") ", {type: dropout, rate: 0.4}", "{type: dropout}") ", " RELU},
    {9,
     {7, 5, 4, false},
     {7, 5, 4, false},
     RESIDUAL("a", SPHERE("b") ", " BATCH("c") ", {type: stochastic_depth, rate: 0.5}", "") ", " RELU},
    {9, {7, 5, 4, false}, {7, 5, 4, false}, RESIDUAL("a", "{type: stochastic_depth}, " SPHERE("b"), CONV("c"))},
    {9,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", CONV("c") ", {type: stochastic_depth, rate: 0.4}", "") ", " RESIDUAL(
         "d", RELU ", " SPHERE("e") ", {type: stochastic_depth, rate: 0.6}", "{type: dropout, rate: 0.2}")},
    /* In place, or not, after layers whose backward pass reads their output. */
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, true}, SPHERE("a") ", " FLATTEN ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, true}, SPHERE("a") ", " RELU ", " FLATTEN ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, true}, SPHERE("a") ", " FLATTEN ", " FLATTEN ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " NORM("b") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", {type: sphere_norm, name: b, trained: false}, " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " BATCH("b") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " NORM("b") ", " BATCH("c") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " SPHERE("b") ", " SPHERE("c")},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SIGMOID("a") ", " RELU ", " SIGMOID("b") ", " RELU},
    {2,
     {7, 5, 3, false},
     {7, 5, 4, false},
     "{type: sphere_conv, name: a, filters: 4, padding: 1, bias: true}, " RELU ", " SPHERE("b")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RELU ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 3, true}, RELU ", " FLATTEN ", " RELU ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, CONV("a") ", " RELU ", " RELU ", " CONV("b") ", " NORM("c") ", " NORM("d")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, BATCH("a") ", " BATCH("b") ", " RELU ", " BATCH("c")},
    {2, {7, 5, 3, false}, {3, 2, 3, false}, "{type: max_pool}, " RELU},
    {2, {7, 5, 3, false}, {3, 2, 3, false}, RELU ", {type: max_pool}, " NORM("a")},
    {2, {7, 5, 3, false}, {2, 1, 3, false}, "{type: avg_pool}, {type: max_pool, kernel: 2, stride: 1}, " RELU},
    {2,
     {7, 5, 3, false},
     {1, 1, 4, true},
     CONV("a") ", {type: dense, name: b, units: 5, operator: {magnitude: sphere}}, " RELU
               ", {type: dense, name: c, units: 4}"},
    /* Residual units. */
    {2, {7, 5, 4, false}, {7, 5, 4, false}, RESIDUAL("a", CONV("b"), "")},
    {2, {7, 5, 4, false}, {7, 5, 4, false}, "{type: residual, name: a, body: [" SPHERE("b") "]}, " RELU},
    {2, {7, 5, 4, false}, {7, 5, 4, false}, RESIDUAL("a", SPHERE("b") ", " RELU ", " SPHERE("c"), "") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, RESIDUAL("a", SPHERE("b"), SPHERE("c")) ", " RELU},
    {2, {7, 5, 3, false}, {4, 3, 4, false}, RESIDUAL("a", HALF("b") ", " RELU ", " SPHERE("c"), DOWN("d")) ", " RELU},
    {2,
     {7, 5, 3, false},
     {4, 3, 4, false},
     RESIDUAL("a", HALF("b") ", " BATCH("c") ", " RELU ", " SPHERE("d") ", " BATCH("e"), DOWN("f") ", " BATCH("g"))},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RESIDUAL("a", RELU, "")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RESIDUAL("a", RELU, RELU) ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RESIDUAL("a", NORM("b"), RELU ", " NORM("c"))},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RESIDUAL("b", RELU ", " CONV("c"), "") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RESIDUAL("b", CONV("c") ", " RELU, RELU) ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RELU ", " RESIDUAL("b", SPHERE("c") ", " RELU, "")},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RESIDUAL("b", NORM("c"), "") ", " RELU ", " SPHERE("d")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     RESIDUAL("a", CONV("b") ", " RESIDUAL("c", SPHERE("d") ", " RELU, "") ", " RELU ", " CONV("e"), "") ", " RELU},
    {2,
     {7, 5, 3, false},
     {7, 5, 4, false},
     RESIDUAL("a", RESIDUAL("b", SPHERE("c"), CONV("d")) ", " RELU, RESIDUAL("e", CONV("f"), SPHERE("g")))},
    {1,
     {7, 5, 4, false},
     {7, 5, 4, false},
     RESIDUAL("a", RESIDUAL("b", RESIDUAL("c", SPHERE("d") ", " RELU, RELU), SPHERE("e")), "") ", " RELU},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     RESIDUAL("a", SPHERE("b"), "") ", " RESIDUAL("c", SPHERE("d"), "") ", " RESIDUAL("e", SPHERE("f"), "")},
    /* Identity units within units, whose gradients share memory; with and without maps behind them. */
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " CONV("e"), ""), "") ", " CONV("f")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RELU ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " CONV("e"), ""), "") ", " RELU ", " CONV("f")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " CONV("e"), "") ", " RELU, "") ", " RELU ", " CONV("f")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " CONV("e"), "") ", " BATCH("f"),
                             "") ", " BATCH("g") ", " CONV("h")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", RESIDUAL("d", CONV("e"), ""), ""), "") ", " CONV("f")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " BATCH("e"), CONV("f")), "") ", " CONV("g")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d"), CONV("e")), "") ", " BATCH("f") ", " RELU ", " CONV("g")},
    /* Bodies of a single layer that is no convolution, and units that are normalised. */
    {2, {7, 5, 4, false}, {7, 5, 4, false}, CONV("a") ", " RESIDUAL("b", MAX_3X3, "") ", " CONV("c")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", MAX_3X3, "") ", " BATCH("c") ", " RELU ", " CONV("d")},
    {2, {7, 5, 4, false}, {7, 5, 4, false}, CONV("a") ", " RESIDUAL("b", BATCH("c"), "") ", " CONV("d")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", BATCH("c"), "") ", " BATCH("d") ", " CONV("e")},
    {2, {7, 5, 4, false}, {7, 5, 4, false}, CONV("a") ", " RESIDUAL("b", CONV("c"), "") ", " BATCH("d") ", " CONV("e")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", CONV("c") ", " CONV("d"),
                             "") ", " BATCH("e") ", " RELU ", " RESIDUAL("f", CONV("g"), CONV("h")) ", " BATCH("i")},
    {3,
     {12, 11, 3, false},
     {6, 6, 4, false},
     RESIDUAL("a", HALF("b") ", " NORM("c") ", " BATCH("d"), HALF("e")) ", " RELU ", " SPHERE("f")},
};

START_TEST(chain) {
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "layers: [%s]", chains[_i].layers);
    check_subject(yaml, chains[_i].in, chains[_i].out, chains[_i].n);
}
END_TEST

static bool some_chain_has(const char *type) {
    char comma[64], brace[64];
    snprintf(comma, sizeof comma, "{type: %s,", type);
    snprintf(brace, sizeof brace, "{type: %s}", type);
    for (int i = 0; i < COUNT(chains); i++)
        if (strstr(chains[i].layers, comma) || strstr(chains[i].layers, brace))
            return true;
    return false;
}

START_TEST(every_layer_is_covered) {
    const char *type = layer_registry.rows[_i]->name;
    ck_assert_msg(some_chain_has(type), "no case with a layer of type %s", type);
    reference_index(type);
}
END_TEST

/* --- Batch normalisation over several batches -------------------------------------------------------------------- */

/* Running averages start from 0: after T batches they are the sum of (1 - d) d^(T - t) m_t, over 1 - d^T if debiased.
 */
static void check_running_averages(double decay, bool debias, int batches) {
    enum { CHANNELS = 3 };
    struct subject s;
    char yaml[128];
    struct shape shape = {7, 5, CHANNELS, false};
    double means[CHANNELS] = {0}, variances[CHANNELS] = {0}, debt = 1 - pow(decay, batches);
    snprintf(yaml, sizeof yaml, "layers: [{type: batch_norm, name: a, epsilon: 0.01, decay: %g, debias: %s}]", decay,
             debias ? "true" : "false");
    subject_open(&s, yaml, shape, shape, 9, 9);
    for (int t = 1; t <= batches; t++) {
        double mean[CHANNELS], variance[CHANNELS], weight = (1 - decay) * pow(decay, batches - t) / (debias ? debt : 1);
        fill(&s.rng, s.x, input_count(&s), t);
        model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x);
        model_commit(&s.net);
        ref_moments(s.n * 35, CHANNELS, mean, variance, s.x);
        for (int c = 0; c < CHANNELS; c++) {
            means[c] += weight * mean[c];
            variances[c] += weight * variance[c];
        }
    }
    double expected[2 * 35 * CHANNELS];
    fill(&s.rng, s.x, input_count(&s), 2);
    for (int pass = 0; pass < 2; pass++) { /* evaluation leaves the averages as they are */
        const real *y = model_forward(&s.net, model_step(&s.net, 2, STEP_EVALUATE), s.x);
        ref_batch_norm(2 * 35, CHANNELS, expected, s.x, means, variances, 0.01, tensor_values(&s.net, "a", "weight"),
                       tensor_values(&s.net, "a", "bias"));
        check_near(yaml, y, expected, 2 * 35 * CHANNELS, VALUE_TOLERANCE);
    }
    subject_close(&s);
}

START_TEST(batch_norm_in_evaluation) {
    for (int batches = 1; batches <= 4; batches++)
        for (int debias = 0; debias < 2; debias++) {
            check_running_averages(0.9, debias, batches);
            check_running_averages(0.999, debias, batches);
            check_running_averages(0, debias, batches);
        }
}
END_TEST

START_TEST(batch_norm_before_any_batch_is_finite) {
    struct subject s;
    struct shape shape = {7, 5, 3, false};
    for (int debias = 0; debias < 2; debias++) {
        subject_open(&s, debias ? "layers: [{type: batch_norm}]" : "layers: [{type: batch_norm, debias: false}]", shape,
                     shape, 2, 2);
        check_finite("y", model_forward(&s.net, model_step(&s.net, s.n, STEP_EVALUATE), s.x), output_count(&s));
        subject_close(&s);
    }
}
END_TEST

/* --- Single layers ----------------------------------------------------------------------------------------------- */

START_TEST(fixed_sphere_norm_is_the_identity) {
    struct subject s;
    struct shape shape = {7, 5, 3, false};
    subject_open(&s, "layers: [{type: sphere_norm, name: a, trained: false}]", shape, shape, 2, 2);
    ck_assert_mem_eq(model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x), s.x,
                     input_count(&s) * sizeof(real));
    ck_assert_uint_eq(gradient_count(&s.net), 0);
    subject_close(&s);
}
END_TEST

/* One pixel of each window takes all of its gradient, also where several are the largest. */
START_TEST(max_pool_of_equal_pixels) {
    struct subject s;
    subject_open(&s, "layers: [{type: max_pool}]", (struct shape){4, 6, 1, false}, (struct shape){2, 3, 1, false}, 1,
                 1);
    memset(s.x, 0, input_count(&s) * sizeof(real));
    model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x);
    backward(&s, s.dx);
    for (int i = 0; i < 6; i++) {
        const real *corner = s.dx + i / 3 * 12 + i % 3 * 2;
        double pixels[] = {corner[0], corner[1], corner[6], corner[7]};
        int taken = 0;
        for (int j = 0; j < 4; j++) {
            ck_assert(pixels[j] == 0 || pixels[j] == s.dy[i]);
            taken += pixels[j] != 0;
        }
        ck_assert_int_eq(taken, 1);
    }
    subject_close(&s);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    gemm_setup();
    threads_use(1);
    Suite *suite = suite_create("layers");
    TCase *layers = suite_group(suite, "layers", 120, NULL, NULL);
    tcase_add_loop_test(layers, every_layer_is_covered, 0, row_count(&layer_registry));
    tcase_add_loop_test(layers, chain, 0, COUNT(chains));
    tcase_add_test(layers, batch_norm_in_evaluation);
    tcase_add_test(layers, batch_norm_before_any_batch_is_finite);
    tcase_add_test(layers, max_pool_of_equal_pixels);
    tcase_add_test(layers, fixed_sphere_norm_is_the_identity);
    return suite;
}
