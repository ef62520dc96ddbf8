/* What the files of an IDX dataset tell stands in the resolved spec, so that later commands need the files no more. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/compare.h"
#include "support/idx_writer.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

static const char *const spec = "data: {type: idx, path: files}\n"
                                "network: {layers: [{type: conv, filters: 4}, {type: dense, name: score, units: 5}]}\n"
                                "train: {iterations: 4, batch_size: 6, threads: 1}\n";

static double pixel(size_t i) {
    return (double)(i * 37 % 256);
}

static double one_to_five(size_t i) {
    return (double)(1 + i % 5);
}

static void set_up(void) {
    program_set_up();
    disk_write_text("odd.yaml", spec);
    idx_write("files/train-images-idx3-ubyte.gz", &(struct idx_content){IDX_UINT8, 4, {20, 5, 7, 2}, pixel});
    idx_write("files/t10k-images-idx3-ubyte.gz", &(struct idx_content){IDX_UINT8, 4, {10, 5, 7, 2}, pixel});
    idx_write("files/train-labels-idx1-ubyte.gz", &(struct idx_content){IDX_UINT8, 1, {20}, one_to_five});
    idx_write("files/t10k-labels-idx1-ubyte.gz", &(struct idx_content){IDX_UINT8, 1, {10}, one_to_five});
}

static void expect_found_keys(const char *text) {
    static const char *const keys[] = {"\n  classes: 5\n", "\n  first_label: 1\n", "\n  height: 5\n", "\n  width: 7\n",
                                       "\n  channels: 2\n"};
    for (int i = 0; i < COUNT(keys); i++)
        ck_assert_msg(strstr(text, keys[i]) != NULL, "there is no %s in\n%s", keys[i], text);
}

static void remove_training_files(void) {
    ck_assert_int_eq(shell("rm files/train-*"), 0);
}

START_TEST(the_resolved_spec_has_what_the_files_tell) {
    run(0, "show odd.yaml");
    expect_found_keys(output);
    run(0, "train odd.yaml --quiet");
    expect_found_keys(read_text("runs/odd/spec.yaml"));
}
END_TEST

START_TEST(a_trained_network_is_tested_without_the_training_files) {
    run(0, "train odd.yaml --quiet");
    run(0, "eval runs/odd --out whole");
    remove_training_files();
    run(0, "eval runs/odd --out bare");
    expect_output("iteration 4, 10 test images\n");
    ck_assert(equal_files("whole/test_confusion.csv", "bare/test_confusion.csv"));
    run(0, "features runs/odd");
}
END_TEST

START_TEST(the_resolved_spec_is_shown_without_the_files) {
    run(0, "show odd.yaml");
    disk_write_text("shown.yaml", output);
    remove_training_files();
    run(0, "show shown.yaml");
    expect_same_lines(strchr(output, '\n') + 1, strchr(read_text("shown.yaml"), '\n') + 1, "show");
}
END_TEST

START_TEST(a_run_whose_sizes_follow_from_files_is_resumed) {
    run(0, "train odd.yaml --quiet");
    run(0, "train odd.yaml --resume --set train.iterations=6");
    expect_output("resumed at iteration 4\n");
    ck_assert_int_eq(rename("files", "elsewhere"), 0);
    run(0, "train odd.yaml --resume --set train.iterations=8 --set data.path=elsewhere");
    run(0, "train runs/odd/spec.yaml --resume --set train.iterations=9");
    expect_output("resumed at iteration 8\n");
    run(0, "train odd.yaml --resume --set train.iterations=10 --set data.path=elsewhere --set data.classes=5 --set "
           "data.first_label=1 --set data.height=5");
    run(1, "train odd.yaml --resume --set train.iterations=11 --set data.path=elsewhere --set data.first_label=0 --set "
           "network.layers[1].units=6");
    expect_error("\n  data.classes: it had 5, now 6\n");
    expect_error("\n  data.first_label: it had 1, now 0\n");
}
END_TEST

START_TEST(a_spec_that_needs_its_missing_files_says_what_to_do) {
    remove_training_files();
    run(2, "show odd.yaml");
    ck_assert_str_eq(errors,
                     "odd.yaml:1: data: files/train-images-idx3-ubyte: not found, and no "
                     "train-images-idx3-ubyte.gz beside it either; data.path is the folder of the dataset's four "
                     "IDX files; relative paths count from the current folder; without the training images' "
                     "files a spec has to say data.height, data.width, data.channels and data.classes\n"
                     "odd.yaml: 1 mistake; nothing was started\n");
    run(0, "show odd.yaml --set data.height=5 --set data.width=7 --set data.channels=2 --set data.classes=5");
    expect_output("\n  first_label: -1\n");
}
END_TEST

/* A file that is there and is wrong needs no such advice. */
START_TEST(damage_is_told_as_damage) {
    ck_assert_int_eq(truncate("files/train-labels-idx1-ubyte.gz", 12), 0);
    run(2, "show odd.yaml");
    ck_assert_ptr_null(strstr(errors, "without the training"));
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("resolved idx");
    TCase *resolved = suite_group(suite, "resolved", 60, set_up, program_tear_down);
    tcase_add_test(resolved, the_resolved_spec_has_what_the_files_tell);
    tcase_add_test(resolved, a_trained_network_is_tested_without_the_training_files);
    tcase_add_test(resolved, the_resolved_spec_is_shown_without_the_files);
    tcase_add_test(resolved, a_run_whose_sizes_follow_from_files_is_resumed);
    tcase_add_test(resolved, a_spec_that_needs_its_missing_files_says_what_to_do);
    tcase_add_test(resolved, damage_is_told_as_damage);
    return suite;
}
