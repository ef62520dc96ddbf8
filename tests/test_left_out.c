/* Updates that are left out: why, and that the optimizer does not count them, be it before a checkpoint or after. */
#include <math.h>
#include <string.h>

#include "run/checkpoint.h"
#include "support/array.h"
#include "support/folder.h"
#include "support/suite.h"
#include "train/divergence.h"

static const char spec[] =
    "data: {type: synthetic, height: 6, width: 6, channels: 2, classes: 3}\n"
    "network: {layers: [{type: conv, name: first, filters: 4}, {type: batch_norm, name: norm}, relu, "
    "{type: dense, name: score, units: 3, bias: true}]}\n"
    "regularizer: {weight_decay: 10, weight_decay_on: [bias]}\n"
    "train: {iterations: 9, batch_size: 5}\n";

enum { BATCH = 5, IMAGE = 6 * 6 * 2 };

struct training {
    struct experiment experiment;
    struct trainer trainer;
};

static struct error err;
static struct array images;
static real no_numbers[BATCH * IMAGE];
static int32_t labels[] = {0, 1, 2, 1, 0};

static void set_up(void) {
    struct rng rng = rng_stream(5, RNG_TEST, 0, 0);
    images = array_random(&rng, BATCH * IMAGE);
    for (int i = 0; i < BATCH * IMAGE; i++)
        no_numbers[i] = NAN;
    folder_make(NULL, "left-out");
}

static void tear_down(void) {
    array_free("images", &images);
    folder_remove();
}

static void open_training(struct training *t, const char *optimizer) {
    struct diagnostics diags = {0};
    const char *overrides[] = {arena_printf(&arena, "optimizer=%s", optimizer)};
    ck_assert_msg(experiment_parse(&t->experiment, "test", spec, overrides, 1, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(&t->trainer, &t->experiment, &err), "%s", err.text);
}

static void close_training(struct training *t) {
    trainer_close(&t->trainer);
    experiment_free(&t->experiment);
}

static struct step_result step(struct training *t, const real *batch) {
    return trainer_step(&t->trainer, &(struct batch){BATCH, batch, labels});
}

static void expect_same(const struct training *a, const struct training *b) {
    size_t bytes = a->trainer.trained * sizeof(real);
    ck_assert_mem_eq(a->trainer.model.memory.values, b->trainer.model.memory.values, bytes);
    for (int slot = 0; slot < a->trainer.optimizer->slots; slot++)
        ck_assert_mem_eq(a->trainer.slots[slot], b->trainer.slots[slot], bytes);
}

/* --- What is counted --------------------------------------------------------------------------------------------- */

static const char *const optimizers[] = {"adam", "adamw", "{type: sgd, learning_rate: 1e-3}"};

START_TEST(an_update_that_was_left_out_changes_nothing_after_it) {
    struct training with, without;
    open_training(&with, optimizers[_i]);
    open_training(&without, optimizers[_i]);
    for (int i = 0; i < 12; i++) {
        if (i % 3 == 0)
            ck_assert(!step(&with, no_numbers).updated);
        ck_assert(step(&with, images.data).updated);
        ck_assert(step(&without, images.data).updated);
        expect_same(&with, &without);
    }
    ck_assert_int_eq(with.trainer.iteration, 16);
    ck_assert_int_eq(with.trainer.left_out, 4);
    close_training(&with);
    close_training(&without);
}
END_TEST

static void save(const struct training *t, const char *path) {
    ck_assert_msg(checkpoint_save(path, &t->trainer, &t->experiment.shape, (struct best_test){.iteration = -1}, &err),
                  "%s", err.text);
}

static bool load(struct training *t, const char *path) {
    struct safetensors file;
    struct best_test best;
    ck_assert_msg(safetensors_open(&file, path, &err), "%s", err.text);
    ck_assert(checkpoint_progress(&file, path, &t->trainer.iteration, &best, &err));
    bool good = checkpoint_load(&file, path, &t->trainer, &err);
    safetensors_close(&file);
    return good;
}

START_TEST(a_checkpoint_keeps_the_count) {
    struct training through, resumed;
    const char *path = in_folder("x.gz");
    open_training(&through, "adam");
    open_training(&resumed, "adam");
    step(&through, images.data);
    step(&through, no_numbers);
    save(&through, path);
    ck_assert_msg(load(&resumed, path), "%s", err.text);
    ck_assert_int_eq(resumed.trainer.left_out, 1);
    ck_assert(step(&through, images.data).updated && step(&resumed, images.data).updated);
    expect_same(&through, &resumed);
    close_training(&through);
    close_training(&resumed);
}
END_TEST

/* So a run without such updates has the checkpoints it always had. */
START_TEST(a_count_of_none_is_not_written) {
    struct training t;
    struct safetensors file;
    const char *path = in_folder("x.gz");
    open_training(&t, "adam");
    step(&t, images.data);
    save(&t, path);
    ck_assert(safetensors_open(&file, path, &err));
    ck_assert_ptr_null(safetensors_text(&file, "updates_left_out"));
    safetensors_close(&file);
    t.trainer.left_out = 7; /* of another file */
    ck_assert(load(&t, path));
    ck_assert_int_eq(t.trainer.left_out, 0);
    close_training(&t);
}
END_TEST

START_TEST(a_count_beyond_the_iterations_is_damage) {
    struct training t;
    const char *path = in_folder("x.gz");
    open_training(&t, "adam");
    t.trainer.iteration = 3;
    t.trainer.left_out = 4;
    save(&t, path);
    ck_assert(!load(&t, path));
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
    ck_assert_ptr_nonnull(strstr(err.text, "more updates were left out than there were iterations"));
    close_training(&t);
}
END_TEST

/* --- Gradients that Adam cannot take ----------------------------------------------------------------------------- */

/* Weight decay makes it the gradient of a bias, 9e19, whose square is infinite. */
static void grow_bias(struct training *t) {
    struct model *model = &t->trainer.model;
    for (int i = 0; i < model->tensor_count; i++)
        if (!strcmp(model->tensors[i]->name, "score.bias"))
            model->tensors[i]->value[1] = (real)9e18;
}

START_TEST(a_gradient_whose_square_is_not_finite_makes_no_update) {
    struct training t, same;
    open_training(&t, "adam");
    open_training(&same, "adam");
    grow_bias(&t);
    grow_bias(&same);
    struct step_result result = step(&t, images.data);
    struct text text = {0};
    ck_assert(!result.updated);
    ck_assert(isfinite(result.gradient_norm));
    divergence_describe(&text, &t.trainer.model, BATCH, result.fit);
    ck_assert_str_eq(text.data, "the gradient is too large, since its square is not finite: up to 9e+19 in tensor "
                                "score.bias");
    expect_same(&t, &same);
    text_free(&text);
    close_training(&t);
    close_training(&same);
}
END_TEST

START_TEST(a_clipped_gradient_may_be_that_large) {
    struct training t;
    open_training(&t, "{type: adam, clip_norm: 1}");
    grow_bias(&t);
    ck_assert(step(&t, images.data).updated);
    for (size_t i = 0; i < t.trainer.trained; i++)
        ck_assert(isfinite(t.trainer.slots[1][i]));
    close_training(&t);
}
END_TEST

START_TEST(sgd_takes_any_finite_gradient) {
    struct training t;
    open_training(&t, "{type: sgd, learning_rate: 1e-3}");
    grow_bias(&t);
    ck_assert(step(&t, images.data).updated);
    close_training(&t);
}
END_TEST

/* The length is more than the root, no single value is: it is the values that count. */
START_TEST(many_large_values_are_no_reason) {
    struct training t;
    open_training(&t, "adam");
    struct model *model = &t.trainer.model;
    for (int i = 0; i < model->tensor_count; i++)
        for (int j = 0; !strcmp(model->tensors[i]->name, "score.bias") && j < 3; j++)
            model->tensors[i]->value[j] = (real)1.5e18;
    struct step_result result = step(&t, images.data);
    ck_assert_double_gt(result.gradient_norm, 1.85e19);
    ck_assert(result.updated);
    close_training(&t);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("updates left out");
    TCase *count = suite_group(suite, "count", 60, set_up, tear_down);
    tcase_add_loop_test(count, an_update_that_was_left_out_changes_nothing_after_it, 0, COUNT(optimizers));
    tcase_add_test(count, a_checkpoint_keeps_the_count);
    tcase_add_test(count, a_count_of_none_is_not_written);
    tcase_add_test(count, a_count_beyond_the_iterations_is_damage);
    TCase *large = suite_group(suite, "large", 60, set_up, tear_down);
    tcase_add_test(large, a_gradient_whose_square_is_not_finite_makes_no_update);
    tcase_add_test(large, a_clipped_gradient_may_be_that_large);
    tcase_add_test(large, sgd_takes_any_finite_gradient);
    tcase_add_test(large, many_large_values_are_no_reason);
    return suite;
}
