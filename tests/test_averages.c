/* Batch normalisation's running averages: measured anew, and when they lag behind. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "support/compare.h"
#include "support/disk.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"
#include "train/trainer.h"

enum { IMAGES = 24, BATCH = 8, PIXELS = 6 * 6 };

/* The first layer's averages are those of the images. */
static const char first_layer[] =
    "data: {type: synthetic, height: 6, width: 6, channels: 1, classes: 3, train_images: 24, loader_threads: 2}\n"
    "network: {layers: [{type: batch_norm, name: norm}, {type: dropout, rate: 0.5}, {type: dense, name: score, "
    "units: 3}]}\n"
    "train: {iterations: 9, batch_size: 8, threads: 2, batch_norm_images: 24}\n";

static struct experiment experiment;
static struct trainer trainer;
static struct dataset dataset;

static void open_training(void) {
    struct diagnostics diags = {0};
    struct error err;
    ck_assert_msg(experiment_parse(&experiment, "a.yaml", first_layer, NULL, 0, &diags), "%s", diags.text.data);
    ck_assert_msg(dataset_load(&dataset, experiment.data, 1, &err), "%s", err.text);
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
}

static void close_training(void) {
    trainer_close(&trainer);
    dataset_free(&dataset);
    experiment_free(&experiment);
}

static const struct tensor *tensor(const char *name) {
    for (int i = 0; i < trainer.model.tensor_count; i++)
        if (!strcmp(trainer.model.tensors[i]->name, name))
            return trainer.model.tensors[i];
    ck_abort_msg("no tensor %s", name);
}

/* Mean over batches of their means and of their biased variances, from iteration `first` on. */
static void measure(int64_t first, double *mean, double *variance) {
    struct error err;
    struct loader *loader = loader_train(&dataset, experiment_data(&experiment), 1, BATCH, first, &err);
    *mean = *variance = 0;
    for (int b = 0; b < IMAGES / BATCH; b++) {
        const struct batch *batch = loader_next(loader);
        double sum = 0, squares = 0;
        for (int i = 0; i < BATCH * PIXELS; i++)
            sum += (double)batch->images[i] / (BATCH * PIXELS);
        for (int i = 0; i < BATCH * PIXELS; i++)
            squares += pow((double)batch->images[i] - sum, 2) / (BATCH * PIXELS);
        *mean += sum * BATCH / IMAGES;
        *variance += squares * BATCH / IMAGES;
    }
    loader_close(loader);
}

static void step_once(void) {
    struct error err;
    struct loader *loader = loader_train(&dataset, experiment_data(&experiment), 1, BATCH, trainer.iteration, &err);
    trainer_step(&trainer, loader_next(loader));
    loader_close(loader);
}

START_TEST(averages_are_those_of_the_next_batches) {
    struct error err;
    double mean, variance;
    for (int step = 0; step < 2; step++) {
        double batches = (double)tensor("norm.num_batches_tracked")->value[0];
        measure(step, &mean, &variance);
        ck_assert(trainer_average_anew(&trainer, &dataset, &err));
        ck_assert_double_eq_tol((double)tensor("norm.running_mean")->value[0], mean, 1e-6);
        ck_assert_double_eq_tol((double)tensor("norm.running_var")->value[0], variance, 1e-6);
        ck_assert_double_eq((double)tensor("norm.num_batches_tracked")->value[0], batches);
        step_once();
    }
}
END_TEST

/* The real network with the averages that it measures, and the same training without. */
START_TEST(training_does_not_depend_on_it) {
    run(0, "train spec.yaml --run-dir without --set train.eval_every=6");
    run(0, "train spec.yaml --run-dir with --set train.eval_every=6 --set train.batch_norm_images=40");
    ck_assert_str_eq(without_times("with/train.csv"), without_times("without/train.csv"));
    ck_assert_str_ne(without_times("with/eval.csv"), without_times("without/eval.csv"));
}
END_TEST

START_TEST(checkpoints_depend_on_no_stop) {
    const char *options = "--set schedule=constant --set train.eval_every=7 --set train.batch_norm_images=40";
    run(0, "train spec.yaml --run-dir whole %s", options);
    run(0, "train spec.yaml --run-dir extended %s --set train.iterations=11", options);
    run(0, "train spec.yaml --run-dir extended %s --resume --set train.threads=2", options);
    ck_assert(equal_tensors("whole/checkpoints/latest.safetensors.gz", "extended/checkpoints/latest.safetensors.gz"));
}
END_TEST

START_TEST(a_network_without_averages_cannot_measure_them) {
    run(2, "train spec.yaml --set 'network.layers=[{type: dense, units: 4}]' --set train.batch_norm_images=40");
    expect_error("train.batch_norm_images: the network has no batch normalisation\n");
}
END_TEST

/* A network whose averages have hardly begun to leave their start at 0. */
#define NORM "{type: batch_norm, decay: 0.9999, debias: false}, relu, "
static const char slow[] =
    "data: {type: synthetic, height: 8, width: 8, classes: 16, train_images: 512, test_images: 64}\n"
    "network: {layers: [{type: conv, filters: 6}, " NORM "{type: conv, filters: 8}, " NORM
    "{type: dense, units: 16}]}\n"
    "optimizer: {type: adam, learning_rate: 0.02}\n"
    "train: {iterations: 40, batch_size: 64, eval_every: 10}\n";

START_TEST(averages_that_lag_behind_are_told_once) {
    const char *told = "are right with its own mean and variance";
    disk_write_text("slow.yaml", slow);
    run(0, "train slow.yaml");
    const char *first = strstr(warnings, told);
    ck_assert_msg(first != NULL, "%s", warnings);
    ck_assert_ptr_null(strstr(first + 1, told));
    run(0, "train slow.yaml --overwrite --set network.layers[1].debias=true --set network.layers[4].debias=true");
    ck_assert_str_eq(warnings, "");
    run(0, "train slow.yaml --overwrite --set train.batch_norm_images=512");
    ck_assert_str_eq(warnings, "");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("averages");
    TCase *measured = suite_group(suite, "measured", 60, open_training, close_training);
    tcase_add_test(measured, averages_are_those_of_the_next_batches);
    TCase *runs = suite_group(suite, "runs", 120, program_set_up, program_tear_down);
    tcase_add_test(runs, training_does_not_depend_on_it);
    tcase_add_test(runs, checkpoints_depend_on_no_stop);
    tcase_add_test(runs, a_network_without_averages_cannot_measure_them);
    tcase_add_test(runs, averages_that_lag_behind_are_told_once);
    return suite;
}
