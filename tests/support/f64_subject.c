#include "support/f64_subject.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "layer/configs.h"
#include "spec/bind.h"

enum { SAMPLES = 12, DIRECTIONS = 2 };

struct layer_list {
    struct choice_list layers;
};

static const struct param layer_list_params[] = {
    {.key = "layers", .type = PARAM_KINDS, .offset = offsetof(struct layer_list, layers), .registry = &layer_registry},
    {.type = PARAM_END}};

size_t input_count(const struct subject *s) {
    return (size_t)s->n * shape_size(&s->in);
}

size_t output_count(const struct subject *s) {
    return (size_t)s->n * shape_size(&s->out);
}

size_t gradient_count(const struct model *net) {
    return plan_sizes(&net->planner).trained;
}

void randomise_parameters(struct model *net, struct rng *rng) {
    for (int i = 0; i < net->tensor_count; i++) {
        const struct tensor *t = net->tensors[i];
        for (size_t j = 0; t->trained && j < t->count; j++) {
            double normal = rng_normal(rng);
            if (t->role == ROLE_NORM)
                t->value[j] = 1 + 0.3 * normal;
            else if (t->role == ROLE_SHAPE)
                t->value[j] = copysign(0.3 + 0.2 * fabs(normal), j % 3 == 1 ? -1 : 1);
            else if (t->role == ROLE_BIAS)
                t->value[j] = 0.3 * normal;
        }
    }
}

static void parse_layers(struct subject *s, const char *yaml) {
    struct diagnostics diags = {0};
    struct layer_list list;
    struct node *root = yaml_read(&s->arena, "test", yaml, strlen(yaml), &diags);
    ck_assert_msg(root != NULL, "%s: %s", yaml, diags.text.data);
    spec_bind(&s->arena, &list, layer_list_params, root, "", &diags);
    ck_assert_msg(diags.count == 0, "%s: %s", yaml, diags.text.data);
    s->layers = list.layers;
    text_free(&diags.text);
}

static void plan_net(struct model *net, const struct choice_list *layers, struct shape in, int outputs, int batch) {
    struct diagnostics diags = {0};
    struct error err;
    bool planned = model_plan(
        net, &(struct model_request){.layers = layers, .in = in, .classes = outputs, .batch = batch, .threads = 1},
        &diags);
    ck_assert_msg(planned, "%s", diags.text.data);
    ck_assert_msg(model_allocate(net, &err), "%s", err.text);
    model_draw(net, 7);
    text_free(&diags.text);
}

void subject_open(struct subject *s, const char *yaml, struct shape in, struct shape out, int n, int batch) {
    memset(s, 0, sizeof *s);
    s->rng = rng_stream(11, RNG_TEST, 0, 0);
    s->in = in;
    s->out = out;
    s->n = n;
    parse_layers(s, yaml);
    plan_net(&s->net, &s->layers, in, (int)shape_size(&out), batch);
    randomise_parameters(&s->net, &s->rng);
    s->x = mem_alloc(input_count(s) * sizeof(real));
    s->dx = mem_alloc(input_count(s) * sizeof(real));
    s->dy = mem_alloc(output_count(s) * sizeof(real));
    fill(&s->rng, s->x, input_count(s), 1);
    fill(&s->rng, s->dy, output_count(s), 1);
}

void subject_close(struct subject *s) {
    model_free(&s->net);
    arena_free(&s->arena);
    free(s->x);
    free(s->dx);
    free(s->dy);
}

void backward(struct subject *s, real *dx) {
    struct step step = model_step(&s->net, s->n, STEP_TRAIN);
    struct view x = {.data = s->x, .channels = s->in.channels};
    struct gradient_target target = {.d = dx};
    chain_backward(&s->net.chain, &step, dx ? &target : NULL, s->dy, &x);
}

void check_all_finite(struct subject *s) {
    check_finite("y", model_forward(&s->net, model_step(&s->net, s->n, STEP_TRAIN), s->x), output_count(s));
    backward(s, s->dx);
    check_finite("dx", s->dx, input_count(s));
    for (int i = 0; i < s->net.tensor_count; i++) {
        const struct tensor *t = s->net.tensors[i];
        check_finite(t->name, t->value, t->count);
        if (t->trained)
            check_finite(t->name, t->grad, t->count);
    }
}

void check_forward(struct subject *s, const char *what) {
    const real *y = model_forward(&s->net, model_step(&s->net, s->n, STEP_TRAIN), s->x);
    struct signal expected = reference_chain(&s->net, &s->layers, (struct signal){s->n, s->in, s->x});
    ck_assert_uint_eq(shape_size(&expected.shape), shape_size(&s->out));
    check_near(what, y, expected.values, output_count(s), VALUE_TOLERANCE);
    free(expected.values);
}

/* A function of `count` values at *place, with its gradient there. */
struct function {
    double (*value)(void *context);
    void *context;
    const char *name;
    real *place;
    const real *gradient;
    size_t count;
};

static double value_at(const struct function *f, const real *start, const real *direction, double distance) {
    for (size_t i = 0; i < f->count; i++)
        f->place[i] = start[i] + distance * direction[i];
    return f->value(f->context);
}

/* The derivative along the direction by five points; steps shrink until none of them crosses a kink. */
static void check_derivative(const struct function *f, const real *direction, double scale, double noise) {
    double expected = 0, found = 0, step = 1e-3;
    real *start = mem_alloc(f->count * sizeof *start);
    memcpy(start, f->place, f->count * sizeof *start);
    for (size_t i = 0; i < f->count; i++)
        expected += f->gradient[i] * direction[i];
    bool near = false;
    for (; !near && step > 0.5e-6; step /= 10) {
        double one = value_at(f, start, direction, step) - value_at(f, start, direction, -step);
        double two = value_at(f, start, direction, 2 * step) - value_at(f, start, direction, -2 * step);
        found = (8 * one - two) / (12 * step);
        near = fabs(found - expected) <= GRADIENT_TOLERANCE * scale + noise / step;
    }
    memcpy(f->place, start, f->count * sizeof *start);
    free(start);
    ck_assert_msg(near, "%s: derivative %.12g, gradient says %.12g (scale %.3g)", f->name, found, expected, scale);
}

/* Along some coordinates, and along some random directions, which see every coordinate. */
static void check_gradient(struct function f, struct rng *rng, double noise) {
    real *gradient = mem_alloc(f.count * sizeof *gradient), *direction = mem_alloc(f.count * sizeof *direction);
    memcpy(gradient, f.gradient, f.count * sizeof *gradient);
    f.gradient = gradient;
    double scale = 0;
    for (size_t i = 0; i < f.count; i++)
        scale = fmax(scale, fabs(gradient[i]));
    for (int i = 0; i < SAMPLES && i < (int)f.count; i++) {
        size_t at = f.count <= SAMPLES ? (size_t)i : rng_below(rng, (uint32_t)f.count);
        memset(direction, 0, f.count * sizeof *direction);
        direction[at] = 1;
        check_derivative(&f, direction, scale, noise);
    }
    for (int i = 0; i < DIRECTIONS; i++) {
        fill(rng, direction, f.count, 1 / sqrt((double)f.count));
        check_derivative(&f, direction, scale, noise);
    }
    free(gradient);
    free(direction);
}

static double weighted_output(void *context) {
    struct subject *s = context;
    const real *y = model_forward(&s->net, model_step(&s->net, s->n, STEP_TRAIN), s->x);
    double sum = 0;
    for (size_t i = 0; i < output_count(s); i++)
        sum += s->dy[i] * y[i];
    return sum;
}

static double weighted_output_terms(struct subject *s) {
    const real *y = model_forward(&s->net, model_step(&s->net, s->n, STEP_TRAIN), s->x);
    double sum = 0;
    for (size_t i = 0; i < output_count(s); i++)
        sum += fabs(s->dy[i] * y[i]);
    return sum;
}

void check_tensor_gradients(struct model *net, double (*value)(void *), void *context, const real *gradients,
                            struct rng *rng, double noise) {
    for (int i = 0; i < net->tensor_count; i++) {
        const struct tensor *t = net->tensors[i];
        if (t->trained)
            check_gradient((struct function){value, context, t->name, t->value,
                                             gradients + (t->grad - net->memory.grads), t->count},
                           rng, noise);
    }
}

static void check_gradients(struct subject *s) {
    double noise = VALUE_NOISE * weighted_output_terms(s);
    real *x = copy_of(s->x, input_count(s));
    model_forward(&s->net, model_step(&s->net, s->n, STEP_TRAIN), s->x);
    ck_assert_mem_eq(s->x, x, input_count(s) * sizeof *x);
    backward(s, s->dx);
    ck_assert_mem_eq(s->x, x, input_count(s) * sizeof *x);
    real *gradients = copy_of(s->net.memory.grads, gradient_count(&s->net));
    check_gradient((struct function){weighted_output, s, "input", s->x, s->dx, input_count(s)}, &s->rng, noise);
    check_tensor_gradients(&s->net, weighted_output, s, gradients, &s->rng, noise);
    free(gradients);
    free(x);
}

static void forget_gradients(struct model *net) {
    for (int i = 0; i < net->tensor_count; i++)
        if (net->tensors[i]->trained)
            memset(net->tensors[i]->grad, 0xff, net->tensors[i]->count * sizeof(real));
}

/* What the trainer calls: no gradient of the images. Those of the tensors stay as they were, bit by bit. */
static void check_gradients_without_dx(struct subject *s) {
    model_forward(&s->net, model_step(&s->net, s->n, STEP_TRAIN), s->x);
    backward(s, s->dx);
    real *expected = copy_of(s->net.memory.grads, gradient_count(&s->net));
    forget_gradients(&s->net);
    model_forward(&s->net, model_step(&s->net, s->n, STEP_TRAIN), s->x);
    memcpy(s->net.head.scores_gradient, s->dy, output_count(s) * sizeof(real));
    model_backward(&s->net, model_step(&s->net, s->n, STEP_TRAIN), s->x);
    for (int i = 0; i < s->net.tensor_count; i++) {
        const struct tensor *t = s->net.tensors[i];
        if (t->trained)
            ck_assert_mem_eq(t->grad, expected + (t->grad - s->net.memory.grads), t->count * sizeof(real));
    }
    free(expected);
}

void check_subject(const char *yaml, struct shape in, struct shape out, int n) {
    struct subject s;
    subject_open(&s, yaml, in, out, n, n);
    check_forward(&s, yaml);
    check_gradients(&s);
    check_gradients_without_dx(&s);
    subject_close(&s);
}
