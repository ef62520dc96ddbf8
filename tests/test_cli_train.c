/* `spherenet train`: what a run leaves, the same for the same spec and seed, and how it ends. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/compare.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

START_TEST(a_run_leaves_what_was_promised) {
    run(0, "train spec.yaml");
    static const char *const files[] = {
        "spec.yaml", "train.csv", "eval.csv", "run.log", "checkpoints/iteration-00000024.safetensors.gz",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        ck_assert_msg(disk_exists(in_run("runs/tiny", files[i])), "%s is missing", files[i]);
    ck_assert_str_eq(errors, "");
    expect_output("done: best test accuracy ");
    ck_assert(equal_files("runs/tiny/checkpoints/latest.safetensors.gz", checkpoint("runs/tiny", 24)));
}
END_TEST

START_TEST(quiet_says_nothing) {
    run(0, "train --quiet spec.yaml");
    ck_assert_str_eq(output, "");
    ck_assert_str_eq(errors, "");
}
END_TEST

START_TEST(tables_have_a_header_and_whole_rows) {
    run(0, "train spec.yaml");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 1, 1, 24), 24);
    ck_assert_int_eq(check_table("runs/tiny/eval.csv", eval_header, 6, 6, 6, 24), 4);
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/train.csv"), "\n6,1.5000,"));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/eval.csv"), "\n24,6.0000,test,"));
    run(0, "train spec.yaml --run-dir sparse --set train.log_every=10 --set train.eval_every=0");
    ck_assert_ptr_nonnull(strstr(read_text("sparse/train.csv"), "\n10,"));
    ck_assert_ptr_nonnull(strstr(read_text("sparse/train.csv"), "\n24,"));
    ck_assert_int_eq(check_table("sparse/eval.csv", eval_header, 6, 24, 1, 24), 1);
}
END_TEST

START_TEST(best_and_latest_are_links) {
    run(0, "train spec.yaml --set train.eval_every=1 --set optimizer.learning_rate=0.1");
    expect_link("runs/tiny", "latest", 24);
    expect_link("runs/tiny", "best", best_iteration("runs/tiny"));
}
END_TEST

START_TEST(keep_bounds_the_checkpoints) {
    const char *often = "--set train.checkpoint_every=2 --set train.eval_every=0";
    run(0, "train spec.yaml --run-dir all %s --set train.keep=0", often);
    ck_assert_int_eq(count_checkpoints("all"), 12);
    ck_assert(disk_exists(checkpoint("all", 2)));
    run(0, "train spec.yaml --run-dir two %s --set train.keep=2", often);
    ck_assert_int_eq(count_checkpoints("two"), 2);
    ck_assert(disk_exists(checkpoint("two", 22)) && disk_exists(checkpoint("two", 24)));
    run(0, "train spec.yaml --run-dir ends %s --set train.checkpoint_every=0 --set train.keep=0", often);
    ck_assert_int_eq(count_checkpoints("ends"), 1);
}
END_TEST

START_TEST(the_best_checkpoint_outlives_the_bound) {
    run(0, "train spec.yaml --set train.eval_every=1 --set train.checkpoint_every=1 --set train.keep=1 "
           "--set 'optimizer={type: sgd, learning_rate: 0.3}'");
    int best = best_iteration("runs/tiny");
    ck_assert_int_lt(best, 24);
    ck_assert_int_eq(count_checkpoints("runs/tiny"), 2);
    expect_link("runs/tiny", "best", best);
    expect_link("runs/tiny", "latest", 24);
}
END_TEST

START_TEST(same_spec_and_seed_same_files) {
    run(0, "train spec.yaml --run-dir a --set train.keep=0");
    run(0, "train spec.yaml --run-dir b --set train.keep=0");
    expect_same_runs("a", "b");
    for (int iteration = 8; iteration <= 24; iteration += 8)
        ck_assert(equal_files(checkpoint("a", iteration), checkpoint("b", iteration)));
    run(0, "train spec.yaml --run-dir c --set train.keep=0 --set seed=2");
    ck_assert(!equal_tensors(checkpoint("a", 8), checkpoint("c", 8)));
    ck_assert_str_ne(without_times("a/train.csv"), without_times("c/train.csv"));
}
END_TEST

START_TEST(threads_do_not_matter) {
    run(0, "train spec.yaml --run-dir one");
    run(0, "train spec.yaml --run-dir three --set train.threads=3");
    expect_same_lines(without_times("one/train.csv"), without_times("three/train.csv"), "train.csv");
    ck_assert(equal_tensors(checkpoint("one", 24), checkpoint("three", 24)));
}
END_TEST

START_TEST(the_stored_spec_reproduces_the_run) {
    run(0, "train spec.yaml --set seed=7 --set network.layers[0].operator.angular=linear --run-dir a");
    run(0, "train a/spec.yaml --run-dir b");
    expect_same_runs("a", "b");
    ck_assert(equal_files("a/spec.yaml", "b/spec.yaml"));
}
END_TEST

static void expect_finite(const char *path) {
    struct tensor_file file;
    read_tensors(&file, path);
    for (int i = 0; i < file.tensor_count; i++)
        for (size_t j = 0; j < tensor_bytes(&file.tensors[i]) / sizeof(real); j++)
            ck_assert_msg(isfinite(file.tensors[i].data[j]), "%s", file.tensors[i].name);
    tensor_file_free(&file);
}

static const char *const angulars[] = {"cosine", "linear", "sigmoid", "learnable_sigmoid"};
static const char *const magnitudes[] = {"product", "sphere", "linear"};

START_TEST(every_operator_trains) {
    const char *angular = angulars[_i % 4], *magnitude = magnitudes[_i / 4];
    run(0, "train spec.yaml --set network.layers[0].operator.angular=%s --set network.layers[0].operator.magnitude=%s",
        angular, magnitude);
    expect_finite(checkpoint("runs/tiny", 24));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/spec.yaml"), arena_printf(&arena, "angular: %s,", angular)));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/spec.yaml"), arena_printf(&arena, "magnitude: %s,", magnitude)));
}
END_TEST

/* The last layer without a bias, as an angular loss asks for. */
#define ANGULAR "--set network.layers[3].bias=false"

static const char *const losses[] = {"softmax", "w_softmax", "a_softmax", "ga_softmax", "cosface", "arcface"};

START_TEST(every_loss_trains) {
    run(0, "train spec.yaml " ANGULAR " --set loss.type=%s", losses[_i]);
    expect_finite(checkpoint("runs/tiny", 24));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/spec.yaml"), arena_printf(&arena, "type: %s\n", losses[_i])));
}
END_TEST

enum { LAMBDA_COLUMN = 8 };

START_TEST(lambda_falls_to_its_minimum) {
    run(0, "train spec.yaml " ANGULAR " --set loss.type=a_softmax --set loss.annealing.gamma=20");
    ck_assert_double_eq_tol(train_value("runs/tiny", 1, LAMBDA_COLUMN), 1000 / 21.0, 1e-3);
    ck_assert_double_eq_tol(train_value("runs/tiny", 9, LAMBDA_COLUMN), 1000 / 181.0, 1e-4);
    ck_assert_double_eq(train_value("runs/tiny", 24, LAMBDA_COLUMN), 5);
    run(0, "train spec.yaml --run-dir plain");
    ck_assert_double_eq(train_value("plain", 1, LAMBDA_COLUMN), 0);
}
END_TEST

START_TEST(a_margin_that_stays_at_chance_is_told) {
    const char *slow = "spec.yaml " ANGULAR " --set optimizer.learning_rate=1e-12 --set train.iterations=600 "
                       "--set train.eval_every=0 --set train.log_every=0 --set data.train_images=640";
    run(0, "train %s --set loss.type=a_softmax", slow);
    const char *told = strstr(warnings, "iteration 400: accuracy stays at chance under the margin of a_softmax (lambda "
                                        "is 20.41)");
    ck_assert_msg(told != NULL, "\"%s\"", warnings);
    ck_assert_ptr_nonnull(strstr(told, "train.init_from"));
    ck_assert_ptr_null(strstr(strstr(told, "under the margin"), "stays at chance"));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/run.log"), "stays at chance"));
    run(0, "train %s --run-dir plain --set loss.type=w_softmax", slow);
    ck_assert_ptr_null(strstr(warnings, "stays at chance"));
}
END_TEST

START_TEST(set_reaches_lists_sections_and_defaults) {
    run(0, "train spec.yaml --set network.layers[0].filters=5 --set=seed=3 --set 'loss={type: softmax}' "
           "--set regularizer.weight_decay=1e-3 --set loss.label_smoothing=0.1");
    const char *spec = read_text("runs/tiny/spec.yaml");
    ck_assert_ptr_nonnull(strstr(spec, "filters: 5,"));
    ck_assert_ptr_nonnull(strstr(spec, "seed: 3\n"));
    ck_assert_ptr_nonnull(strstr(spec, "weight_decay: 0.001\n"));
    ck_assert_ptr_nonnull(strstr(spec, "label_smoothing: 0.1\n"));
}
END_TEST

/* A section that a spec leaves out has a default kind; a key below it can be set all the same. */
START_TEST(set_reaches_sections_the_spec_leaves_out) {
    disk_write_text("short.yaml", "data: {type: synthetic, height: 8, width: 8, classes: 4}\n"
                                  "network: {layers: [{type: dense, units: 4}]}\n"
                                  "train: {iterations: 1}\n");
    run(0, "show short.yaml --set loss.label_smoothing=0.1 --set optimizer.learning_rate=0.5 --set schedule.warmup=9");
    expect_output("label_smoothing: 0.1\n");
    expect_output("learning_rate: 0.5\n");
    expect_output("warmup: 9\n");
}
END_TEST

/* Weights that double with every step, until an output is too large for any number. */
#define DIVERGING                                                                                                      \
    "train spec.yaml --set 'optimizer={type: sgd, learning_rate: 100}' --set network.layers[0].type=conv "             \
    "--set network.layers[1]=relu --set 'network.layers[0].operator={}' --set train.iterations=2000"

START_TEST(a_diverging_run_stops) {
    run(1, DIVERGING);
    expect_error("spherenet: iteration ");
    expect_error("the loss is nan; first in the output of layer ");
    expect_error("values are not finite; the last checkpoint is that of iteration 8. Lower optimizer.learning_rate");
    struct tensor_file file;
    read_tensors(&file, checkpoint("runs/tiny", 8));
    for (int i = 0; i < file.tensor_count; i++)
        ck_assert(isfinite(file.tensors[i].data[0]));
    tensor_file_free(&file);
}
END_TEST

/* Batch normalisation behind a ReLU works on a copy, which goes by the name of what it is a copy of. */
START_TEST(what_diverged_has_a_name) {
    disk_write_text("copied.yaml", "data: {type: synthetic, height: 8, width: 8, classes: 4, train_images: 64}\n"
                                   "network: {layers: [{type: conv, filters: 4}, *, relu, batch_norm, "
                                   "{type: dense, units: 4}]}\n"
                                   "optimizer: {type: adam, learning_rate: 100}\n"
                                   "train: {iterations: 10, batch_size: 16}\n");
    ck_assert_int_eq(shell("norms=$(printf 'sphere_norm, %.0s' $(seq 20)); sed -i \"s/[*], /$norms/\" copied.yaml"), 0);
    run(1, "train copied.yaml");
    expect_error("first in the output of layer relu_22, ");
}
END_TEST

/* Far from where anything is finite, no step brings it back. */
START_TEST(skipping_for_ever_stops) {
    run(1, DIVERGING " --set train.on_divergence=skip");
    int skips = 0;
    for (const char *at = warnings; (at = strstr(at, "; this update is left out\n")); at++)
        skips++;
    ck_assert_int_eq(skips, 20);
    expect_error("too many updates in a row were left out");
}
END_TEST

START_TEST(clipping_keeps_it_from_diverging) {
    run(0, DIVERGING " --set optimizer.clip_norm=0.001 --set train.iterations=24");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 1, 1, 24), 24);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("train");
    TCase *training = suite_group(suite, "training", 120, program_set_up, program_tear_down);
    tcase_add_test(training, a_run_leaves_what_was_promised);
    tcase_add_test(training, quiet_says_nothing);
    tcase_add_test(training, tables_have_a_header_and_whole_rows);
    tcase_add_test(training, best_and_latest_are_links);
    tcase_add_test(training, keep_bounds_the_checkpoints);
    tcase_add_test(training, the_best_checkpoint_outlives_the_bound);
    tcase_add_test(training, same_spec_and_seed_same_files);
    tcase_add_test(training, threads_do_not_matter);
    tcase_add_test(training, the_stored_spec_reproduces_the_run);
    tcase_add_loop_test(training, every_operator_trains, 0, COUNT(angulars) * COUNT(magnitudes));
    tcase_add_loop_test(training, every_loss_trains, 0, COUNT(losses));
    tcase_add_test(training, lambda_falls_to_its_minimum);
    tcase_add_test(training, a_margin_that_stays_at_chance_is_told);
    tcase_add_test(training, set_reaches_lists_sections_and_defaults);
    tcase_add_test(training, set_reaches_sections_the_spec_leaves_out);
    tcase_add_test(training, a_diverging_run_stops);
    tcase_add_test(training, what_diverged_has_a_name);
    tcase_add_test(training, skipping_for_ever_stops);
    tcase_add_test(training, clipping_keeps_it_from_diverging);
    return suite;
}
