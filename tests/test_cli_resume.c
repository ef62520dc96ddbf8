/* Runs that are there already: left alone, resumed bit for bit whatever stopped them, or begun from their weights. */
#define _GNU_SOURCE /* memmem */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/compare.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* The last layer without a bias, as an angular loss asks for. */
#define ANGULAR "--set network.layers[3].bias=false"

/* --- Runs that are there already --------------------------------------------------------------------------------- */

START_TEST(a_run_is_not_overwritten_silently) {
    run(0, "train spec.yaml");
    const char *before = read_text("runs/tiny/train.csv");
    run(1, "train spec.yaml");
    ck_assert_str_eq(errors, "spherenet: runs/tiny: there is a run already; --resume continues it, --overwrite "
                             "replaces it, --run-dir and --set name=... choose another place\n");
    expect_same_lines(read_text("runs/tiny/train.csv"), before, "train.csv");
    run(0, "train spec.yaml --overwrite --set train.iterations=8");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 1, 1, 8), 8);
    ck_assert(!disk_exists(checkpoint("runs/tiny", 24)));
    run(2, "train spec.yaml --overwrite --resume");
    ck_assert_str_eq(errors, "spherenet train: --resume, --auto-resume and --overwrite exclude each other\n");
    run(1, "train spec.yaml --resume --run-dir elsewhere");
    ck_assert_str_eq(errors, "spherenet: elsewhere: there is no run to resume; leave --resume out to start one, or "
                             "give --auto-resume, which starts one where there is none\n");
    ck_assert(!disk_exists("elsewhere"));
}
END_TEST

/* The system goes on asking every second until the run has ended. */
START_TEST(a_limit_on_processor_time_ends_a_run_with_a_checkpoint) {
    ck_assert_int_eq(shell("ulimit -S -t 3; \"$SPHERENET\" train spec.yaml --set train.iterations=100000000"
                           " --set train.checkpoint_every=0 --set train.eval_every=0 >output.txt 2>errors.txt"),
                     128 + SIGXCPU);
    ck_assert_ptr_nonnull(strstr(read_text("output.txt"), "--resume\n"));
    ck_assert_int_eq(count_checkpoints("runs/tiny"), 1);
}
END_TEST

/* What a batch system repeats. */
START_TEST(one_command_starts_a_run_and_goes_on_with_it) {
    run(0, "train spec.yaml --run-dir job --auto-resume --set train.iterations=11 --set schedule=constant");
    expect_output("there was no run yet: begun\n");
    run(0, "train spec.yaml --run-dir whole --set schedule=constant");
    run(0, "train spec.yaml --run-dir job --auto-resume --set schedule=constant");
    expect_output("resumed at iteration 11\n");
    ck_assert_ptr_null(strstr(output, "begun"));
    ck_assert(equal_tensors(checkpoint("job", 24), checkpoint("whole", 24)));
    run(0, "train spec.yaml --run-dir job --auto-resume --set schedule=constant");
    expect_output("the run is finished: ");
    run(2, "train spec.yaml --auto-resume --overwrite");
}
END_TEST

/* --overwrite with a mistake, or without its data, leaves the run that is there. */
START_TEST(a_failing_start_leaves_the_old_run) {
    run(0, "train spec.yaml");
    const char *before = read_text("runs/tiny/train.csv");
    run(2, "train spec.yaml --overwrite --set optimizer.learning_rate=-1");
    run(1, "train spec.yaml --overwrite --set 'data={type: cifar10, path: nowhere}' --set network.layers[3].units=10");
    expect_error("nowhere/data_batch_1.bin: not found");
    expect_same_lines(read_text("runs/tiny/train.csv"), before, "train.csv");
    ck_assert(disk_exists(checkpoint("runs/tiny", 24)));
}
END_TEST

START_TEST(a_finished_run_says_so) {
    run(0, "train spec.yaml");
    const char *before = read_text("runs/tiny/train.csv");
    run(0, "train spec.yaml --resume");
    expect_output("the run is finished: 24 iterations, and train.iterations is 24; to go on, give a larger one\n");
    expect_same_lines(read_text("runs/tiny/train.csv"), before, "train.csv");
    run(0, "train spec.yaml --resume --set train.iterations=30 --set schedule.start=24");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 1, 1, 30), 30);
    expect_link("runs/tiny", "latest", 30);
}
END_TEST

START_TEST(an_extended_run_equals_a_long_one) {
    run(0, "train spec.yaml --set schedule=constant --run-dir extended");
    run(0, "train spec.yaml --set schedule=constant --run-dir extended --resume --set train.iterations=48");
    run(0, "train spec.yaml --set schedule=constant --run-dir long --set train.iterations=48");
    expect_same_runs("extended", "long");
}
END_TEST

START_TEST(a_run_starts_from_another_ones_weights) {
    struct tensor_file from, to;
    run(0, "train spec.yaml " ANGULAR);
    run(0, "train spec.yaml " ANGULAR " --run-dir second --set train.init_from=runs/tiny --set loss.type=a_softmax "
           "--set optimizer.learning_rate=1e-12 --set train.iterations=1");
    expect_output("weights: those of runs/tiny\n");
    read_tensors(&from, checkpoint("runs/tiny", 24));
    read_tensors(&to, checkpoint("second", 1));
    static const char *const names[] = {"first.weight", "first.k", "score.weight"};
    for (int i = 0; i < 3; i++) {
        const struct stored_tensor *a = tensor_file_find(&from, names[i]), *b = tensor_file_find(&to, names[i]);
        for (size_t j = 0; j < tensor_bytes(a) / sizeof(real); j++)
            ck_assert_double_eq_tol((double)a->data[j], (double)b->data[j], 1e-6);
    }
    ck_assert_str_eq(tensor_file_text(&to, "iteration"), "1");
    tensor_file_free(&from);
    tensor_file_free(&to);
}
END_TEST

START_TEST(weights_of_another_network_are_refused) {
    run(0, "train spec.yaml");
    run(1,
        "train spec.yaml --run-dir second --set train.init_from=runs/tiny --set network.layers[0].filters=7 " ANGULAR);
    expect_error("runs/tiny/checkpoints/iteration-00000024.safetensors.gz: cannot be started from");
    expect_error("\n  tensor \"first.weight\" has shape [6, 3, 3, 3], the network's has [7, 3, 3, 3]\n");
    expect_error("\n  tensor \"score.weight\" has shape [4, 96], the network's has [4, 112]\n");
    expect_error("\n  has a tensor \"score.bias\", which the network has not");
    ck_assert(!disk_exists("second"));
    run(1, "train spec.yaml --run-dir second --set train.init_from=nowhere");
    expect_error("nowhere: neither a run's folder nor a checkpoint");
}
END_TEST

START_TEST(a_classifier_may_be_drawn) {
    const char *more = "spec.yaml --run-dir second --set train.init_from=runs/tiny --set data.classes=6 "
                       "--set network.layers[3].units=6 --set network.layers[3].bias=false";
    run(0, "train spec.yaml");
    run(1, "train %s", more);
    expect_error("train.init_classifier: draw");
    run(0, "train %s --set train.init_classifier=draw", more);
    expect_output("weights: those of runs/tiny, the last layer's drawn\n");
}
END_TEST

/* From the beginning again when there is no checkpoint yet, else from the checkpoint alone. */
START_TEST(a_run_with_given_weights_is_resumed) {
    const char *second = "spec.yaml --set train.init_from=runs/tiny --set train.iterations=16";
    run(0, "train spec.yaml");
    run(0, "train %s --run-dir whole", second);
    run(0, "train %s --run-dir resumed", second);
    ck_assert_int_eq(shell("rm resumed/checkpoints/*"), 0);
    run(0, "train %s --run-dir resumed --resume", second);
    expect_same_runs("whole", "resumed");
    ck_assert_int_eq(shell("rm -r runs; rm resumed/checkpoints/*16* resumed/checkpoints/latest*"), 0);
    run(0, "train %s --run-dir resumed --resume", second);
    expect_same_runs("whole", "resumed");
}
END_TEST

START_TEST(a_run_is_not_resumed_with_another_spec) {
    run(0, "train spec.yaml");
    run(1, "train spec.yaml --resume --set seed=2 --set train.iterations=30");
    ck_assert_str_eq(errors, "spherenet: runs/tiny/checkpoints/iteration-00000024.safetensors.gz: the run began with "
                             "another spec; change it back, or start another run with --set name=... or --run-dir:\n"
                             "  seed: it had 1, now 2\n");
    run(1, "train spec.yaml --resume --set train.batch_size=8");
    expect_error("\n  train.batch_size: it had 16, now 8\n");
    run(0, "train spec.yaml --resume --set train.threads=2 --set train.keep=9 --set train.log_every=3");
}
END_TEST

/* --- Interrupted runs -------------------------------------------------------------------------------------------- */

static const char *const long_options = "--quiet --set train.iterations=300 --set train.eval_every=7 "
                                        "--set train.checkpoint_every=10";

static pid_t start(const char *arguments) {
    char *command = arena_printf(&arena, "exec \"$SPHERENET\" %s", arguments);
    pid_t process = fork();
    ck_assert_int_ge(process, 0);
    if (!process) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return process;
}

/* Kills the process when the table has that many lines; false when it ended before. */
static bool kill_at(pid_t process, const char *table, int lines) {
    int status;
    while (lines_of(table) < lines) {
        if (waitpid(process, &status, WNOHANG) == process)
            return false;
        usleep(200);
    }
    kill(process, SIGKILL);
    ck_assert_int_eq(waitpid(process, &status, 0), process);
    return WIFSIGNALED(status);
}

/* Starts the run over until it can be killed in time. */
static void interrupt_at(int lines) {
    for (int attempt = 0; attempt < 10; attempt++) {
        pid_t process = start(arena_printf(&arena, "train spec.yaml --run-dir cut --overwrite %s", long_options));
        if (kill_at(process, "cut/train.csv", lines))
            return;
    }
    ck_abort_msg("the run always ends before it is killed");
}

/* Lines of train.csv: none, the header, just before and after a checkpoint (10), a test (7), both (70). */
static const int instants[] = {1, 2, 8, 10, 11, 12, 36, 70, 71, 72, 155};

START_TEST(a_killed_run_resumes_bit_for_bit) {
    run(0, "train spec.yaml --run-dir whole %s", long_options);
    interrupt_at(instants[_i]);
    run(0, "train spec.yaml --run-dir cut --resume %s", long_options);
    expect_same_runs("cut", "whole");
    ck_assert_int_eq(check_table("cut/train.csv", train_header, 12, 1, 1, 300), 300);
}
END_TEST

START_TEST(a_run_may_be_killed_many_times) {
    run(0, "train spec.yaml --run-dir whole %s", long_options);
    interrupt_at(5);
    for (int lines = 20; lines < 250; lines += 45) {
        pid_t process = start(arena_printf(&arena, "train spec.yaml --run-dir cut --resume %s", long_options));
        kill_at(process, "cut/train.csv", lines);
    }
    run(0, "train spec.yaml --run-dir cut --resume %s", long_options);
    expect_same_runs("cut", "whole");
}
END_TEST

/* As a machine that loses its power leaves them: half a row, and rows beyond the newest checkpoint. */
START_TEST(damaged_tables_are_brought_back) {
    run(0, "train spec.yaml --run-dir whole");
    run(0, "train spec.yaml --run-dir cut");
    ck_assert_int_eq(remove(checkpoint("cut", 24)), 0);
    ck_assert_int_eq(shell("printf '25,6.2500,0.0' >>cut/train.csv; rm -f cut/checkpoints/*-00000018*"), 0);
    run(0, "train spec.yaml --run-dir cut --resume");
    expect_same_runs("cut", "whole");
}
END_TEST

/* A table that another program wrote is left as it is. */
START_TEST(tables_of_others_are_refused) {
    run(0, "train spec.yaml --set schedule=constant");
    ck_assert_int_eq(shell("sed -i '1s/epoch/step/' runs/tiny/eval.csv; cp runs/tiny/eval.csv kept.csv"), 0);
    run(1, "train spec.yaml --set schedule=constant --resume --set train.iterations=30");
    ck_assert_str_eq(errors,
                     "spherenet: runs/tiny/eval.csv: its first line is not the header that this program writes; "
                     "move the file away, or resume with the program that wrote it\n");
    ck_assert(equal_files("runs/tiny/eval.csv", "kept.csv"));
}
END_TEST

/* The seed makes again what no checkpoint holds. */
START_TEST(a_run_without_a_checkpoint_begins_again) {
    run(0, "train spec.yaml --run-dir whole");
    run(0, "train spec.yaml --run-dir cut");
    ck_assert_int_eq(shell("rm cut/checkpoints/*"), 0);
    run(0, "train spec.yaml --run-dir cut --resume");
    ck_assert_ptr_nonnull(strstr(output, "there was no checkpoint yet: begun again\n"));
    expect_same_runs("cut", "whole");
}
END_TEST

/* Killed between a checkpoint and the links to it. */
START_TEST(links_are_made_again) {
    run(0, "train spec.yaml");
    int best = best_iteration("runs/tiny");
    ck_assert_int_eq(shell("rm runs/tiny/checkpoints/latest* runs/tiny/checkpoints/best*"), 0);
    run(0, "train spec.yaml --resume");
    expect_link("runs/tiny", "latest", 24);
    expect_link("runs/tiny", "best", best);
}
END_TEST

START_TEST(a_temporary_file_that_was_left_does_not_matter) {
    run(0, "train spec.yaml --run-dir whole");
    ck_assert_int_eq(shell("mkdir -p cut/checkpoints"), 0);
    disk_write_text("cut/checkpoints/iteration-00000008.safetensors.gz.tmp", "half a checkpoint");
    run(0, "train spec.yaml --run-dir cut");
    expect_same_runs("cut", "whole");
    ck_assert(!disk_exists("cut/checkpoints/iteration-00000008.safetensors.gz.tmp"));
}
END_TEST

static void cut_to(const char *path, int bytes) {
    ck_assert_int_eq(shell(arena_printf(&arena, "head -c %d %s >cut; cat cut >%s", bytes, path, path)), 0);
}

START_TEST(damaged_checkpoints_are_refused) {
    run(0, "train spec.yaml");
    const char *path = checkpoint("runs/tiny", 24);
    ck_assert_int_eq(shell(arena_printf(&arena, "cp %s whole.gz", path)), 0);
    cut_to(path, 1500);
    run(1, "eval runs/tiny");
    ck_assert_str_eq(errors, arena_printf(&arena,
                                          "spherenet: %s: damaged: the gzip stream is cut short\n"
                                          "  give the path of an older checkpoint of the run, if it has kept one\n",
                                          path));
    run(1, "eval %s", path);
    ck_assert_str_eq(errors, arena_printf(&arena, "spherenet: %s: damaged: the gzip stream is cut short\n", path));
    run(0, "eval %s", checkpoint("runs/tiny", 16));
    char bytes[1 << 16];
    FILE *file = fopen("whole.gz", "rb");
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    ck_assert_uint_lt(size, sizeof bytes);
    bytes[size / 2] ^= 0x10;
    disk_write(path, bytes, size);
    run(1, "eval runs/tiny");
    expect_error("damaged: ");
    disk_write_text(path, "");
    run(1, "eval runs/tiny");
    expect_error("damaged: the file ends within the header length");
}
END_TEST

/* Without gzip there is no checksum of gzip's. One bit of a weight, of a name, and of a text. */
START_TEST(damage_behind_gzip_is_found) {
    static const char *const places[] = {"", "first.weight", "best_accuracy"};
    char *plain = arena_printf(&arena, "%s/plain", folder);
    run(0, "train spec.yaml");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(shell(arena_printf(&arena, "gunzip <%s >%s", checkpoint("runs/tiny", 24), plain)), 0);
        run(0, "eval %s", plain);
        FILE *file = fopen(plain, "r+b");
        static char bytes[1 << 16];
        size_t size = fread(bytes, 1, sizeof bytes, file);
        char *place = *places[i] ? memmem(bytes, size, places[i], strlen(places[i])) : bytes + size - 9;
        ck_assert_ptr_nonnull(place);
        fseek(file, place - bytes, SEEK_SET);
        fputc(*place ^ 1, file);
        fclose(file);
        run(1, "eval %s", plain);
        expect_error("damaged: its content has the checksum ");
    }
}
END_TEST

/* The newest is cut off, the one before it has a bit turned round; the best is older still. */
START_TEST(resume_passes_over_damaged_checkpoints) {
    run(0, "train spec.yaml --run-dir whole --set train.keep=0 --set train.eval_every=4");
    ck_assert_int_eq(shell("cp -a whole hurt; rm -f hurt/checkpoints/*-0000002[0-3]*"), 0);
    cut_to(checkpoint("hurt", 24), 700);
    cut_to(checkpoint("hurt", 16), 0);
    run(0, "train spec.yaml --run-dir hurt --set train.keep=0 --set train.eval_every=4 --resume");
    ck_assert_str_eq(warnings, "spherenet: warning: hurt/checkpoints/iteration-00000024.safetensors.gz: damaged: the "
                               "gzip stream is cut short; skipped\n"
                               "spherenet: warning: hurt/checkpoints/iteration-00000016.safetensors.gz: damaged: the "
                               "file ends within the header length; skipped\n");
    expect_output("resumed at iteration ");
    expect_same_runs("hurt", "whole");
    for (int i = 0; i <= 24; i++)
        if (disk_exists(checkpoint("hurt", i)))
            cut_to(checkpoint("hurt", i), 100);
    run(1, "train spec.yaml --run-dir hurt --resume --set train.iterations=30");
    expect_error("spherenet: hurt: none of the run's checkpoints can be read:\n");
    expect_error("\n--overwrite begins the run again\n");
}
END_TEST

START_TEST(a_full_disk_ends_the_run_and_it_can_be_resumed) {
    run(0, "train spec.yaml --run-dir whole --set network.layers[0].filters=60");
    int status = shell("trap '' XFSZ; ulimit -f 16; "
                       "\"$SPHERENET\" train spec.yaml --run-dir cut --set network.layers[0].filters=60 2>&1 | cat "
                       ">errors.txt; test -s errors.txt");
    ck_assert_int_eq(status, 0);
    errors = read_text("errors.txt");
    expect_error(": cannot be written: File too large\n");
    run(0, "train spec.yaml --run-dir cut --resume --set network.layers[0].filters=60");
    expect_same_runs("cut", "whole");
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("resume");
    TCase *again = suite_group(suite, "runs that are there", 120, program_set_up, program_tear_down);
    tcase_add_test(again, a_run_is_not_overwritten_silently);
    tcase_add_test(again, one_command_starts_a_run_and_goes_on_with_it);
    tcase_add_test(again, a_limit_on_processor_time_ends_a_run_with_a_checkpoint);
    tcase_add_test(again, a_failing_start_leaves_the_old_run);
    tcase_add_test(again, a_finished_run_says_so);
    tcase_add_test(again, an_extended_run_equals_a_long_one);
    tcase_add_test(again, a_run_is_not_resumed_with_another_spec);
    tcase_add_test(again, a_run_starts_from_another_ones_weights);
    tcase_add_test(again, weights_of_another_network_are_refused);
    tcase_add_test(again, a_classifier_may_be_drawn);
    tcase_add_test(again, a_run_with_given_weights_is_resumed);

    TCase *interrupted = suite_group(suite, "interrupted runs", 120, program_set_up, program_tear_down);
    tcase_add_loop_test(interrupted, a_killed_run_resumes_bit_for_bit, 0, COUNT(instants));
    tcase_add_test(interrupted, a_run_may_be_killed_many_times);
    tcase_add_test(interrupted, damaged_tables_are_brought_back);
    tcase_add_test(interrupted, tables_of_others_are_refused);
    tcase_add_test(interrupted, a_run_without_a_checkpoint_begins_again);
    tcase_add_test(interrupted, links_are_made_again);
    tcase_add_test(interrupted, a_temporary_file_that_was_left_does_not_matter);
    tcase_add_test(interrupted, damaged_checkpoints_are_refused);
    tcase_add_test(interrupted, damage_behind_gzip_is_found);
    tcase_add_test(interrupted, resume_passes_over_damaged_checkpoints);

    TCase *limited = suite_group(suite, "full disk", 120, program_set_up, program_tear_down);
    tcase_set_tags(limited, "file-limit");
    tcase_add_test(limited, a_full_disk_ends_the_run_and_it_can_be_resumed);
    return suite;
}
