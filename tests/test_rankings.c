/* What ranks the classes: the logits whose loss is reported, without margin, and cosines where both rank alike. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/array.h"
#include "support/suite.h"
#include "train/evaluate.h"
#include "train/trainer.h"

#define PI 3.14159265358979324
#define K_OFFSET 0.05 /* the default */

enum { BATCH = 30, ITERATION = 3 };

static struct experiment experiment;
static struct trainer trainer;
static struct dataset dataset;
static struct loader *loader;

static void open_training(const char *spec) {
    struct diagnostics diags = {0};
    struct error err;
    ck_assert_msg(experiment_parse(&experiment, "test", spec, NULL, 0, &diags), "%s", diags.text.data);
    ck_assert_msg(dataset_load(&dataset, experiment.data, 1, &err), "%s", err.text);
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    loader = loader_train(&dataset, experiment_data(&experiment), 1, BATCH, 0, &err);
    ck_assert_ptr_nonnull(loader);
}

static void close_training(void) {
    loader_close(loader);
    trainer_close(&trainer);
    dataset_free(&dataset);
    experiment_free(&experiment);
}

/* score.k, drawn anew so that the classes differ widely. */
static real *draw_k(void) {
    const struct model *model = &trainer.model;
    struct rng rng = rng_stream(3, RNG_TEST, 0, 0);
    for (int i = 0; i < model->tensor_count; i++)
        if (strcmp(model->tensors[i]->name, "score.k") == 0) {
            fill(&rng, model->tensors[i]->value, model->tensors[i]->count, 1);
            return model->tensors[i]->value;
        }
    ck_abort_msg("there is no k");
}

/* The paper's formula, section 2.2. */
static double sigmoid(double cosine, double k) {
    double e = exp(-PI / (2 * k)), at = exp(acos(cosine) / k - PI / (2 * k));
    return (1 + e) / (1 - e) * (1 - at) / (1 + at);
}

/* Of one image, from cosines[classes]. */
static struct ranking expected_ranking(const real *cosines, const real *k, int classes, int label) {
    double *logits = malloc((size_t)classes * sizeof *logits);
    struct ranking ranking = {0};
    for (int j = 0; j < classes; j++)
        logits[j] = k ? sigmoid((double)cosines[j], fabs((double)k[j]) + K_OFFSET) : (double)cosines[j];
    for (int j = 0; j < classes; j++) {
        ranking.best = logits[j] > logits[ranking.best] ? j : ranking.best;
        ranking.above += logits[j] > logits[label];
    }
    free(logits);
    return ranking;
}

/* Of how many images the label comes first, and stands among the first five; of how many both orders agree. */
struct counts {
    int right, top5, like_cosines;
};

static struct counts expected_counts(const struct batch *batch, const real *k) {
    const struct head *head = &trainer.model.head;
    struct counts counts = {0};
    for (int i = 0; i < batch->count; i++) {
        const real *cosines = head->scores + i * head->classes;
        int label = batch->labels[i];
        struct ranking ranking = expected_ranking(cosines, k, head->classes, label);
        counts.right += ranking.best == label;
        counts.top5 += ranking.above < 5;
        counts.like_cosines += ranking.best == expected_ranking(cosines, NULL, head->classes, label).best;
    }
    return counts;
}

#define DATA(CLASSES)                                                                                                  \
    "data: {type: synthetic, height: 4, width: 4, channels: 1, classes: " CLASSES ", train_images: 90, "               \
    "test_images: 30}\n"                                                                                               \
    "network: {type: layers, layers: [{type: dense, units: " CLASSES ", bias: false, name: score}]}\n"                 \
    "train: {iterations: 9, batch_size: 30}\n"

static const char *const own_k[] = {
    DATA("20") "loss: {type: w_softmax, angular: learnable_sigmoid}",
    DATA("20") "loss: {type: ga_softmax, margin: 3, annealing: {base: 0, minimum: 0}, angular: learnable_sigmoid}",
};

START_TEST(a_test_ranks_the_logits_where_every_class_has_its_own_k) {
    struct evaluation result;
    struct error err;
    open_training(own_k[_i]);
    const real *k = draw_k();
    ck_assert(evaluate_split(&experiment, &trainer.model, &trainer.loss, &dataset, SPLIT_TEST, &result, NULL, &err));
    struct loader *images = loader_evaluate(&dataset, experiment_data(&experiment), SPLIT_TEST, BATCH, &err);
    const struct batch *batch = loader_next(images);
    model_forward(&trainer.model, model_step(&trainer.model, batch->count, STEP_EVALUATE), batch->images);
    struct counts counts = expected_counts(batch, k);
    ck_assert_int_eq(batch->count, result.images);
    ck_assert_int_lt(counts.like_cosines, batch->count);
    ck_assert_double_eq_tol(result.accuracy, (double)counts.right / batch->count, 1e-12);
    ck_assert_double_eq_tol(result.top5, (double)counts.top5 / batch->count, 1e-12);
    loader_close(images);
    evaluation_free(&result);
    close_training();
}
END_TEST

START_TEST(a_training_step_ranks_the_logits_without_margin) {
    open_training(own_k[_i]);
    const real *k = draw_k();
    for (int i = 0; i < ITERATION; i++) {
        const struct batch *batch = loader_next(loader);
        model_forward(&trainer.model, model_step(&trainer.model, batch->count, STEP_TRAIN), batch->images);
        struct counts counts = expected_counts(batch, k);
        ck_assert_int_lt(counts.like_cosines, batch->count);
        ck_assert_double_eq_tol(trainer_step(&trainer, batch).accuracy, (double)counts.right / batch->count, 1e-12);
    }
    close_training();
}
END_TEST

START_TEST(a_training_batch_as_a_test_sees_it_ranks_the_logits) {
    open_training(own_k[_i]);
    const real *k = draw_k();
    const struct batch *batch = loader_next(loader);
    model_forward(&trainer.model, model_step(&trainer.model, batch->count, STEP_EVALUATE), batch->images);
    struct counts counts = expected_counts(batch, k);
    ck_assert_double_eq_tol(trainer_test_batch(&trainer, batch), (double)counts.right / batch->count, 1e-12);
    close_training();
}
END_TEST

/* At k = 0.01 the logits of most classes are 1 or -1 in double, the cosines differ. */
static const char *const shared_k[] = {
    DATA("20") "loss: {type: w_softmax, angular: sigmoid, k: 0.01}",
    DATA("20") "loss: {type: w_softmax, angular: learnable_sigmoid, k_shared: layer, initial_k: 0, k_offset: 0.01}",
    DATA("20") "loss: {type: w_softmax, angular: learnable_sigmoid, initial_k: 0, k_offset: 0.01}",
};

START_TEST(cosines_rank_where_all_classes_share_an_activation_that_has_saturated) {
    open_training(shared_k[_i]);
    const struct batch *batch = loader_next(loader);
    model_forward(&trainer.model, model_step(&trainer.model, batch->count, STEP_TRAIN), batch->images);
    struct counts counts = expected_counts(batch, NULL);
    ck_assert_double_eq_tol(trainer_step(&trainer, batch).accuracy, (double)counts.right / batch->count, 1e-12);
    close_training();
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("rankings");
    TCase *own = suite_group(suite, "a k for each class", 60, NULL, NULL);
    tcase_add_loop_test(own, a_test_ranks_the_logits_where_every_class_has_its_own_k, 0, COUNT(own_k));
    tcase_add_loop_test(own, a_training_step_ranks_the_logits_without_margin, 0, COUNT(own_k));
    tcase_add_loop_test(own, a_training_batch_as_a_test_sees_it_ranks_the_logits, 0, COUNT(own_k));
    TCase *shared = suite_group(suite, "one activation", 60, NULL, NULL);
    tcase_add_loop_test(shared, cosines_rank_where_all_classes_share_an_activation_that_has_saturated, 0,
                        COUNT(shared_k));
    return suite;
}
