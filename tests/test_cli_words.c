/* Words on the command line and in files, as the whole program takes and shows them: home folders, names that a
 * terminal would act on, threads of the environment, tables of another's run. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/cpu.h"
#include "machine/threads.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* --- Paths ------------------------------------------------------------------------------------------------------- */

START_TEST(a_tilde_in_run_dir_is_the_home_folder) {
    ck_assert_int_eq(setenv("HOME", folder, 1), 0);
    run(0, "train spec.yaml --quiet '--run-dir=~/a/b'");
    ck_assert(disk_exists("a/b/train.csv"));
    ck_assert(!disk_exists("~"));
    run(2, "train spec.yaml --quiet '--run-dir=~nobody/b'");
    expect_error("spherenet train: --run-dir: \"~nobody/b\": a user's name after ~ is not expanded;");
    run(2, "eval a/b '--out=$HOME/x'");
    expect_error("spherenet eval: --out: \"$HOME/x\": variables such as $HOME are not expanded; write the value out");
}
END_TEST

START_TEST(what_is_missing_says_where_paths_count_from) {
    run(1, "eval nowhere");
    expect_error(
        "nowhere: neither a run's folder nor a checkpoint: No such file or directory; relative paths count from "
        "the current folder");
    run(1, "eval /nowhere");
    ck_assert_ptr_null(strstr(errors, "relative"));
    disk_write_text("mnist.yaml", "data: {type: mnist, path: none}\nnetwork: {layers: [{type: dense, units: 10}]}\n"
                                  "train: {iterations: 1}\n");
    run(1, "train mnist.yaml");
    expect_error("set data.path");
    expect_error("; relative paths count from the current folder");
}
END_TEST

START_TEST(a_text_with_a_hash_takes_no_other_runs_weights) {
    run(0, "train spec.yaml --quiet --run-dir a");
    run(1, "train spec.yaml --quiet --run-dir b --set 'train.init_from=a #2'");
    expect_error("a #2: neither a run's folder nor a checkpoint");
}
END_TEST

/* --- Names ------------------------------------------------------------------------------------------------------- */

static const char *const odd_spec =
    "name: odd\n"
    "data: {type: synthetic, height: 8, width: 8, classes: 4, train_images: 16, test_images: 16}\n"
    "network:\n"
    "  layers:\n"
    "    - {type: dense, name: \"a\\e[31mred\\nline\\x9b\", units: 4, bias: false}\n"
    "train: {iterations: 2, batch_size: 4, threads: 1}\n";

static void expect_no_controls(const char *text) {
    for (const char *c = text; *c; c++)
        ck_assert_msg(*c == '\n' || *c == '\t' || *c == '\r' || (unsigned char)*c >= ' ', "byte %d in %s", *c, text);
    ck_assert_ptr_null(strstr(text, "\xc2\x9b"));
}

START_TEST(the_output_of_show_is_a_spec_whatever_the_names) {
    disk_write_text("odd\nname.yaml", odd_spec);
    run(0, "show 'odd\nname.yaml'");
    expect_no_controls(output);
    expect_output("a?[31mred?line?");
    disk_write_text("back.yaml", output);
    run(0, "show back.yaml");
    char *again = output;
    disk_write_text("back.yaml", again);
    run(0, "show back.yaml");
    ck_assert_str_eq(output, again);
}
END_TEST

START_TEST(the_output_of_show_is_a_spec_whatever_the_length_of_names) {
    char name[201] = "";
    for (int i = 0; i < 100; i++)
        strcat(name, "é");
    disk_write_text("long.yaml", arena_printf(&arena,
                                              "data: {type: synthetic, height: 8, width: 8, classes: 4}\n"
                                              "network: {layers: [{type: dense, name: %s, units: 4}]}\n"
                                              "train: {iterations: 2}\n",
                                              name));
    run(0, "show long.yaml");
    disk_write_text("back.yaml", output);
    run(0, "show back.yaml");
}
END_TEST

START_TEST(names_of_layers_reach_no_terminal_raw) {
    disk_write_text("odd.yaml", odd_spec);
    run(0, "bench odd.yaml --rounds 1");
    expect_output("a?[31mred?line?");
    expect_no_controls(output);
    run(0, "bench odd.yaml --rounds 1 --csv");
    expect_output("a?[31mred?line?");
    expect_no_controls(output);
    run(1, "train odd.yaml --set 'train.init_from=\x1b[31m'");
    expect_no_controls(output);
    expect_no_controls(errors);
}
END_TEST

/* --- Batch normalisation ----------------------------------------------------------------------------------------- */

static const char *const normalised = "data: {type: synthetic, height: 8, width: 8, classes: 4, test_images: 16}\n"
                                      "network: {layers: [{type: dense, units: 4}, {type: batch_norm, name: n}]}\n"
                                      "train: {iterations: 2, threads: 1, batch_size: 2}\n";

START_TEST(batch_normalisation_of_one_value_is_a_mistake) {
    disk_write_text("norm.yaml", normalised);
    run(2, "train norm.yaml --set train.batch_size=1");
    expect_error(
        "norm.yaml:2: network.layers[1]: batch_norm n: has one value a channel to normalise, so it would put out "
        "its bias alone; it needs a train.batch_size of 2 or more, or larger images");
    run(0, "train norm.yaml --quiet");
    run(0, "eval runs/norm --set train.batch_size=1");
    run(0, "train spec.yaml --quiet --set train.batch_size=1");
}
END_TEST

/* --- Threads of the environment ---------------------------------------------------------------------------------- */

static const struct {
    const char *environment, *machine; /* the end of the line */
} threads[] = {
    {"OMP_NUM_THREADS=1", ", 1 thread (OMP_NUM_THREADS)"},
    {"OMP_NUM_THREADS=3", ", 3 threads (OMP_NUM_THREADS)"},
    {"OMP_NUM_THREADS=' 3 , 2 '", ", 3 threads (OMP_NUM_THREADS)"},
    {"OMP_NUM_THREADS=4 OMP_THREAD_LIMIT=2", ", 2 threads (OMP_THREAD_LIMIT)"},
    {"OMP_NUM_THREADS=2 OMP_THREAD_LIMIT=4", ", 2 threads (OMP_NUM_THREADS)"},
    {"OMP_NUM_THREADS=0", NULL},
    {"OMP_NUM_THREADS=-1", NULL},
    {"OMP_NUM_THREADS=many", NULL},
    {"OMP_NUM_THREADS=3,", NULL},
    {"OMP_NUM_THREADS=3,x", NULL},
    {"OMP_NUM_THREADS=3x", NULL},
};

static const char *machine_of(const char *environment) {
    ck_assert_int_eq(shell(arena_printf(&arena,
                                        "env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT %s \"$SPHERENET\" --version "
                                        ">version.txt 2>errors.txt",
                                        environment)),
                     0);
    char *line = strstr(read_text("version.txt"), "machine: ");
    ck_assert_ptr_nonnull(line);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

START_TEST(the_number_of_threads_is_that_of_openmps_environment) {
    const char *bare = machine_of(""), *machine = threads[_i].machine;
    ck_assert_str_eq(machine_of(threads[_i].environment), machine ? arena_printf(&arena, "%s%s", bare, machine) : bare);
}
END_TEST

/* LLVM's OpenMP library ends a program that begins with these. */
START_TEST(an_empty_number_of_threads_and_a_huge_one_are_none) {
    int processors = cpu_count(); /* the library has begun */
    ck_assert_int_eq(setenv("OMP_NUM_THREADS", "", 1), 0);
    ck_assert_int_eq(threads_decide(0), processors);
    ck_assert_int_eq(setenv("OMP_NUM_THREADS", "99999999999999999999", 1), 0);
    ck_assert_int_eq(threads_decide(0), processors);
}
END_TEST

START_TEST(a_run_says_whence_its_threads_are) {
    ck_assert_int_eq(setenv("OMP_NUM_THREADS", "3", 1), 0);
    run(0, "train spec.yaml --set train.threads=0");
    expect_output(", 3 threads (OMP_NUM_THREADS)\n");
    run(0, "train spec.yaml --set train.threads=2 --overwrite");
    expect_output(", 2 threads\n");
    ck_assert_int_eq(setenv("OMP_THREAD_LIMIT", "1", 1), 0);
    run(0, "train spec.yaml --set train.threads=2 --overwrite");
    expect_output(", 1 thread (OMP_THREAD_LIMIT)\n");
}
END_TEST

/* --- Tables of another's run ------------------------------------------------------------------------------------- */

START_TEST(tables_are_checked_before_the_work_they_take) {
    run(0, "train spec.yaml --quiet");
    ck_assert_int_eq(mkdir("runs/tiny/checkpoints/test_angles.csv", 0777), 0);
    run(1, "eval runs/tiny");
    ck_assert_str_eq(output, "");
    ck_assert_str_eq(errors, "spherenet: runs/tiny/checkpoints/test_angles.csv: cannot be written; --out names another "
                             "place: Is a directory\n");
    ck_assert(!disk_exists("runs/tiny/checkpoints/test_per_class.csv"));
    run(1, "features runs/tiny --out spec.yaml/a.csv");
    expect_error("spherenet: spec.yaml: cannot be made");
    run(0, "features runs/tiny --out /dev/null");
}
END_TEST

START_TEST(out_makes_all_folders_on_the_way) {
    run(0, "train spec.yaml --quiet");
    run(0, "eval runs/tiny --out a/b/c");
    ck_assert(disk_exists("a/b/c/test_angles.csv"));
    run(0, "features runs/tiny --out d/e/f.csv");
    ck_assert(disk_exists("d/e/f.csv"));
}
END_TEST

START_TEST(the_folder_of_checkpoints_stands_for_the_newest_too) {
    run(0, "train spec.yaml --quiet");
    run(0, "eval runs/tiny/checkpoints --out a");
    expect_output("runs/tiny/checkpoints/iteration-00000024.safetensors.gz, iteration 24");
    run(0, "train spec.yaml --quiet --run-dir b --set train.init_from=runs/tiny/checkpoints/");
}
END_TEST

START_TEST(an_angle_that_is_no_number_has_a_reason) {
    run(0, "train spec.yaml --quiet");
    run(0, "eval runs/tiny --set data.test_images=1");
    expect_output("  nan: features within a class: no class has two images\n"
                  "  nan: features of two classes: all images are of one class\n");
    ck_assert_ptr_null(strstr(output, "-nan"));
    ck_assert_ptr_null(strstr(read_text("runs/tiny/checkpoints/test_angles.csv"), "-nan"));
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("words of the command line");
    TCase *words = suite_group(suite, "words", 60, program_set_up, program_tear_down);
    tcase_add_test(words, a_tilde_in_run_dir_is_the_home_folder);
    tcase_add_test(words, what_is_missing_says_where_paths_count_from);
    tcase_add_test(words, a_text_with_a_hash_takes_no_other_runs_weights);
    tcase_add_test(words, the_output_of_show_is_a_spec_whatever_the_names);
    tcase_add_test(words, the_output_of_show_is_a_spec_whatever_the_length_of_names);
    tcase_add_test(words, names_of_layers_reach_no_terminal_raw);
    tcase_add_test(words, batch_normalisation_of_one_value_is_a_mistake);
    tcase_add_loop_test(words, the_number_of_threads_is_that_of_openmps_environment, 0, COUNT(threads));
    tcase_add_test(words, an_empty_number_of_threads_and_a_huge_one_are_none);
    tcase_add_test(words, a_run_says_whence_its_threads_are);
    tcase_add_test(words, tables_are_checked_before_the_work_they_take);
    tcase_add_test(words, out_makes_all_folders_on_the_way);
    tcase_add_test(words, the_folder_of_checkpoints_stands_for_the_newest_too);
    tcase_add_test(words, an_angle_that_is_no_number_has_a_reason);
    return suite;
}
