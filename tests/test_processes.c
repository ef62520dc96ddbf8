/* One run on several processes: the same bits on any number of them, whatever stops them.
 *
 * mpirun starts them, more than there are processors if need be. Where it is not, or the program has no part for MPI,
 * most of this is skipped. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

static bool has_mpi(void) {
    return !shell("command -v mpirun >/dev/null && test -e \"$(dirname \"$SPHERENET\")/spherenet-mpi.so\"");
}

#define NEEDS_MPI SKIP_IF(!has_mpi(), "there is no mpirun, or the program was built without mpicc")

/* errors.txt has Open MPI's own words, too. What its libraries leave allocated is not looked for. */
static const char *launch(int processes, const char *arguments) {
    return arena_printf(&arena,
                        "ASAN_OPTIONS=detect_leaks=0 OMP_NUM_THREADS=1 timeout -k 5 100 mpirun --allow-run-as-root "
                        "--oversubscribe --bind-to none --mca "
                        "mpi_yield_when_idle 1 --mca btl_vader_single_copy_mechanism none -np %d \"$SPHERENET\" %s "
                        ">output.txt 2>errors.txt",
                        processes, arguments);
}

static int start(int processes, const char *arguments) {
    int status = shell(launch(processes, arguments));
    output = read_text("output.txt");
    errors = read_text("errors.txt");
    return status;
}

static void share(int processes, const char *arguments) {
    int status = start(processes, arguments);
    ck_assert_msg(status == 0, "%d processes, %s: exit status %d\n%s", processes, arguments, status, errors);
}

static int count(const char *text, const char *part) {
    int found = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        found++;
    return found;
}

/* --- The same bits ----------------------------------------------------------------------------------------------- */

#define DATA                                                                                                           \
    "name: shared\n"                                                                                                   \
    "data: {type: synthetic, height: 8, width: 8, classes: 5, train_images: 70, test_images: 29, flip: true,"          \
    " crop_padding: 2, erase: 0.5, standardize: true}\n"
#define TRAIN "train: {iterations: 6, eval_every: 3, checkpoint_every: 3, log_every: 1, threads: 1, batch_size: "

/* Of each family of operators, layers, losses, optimizers and penalties one at least. No batch is divided evenly. */
static const struct shared_run {
    const char *spec;
    int processes;
} shared_runs[] = {
    {DATA "network: {type: plain, depth: 6, widths: [16, 32, 16], features: 24, operator: {angular: linear}}\n"
          "optimizer: {type: adam, learning_rate: 1e-2}\n" TRAIN "13}\n",
     2},
    {DATA "network: {type: plain, depth: 6, widths: [12, 20, 16], features: 24, bias: true, classifier_bias: true,"
          " operator: {magnitude: tanh, angular: learnable_sigmoid}}\n"
          "optimizer: {type: sgd, learning_rate: 1e-1, clip_norm: 0.1}\n"
          "regularizer: {weight_decay: 1e-2, weight_decay_on: [weights, norm], orthogonality: 1e-2}\n" TRAIN
          "21, batch_norm_images: 40}\n",
     3},
    {DATA "network: {type: resnet, depth: 8, widths: [16, 16, 32], operator: {magnitude: linear, angular: sigmoid}}\n"
          "optimizer: {type: adamw, learning_rate: 1e-2}\n"
          "loss: {type: w_softmax, angular: learnable_sigmoid}\n" TRAIN "17}\n",
     4},
    {DATA "network: {layers: [{type: conv, filters: 16, padding: 1}, batch_norm, relu, {type: dropout, rate: 0.3},"
          " {type: residual, body: [{type: sphere_conv, filters: 16, padding: 1}, sphere_norm, relu,"
          " {type: stochastic_depth, rate: 0.4}]}, {type: max_pool}, {type: dense, units: 300}, batch_norm, relu,"
          " {type: dense, units: 5, bias: false}]}\n"
          "optimizer: {type: sgd, learning_rate: 1e-2, nesterov: true}\n"
          "loss: {type: arcface, scale: 16}\n" TRAIN "19}\n",
     8},
    {DATA "network: {type: plain, depth: 6, widths: [16, 16, 16], normalization: sphere_norm,"
          " operator: {angular: square_cosine}}\n"
          "optimizer: {type: adam, learning_rate: 1e-2}\n"
          "loss: {type: sphereface2}\n" TRAIN "11}\n",
     4},
    {DATA "network: {type: plain, depth: 6, widths: [10, 12, 14], conv_algorithm: im2col,"
          " operator: {magnitude: product, angular: cosine}}\n"
          "optimizer: {type: adam, learning_rate: 1e-2}\n"
          "loss: {type: ga_softmax, angular: sigmoid, margin: 3, annealing: {base: 5, minimum: 0.5}}\n" TRAIN
          "37, gradient_sums: 11}\n",
     9},
};

START_TEST(any_number_of_processes_trains_to_the_same_bits) {
    NEEDS_MPI;
    const struct shared_run *shared = &shared_runs[_i];
    disk_write_text("shared.yaml", shared->spec);
    run(0, "train shared.yaml --run-dir one --quiet");
    share(shared->processes, "train shared.yaml --run-dir several --quiet");
    ck_assert_str_eq(output, "");
    expect_same_runs("one", "several");
}
END_TEST

/* The fewest images that a step can have, more processes than a test batch has images, and several threads each. */
START_TEST(a_process_may_have_one_image_or_none) {
    NEEDS_MPI;
    const char *arguments = "train spec.yaml --quiet --set train.iterations=6 --set train.batch_size=8 "
                            "--set data.test_images=17 --set train.threads=2 --run-dir";
    run(0, "%s one", arguments);
    share(8, arena_printf(&arena, "%s several", arguments));
    expect_same_runs("one", "several");
}
END_TEST

/* --- What goes wrong --------------------------------------------------------------------------------------------- */

START_TEST(the_first_process_alone_speaks) {
    NEEDS_MPI;
    share(3, "train spec.yaml");
    ck_assert_int_eq(count(output, "done: "), 1);
    ck_assert_int_eq(count(read_text("runs/tiny/run.log"), "done: "), 1);
    ck_assert_int_eq(start(3, "train spec.yaml"), 1);
    ck_assert_int_eq(count(errors, "spherenet: runs/tiny: there is a run already"), 1);
    ck_assert_int_eq(start(3, "train none.yaml"), 2);
    ck_assert_int_eq(count(errors, "none.yaml: cannot open the spec"), 1);
    ck_assert_int_eq(start(3, "train spec.yaml --nonsense"), 2);
    ck_assert_int_eq(count(errors, "unknown option --nonsense"), 1);
    ck_assert_int_eq(start(3, "eval runs/tiny"), 2);
    ck_assert_int_eq(count(errors, "spherenet eval: is for one process, but a launcher has started 3"), 1);
}
END_TEST

START_TEST(more_processes_than_sums_are_refused) {
    NEEDS_MPI;
    ck_assert_int_eq(start(5, "train spec.yaml --set train.batch_size=4"), 1);
    expect_error("5 processes are more than can share a batch of 4 images");
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* As of a host that lacks a file. */
START_TEST(what_is_missing_on_another_host_is_told_with_its_name) {
    NEEDS_MPI;
    ck_assert_int_eq(
        shell(arena_printf(&arena, "mkdir other && %s",
                           launch(1, "train spec.yaml : -np 1 -wdir other \"$SPHERENET\" train spec.yaml"))),
        1);
    errors = read_text("errors.txt");
    expect_error("spherenet: process 1 on ");
    expect_error(": spec.yaml: cannot open the spec");
    ck_assert(!disk_exists("runs") && !disk_exists("other/runs"));
}
END_TEST

/* The environment is that of a launcher; nothing is started for it. */
START_TEST(without_the_part_for_mpi_several_processes_are_refused) {
    ck_assert_int_eq(shell("cp \"$SPHERENET\" alone && OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=0 ./alone train "
                           "spec.yaml >output.txt 2>errors.txt"),
                     1);
    errors = read_text("errors.txt");
    expect_error("spherenet: 4 processes were started, but what lets them work together is missing: ");
    expect_error("libopenmpi-dev");
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* As of a job's script, which runs once however many tasks the job has. */
START_TEST(a_job_of_several_tasks_is_one_process_where_it_is_not_a_step) {
    ck_assert_int_eq(setenv("SLURM_NTASKS", "4", 1) | setenv("SLURM_PROCID", "0", 1), 0);
    run(0, "train spec.yaml --quiet --set train.iterations=2");
}
END_TEST

/* A shell starts three processes and stops the second of them when there is a checkpoint. */
static int stop_one(const char *signal, const char *arguments) {
    return shell(arena_printf(&arena,
                              "(%s) & launcher=$!\n"
                              "until [ -e runs/tiny/checkpoints/latest.safetensors.gz ]; do sleep 0.05; done\n"
                              "for process in /proc/[0-9]*; do\n"
                              "    [ $process/cwd -ef . ] || continue\n"
                              "    grep -qzx OMPI_COMM_WORLD_RANK=1 $process/environ && kill -%s ${process#/proc/}\n"
                              "done\n"
                              "wait $launcher",
                              launch(3, arguments), signal));
}

#define LONG "train spec.yaml --set train.iterations=1000000 --set schedule=constant"

START_TEST(a_killed_process_ends_all_and_another_number_goes_on) {
    NEEDS_MPI;
    ck_assert_int_ne(stop_one("KILL", LONG), 0);
    ck_assert_int_le(count(read_text("errors.txt"), "spherenet: "), 1); /* of the TERM that mpirun sends */
    ck_assert_int_eq(shell("readlink runs/tiny/checkpoints/latest.safetensors.gz | tr -dc 0-9 >newest.txt"), 0);
    int last = atoi(read_text("newest.txt")) + 13;
    const char *end = arena_printf(&arena, "--quiet --set schedule=constant --set train.iterations=%d", last);
    share(2, arena_printf(&arena, "train spec.yaml --resume %s", end));
    run(0, "train spec.yaml --run-dir one %s", end);
    expect_same_runs("one", "runs/tiny");
}
END_TEST

START_TEST(a_signal_to_one_process_ends_all_after_a_checkpoint) {
    NEEDS_MPI;
    ck_assert_int_eq(stop_one("TERM", LONG), 128 + 15);
    output = read_text("output.txt");
    ck_assert_int_eq(count(output, "by signal 15"), 1);
    ck_assert_int_eq(count(output, "to go on: "), 1);
}
END_TEST

/* A file may have 16 MB, which all that MPI writes stays below, and a checkpoint with Adam's state does not. */
START_TEST(a_full_disk_of_the_first_process_ends_all_with_one_message) {
    NEEDS_MPI;
    const char *arguments = "train spec.yaml --quiet --set train.iterations=8 --set 'network.layers=[{type: dense, "
                            "units: 1024}, {type: dense, units: 2048}, {type: dense, units: 4}]'";
    ck_assert_int_eq(shell(arena_printf(&arena, "ulimit -f 32768; %s", launch(3, arguments))), 1);
    ck_assert_int_eq(count(read_text("errors.txt"), "File too large"), 1);
    ck_assert_int_eq(count_checkpoints("runs/tiny"), 0);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("processes");
    TCase *bits = suite_group(suite, "bits", 240, program_set_up, program_tear_down);
    tcase_add_loop_test(bits, any_number_of_processes_trains_to_the_same_bits, 0, COUNT(shared_runs));
    tcase_add_test(bits, a_process_may_have_one_image_or_none);
    TCase *ends = suite_group(suite, "ends", 240, program_set_up, program_tear_down);
    tcase_add_test(ends, the_first_process_alone_speaks);
    tcase_add_test(ends, more_processes_than_sums_are_refused);
    tcase_add_test(ends, what_is_missing_on_another_host_is_told_with_its_name);
    tcase_add_test(ends, without_the_part_for_mpi_several_processes_are_refused);
    tcase_add_test(ends, a_job_of_several_tasks_is_one_process_where_it_is_not_a_step);
    tcase_add_test(ends, a_killed_process_ends_all_and_another_number_goes_on);
    tcase_add_test(ends, a_signal_to_one_process_ends_all_after_a_checkpoint);
    tcase_add_test(ends, a_full_disk_of_the_first_process_ends_all_with_one_message);
    return suite;
}
