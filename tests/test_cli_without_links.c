/* Runs in folders where no symbolic link can be made, as on FAT, exFAT and some network and shared file systems. Here a
 * folder stands where the link would first be made. */
#include <string.h>

#include "support/compare.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

static void forbid_links(const char *run_dir) {
    ck_assert_int_eq(shell(arena_printf(&arena, "mkdir -p %s/checkpoints/link.tmp/stays", run_dir)), 0);
}

static int count(const char *text, const char *part) {
    int found = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        found++;
    return found;
}

static void expect_no_link(const char *run_dir) {
    ck_assert(!disk_exists(in_run(run_dir, "checkpoints/latest.safetensors.gz")));
    ck_assert(!disk_exists(in_run(run_dir, "checkpoints/best.safetensors.gz")));
}

START_TEST(a_run_without_links_trains_on_and_warns_once) {
    run(0, "train spec.yaml --run-dir whole");
    forbid_links("bare");
    run(0, "train spec.yaml --run-dir bare");
    ck_assert_int_eq(count(warnings, "cannot be made a link"), 1);
    ck_assert_int_eq(count(warnings, "; going on without links: eval.csv says which checkpoint is the best\n"), 1);
    ck_assert_int_eq(count(read_text("bare/run.log"), "cannot be made a link"), 1);
    expect_same_lines(without_times("bare/train.csv"), without_times("whole/train.csv"), "train.csv");
    expect_same_lines(without_times("bare/eval.csv"), without_times("whole/eval.csv"), "eval.csv");
    ck_assert(equal_files(checkpoint("bare", 24), checkpoint("whole", 24)));
    ck_assert(equal_files(checkpoint("bare", best_iteration("whole")), checkpoint("whole", best_iteration("whole"))));
    expect_no_link("bare");
}
END_TEST

START_TEST(a_run_without_links_is_resumed_and_evaluated) {
    run(0, "train spec.yaml --run-dir whole");
    forbid_links("bare");
    run(0, "train spec.yaml --run-dir bare");
    ck_assert_int_eq(shell(arena_printf(&arena, "rm %s", checkpoint("bare", 24))), 0);
    run(0, "train spec.yaml --run-dir bare --resume");
    expect_output("resumed at iteration ");
    ck_assert(equal_files(checkpoint("bare", 24), checkpoint("whole", 24)));
    run(0, "eval bare");
    expect_output("iteration-00000024.safetensors.gz, iteration 24, 29 test images\n");
}
END_TEST

/* A link to an older checkpoint would be taken for one to the newest. */
START_TEST(a_link_that_would_be_wrong_goes) {
    run(0, "train spec.yaml --run-dir once");
    forbid_links("once");
    run(0, "train spec.yaml --run-dir once --resume");
    expect_no_link("once");
    ck_assert_int_eq(shell("rm -r once/checkpoints/link.tmp"), 0);
    run(0, "train spec.yaml --run-dir once --resume");
    ck_assert_str_eq(warnings, "");
    expect_link("once", "latest", 24);
    expect_link("once", "best", best_iteration("once"));
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("without links");
    TCase *links = suite_group(suite, "runs", 120, program_set_up, program_tear_down);
    tcase_add_test(links, a_run_without_links_trains_on_and_warns_once);
    tcase_add_test(links, a_run_without_links_is_resumed_and_evaluated);
    tcase_add_test(links, a_link_that_would_be_wrong_goes);
    return suite;
}
