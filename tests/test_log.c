/* What a training prints while it goes on: to a terminal, to a file, or not at all. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run/log.h"
#include "support/folder.h"
#include "support/suite.h"

static struct log run_log;

static void set_up(void) {
    struct error err;
    folder_enter(NULL, "log");
    ck_assert_ptr_nonnull(freopen("output.txt", "w", stdout));
    ck_assert_msg(log_open(&run_log, "run.log", false, &err), "%s", err.text);
    ck_assert(!run_log.terminal);
}

static void tear_down(void) {
    log_close(&run_log);
    folder_leave();
}

static void expect_printed(const char *expected) {
    fflush(stdout);
    ck_assert_str_eq(read_text("output.txt"), expected);
}

/* As if the last line had been printed long ago. */
static void tell_progress(int64_t iteration, double images_per_second) {
    struct progress progress = {iteration, 1000, 1.25, 0.5, images_per_second};
    if (run_log.next_progress > 0)
        run_log.next_progress = 1e-9;
    log_progress(&run_log, &progress, 16);
}

/* Batches of 16: 900 iterations are 14,400 images. */
START_TEST(a_file_gets_plain_lines_but_no_first_one) {
    tell_progress(1, 160);
    tell_progress(100, 160);
    tell_progress(100, 1);
    tell_progress(100, 0); /* not known yet */
    struct progress at_once = {101, 1000, 1, 1, 1};
    log_progress(&run_log, &at_once, 16);
    expect_printed("iteration 100/1000  loss 1.2500  accuracy 0.500  160 images/s  1m30s left\n"
                   "iteration 100/1000  loss 1.2500  accuracy 0.500  1 images/s  4h00m left\n"
                   "iteration 100/1000  loss 1.2500  accuracy 0.500  0 images/s\n");
    ck_assert_str_eq(read_text("run.log"), "");
}
END_TEST

START_TEST(a_terminal_gets_one_line_that_messages_replace) {
    run_log.terminal = true;
    tell_progress(100, 160);
    log_line(&run_log, "iteration %d: test accuracy %.4f", 100, 0.25);
    log_line(&run_log, "done");
    expect_printed("\r\033[Kiteration 100/1000  loss 1.2500  accuracy 0.500  160 images/s  1m30s left"
                   "\r\033[Kiteration 100: test accuracy 0.2500\ndone\n");
    ck_assert_str_eq(read_text("run.log"), "iteration 100: test accuracy 0.2500\ndone\n");
}
END_TEST

START_TEST(quiet_is_for_the_terminal_alone) {
    run_log.quiet = true;
    tell_progress(1, 160);
    tell_progress(100, 160);
    log_line(&run_log, "done");
    expect_printed("");
    ck_assert_str_eq(read_text("run.log"), "done\n");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("log");
    TCase *lines = suite_group(suite, "lines", 60, set_up, tear_down);
    tcase_add_test(lines, a_file_gets_plain_lines_but_no_first_one);
    tcase_add_test(lines, a_terminal_gets_one_line_that_messages_replace);
    tcase_add_test(lines, quiet_is_for_the_terminal_alone);
    return suite;
}
