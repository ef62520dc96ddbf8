/* Every operator learns real images. Needs SPHERENET_TEST_DATA, a folder with cifar10-mini, in the official binary
 * format; without it the suite says so and passes. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel/gemm.h"
#include "kernel/threads.h"
#include "runner.h"
#include "train/trainer.h"

enum { STEPS = 120, SETS = 3 };

static const char *const operators[] = {"cosine", "linear", "sigmoid", "learnable_sigmoid"};

static const char spec[] = "data: {type: cifar10, train_limit: 2000, test_limit: 500, flip: true}\n"
                           "network: {type: plain, depth: 3, widths: [16, 24, 32], features: 32,\n"
                           "          batch_norm: {decay: 0.9}}\n"
                           "optimizer: {type: adam, learning_rate: 3e-3}\n"
                           "train: {iterations: 120, batch_size: 32}\n";

static double accuracy_after_training(const char *const *sets, int count) {
    struct experiment experiment;
    struct diagnostics diags = {0};
    struct trainer trainer;
    struct dataset dataset;
    struct evaluation result;
    struct error err;
    bool parsed = experiment_parse(&experiment, "images.yaml", spec, sets, count, &diags);
    ck_assert_msg(parsed, "%s", diags.text.data);
    ck_assert_msg(dataset_load(&dataset, experiment.data, 1, &err), "%s", err.text);
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    struct loader *loader =
        loader_train(&dataset, experiment_data(&experiment), 1, experiment.train.batch_size, 0, &err);
    ck_assert_ptr_nonnull(loader);
    for (int i = 0; i < STEPS; i++)
        trainer_step(&trainer, loader_next(loader));
    loader_close(loader);
    ck_assert(trainer_evaluate(&trainer, &dataset, SPLIT_TEST, &result, &err));
    free(result.confusion);
    trainer_close(&trainer);
    dataset_free(&dataset);
    experiment_free(&experiment);
    return result.accuracy;
}

/* Chance is 0.1; these short runs reach 0.3 to 0.4. */
START_TEST(learns) {
    char path[4096], angular[128], magnitude[128];
    const char *sets[SETS] = {path, angular, magnitude};
    snprintf(path, sizeof path, "data.path=%s/cifar10-mini", getenv("SPHERENET_TEST_DATA"));
    snprintf(angular, sizeof angular, "network.operator.angular=%s", operators[_i % 4]);
    snprintf(magnitude, sizeof magnitude, "network.operator.magnitude=%s", _i < 4 ? "sphere" : "product");
    double accuracy = accuracy_after_training(sets, SETS);
    ck_assert_msg(accuracy > 0.22, "%s, %s: test accuracy %.3f", angular, magnitude, accuracy);
}
END_TEST

Suite *test_suite(void) {
    gemm_setup();
    threads_set(2);
    Suite *suite = suite_create("real images");
    const char *data = getenv("SPHERENET_TEST_DATA");
    char path[4096];
    snprintf(path, sizeof path, "%s/cifar10-mini/test_batch.bin", data ? data : "");
    if (!data || access(path, R_OK)) {
        printf("real images: skipped: SPHERENET_TEST_DATA names no folder with cifar10-mini\n");
        return suite;
    }
    TCase *tcase = tcase_create("cifar10-mini");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, learns, 0, 5);
    suite_add_tcase(suite, tcase);
    return suite;
}
