/* Settings that suit a longer run than theirs: what a training says of them at its beginning. */
#include <string.h>

#include "support/program.h"
#include "support/suite.h"

#define SPEC                                                                                                           \
    "name: short\n"                                                                                                    \
    "data: {type: synthetic, height: 4, width: 4, channels: 1, classes: 3, train_images: 24, test_images: 12}\n"       \
    "network: {layers: [{type: dense, name: score, units: 3, bias: false}]}\n"                                         \
    "train: {iterations: 8, batch_size: 6, threads: 1}\n"

static void set_up(void) {
    program_set_up();
    disk_write_text("short.yaml", SPEC);
}

static const struct {
    const char *options, *warning; /* after "spherenet: warning: "; NULL: none */
} cases[] = {
    {"", NULL},
    {"--set schedule.warmup=7", NULL},
    {"--set schedule.warmup=8", "schedule.warmup is 8, and there are 8 iterations: the learning rate never rises to "
                                "0.001, and ends at 0.0008889. Make the warm-up shorter, or the run longer\n"},
    {"--set 'schedule={type: cosine, warmup: 50}'", "schedule.warmup is 50, and there are 8 iterations: "},
    {"--set 'schedule={type: step, milestones: [7, 2000]}'", NULL},
    {"--set 'schedule={type: step, milestones: []}'", NULL},
    {"--set 'schedule={type: step, milestones: [9], factor: 1}'", NULL},
    {"--set 'schedule={type: step, milestones: [54000, 8]}'",
     "schedule.milestones begin at 8, and there are 8 iterations: the learning rate never falls. Give milestones "
     "within "
     "the run, or schedule: cosine, which spans it\n"},
    {"--set loss=a_softmax",
     "loss.annealing: lambda is still 510.2 at the last iteration, 8, so the margin of a_softmax "
     "hardly counts. With a gamma of 49.8 it would be 5 by half of the run\n"},
    {"--set 'loss={type: a_softmax, annealing: {gamma: 49.75}}'", NULL},  /* as advised, in all its digits */
    {"--set 'loss={type: a_softmax, annealing: {gamma: 12.375}}'", NULL}, /* 1000 / (1 + 8 gamma) = 10 */
    {"--set 'loss={type: a_softmax, annealing: {gamma: 12.374}}'", "loss.annealing: lambda is still 10 at "},
    {"--set 'loss={type: a_softmax, annealing: {base: 1e4, power: 2, gamma: 1}}'",
     "With a gamma of 10.9 it would be 5 by half of the run\n"},
    {"--set 'loss={type: ga_softmax, annealing: {minimum: 0}}'", "With a gamma of 250 it would be 1 by half of the"},
    {"--set 'loss={type: ga_softmax, annealing: {minimum: 0, base: 2}}'", NULL},
    {"--set 'loss={type: a_softmax, margin: 1}'", NULL},
    {"--set 'loss={type: a_softmax, annealing: {gamma: 0}}'", NULL}, /* a lambda that stays is meant so */
    {"--set 'loss={type: a_softmax, annealing: {power: 0}}'", NULL},
    {"--set 'loss={type: a_softmax, annealing: {base: 5}}'", NULL},
    {"--set loss=cosface", NULL},
    {"--set loss=arcface", NULL},
    {"--set 'loss={type: arcface, annealing: {base: 1000}}'", "so the margin of arcface hardly counts. "},
    {"--set loss=w_softmax", NULL},
    {"--set loss=sphereface2", NULL},
};

START_TEST(a_setting_that_the_run_never_reaches_is_a_warning_and_no_other_is) {
    run(0, "train short.yaml %s", cases[_i].options);
    if (cases[_i].warning) {
        ck_assert_msg(strstr(warnings, cases[_i].warning) != NULL, "%s", warnings);
        ck_assert_ptr_eq(strstr(warnings, "spherenet: warning: "), warnings);
        ck_assert_ptr_eq(strchr(warnings, '\n'), warnings + strlen(warnings) - 1);
        ck_assert_ptr_nonnull(strstr(read_text("runs/short/run.log"), warnings + strlen("spherenet: ")));
    } else {
        ck_assert_str_eq(warnings, "");
    }
}
END_TEST

START_TEST(each_of_them_has_its_warning) {
    run(0, "train short.yaml --set 'schedule={type: step, milestones: [9], warmup: 10}' --set loss=a_softmax");
    ck_assert_ptr_nonnull(strstr(warnings, "schedule.warmup is 10"));
    ck_assert_ptr_nonnull(strstr(warnings, "schedule.milestones begin at 9"));
    ck_assert_ptr_nonnull(strstr(warnings, "loss.annealing: lambda is still "));
}
END_TEST

/* A schedule that starts where the run goes on has the rest of it alone. */
START_TEST(what_a_resumed_run_has_left_counts) {
    run(0, "train short.yaml");
    run(0,
        "train short.yaml --resume --set train.iterations=12 --set 'schedule={type: constant, start: 8, warmup: 4}'");
    ck_assert_ptr_nonnull(strstr(warnings, "schedule.warmup is 4, and there are 4 iterations: "));
    run(0, "train short.yaml --resume --set 'schedule={type: constant, start: 8, warmup: 4}'"); /* is finished */
    ck_assert_str_eq(warnings, "");
}
END_TEST

/* The specs that come with the program, as long as they say. */
START_TEST(no_spec_of_configs_has_a_setting_that_it_never_reaches) {
    SKIP_IF(!disk_exists(arena_printf(&arena, "%s/configs", home)), "there is no configs");
    ck_assert_int_eq(
        shell(arena_printf(&arena,
                           "for spec in '%s'/configs/*.yaml; do \"$SPHERENET\" show $spec >show.txt || exit; "
                           "n=$(sed -n 's/^  iterations: //p' show.txt); "
                           "w=$(sed -n 's/^  warmup: //p' show.txt); "
                           "m=$(sed -n 's/^  milestones: .\\([0-9]*\\).*/\\1/p' show.txt); "
                           "[ $w -lt $n ] && [ ${m:-0} -lt $n ] || exit; done",
                           home)),
        0);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("unreached settings");
    TCase *settings = suite_group(suite, "settings", 60, set_up, program_tear_down);
    tcase_add_loop_test(settings, a_setting_that_the_run_never_reaches_is_a_warning_and_no_other_is, 0, COUNT(cases));
    tcase_add_test(settings, each_of_them_has_its_warning);
    tcase_add_test(settings, what_a_resumed_run_has_left_counts);
    tcase_add_test(settings, no_spec_of_configs_has_a_setting_that_it_never_reaches);
    return suite;
}
