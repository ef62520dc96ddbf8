/* Tests of networks whose weights have grown beyond what they can compute with. */
#include <math.h>
#include <string.h>

#include "model/head.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* A step at the largest rate makes each of many layers in a row multiply by so much that the next pass overflows; the
 * step itself is finite. */
static void exploding_set_up(void) {
    struct text spec = {0};
    program_set_up();
    text_printf(&spec, "name: tiny\n"
                       "data: {type: synthetic, height: 8, width: 8, classes: 4, train_images: 64, test_images: 29}\n"
                       "optimizer: {type: sgd, learning_rate: 100}\n"
                       "train: {iterations: 1, batch_size: 16, eval_every: 1, threads: 1}\n"
                       "network:\n  layers:\n");
    for (int i = 0; i < 60; i++)
        text_printf(&spec, "    - {type: dense, units: 16}\n");
    text_printf(&spec, "    - {type: dense, units: 4}\n");
    disk_write_text("spec.yaml", spec.data);
    text_free(&spec);
}

START_TEST(a_test_that_is_not_finite_stops_the_run) {
    run(1, "train spec.yaml");
    expect_error("spherenet: iteration 1: on the test images the loss is nan; first in the output of layer ");
    expect_error("there is no checkpoint yet. Lower optimizer.learning_rate, or set optimizer.clip_norm\n");
    ck_assert_ptr_null(strstr(output, "best"));
    ck_assert(!disk_exists(in_run("runs/tiny", "checkpoints/best.safetensors.gz")));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/eval.csv"), "test,nan,0,"));
}
END_TEST

/* Of classes that are not numbers, the first one would else be the answer, and often right. */
START_TEST(a_test_that_is_not_finite_is_never_the_best) {
    run(0, "train spec.yaml --set train.on_divergence=skip");
    ck_assert_ptr_nonnull(strstr(warnings, "iteration 1: on the test images the loss is nan; first in the output of"));
    ck_assert_ptr_nonnull(strstr(warnings, "; this test cannot be the best\n"));
    expect_output("done: no test was finite, so there is no best; ");
    ck_assert(!disk_exists(in_run("runs/tiny", "checkpoints/best.safetensors.gz")));
    expect_link("runs/tiny", "latest", 1);
    run(0, "train spec.yaml --set train.on_divergence=skip --resume");
}
END_TEST

/* The rate rises until the network breaks; then no update is made any more, and all tests are alike. */
START_TEST(a_good_test_stays_the_best_when_later_ones_are_not_finite) {
    run(1, "train spec.yaml --set train.on_divergence=skip --set train.iterations=1000 "
           "--set 'schedule={type: constant, warmup: 1000000000}'");
    expect_error("too many updates in a row were left out; the last checkpoint is that of iteration ");
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/eval.csv"), ",test,nan,0,"));
    int best = best_iteration("runs/tiny");
    ck_assert_ptr_null(
        strstr(read_text("runs/tiny/eval.csv"), arena_printf(&arena, "\n%d,%.4f,test,nan", best, best / 4.0)));
    expect_link("runs/tiny", "best", best);
}
END_TEST

START_TEST(eval_of_a_broken_network_fails_after_its_tables) {
    run(0, "train spec.yaml --set train.on_divergence=skip");
    run(1, "eval runs/tiny");
    expect_output("accuracy 0.0000  top-5 0.0000  loss nan\n");
    expect_error("iteration-00000001.safetensors.gz: the network is broken: on the test images the loss is nan");
    ck_assert_int_eq(lines_of(in_run("runs/tiny", "checkpoints/test_per_class.csv")), 5);
    ck_assert_ptr_nonnull(strstr(read_text(in_run("runs/tiny", "checkpoints/test_confusion.csv")), "\n0,0,0,0,0,"));
    run(1, "features runs/tiny");
    expect_error("the network is broken");
    ck_assert_int_eq(lines_of(in_run("runs/tiny", "checkpoints/test_features.csv")), 30);
}
END_TEST

START_TEST(a_row_with_a_nan_predicts_nothing) {
    real scores[] = {1, 3, 2, NAN, 3, 2, 1, 3, NAN, NAN, NAN, NAN, -(real)INFINITY, (real)INFINITY, 0};
    struct head head = {.classes = 3, .scores = scores};
    const int expected[] = {1, NO_PREDICTION, NO_PREDICTION, NO_PREDICTION, 1};
    const int above_the_first[] = {2, 3, 3, 3, 2};
    for (int i = 0; i < COUNT(expected); i++) {
        ck_assert_int_eq(head_ranking(&head, i, 0).best, expected[i]);
        ck_assert_int_eq(head_ranking(&head, i, 0).above, above_the_first[i]);
    }
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("tests that are not finite");
    TCase *runs = suite_group(suite, "runs", 120, exploding_set_up, program_tear_down);
    tcase_add_test(runs, a_test_that_is_not_finite_stops_the_run);
    tcase_add_test(runs, a_test_that_is_not_finite_is_never_the_best);
    tcase_add_test(runs, a_good_test_stays_the_best_when_later_ones_are_not_finite);
    tcase_add_test(runs, eval_of_a_broken_network_fails_after_its_tables);

    TCase *rows = suite_group(suite, "predictions", 10, NULL, NULL);
    tcase_add_test(rows, a_row_with_a_nan_predicts_nothing);
    return suite;
}
