/* Trainings that are killed at random instants, again and again, and resumed: what they leave in the end is what an
 * uninterrupted training leaves, bit for bit. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support/crash.h"

static int phases[PHASES];

static void print_phases(const char *what, int kills, int runs) {
    printf("%s: %d in %d runs, SPHERENET_KILL_SEED=%llu\n", what, kills, runs, (unsigned long long)seed);
    for (int i = 0; i < PHASES; i++)
        if (phases[i])
            printf("  %4d %s\n", phases[i], phase_names[i]);
    fflush(stdout);
}

/* Kills one run again and again until it gets through, then compares it; returns the number of kills. */
static int kill_run(const char *dir, int threads, int kills_before, const char *what) {
    const char *mode = begin_run(dir);
    int newest = 0;
    for (int kills = 0;;) {
        struct moment moment = draw_moment();
        struct traces before = traces_in(dir);
        set_context("%s, kill %d, the run's %d., %s, %s", what, kills_before + kills + 1, kills + 1,
                    mode ? mode : "begun", moment_text(&moment));
        struct process process = start_training(dir, threads, mode, moment.nth > 0);
        if (wait_for(&process, moment))
            kill(process.pid, SIGKILL);
        int status = finish(&process);
        if (WIFSIGNALED(status)) {
            kills++;
            phases[phase_of(dir, before)]++;
            int now = check_folder(dir, newest);
            EXPECT_HERE(now >= newest, "the newest checkpoint was %d and is %d", newest, now);
            newest = now;
            mode = "--resume";
        } else if (mode && nothing_to_resume(status)) {
            mode = NULL;
        } else {
            expect_success(status);
            expect_same_run(dir, whole_runs[threads]);
            return kills;
        }
    }
}

static void kill_runs(const char *what, int threads, int share) {
    int kills = 0, runs = 0, wanted = kills_wanted(share);
    make_whole_runs();
    for (; kills < wanted; runs++)
        kills += kill_run("run", threads, kills, what);
    print_phases(what, kills, runs);
}

START_TEST(no_kill_loses_work) {
    kill_runs("kills", 1, 90);
}
END_TEST

START_TEST(no_kill_of_several_threads_loses_work) {
    kill_runs("kills of two threads", 2, 10);
}
END_TEST

/* One kill for each, or each so manieth, call that changes a name or a size, and a resume that goes to the end. */
START_TEST(no_call_is_a_bad_place_to_die) {
    SKIP_IF(!tracing, "processes cannot be traced here");
    make_whole_runs();
    int wanted = kills_wanted(20), kills = 0;
    int stride = wanted < whole_calls[0] ? whole_calls[0] / wanted : 1;
    for (int nth = 1 + (int)rng_below(&rng, (uint32_t)stride); nth <= whole_calls[0]; nth += stride, kills++) {
        set_context("before call %d", nth);
        disk_remove("run");
        struct process process = start_training("run", 1, NULL, true);
        EXPECT_HERE(wait_for(&process, (struct moment){.nth = nth}), "the training ended early");
        kill(process.pid, SIGKILL);
        finish(&process);
        check_folder("run", 0);
        process = start_training("run", 1, "--resume", false);
        int status = finish(&process);
        if (nothing_to_resume(status))
            train_whole("run", 1, NULL);
        else
            expect_success(status);
        expect_same_run("run", whole_runs[1]);
    }
    printf("kills before %d of the %d calls that change names and sizes\n", kills, whole_calls[0]);
}
END_TEST

/* --- tools/soak -------------------------------------------------------------------------------------------------- */

/* In place of the program: a run that is damaged in every way that the soak looks for. */
static const char *const damaged_program =
    "#!/bin/sh\n"
    "while [ \"$1\" != --run-dir ]; do shift; done\n"
    "cp -r whole-1 \"$2\" && cd \"$2\" || exit 1\n"
    "sed -i '3p' train.csv\n"
    "printf '25,6.25' >>eval.csv\n"
    "truncate -s -100 checkpoints/iteration-00000021.*\n"
    "touch checkpoints/link.tmp\n"
    "ln -sf iteration-00000021.safetensors.gz checkpoints/latest.safetensors.gz\n"
    "exec sleep 60\n";

START_TEST(the_soak_finds_what_is_wrong) {
    static const char *const mistakes[] = {
        "train.csv:4: iteration 2 comes after 2\n",
        "eval.csv: the last row is cut off\n",
        "iteration-00000021.safetensors.gz: Compressed file ended before",
        "latest.safetensors.gz: points to iteration-00000021.safetensors.gz, not to iteration-00000024",
        "link.tmp: left over\n",
    };
    SKIP_IF(!disk_exists("/usr/bin/python3"), "there is no /usr/bin/python3");
    train_whole("whole-1", 1, NULL);
    FILE *file = fopen("damaged", "w");
    ck_assert(file && fputs(damaged_program, file) >= 0 && fclose(file) == 0 && chmod("damaged", 0777) == 0);
    int status =
        system(arena_printf(&arena,
                            "SPHERENET=./damaged '%s/tools/soak' spec.yaml --run-dir soaked --minutes 0.02 --settle 0 "
                            "--every 0.3 >output.txt 2>errors.txt",
                            home));
    EXPECT_HERE(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %x", (unsigned)status);
    for (int i = 0; i < COUNT(mistakes); i++)
        EXPECT_HERE(says("errors.txt", mistakes[i]), "\"%s\" is not in \"%s\"", mistakes[i],
                    disk_read("errors.txt", NULL));
    EXPECT_HERE(says("output.txt", "resident memory: "), "does not tell memory");
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("kill");
    TCase *kills = suite_group(suite, "kills", 0, crash_set_up, crash_tear_down); /* SPHERENET_KILLS says how long */
    tcase_add_test(kills, no_kill_loses_work);
    tcase_add_test(kills, no_kill_of_several_threads_loses_work);
    tcase_add_test(kills, no_call_is_a_bad_place_to_die);
    TCase *soak = suite_group(suite, "soak", 0, crash_set_up, crash_tear_down);
    tcase_add_test(soak, the_soak_finds_what_is_wrong);
    return suite;
}
