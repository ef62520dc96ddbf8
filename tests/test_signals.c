/* Trainings that are asked to stop, or to make a checkpoint, at random instants; and two processes in one folder. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/compare.h"
#include "support/crash.h"

/* --- Signals ----------------------------------------------------------------------------------------------------- */

static void send_signal(struct process *process, int number) {
    kill(process->pid, number);
    let_go(process);
}

/* The signals that end a training say so in the exit status, after a checkpoint of the last row's iteration. A process
 * that has not yet read its spec knows nothing of signals. */
static void check_signalled(const char *dir, int status, int number, bool twice, struct traces before) {
    enum phase phase = phase_of(dir, before);
    if (WIFSIGNALED(status)) {
        bool killed = number == SIGUSR1 && twice && WTERMSIG(status) == SIGKILL;
        EXPECT_HERE(killed || WTERMSIG(status) == number, "ended by signal %d", WTERMSIG(status));
        EXPECT_HERE(killed || phase == NO_FOLDER || phase == STARTING, "killed by the signal while %s",
                    phase_names[phase]);
        return;
    }
    EXPECT_HERE(number != SIGUSR1 && WEXITSTATUS(status) == 128 + number, "exit status %d: %s", WEXITSTATUS(status),
                disk_read("errors.txt", NULL));
    if (twice)
        return;
    int newest = newest_checkpoint(dir), last_row = last_iteration(in(dir, "train.csv"));
    EXPECT_HERE(newest == last_row, "the newest checkpoint is %d, the last row %d", newest, last_row);
    EXPECT_HERE(says("output.txt", " --resume\n"), "does not say how to go on");
    EXPECT_HERE(latest_is_newest(dir) && !holds(in(dir, "checkpoints"), "*.tmp"), "left so:\n%s",
                list_files(dir, false));
}

/* Ends one run again and again with a signal, now and then with two (after SIGUSR1, with SIGKILL), until it gets
 * through, then compares what it leaves; returns the number of times. */
static int signal_run(const char *dir, int number, int times_before) {
    const char *mode = begin_run(dir);
    for (int times = 0;;) {
        struct moment moment = draw_moment();
        struct traces before = traces_in(dir);
        bool twice = rng_below(&rng, 3) < (number == SIGUSR1 ? 2 : 1);
        set_context("%s, time %d, %s, %s%s", strsignal(number), times_before + times + 1, mode ? mode : "begun",
                    moment_text(&moment), twice ? ", and another signal" : "");
        struct process process = start_training(dir, 1, mode, moment.nth > 0);
        if (wait_for(&process, moment)) {
            send_signal(&process, number);
            times++;
            if (twice) {
                struct moment next = {.delay = rng_uniform(&rng) * (number == SIGUSR1 ? whole_time : 3e-3)};
                if (wait_for(&process, next))
                    kill(process.pid, number == SIGUSR1 ? SIGKILL : number);
            }
        }
        int status = finish(&process);
        if (mode && nothing_to_resume(status)) {
            mode = NULL;
        } else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            expect_same_results(dir, whole_runs[1]);
            return times;
        } else {
            check_signalled(dir, status, number, twice, before);
            check_folder(dir, 0);
            mode = "--resume";
        }
    }
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR2, SIGUSR1};

START_TEST(no_signal_loses_work) {
    int times = 0, runs = 0, wanted = kills_wanted(10);
    make_whole_runs();
    for (; times < wanted; runs++)
        times += signal_run("run", signals[_i], times);
    printf("%s: %d times in %d runs, SPHERENET_KILL_SEED=%llu\n", strsignal(signals[_i]), times, runs,
           (unsigned long long)seed);
}
END_TEST

START_TEST(a_signal_asks_for_a_checkpoint) {
    static const char *const none = "--set train.checkpoint_every=0 --set train.eval_every=0";
    int iterations[ITERATIONS + 1];
    SKIP_IF(!tracing, "processes cannot be traced here");
    struct process process = start_training("run", 1, none, true);
    do {
        struct moment moment = {.writes = true, .nth = 1};
        EXPECT_HERE(run_to_call(&process, &moment), "ended early: %s", disk_read("errors.txt", NULL));
    } while (last_iteration("run/train.csv") < 3);
    /* To the thread that trains: another may have to wait for a processor before it can take the signal. */
    ck_assert_int_eq(syscall(SYS_tgkill, process.pid, process.pid, SIGUSR1), 0);
    let_go(&process);
    expect_success(finish(&process));
    EXPECT_HERE(list_checkpoints("run", iterations) == 2, "files:\n%s", list_files("run", true));
    EXPECT_HERE(iterations[0] + iterations[1] < ITERATIONS + 6, "files:\n%s", list_files("run", true));
}
END_TEST

START_TEST(a_signal_before_the_first_iteration_promises_no_checkpoint) {
    int iterations[ITERATIONS + 1];
    SKIP_IF(!tracing, "processes cannot be traced here");
    struct process process = start_training("run", 1, NULL, true);
    struct moment first = {.nth = 1}; /* that makes the folder */
    EXPECT_HERE(run_to_call(&process, &first), "ended early");
    kill(process.pid, SIGTERM);
    let_go(&process);
    int status = finish(&process);
    EXPECT_HERE(WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGTERM, "status %x", (unsigned)status);
    EXPECT_HERE(says("errors.txt", "spherenet: ending before the first iteration; once more ends at once\n"),
                "errors:\n%s", read_text("errors.txt"));
    EXPECT_HERE(says("output.txt", "ended at iteration 0 by signal 15 (Terminated); there is no checkpoint yet\n"),
                "output:\n%s", read_text("output.txt"));
    ck_assert_int_eq(list_checkpoints("run", iterations), 0);
    process = start_training("run", 1, "--resume", false);
    expect_success(finish(&process));
}
END_TEST

START_TEST(a_signal_while_training_promises_a_checkpoint) {
    SKIP_IF(!tracing, "processes cannot be traced here");
    struct process process = start_training("run", 1, NULL, true);
    do {
        struct moment moment = {.writes = true, .nth = 1};
        EXPECT_HERE(run_to_call(&process, &moment), "ended early");
    } while (last_iteration("run/train.csv") < 3);
    kill(process.pid, SIGTERM);
    let_go(&process);
    int status = finish(&process);
    EXPECT_HERE(WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGTERM, "status %x", (unsigned)status);
    EXPECT_HERE(says("errors.txt", "ending after this iteration, with a checkpoint"), "%s", read_text("errors.txt"));
    EXPECT_HERE(newest_checkpoint("run") == last_iteration("run/train.csv"), "files:\n%s", list_files("run", true));
}
END_TEST

/* --- Two processes ----------------------------------------------------------------------------------------------- */

static void expect_refused(const char *dir, const char *mode, const char *message) {
    set_context("a second process, %s", mode ? mode : "without --resume and --overwrite");
    struct process process = start_training(dir, 1, mode, false);
    int status = finish(&process);
    char *errors = disk_read("errors.txt", NULL);
    EXPECT_HERE(WIFEXITED(status) && WEXITSTATUS(status) == 1 && strstr(errors, message), "status %x: %s",
                (unsigned)status, errors);
    free(errors);
}

START_TEST(a_folder_in_use_is_left_alone) {
    static const char *const in_use = "run: another process is training in this folder\n";
    make_whole_runs();
    struct process process = start_training("run", 1, NULL, tracing);
    struct moment moment = {.nth = whole_calls[0] / 2, .delay = whole_time / 2};
    EXPECT_HERE(wait_for(&process, moment), "the training ended early");
    if (!tracing)
        kill(process.pid, SIGSTOP);
    const char *before = list_files("run", true);
    expect_refused("run", NULL, "run: there is a run already; ");
    expect_refused("run", "--resume", in_use);
    expect_refused("run", "--overwrite", in_use);
    expect_same_here(list_files("run", true), before, "files of the run");
    let_go(&process);
    kill(process.pid, SIGCONT);
    expect_success(finish(&process));
    expect_same_run("run", whole_runs[1]);
}
END_TEST

/* A process finds no run, waits, and makes its folder when another one has begun and finished a run there. */
START_TEST(a_run_that_came_in_between_is_left_alone) {
    SKIP_IF(!tracing, "processes cannot be traced here");
    make_whole_runs();
    struct process late = start_training("run", 1, NULL, true);
    struct moment first = {.nth = 1};
    EXPECT_HERE(run_to_call(&late, &first), "ended early");
    train_whole("run", 1, NULL);
    let_go(&late);
    int status = finish(&late);
    EXPECT_HERE(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %x", (unsigned)status);
    expect_same_run("run", whole_runs[1]);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("signals");
    TCase *asked = suite_group(suite, "signals", 0, crash_set_up, crash_tear_down); /* SPHERENET_KILLS says how long */
    tcase_add_loop_test(asked, no_signal_loses_work, 0, COUNT(signals));
    tcase_add_test(asked, a_signal_asks_for_a_checkpoint);
    tcase_add_test(asked, a_signal_before_the_first_iteration_promises_no_checkpoint);
    tcase_add_test(asked, a_signal_while_training_promises_a_checkpoint);
    TCase *two = suite_group(suite, "two processes", 0, crash_set_up, crash_tear_down);
    tcase_add_test(two, a_folder_in_use_is_left_alone);
    tcase_add_test(two, a_run_that_came_in_between_is_left_alone);
    return suite;
}
