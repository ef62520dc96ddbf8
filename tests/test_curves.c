/* The learning curves: as many values as names, whatever the values are, and a row that waits. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "run/curves.h"
#include "support/folder.h"
#include "support/run_folder.h"
#include "support/suite.h"

static struct run_dir dir;
static struct log run_log;
static struct curves curves;

static const struct evaluation test = {.loss = 1.25, .accuracy = 0.5};

static void open_curves(int64_t iteration) {
    struct error err;
    ck_assert_msg(curves_open(&curves, &dir, iteration, 16, 64, &err), "%s", err.text);
}

static void set_up(void) {
    struct error err;
    folder_enter(NULL, "curves");
    ck_assert_msg(run_dir_open(&dir, "run", RUN_NEW, &err), "%s", err.text);
    ck_assert_msg(log_open(&run_log, "run.log", true, &err), "%s", err.text);
    open_curves(0);
}

static void tear_down(void) {
    curves_close(&curves);
    log_close(&run_log);
    run_dir_close(&dir);
    folder_leave();
}

static void add_steps(int first, int last, double fit) {
    for (int iteration = first; iteration <= last; iteration++)
        curves_add_step(&curves, iteration, &(struct step_result){.rate = 0.01, .fit = fit}, &run_log);
}

START_TEST(rows_have_a_value_for_each_name) {
    add_steps(1, 3, 1.5);
    curves_add_test(&curves, 3, SPLIT_TEST, &test, &run_log);
    ck_assert_int_eq(check_table("run/train.csv", train_header, 12, 1, 1, 3), 3);
    ck_assert_int_eq(check_table("run/eval.csv", eval_header, 6, 3, 1, 3), 1);
}
END_TEST

START_TEST(values_are_those_of_the_step_and_the_test) {
    struct step_result step = {0.001, 1.5, 0.25, 0.125, 1234567, 0.75, 5, true};
    curves.images_per_second = 99.96;
    curves_add_step(&curves, 2000000000, &step, &run_log);
    curves_add_test(&curves, 6, SPLIT_TEST, &test, &run_log);
    ck_assert_ptr_nonnull(strstr(read_text("run/train.csv"), "\n2000000000,500000000.0000,0.001,1.875,1.5,0.25,0.125,"
                                                             "0.75,5,1.23457e+06,100.0,0.0"));
    ck_assert_ptr_nonnull(strstr(read_text("run/eval.csv"), "\n6,1.5000,test,1.25,0.5,0.0"));
}
END_TEST

START_TEST(a_nan_is_spelt_without_its_sign) {
    add_steps(1, 1, (double)NAN);
    add_steps(2, 2, -(double)NAN);
    add_steps(3, 3, -(double)INFINITY);
    const char *rows = read_text("run/train.csv");
    ck_assert_ptr_nonnull(strstr(rows, "\n1,0.2500,0.01,nan,nan,0,"));
    ck_assert_ptr_nonnull(strstr(rows, "\n2,0.5000,0.01,nan,nan,0,"));
    ck_assert_ptr_nonnull(strstr(rows, "\n3,0.7500,0.01,-inf,-inf,0,"));
    curves_add_test(&curves, 3, SPLIT_TEST, &(struct evaluation){.loss = -(double)NAN}, &run_log);
    ck_assert_ptr_nonnull(strstr(read_text("run/eval.csv"), "\n3,0.7500,test,nan,0,"));
}
END_TEST

/* As on a full disk: at the limit of a file's size, whose signal is ignored, a write fails. */
START_TEST(a_row_that_cannot_be_written_waits_and_is_told_once) {
    struct rlimit unlimited, full;
    struct error err;
    getrlimit(RLIMIT_FSIZE, &unlimited);
    full = unlimited;
    full.rlim_cur = (rlim_t)curves.train.length + 10; /* run.log is shorter */
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &full);
    add_steps(1, 2, 1.5);
    bool synced = curves_sync(&curves, &err);
    setrlimit(RLIMIT_FSIZE, &unlimited);
    ck_assert(!synced);
    ck_assert_int_eq(lines_of("run/train.csv"), 1);
    add_steps(3, 3, 1.5);
    ck_assert_int_eq(check_table("run/train.csv", train_header, 12, 1, 1, 3), 3);
    ck_assert(curves_sync(&curves, &err));
    ck_assert_str_eq(read_text("run.log"), "warning: run/train.csv: cannot be written: File too large; going on, the "
                                           "row waits until it can be\n");
}
END_TEST

START_TEST(rows_after_the_checkpoint_are_cut_and_seconds_go_on) {
    curves.start -= 50;
    add_steps(1, 2, 1.5);
    curves.start -= 50;
    add_steps(3, 4, 1.5);
    curves_close(&curves);
    open_curves(2);
    ck_assert_int_eq(check_table("run/train.csv", train_header, 12, 1, 1, 2), 2);
    ck_assert_double_eq_tol(curves_seconds(&curves), 50, 5);
}
END_TEST

START_TEST(a_test_does_not_count_for_images_per_second) {
    curves.window_start -= 4;
    curves_count_step(&curves);
    ck_assert_double_eq_tol(curves.images_per_second, 4, 1);
    curves.window_start -= 100;
    curves_leave_out(&curves, 100);
    curves_count_step(&curves);
    ck_assert_double_eq_tol(curves.images_per_second, 8, 2);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("curves");
    TCase *group = suite_group(suite, "curves", 60, set_up, tear_down);
    tcase_add_test(group, rows_have_a_value_for_each_name);
    tcase_add_test(group, values_are_those_of_the_step_and_the_test);
    tcase_add_test(group, a_nan_is_spelt_without_its_sign);
    tcase_add_test(group, rows_after_the_checkpoint_are_cut_and_seconds_go_on);
    tcase_add_test(group, a_test_does_not_count_for_images_per_second);
    TCase *limited = suite_group(suite, "file-limit", 60, set_up, tear_down);
    tcase_set_tags(limited, "file-limit");
    tcase_add_test(limited, a_row_that_cannot_be_written_waits_and_is_told_once);
    return suite;
}
