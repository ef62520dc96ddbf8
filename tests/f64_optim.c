/* Penalties, optimizers, schedules and the softmax loss in double, against the formulas of tests/ref. Every row of
 * their registries is covered, or a test here fails and says which is not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "layer/configs.h"
#include "machine/threads.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "ref/reference.h"
#include "support/array.h"
#include "support/lone_loss.h"
#include "support/suite.h"
#include "train/trainer.h"

#define TOLERANCE 1e-12

static void check_value(const char *what, double found, double expected) {
    ck_assert_msg(fabs(found - expected) <= TOLERANCE * fabs(expected), "%s is %.17g, expected %.17g", what, found,
                  expected);
}

/* --- One row of a registry with its keys ------------------------------------------------------------------------- */

struct section {
    struct arena arena;
    struct choice choice;
};

/* yaml: "row: {type: NAME, ...}" */
static void section_open(struct section *section, const struct registry *registry, const char *yaml) {
    struct param params[] = {{.key = "row", .type = PARAM_KIND, .registry = registry}, {.type = PARAM_END}};
    struct diagnostics diags = {0};
    section->arena = (struct arena){0};
    struct node *root = yaml_read(&section->arena, "test", yaml, strlen(yaml), &diags);
    ck_assert_msg(root != NULL, "%s: %s", yaml, diags.text.data);
    spec_bind(&section->arena, &section->choice, params, root, "", &diags);
    ck_assert_msg(diags.count == 0, "%s: %s", yaml, diags.text.data);
    text_free(&diags.text);
}

static void check_rows(const struct registry *registry, const char *const *cases, int count) {
    char type[64];
    for (int row = 0; registry->rows[row]; row++) {
        bool covered = false;
        snprintf(type, sizeof type, "type: %s", registry->rows[row]->name);
        for (int i = 0; i < count; i++) {
            const char *found = strstr(cases[i], type);
            covered |= found && strchr(",}", found[strlen(type)]);
        }
        ck_assert_msg(covered, "no case for %s %s", registry->noun, registry->rows[row]->name);
    }
}

/* --- Penalties --------------------------------------------------------------------------------------------------- */

static const char penalty_spec[] =
    "data: {type: synthetic, height: 7, width: 5, channels: 3, classes: 4}\n"
    "network:\n"
    "  type: layers\n"
    "  layers:\n"
    "  - {type: conv, name: conv, filters: 33, bias: true}\n"
    "  - {type: batch_norm, name: batch}\n"
    "  - {type: sphere_conv, name: sphere, filters: 5, bias: true, operator: {angular: learnable_sigmoid}}\n"
    "  - {type: sphere_norm, name: norm}\n"
    "  - {type: sphere_norm, name: fixed, trained: false}\n"
    "  - {type: residual, name: unit, body: [{type: sphere_conv, name: inner, filters: 70, kernel: 1}],"
    " shortcut: [{type: conv, name: short, filters: 70, kernel: 1}]}\n"
    "  - {type: dense, name: feature, units: 6, operator: {magnitude: linear, angular: linear}}\n"
    "  - {type: dense, name: score, units: 4}\n"
    "train: {iterations: 1, batch_size: 2}\n";

/* What the spec above means for each tensor. */
static const struct {
    const char *name;
    enum tensor_role role;
} roles[] = {
    {"conv.weight", ROLE_WEIGHT},
    {"conv.bias", ROLE_BIAS},
    {"batch.weight", ROLE_NORM},
    {"batch.bias", ROLE_NORM},
    {"sphere.weight", ROLE_SPHERE_WEIGHT},
    {"sphere.bias", ROLE_BIAS},
    {"sphere.k", ROLE_SHAPE},
    {"norm.weight", ROLE_NORM},
    {"norm.bias", ROLE_NORM},
    {"inner.weight", ROLE_SPHERE_WEIGHT},
    {"short.weight", ROLE_WEIGHT},
    {"feature.weight", ROLE_SPHERE_WEIGHT},
    {"feature.bias", ROLE_BIAS},
    {"score.weight", ROLE_WEIGHT},
    {"score.bias", ROLE_BIAS},
};

static int role_of(const struct tensor *tensor) {
    for (int i = 0; i < COUNT(roles); i++)
        if (strcmp(roles[i].name, tensor->name) == 0)
            return (int)roles[i].role;
    return -1;
}

struct penalised {
    struct experiment experiment;
    struct model net;
    struct loss loss;
};

static void penalised_open(struct penalised *p) {
    struct diagnostics diags = {0};
    struct error err;
    memset(p, 0, sizeof *p);
    bool parsed = experiment_parse(&p->experiment, "test", penalty_spec, NULL, 0, &diags);
    ck_assert_msg(parsed && experiment_plan(&p->experiment, STEP_TRAIN, &p->net, &p->loss, &diags), "%s",
                  diags.text.data);
    ck_assert_msg(model_allocate(&p->net, &err), "%s", err.text);
    model_draw(&p->net, 1);
    struct rng rng = rng_stream(5, RNG_TEST, 0, 0);
    for (int i = 0; i < p->net.tensor_count; i++) {
        const struct tensor *t = p->net.tensors[i];
        fill(&rng, t->value, t->trained ? t->count : 0, 0.5);
        if (t->trained)
            fill(&rng, t->grad, t->count, 1);
    }
}

static void penalised_close(struct penalised *p) {
    model_free(&p->net);
    experiment_free(&p->experiment);
}

static bool is_filters(const struct tensor *tensor) {
    return role_of(tensor) == ROLE_WEIGHT || role_of(tensor) == ROLE_SPHERE_WEIGHT;
}

static void check_penalties(const struct penalty_config *config) {
    struct penalised p;
    struct penalty_values expected = {0, 0};
    penalised_open(&p);
    const int count = p.net.tensor_count;
    ck_assert_int_gt(count, 0);
    real **gradients = arena_alloc(&p.net.arena, (size_t)count * sizeof *gradients);
    for (int i = 0; i < count; i++) {
        const struct tensor *t = p.net.tensors[i];
        gradients[i] = t->trained ? copy_of(t->grad, t->count) : NULL;
        unsigned bit = role_of(t) < 0 ? 0 : 1U << role_of(t);
        if (t->trained && (config->weight_decay_on & bit))
            expected.weight_decay += ref_weight_decay(config->weight_decay, t->count, gradients[i], t->value);
        if (is_filters(t) && (config->orthogonality_on & bit))
            expected.orthogonality += ref_orthogonality(config->orthogonality, t->shape[0], (int)t->count / t->shape[0],
                                                        gradients[i], t->value);
    }
    struct penalties penalties = penalties_plan(config, &p.net, false, &p.net.arena);
    real *work = mem_alloc((penalties.work + 1) * sizeof *work);
    penalties_place(&penalties, work);
    struct penalty_values found = penalties_add(&penalties, 2);
    check_value("weight decay", found.weight_decay, expected.weight_decay);
    check_value("orthogonality", found.orthogonality, expected.orthogonality);
    for (int i = 0; i < count; i++) {
        if (gradients[i])
            check_near(p.net.tensors[i]->name, p.net.tensors[i]->grad, gradients[i], p.net.tensors[i]->count,
                       TOLERANCE);
        free(gradients[i]);
    }
    free(work);
    penalised_close(&p);
}

START_TEST(every_trained_tensor_has_its_role) {
    struct penalised p;
    int trained = 0;
    penalised_open(&p);
    for (int i = 0; i < p.net.tensor_count; i++) {
        const struct tensor *t = p.net.tensors[i];
        trained += t->trained;
        if (t->trained)
            ck_assert_msg((int)t->role == role_of(t), "%s has role %d", t->name, (int)t->role);
    }
    ck_assert_int_eq(trained, COUNT(roles));
    penalised_close(&p);
}
END_TEST

START_TEST(weight_decay_by_role) {
    for (unsigned mask = 0; mask < 1U << (ROLE_BIAS + 1); mask++)
        check_penalties(&(struct penalty_config){.weight_decay = 5e-2, .weight_decay_on = mask});
}
END_TEST

START_TEST(orthogonality_by_role) {
    for (unsigned mask = 0; mask < 1U << (ROLE_SPHERE_WEIGHT + 1); mask++)
        check_penalties(&(struct penalty_config){.orthogonality = 2e-2, .orthogonality_on = mask});
}
END_TEST

START_TEST(both_penalties) {
    check_penalties(
        &(struct penalty_config){5e-4, 2e-4, 1U << ROLE_WEIGHT | 1U << ROLE_NORM, 1U << ROLE_SPHERE_WEIGHT});
    check_penalties(&(struct penalty_config){0, 0, ~0U >> 28, 3});
}
END_TEST

/* The keys of a spec reach the masks; and what the method says of the reference code is the default. */
START_TEST(penalties_of_a_spec) {
    static const char head[] = "data: {type: synthetic}\nnetwork: {type: plain, depth: 3}\ntrain: {iterations: 1}\n";
    static const struct {
        const char *line;
        unsigned decay, orthogonality;
    } cases[] = {
        {"", 1U << ROLE_WEIGHT | 1U << ROLE_NORM, 1U << ROLE_SPHERE_WEIGHT},
        {"regularizer: {weight_decay_on: [bias, sphere_weights], orthogonality_on: [weights]}\n",
         1U << ROLE_BIAS | 1U << ROLE_SPHERE_WEIGHT, 1U << ROLE_WEIGHT},
        {"regularizer: {weight_decay_on: [], orthogonality_on: []}\n", 0, 0},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        char yaml[512];
        struct experiment experiment;
        struct diagnostics diags = {0};
        snprintf(yaml, sizeof yaml, "%s%s", head, cases[i].line);
        ck_assert_msg(experiment_parse(&experiment, "test", yaml, NULL, 0, &diags), "%s", diags.text.data);
        ck_assert_uint_eq(experiment.regularizer.weight_decay_on, cases[i].decay);
        ck_assert_uint_eq(experiment.regularizer.orthogonality_on, cases[i].orthogonality);
        ck_assert_double_eq(experiment.regularizer.weight_decay, 5e-4);
        ck_assert_double_eq(experiment.regularizer.orthogonality, 2e-4);
        experiment_free(&experiment);
    }
}
END_TEST

/* --- Optimizers -------------------------------------------------------------------------------------------------- */

static const struct optimizer_case {
    const char *yaml;
    bool adam, nesterov;
    double first, second, epsilon; /* beta1 and beta2; momentum */
    double decay;                  /* decoupled, of the vector's later part */
} optimizer_cases[] = {
    {"row: {type: adam}", true, false, 0.9, 0.999, 1e-8, 0},
    {"row: {type: adam, beta1: 0.5, beta2: 0.9, epsilon: 0.1}", true, false, 0.5, 0.9, 0.1, 0},
    {"row: {type: adam, beta1: 0, beta2: 0}", true, false, 0, 0, 1e-8, 0},
    {"row: adamw", true, false, 0.9, 0.999, 1e-8, 0.4},
    {"row: {type: adamw, beta1: 0.5, beta2: 0.9, epsilon: 0.1}", true, false, 0.5, 0.9, 0.1, 2},
    {"row: {type: sgd}", false, false, 0.9, 0, 0, 0},
    {"row: {type: sgd, momentum: 0}", false, false, 0, 0, 0, 0},
    {"row: {type: sgd, momentum: 0.8, nesterov: true}", false, true, 0.8, 0, 0, 0},
};

enum { STEPS = 10 };

static void reference_step(const struct optimizer_case *c, double rate, int step, size_t count, double *w,
                           const double *dw, double *const *slots) {
    size_t first = count / 3;
    if (c->adam) {
        ref_adam(rate, c->first, c->second, c->epsilon, step, first, w, dw, slots[0], slots[1]);
        ref_adamw(rate, c->first, c->second, c->epsilon, c->decay, step, count - first, w + first, dw + first,
                  slots[0] + first, slots[1] + first);
    } else {
        ref_sgd(rate, c->first, c->nesterov, count, w, dw, slots[0]);
    }
}

/* The vectors in two spans, the second from `count` / 3 on. */
static void update(struct choice optimizer, double decay, double rate, int number, size_t count, real *w,
                   const real *dw, real *const *slots) {
    size_t first = count / 3;
    const struct span spans[] = {{.count = first}, {.offset = first, .count = count - first, .decay = decay}};
    const struct update update = {rate, number, 2, count, w, dw, slots, spans, COUNT(spans)};
    ((const struct optimizer_type *)optimizer.kind)->update(optimizer.config, &update);
}

static void check_optimizer(const struct optimizer_case *c, size_t count) {
    struct section section;
    struct rng rng = rng_stream(6, RNG_TEST, count, 0);
    section_open(&section, &optimizer_registry, c->yaml);
    real *memory = mem_alloc(7 * count * sizeof *memory);
    real *w = memory, *expected = memory + count, *dw = memory + 2 * count;
    real *slots[2] = {memory + 3 * count, memory + 4 * count},
         *expected_slots[2] = {slots[1] + count, slots[1] + 2 * count};
    fill(&rng, w, count, 1);
    memcpy(expected, w, count * sizeof *w);
    for (int step = 1; step <= STEPS; step++) {
        double rate = 0.1 / step;
        fill(&rng, dw, count, step == 4 ? 0 : 1); /* a gradient of nothing must not stop the momentum */
        update(section.choice, c->decay, rate, step, count, w, dw, slots);
        reference_step(c, rate, step, count, expected, dw, expected_slots);
        check_near(c->yaml, w, expected, count, TOLERANCE);
    }
    free(memory);
    arena_free(&section.arena);
}

START_TEST(optimizer) {
    check_optimizer(&optimizer_cases[_i], 1);
    check_optimizer(&optimizer_cases[_i], 7);
    check_optimizer(&optimizer_cases[_i], 10007);
}
END_TEST

START_TEST(every_optimizer_is_covered) {
    const char *cases[COUNT(optimizer_cases)];
    for (int i = 0; i < COUNT(cases); i++)
        cases[i] = optimizer_cases[i].yaml;
    check_rows(&optimizer_registry, cases, COUNT(cases));
}
END_TEST

/* Decoupled decay by role of the tensor, beside a gradient without it. */
START_TEST(adamw_decays_the_roles_of_weight_decay_on) {
    struct experiment experiment;
    struct trainer trainer;
    struct diagnostics diags = {0};
    struct error err;
    const char *const overrides[] = {"optimizer=adamw", "regularizer.weight_decay=0.25",
                                     "regularizer.weight_decay_on=[sphere_weights, bias]"};
    bool parsed = experiment_parse(&experiment, "test", penalty_spec, overrides, COUNT(overrides), &diags);
    ck_assert_msg(parsed && trainer_open(&trainer, &experiment, &err), "%s", diags.text.data);
    int decayed = 0;
    for (int i = 0; i < trainer.span_count; i++) {
        const struct span *span = &trainer.spans[i];
        bool decays = span->role == ROLE_SPHERE_WEIGHT || span->role == ROLE_BIAS;
        ck_assert_double_eq(span->decay, decays ? 0.25 : 0);
        decayed += decays;
    }
    ck_assert_int_gt(decayed, 1);
    ck_assert_int_gt(trainer.span_count, decayed);
    for (int i = 0; i < trainer.penalties.count; i++)
        ck_assert_double_eq(penalties_add(&trainer.penalties, 1).weight_decay, 0);
    trainer_close(&trainer);
    experiment_free(&experiment);
}
END_TEST

START_TEST(optimizers_stay_finite) {
    static const double sizes[] = {0, 1e-30, 1e15};
    struct section section;
    section_open(&section, &optimizer_registry, optimizer_cases[_i].yaml);
    real w[COUNT(sizes)] = {1, 1, 1}, first[COUNT(sizes)] = {0}, second[COUNT(sizes)] = {0};
    real *slots[2] = {first, second};
    for (int step = 1; step <= STEPS; step++)
        update(section.choice, optimizer_cases[_i].decay, 1e-3, step, COUNT(sizes), w, sizes, slots);
    for (int i = 0; i < COUNT(sizes); i++)
        ck_assert_msg(isfinite(w[i]), "gradient %g makes weight %g", sizes[i], w[i]);
    ck_assert_double_eq(w[0], 1);
    arena_free(&section.arena);
}
END_TEST

/* --- Schedules --------------------------------------------------------------------------------------------------- */

/* Warm-up over W iterations: 1/(W+1), 2/(W+1), ..., then 1. */
static const struct {
    const char *yaml;
    int total, iteration;
    double factor;
} schedule_points[] = {
    {"row: {type: constant}", 10, 0, 1},
    {"row: {type: constant}", 10, 9, 1},
    {"row: {type: constant, warmup: 4}", 10, 0, 0.2},
    {"row: {type: constant, warmup: 4}", 10, 3, 0.8},
    {"row: {type: constant, warmup: 4}", 10, 4, 1},
    {"row: {type: constant, warmup: 4}", 3, 2, 0.6},
    {"row: {type: step, milestones: [34000, 54000]}", 64000, 0, 1},
    {"row: {type: step, milestones: [34000, 54000]}", 64000, 33999, 1},
    {"row: {type: step, milestones: [34000, 54000]}", 64000, 34000, 0.1},
    {"row: {type: step, milestones: [34000, 54000]}", 64000, 53999, 0.1},
    {"row: {type: step, milestones: [34000, 54000]}", 64000, 54000, 0.01},
    {"row: {type: step, milestones: [34000, 54000]}", 64000, 63999, 0.01},
    {"row: {type: step, milestones: [5], factor: 0.5, warmup: 1}", 8, 0, 0.5},
    {"row: {type: step, milestones: [5], factor: 0.5, warmup: 1}", 8, 1, 1},
    {"row: {type: step, milestones: [5], factor: 0.5, warmup: 1}", 8, 5, 0.5},
    {"row: {type: step, milestones: []}", 8, 7, 1},
    {"row: {type: cosine}", 12, 0, 1},
    {"row: {type: cosine}", 12, 4, 0.75},
    {"row: {type: cosine}", 12, 6, 0.5},
    {"row: {type: cosine}", 12, 8, 0.25},
    {"row: {type: cosine}", 12, 12, 0},
    {"row: {type: cosine, final_factor: 0.2}", 12, 6, 0.6},
    {"row: {type: cosine, final_factor: 0.2}", 12, 12, 0.2},
    {"row: {type: cosine, final_factor: 0.2, warmup: 4}", 16, 1, 0.4},
    {"row: {type: cosine, final_factor: 0.2, warmup: 4}", 16, 4, 1},
    {"row: {type: cosine, final_factor: 0.2, warmup: 4}", 16, 10, 0.6},
    {"row: {type: cosine, final_factor: 0.2, warmup: 4}", 16, 16, 0.2},
    {"row: {type: cosine, warmup: 9}", 5, 4, 0.5},
};

START_TEST(schedule) {
    struct section section;
    section_open(&section, &schedule_registry, schedule_points[_i].yaml);
    double found = schedule_factor(section.choice, schedule_points[_i].iteration + 1, schedule_points[_i].total);
    ck_assert_msg(fabs(found - schedule_points[_i].factor) <= 1e-15, "%s at %d: %.17g, expected %.17g",
                  schedule_points[_i].yaml, schedule_points[_i].iteration, found, schedule_points[_i].factor);
    arena_free(&section.arena);
}
END_TEST

START_TEST(every_schedule_is_covered) {
    const char *cases[COUNT(schedule_points)];
    for (int i = 0; i < COUNT(cases); i++)
        cases[i] = schedule_points[i].yaml;
    check_rows(&schedule_registry, cases, COUNT(cases));
}
END_TEST

/* --- The trainer's step puts them together ----------------------------------------------------------------------- */

static const char step_spec[] =
    "data: {type: synthetic, height: 4, width: 3, channels: 2, classes: 3}\n"
    "network: {type: layers, layers: [{type: sphere_conv, name: a, filters: 4}, {type: dense, name: b, units: 3}]}\n"
    "optimizer: {type: sgd, learning_rate: 0.5, momentum: 0.9}\n"
    "schedule: {type: step, milestones: [2], warmup: 1}\n"
    "regularizer: {weight_decay: 0.1, weight_decay_on: [weights], orthogonality: 0.05}\n"
    "train: {iterations: 4, batch_size: 5}\n";

static void penalise(const struct tensor *t, double *dw, double *decay, double *orthogonality) {
    if (strcmp(t->name, "b.weight") == 0)
        *decay += ref_weight_decay(0.1, t->count, dw, t->value);
    if (strcmp(t->name, "a.weight") == 0)
        *orthogonality += ref_orthogonality(0.05, t->shape[0], (int)t->count / t->shape[0], dw, t->value);
}

/* Checks one update against the gradient that a forward and backward pass of our own leaves. */
static void check_trainer_step(struct trainer *trainer, const struct batch *batch, double rate, real **velocities) {
    struct model *net = &trainer->model;
    const int count = net->tensor_count;
    real *expected[8];
    double decay = 0, orthogonality = 0;
    const real *logits = model_forward(net, model_step(net, batch->count, STEP_TRAIN), batch->images);
    double fit = ref_softmax_loss(batch->count, 3, logits, batch->labels, 0, 0);
    ref_softmax_gradient(batch->count, 3, net->head.scores_gradient, logits, batch->labels, 0, 0);
    model_backward(net, model_step(net, batch->count, STEP_TRAIN), batch->images);
    for (int i = 0; i < count; i++) {
        const struct tensor *t = net->tensors[i];
        real *dw = copy_of(t->grad, t->count);
        expected[i] = copy_of(t->value, t->count);
        penalise(t, dw, &decay, &orthogonality);
        ref_sgd(rate, 0.9, false, t->count, expected[i], dw, velocities[i]);
        free(dw);
    }
    struct step_result result = trainer_step(trainer, batch);
    check_value("rate", result.rate, rate);
    check_value("fit", result.fit, fit);
    check_value("weight decay", result.weight_decay, decay);
    check_value("orthogonality", result.orthogonality, orthogonality);
    for (int i = 0; i < count; i++) {
        check_near(net->tensors[i]->name, net->tensors[i]->value, expected[i], net->tensors[i]->count, TOLERANCE);
        free(expected[i]);
    }
}

START_TEST(trainer_steps) {
    static const double rates[] = {0.25, 0.5, 0.05, 0.05};
    struct experiment experiment;
    struct trainer trainer;
    struct diagnostics diags = {0};
    struct error err;
    struct rng rng = rng_stream(8, RNG_TEST, 0, 0);
    real images[5 * 4 * 3 * 2], *velocities[8] = {NULL};
    int32_t labels[] = {0, 1, 2, 1, 0};
    ck_assert_msg(experiment_parse(&experiment, "test", step_spec, NULL, 0, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    for (int i = 0; i < trainer.model.tensor_count; i++)
        velocities[i] = mem_alloc(trainer.model.tensors[i]->count * sizeof(real));
    for (int step = 0; step < COUNT(rates); step++) {
        fill(&rng, images, COUNT(images), 1);
        check_trainer_step(&trainer, &(struct batch){step == 2 ? 3 : 5, images, labels}, rates[step], velocities);
    }
    ck_assert_int_eq(trainer.iteration, COUNT(rates));
    for (int i = 0; i < trainer.model.tensor_count; i++)
        free(velocities[i]);
    trainer_close(&trainer);
    experiment_free(&experiment);
}
END_TEST

/* --- Softmax loss ------------------------------------------------------------------------------------------------ */

static const struct {
    double smoothing, floor;
} softmax_cases[] = {{0, 0}, {0.01, 1e-4}, {0.3, 0}, {0, 0.1}, {1, 0}, {1, 1e-4}};

static void open_softmax(struct section *section, int index) {
    char yaml[128];
    snprintf(yaml, sizeof yaml, "row: {type: softmax, label_smoothing: %g, probability_floor: %g}",
             softmax_cases[index].smoothing, softmax_cases[index].floor);
    section_open(section, &loss_registry, yaml);
}

static void check_softmax(int index, int n, int classes, double deviation) {
    struct section section;
    struct rng rng = rng_stream(9, RNG_TEST, (uint64_t)n, (uint64_t)classes);
    enum { MOST_VALUES = 2100, MOST_IMAGES = 300 };
    real logits[MOST_VALUES], found[MOST_VALUES], expected[MOST_VALUES];
    int32_t labels[MOST_IMAGES];
    ck_assert(n * classes <= MOST_VALUES && n <= MOST_IMAGES);
    open_softmax(&section, index);
    fill(&rng, logits, (size_t)(n * classes), deviation);
    for (int i = 0; i < n; i++)
        labels[i] = (int32_t)rng_below(&rng, (uint32_t)classes);
    struct loss_input in = {n, classes, logits, NULL, labels, NULL};
    double value = lone_loss(section.choice, &in, 1, &(struct loss_gradient){found, NULL, NULL});
    double alone = lone_loss(section.choice, &in, 0, NULL);
    double smoothing = softmax_cases[index].smoothing, floor = softmax_cases[index].floor;
    check_value("loss", value, ref_softmax_loss(n, classes, logits, labels, smoothing, floor));
    ck_assert_double_eq(value, alone);
    ref_softmax_gradient(n, classes, expected, logits, labels, smoothing, floor);
    check_near("dlogits", found, expected, (size_t)(n * classes), TOLERANCE);
    arena_free(&section.arena);
}

START_TEST(softmax) {
    check_softmax(_i, 1, 2, 1);
    check_softmax(_i, 5, 10, 1);
    check_softmax(_i, 5, 10, 30);
    check_softmax(_i, 300, 7, 3);
    check_softmax(_i, 3, 256, 1);
}
END_TEST

/* Three classes, of which the first is certain: -log of its probability 1, of another's e^-20000 (0 with a floor). */
static void check_certain(int index, double certain, double others, int label) {
    struct section section;
    open_softmax(&section, index);
    double smoothing = softmax_cases[index].smoothing, floor = softmax_cases[index].floor;
    real logits[] = {certain, others, others}, dlogits[3];
    int32_t labels[] = {label};
    double sure = floor > 0 ? -log(1 + floor) : 0, never = floor > 0 ? -log(floor) : certain - others;
    double first = (label == 0 ? 1 - smoothing : 0) + smoothing / 3;
    struct loss_input in = {1, 3, logits, NULL, labels, NULL};
    double value = lone_loss(section.choice, &in, 1, &(struct loss_gradient){dlogits, NULL, NULL});
    check_value("loss", value, first * sure + (1 - first) * never);
    double expected[] = {floor > 0 ? 0 : 1 - first, 0, 0};
    for (int j = 1; j < 3; j++)
        expected[j] = floor > 0 ? 0 : -((label == j ? 1 - smoothing : 0) + smoothing / 3);
    for (int j = 0; j < 3; j++)
        ck_assert_msg(fabs(dlogits[j] - expected[j]) < 1e-12, "dlogits[%d] is %g, expected %g", j, dlogits[j],
                      expected[j]);
    arena_free(&section.arena);
}

START_TEST(softmax_of_extreme_logits) {
    for (int label = 0; label < 3; label++) {
        check_certain(_i, 1e4, -1e4, label);
        check_certain(_i, 1e4, 0, label);
        check_certain(_i, 0, -1e4, label);
    }
}
END_TEST

/* All logits equal: probability 1 / classes, whatever their size. */
START_TEST(softmax_of_equal_logits) {
    static const double sizes[] = {1e4, -1e4, 0};
    struct section section;
    open_softmax(&section, _i);
    for (int i = 0; i < COUNT(sizes); i++) {
        real logits[] = {sizes[i], sizes[i], sizes[i], sizes[i]}, dlogits[4];
        int32_t labels[] = {2};
        struct loss_input in = {1, 4, logits, NULL, labels, NULL};
        double value = lone_loss(section.choice, &in, 1, &(struct loss_gradient){dlogits, NULL, NULL});
        check_value("loss", value, -log(0.25 + softmax_cases[_i].floor));
        ck_assert(isfinite(dlogits[0]) && isfinite(dlogits[2]));
    }
    arena_free(&section.arena);
}
END_TEST

START_TEST(every_loss_is_covered) {
    /* The angular ones in test_losses.c and test_sphereface2.c. */
    static const char *const cases[] = {"{type: softmax}",    "{type: w_softmax}", "{type: a_softmax}",
                                        "{type: ga_softmax}", "{type: cosface}",   "{type: arcface}",
                                        "{type: sphereface2}"};
    check_rows(&loss_registry, cases, COUNT(cases));
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    gemm_setup();
    threads_use(1);
    Suite *suite = suite_create("optim");
    TCase *penalties = suite_group(suite, "penalties", 60, NULL, NULL);
    tcase_add_test(penalties, every_trained_tensor_has_its_role);
    tcase_add_test(penalties, weight_decay_by_role);
    tcase_add_test(penalties, orthogonality_by_role);
    tcase_add_test(penalties, both_penalties);
    tcase_add_test(penalties, penalties_of_a_spec);
    TCase *optimizers = suite_group(suite, "optimizers", 60, NULL, NULL);
    tcase_add_loop_test(optimizers, optimizer, 0, COUNT(optimizer_cases));
    tcase_add_test(optimizers, adamw_decays_the_roles_of_weight_decay_on);
    tcase_add_loop_test(optimizers, optimizers_stay_finite, 0, COUNT(optimizer_cases));
    tcase_add_test(optimizers, every_optimizer_is_covered);
    TCase *schedules = suite_group(suite, "schedules", 60, NULL, NULL);
    tcase_add_loop_test(schedules, schedule, 0, COUNT(schedule_points));
    tcase_add_test(schedules, every_schedule_is_covered);
    TCase *steps = suite_group(suite, "trainer", 60, NULL, NULL);
    tcase_add_test(steps, trainer_steps);
    TCase *losses = suite_group(suite, "losses", 60, NULL, NULL);
    tcase_add_test(losses, every_loss_is_covered);
    tcase_add_loop_test(losses, softmax, 0, COUNT(softmax_cases));
    tcase_add_loop_test(losses, softmax_of_extreme_logits, 0, COUNT(softmax_cases));
    tcase_add_loop_test(losses, softmax_of_equal_logits, 0, COUNT(softmax_cases));
    return suite;
}
