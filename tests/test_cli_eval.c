/* `spherenet eval`, `features` and `show`: what they print and write agrees with the run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/compare.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* The tables PREFIX_per_class.csv and PREFIX_confusion.csv agree with each other; returns the right answers. */
static int check_tables(const char *prefix, int classes, int images) {
    char *per_class = read_text(arena_printf(&arena, "%s_per_class.csv", prefix)), *row_place;
    char *confusion = read_text(arena_printf(&arena, "%s_confusion.csv", prefix)), *confusion_place;
    int total = 0, right = 0;
    ck_assert_str_eq(strtok_r(per_class, "\n", &row_place), "class,images,correct,accuracy,name");
    ck_assert_str_eq(strtok_r(confusion, "\n", &confusion_place), "true\\predicted,0,1,2,3,name");
    for (int i = 0; i < classes; i++) {
        int class, count, correct, counts[5];
        double accuracy;
        ck_assert_int_eq(sscanf(strtok_r(NULL, "\n", &row_place), "%d,%d,%d,%lf", &class, &count, &correct, &accuracy),
                         4);
        ck_assert_int_eq(sscanf(strtok_r(NULL, "\n", &confusion_place), "%d,%d,%d,%d,%d", &counts[0], &counts[1],
                                &counts[2], &counts[3], &counts[4]),
                         5);
        ck_assert(class == i && counts[0] == i && counts[i + 1] == correct);
        ck_assert_int_eq(counts[1] + counts[2] + counts[3] + counts[4], count);
        ck_assert(count ? fabs(accuracy - (double)correct / count) <= 1e-5 : isnan(accuracy));
        total += count;
        right += correct;
    }
    ck_assert_ptr_null(strtok_r(NULL, "\n", &row_place));
    ck_assert_ptr_null(strtok_r(NULL, "\n", &confusion_place));
    ck_assert_int_eq(total, images);
    return right;
}

START_TEST(eval_agrees_with_the_run) {
    double loss, accuracy;
    run(0, "train spec.yaml");
    const char *last = strstr(read_text("runs/tiny/eval.csv"), "\n24,");
    ck_assert_int_eq(sscanf(last, "\n24,%*[^,],test,%lf,%lf,", &loss, &accuracy), 2);
    run(0, "eval runs/tiny");
    ck_assert_double_eq_tol(printed("accuracy "), accuracy, 5.1e-5);
    ck_assert_double_eq_tol(printed("loss "), loss, 5.1e-5);
    ck_assert_double_eq(printed("top-5 "), 1);
    ck_assert_double_eq_tol(check_tables("runs/tiny/checkpoints/test", 4, 29) / 29.0, accuracy, 1e-5);
    run(0, "eval runs/tiny/checkpoints/best.safetensors.gz --split train --out tables");
    expect_output("64 train images");
    check_tables("tables/train", 4, 64);
    run(0, "eval runs/tiny --set data.test_images=9 --out tables");
    check_tables("tables/test", 4, 9);
}
END_TEST

START_TEST(a_test_does_not_depend_on_the_size_of_its_batches) {
    run(0, "train spec.yaml");
    run(0, "eval runs/tiny --out whole");
    const char *line = arena_string(&arena, strstr(output, "accuracy "));
    static const int sizes[] = {1, 3, 64};
    for (int i = 0; i < 3; i++) {
        run(0, "eval runs/tiny --out parts --set train.batch_size=%d", sizes[i]);
        ck_assert_msg(!strncmp(strstr(output, "accuracy "), line, strcspn(line, "\n")), "batches of %d: %s", sizes[i],
                      output);
        ck_assert_str_eq(read_text("parts/test_per_class.csv"), read_text("whole/test_per_class.csv"));
    }
}
END_TEST

START_TEST(eval_refuses_what_does_not_fit) {
    run(0, "train spec.yaml");
    run(1, "eval runs/tiny --set network.layers[0].filters=9");
    ck_assert_str_eq(errors, "spherenet: runs/tiny/checkpoints/iteration-00000024.safetensors.gz: tensor "
                             "\"first.weight\" has shape [6, 3, 3, 3], the network's has [9, 3, 3, 3]\n");
    run(2, "eval runs/tiny --set data.classes=5");
    expect_error("the last layer puts out 1x1x4 values, but the dataset has 5 classes");
    run(1, "eval runs/tiny --out spec.yaml");
    expect_error("spec.yaml: cannot be made: ");
    run(1, "eval runs/tiny/train.csv");
    expect_error("runs/tiny/train.csv: ");
}
END_TEST

static double length_of(const double *v, int width) {
    double sum = 0;
    for (int i = 0; i < width; i++)
        sum += v[i] * v[i];
    return sqrt(sum);
}

static double degrees_between(const double *a, const double *b, int width) {
    double dot = 0;
    for (int i = 0; i < width; i++)
        dot += a[i] * b[i];
    return acos(fmax(-1, fmin(1, dot / (length_of(a, width) * length_of(b, width))))) * 180 / 3.14159265358979324;
}

enum { IMAGES = 29, FEATURES = 3 };

struct rows {
    int labels[IMAGES], predictions[IMAGES];
    double values[IMAGES][FEATURES];
};

static void read_features(struct rows *rows, const char *path) {
    char *table = read_text(path), *place, *line = strtok_r(table, "\n", &place);
    ck_assert_str_eq(line, "label,prediction,f0,f1,f2,label_name,prediction_name");
    for (int i = 0; i < IMAGES; i++) {
        double *v = rows->values[i];
        line = strtok_r(NULL, "\n", &place);
        ck_assert_int_eq(
            sscanf(line, "%d,%d,%lf,%lf,%lf", &rows->labels[i], &rows->predictions[i], &v[0], &v[1], &v[2]), 5);
    }
    ck_assert_ptr_null(strtok_r(NULL, "\n", &place));
}

/* own_weight, nearest_weights, within_class, between_classes, mean_length, length_variation. weights: [4][FEATURES] */
static void measure(const struct rows *rows, const struct stored_tensor *weights, double *expected) {
    double w[4][FEATURES], within = 0, between = 0, squares = 0;
    int pairs[2] = {0, 0};
    for (int j = 0; j < 4 * FEATURES; j++)
        w[j / FEATURES][j % FEATURES] = (double)weights->data[j];
    for (int i = 0; i < IMAGES; i++) {
        expected[0] += degrees_between(rows->values[i], w[rows->labels[i]], FEATURES) / IMAGES;
        expected[4] += length_of(rows->values[i], FEATURES) / IMAGES;
        for (int j = 0; j < i; j++) {
            bool same = rows->labels[i] == rows->labels[j];
            *(same ? &within : &between) += degrees_between(rows->values[i], rows->values[j], FEATURES);
            pairs[same]++;
        }
    }
    expected[1] = 180;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            expected[1] = fmin(expected[1], degrees_between(w[i], w[j], FEATURES));
    expected[2] = within / pairs[1];
    expected[3] = between / pairs[0];
    for (int i = 0; i < IMAGES; i++)
        squares += pow(length_of(rows->values[i], FEATURES) - expected[4], 2) / IMAGES;
    expected[5] = sqrt(squares) / expected[4];
}

/* The last layer without a bias, as an angular loss asks for. */
#define ANGULAR "--set network.layers[3].bias=false"

START_TEST(features_and_their_angles_agree) {
    struct rows rows;
    struct tensor_file file;
    double expected[6] = {0}, found[6];
    int images, right = 0;
    run(0, "train spec.yaml --set 'network.layers[2]={type: dense, units: 3, name: feature}' " ANGULAR
           " --set loss.type=ga_softmax");
    run(0, "features runs/tiny --out features.csv");
    read_features(&rows, "features.csv");
    run(0, "eval runs/tiny --out .");
    for (int i = 0; i < IMAGES; i++)
        right += rows.labels[i] == rows.predictions[i];
    ck_assert_double_eq_tol(printed("accuracy "), right / 29.0, 5.1e-5);
    const char *row = strchr(read_text("test_angles.csv"), '\n');
    ck_assert_int_eq(sscanf(row, "\n24,%d,%lf,%lf,%lf,%lf,%lf,%lf", &images, &found[0], &found[1], &found[2], &found[3],
                            &found[4], &found[5]),
                     7);
    ck_assert_int_eq(images, IMAGES);
    read_tensors(&file, checkpoint("runs/tiny", 24));
    measure(&rows, tensor_file_find(&file, "score.weight"), expected);
    for (int i = 0; i < 6; i++)
        ck_assert_msg(fabs(found[i] - expected[i]) <= 1e-2 + 1e-4 * expected[i], "column %d is %g, expected %g", i + 2,
                      found[i], expected[i]);
    tensor_file_free(&file);
}
END_TEST

START_TEST(a_mean_over_nothing_is_nan) {
    run(0, "train spec.yaml");
    run(0, "eval runs/tiny --set data.test_images=1 --out .");
    check_tables("test", 4, 1);
    ck_assert_ptr_nonnull(strstr(strchr(read_text("test_angles.csv"), '\n'), ",nan,nan,"));
    ck_assert_ptr_null(strstr(read_text("test_angles.csv"), "-nan"));
}
END_TEST

START_TEST(features_need_a_classifier) {
    run(0, "train spec.yaml --set 'network.layers[3]={type: conv, filters: 4, kernel: 4}'");
    run(1, "features runs/tiny");
    expect_error("the network's last layer is not a dense one");
    run(0, "eval runs/tiny --out .");
    ck_assert(!disk_exists("test_angles.csv"));
    run(2, "features runs/tiny --split val");
    expect_error("no split \"val\"; there are train, validation and test");
}
END_TEST

static const char *const families[] = {
    "{type: plain, depth: 6, widths: [4, 5, 6], features: 7, normalization: both, operator: {angular: linear}}",
    "{type: plain, depth: 3, widths: [4, 5, 6], features: 0, normalization: none, activation: none, bias: true}",
    "{type: resnet, depth: 8, widths: [4, 6, 8], operator: {angular: sigmoid, k: 0.123456789}}",
    ("{type: plain, depth: 3, widths: [4, 4, 4], operator: {magnitude: product}, classifier_bias: true, "
     "classifier_operator: {magnitude: linear}, batch_norm: {decay: 0.9}}"),
};

/* What `show` prints is a spec of the identical network, and showing that changes nothing. */
START_TEST(show_writes_the_network_out) {
    disk_write_text("family.yaml", arena_printf(&arena,
                                                "data: {type: synthetic, height: 8, width: 8, classes: 4}\n"
                                                "network: %s\n"
                                                "train: {iterations: 1, batch_size: 4, keep: 0, threads: 1}\n",
                                                families[_i]));
    run(0, "show family.yaml");
    disk_write_text("explicit.yaml", output);
    ck_assert_ptr_nonnull(strstr(output, "  - {type: "));
    run(0, "show explicit.yaml");
    expect_same_lines(strchr(output, '\n'), strchr(read_text("explicit.yaml"), '\n'), "show");
    run(0, "train family.yaml --run-dir family");
    run(0, "train explicit.yaml --run-dir explicit");
    ck_assert(equal_tensors(checkpoint("family", 1), checkpoint("explicit", 1)));
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("eval");
    TCase *evaluation = suite_group(suite, "eval, features, show", 120, program_set_up, program_tear_down);
    tcase_add_test(evaluation, eval_agrees_with_the_run);
    tcase_add_test(evaluation, a_test_does_not_depend_on_the_size_of_its_batches);
    tcase_add_test(evaluation, eval_refuses_what_does_not_fit);
    tcase_add_test(evaluation, features_and_their_angles_agree);
    tcase_add_test(evaluation, a_mean_over_nothing_is_nan);
    tcase_add_test(evaluation, features_need_a_classifier);
    tcase_add_loop_test(evaluation, show_writes_the_network_out, 0, COUNT(families));
    return suite;
}
