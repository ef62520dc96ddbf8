/* What a training starts from: the distribution of every drawn tensor, and the seed it is drawn from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/gemm.h"
#include "support/suite.h"
#include "train/trainer.h"

/* Tensors of a convolution, of a normalised one, and of dense layers, each of thousands of weights. */
static const char spec[] = "seed: %d\n"
                           "data: {type: synthetic, height: 8, width: 8, channels: 3, classes: 10}\n"
                           "network:\n"
                           "  layers:\n"
                           "    - {type: conv, name: first, filters: 64, kernel: 5, padding: 2, bias: true}\n"
                           "    - {type: batch_norm, name: norm}\n"
                           "    - {type: sphere_conv, name: second, filters: 40, kernel: 3}\n"
                           "    - {type: sphere_norm, name: scale}\n"
                           "    - {type: dense, name: hidden, units: 30}\n"
                           "    - {type: dense, name: score, units: 10, bias: true}\n"
                           "train: {iterations: 1, batch_size: 1}\n";

struct drawn {
    struct experiment experiment;
    struct trainer trainer;
};

static void draw(struct drawn *drawn, int seed) {
    struct diagnostics diags = {0};
    struct error err;
    struct text text = {0};
    text_printf(&text, spec, seed);
    bool parsed = experiment_parse(&drawn->experiment, "test", text.data, NULL, 0, &diags);
    ck_assert_msg(parsed, "%s", diags.text.data);
    ck_assert_msg(trainer_open(&drawn->trainer, &drawn->experiment, &err), "%s", err.text);
    text_free(&text);
}

static void close_drawn(struct drawn *drawn) {
    trainer_close(&drawn->trainer);
    experiment_free(&drawn->experiment);
}

static bool ends_with(const char *name, const char *end) {
    return strlen(name) > strlen(end) && !strcmp(name + strlen(name) - strlen(end), end);
}

/* Of a layer that multiplies its input by them; the weight of a normalisation layer is a vector. */
static bool is_drawn(const struct tensor *tensor) {
    return tensor->dims > 1 && ends_with(tensor->name, ".weight");
}

static void check_moments(const struct tensor *t, double deviation) {
    double sum = 0, squares = 0, fourth = 0, n = (double)t->count;
    for (size_t i = 0; i < t->count; i++) {
        double z = (double)t->value[i] / deviation;
        sum += z;
        squares += z * z;
        fourth += z * z * z * z;
    }
    /* Within five deviations of what they are for a normal distribution: 0, 1, 3. */
    ck_assert_msg(fabs(sum / n) <= 5 / sqrt(n), "%s: mean %g", t->name, sum / n * deviation);
    ck_assert_msg(fabs(squares / n - 1) <= 5 * sqrt(2 / n), "%s: deviation %g, expected %g", t->name,
                  sqrt(squares / n) * deviation, deviation);
    ck_assert_msg(fabs(fourth / n - 3) <= 5 * sqrt(96 / n), "%s: fourth moment %g, expected 3", t->name, fourth / n);
}

/* He et al. 2015: a variance of 2 over the number of inputs. Biases are 0, norms' weights 1. */
START_TEST(weights_have_the_variance_of_their_inputs) {
    static const struct {
        const char *name;
        int inputs;
    } weights[] = {{"first.weight", 5 * 5 * 3},
                   {"second.weight", 3 * 3 * 64},
                   {"hidden.weight", 6 * 6 * 40},
                   {"score.weight", 30}};
    struct drawn drawn;
    draw(&drawn, 1);
    int found = 0;
    for (int i = 0; i < drawn.trainer.model.tensor_count; i++) {
        const struct tensor *t = drawn.trainer.model.tensors[i];
        for (int j = 0; j < COUNT(weights); j++)
            if (!strcmp(t->name, weights[j].name)) {
                check_moments(t, sqrt(2.0 / weights[j].inputs));
                found++;
            }
        if (ends_with(t->name, ".bias"))
            for (size_t j = 0; j < t->count; j++)
                ck_assert_msg(t->value[j] == 0, "%s[%zu] is %g", t->name, j, (double)t->value[j]);
        if (ends_with(t->name, ".weight") && !is_drawn(t))
            for (size_t j = 0; j < t->count; j++)
                ck_assert_msg(t->value[j] == 1, "%s[%zu] is %g", t->name, j, (double)t->value[j]);
    }
    ck_assert_int_eq(found, COUNT(weights));
    close_drawn(&drawn);
}
END_TEST

static int equal_values(const struct tensor *a, const struct tensor *b) {
    int equal = 0;
    for (size_t i = 0; i < a->count && i < b->count; i++)
        equal += a->value[i] == b->value[i];
    return equal;
}

START_TEST(the_seed_draws_them) {
    struct drawn one, again, other;
    draw(&one, 1);
    draw(&again, 1);
    draw(&other, 2);
    int drawn = 0;
    for (int i = 0; i < one.trainer.model.tensor_count; i++) {
        const struct tensor *t = one.trainer.model.tensors[i];
        ck_assert_int_eq(equal_values(t, again.trainer.model.tensors[i]), (int)t->count);
        if (!is_drawn(t))
            continue;
        drawn++;
        ck_assert_msg(equal_values(t, other.trainer.model.tensors[i]) < 3, "%s is the same with another seed", t->name);
        for (int j = 0; j < i; j++)
            ck_assert_msg(equal_values(t, one.trainer.model.tensors[j]) < 3, "%s is drawn as %s", t->name,
                          one.trainer.model.tensors[j]->name);
    }
    ck_assert_int_eq(drawn, 4);
    close_drawn(&one);
    close_drawn(&again);
    close_drawn(&other);
}
END_TEST

Suite *test_suite(void) {
    gemm_setup();
    Suite *suite = suite_create("initial weights");
    TCase *weights = suite_group(suite, "weights", 60, NULL, NULL);
    tcase_add_test(weights, weights_have_the_variance_of_their_inputs);
    tcase_add_test(weights, the_seed_draws_them);
    return suite;
}
