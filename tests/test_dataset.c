/* What every dataset promises, whatever its files: labels of any number of classes. */
#include <stdlib.h>
#include <string.h>

#include "runner.h"
#include "train/evaluate.h"
#include "train/trainer.h"

static struct experiment experiment;
static struct dataset dataset;
static struct error err;

/* Reads the spec of a tiny network, with one more line. */
static void read_spec(const char *line) {
    struct text spec = {0};
    struct diagnostics diags = {0};
    text_printf(&spec,
                "%s\n"
                "network: {type: plain, depth: 3, widths: [4, 4, 4], features: 2}\n"
                "train: {iterations: 3, batch_size: 8, threads: 2}\n",
                line);
    bool parsed = experiment_parse(&experiment, "test.yaml", spec.data, NULL, 0, &diags);
    ck_assert_msg(parsed, "%s", diags.text.data);
    text_free(&spec);
}

static void load(void) {
    ck_assert_msg(dataset_load(&dataset, experiment.data, 1, &err), "%s", err.text);
}

static void teardown(void) {
    dataset_free(&dataset);
    experiment_free(&experiment);
}

/* --- Describing -------------------------------------------------------------------------------------------------- */

static bool describe_nothing(struct dataset *described, const void *config, struct error *error) {
    (void)config;
    described->height = 1;
    return error_set(error, "no folder of images");
}

static void release_nothing(struct dataset *described) {
    ck_assert_ptr_null(described->images);
}

START_TEST(a_dataset_that_cannot_be_described_is_not_loaded) {
    static const struct dataset_type row = {
        .kind = {.name = "none"}, .describe = describe_nothing, .release = release_nothing};
    static const struct dataset empty;
    ck_assert(!dataset_describe(&dataset, (struct choice){.kind = &row.kind}, &err));
    ck_assert_str_eq(err.text, "no folder of images");
    ck_assert_mem_eq(&dataset, &empty, sizeof empty);
    ck_assert(!dataset_load(&dataset, (struct choice){.kind = &row.kind}, 1, &err));
    ck_assert_str_eq(err.text, "no folder of images");
    ck_assert_mem_eq(&dataset, &empty, sizeof empty);
}
END_TEST

/* --- Labels ------------------------------------------------------------------------------------------------------ */

START_TEST(labels_go_beyond_two_bytes) {
    read_spec("data: {type: synthetic, height: 8, width: 8, channels: 1, classes: 70000, train_images: 70001}");
    load();
    const struct split *train = &dataset.splits[SPLIT_TRAIN];
    for (int i = 0; i < 70000; i++)
        ck_assert_int_eq(train->labels[i], i);
    ck_assert_int_eq(train->labels[70000], 0);
}
END_TEST

/* Predictions are counted by class where the table is not too large. */
START_TEST(an_evaluation_counts_every_class) {
    static const char *const specs[] = {
        "data: {type: synthetic, height: 8, width: 8, classes: 300, train_images: 300, test_images: 450}",
        "data: {type: synthetic, height: 8, width: 8, classes: 2001, train_images: 300, test_images: 3001}"};
    struct trainer trainer;
    struct evaluation result;
    read_spec(specs[_i]);
    load();
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    ck_assert(evaluate_split(&experiment, &trainer.model, &trainer.loss, &dataset, SPLIT_TEST, &result, NULL, &err));
    int64_t right = 0, predictions = 0;
    for (int k = 0; k < result.classes; k++) {
        ck_assert_int_eq(result.class_images[k], k < result.classes / 2 ? 2 : 1);
        right += result.class_correct[k];
        for (int j = 0; result.confusion && j < result.classes; j++)
            predictions += result.confusion[k * result.classes + j];
        if (result.confusion)
            ck_assert_int_eq(result.confusion[k * result.classes + k], result.class_correct[k]);
    }
    ck_assert_int_eq(predictions, result.confusion ? result.images : 0);
    ck_assert_double_eq_tol(result.accuracy, (double)right / result.images, 1e-12);
    ck_assert((result.confusion != NULL) == (_i == 0));
    evaluation_free(&result);
    trainer_close(&trainer);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("dataset");
    TCase *describing = tcase_create("describing");
    tcase_add_test(describing, a_dataset_that_cannot_be_described_is_not_loaded);
    suite_add_tcase(suite, describing);
    TCase *labels = tcase_create("labels");
    tcase_add_checked_fixture(labels, NULL, teardown);
    tcase_set_timeout(labels, 60);
    tcase_add_test(labels, labels_go_beyond_two_bytes);
    tcase_add_loop_test(labels, an_evaluation_counts_every_class, 0, 2);
    suite_add_tcase(suite, labels);
    return suite;
}
