/* Signals to a process that computes without an end. */
#include "run/interrupt.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/folder.h"
#include "support/suite.h"

static void set_up(void) {
    folder_enter(NULL, "interrupt");
}

/* The status, as waitpid gives it, of a process that does this, with its standard error in errors.txt. */
static int status_of(void (*work)(void)) {
    int status;
    pid_t process = fork();
    ck_assert_int_ge(process, 0);
    if (!process) {
        if (!freopen("errors.txt", "w", stderr))
            _exit(99);
        signal(SIGHUP, SIG_DFL); /* nohup has it ignored */
        interrupt_listen(true);
        work();
        _exit(interrupt_signal());
    }
    ck_assert_int_eq(waitpid(process, &status, 0), process);
    return status;
}

static void spin(double seconds) {
    struct timespec begun, now;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((double)(now.tv_sec - begun.tv_sec) + 1e-9 * (double)(now.tv_nsec - begun.tv_nsec) < seconds);
}

static void spin_for_ever(void) {
    interrupt_watch(1, "given up\n");
    kill(getpid(), SIGTERM);
    spin(1e9);
}

static void spin_after_a_signal(void) {
    kill(getpid(), SIGHUP);
    interrupt_watch(1, "given up\n");
    spin(1e9);
}

static void end_in_time(void) {
    interrupt_watch(1, "given up\n");
    kill(getpid(), SIGTERM);
    interrupt_unwatch();
    spin(1.5);
}

static void compute_long_without_a_signal(void) {
    interrupt_watch(1, "given up\n");
    spin(1.5);
    interrupt_unwatch();
    kill(getpid(), SIGINT);
    spin(1.5);
}

static const struct {
    void (*work)(void);
    int status;
    const char *errors;
} works[] = {
    {spin_for_ever, 128 + SIGTERM, "given up\n"},
    {spin_after_a_signal, 128 + SIGHUP, "given up\n"},
    {end_in_time, SIGTERM, ""},
    {compute_long_without_a_signal, SIGINT, ""},
};

START_TEST(a_computation_without_end_does_not_hold_up_a_signal) {
    int status = status_of(works[_i].work);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), works[_i].status);
    ck_assert_str_eq(read_text("errors.txt"), works[_i].errors);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("interrupt");
    TCase *signals = suite_group(suite, "signals", 60, set_up, folder_leave);
    tcase_add_loop_test(signals, a_computation_without_end_does_not_hold_up_a_signal, 0, COUNT(works));
    return suite;
}
