/* The allocator of plan/memory.h by itself, and the plans that chains of layers make with it. */
#include "runner.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "machine/threads.h"
#include "support/array.h"
#include "train/experiment.h"

/* --- Buffers ----------------------------------------------------------------------------------------------------- */

enum { TIMES = 40, MOST_BUFFERS = 120, MOST_BYTES = 5000 };

static size_t most_living(const struct memory_layout *layout, int times) {
    size_t most = 0;
    for (int time = 0; time < times; time++) {
        size_t living = memory_living(layout, time);
        most = living > most ? living : most;
    }
    return most;
}

static void check_apart(const struct memory_layout *layout, size_t all) {
    for (int i = 0; i < layout->count; i++) {
        const struct memory_buffer *a = &layout->buffers[i];
        ck_assert_uint_eq(a->offset % MEMORY_ALIGNMENT, 0);
        ck_assert_uint_le(a->offset + a->bytes, all);
        for (int j = 0; j < i; j++) {
            const struct memory_buffer *b = &layout->buffers[j];
            bool live_together = a->first <= b->last && b->first <= a->last;
            bool overlap = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            ck_assert_msg(!live_together || !overlap, "buffer %d at %zu and buffer %d at %zu", i, a->offset, j,
                          b->offset);
        }
    }
}

START_TEST(buffers_that_live_together_do_not_overlap) {
    struct rng rng = rng_stream(1, RNG_TEST, (uint64_t)_i, 0);
    struct arena arena = {0};
    struct memory_layout layout = {0};
    int count = 1 + (int)rng_below(&rng, MOST_BUFFERS);
    size_t sum = 0;
    for (int i = 0; i < count; i++) {
        size_t bytes = rng_below(&rng, MOST_BYTES);
        int buffer = memory_add(&layout, &arena, bytes), uses = 1 + (int)rng_below(&rng, 3);
        ck_assert_int_eq(buffer, i);
        for (int use = 0; use < uses; use++)
            memory_use(&layout, buffer, (int)rng_below(&rng, TIMES));
        sum += bytes + MEMORY_ALIGNMENT;
    }
    size_t all = memory_place(&layout);
    check_apart(&layout, all);
    ck_assert_uint_ge(all, most_living(&layout, TIMES));
    ck_assert_uint_le(all, sum);
    arena_free(&arena);
}
END_TEST

START_TEST(a_buffer_lives_from_its_first_use_to_its_last) {
    struct arena arena = {0};
    struct memory_layout layout = {0};
    int buffer = memory_add(&layout, &arena, 100);
    const int uses[] = {5, 9, 3, 4};
    for (int i = 0; i < 4; i++)
        memory_use(&layout, buffer, uses[i]);
    ck_assert_int_eq(layout.buffers[buffer].first, 3);
    ck_assert_int_eq(layout.buffers[buffer].last, 9);
    ck_assert_uint_eq(memory_living(&layout, 2), 0);
    ck_assert_uint_eq(memory_living(&layout, 3), 128);
    ck_assert_uint_eq(memory_living(&layout, 9), 128);
    ck_assert_uint_eq(memory_living(&layout, 10), 0);
    arena_free(&arena);
}
END_TEST

/* Activations: used going forward, and again on the way back, in the opposite order. */
START_TEST(nested_lives_take_no_more_than_the_most_that_live_at_once) {
    struct rng rng = rng_stream(2, RNG_TEST, (uint64_t)_i, 0);
    struct arena arena = {0};
    struct memory_layout layout = {0};
    for (int time = 0; time < TIMES; time++) {
        int kept = memory_add(&layout, &arena, rng_below(&rng, MOST_BYTES));
        memory_use(&layout, kept, time);
        memory_use(&layout, kept, 2 * TIMES - time);
        int scratch = memory_add(&layout, &arena, rng_below(&rng, MOST_BYTES));
        memory_use(&layout, scratch, rng_below(&rng, 2) ? time : 2 * TIMES - time);
    }
    size_t all = memory_place(&layout);
    check_apart(&layout, all);
    ck_assert_uint_eq(all, most_living(&layout, 2 * TIMES + 1));
    arena_free(&arena);
}
END_TEST

/* --- Networks ---------------------------------------------------------------------------------------------------- */

static struct experiment experiment_of(const char *network) {
    static const char data[] =
        "data: {type: synthetic, height: 16, width: 16, channels: 3, train_images: 8, test_images: 8, classes: 5}\n"
        "train: {iterations: 1, batch_size: 6, threads: 2}\n";
    struct text text = {0};
    struct diagnostics diags = {0};
    struct experiment experiment;
    text_printf(&text, "%snetwork: %s\n", data, network);
    bool read = experiment_parse(&experiment, "test", text.data, NULL, 0, &diags);
    ck_assert_msg(read, "%s", diags.text.data);
    text_free(&text);
    text_free(&diags.text);
    return experiment;
}

static const char *const networks[] = {
    "{type: plain, depth: 6, widths: [16, 32, 16]}",
    "{type: plain, depth: 3, widths: [8, 7, 5], normalization: both, operator: {angular: learnable_sigmoid}}",
    "{type: resnet, depth: 14, widths: [16, 32, 48]}",
    "{type: imagenet_resnet, widths: [16, 16, 32, 32]}",
    "{layers: [{type: conv, filters: 8, padding: 1}, relu, {type: residual, body: [{type: residual, body: "
    "[{type: conv, filters: 8, padding: 1}]}]}, {type: residual, body: [{type: max_pool, kernel: 3, stride: 1, "
    "padding: 1}]}, relu, batch_norm, {type: residual, body: [batch_norm, {type: sphere_conv, filters: 12, padding: "
    "1}], shortcut: [{type: conv, kernel: 1, filters: 12}]}, {type: avg_pool, global: true}, flatten, {type: dense, "
    "units: 5}]}",
    "{layers: [{type: residual, body: [{type: conv, filters: 3, padding: 1}, relu]}, batch_norm, {type: residual, "
    "body: "
    "[relu, {type: conv, filters: 3, padding: 1, bias: true}, batch_norm]}, relu, flatten, {type: dense, units: 5}, "
    "batch_norm]}",
};

enum { NETWORKS = sizeof networks / sizeof *networks };

static struct model_request request_of(const struct experiment *e) {
    return (struct model_request){
        .layers = &e->layers,
        .in = {e->shape.height, e->shape.width, e->shape.channels, false},
        .classes = e->shape.classes,
        .batch = e->train.batch_size,
        .threads = 2,
    };
}

static void plan_model(struct model *model, const struct experiment *e, bool forward_only) {
    struct diagnostics diags = {0};
    struct model_request request = request_of(e);
    request.forward_only = forward_only;
    ck_assert_msg(model_plan(model, &request, &diags), "%s", diags.text.data);
    text_free(&diags.text);
}

static void allocate_model(struct model *model) {
    struct error err;
    ck_assert_msg(model_allocate(model, &err), "%s", err.text);
    model_draw(model, 3);
}

static struct array images_of(const struct experiment *e) {
    struct rng rng = rng_stream(3, RNG_TEST, 0, 0);
    return array_random(&rng, (size_t)e->train.batch_size * (size_t)e->shape.height * (size_t)e->shape.width *
                                  (size_t)e->shape.channels);
}

static struct array logits_of(struct model *model, const struct array *images, enum step_mode mode) {
    struct array logits = array_unwritten((size_t)model->batch * shape_size(&model->chain.out));
    const real *found = model_forward(model, model_step(model, model->batch, mode), images->data);
    memcpy(logits.data, found, logits.count * sizeof *found);
    return logits;
}

/* Every buffer lives all the time, so that none shares memory with another. */
static void keep_apart(struct model *model) {
    struct memory_layout *memory = &model->planner.memory;
    for (int i = 0; i < memory->count; i++) {
        memory_use(memory, i, 0);
        memory_use(memory, i, 1 << 20);
    }
}

static void backward(struct model *model, const struct array *images, const struct array *logits) {
    memcpy(model->head.scores_gradient, logits->data, logits->count * sizeof *logits->data);
    model_backward(model, model_step(model, model->batch, STEP_TRAIN), images->data);
}

START_TEST(shared_memory_changes_no_bit_of_a_step) {
    struct experiment e = experiment_of(networks[_i]);
    struct array images = images_of(&e);
    struct model shared, apart;
    plan_model(&shared, &e, false);
    plan_model(&apart, &e, false);
    keep_apart(&apart);
    ck_assert_uint_lt(plan_sizes(&shared.planner).region, plan_sizes(&apart.planner).region);
    allocate_model(&shared);
    allocate_model(&apart);
    struct array logits = logits_of(&shared, &images, STEP_TRAIN);
    struct array expected = logits_of(&apart, &images, STEP_TRAIN);
    check_same_bits("logits", &logits, &expected);
    backward(&shared, &images, &logits);
    backward(&apart, &images, &logits);
    for (int i = 0; i < shared.tensor_count; i++) {
        const struct tensor *tensor = shared.tensors[i], *other = apart.tensors[i];
        if (tensor->trained)
            check_same_bits(tensor->name, &(struct array){tensor->count, tensor->grad},
                            &(struct array){other->count, other->grad});
    }
    model_free(&shared);
    model_free(&apart);
    array_free("images", &images);
    array_free("logits", &logits);
    array_free("logits", &expected);
    experiment_free(&e);
}
END_TEST

START_TEST(a_plan_for_evaluation_alone_is_smaller_and_computes_the_same) {
    struct experiment e = experiment_of(networks[_i]);
    struct array images = images_of(&e);
    struct model whole, forward;
    plan_model(&whole, &e, false);
    plan_model(&forward, &e, true);
    struct plan_sizes whole_sizes = plan_sizes(&whole.planner), sizes = plan_sizes(&forward.planner);
    ck_assert_uint_lt(sizes.region, whole_sizes.region);
    ck_assert_uint_eq(sizes.grads, 0);
    ck_assert_uint_eq(sizes.next, 0);
    ck_assert_uint_eq(sizes.trained, whole_sizes.trained);
    allocate_model(&whole);
    allocate_model(&forward);
    struct array logits = logits_of(&forward, &images, STEP_EVALUATE);
    struct array expected = logits_of(&whole, &images, STEP_EVALUATE);
    check_same_bits("logits", &logits, &expected);
    model_free(&whole);
    model_free(&forward);
    array_free("images", &images);
    array_free("logits", &logits);
    array_free("logits", &expected);
    experiment_free(&e);
}
END_TEST

/* A sum for each image at most, and none where nothing is trained. */
START_TEST(a_dense_layer_plans_few_copies_of_its_weights) {
    enum { UNITS = 2000, WEIGHTS = 768 * UNITS };
    for (int batch = 1; batch <= 3; batch++) {
        struct experiment e = experiment_of("{layers: [flatten, {type: dense, units: 2000}, {type: dense, units: 5}]}");
        struct model model;
        e.train.batch_size = batch;
        plan_model(&model, &e, false);
        ck_assert_uint_ge(plan_sizes(&model.planner).region, (size_t)batch * WEIGHTS);
        ck_assert_uint_lt(plan_sizes(&model.planner).region, (size_t)batch * WEIGHTS + WEIGHTS / 4);
        model_free(&model);
        plan_model(&model, &e, true);
        ck_assert_uint_lt(plan_sizes(&model.planner).region, WEIGHTS / 4);
        model_free(&model);
        experiment_free(&e);
    }
}
END_TEST

/* What lives at once is what no allocator can do without. */
static void check_near_least(const struct experiment *e, bool forward_only, const char *path) {
    struct model model;
    plan_model(&model, e, forward_only);
    size_t least = most_living(&model.planner.memory, model.planner.now + 1) / sizeof(real);
    size_t region = plan_sizes(&model.planner).region;
    ck_assert_msg(region <= least + least / 50, "%s: %zu reals where %zu live at once", path, region, least);
    model_free(&model);
}

START_TEST(plans_of_the_shipped_specs_are_close_to_the_least_possible) {
    glob_t files;
    ck_assert_int_eq(glob("configs/*.yaml", 0, NULL, &files), 0);
    ck_assert_uint_gt(files.gl_pathc, 5);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct experiment e;
        struct diagnostics diags = {0};
        ck_assert_msg(experiment_read(&e, files.gl_pathv[i], NULL, 0, &diags), "%s", diags.text.data);
        check_near_least(&e, false, files.gl_pathv[i]);
        check_near_least(&e, true, files.gl_pathv[i]);
        experiment_free(&e);
    }
    globfree(&files);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

static void start(void) {
    gemm_setup();
    threads_use(2);
}

Suite *test_suite(void) {
    Suite *suite = suite_create("memory plan");
    TCase *buffers = tcase_create("buffers");
    tcase_add_loop_test(buffers, buffers_that_live_together_do_not_overlap, 0, 200);
    tcase_add_test(buffers, a_buffer_lives_from_its_first_use_to_its_last);
    tcase_add_loop_test(buffers, nested_lives_take_no_more_than_the_most_that_live_at_once, 0, 50);
    suite_add_tcase(suite, buffers);
    TCase *plans = tcase_create("networks");
    tcase_add_checked_fixture(plans, start, NULL);
    tcase_set_timeout(plans, 60);
    tcase_add_loop_test(plans, shared_memory_changes_no_bit_of_a_step, 0, NETWORKS);
    tcase_add_loop_test(plans, a_plan_for_evaluation_alone_is_smaller_and_computes_the_same, 0, NETWORKS);
    tcase_add_test(plans, a_dense_layer_plans_few_copies_of_its_weights);
    tcase_add_test(plans, plans_of_the_shipped_specs_are_close_to_the_least_possible);
    suite_add_tcase(suite, plans);
    return suite;
}
