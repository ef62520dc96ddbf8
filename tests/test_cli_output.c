/* Exit statuses where nobody, or a full disk, takes what is printed. */
#include <stdio.h>
#include <string.h>

#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* The exit status of the program, whose output a reader takes that ends early. */
static int status_before(const char *arguments, const char *reader) {
    shell(arena_printf(&arena,
                       "{ \"$SPHERENET\" %s 2>errors.txt; echo $? >status.txt; } | %s >first-line.txt; cat errors.txt",
                       arguments, reader));
    int status = -1;
    ck_assert_int_eq(sscanf(read_text("status.txt"), "%d", &status), 1);
    errors = read_text("errors.txt");
    return status;
}

/* The output of `help spec` is larger than a pipe, so that the program still writes when `head` has gone. */
START_TEST(a_reader_that_has_enough_is_no_mistake) {
    static const char *const arguments[] = {"help", "help spec", "list", "show spec.yaml"};
    ck_assert_int_eq(status_before(arguments[_i], "head -n 1"), 0);
    ck_assert_str_eq(errors, "");
    ck_assert_int_eq(status_before(arguments[_i], "true"), 0);
    ck_assert_str_eq(errors, "");
}
END_TEST

START_TEST(a_mistake_is_one_whoever_reads) {
    ck_assert_int_eq(status_before("train spec.yaml --set seed=-1", "true"), 2);
    expect_error("seed: found \"-1\"");
    ck_assert_int_eq(status_before("train spec.yaml --resume", "true"), 1);
    expect_error("there is no run to resume");
}
END_TEST

START_TEST(a_training_that_nobody_watches_ends_well) {
    ck_assert_int_eq(status_before("train spec.yaml", "head -n 1"), 0);
    ck_assert_str_eq(errors, "");
    ck_assert(disk_exists(checkpoint("runs/tiny", 24)));
    run(0, "train spec.yaml --overwrite >/dev/full");
    ck_assert_str_eq(errors, "spherenet: standard output cannot be written\n");
}
END_TEST

/* As Ctrl-C, which goes to all of a pipeline: the reader is gone when the training ends. */
START_TEST(the_command_that_goes_on_is_told_where_the_reader_was_interrupted_too) {
    ck_assert_int_eq(
        shell("mkfifo pipe; sleep 60 <pipe & reader=$!; exec 3>pipe; "
              "\"$SPHERENET\" train spec.yaml --set train.iterations=1000000 >&3 2>errors.txt 3>&- & run=$!; "
              "exec 3>&-; until test -s runs/tiny/eval.csv; do sleep 0.02; done; sleep 0.1; "
              "kill -INT $reader; kill -TERM $reader; kill -TERM $run; wait $run"),
        143);
    errors = read_text("errors.txt");
    expect_error("to go on: ");
    expect_error(" train spec.yaml --set train.iterations=1000000 --resume\n");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("output");
    TCase *readers = suite_group(suite, "readers", 120, program_set_up, program_tear_down);
    tcase_add_loop_test(readers, a_reader_that_has_enough_is_no_mistake, 0, 4);
    tcase_add_test(readers, a_mistake_is_one_whoever_reads);
    tcase_add_test(readers, a_training_that_nobody_watches_ends_well);
    tcase_add_test(readers, the_command_that_goes_on_is_told_where_the_reader_was_interrupted_too);
    return suite;
}
