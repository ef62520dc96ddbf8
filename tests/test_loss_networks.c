/* Angular losses at the end of whole networks: they stay finite, the trainer steps as it should, the specs of networks
 * that they cannot stand behind are refused; in double also gradients against differences. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "machine/threads.h"
#include "support/array.h"
#include "support/loss_case.h"
#include "train/trainer.h"

/* --- Whole networks ---------------------------------------------------------------------------------------------- */

/* A network for an angular loss, and what a step of the trainer hands from one to the other. */
struct wired {
    struct experiment experiment;
    struct model net;
    struct loss loss;
    int n;
    real *images;
    int32_t labels[8];
};

/* network: "data: ..." and "network: ...", with three classes */
static void wired_open(struct wired *w, const char *network, int n) {
    struct text spec = {0};
    struct diagnostics diags = {0};
    struct error err;
    memset(w, 0, sizeof *w);
    text_printf(&spec, "%s\nloss: w_softmax\ntrain: {iterations: 1, batch_size: %d, threads: 1}\n", network, n);
    bool parsed = experiment_parse(&w->experiment, "test", spec.data, NULL, 0, &diags);
    EXPECT(parsed && experiment_plan(&w->experiment, STEP_TRAIN, &w->net, &w->loss, &diags), "%s%s", spec.data,
           diags.text.data);
    EXPECT(model_allocate(&w->net, &err), "%s", err.text);
    model_draw(&w->net, 3);
    EXPECT(w->net.head.lengths_gradient, "%s: no gradient of lengths", spec.data);
    w->n = n;
    const struct dataset *shape = &w->experiment.shape;
    w->images = mem_alloc((size_t)(n * shape->height * shape->width * shape->channels) * sizeof(real));
    text_free(&spec);
}

static void wired_close(struct wired *w) {
    model_free(&w->net);
    experiment_free(&w->experiment);
    free(w->images);
}

static double wired_loss(struct wired *w, struct choice loss, int64_t iteration, bool gradient) {
    const real *scores = model_forward(&w->net, model_step(&w->net, w->n, STEP_TRAIN), w->images);
    struct loss_input in = {w->n, w->experiment.shape.classes, scores, w->net.head.lengths, w->labels, NULL};
    struct loss_gradient to = {w->net.head.scores_gradient, w->net.head.lengths_gradient, NULL};
    return lone_loss(loss, &in, iteration, gradient ? &to : NULL);
}

static const struct tensor *tensor_called(const struct model *net, const char *name) {
    for (int i = 0; i < net->tensor_count; i++)
        if (strcmp(net->tensors[i]->name, name) == 0)
            return net->tensors[i];
    ck_abort_msg("no tensor %s", name);
}

/* Weights so long that epsilon is lost beside their square, at right angles or opposite to each other. */
static const real class_weights[] = {600, 800, -800, 600, -600, -800};

/* Features: none, huge ones, and ones exactly along or against the weights of their own class or of another. */
static const real planar_images[] = {0, 0, (real)1e15, -(real)1e15, 6e3, 8e3, -3e3, -4e3, 8e3, -6e3, 3e3, 4e3};
static const int32_t planar_labels[] = {0, 1, 0, 0, 1, 2};

static const char *const planar_networks[] = {
    "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
    "network: {type: layers, layers: [{type: dense, name: score, units: 3, bias: false}]}",
    "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
    "network: {type: layers, layers: [{type: dense, name: feature, units: 2, bias: false}, "
    "{type: dense, name: score, units: 3, bias: false}]}",
};

static struct wired planar[COUNT(planar_networks)];

static void planar_open(struct wired *w, const char *network) {
    wired_open(w, network, COUNT(planar_labels));
    memcpy(w->images, planar_images, sizeof planar_images);
    memcpy(w->labels, planar_labels, sizeof planar_labels);
    memcpy(tensor_called(&w->net, "score.weight")->value, class_weights, sizeof class_weights);
    if (network == planar_networks[1])
        memcpy(tensor_called(&w->net, "feature.weight")->value, (real[]){1, 0, 0, 1}, 4 * sizeof(real));
}

/* That the images are what they are meant to be, up to epsilon, which is 1e-10 of the weights' squares. */
static void check_planar_scores(struct wired *w) {
    static const double expected[] = {
        0, 0, 0, -0.2 / M_SQRT2, -1.4 / M_SQRT2, 0.2 / M_SQRT2, 1, 0, -1, -1, 0, 1, 0, -1, 0, 1, 0, -1};
    const real *scores = model_forward(&w->net, model_step(&w->net, w->n, STEP_TRAIN), w->images);
    for (int i = 0; i < COUNT(expected); i++)
        EXPECT(fabs(scores[i] - expected[i]) <= 1e-10 + 8 * REAL_EPSILON, "scores[%d] is %.17g, expected %.17g", i,
               scores[i], expected[i]);
}

static void check_planar(struct wired *w, const struct loss_case *c, int64_t iteration) {
    double value = wired_loss(w, c->loss, iteration, true);
    EXPECT(isfinite(value), "%s: the loss is %g", c->yaml, value);
    model_backward(&w->net, model_step(&w->net, w->n, STEP_TRAIN), w->images);
    for (int i = 0; i < w->net.tensor_count; i++) {
        const struct tensor *t = w->net.tensors[i];
        for (size_t j = 0; j < t->count; j++)
            EXPECT(isfinite(t->grad[j]), "%s: gradient of %s[%zu] is %g", c->yaml, t->name, j, t->grad[j]);
    }
}

static void check_planars(const struct loss_case *c) {
    for (int i = 0; i < COUNT(planar_networks); i++) {
        check_planar(&planar[i], c, 1);
        check_planar(&planar[i], c, 1000000);
    }
}

static void planar_open_all(void) {
    for (int i = 0; i < COUNT(planar_networks); i++) {
        planar_open(&planar[i], planar_networks[i]);
        check_planar_scores(&planar[i]);
    }
}

static void planar_close_all(void) {
    for (int i = 0; i < COUNT(planar_networks); i++)
        wired_close(&planar[i]);
}

START_TEST(networks_stay_finite) {
    planar_open_all();
    each_case(_i, check_planars);
    planar_close_all();
}
END_TEST

/* Features whose squares overflow, though no dot product does: their length is infinite. */
START_TEST(networks_stay_finite_where_squares_overflow) {
    planar_open_all();
    for (int i = 0; i < COUNT(planar_networks); i++) {
        planar[i].images[2] = 4 * (real)sqrt(REAL_LARGEST);
        planar[i].images[3] = -planar[i].images[2];
    }
    each_case(_i, check_planars);
    planar_close_all();
}
END_TEST

/* --- The trainer ------------------------------------------------------------------------------------------------- */

static const char trainer_spec[] = "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
                                   "network: {type: layers, layers: [{type: dense, name: feature, units: 2}, "
                                   "{type: dense, name: score, units: 3, bias: false}]}\n"
                                   "loss: {type: a_softmax, annealing: {base: 10, gamma: 1, power: 2, minimum: 0.5}}\n"
                                   "optimizer: {type: sgd, learning_rate: 0.5, momentum: 0}\n"
                                   "regularizer: {weight_decay: 0, orthogonality: 0}\n"
                                   "train: {iterations: 4, batch_size: 6}\n";

/* One step against a loss and a backward pass of our own. */
static void check_step(struct trainer *trainer, const struct batch *batch, int64_t iteration) {
    static const struct ref_annealing annealing = {10, 1, 2, 0.5};
    struct model *net = &trainer->model;
    const struct head *head = &net->head;
    const int count = net->tensor_count;
    real *expected[8];
    struct choice loss = trainer->experiment->loss;
    struct loss_input in = {
        6, 3, model_forward(net, model_step(net, 6, STEP_TRAIN), batch->images), head->lengths, batch->labels, NULL};
    double fit =
        lone_loss(loss, &in, iteration, &(struct loss_gradient){head->scores_gradient, head->lengths_gradient, NULL});
    model_backward(net, model_step(net, 6, STEP_TRAIN), batch->images);
    for (int i = 0; i < count; i++) {
        const struct tensor *t = net->tensors[i];
        expected[i] = mem_alloc(t->count * sizeof(real));
        for (size_t j = 0; j < t->count; j++)
            expected[i][j] = t->value[j] - (real)0.5 * t->grad[j];
    }
    struct step_result result = trainer_step(trainer, batch);
    EXPECT(result.fit == fit, "iteration %d: fit %.17g, expected %.17g", (int)iteration, result.fit, fit);
    double lambda = ref_lambda(&annealing, (double)iteration);
    EXPECT(fabs(result.lambda - lambda) <= 1e-14 * lambda, "lambda is %.17g, expected %.17g", result.lambda, lambda);
    for (int i = 0; i < count; i++) {
        const struct tensor *t = net->tensors[i];
        for (size_t j = 0; j < t->count; j++)
            EXPECT(fabs(t->value[j] - expected[i][j]) <= 8 * REAL_EPSILON * (1 + fabs(expected[i][j])),
                   "iteration %d: %s[%zu] is %.9g, expected %.9g", (int)iteration, t->name, j, t->value[j],
                   expected[i][j]);
        free(expected[i]);
    }
}

START_TEST(trainer_steps_with_a_margin) {
    struct experiment experiment;
    struct trainer trainer;
    struct diagnostics diags = {0};
    struct error err;
    struct rng rng = rng_stream(41, RNG_TEST, 0, 0);
    real images[12];
    int32_t labels[] = {0, 1, 2, 2, 1, 0};
    EXPECT(experiment_parse(&experiment, "test", trainer_spec, NULL, 0, &diags), "%s", diags.text.data);
    EXPECT(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    for (int64_t iteration = 1; iteration <= 4; iteration++) {
        for (int i = 0; i < COUNT(images); i++)
            images[i] = (real)(3 * rng_normal(&rng));
        check_step(&trainer, &(struct batch){6, images, labels}, iteration);
    }
    trainer_close(&trainer);
    experiment_free(&experiment);
}
END_TEST

enum { K_IMAGES = 6, K_CLASSES = 3 };

/* One step of plain gradient descent takes k where its gradient says, and k is in the checkpoint's tensors. */
START_TEST(k_takes_a_step) {
    static const char *const shared[] = {"filter", "layer"};
    struct experiment experiment;
    struct trainer trainer;
    struct diagnostics diags = {0};
    struct error err;
    struct text spec = {0};
    real images[K_IMAGES * 2] = {1, 2, -1, 1, 2, -2, 1, 0, 0, 1, -1, -1}, dk[K_CLASSES];
    int32_t labels[K_IMAGES] = {0, 1, 2, 2, 1, 0};
    text_printf(&spec,
                "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
                "network: {type: layers, layers: [{type: dense, name: score, units: 3, bias: false}]}\n"
                "loss: {type: w_softmax, angular: learnable_sigmoid, initial_k: -0.4, k_shared: %s}\n"
                "optimizer: {type: sgd, learning_rate: 0.5, momentum: 0}\n"
                "regularizer: {weight_decay: 0, orthogonality: 0}\n"
                "train: {iterations: 4, batch_size: 6}\n",
                shared[_i]);
    EXPECT(experiment_parse(&experiment, "test", spec.data, NULL, 0, &diags), "%s", diags.text.data);
    EXPECT(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    const struct head *head = &trainer.model.head;
    const struct tensor *t = trainer.model.tensors[1];
    struct batch batch = {K_IMAGES, images, labels};
    struct loss_input in = {K_IMAGES,
                            K_CLASSES,
                            model_forward(&trainer.model, model_step(&trainer.model, K_IMAGES, STEP_TRAIN), images),
                            head->lengths,
                            labels,
                            t->value};
    lone_loss(experiment.loss, &in, 1, &(struct loss_gradient){head->scores_gradient, head->lengths_gradient, dk});
    int count = _i ? 1 : K_CLASSES;
    ck_assert_str_eq(t->name, "score.k");
    ck_assert_uint_eq(t->count, (size_t)count);
    trainer_step(&trainer, &batch);
    for (int i = 0; i < count; i++) {
        EXPECT(dk[i] != 0, "no gradient");
        EXPECT(fabs((double)(t->value[i] - ((real)-0.4 - (real)0.5 * dk[i]))) < 1e-7, "k[%d] is %.9g after -%.9g", i,
               (double)t->value[i], 0.5 * (double)dk[i]);
    }
    trainer_close(&trainer);
    experiment_free(&experiment);
    text_free(&spec);
}
END_TEST

#ifdef SN_DOUBLE

/* --- Gradients of whole networks --------------------------------------------------------------------------------- */

static const char *const networks[] = {
    "data: {type: synthetic, height: 4, width: 3, channels: 2, classes: 3}\n"
    "network: {type: layers, layers: [{type: sphere_conv, filters: 4, operator: {angular: sigmoid}}, "
    "{type: dense, name: feature, units: 2}, {type: dense, name: score, units: 3, bias: false}]}",
    /* the feature is a map, and no layer before it is flat */
    "data: {type: synthetic, height: 4, width: 3, channels: 2, classes: 3}\n"
    "network: {type: layers, layers: [{type: conv, filters: 5, kernel: 2, bias: true}, "
    "{type: dense, name: score, units: 3, bias: false}]}",
    /* the feature is normalised itself, so that all lengths are much the same */
    "data: {type: synthetic, height: 4, width: 3, channels: 2, classes: 3}\n"
    "network: {type: layers, layers: [{type: dense, name: feature, units: 2, operator: {magnitude: sphere}}, "
    "{type: sphere_norm}, {type: dense, name: score, units: 3, bias: false, operator: {epsilon: 0.01}}]}",
    /* maps in front of the classifier */
    "data: {type: synthetic, height: 4, width: 3, channels: 2, classes: 3}\n"
    "network: {type: layers, layers: [{type: dense, name: feature, units: 6}, {type: batch_norm}, {type: relu}, "
    "{type: dense, name: score, units: 3, bias: false}]}",
    /* in parentheses, or a compiler takes it for two specs whose comma was forgotten */
    ("data: {type: synthetic, height: 8, width: 8, channels: 2, classes: 3}\n"
     "network: {type: plain, depth: 3, widths: [2, 3, 3], features: 2}"),
};

static void random_batch(struct wired *w) {
    const struct dataset *shape = &w->experiment.shape;
    struct rng rng = rng_stream(31, RNG_TEST, 0, 0);
    fill(&rng, w->images, (size_t)(w->n * shape->height * shape->width * shape->channels), 1);
    for (int i = 0; i < w->n; i++)
        w->labels[i] = i % 3;
    for (int i = 0; i < w->net.tensor_count; i++) {
        const struct tensor *t = w->net.tensors[i];
        if (t->trained && t->role == ROLE_NORM)
            fill(&rng, t->value, t->count, 1);
    }
}

static double norm(const real *values, int count, double epsilon) {
    double sum = epsilon;
    for (int i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sqrt(sum);
}

/* The classifier's part of the network from its definition: cosines and lengths of the features the net shows. */
static void check_wired_value(struct wired *w, const struct loss_case *c, int64_t iteration) {
    int width = w->net.head.width, classes = 3;
    const struct chain *chain = &w->net.chain;
    const struct dense_config *classifier = chain->layers[chain->count - 1].choice.config;
    double epsilon = classifier->operation.epsilon, cosines[8 * 3], lengths[8];
    real *features = mem_alloc((size_t)(w->n * width) * sizeof *features);
    const real *weights = tensor_called(&w->net, "score.weight")->value;
    double found = wired_loss(w, c->loss, iteration, false);
    model_features(&w->net, w->n, w->images, features);
    for (int i = 0; i < w->n; i++) {
        lengths[i] = norm(features + i * width, width, epsilon);
        for (int j = 0; j < classes; j++) {
            double dot = 0;
            for (int e = 0; e < width; e++)
                dot += features[i * width + e] * weights[j * width + e];
            cosines[i * classes + j] = dot / (lengths[i] * norm(weights + j * width, width, epsilon));
        }
    }
    struct ref_angular_loss loss = reference(c, iteration);
    double expected = ref_angular_loss(&loss, w->n, classes, cosines, lengths, w->labels);
    EXPECT(fabs(found - expected) <= 1e-12 * (1 + fabs(expected)), "%s: %.17g, expected %.17g", c->yaml, found,
           expected);
    free(features);
}

/* Steps of 1e-5 in weights around 1: what they miss is below 1e-9 of the curvature, and a loss of up to 100 is rounded
 * to 1e-14, 1e-9 of the step. */
static void check_tensor(struct wired *w, const struct loss_case *c, int64_t iteration, const struct tensor *t,
                         const real *found) {
    double scale = 0, step = 1e-5;
    for (size_t j = 0; j < t->count; j++)
        scale = fmax(scale, fabs(found[j]));
    for (size_t j = 0; j < t->count; j++) {
        double was = t->value[j];
        t->value[j] = was + step;
        double above = wired_loss(w, c->loss, iteration, false);
        t->value[j] = was - step;
        double below = wired_loss(w, c->loss, iteration, false), expected = (above - below) / (2 * step);
        t->value[j] = was;
        EXPECT(fabs(found[j] - expected) <= 1e-6 * scale + 1e-8, "%s: d / d %s[%zu] is %.15g, expected %.15g", c->yaml,
               t->name, j, found[j], expected);
    }
}

/* A copy of all gradients, to be freed. */
static real *gradients_of(const struct model *net) {
    real *copy = mem_alloc(plan_sizes(&net->planner).trained * sizeof *copy), *next = copy;
    for (int i = 0; i < net->tensor_count; i++)
        for (size_t j = 0; net->tensors[i]->trained && j < net->tensors[i]->count; j++)
            *next++ = net->tensors[i]->grad[j];
    return copy;
}

static void check_wired(struct wired *w, const struct loss_case *c, int64_t iteration) {
    check_wired_value(w, c, iteration);
    wired_loss(w, c->loss, iteration, true);
    model_backward(&w->net, model_step(&w->net, w->n, STEP_TRAIN), w->images);
    real *found = gradients_of(&w->net), *next = found;
    for (int i = 0; i < w->net.tensor_count; i++) {
        const struct tensor *t = w->net.tensors[i];
        if (t->trained) {
            check_tensor(w, c, iteration, t, next);
            next += t->count;
        }
    }
    free(found);
}

static struct wired wired;

static void check_network(const struct loss_case *c) {
    check_wired(&wired, c, 10);
}

START_TEST(gradients_of_networks) {
    for (int i = 0; i < COUNT(networks); i++) {
        wired_open(&wired, networks[i], 7);
        random_batch(&wired);
        each_case(_i, check_network);
        wired_close(&wired);
    }
}
END_TEST

#endif

/* --- Specs that cannot be ---------------------------------------------------------------------------------------- */

#define IMAGES_OF(SIZE) "data: {type: synthetic, height: " #SIZE ", width: " #SIZE ", channels: 2, classes: 3}\n"
#define LAYERS(LAST) IMAGES_OF(4) "network: {type: layers, layers: [{type: sphere_conv, filters: 4}, " LAST "]}\n"
#define CLASSIFIER "{type: dense, name: score, units: 3, bias: false}"
#define PLAIN(KEYS) IMAGES_OF(8) "network: {type: plain, depth: 3, widths: [4, 4, 4], features: 2" KEYS "}\n"

/* hints: where the mistake is, and words of what to do about it */
static const struct {
    const char *spec, *hints[3];
} mistakes[] = {
    {LAYERS("{type: dense, name: score, units: 3}") "loss: a_softmax",
     {"network.layers[1]", "a_softmax", "bias: false"}},
    {PLAIN(", classifier_bias: true") "loss: w_softmax", {"network", "w_softmax", "bias"}},
    {PLAIN(", classifier_operator: {magnitude: linear}") "loss: a_softmax",
     {"network", "a_softmax", "leave out network.classifier_operator"}},
    {PLAIN(", classifier_operator: {angular: linear}") "loss: ga_softmax",
     {"network", "ga_softmax", "leave out network.classifier_operator"}},
    {LAYERS("{type: dense, units: 3, bias: false, operator: {magnitude: linear}}") "loss: cosface",
     {"network.layers[1]", "cosface", "leave out network.classifier_operator, or the operator"}},
    {LAYERS(CLASSIFIER ", relu") "loss: arcface", {"network.layers[2]", "arcface", "dense layer at the end"}},
    {LAYERS(CLASSIFIER ", batch_norm") "loss: w_softmax", {"network.layers[2]", "w_softmax", "dense layer at the end"}},
    {LAYERS("{type: conv, filters: 3, kernel: 2}") "loss: ga_softmax",
     {"network.layers[1]", "ga_softmax", "dense layer at the end"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, margin: 2.5}", {"loss.margin", "2.5", "a whole number from 1 to 20"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, margin: 0}", {"loss.margin", "0", "a whole number from 1 to 20"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, label_smoothing: 0.1}",
     {"loss.label_smoothing", "a key of softmax, w_softmax alone", "annealing"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, angular: linear}", {"loss.angular", "expected one of", "annealing"}},
    {LAYERS(CLASSIFIER) "loss: {type: cosface, k: 0.3}", {"loss.k", "expected one of", "scale"}},
    {LAYERS(CLASSIFIER) "loss: {type: arcface, margin: 4}", {"loss.margin", "4", "from 0 to 3.14"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, annealing: {base: -1}}", {"loss.annealing.base", "-1", "from 0"}},
    {LAYERS(CLASSIFIER) "loss: {type: w_softmax, annealing: {base: 1}}",
     {"loss.annealing", "expected one of", "label_smoothing"}},
};

static bool parses(const char *spec, struct diagnostics *diags) {
    struct experiment experiment;
    struct text text = {0};
    text_printf(&text, "%s\ntrain: {iterations: 1, batch_size: 2}\n", spec);
    bool parsed = experiment_parse(&experiment, "test", text.data, NULL, 0, diags);
    experiment_free(&experiment);
    text_free(&text);
    return parsed;
}

START_TEST(mistakes_are_named) {
    struct diagnostics diags = {0};
    EXPECT(!parses(mistakes[_i].spec, &diags), "accepted: %s", mistakes[_i].spec);
    EXPECT(diags.count == 1, "%s: %s", mistakes[_i].spec, diags.text.data);
    for (int i = 0; i < COUNT(mistakes[_i].hints); i++)
        EXPECT(strstr(diags.text.data, mistakes[_i].hints[i]) != NULL, "%s: no \"%s\" in \"%s\"", mistakes[_i].spec,
               mistakes[_i].hints[i], diags.text.data);
    text_free(&diags.text);
}
END_TEST

/* The same networks without the mistake. */
START_TEST(specs_without_mistakes) {
    static const char *const specs[] = {LAYERS(CLASSIFIER), PLAIN("")};
    struct diagnostics none = {0};
    EXPECT(parses(PLAIN("") "loss: {type: ga_softmax, angular: learnable_sigmoid}", &none), "%s", none.text.data);
    for (int i = 0; i < COUNT(specs); i++)
        for (int j = 0; j < LOSS_ROWS; j++) {
            char spec[512];
            struct diagnostics diags = {0};
            snprintf(spec, sizeof spec, "%sloss: %s", specs[i], loss_rows[j].type);
            EXPECT(parses(spec, &diags), "%s: %s", spec, diags.text.data);
            text_free(&diags.text);
        }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

/* For each test, in its own process: OpenMP that a process has used is not to be used by its children. */
static void start(void) {
    gemm_setup();
    threads_use(1);
}

Suite *test_suite(void) {
    Suite *suite = suite_create("networks with angular losses");
    TCase *ends = suite_group(suite, "ends", 120, start, NULL);
    tcase_add_loop_test(ends, networks_stay_finite, 0, LOSS_ROWS);
    tcase_add_loop_test(ends, networks_stay_finite_where_squares_overflow, 0, LOSS_ROWS);
    TCase *trainers = suite_group(suite, "trainer", 120, start, NULL);
    tcase_add_test(trainers, trainer_steps_with_a_margin);
    tcase_add_loop_test(trainers, k_takes_a_step, 0, 2);
#ifdef SN_DOUBLE
    TCase *slopes = suite_group(suite, "gradients", 120, start, NULL);
    tcase_add_loop_test(slopes, gradients_of_networks, 0, LOSS_ROWS);
#endif
    TCase *specs = suite_group(suite, "specs", 120, start, NULL);
    tcase_add_loop_test(specs, mistakes_are_named, 0, COUNT(mistakes));
    tcase_add_test(specs, specs_without_mistakes);
    return suite;
}
