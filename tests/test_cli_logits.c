/* `spherenet features --logits` gives what docs/method.md, section 3, says of features and weights, without margin. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

enum { IMAGES = 20, CLASSES = 4, WIDTH = 3 };

#define EPSILON 1e-4      /* a classifier's default */
#define TOLERANCE 1e-4    /* features have six digits */
#define EXACT_DIGITS 1e-8 /* logits have nine */

/* What a loss makes of a class: w.x, and the lengths of both. */
typedef double logit_function(double dot, double weight_length, double length, double bias);

static double of_scores(double dot, double weight_length, double length, double bias) {
    (void)weight_length, (void)length;
    return dot + bias;
}

static double of_lengths(double dot, double weight_length, double length, double bias) {
    (void)bias, (void)length;
    return dot / weight_length;
}

static double of_scale(double dot, double weight_length, double length, double bias) {
    (void)bias;
    return 16 * dot / (weight_length * length);
}

static double of_binary(double dot, double weight_length, double length, double bias) {
    return 8 * (2 * pow((dot / (weight_length * length) + 1) / 2, 3) - 1) + bias;
}

static const struct {
    const char *loss;
    bool bias;
    logit_function *logit;
} cases[] = {
    {"softmax", true, of_scores},
    {"{type: w_softmax, label_smoothing: 0.1}", false, of_lengths},
    {"{type: a_softmax, margin: 4, annealing: {base: 0, minimum: 0}}", false, of_lengths},
    {"{type: cosface, scale: 16}", false, of_scale},
    {"{type: arcface, scale: 16}", false, of_scale},
    {"{type: sphereface2, scale: 8}", false, of_binary},
};

static double squares(const real *values, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sum;
}

static double expected_logit(const struct tensor_file *file, int class, const real *feature, logit_function *logit) {
    const real *w = tensor_file_find(file, "score.weight")->data + class * WIDTH;
    const struct stored_tensor *bias = tensor_file_find(file, "score.bias");
    double dot = 0;
    for (int j = 0; j < WIDTH; j++)
        dot += (double)w[j] * (double)feature[j];
    return logit(dot, sqrt(squares(w, WIDTH) + EPSILON), sqrt(squares(feature, WIDTH) + EPSILON),
                 bias ? (double)bias->data[bias->shape[0] > 1 ? class : 0] : 0);
}

/* "label,prediction,f0,...,l0,...,label_name,prediction_name" */
static void check_row(const struct tensor_file *file, char *line, logit_function *logit) {
    real feature[WIDTH];
    double logits[CLASSES];
    char *place;
    strtok_r(line, ",", &place);
    int prediction = atoi(strtok_r(NULL, ",", &place)), best = 0;
    for (int j = 0; j < WIDTH; j++)
        feature[j] = (real)strtod(strtok_r(NULL, ",", &place), NULL);
    for (int j = 0; j < CLASSES; j++) {
        logits[j] = strtod(strtok_r(NULL, ",", &place), NULL);
        double expected = expected_logit(file, j, feature, logit);
        ck_assert_double_eq_tol(logits[j], expected, TOLERANCE * (1 + fabs(expected)));
        best = logits[j] > logits[best] + EXACT_DIGITS * fabs(logits[best]) ? j : best;
    }
    ck_assert_int_eq(prediction, best);
}

START_TEST(logits_are_those_of_features_and_weights_without_margin) {
    struct tensor_file file;
    disk_write_text("spec.yaml",
                    arena_printf(&arena,
                                 "name: small\n"
                                 "data: {type: synthetic, classes: %d, height: 4, width: 4, channels: 1, "
                                 "train_images: 40, test_images: %d}\n"
                                 "network: {type: layers, layers: [{type: dense, units: %d, name: feature},\n"
                                 "    {type: dense, units: %d, bias: %s, name: score}]}\n"
                                 "loss: %s\n"
                                 "train: {iterations: 5, batch_size: 16}\n",
                                 CLASSES, IMAGES, WIDTH, CLASSES, cases[_i].bias ? "true" : "false", cases[_i].loss));
    run(0, "train spec.yaml");
    run(0, "features runs/small --logits --out logits.csv");
    read_tensors(&file, "runs/small/checkpoints/latest.safetensors.gz");
    char *place, *line = strtok_r(read_text("logits.csv"), "\n", &place);
    ck_assert_str_eq(line, "label,prediction,f0,f1,f2,l0,l1,l2,l3,label_name,prediction_name");
    int rows = 0;
    for (; (line = strtok_r(NULL, "\n", &place)); rows++)
        check_row(&file, line, cases[_i].logit);
    ck_assert_int_eq(rows, IMAGES);
    tensor_file_free(&file);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("cli_logits");
    TCase *tables = suite_group(suite, "tables", 60, program_set_up, program_tear_down);
    tcase_add_loop_test(tables, logits_are_those_of_features_and_weights_without_margin, 0, COUNT(cases));
    return suite;
}
