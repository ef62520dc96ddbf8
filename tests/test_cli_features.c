/* What a user computes from `spherenet features` and the checkpoint's weights is what the program says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

#define PI 3.14159265358979324
#define K_OFFSET 0.05 /* the default */

enum { IMAGES = 200, CLASSES = 3 };

/* A classifier of images, kept in memory as it is trained. */
struct trained {
    struct tensor_file file;
    const struct stored_tensor *weights, *k, *bias; /* NULL: there is none */
    int width;
};

static void train(struct trained *t, const char *spec) {
    disk_write_text("spec.yaml", spec);
    run(0, "train spec.yaml");
    run(0, "features runs/small --out features.csv");
    run(0, "eval runs/small --out .");
    read_tensors(&t->file, "runs/small/checkpoints/latest.safetensors.gz");
    t->weights = tensor_file_find(&t->file, "score.weight");
    t->k = tensor_file_find(&t->file, "score.k");
    t->bias = tensor_file_find(&t->file, "score.bias");
    ck_assert_ptr_nonnull(t->weights);
    t->width = 1;
    for (int d = 1; d < t->weights->dims; d++)
        t->width *= (int)t->weights->shape[d];
}

/* The paper's formula, section 2.2. */
static double sigmoid(double cosine, double k) {
    double e = exp(-PI / (2 * k)), at = exp(acos(cosine) / k - PI / (2 * k));
    return (1 + e) / (1 - e) * (1 - at) / (1 + at);
}

static double logit(const struct trained *t, int class, const double *feature) {
    const real *w = t->weights->data + class * t->width;
    double dot = 0, w_squares = 0, x_squares = 0;
    for (int j = 0; j < t->width; j++) {
        dot += feature[j] * (double)w[j];
        w_squares += (double)w[j] * (double)w[j];
        x_squares += feature[j] * feature[j];
    }
    if (t->k)
        return sqrt(x_squares) * sigmoid(dot / sqrt(w_squares * x_squares), fabs((double)t->k->data[class]) + K_OFFSET);
    return dot + (t->bias ? (double)t->bias->data[class] : 0);
}

static int largest_logit(const struct trained *t, const double *feature) {
    int best = 0;
    for (int j = 1; j < CLASSES; j++)
        if (logit(t, j, feature) > logit(t, best, feature))
            best = j;
    return best;
}

/* A row of the table from its line. */
static void read_row(char *line, int *label, int *prediction, double *feature, int width) {
    char *place, *cell = strtok_r(line, ",", &place);
    *label = atoi(cell);
    *prediction = atoi(strtok_r(NULL, ",", &place));
    for (int j = 0; j < width; j++)
        feature[j] = strtod(strtok_r(NULL, ",", &place), NULL);
}

/* Of all images: the largest logit is the prediction, in each place of the confusion as often as eval says. Returns
 * the share of right ones. */
static double check_predictions(const struct trained *t) {
    char *place, *line, *row;
    double *feature = malloc((size_t)t->width * sizeof *feature);
    int right = 0, rows = 0, confusion[CLASSES][CLASSES] = {{0}};
    strtok_r(read_text("features.csv"), "\n", &place);
    while ((line = strtok_r(NULL, "\n", &place))) {
        int label, prediction;
        read_row(line, &label, &prediction, feature, t->width);
        ck_assert_msg(prediction == largest_logit(t, feature), "image %d is %d by its largest logit, not %d", rows,
                      largest_logit(t, feature), prediction);
        confusion[label][prediction]++;
        right += label == prediction;
        rows++;
    }
    ck_assert_int_eq(rows, IMAGES);
    strtok_r(read_text("test_confusion.csv"), "\n", &place);
    for (int i = 0; i < CLASSES && (row = strtok_r(NULL, "\n", &place)); i++) {
        const char *expected =
            arena_printf(&arena, "%d,%d,%d,%d,", i, confusion[i][0], confusion[i][1], confusion[i][2]);
        ck_assert_msg(!strncmp(row, expected, strlen(expected)), "confusion: %s, expected %s", row, expected);
    }
    free(feature);
    return (double)right / IMAGES;
}

#define TRAINING                                                                                                       \
    "name: small\n"                                                                                                    \
    "seed: 1\n"                                                                                                        \
    "optimizer: {type: sgd, learning_rate: 1}\n"                                                                       \
    "regularizer: {weight_decay_on: [weights, sphere_weights], orthogonality: 0}\n"                                    \
    "train: {iterations: 20, batch_size: 30, eval_every: 20}\n"                                                        \
    "data: {type: synthetic, classes: 3, train_images: 30, test_images: 200, "

#define IN_LOSS                                                                                                        \
    TRAINING "height: 4, width: 4, channels: 1}\n"                                                                     \
             "network: {type: layers, layers: [{type: dense, units: 3, bias: false, name: score}]}\n"                  \
             "loss: {type: w_softmax, angular: learnable_sigmoid}\n"

#define IN_OPERATOR                                                                                                    \
    TRAINING "height: 4, width: 4, channels: 1}\n"                                                                     \
             "network: {type: layers, layers: [{type: dense, units: 3, bias: false, name: score,\n"                    \
             "    operator: {magnitude: linear, angular: learnable_sigmoid}}]}\n"

/* 197 of 200 images, or one more or less by another machine's rounding; by cosines all of them would be right. */
START_TEST(accuracy_is_that_of_the_logits_where_every_class_has_its_own_k) {
    struct trained t;
    train(&t, _i ? IN_OPERATOR : IN_LOSS);
    ck_assert_ptr_nonnull(t.k);
    double accuracy = check_predictions(&t), best;
    ck_assert_double_eq_tol(accuracy, 0.985, 0.0051);
    ck_assert_double_eq_tol(printed("accuracy "), accuracy, 5.1e-5);
    ck_assert_int_eq(sscanf(strstr(read_text("runs/small/eval.csv"), "\n20,"), "\n20,%*[^,],test,%*[^,],%lf,", &best),
                     1);
    ck_assert_double_eq_tol(best, accuracy, 1e-6);
    tensor_file_free(&t.file);
}
END_TEST

static const char *const of_images[] = {
    TRAINING "height: 5, width: 4, channels: 3}\n"
             "network: {type: layers, layers: [{type: dense, units: 3, name: score}]}\n",
    TRAINING "height: 5, width: 4, channels: 2}\n"
             "network: {type: layers, layers: [{type: conv, filters: 4}, {type: relu},\n"
             "    {type: dense, units: 3, name: score}]}\n"
             "loss: softmax\n",
    TRAINING "height: 5, width: 4, channels: 2}\n"
             "network: {type: layers, layers: [{type: conv, filters: 4}, {type: flatten},\n"
             "    {type: dense, units: 3, bias: false, name: score}]}\n"
             "loss: {type: w_softmax, angular: learnable_sigmoid}\n",
};

START_TEST(features_of_an_image_are_in_the_order_of_the_checkpoints_weights) {
    struct trained t;
    train(&t, of_images[_i]);
    ck_assert_double_eq_tol(check_predictions(&t), printed("accuracy "), 5.1e-5);
    tensor_file_free(&t.file);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("cli_features");
    TCase *tables = suite_group(suite, "tables", 60, program_set_up, program_tear_down);
    tcase_add_loop_test(tables, accuracy_is_that_of_the_logits_where_every_class_has_its_own_k, 0, 2);
    tcase_add_loop_test(tables, features_of_an_image_are_in_the_order_of_the_checkpoints_weights, 0, COUNT(of_images));
    return suite;
}
