/* Progress on a terminal: no wider than it, and plain lines where a line cannot be rewritten. */
#define _GNU_SOURCE
#include <math.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "run/log.h"
#include "support/folder.h"
#include "support/suite.h"

static int master;
static struct log run_log;

/* Standard output becomes a terminal of so many columns. */
static void open_terminal(int columns, const char *kind) {
    int slave;
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    struct error err;
    ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, &size), 0);
    fflush(stdout);
    ck_assert_int_eq(dup2(slave, STDOUT_FILENO), STDOUT_FILENO);
    close(slave);
    if (kind)
        setenv("TERM", kind, 1);
    else
        unsetenv("TERM");
    ck_assert_msg(log_open(&run_log, "run.log", false, &err), "%s", err.text);
}

static void set_up(void) {
    folder_enter(NULL, "terminal");
}

static void tear_down(void) {
    log_close(&run_log);
    close(master);
    folder_leave();
}

static void tell(double loss) {
    struct progress progress = {12345, 2000000000, loss, 0.5, 160};
    run_log.next_progress = run_log.terminal ? 0 : 1e-9;
    log_progress(&run_log, &progress, 16);
}

static void expect_shown(const char *expected) {
    char shown[1024];
    size_t length = 0;
    struct pollfd ready = {.fd = master, .events = POLLIN};
    while (length < strlen(expected) && poll(&ready, 1, 10000) > 0) {
        ssize_t bytes = read(master, shown + length, sizeof shown - 1 - length);
        ck_assert_int_gt(bytes, 0);
        length += (size_t)bytes;
    }
    shown[length] = '\0';
    ck_assert_str_eq(shown, expected);
}

static const struct {
    int columns;
    const char *line;
} widths[] = {
    {200, "\r\033[Kiteration 12345/2000000000  loss 1.2500  accuracy 0.500  160 images/s  55555h12m left"},
    {80, "\r\033[Kiteration 12345/2000000000  loss 1.2500  accuracy 0.500  160 images/s"},
    {72, "\r\033[Kiteration 12345/2000000000  loss 1.2500  accuracy 0.500  160 images/s"},
    {71, "\r\033[Kiteration 12345/2000000000  loss 1.2500  accuracy 0.500  160 images/s"},
    {40, "\r\033[Kiteration 12345/2000000000  loss 1.2500"},
    {39, "\r\033[Kiteration 12345/2000000000"},
    {20, "\r\033[K"},
};

START_TEST(progress_is_no_wider_than_the_terminal) {
    open_terminal(widths[_i].columns, "xterm");
    tell(1.25);
    expect_shown(widths[_i].line);
    const char *text = strchr(widths[_i].line, 'K') + 1;
    ck_assert_int_lt((int)strlen(text), widths[_i].columns);
}
END_TEST

START_TEST(a_terminal_of_unknown_width_has_80_columns) {
    open_terminal(0, "xterm");
    tell(1.25);
    expect_shown("\r\033[Kiteration 12345/2000000000  loss 1.2500  accuracy 0.500  160 images/s");
}
END_TEST

START_TEST(a_dumb_terminal_gets_plain_lines) {
    static const char *const kinds[] = {"dumb", "", NULL};
    open_terminal(80, kinds[_i]);
    ck_assert(!run_log.terminal);
    tell(1.25);
    log_line(&run_log, "done");
    expect_shown("iteration 12345/2000000000  loss 1.2500  accuracy 0.500  160 images/s  55555h12m left\r\ndone\r\n");
}
END_TEST

START_TEST(a_loss_that_is_no_number_has_no_sign) {
    open_terminal(60, "xterm");
    tell(-(double)NAN);
    expect_shown("\r\033[Kiteration 12345/2000000000  loss nan  accuracy 0.500");
}
END_TEST

START_TEST(what_a_terminal_would_act_on_stays_out_of_lines) {
    open_terminal(80, "xterm");
    log_line(&run_log, "weights: those of %s", "a\x1b[31m\xc2\x9b|\x07");
    expect_shown("weights: those of a?[31m??|?\r\n");
    ck_assert_str_eq(read_text("run.log"), "weights: those of a?[31m??|?\n");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("terminal");
    TCase *terminal = suite_group(suite, "terminal", 60, set_up, tear_down);
    tcase_add_loop_test(terminal, progress_is_no_wider_than_the_terminal, 0, COUNT(widths));
    tcase_add_test(terminal, a_terminal_of_unknown_width_has_80_columns);
    tcase_add_loop_test(terminal, a_dumb_terminal_gets_plain_lines, 0, 3);
    tcase_add_test(terminal, a_loss_that_is_no_number_has_no_sign);
    tcase_add_test(terminal, what_a_terminal_would_act_on_stays_out_of_lines);
    return suite;
}
