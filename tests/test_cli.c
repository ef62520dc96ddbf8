/* Command lines of all commands: exit statuses, messages, and places where a run cannot be. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* --- Where a run cannot be --------------------------------------------------------------------------------------- */

START_TEST(places_that_cannot_hold_a_run) {
    run(1, "train spec.yaml --run-dir spec.yaml");
    ck_assert_str_eq(errors, "spherenet: spec.yaml/checkpoints: cannot be made: Not a directory\n");
    ck_assert_str_eq(read_text("spec.yaml"), tiny_spec);
    run(1, "train spec.yaml --run-dir /proc/nowhere");
    expect_error("/proc/nowhere: cannot be made: ");
    ck_assert_int_eq(symlink("loop", "loop"), 0);
    run(1, "train spec.yaml --run-dir loop");
    expect_error("loop");
    run(1, "train spec.yaml --run-dir %0300d", 1);
    expect_error("File name too long");
    run(1, "train spec.yaml --run-dir $(printf 'a/%%.0s' $(seq 2500))");
    ck_assert_str_eq(errors, "spherenet: the path of the run's folder is longer than 3839 bytes\n");
}
END_TEST

/* Told before anything is allocated or made. */
START_TEST(more_memory_than_there_is) {
    run(1, "train spec.yaml --set train.batch_size=65536 --set network.layers[0].filters=65536");
    expect_error("spherenet: not enough memory: the network and a batch of 65536 need ");
    expect_error("Lower train.batch_size or the widths\n");
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* Not the root of the file system. The user who runs it may not write there, so that nothing is left in any case. */
START_TEST(an_empty_run_dir_is_refused) {
    const char *place = geteuid() ? "" : "setpriv --reuid=65534 --clear-groups ";
    ck_assert_int_eq(chmod(".", 0755), 0);
    int status = shell(arena_printf(&arena, "%s\"$SPHERENET\" train spec.yaml --run-dir '' 2>errors.txt", place));
    ck_assert_int_eq(status, 2);
}
END_TEST

START_TEST(names_that_are_no_folders) {
    static const char *const names[] = {"../up", "a/b", "'a b'", ".hidden", "'a\tb'", "é"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        run(2, "train spec.yaml --set name=%s", names[i]);
        expect_error("cannot name a folder; use letters, digits, \".\", \"_\" and \"-\"\n");
    }
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* --- Command line ------------------------------------------------------------------------------------------------ */

struct command_line {
    int status;
    const char *arguments, *message; /* the first line on standard error */
};

static const struct command_line command_lines[] = {
    {0, "", NULL},
    {0, "help", NULL},
    {0, "--help", NULL},
    {0, "help train", NULL},
    {0, "train --help", NULL},
    {0, "help spec", NULL},
    {0, "help spec --markdown", NULL},
    {0, "--version", NULL},
    {0, "list", NULL},
    {0, "list operators", NULL},
    {0, "show -- spec.yaml", NULL},
    {2, "''", "spherenet: unknown command \"\""},
    {2, "trian spec.yaml", "spherenet: unknown command \"trian\"; did you mean \"train\"?"},
    {2, "train", "spherenet train: SPEC is missing; usage: spherenet train SPEC"},
    {2, "train a.yaml b.yaml", "spherenet train: \"b.yaml\" is one operand too many; usage: spherenet train SPEC"},
    {2, "train --resmue spec.yaml", "spherenet train: unknown option --resmue; did you mean --resume?"},
    {2, "show spec.yaml --resume", "spherenet show: unknown option --resume"},
    {2, "train spec.yaml --resume=yes", "spherenet train: --resume takes no value"},
    {2, "train spec.yaml --run-dir", "spherenet train: --run-dir needs a value: --run-dir DIR"},
    {2, "train spec.yaml --set", "spherenet train: --set needs a value: --set KEY=VALUE"},
    {2, "train spec.yaml --set seed",
     "--set seed: no \"=\"; write --set KEY=VALUE, as in --set network.operator.angular=linear"},
    {2, "train spec.yaml --set =3", "--set =3: \"\" is not a key; write KEY.KEY=VALUE or KEY[INDEX].KEY=VALUE"},
    {2, "train spec.yaml --set network.layers[9].filters=3",
     "--set network.layers[9].filters=3: layers[9]: no element 9 (the list is shorter)"},
    {2, "show spec.yaml --set network.layers[0].operator.angular=cosin",
     "--set network.layers[0].operator.angular=cosin: network.layers[0].operator.angular: unknown value \"cosin\"; "
     "did you mean \"cosine\"? (cosine, square_cosine, linear, sigmoid, learnable_sigmoid)"},
    {2, "train nowhere.yaml", "nowhere.yaml: cannot open the spec: No such file or directory"},
    {2, "bench nowhere.yaml", "nowhere.yaml: cannot open the spec: No such file or directory"},
    {2, "bench spec.yaml --rounds 0", "spherenet bench: --rounds 0: expected a whole number from 1 to 1000"},
    {2, "bench spec.yaml --rounds 3x", "spherenet bench: --rounds 3x: expected a whole number from 1 to 1000"},
    {2, "bench spec.yaml --rounds", "spherenet bench: --rounds needs a value: --rounds N"},
    {2, "train .", ".: is a directory; a spec is a YAML file"},
    {2, "eval", "spherenet eval: RUN_OR_CHECKPOINT is missing; usage: spherenet eval RUN_OR_CHECKPOINT"},
    {1, "eval nowhere",
     "spherenet: nowhere: neither a run's folder nor a checkpoint: No such file or directory; "
     "relative paths count from the current folder"},
    {1, "eval .",
     "spherenet: .: no checkpoint below this folder; give a checkpoint file, or a run's folder once the "
     "run has made one"},
    {1, "eval spec.yaml", NULL},
    {2, "eval . --split tset", "spherenet eval: no split \"tset\"; there are train, validation and test"},
    {2, "list opertors", NULL},
    {2, "help trian", NULL},
};

START_TEST(command_lines_have_the_right_status) {
    const struct command_line *line = &command_lines[_i];
    run(line->status, "%s", line->arguments);
    ck_assert_int_eq(*errors == '\0', line->status == 0);
    ck_assert_int_eq(*output == '\0', line->status != 0);
    if (line->message)
        ck_assert_str_eq(strtok(errors, "\n"), line->message);
    ck_assert(!disk_exists("runs"));
}
END_TEST

START_TEST(all_mistakes_of_the_command_line_and_the_spec_at_once) {
    disk_write_text("bad.yaml", "seed: -1\ndata: mnist\nnetwork: {type: plain, depth: 3}\ntrian: {iterations: 5}\n");
    run(2, "train bad.yaml --set optimizer=addam --set nothing");
    ck_assert_str_eq(
        errors, "--set nothing: no \"=\"; write --set KEY=VALUE, as in --set network.operator.angular=linear\n"
                "bad.yaml:4: trian: unknown key \"trian\"; did you mean \"train\"? (name, seed, data, network, "
                "loss, optimizer, schedule, regularizer, train)\n"
                "bad.yaml:1: seed: found \"-1\"; expected a whole number from 0 to 2147483647\n"
                "--set optimizer=addam: optimizer: unknown value \"addam\"; did you mean \"adam\"? (adam, adamw, sgd)\n"
                "bad.yaml:1: train.iterations: missing; expected a whole number from 1 to 2000000000 (batches to "
                "train on)\n"
                "bad.yaml: 5 mistakes; nothing was started\n");
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* A full disk behind standard output is a failure that is told. */
START_TEST(standard_output_cannot_be_written) {
    static const char *const arguments[] = {"help", "help spec", "list", "show spec.yaml", "--version"};
    run(1, "%s >/dev/full", arguments[_i]);
    ck_assert_str_eq(errors, "spherenet: standard output cannot be written\n");
}
END_TEST

START_TEST(a_closed_standard_output_does_no_harm) {
    run(0, "train spec.yaml --quiet --run-dir whole");
    shell("\"$SPHERENET\" train spec.yaml --run-dir closed >&- 2>&-");
    expect_same_runs("closed", "whole");
    ck_assert_int_eq(lines_of("closed/run.log"), lines_of("whole/run.log"));
    shell("\"$SPHERENET\" train spec.yaml --run-dir piped | head -n 1 >first-line.txt");
    run(0, "train spec.yaml --run-dir piped --resume");
    expect_same_runs("piped", "whole");
}
END_TEST

enum { RECORD_BYTES = 3073 };

/* CIFAR-10 files of `records` images each, all of class 3. */
static void write_cifar10(int records) {
    static const char *const names[] = {"data_batch_1", "data_batch_2", "data_batch_3",
                                        "data_batch_4", "data_batch_5", "test_batch"};
    size_t size = (size_t)records * RECORD_BYTES;
    char *bytes = arena_alloc(&arena, size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = i % RECORD_BYTES ? (char)(i * 7) : 3;
    ck_assert_int_eq(mkdir("cifar", 0777), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        disk_write(arena_printf(&arena, "cifar/%s.bin", names[i]), bytes, size);
}

static const char *const cifar_options = "--set 'data={type: cifar10, path: cifar}' --set network.layers[3].units=10 "
                                         "--set train.iterations=3";

START_TEST(data_files_with_mistakes) {
    write_cifar10(4);
    run(0, "train spec.yaml --quiet %s", cifar_options);
    ck_assert_int_eq(shell("printf '\\012' | dd of=cifar/data_batch_3.bin bs=1 seek=6146 conv=notrunc 2>/dev/null"), 0);
    run(1, "train spec.yaml --run-dir a %s", cifar_options);
    ck_assert_str_eq(errors, "spherenet: cifar/data_batch_3.bin: record 2: label 10 is not below 10\n");
    ck_assert_int_eq(truncate("cifar/data_batch_3.bin", 5000), 0);
    run(1, "train spec.yaml --run-dir a %s", cifar_options);
    ck_assert_str_eq(errors, "spherenet: cifar/data_batch_3.bin: its size of 5000 bytes is not a multiple of the "
                             "record size, 3073 bytes; it is cut short, or another file\n");
    ck_assert_int_eq(remove("cifar/data_batch_3.bin"), 0);
    run(1, "bench spec.yaml %s", cifar_options);
    expect_error("spherenet: cifar/data_batch_3.bin: not found, and no data_batch_3.bin.gz beside it either; get ");
    ck_assert(!disk_exists("a"));
}
END_TEST

START_TEST(ten_megabytes_of_garbage) {
    size_t size = 10000000;
    unsigned char *bytes = arena_alloc(&arena, size);
    unsigned state = 1;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    disk_write("garbage.yaml", bytes, size);
    run(2, "train garbage.yaml");
    ck_assert_str_eq(errors, "garbage.yaml: larger than 4 MiB, which no spec is\n"
                             "garbage.yaml: 1 mistake; nothing was started\n");
    for (int i = 0; i < 20; i++) { /* pieces small enough to be read */
        disk_write("piece.yaml", bytes + i * 1000, 100000);
        run(2, "train piece.yaml");
        expect_error("piece.yaml");
    }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("command line");
    TCase *lines = suite_group(suite, "command line", 120, program_set_up, program_tear_down);
    tcase_add_loop_test(lines, command_lines_have_the_right_status, 0, COUNT(command_lines));
    tcase_add_test(lines, all_mistakes_of_the_command_line_and_the_spec_at_once);
    tcase_add_test(lines, places_that_cannot_hold_a_run);
    tcase_add_test(lines, more_memory_than_there_is);
    tcase_add_test(lines, an_empty_run_dir_is_refused);
    tcase_add_test(lines, names_that_are_no_folders);
    tcase_add_loop_test(lines, standard_output_cannot_be_written, 0, 5);
    tcase_add_test(lines, a_closed_standard_output_does_no_harm);

    TCase *files = suite_group(suite, "files", 120, program_set_up, program_tear_down);
    tcase_add_test(files, data_files_with_mistakes);
    tcase_add_test(files, ten_megabytes_of_garbage);
    return suite;
}
