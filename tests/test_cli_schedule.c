/* Runs that are resumed with another length than they began with, under a schedule that spans the whole run. */
#include <math.h>
#include <string.h>

#include "support/compare.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

enum { LEARNING_RATE = 2 };

static double rate_at(int iteration) {
    return train_value("runs/tiny", iteration, LEARNING_RATE);
}

START_TEST(a_cosine_run_of_another_length_is_refused_with_the_ways_to_go_on) {
    run(0, "train spec.yaml");
    run(1, "train spec.yaml --resume --set train.iterations=30");
    expect_error(
        "spherenet: runs/tiny/checkpoints/iteration-00000024.safetensors.gz: the schedule cosine spans the whole "
        "run, which was to have 24 iterations and now has 30: the learning rate would go from 6.8e-05 at "
        "iteration 24 to 0.0014 at the next one. Say how it is to go on:\n");
    expect_error(
        "\n  with a rate that stays: --set 'schedule={type: constant, start: 24}' --set optimizer.learning_rate=");
    expect_error("\n  with a new cosine from here: --set schedule.start=24, ");
    expect_error("\n  or start another run from these weights: --set train.init_from=runs/tiny/");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 1, 1, 24), 24);
}
END_TEST

START_TEST(a_cosine_run_that_was_stopped_keeps_its_length) {
    run(0, "train spec.yaml");
    ck_assert_int_eq(shell("rm runs/tiny/checkpoints/*-0000002*"), 0);
    run(1, "train spec.yaml --resume --set train.iterations=20");
    expect_error("which was to have 24 iterations and now has 20");
    run(0, "train spec.yaml --resume");
}
END_TEST

/* As the message says. */
START_TEST(a_run_goes_on_with_a_rate_that_stays) {
    const char *more = "spec.yaml --resume --set 'schedule={type: constant, start: 24}' "
                       "--set optimizer.learning_rate=3e-3";
    run(0, "train spec.yaml");
    double last = rate_at(24);
    run(0, "train %s --set train.iterations=30", more);
    ck_assert_double_eq(rate_at(24), last);
    for (int i = 25; i <= 30; i++)
        ck_assert_double_eq(rate_at(i), 3e-3);
    run(0, "train %s --set train.iterations=33", more);
    ck_assert_double_eq(rate_at(33), 3e-3);
    run(1, "train spec.yaml --resume --set 'schedule={type: constant, start: 20}' --set train.iterations=40");
    expect_error(": schedule.start is 20, but a new schedule begins where the run goes on, at iteration 33\n");
}
END_TEST

START_TEST(a_run_goes_on_with_a_new_cosine) {
    run(0, "train spec.yaml --set schedule.warmup=0");
    run(0, "train spec.yaml --set schedule.warmup=0 --resume --set schedule.start=24 --set train.iterations=48");
    for (int i = 1; i <= 24; i++)
        ck_assert_double_eq(rate_at(i), rate_at(24 + i));
    ck_assert_double_eq(rate_at(25), 1e-2);
}
END_TEST

/* Killed at any time, such a run is resumed by the same command. */
START_TEST(a_new_schedule_is_resumed_bit_for_bit) {
    static const char *const lost[] = {"*-00000048*", "*-0000004*", "*-000000[34]*"};
    const char *more = "--resume --set schedule.start=24 --set train.iterations=48 --set train.keep=0";
    run(0, "train spec.yaml --run-dir whole");
    run(0, "train spec.yaml --run-dir whole %s", more);
    for (int i = 0; i < COUNT(lost); i++) {
        ck_assert_int_eq(shell("rm -rf cut; cp -a whole cut"), 0);
        ck_assert_int_eq(shell(arena_printf(&arena, "rm cut/checkpoints/%s", lost[i])), 0);
        run(0, "train spec.yaml --run-dir cut %s", more);
        expect_same_runs("cut", "whole");
    }
}
END_TEST

START_TEST(a_run_that_begins_has_no_schedule_from_later_on) {
    run(0, "train spec.yaml");
    run(1, "train spec.yaml --overwrite --set schedule.start=8");
    ck_assert_str_eq(errors,
                     "spherenet: schedule.start is 8, but the run begins at 0; it is for a run that is resumed at "
                     "that iteration with a new schedule\n");
    ck_assert(disk_exists(checkpoint("runs/tiny", 24)));
    run(1, "train spec.yaml --run-dir other --set schedule.start=8");
    ck_assert(!disk_exists("other"));
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("schedules of resumed runs");
    TCase *schedules = suite_group(suite, "schedules", 120, program_set_up, program_tear_down);
    tcase_add_test(schedules, a_cosine_run_of_another_length_is_refused_with_the_ways_to_go_on);
    tcase_add_test(schedules, a_cosine_run_that_was_stopped_keeps_its_length);
    tcase_add_test(schedules, a_run_goes_on_with_a_rate_that_stays);
    tcase_add_test(schedules, a_run_goes_on_with_a_new_cosine);
    tcase_add_test(schedules, a_new_schedule_is_resumed_bit_for_bit);
    tcase_add_test(schedules, a_run_that_begins_has_no_schedule_from_later_on);
    return suite;
}
