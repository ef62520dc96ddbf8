/* Runs with validation images: what a test tells, what `best` goes by, and runs that end for want of patience. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/compare.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

#define STEADY "train spec.yaml --set schedule=constant "
#define VALIDATED STEADY "--set data.validation=0.25 "
/* A network that stays as it is, so that all tests are alike. */
#define UNMOVED STEADY "--set network.layers[1]=relu --set optimizer.learning_rate=1e-12 "
/* A rate at which accuracies go up and down. */
#define RESTLESS VALIDATED "--set optimizer.learning_rate=0.3 --set train.iterations=400 --set train.eval_every=3 "

/* --- Tests ------------------------------------------------------------------------------------------------------- */

/* What a row of eval.csv says. */
struct row {
    int iteration;
    double loss, accuracy;
};

/* Those of a split, which end with an iteration of 0; returns how many. */
static int read_rows(const char *run_dir, const char *split, struct row rows[]) {
    int count = 0;
    char *table = read_text(in_run(run_dir, "eval.csv")), *place, name[16];
    strtok_r(table, "\n", &place); /* the header */
    for (char *line; (line = strtok_r(NULL, "\n", &place));) {
        struct row *row = &rows[count];
        ck_assert_int_eq(sscanf(line, "%d,%*[^,],%15[^,],%lf,%lf,", &row->iteration, name, &row->loss, &row->accuracy),
                         4);
        count += !strcmp(name, split);
    }
    rows[count].iteration = 0;
    return count;
}

/* Index of the first row with the largest accuracy. */
static int best_of(const struct row *rows, int count) {
    int best = 0;
    for (int i = 1; i < count; i++)
        best = rows[i].accuracy > rows[best].accuracy ? i : best;
    return best;
}

enum { MOST_ROWS = 140 };
static struct row validation[MOST_ROWS + 1], tests[MOST_ROWS + 1];

START_TEST(a_test_looks_at_validation_and_test_images) {
    run(0, VALIDATED);
    expect_output("data: 48 training, 16 validation and 29 test images of 8x8x3, 4 classes\n");
    ck_assert_int_eq(read_rows("runs/tiny", "validation", validation), 4);
    ck_assert_int_eq(read_rows("runs/tiny", "test", tests), 4);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(validation[i].iteration, 6 * (i + 1));
        ck_assert_int_eq(tests[i].iteration, 6 * (i + 1));
        ck_assert_double_eq_tol(16 * validation[i].accuracy, round(16 * validation[i].accuracy), 1e-4);
        ck_assert_double_eq_tol(29 * tests[i].accuracy, round(29 * tests[i].accuracy), 1e-4);
    }
    expect_output(arena_printf(&arena, "iteration 24: validation accuracy %.4f, loss ", validation[3].accuracy));
    expect_output(arena_printf(&arena, "test accuracy %.4f, loss ", tests[3].accuracy));
}
END_TEST

/* Trains until validation and test images would choose differently: else it could be either that chose. The number of
 * rows. */
static int train_until_they_differ(void) {
    for (int seed = 1; seed <= 8; seed++) {
        run(0, RESTLESS "--overwrite --set seed=%d", seed);
        int count = read_rows("runs/tiny", "validation", validation);
        ck_assert_int_eq(count, read_rows("runs/tiny", "test", tests));
        if (best_of(validation, count) != best_of(tests, count))
            return count;
    }
    ck_abort_msg("validation and test images choose the same");
}

START_TEST(the_best_is_chosen_by_validation_accuracy) {
    int best = best_of(validation, train_until_they_differ());
    expect_link("runs/tiny", "best", validation[best].iteration);
    expect_output(arena_printf(&arena,
                               "done: test accuracy %.4f at the best validation accuracy, %.4f at iteration %d;",
                               tests[best].accuracy, validation[best].accuracy, validation[best].iteration));
}
END_TEST

START_TEST(eval_finds_the_validation_images_again) {
    run(0, VALIDATED "--set seed=5");
    read_rows("runs/tiny", "validation", validation);
    run(0, "eval runs/tiny --split validation");
    expect_output(", 16 validation images\n");
    ck_assert_double_eq_tol(printed("accuracy "), validation[3].accuracy, 1e-4);
    ck_assert_double_eq_tol(printed("loss "), validation[3].loss, 1e-4);
    ck_assert(disk_exists("runs/tiny/checkpoints/validation_per_class.csv"));
    run(0, "eval runs/tiny --split train");
    expect_output(", 48 train images\n");
    run(0, "features runs/tiny --split validation");
    ck_assert_int_eq(lines_of("runs/tiny/checkpoints/validation_features.csv"), 17);
}
END_TEST

START_TEST(a_run_without_validation_images_has_none_to_evaluate) {
    run(0, STEADY);
    ck_assert_ptr_null(strstr(output, "validation"));
    ck_assert_ptr_null(strstr(read_text("runs/tiny/eval.csv"), "validation"));
    run(1, "eval runs/tiny --split validation");
    ck_assert_str_eq(errors, "spherenet: synthetic: there are no validation images; data.validation sets some aside\n");
}
END_TEST

START_TEST(validation_is_the_same_on_any_number_of_threads) {
    run(0, VALIDATED "--run-dir one");
    run(0, VALIDATED "--run-dir three --set train.threads=3 --set data.loader_threads=2");
    for (int i = 0; i < 2; i++) {
        const char *table = i ? "eval.csv" : "train.csv";
        expect_same_lines(without_times(in_run("one", table)), without_times(in_run("three", table)), table);
    }
    ck_assert(equal_tensors(checkpoint("one", 24), checkpoint("three", 24)));
}
END_TEST

START_TEST(other_test_images_leave_the_best_of_the_validation_images) {
    run(0, RESTLESS "--set data.test_limit=10 --set train.iterations=60");
    int count = read_rows("runs/tiny", "validation", validation), best = best_of(validation, count);
    run(0, RESTLESS "--set data.test_limit=20 --set train.iterations=61 --resume");
    ck_assert_ptr_null(strstr(output, "tests before were of other images"));
    count = read_rows("runs/tiny", "validation", validation);
    best = best_of(validation, count) == count - 1 ? count - 1 : best;
    expect_link("runs/tiny", "best", validation[best].iteration);
}
END_TEST

START_TEST(another_share_is_another_run) {
    run(0, VALIDATED "--set train.iterations=8");
    run(1, STEADY "--resume");
    expect_error("\n  data.validation: it had 0.25, now 0\n");
}
END_TEST

/* --- Patience ---------------------------------------------------------------------------------------------------- */

/* Index of the row at which `patience` rows in a row were no better than the best one before. */
static int end_of_patience(const struct row *rows, int count, int patience) {
    for (int i = 0; i < count; i++)
        if (i - best_of(rows, i + 1) == patience)
            return i;
    return count - 1;
}

START_TEST(a_run_ends_when_patience_does) {
    run(0, RESTLESS "--run-dir whole");
    run(0, RESTLESS "--run-dir short --set train.patience=4");
    int count = read_rows("whole", "validation", validation), end = end_of_patience(validation, count, 4);
    int best = best_of(validation, end + 1);
    ck_assert_int_lt(end, count - 1);
    ck_assert_int_eq(read_rows("short", "validation", tests), end + 1);
    expect_output(arena_printf(&arena,
                               "stopped early at iteration %d: 4 tests without a better one than that of iteration %d; "
                               "to go on, resume with a larger patience: --set train.patience=8, or 0 for no limit\n",
                               validation[end].iteration, validation[best].iteration));
    expect_output("done: test accuracy ");
    expect_link("short", "latest", validation[end].iteration);
    expect_link("short", "best", validation[best].iteration);
}
END_TEST

START_TEST(a_run_that_stopped_early_says_so_and_goes_on_with_more_patience) {
    run(0, RESTLESS "--run-dir whole");
    run(0, RESTLESS "--run-dir short --set train.patience=4");
    const char *rows = read_text("short/train.csv");
    run(0, RESTLESS "--run-dir short --set train.patience=4 --resume");
    expect_output("\nstopped early at iteration ");
    expect_same_lines(read_text("short/train.csv"), rows, "train.csv");
    run(0, RESTLESS "--run-dir short --set train.patience=0 --resume");
    ck_assert_ptr_null(strstr(output, "stopped early"));
    expect_same_runs("short", "whole");
}
END_TEST

START_TEST(the_last_test_of_a_run_does_not_stop_it_early) {
    run(0, UNMOVED "--set train.patience=3");
    ck_assert_ptr_null(strstr(output, "stopped early"));
    expect_output("done: best test accuracy ");
    run(0, UNMOVED "--set train.patience=3 --resume");
    expect_output("the run is finished: 24 iterations");
}
END_TEST

START_TEST(without_validation_images_patience_goes_by_the_test_images) {
    run(0, UNMOVED "--set train.patience=2");
    expect_output("stopped early at iteration 18: 2 tests without a better one than that of iteration 6; ");
    expect_output("done: best test accuracy ");
    run(0, "eval runs/tiny --split test");
}
END_TEST

START_TEST(a_run_that_stops_early_has_its_last_row_and_checkpoint) {
    run(0, UNMOVED "--set train.patience=2 --set train.log_every=0 "
                   "--set train.checkpoint_every=0");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 18, 1, 18), 1);
    expect_link("runs/tiny", "latest", 18);
}
END_TEST

/* The count of tests goes on across each of many ends. */
START_TEST(killed_runs_end_where_the_others_do) {
    static const char *const options = "--set train.patience=7 --set train.checkpoint_every=5";
    int kills = 0;
    run(0, RESTLESS "--run-dir whole %s", options);
    for (int i = 0; i < 12; i++)
        kills += shell(arena_printf(&arena,
                                    "timeout --foreground -s KILL %.2f \"$SPHERENET\" " RESTLESS
                                    "--run-dir killed %s --auto-resume >output.txt 2>errors.txt",
                                    0.02 + 0.01 * i, options)) != 0;
    ck_assert_int_gt(kills, 0);
    run(0, RESTLESS "--run-dir killed %s --auto-resume", options);
    expect_same_runs("killed", "whole");
}
END_TEST

/* One test at a time. */
START_TEST(interrupted_runs_end_where_the_others_do) {
    run(0, RESTLESS "--run-dir whole --set train.patience=5");
    int count = read_rows("whole", "validation", validation), end = validation[count - 1].iteration;
    ck_assert_int_lt(end, 400);
    for (int i = 1; i <= count; i++)
        run(0, RESTLESS "--run-dir parts --set train.patience=5 --set train.iterations=%d --auto-resume", 3 * i);
    run(0, RESTLESS "--run-dir parts --set train.patience=5 --resume");
    expect_output(arena_printf(&arena, "\nstopped early at iteration %d: 5 tests without a better one", end));
    expect_same_lines(without_times("parts/eval.csv"), without_times("whole/eval.csv"), "eval.csv");
    ck_assert(equal_tensors(checkpoint("parts", end), checkpoint("whole", end)));
    expect_link("parts", "best", validation[best_of(validation, count)].iteration);
}
END_TEST

START_TEST(patience_needs_tests_to_count) {
    run(2, STEADY "--set train.patience=2 --set train.eval_every=0");
    expect_error("train.patience: counts tests, of which train.eval_every: 0 makes none before the end; "
                 "set train.eval_every\n");
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("cli_validation");
    TCase *runs = suite_group(suite, "tests", 120, program_set_up, program_tear_down);
    tcase_add_test(runs, a_test_looks_at_validation_and_test_images);
    tcase_add_test(runs, the_best_is_chosen_by_validation_accuracy);
    tcase_add_test(runs, eval_finds_the_validation_images_again);
    tcase_add_test(runs, a_run_without_validation_images_has_none_to_evaluate);
    tcase_add_test(runs, validation_is_the_same_on_any_number_of_threads);
    tcase_add_test(runs, other_test_images_leave_the_best_of_the_validation_images);
    tcase_add_test(runs, another_share_is_another_run);
    TCase *patience = suite_group(suite, "patience", 240, program_set_up, program_tear_down);
    tcase_add_test(patience, a_run_ends_when_patience_does);
    tcase_add_test(patience, a_run_that_stopped_early_says_so_and_goes_on_with_more_patience);
    tcase_add_test(patience, the_last_test_of_a_run_does_not_stop_it_early);
    tcase_add_test(patience, without_validation_images_patience_goes_by_the_test_images);
    tcase_add_test(patience, a_run_that_stops_early_has_its_last_row_and_checkpoint);
    tcase_add_test(patience, killed_runs_end_where_the_others_do);
    tcase_add_test(patience, interrupted_runs_end_where_the_others_do);
    tcase_add_test(patience, patience_needs_tests_to_count);
    return suite;
}
