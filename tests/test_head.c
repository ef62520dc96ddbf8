/* The network's head, and losses on it: on any number of threads, with as many classes as there may be. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/array.h"
#include "support/lone_loss.h"
#include "support/suite.h"
#include "train/trainer.h"

static struct experiment experiment;
static struct trainer trainer;

static void open_trainer(const char *spec) {
    struct diagnostics diags = {0};
    struct error err;
    ck_assert_msg(experiment_parse(&experiment, "test", spec, NULL, 0, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
}

static void close_trainer(void) {
    trainer_close(&trainer);
    experiment_free(&experiment);
}

/* --- Threads ----------------------------------------------------------------------------------------------------- */

enum { IMAGES = 11, CLASSES = 7 };

struct outcome {
    double loss;
    real scores[IMAGES * CLASSES], lengths[IMAGES], own[CLASSES];
};

/* A row's loss; where it can, with a k for each class. */
static struct choice choose(struct arena *arena, const struct kind *kind) {
    struct choice loss = choice_default(arena, kind);
    const struct param *angular = kind->params;
    while (angular->type != PARAM_END && !(angular->key && strcmp(angular->key, "angular") == 0))
        angular++;
    if (angular->type != PARAM_END)
        *(const struct kind **)(void *)((char *)loss.config + angular->offset) =
            registry_find(&angular_registry, "learnable_sigmoid");
    return loss;
}

static void draw(real *values, int count, double low, double high) {
    struct rng rng = rng_stream(4, RNG_TEST, (uint64_t)count, 0);
    for (int i = 0; i < count; i++)
        values[i] = (real)(low + (high - low) * rng_uniform(&rng));
}

START_TEST(a_loss_is_the_same_on_any_number_of_threads) {
    struct arena arena = {0};
    struct choice loss = choose(&arena, loss_registry.rows[_i]);
    real cosines[IMAGES * CLASSES], lengths[IMAGES], own[CLASSES];
    int32_t labels[IMAGES];
    struct outcome alone = {0};
    draw(cosines, IMAGES * CLASSES, -1, 1);
    draw(lengths, IMAGES, 0.5, 5);
    draw(own, CLASSES, -1, 1);
    for (int i = 0; i < IMAGES; i++)
        labels[i] = i * 3 % CLASSES;
    const struct loss_input in = {IMAGES, CLASSES, cosines, lengths, labels, own};
    for (int threads = 1; threads <= 2 * IMAGES; threads++) {
        struct outcome outcome = {0};
        struct loss_gradient to = {outcome.scores, outcome.lengths, outcome.own};
        outcome.loss = lone_loss_on(threads, loss, &in, 3, &to);
        if (threads == 1)
            alone = outcome;
        ck_assert_msg(memcmp(&outcome, &alone, sizeof outcome) == 0, "%s on %d threads: %.17g, alone %.17g",
                      loss.kind->name, threads, outcome.loss, alone.loss);
    }
    ck_assert(isfinite(alone.loss) && alone.loss > 0);
    arena_free(&arena);
}
END_TEST

/* --- What the head shows ----------------------------------------------------------------------------------------- */

#define DATA "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
#define TRAIN "train: {iterations: 1, batch_size: 2}\n"

START_TEST(a_dense_layer_shows_features_and_weights) {
    real images[] = {3, 4, -6, 8}, features[4];
    open_trainer(DATA "network: {type: layers, layers: [{type: dense, name: score, units: 3}]}\n" TRAIN);
    const struct model *model = &trainer.model;
    model_forward(&trainer.model, model_step(model, 2, STEP_EVALUATE), images);
    ck_assert_int_eq(model->head.kind, HEAD_SCORES);
    ck_assert_str_eq(model->head.name, "score");
    ck_assert_int_eq(model->head.classes, 3);
    ck_assert_int_eq(model->head.width, 2);
    ck_assert_ptr_eq(model->head.weights, model->tensors[0]->value);
    ck_assert_ptr_null(model->head.lengths);
    model_features(model, 2, images, features);
    ck_assert_mem_eq(features, images, sizeof features);
    close_trainer();
}
END_TEST

START_TEST(an_angular_loss_gets_cosines_and_lengths) {
    static const real weights[] = {5, 0, 0, -5, -3, -4};
    static const double cosines[] = {0.6, -0.8, -1, -0.6, -0.8, -0.28}, lengths[] = {5, 10};
    real images[] = {3, 4, -6, 8};
    open_trainer(DATA "network: {type: layers, layers: [{type: dense, name: score, units: 3, bias: false, operator: "
                      "{epsilon: 1e-12}}]}\nloss: w_softmax\n" TRAIN);
    struct model *model = &trainer.model;
    memcpy(model->tensors[0]->value, weights, sizeof weights);
    const real *scores = model_forward(model, model_step(model, 2, STEP_EVALUATE), images);
    ck_assert_int_eq(model->head.kind, HEAD_COSINES);
    ck_assert_ptr_eq(scores, model->head.scores);
    for (int i = 0; i < COUNT(cosines); i++)
        ck_assert_double_eq_tol((double)scores[i], cosines[i], 1e-6);
    for (int i = 0; i < COUNT(lengths); i++)
        ck_assert_double_eq_tol((double)model->head.lengths[i], lengths[i], 1e-5);
    close_trainer();
}
END_TEST

START_TEST(other_layers_have_scores_alone) {
    real images[] = {3, 4, -6, 8};
    open_trainer("data: {type: synthetic, height: 1, width: 3, channels: 1, classes: 3}\n"
                 "network: {type: layers, layers: [{type: dense, units: 3}, {type: batch_norm}]}\n" TRAIN);
    const struct head *head = &trainer.model.head;
    ck_assert_ptr_eq(model_forward(&trainer.model, model_step(&trainer.model, 1, STEP_EVALUATE), images), head->scores);
    ck_assert_int_eq(head->width, 0);
    ck_assert_ptr_null(head->weights);
    close_trainer();
}
END_TEST

/* The list of layers in the spec stays the user's. */
START_TEST(a_loss_changes_no_layer_of_the_spec) {
    open_trainer(DATA "network: {type: layers, layers: [{type: dense, name: score, units: 3, bias: false}]}\n"
                      "loss: {type: w_softmax, angular: learnable_sigmoid}\n" TRAIN);
    const struct dense_config *config = experiment.layers.choices[0].config;
    ck_assert_ptr_eq(experiment.layers.choices[0].kind, &layer_dense.kind);
    ck_assert_str_eq(config->operation.magnitude.kind->name, "product");
    ck_assert_int_eq(trainer.model.tensor_count, 2);
    ck_assert_str_eq(trainer.model.tensors[1]->name, "score.k");
    close_trainer();
}
END_TEST

/* --- Many classes ------------------------------------------------------------------------------------------------ */

enum { BATCH = 6, MOST_MEGABYTES = 200 };

static const int32_t labels_of_many[BATCH] = {0, 255, 256, 65535, 65536, 99999};

#define MANY(LOSS)                                                                                                     \
    "data: {type: synthetic, height: 2, width: 4, channels: 1, classes: 100000, train_images: 6}\n"                    \
    "network: {type: layers, layers: [{type: dense, name: score, units: 100000, bias: false}]}\n"                      \
    "loss: {" LOSS "}\noptimizer: {type: adam, learning_rate: 0.1}\nregularizer: {weight_decay: 0}\n"                  \
    "train: {iterations: 20, batch_size: 6, threads: 2}\n"

/* Twenty steps leave the k of a hundred thousand classes far from settled; one image of six is far above chance. */
static const struct {
    const char *spec;
    double least_accuracy;
} many[] = {
    {MANY("type: softmax"), 1},
    {MANY("type: w_softmax, angular: learnable_sigmoid"), 1.0 / BATCH},
    {MANY("type: cosface, scale: 30"), 1},
};

START_TEST(a_hundred_thousand_classes_train) {
    struct rng rng = rng_stream(6, RNG_TEST, 0, 0);
    struct step_result first, last;
    struct array images = array_random(&rng, BATCH * 8);
    struct batch batch = {BATCH, images.data, labels_of_many};
    open_trainer(many[_i].spec);
    first = last = trainer_step(&trainer, &batch);
    for (int i = 1; i < 20; i++)
        last = trainer_step(&trainer, &batch);
    ck_assert(first.updated && last.updated);
    ck_assert_msg(first.fit > 9 && last.fit < 0.7 * first.fit, "the loss was %g and is %g", first.fit, last.fit);
    ck_assert_double_ge_tol(last.accuracy, many[_i].least_accuracy, 1e-12);
    size_t bytes = plan_sizes(&trainer.model.planner).total * sizeof(real);
    ck_assert_msg(bytes < MOST_MEGABYTES * 1000000UL, "%zu bytes", bytes);
    close_trainer();
    array_free("images", &images);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("head");
    TCase *head = suite_group(suite, "head", 4, NULL, NULL);
    tcase_add_test(head, a_dense_layer_shows_features_and_weights);
    tcase_add_test(head, an_angular_loss_gets_cosines_and_lengths);
    tcase_add_test(head, other_layers_have_scores_alone);
    tcase_add_test(head, a_loss_changes_no_layer_of_the_spec);
    TCase *losses = suite_group(suite, "losses", 60, NULL, NULL);
    int rows = 0;
    while (loss_registry.rows[rows])
        rows++;
    tcase_add_loop_test(losses, a_loss_is_the_same_on_any_number_of_threads, 0, rows);
    TCase *classes = suite_group(suite, "classes", 120, NULL, NULL);
    tcase_add_loop_test(classes, a_hundred_thousand_classes_train, 0, COUNT(many));
    return suite;
}
