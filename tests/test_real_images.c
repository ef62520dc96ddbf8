/* Every operator learns real images, and convolutions are near enough to the direct sum on what a network makes of
 * them. Needs SPHERENET_TEST_DATA, a folder with cifar10-mini, in the official binary format; without it the suite says
 * so and passes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/gemm.h"
#include "loss/loss.h"
#include "machine/threads.h"
#include "support/convolution.h"
#include "support/suite.h"
#include "train/evaluate.h"
#include "train/trainer.h"

/* --- A network that is trained on CIFAR-10 ----------------------------------------------------------------------- */

struct training {
    struct experiment experiment;
    struct trainer trainer;
    struct dataset dataset;
    struct loader *loader;
};

static void training_open(struct training *t, const char *spec, const char *const *sets, int count) {
    struct diagnostics diags = {0};
    struct error err;
    bool parsed = experiment_parse(&t->experiment, "images.yaml", spec, sets, count, &diags);
    ck_assert_msg(parsed, "%s", diags.text.data);
    ck_assert_msg(dataset_load(&t->dataset, t->experiment.data, 1, &err), "%s", err.text);
    ck_assert_msg(trainer_open(&t->trainer, &t->experiment, &err), "%s", err.text);
    t->loader = loader_train(&t->dataset, experiment_data(&t->experiment), 1, t->experiment.train.batch_size, 0, &err);
    ck_assert_ptr_nonnull(t->loader);
}

static void training_close(struct training *t) {
    loader_close(t->loader);
    trainer_close(&t->trainer);
    dataset_free(&t->dataset);
    experiment_free(&t->experiment);
}

static void set_data_path(char *set, size_t size) {
    snprintf(set, size, "data.path=%s/cifar10-mini", getenv("SPHERENET_TEST_DATA"));
}

/* --- Learning ---------------------------------------------------------------------------------------------------- */

enum { STEPS = 120, SETS = 3 };

static const char *const operators[] = {"cosine", "linear", "sigmoid", "learnable_sigmoid"};

static const char spec[] = "data: {type: cifar10, train_limit: 2000, test_limit: 500, flip: true}\n"
                           "network: {type: plain, depth: 3, widths: [16, 24, 32], features: 32,\n"
                           "          batch_norm: {decay: 0.9}}\n"
                           "optimizer: {type: adam, learning_rate: 3e-3}\n"
                           "train: {iterations: 120, batch_size: 32}\n";

static double accuracy_after_training(const char *const *sets, int count) {
    struct training t;
    struct evaluation result;
    struct error err;
    training_open(&t, spec, sets, count);
    for (int i = 0; i < STEPS; i++)
        trainer_step(&t.trainer, loader_next(t.loader));
    ck_assert(
        evaluate_split(&t.experiment, &t.trainer.model, &t.trainer.loss, &t.dataset, SPLIT_TEST, &result, NULL, &err));
    evaluation_free(&result);
    training_close(&t);
    return result.accuracy;
}

/* Chance is 0.1; these short runs reach 0.3 to 0.4. */
START_TEST(learns) {
    char path[4096], angular[128], magnitude[128];
    const char *sets[SETS] = {path, angular, magnitude};
    set_data_path(path, sizeof path);
    snprintf(angular, sizeof angular, "network.operator.angular=%s", operators[_i % 4]);
    snprintf(magnitude, sizeof magnitude, "network.operator.magnitude=%s", _i < 4 ? "sphere" : "product");
    double accuracy = accuracy_after_training(sets, SETS);
    ck_assert_msg(accuracy > 0.22, "%s, %s: test accuracy %.3f", angular, magnitude, accuracy);
}
END_TEST

/* --- Convolutions on real activations ---------------------------------------------------------------------------- */

enum { IMAGES = 4, WARM_UP = 5 };

static const char sphere_net[] = "data: {type: cifar10, train_limit: 200, test_limit: 1}\n"
                                 "network: {type: plain, depth: 6, widths: [128, 192, 256],\n"
                                 "          operator: {magnitude: sphere, angular: cosine}}\n"
                                 "train: {iterations: 5, batch_size: 4}\n";

/* 3x3, with as many filters as channels, and images of 32x32, 16x16 and 8x8. */
static const char *const inner[] = {"conv1_1", "conv2_1", "conv3_1"};

static const struct {
    const char *name;
    enum conv_choice algorithm;
} ways[] = {{"transform domain", CONV_WINOGRAD}, {"im2col", CONV_IM2COL}};

static int fusion_of(const struct chain *chain, const char *layer) {
    for (int f = 1; f < chain->fusion_count; f++)
        if (strcmp(chain->fusions[f].layer->name, layer) == 0)
            return f;
    ck_abort_msg("no fusion begins with %s", layer);
}

static const real *weights_of(const struct model *net, const char *layer) {
    char name[64];
    snprintf(name, sizeof name, "%s.weight", layer);
    for (int i = 0; i < net->tensor_count; i++)
        if (strcmp(net->tensors[i]->name, name) == 0)
            return net->tensors[i]->value;
    ck_abort_msg("no tensor %s", name);
}

/* Sets the gradient of the fusion's output, and goes no further back: memory of gradients that are done with is used
 * again. */
static void backward_to(struct training *t, int fusion, const struct batch *batch) {
    struct chain tail = t->trainer.model.chain;
    struct step pass = model_step(&t->trainer.model, batch->count, STEP_TRAIN);
    const struct head *head = &t->trainer.model.head;
    loss_evaluate(&t->trainer.loss, &pass, head, batch->labels);
    tail.fusions += fusion;
    tail.fusion_count -= fusion;
    chain_backward(&tail, &pass, NULL, head->scores_gradient, &tail.fusions[-1].view);
}

static struct array array_copy(const real *values, size_t count) {
    struct array array = array_new(count);
    memcpy(array.data, values, count * sizeof *values);
    return array;
}

static struct array activations(const struct view *view, int positions) {
    struct array values = array_unwritten((size_t)positions * (size_t)view->channels);
    view_read(view, 0, positions, values.data, NULL);
    return values;
}

static struct array gradients(const struct fusion *fusion, int positions) {
    int channels = fusion->view.channels;
    struct array values = array_unwritten((size_t)positions * (size_t)channels);
    const real *scale_d = fusion->coefficients;
    ck_assert_ptr_nonnull(scale_d); /* the layer is normalised */
    struct gradient gradient = {fusion->gradient, scale_d, scale_d + channels, scale_d + 2 * channels, fusion->view};
    gradient_read(&gradient, 0, positions, values.data);
    return values;
}

static struct conv_geometry geometry_of(const struct layer *layer) {
    struct conv_geometry g = {.height = layer->in.height,
                              .width = layer->in.width,
                              .channels = layer->in.channels,
                              .kernel_h = 3,
                              .kernel_w = 3,
                              .stride = 1,
                              .padding = 1,
                              .filters = layer->out.channels};
    ck_assert(conv_geometry_complete(&g));
    ck_assert_int_eq(g.out_height, layer->out.height);
    return g;
}

/* What a layer convolves in a step on real images, once the network has been trained a little. */
static struct conv_geometry real_operands(struct conv_results *c, const char *layer) {
    struct training t;
    char path[4096];
    set_data_path(path, sizeof path);
    training_open(&t, sphere_net, (const char *[]){path}, 1);
    for (int i = 0; i < WARM_UP; i++)
        trainer_step(&t.trainer, loader_next(t.loader));
    struct model *net = &t.trainer.model;
    const struct batch *batch = loader_next(t.loader);
    ck_assert_int_eq(batch->count, IMAGES);
    model_forward(net, model_step(net, IMAGES, STEP_TRAIN), batch->images);
    int f = fusion_of(&net->chain, layer);
    struct conv_geometry g = geometry_of(net->chain.fusions[f].layer);
    c->x = activations(&net->chain.fusions[f - 1].view, IMAGES * g.height * g.width);
    c->w = array_copy(weights_of(net, layer), (size_t)(g.filters * conv_patch(&g)));
    backward_to(&t, f, batch);
    c->dy = gradients(&net->chain.fusions[f], conv_positions(&g, IMAGES));
    c->r = array_new((size_t)conv_positions(&g, IMAGES));
    training_close(&t);
    return g;
}

static void check_way(struct conv_results *c, const struct conv_geometry *g, const char *layer, int way,
                      const double *y, const double *dx, const double *dw) {
    conv_compute(c, g, ways[way].algorithm, IMAGES, 2);
    double forward = relative_error(&c->y, y), data = relative_error(&c->dx, dx);
    double weights = relative_error(&c->dw, dw);
    printf("%s, %d to %d channels at %dx%d, %s: relative L2 error %.2e forward, %.2e data gradient, %.2e weight "
           "gradient\n",
           layer, g->channels, g->filters, g->height, g->width, ways[way].name, forward, data, weights);
    fflush(stdout);
    ck_assert(forward > 0 && data > 0 && weights > 0); /* floats do round: without any error, all were zeros */
    ck_assert_double_le(forward, 1e-5);
    ck_assert_double_le(data, 1e-4);
    ck_assert_double_le(weights, 1e-4);
    conv_free_results(c);
}

START_TEST(transform_domain_on_real_activations) {
    struct conv_results c;
    struct conv_geometry geometry = real_operands(&c, inner[_i]);
    struct ref_geometry g = reference_of(&geometry);
    double *x = doubles(&c.x), *w = doubles(&c.w), *dy = doubles(&c.dy);
    double *y = doubles(&c.dy), *dx = doubles(&c.x), *dw = doubles(&c.w);
    ref_convolution(&g, IMAGES, y, x, w);
    ref_backward_data(&g, IMAGES, dx, dy, w);
    ref_backward_weights(&g, IMAGES, dw, x, dy);
    for (int way = 0; way < COUNT(ways); way++)
        check_way(&c, &geometry, inner[_i], way, y, dx, dw);
    double *all[] = {x, w, dy, y, dx, dw};
    for (int i = 0; i < COUNT(all); i++)
        free(all[i]);
    conv_free_given(&c);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

/* For each test, in its own process: OpenMP that a process has used is not to be used by its children. */
static void start(void) {
    gemm_setup();
    threads_use(2);
}

Suite *test_suite(void) {
    Suite *suite = suite_create("real images");
    const char *data = getenv("SPHERENET_TEST_DATA");
    char path[4096];
    snprintf(path, sizeof path, "%s/cifar10-mini/test_batch.bin", data ? data : "");
    if (!data || access(path, R_OK)) {
        printf("real images: skipped: SPHERENET_TEST_DATA names no folder with cifar10-mini\n");
        return suite;
    }
    TCase *learning = suite_group(suite, "learning", 300, start, NULL);
    tcase_add_loop_test(learning, learns, 0, 5);
    TCase *convolutions = suite_group(suite, "convolutions", 300, start, NULL);
    tcase_add_loop_test(convolutions, transform_domain_on_real_activations, 0, COUNT(inner));
    return suite;
}
