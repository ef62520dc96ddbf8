/* Layers, losses and whole networks in double: values against the formulas of tests/ref, gradients against central
 * differences. Every row of the registries is covered, or a test here fails and says which is not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "layer/configs.h"
#include "loss/loss.h"
#include "machine/threads.h"
#include "ref/reference.h"
#include "runner.h"
#include "train/experiment.h"

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))
#define VALUE_TOLERANCE 1e-10
#define GRADIENT_TOLERANCE 1e-6

enum { SAMPLES = 12, DIRECTIONS = 2 };

/* --- A small network under test ---------------------------------------------------------------------------------- */

struct layer_list {
    struct choice_list layers;
};

static const struct param layer_list_params[] = {
    {.key = "layers", .type = PARAM_KINDS, .offset = offsetof(struct layer_list, layers), .registry = &layer_registry},
    {.type = PARAM_END}};

struct subject {
    struct arena arena;
    struct choice_list layers;
    struct shape in, out;
    struct model net;
    int n;
    real *x, *dx, *dy;
    struct rng rng;
};

/* Values in one batch of the output, as the reference computes it; the caller frees them. */
struct signal {
    int n;
    struct shape shape;
    double *values;
};

static struct signal reference_chain(const struct model *net, const struct choice_list *layers, struct signal x);

static void fill(struct rng *rng, real *values, size_t count, double deviation) {
    for (size_t i = 0; i < count; i++)
        values[i] = deviation * rng_normal(rng);
}

static size_t input_count(const struct subject *s) {
    return (size_t)s->n * shape_size(&s->in);
}

static size_t output_count(const struct subject *s) {
    return (size_t)s->n * shape_size(&s->out);
}

/* Away from the values at which a wrong factor would not show: norms around 1, k of either sign, biases not 0. */
static void randomise_parameters(struct model *net, struct rng *rng) {
    for (int i = 0; i < net->tensor_count; i++) {
        const struct tensor *t = net->tensors[i];
        for (size_t j = 0; t->trained && j < t->count; j++) {
            double normal = rng_normal(rng);
            if (t->role == ROLE_NORM)
                t->value[j] = 1 + 0.3 * normal;
            else if (t->role == ROLE_K)
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
    bool planned = model_plan(net, &(struct model_request){layers, in, outputs, batch, 1}, &diags);
    ck_assert_msg(planned, "%s", diags.text.data);
    ck_assert_msg(model_allocate(net, 7, &err), "%s", err.text);
    text_free(&diags.text);
}

/* yaml: "layers: [...]", each layer named where it has tensors. */
static void subject_open(struct subject *s, const char *yaml, struct shape in, struct shape out, int n, int batch) {
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

static void subject_close(struct subject *s) {
    model_free(&s->net);
    arena_free(&s->arena);
    free(s->x);
    free(s->dx);
    free(s->dy);
}

static void backward(struct subject *s, real *dx) {
    struct step step = model_step(&s->net, s->n, STEP_TRAIN);
    struct view x = {.data = s->x, .channels = s->in.channels};
    struct gradient_target target = {.d = dx};
    chain_backward(&s->net.chain, &step, dx ? &target : NULL, s->dy, &x);
}

static const struct tensor *find_tensor(const struct model *net, const char *layer, const char *part) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    for (int i = 0; i < net->tensor_count; i++)
        if (strcmp(net->tensors[i]->name, name) == 0)
            return net->tensors[i];
    return NULL;
}

static const double *tensor_values(const struct model *net, const char *layer, const char *part) {
    const struct tensor *tensor = find_tensor(net, layer, part);
    return tensor ? tensor->value : NULL;
}

static void check_finite(const char *what, const real *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(isfinite(values[i]), "%s[%zu] is %g", what, i, values[i]);
}

static void check_all_finite(struct subject *s) {
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

/* --- The reference network --------------------------------------------------------------------------------------- */

static struct signal signal_new(int n, struct shape shape) {
    return (struct signal){n, shape, mem_alloc((size_t)n * shape_size(&shape) * sizeof(double))};
}

static struct signal signal_copy(struct signal x) {
    struct signal copy = signal_new(x.n, x.shape);
    memcpy(copy.values, x.values, (size_t)x.n * shape_size(&x.shape) * sizeof(double));
    return copy;
}

static struct signal operate(const struct model *net, const char *name, const struct operator_config *config,
                             struct ref_geometry g, struct signal x) {
    ck_assert_msg(ref_knows_magnitude(config->magnitude.kind->name), "tests/ref lacks magnitude %s",
                  config->magnitude.kind->name);
    ck_assert_msg(ref_knows_angular(config->angular.kind->name), "tests/ref lacks angular activation %s",
                  config->angular.kind->name);
    struct signal y = signal_new(x.n, (struct shape){ref_out_height(&g), ref_out_width(&g), g.filters, false});
    double *k = mem_alloc((size_t)g.filters * sizeof *k);
    const struct tensor *trained = find_tensor(net, name, "k");
    for (int f = 0; f < g.filters; f++)
        k[f] = trained ? fabs(trained->value[trained->count > 1 ? f : 0]) + config->k_offset : config->k;
    struct ref_operator op = {config->magnitude.kind->name, config->angular.kind->name, config->epsilon, ANGULAR_CLAMP, k};
    ref_operate(&op, &g, x.n, y.values, x.values, tensor_values(net, name, "weight"), tensor_values(net, name, "bias"));
    free(k);
    return y;
}

static struct signal reference_conv(const struct model *net, const void *config, struct signal x) {
    const struct conv_config *c = config;
    struct ref_geometry g = {x.shape.height, x.shape.width, x.shape.channels, c->kernel,
                             c->kernel,      c->stride,     c->padding,       c->filters};
    return operate(net, c->layer.name, &c->operation, g, x);
}

static struct signal reference_dense(const struct model *net, const void *config, struct signal x) {
    const struct dense_config *c = config;
    struct shape in = x.shape;
    struct ref_geometry g = {in.height, in.width, in.channels, in.height, in.width, 1, 0, c->units};
    struct signal y = operate(net, c->layer.name, &c->operation, g, x);
    y.shape.flat = true;
    return y;
}

static int rows_of(struct signal x) {
    return x.shape.flat ? x.n : x.n * x.shape.height * x.shape.width;
}

static int channels_of(struct signal x) {
    return x.shape.flat ? (int)shape_size(&x.shape) : x.shape.channels;
}

static struct signal reference_batch_norm(const struct model *net, const void *config, struct signal x) {
    const struct batch_norm_config *c = config;
    int channels = channels_of(x);
    double mean[channels], variance[channels];
    struct signal y = signal_new(x.n, x.shape);
    ref_moments(rows_of(x), channels, mean, variance, x.values);
    ref_batch_norm(rows_of(x), channels, y.values, x.values, mean, variance, c->epsilon,
                   tensor_values(net, c->layer.name, "weight"), tensor_values(net, c->layer.name, "bias"));
    return y;
}

static struct signal reference_sphere_norm(const struct model *net, const void *config, struct signal x) {
    const struct sphere_norm_config *c = config;
    struct signal y = signal_new(x.n, x.shape);
    ref_sphere_norm(rows_of(x), channels_of(x), y.values, x.values, tensor_values(net, c->layer.name, "weight"),
                    tensor_values(net, c->layer.name, "bias"));
    return y;
}

static struct signal reference_relu(const struct model *net, const void *config, struct signal x) {
    (void)net, (void)config;
    struct signal y = signal_new(x.n, x.shape);
    ref_relu((size_t)x.n * shape_size(&x.shape), y.values, x.values);
    return y;
}

static struct signal pool(const struct pool_config *c, struct signal x,
                          void (*reference)(const struct ref_geometry *, int, double *, const double *)) {
    struct shape in = x.shape;
    struct ref_geometry g = {in.height, in.width, in.channels, c->kernel, c->kernel, c->stride, c->padding, 1};
    if (c->global)
        g = (struct ref_geometry){in.height, in.width, in.channels, in.height, in.width, 1, 0, 1};
    struct signal y = signal_new(x.n, (struct shape){ref_out_height(&g), ref_out_width(&g), in.channels, false});
    reference(&g, x.n, y.values, x.values);
    return y;
}

static struct signal reference_max_pool(const struct model *net, const void *config, struct signal x) {
    (void)net;
    return pool(config, x, ref_max_pool);
}

static struct signal reference_avg_pool(const struct model *net, const void *config, struct signal x) {
    (void)net;
    return pool(config, x, ref_avg_pool);
}

static struct signal reference_residual(const struct model *net, const void *config, struct signal x) {
    const struct residual_config *c = config;
    struct signal sum = reference_chain(net, &c->body, x), shortcut = reference_chain(net, &c->shortcut, x);
    ck_assert_uint_eq(shape_size(&sum.shape), shape_size(&shortcut.shape));
    for (size_t i = 0; i < (size_t)x.n * shape_size(&sum.shape); i++)
        sum.values[i] += shortcut.values[i];
    free(shortcut.values);
    return sum;
}

static struct signal reference_flatten(const struct model *net, const void *config, struct signal x) {
    (void)net, (void)config;
    struct signal y = signal_copy(x);
    y.shape.flat = true;
    return y;
}

static const struct {
    const char *type;
    struct signal (*run)(const struct model *net, const void *config, struct signal x);
} references[] = {
    {"conv", reference_conv},
    {"sphere_conv", reference_conv},
    {"dense", reference_dense},
    {"batch_norm", reference_batch_norm},
    {"sphere_norm", reference_sphere_norm},
    {"relu", reference_relu},
    {"max_pool", reference_max_pool},
    {"avg_pool", reference_avg_pool},
    {"residual", reference_residual},
    {"flatten", reference_flatten},
};

static int reference_index(const char *type) {
    for (int i = 0; i < COUNT(references); i++)
        if (strcmp(references[i].type, type) == 0)
            return i;
    ck_abort_msg("no reference for layer type %s", type);
}

static struct signal reference_chain(const struct model *net, const struct choice_list *layers, struct signal x) {
    struct signal y = signal_copy(x);
    for (int i = 0; i < layers->count; i++) {
        const struct choice *choice = &layers->choices[i];
        struct signal next = references[reference_index(choice->kind->name)].run(net, choice->config, y);
        free(y.values);
        y = next;
    }
    return y;
}

/* --- Comparisons ------------------------------------------------------------------------------------------------- */

static double largest(const real *values, size_t count) {
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs(values[i]));
    return most;
}

static void check_near(const char *what, const real *found, const double *expected, size_t count, double tolerance) {
    double scale = largest(expected, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs(found[i] - expected[i]) <= tolerance * scale, "%s[%zu] is %.15g, expected %.15g", what, i,
                      found[i], expected[i]);
}

static void check_forward(struct subject *s, const char *what) {
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

/* Bound on the rounding error of value(), in units of its terms' sum. */
#define VALUE_NOISE 3e-15

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
    double scale = largest(gradient, f.count);
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

static void check_tensor_gradients(struct model *net, double (*value)(void *), void *context, const real *gradients,
                                   struct rng *rng, double noise) {
    for (int i = 0; i < net->tensor_count; i++) {
        const struct tensor *t = net->tensors[i];
        if (t->trained)
            check_gradient((struct function){value, context, t->name, t->value,
                                             gradients + (t->grad - net->memory.grads), t->count},
                           rng, noise);
    }
}

static size_t gradient_count(const struct model *net) {
    return plan_sizes(&net->planner).trained;
}

static real *copy_of(const real *values, size_t count) {
    real *copy = mem_alloc(count * sizeof *copy);
    memcpy(copy, values, count * sizeof *copy);
    return copy;
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
    model_backward(&s->net, model_step(&s->net, s->n, STEP_TRAIN), s->dy, s->x);
    for (int i = 0; i < s->net.tensor_count; i++) {
        const struct tensor *t = s->net.tensors[i];
        if (t->trained)
            ck_assert_mem_eq(t->grad, expected + (t->grad - s->net.memory.grads), t->count * sizeof(real));
    }
    free(expected);
}

static void check_subject(const char *yaml, struct shape in, struct shape out, int n) {
    struct subject s;
    subject_open(&s, yaml, in, out, n, n);
    check_forward(&s, yaml);
    check_gradients(&s);
    check_gradients_without_dx(&s);
    subject_close(&s);
}

/* --- Operators --------------------------------------------------------------------------------------------------- */

static int row_count(const struct registry *registry) {
    int count = 0;
    while (registry->rows[count])
        count++;
    return count;
}

/* The operator of that number among all pairs, with more keys of its section. */
static const char *operator_yaml(int index, const char *keys) {
    static char text[256];
    int angulars = row_count(&angular_registry), magnitudes = row_count(&magnitude_registry);
    snprintf(text, sizeof text, "{magnitude: %s, angular: %s%s}",
             magnitude_registry.rows[index / angulars % magnitudes]->name,
             angular_registry.rows[index % angulars]->name, keys);
    return text;
}

static int operator_count(void) {
    return row_count(&angular_registry) * row_count(&magnitude_registry);
}

static void check_conv(const char *operation, struct shape in, int n, int filters, int kernel, int stride, int padding,
                       bool bias) {
    char yaml[512];
    struct ref_geometry g = {in.height, in.width, in.channels, kernel, kernel, stride, padding, filters};
    snprintf(
        yaml, sizeof yaml,
        "layers: [{type: conv, name: a, filters: %d, kernel: %d, stride: %d, padding: %d, bias: %s, operator: %s}]",
        filters, kernel, stride, padding, bias ? "true" : "false", operation);
    check_subject(yaml, in, (struct shape){ref_out_height(&g), ref_out_width(&g), filters, false}, n);
}

START_TEST(operator_in_convolution) {
    check_conv(operator_yaml(_i, ""), (struct shape){7, 5, 3, false}, 2, 4, 3, 1, 1, false);
    check_conv(operator_yaml(_i, ", k: 0.1, initial_k: -0.4, k_offset: 0.2, epsilon: 0.5"),
               (struct shape){7, 5, 3, false}, 2, 4, 3, 2, 1, true);
    check_conv(operator_yaml(_i, ", k: 2, k_shared: layer"), (struct shape){5, 7, 2, false}, 1, 6, 3, 1, 0, true);
}
END_TEST

START_TEST(operator_over_many_positions) {
    check_conv(operator_yaml(_i, ""), (struct shape){12, 11, 3, false}, 3, 5, 3, 1, 1, true);
    check_conv(operator_yaml(_i, ", k_shared: layer"), (struct shape){257, 1, 3, false}, 1, 3, 1, 1, 0, true);
    check_conv(operator_yaml(_i, ""), (struct shape){16, 16, 1, false}, 1, 3, 3, 1, 1, false);
    check_conv(operator_yaml(_i, ""), (struct shape){9, 3, 2, false}, 19, 17, 1, 1, 0, false);
}
END_TEST

/* 3x3 with channels that fill vectors, which may be computed another way. */
START_TEST(operator_in_wide_convolution) {
    for (int padding = 0; padding <= 2; padding++) {
        check_conv(operator_yaml(_i, ""), (struct shape){9, 7, 16, false}, 2, 16, 3, 1, padding, true);
        check_conv(operator_yaml(_i, ", k_shared: layer"), (struct shape){3, 5, 12, false}, 3, 20, 3, 1, padding,
                   false);
    }
}
END_TEST

START_TEST(operator_in_dense) {
    char yaml[512];
    snprintf(yaml, sizeof yaml,
             "layers: [{type: flatten}, {type: dense, name: a, units: 6, operator: %s}, "
             "{type: dense, name: b, units: 5, bias: false, operator: %s}]",
             operator_yaml(_i, ""), operator_yaml(_i, ""));
    check_subject(yaml, (struct shape){4, 3, 3, false}, (struct shape){1, 1, 5, true}, 1);
    check_subject(yaml, (struct shape){1, 1, 17, false}, (struct shape){1, 1, 5, true}, 3);
    check_subject(yaml, (struct shape){2, 1, 2, false}, (struct shape){1, 1, 5, true}, 300);
}
END_TEST

/* sphere_conv starts from another magnitude; its k is a constant, or trained and negative. */
START_TEST(operator_in_sphere_conv) {
    char yaml[512];
    const char *angular = angular_registry.rows[_i]->name;
    snprintf(yaml, sizeof yaml,
             "layers: [{type: sphere_conv, name: a, filters: 4, padding: 1, operator: {angular: %s, k: 0.7}}]",
             angular);
    check_subject(yaml, (struct shape){7, 5, 3, false}, (struct shape){7, 5, 4, false}, 2);
}
END_TEST

static const int kernels[] = {1, 3, 4, 5, 7}, strides[] = {1, 2, 3}, channel_counts[] = {1, 3, 17};

static void check_geometry(int kernel, int stride, int padding, int channels, int operation) {
    struct shape in = {kernel > 5 ? 9 : 7, kernel > 5 ? 7 : 5, channels, false};
    check_conv(operator_yaml(operation, ""), in, 2, 3, kernel, stride, padding, false);
    check_conv("{}", in, 1, channels, kernel, stride, padding, true);
}

/* The operators take turns. */
START_TEST(geometry) {
    int kernel = kernels[_i % COUNT(kernels)], stride = strides[_i / COUNT(kernels)];
    for (int i = 0; i < COUNT(channel_counts); i++) {
        check_geometry(kernel, stride, 0, channel_counts[i], _i + 4 * i);
        check_geometry(kernel, stride, kernel / 2, channel_counts[i], _i + 4 * i + 1);
        check_geometry(kernel, stride, kernel - 1, channel_counts[i], _i + 4 * i + 2);
    }
}
END_TEST

/* --- Other layers, and layers together --------------------------------------------------------------------------- */

#define SPHERE(NAME) "{type: sphere_conv, name: " NAME ", filters: 4, padding: 1}"
#define SIGMOID(NAME) "{type: sphere_conv, name: " NAME ", filters: 4, padding: 1, operator: {angular: sigmoid}}"
#define CONV(NAME) "{type: conv, name: " NAME ", filters: 4, padding: 1}"
#define DOWN(NAME) "{type: conv, name: " NAME ", filters: 4, kernel: 1, stride: 2}"
#define HALF(NAME) "{type: sphere_conv, name: " NAME ", filters: 4, stride: 2, padding: 1}"
#define BATCH(NAME) "{type: batch_norm, name: " NAME "}"
#define NORM(NAME) "{type: sphere_norm, name: " NAME "}"
#define RELU "{type: relu}"
#define MAX_3X3 "{type: max_pool, kernel: 3, stride: 1, padding: 1}"
#define FLATTEN "{type: flatten}"
#define RESIDUAL(NAME, BODY, SHORTCUT) "{type: residual, name: " NAME ", body: [" BODY "], shortcut: [" SHORTCUT "]}"

static const struct {
    int n;
    struct shape in, out;
    const char *layers;
} chains[] = {
    /* Layers alone. */
    {3, {7, 5, 4, false}, {7, 5, 4, false}, BATCH("a")},
    {3, {7, 5, 4, false}, {7, 5, 4, false}, "{type: batch_norm, name: a, epsilon: 0.3, decay: 0, debias: false}"},
    {3, {12, 11, 1, false}, {12, 11, 1, false}, BATCH("a")},
    {3, {12, 11, 17, false}, {12, 11, 17, false}, BATCH("a")},
    {300, {1, 1, 3, false}, {1, 1, 3, false}, BATCH("a")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, NORM("a")},
    {3, {12, 11, 3, false}, {12, 11, 3, false}, NORM("a")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, "{type: sphere_norm, name: a, trained: false}"},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RELU},
    {2, {7, 5, 3, false}, {7, 5, 3, true}, FLATTEN},
    {2, {7, 5, 3, false}, {3, 2, 3, false}, "{type: max_pool}"},
    {2, {7, 5, 17, false}, {3, 2, 17, false}, "{type: max_pool, kernel: 3, stride: 2}"},
    {2, {7, 5, 1, false}, {4, 3, 1, false}, "{type: max_pool, kernel: 3, stride: 2, padding: 1}"},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, "{type: max_pool, kernel: 5, stride: 1, padding: 2}"},
    {3, {12, 11, 2, false}, {4, 4, 2, false}, "{type: max_pool, kernel: 1, stride: 3}"},
    {2, {7, 5, 3, false}, {3, 2, 3, false}, "{type: avg_pool}"},
    {2, {7, 5, 3, false}, {5, 3, 3, false}, "{type: avg_pool, kernel: 3, stride: 1}"},
    {2, {7, 5, 17, false}, {2, 1, 17, false}, "{type: avg_pool, kernel: 2, stride: 4}"},
    {3, {7, 5, 3, false}, {1, 1, 3, false}, "{type: avg_pool, global: true}"},
    /* In place, or not, after layers whose backward pass reads their output. */
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, true}, SPHERE("a") ", " FLATTEN ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, true}, SPHERE("a") ", " RELU ", " FLATTEN ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, true}, SPHERE("a") ", " FLATTEN ", " FLATTEN ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " NORM("b") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", {type: sphere_norm, name: b, trained: false}, " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " BATCH("b") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " NORM("b") ", " BATCH("c") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " SPHERE("b") ", " SPHERE("c")},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SIGMOID("a") ", " RELU ", " SIGMOID("b") ", " RELU},
    {2,
     {7, 5, 3, false},
     {7, 5, 4, false},
     "{type: sphere_conv, name: a, filters: 4, padding: 1, bias: true}, " RELU ", " SPHERE("b")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RELU ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 3, true}, RELU ", " FLATTEN ", " RELU ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, CONV("a") ", " RELU ", " RELU ", " CONV("b") ", " NORM("c") ", " NORM("d")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, BATCH("a") ", " BATCH("b") ", " RELU ", " BATCH("c")},
    {2, {7, 5, 3, false}, {3, 2, 3, false}, "{type: max_pool}, " RELU},
    {2, {7, 5, 3, false}, {3, 2, 3, false}, RELU ", {type: max_pool}, " NORM("a")},
    {2, {7, 5, 3, false}, {2, 1, 3, false}, "{type: avg_pool}, {type: max_pool, kernel: 2, stride: 1}, " RELU},
    {2,
     {7, 5, 3, false},
     {1, 1, 4, true},
     CONV("a") ", {type: dense, name: b, units: 5, operator: {magnitude: sphere}}, " RELU
               ", {type: dense, name: c, units: 4}"},
    /* Residual units. */
    {2, {7, 5, 4, false}, {7, 5, 4, false}, RESIDUAL("a", CONV("b"), "")},
    {2, {7, 5, 4, false}, {7, 5, 4, false}, "{type: residual, name: a, body: [" SPHERE("b") "]}, " RELU},
    {2, {7, 5, 4, false}, {7, 5, 4, false}, RESIDUAL("a", SPHERE("b") ", " RELU ", " SPHERE("c"), "") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, RESIDUAL("a", SPHERE("b"), SPHERE("c")) ", " RELU},
    {2, {7, 5, 3, false}, {4, 3, 4, false}, RESIDUAL("a", HALF("b") ", " RELU ", " SPHERE("c"), DOWN("d")) ", " RELU},
    {2,
     {7, 5, 3, false},
     {4, 3, 4, false},
     RESIDUAL("a", HALF("b") ", " BATCH("c") ", " RELU ", " SPHERE("d") ", " BATCH("e"), DOWN("f") ", " BATCH("g"))},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RESIDUAL("a", RELU, "")},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RESIDUAL("a", RELU, RELU) ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 3, false}, RESIDUAL("a", NORM("b"), RELU ", " NORM("c"))},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RESIDUAL("b", RELU ", " CONV("c"), "") ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RESIDUAL("b", CONV("c") ", " RELU, RELU) ", " RELU},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RELU ", " RESIDUAL("b", SPHERE("c") ", " RELU, "")},
    {2, {7, 5, 3, false}, {7, 5, 4, false}, SPHERE("a") ", " RESIDUAL("b", NORM("c"), "") ", " RELU ", " SPHERE("d")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     RESIDUAL("a", CONV("b") ", " RESIDUAL("c", SPHERE("d") ", " RELU, "") ", " RELU ", " CONV("e"), "") ", " RELU},
    {2,
     {7, 5, 3, false},
     {7, 5, 4, false},
     RESIDUAL("a", RESIDUAL("b", SPHERE("c"), CONV("d")) ", " RELU, RESIDUAL("e", CONV("f"), SPHERE("g")))},
    {1,
     {7, 5, 4, false},
     {7, 5, 4, false},
     RESIDUAL("a", RESIDUAL("b", RESIDUAL("c", SPHERE("d") ", " RELU, RELU), SPHERE("e")), "") ", " RELU},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     RESIDUAL("a", SPHERE("b"), "") ", " RESIDUAL("c", SPHERE("d"), "") ", " RESIDUAL("e", SPHERE("f"), "")},
    /* Identity units within units, whose gradients share memory; with and without maps behind them. */
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " CONV("e"), ""), "") ", " CONV("f")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RELU ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " CONV("e"), ""), "") ", " RELU ", " CONV("f")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " CONV("e"), "") ", " RELU, "") ", " RELU ", " CONV("f")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " CONV("e"), "") ", " BATCH("f"),
                             "") ", " BATCH("g") ", " CONV("h")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", RESIDUAL("d", CONV("e"), ""), ""), "") ", " CONV("f")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d") ", " BATCH("e"), CONV("f")), "") ", " CONV("g")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", RESIDUAL("c", CONV("d"), CONV("e")), "") ", " BATCH("f") ", " RELU ", " CONV("g")},
    /* Bodies of a single layer that is no convolution, and units that are normalised. */
    {2, {7, 5, 4, false}, {7, 5, 4, false}, CONV("a") ", " RESIDUAL("b", MAX_3X3, "") ", " CONV("c")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", MAX_3X3, "") ", " BATCH("c") ", " RELU ", " CONV("d")},
    {2, {7, 5, 4, false}, {7, 5, 4, false}, CONV("a") ", " RESIDUAL("b", BATCH("c"), "") ", " CONV("d")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", BATCH("c"), "") ", " BATCH("d") ", " CONV("e")},
    {2, {7, 5, 4, false}, {7, 5, 4, false}, CONV("a") ", " RESIDUAL("b", CONV("c"), "") ", " BATCH("d") ", " CONV("e")},
    {2,
     {7, 5, 4, false},
     {7, 5, 4, false},
     CONV("a") ", " RESIDUAL("b", CONV("c") ", " CONV("d"),
                             "") ", " BATCH("e") ", " RELU ", " RESIDUAL("f", CONV("g"), CONV("h")) ", " BATCH("i")},
    {3,
     {12, 11, 3, false},
     {6, 6, 4, false},
     RESIDUAL("a", HALF("b") ", " NORM("c") ", " BATCH("d"), HALF("e")) ", " RELU ", " SPHERE("f")},
};

START_TEST(chain) {
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "layers: [%s]", chains[_i].layers);
    check_subject(yaml, chains[_i].in, chains[_i].out, chains[_i].n);
}
END_TEST

static bool some_chain_has(const char *type) {
    char comma[64], brace[64];
    snprintf(comma, sizeof comma, "{type: %s,", type);
    snprintf(brace, sizeof brace, "{type: %s}", type);
    for (int i = 0; i < COUNT(chains); i++)
        if (strstr(chains[i].layers, comma) || strstr(chains[i].layers, brace))
            return true;
    return false;
}

START_TEST(every_layer_is_covered) {
    const char *type = layer_registry.rows[_i]->name;
    ck_assert_msg(some_chain_has(type), "no case with a layer of type %s", type);
    reference_index(type);
}
END_TEST

/* --- Batch normalisation over several batches -------------------------------------------------------------------- */

/* Running averages start from 0: after T batches they are the sum of (1 - d) d^(T - t) m_t, over 1 - d^T if debiased.
 */
static void check_running_averages(double decay, bool debias, int batches) {
    enum { CHANNELS = 3 };
    struct subject s;
    char yaml[128];
    struct shape shape = {7, 5, CHANNELS, false};
    double means[CHANNELS] = {0}, variances[CHANNELS] = {0}, debt = 1 - pow(decay, batches);
    snprintf(yaml, sizeof yaml, "layers: [{type: batch_norm, name: a, epsilon: 0.01, decay: %g, debias: %s}]", decay,
             debias ? "true" : "false");
    subject_open(&s, yaml, shape, shape, 9, 9);
    for (int t = 1; t <= batches; t++) {
        double mean[CHANNELS], variance[CHANNELS], weight = (1 - decay) * pow(decay, batches - t) / (debias ? debt : 1);
        fill(&s.rng, s.x, input_count(&s), t);
        model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x);
        model_commit(&s.net);
        ref_moments(s.n * 35, CHANNELS, mean, variance, s.x);
        for (int c = 0; c < CHANNELS; c++) {
            means[c] += weight * mean[c];
            variances[c] += weight * variance[c];
        }
    }
    double expected[2 * 35 * CHANNELS];
    fill(&s.rng, s.x, input_count(&s), 2);
    for (int pass = 0; pass < 2; pass++) { /* evaluation leaves the averages as they are */
        const real *y = model_forward(&s.net, model_step(&s.net, 2, STEP_EVALUATE), s.x);
        ref_batch_norm(2 * 35, CHANNELS, expected, s.x, means, variances, 0.01, tensor_values(&s.net, "a", "weight"),
                       tensor_values(&s.net, "a", "bias"));
        check_near(yaml, y, expected, 2 * 35 * CHANNELS, VALUE_TOLERANCE);
    }
    subject_close(&s);
}

START_TEST(batch_norm_in_evaluation) {
    for (int batches = 1; batches <= 4; batches++)
        for (int debias = 0; debias < 2; debias++) {
            check_running_averages(0.9, debias, batches);
            check_running_averages(0.999, debias, batches);
            check_running_averages(0, debias, batches);
        }
}
END_TEST

START_TEST(batch_norm_before_any_batch_is_finite) {
    struct subject s;
    struct shape shape = {7, 5, 3, false};
    for (int debias = 0; debias < 2; debias++) {
        subject_open(&s, debias ? "layers: [{type: batch_norm}]" : "layers: [{type: batch_norm, debias: false}]", shape,
                     shape, 2, 2);
        check_finite("y", model_forward(&s.net, model_step(&s.net, s.n, STEP_EVALUATE), s.x), output_count(&s));
        subject_close(&s);
    }
}
END_TEST

START_TEST(fixed_sphere_norm_is_the_identity) {
    struct subject s;
    struct shape shape = {7, 5, 3, false};
    subject_open(&s, "layers: [{type: sphere_norm, name: a, trained: false}]", shape, shape, 2, 2);
    ck_assert_mem_eq(model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x), s.x,
                     input_count(&s) * sizeof(real));
    ck_assert_uint_eq(gradient_count(&s.net), 0);
    subject_close(&s);
}
END_TEST

/* One pixel of each window takes all of its gradient, also where several are the largest. */
START_TEST(max_pool_of_equal_pixels) {
    struct subject s;
    subject_open(&s, "layers: [{type: max_pool}]", (struct shape){4, 6, 1, false}, (struct shape){2, 3, 1, false}, 1,
                 1);
    memset(s.x, 0, input_count(&s) * sizeof(real));
    model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x);
    backward(&s, s.dx);
    for (int i = 0; i < 6; i++) {
        const real *corner = s.dx + i / 3 * 12 + i % 3 * 2;
        double pixels[] = {corner[0], corner[1], corner[6], corner[7]};
        int taken = 0;
        for (int j = 0; j < 4; j++) {
            ck_assert(pixels[j] == 0 || pixels[j] == s.dy[i]);
            taken += pixels[j] != 0;
        }
        ck_assert_int_eq(taken, 1);
    }
    subject_close(&s);
}
END_TEST

/* --- Edge cases -------------------------------------------------------------------------------------------------- */

static void open_operator(struct subject *s, int operation, const char *keys, struct shape in, int n) {
    char yaml[512];
    snprintf(yaml, sizeof yaml, "layers: [{type: conv, name: a, filters: 3, kernel: 1, operator: %s}]",
             operator_yaml(operation, keys));
    subject_open(s, yaml, in, (struct shape){in.height, in.width, 3, false}, n, n);
}

static const struct operator_config *operation_of(const struct subject *s) {
    return &((const struct conv_config *)s->layers.choices[0].config)->operation;
}

static double effective_k(const struct subject *s, int filter) {
    const double *k = tensor_values(&s->net, "a", "k");
    return k ? fabs(k[filter]) + operation_of(s)->k_offset : operation_of(s)->k;
}

static double sum_of_squares(const double *values, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sum;
}

/* Gradient of y with respect to x at x = 0, where theta = pi/2 and all but c is even in x: h dg/dc w / (n_w n_x). */
static double slope_at_zero(const struct subject *s, int filter) {
    const struct operator_config *config = operation_of(s);
    const double *w = tensor_values(&s->net, "a", "weight") + filter * s->in.channels;
    double x_norm = sqrt(config->epsilon), w_norm = sqrt(sum_of_squares(w, s->in.channels) + config->epsilon);
    double slope = -ref_angular_slope(config->angular.kind->name, M_PI / 2, effective_k(s, filter)) / (w_norm * x_norm);
    if (strcmp(config->magnitude.kind->name, "sphere") == 0)
        return slope;
    if (strcmp(config->magnitude.kind->name, "linear") == 0)
        return slope * x_norm;
    return strcmp(config->angular.kind->name, "cosine") == 0 ? 1 : slope * x_norm * w_norm;
}

START_TEST(zero_patch) {
    struct subject s;
    open_operator(&s, _i, "", (struct shape){3, 2, 5, false}, 2);
    memset(s.x, 0, input_count(&s) * sizeof(real));
    const real *y = model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x);
    for (size_t i = 0; i < output_count(&s); i++)
        ck_assert_msg(y[i] == 0, "y[%zu] is %g", i, y[i]);
    backward(&s, s.dx);
    const double *w = tensor_values(&s.net, "a", "weight");
    double expected[2 * 3 * 2 * 5] = {0};
    for (int i = 0; i < COUNT(expected); i++)
        for (int f = 0; f < 3; f++)
            expected[i] += s.dy[i / 5 * 3 + f] * slope_at_zero(&s, f) * w[f * 5 + i % 5];
    check_near("dx", s.dx, expected, COUNT(expected), VALUE_TOLERANCE);
    check_all_finite(&s);
    subject_close(&s);
}
END_TEST

/* One image: w0, -w0, 1e8 w0, -1e8 w0. The parallel part of dc/dx vanishes, so that dx stays small. */
START_TEST(parallel_and_antiparallel) {
    enum { CHANNELS = 17, FACTORS = 4 };
    static const double factors[FACTORS] = {1, -1, 1e8, -1e8};
    struct subject s;
    open_operator(&s, _i, ", epsilon: 1e-12", (struct shape){FACTORS, 1, CHANNELS, false}, 1);
    const double *w = tensor_values(&s.net, "a", "weight");
    for (int i = 0; i < FACTORS * CHANNELS; i++)
        s.x[i] = factors[i / CHANNELS] * w[i % CHANNELS];
    check_forward(&s, "y");
    const real *y = model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x);
    double length = sqrt(sum_of_squares(w, CHANNELS)), h[FACTORS];
    for (int i = 0; i < FACTORS; i++) {
        const char *magnitude = operation_of(&s)->magnitude.kind->name;
        h[i] = strcmp(magnitude, "sphere") == 0 ? 1 : fabs(factors[i]) * length;
        h[i] *= strcmp(magnitude, "product") == 0 ? length : 1;
        ck_assert_double_eq_tol(y[i * 3] / h[i], factors[i] < 0 ? -1 : 1, 0.02);
    }
    check_all_finite(&s);
    subject_close(&s);
}
END_TEST

/* dg/dc near |c| = 1 is the one at the clamped value, and so at most 708 times the largest dg/dtheta. */
START_TEST(angular_slope_is_clamped) {
    static const double cosines[] = {
        1,        -1,     1 + 1e-14, -1 - 1e-14, 1 - 1e-7, -1 + 1e-7, 1 - ANGULAR_CLAMP, -1 + ANGULAR_CLAMP,
        1 - 1e-5, -0.999, 0.3,       0};
    static const double ks[] = {0.01, 0.3, 0.7, 100};
    enum { FILTERS = COUNT(cosines) };
    const struct angular *row = (const struct angular *)angular_registry.rows[_i];
    for (int i = 0; i < COUNT(ks); i++) {
        real memory[ANGULAR_COEFFICIENTS * FILTERS], ones[FILTERS];
        real g[FILTERS], again[FILTERS], slope[FILTERS], k_slope[FILTERS];
        struct angular_coefficients coefficients = angular_coefficients_in(memory, FILTERS);
        for (int f = 0; f < FILTERS; f++) {
            angular_set_k(&coefficients, f, ks[i]);
            ones[f] = 1;
        }
        row->value(g, &(struct angular_cosines){cosines, ones, 1}, &coefficients, FILTERS);
        row->slope(again, slope, k_slope, g, &coefficients, FILTERS);
        for (int f = 0; f < FILTERS; f++) {
            double c = row->identity ? cosines[f] : fmax(-1 + ANGULAR_CLAMP, fmin(1 - ANGULAR_CLAMP, cosines[f]));
            double theta = acos(fmax(-1, fmin(1, c)));
            double expected = row->identity ? 1 : -ref_angular_slope(row->kind.name, theta, ks[i]) / sin(theta);
            /* Where g saturates, the angle is lost, and the slope with it. */
            if (fabs(expected) > 1e-3)
                ck_assert_double_eq_tol(again[f], c, 1e-10);
            ck_assert(fabs(again[f]) <= 1 || row->identity);
            ck_assert_double_eq_tol(g[f], row->identity ? c : ref_angular(row->kind.name, theta, ks[i]), 1e-12);
            ck_assert_double_eq_tol(slope[f], expected, 1e-8 * fabs(expected) + 1e-11);
            ck_assert_double_le(slope[f], 708 * fmax(2 / M_PI, 1 / (2 * ks[i] * tanh(M_PI / (4 * ks[i])))));
            if (row->trains_k)
                ck_assert(isfinite(k_slope[f]));
        }
    }
}
END_TEST

static void multiply(real *values, size_t count, double factor) {
    for (size_t i = 0; i < count; i++)
        values[i] *= factor;
}

static void scale_weights(struct subject *s, double factor) {
    const struct tensor *w = find_tensor(&s->net, "a", "weight");
    multiply(w->value, w->count, factor);
}

START_TEST(huge_lengths) {
    for (int both = 0; both < 2; both++) {
        struct subject s;
        open_operator(&s, _i, "", (struct shape){4, 3, 5, false}, 2);
        multiply(s.x, input_count(&s), 1e15);
        scale_weights(&s, both ? 1e15 : 1);
        check_all_finite(&s);
        check_forward(&s, "y");
        subject_close(&s);
    }
}
END_TEST

/* So near 0 that y is its slope there times x. */
static void check_tiny_lengths(int operation, double x_factor, double w_factor) {
    struct subject s;
    double expected[2 * 4 * 3 * 3] = {0};
    open_operator(&s, operation, "", (struct shape){4, 3, 5, false}, 2);
    multiply(s.x, input_count(&s), x_factor);
    scale_weights(&s, w_factor);
    check_all_finite(&s);
    const double *w = tensor_values(&s.net, "a", "weight");
    for (int i = 0; i < COUNT(expected); i++)
        for (int c = 0; c < 5; c++)
            expected[i] += slope_at_zero(&s, i % 3) * w[i % 3 * 5 + c] * s.x[i / 3 * 5 + c];
    check_near("y", model_forward(&s.net, model_step(&s.net, s.n, STEP_TRAIN), s.x), expected, COUNT(expected),
               VALUE_TOLERANCE);
    subject_close(&s);
}

START_TEST(tiny_lengths) {
    check_tiny_lengths(_i, 1e-15, 1);
    check_tiny_lengths(_i, 1e-15, 1e-15);
    check_tiny_lengths(_i, 1e-15, 0);
    check_tiny_lengths(_i, 0, 0);
}
END_TEST

START_TEST(extreme_lengths_through_a_network) {
    static const double lengths[] = {1e15, 1e-15, 0};
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "layers: [%s, %s]",
             SIGMOID("a") ", " NORM("b") ", " BATCH("c") ", " RELU ", " RESIDUAL("d", SPHERE("e"), CONV("f")),
             "{type: max_pool}, {type: dense, name: g, units: 4, operator: {magnitude: linear, angular: linear}}");
    for (int i = 0; i < COUNT(lengths); i++) {
        struct subject s;
        subject_open(&s, yaml, (struct shape){7, 5, 3, false}, (struct shape){1, 1, 4, true}, 3, 3);
        multiply(s.x, input_count(&s), lengths[i]);
        check_all_finite(&s);
        subject_close(&s);
    }
}
END_TEST

/* A batch smaller than planned comes out as in a network planned for it, whatever larger batch went before. */
START_TEST(small_batch_in_a_large_plan) {
    struct subject small, large;
    struct shape in = {7, 5, 3, false}, out = {1, 1, 4, true};
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "layers: [%s, {type: max_pool}, {type: dense, name: g, units: 4}]",
             SIGMOID("a") ", " BATCH("b") ", " RELU ", " RESIDUAL("c", SPHERE("d") ", " NORM("e"), CONV("f")));
    subject_open(&small, yaml, in, out, 2, 2);
    subject_open(&large, yaml, in, out, 9, 9);
    memcpy(large.net.memory.values, small.net.memory.values, gradient_count(&small.net) * sizeof(real));
    model_forward(&large.net, model_step(&large.net, large.n, STEP_TRAIN), large.x);
    backward(&large, large.dx);
    large.n = small.n;
    memcpy(large.x, small.x, input_count(&small) * sizeof(real));
    memcpy(large.dy, small.dy, output_count(&small) * sizeof(real));
    const real *expected = model_forward(&small.net, model_step(&small.net, small.n, STEP_TRAIN), small.x);
    check_near("y", model_forward(&large.net, model_step(&large.net, large.n, STEP_TRAIN), large.x), expected,
               output_count(&small), 1e-14);
    backward(&small, small.dx);
    backward(&large, large.dx);
    check_near("dx", large.dx, small.dx, input_count(&small), 1e-13);
    check_near("gradients", large.net.memory.grads, small.net.memory.grads, gradient_count(&small.net), 1e-13);
    subject_close(&small);
    subject_close(&large);
}
END_TEST

/* --- Whole networks, with their loss ----------------------------------------------------------------------------- */

static const struct {
    const char *type, *data, *keys;
} networks[] = {
    {"plain", "height: 8, width: 10, channels: 3",
     "depth: 3, widths: [3, 4, 5], features: 6, normalization: both, operator: {angular: learnable_sigmoid}"},
    {"resnet", "height: 9, width: 8, channels: 1",
     "depth: 8, widths: [3, 4, 5], classifier_bias: true, operator: {angular: linear}"},
    {"imagenet_plain", "height: 40, width: 36, channels: 3",
     "widths: [2, 3, 4, 5], normalization: sphere_norm, operator: {angular: sigmoid}"},
    {"imagenet_resnet", "height: 36, width: 40, channels: 3", "widths: [2, 3, 4, 5], bias: true"},
    {"layers", "height: 7, width: 5, channels: 3",
     "layers: [" SPHERE("a") ", " RELU ", {type: dense, name: score, units: 4}]"},
};

static const struct {
    const char *type, *keys;
    double smoothing, floor;
} losses[] = {
    /* angular ones: test_losses.c */
    {"softmax", "label_smoothing: 0, probability_floor: 0", 0, 0},
    {"softmax", "label_smoothing: 0.01, probability_floor: 1e-4", 0.01, 1e-4},
    {"softmax", "label_smoothing: 0.3, probability_floor: 0", 0.3, 0},
};

struct whole {
    struct experiment experiment;
    struct model net;
    int n, classes;
    real *x, *dlogits;
    uint8_t *labels;
    struct rng rng;
};

static void whole_open(struct whole *whole, int network, int loss) {
    char yaml[1024];
    struct diagnostics diags = {0};
    struct error err;
    snprintf(yaml, sizeof yaml,
             "data: {type: synthetic, classes: 4, %s}\nnetwork: {type: %s, %s}\nloss: {type: %s, %s}\n"
             "train: {iterations: 1, batch_size: 5}\n",
             networks[network].data, networks[network].type, networks[network].keys, losses[loss].type,
             losses[loss].keys);
    memset(whole, 0, sizeof *whole);
    bool parsed = experiment_parse(&whole->experiment, "test", yaml, NULL, 0, &diags);
    ck_assert_msg(parsed && experiment_plan(&whole->experiment, &whole->net, &diags), "%s", diags.text.data);
    ck_assert_msg(model_allocate(&whole->net, 3, &err), "%s", err.text);
    whole->n = 5;
    whole->classes = whole->experiment.shape.classes;
    whole->rng = rng_stream(12, RNG_TEST, 0, 0);
    size_t count = (size_t)whole->n * shape_size(&whole->net.chain.in);
    whole->x = mem_alloc(count * sizeof(real));
    whole->dlogits = mem_alloc((size_t)(whole->n * whole->classes) * sizeof(real));
    whole->labels = mem_alloc((size_t)whole->n);
    fill(&whole->rng, whole->x, count, 1);
    randomise_parameters(&whole->net, &whole->rng);
    for (int i = 0; i < whole->n; i++)
        whole->labels[i] = (uint8_t)rng_below(&whole->rng, (uint32_t)whole->classes);
}

static void whole_close(struct whole *whole) {
    model_free(&whole->net);
    experiment_free(&whole->experiment);
    free(whole->x);
    free(whole->dlogits);
    free(whole->labels);
}

static double whole_loss(void *context) {
    struct whole *whole = context;
    const real *logits = model_forward(&whole->net, model_step(&whole->net, whole->n, STEP_TRAIN), whole->x);
    struct loss_input in = {whole->n, whole->classes, logits, NULL, whole->labels, NULL};
    return loss_evaluate(whole->experiment.loss, &in, 1, NULL);
}

static void check_whole(int network, int loss) {
    struct whole whole;
    whole_open(&whole, network, loss);
    const real *logits = model_forward(&whole.net, model_step(&whole.net, whole.n, STEP_TRAIN), whole.x);
    struct signal images = {whole.n, whole.net.chain.in, whole.x};
    struct signal expected = reference_chain(&whole.net, &whole.experiment.layers, images);
    check_near(networks[network].type, logits, expected.values, (size_t)(whole.n * whole.classes), VALUE_TOLERANCE);
    struct loss_input in = {whole.n, whole.classes, logits, NULL, whole.labels, NULL};
    double value = loss_evaluate(whole.experiment.loss, &in, 1, &(struct loss_gradient){whole.dlogits, NULL, NULL});
    ck_assert_double_eq_tol(value,
                            ref_softmax_loss(whole.n, whole.classes, expected.values, whole.labels,
                                             losses[loss].smoothing, losses[loss].floor),
                            1e-10 * value);
    model_backward(&whole.net, model_step(&whole.net, whole.n, STEP_TRAIN), whole.dlogits, whole.x);
    real *gradients = copy_of(whole.net.memory.grads, gradient_count(&whole.net));
    check_tensor_gradients(&whole.net, whole_loss, &whole, gradients, &whole.rng, VALUE_NOISE * (1 + value));
    free(gradients);
    free(expected.values);
    whole_close(&whole);
}

START_TEST(network) {
    check_whole(_i, 1);
}
END_TEST

START_TEST(network_with_loss) {
    check_whole(COUNT(networks) - 1, _i);
}
END_TEST

START_TEST(every_network_is_covered) {
    for (int row = 0; network_registry.rows[row]; row++) {
        bool covered = false;
        for (int i = 0; i < COUNT(networks); i++)
            covered |= strcmp(networks[i].type, network_registry.rows[row]->name) == 0;
        ck_assert_msg(covered, "no case for network %s", network_registry.rows[row]->name);
    }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return tcase;
}

Suite *test_suite(void) {
    gemm_setup();
    threads_decide(1);
    Suite *suite = suite_create("layers");
    TCase *operators = add_case(suite, "operators");
    tcase_add_loop_test(operators, operator_in_convolution, 0, operator_count());
    tcase_add_loop_test(operators, operator_over_many_positions, 0, operator_count());
    tcase_add_loop_test(operators, operator_in_wide_convolution, 0, operator_count());
    tcase_add_loop_test(operators, operator_in_dense, 0, operator_count());
    tcase_add_loop_test(operators, operator_in_sphere_conv, 0, row_count(&angular_registry));
    tcase_add_loop_test(operators, geometry, 0, COUNT(kernels) * COUNT(strides));
    TCase *layers = add_case(suite, "layers");
    tcase_add_loop_test(layers, every_layer_is_covered, 0, row_count(&layer_registry));
    tcase_add_loop_test(layers, chain, 0, COUNT(chains));
    tcase_add_test(layers, batch_norm_in_evaluation);
    tcase_add_test(layers, batch_norm_before_any_batch_is_finite);
    tcase_add_test(layers, max_pool_of_equal_pixels);
    tcase_add_test(layers, fixed_sphere_norm_is_the_identity);
    TCase *edges = add_case(suite, "edge cases");
    tcase_add_loop_test(edges, zero_patch, 0, operator_count());
    tcase_add_loop_test(edges, parallel_and_antiparallel, 0, operator_count());
    tcase_add_loop_test(edges, angular_slope_is_clamped, 0, row_count(&angular_registry));
    tcase_add_loop_test(edges, huge_lengths, 0, operator_count());
    tcase_add_loop_test(edges, tiny_lengths, 0, operator_count());
    tcase_add_test(edges, extreme_lengths_through_a_network);
    tcase_add_test(edges, small_batch_in_a_large_plan);
    TCase *whole = add_case(suite, "whole networks");
    tcase_add_test(whole, every_network_is_covered);
    tcase_add_loop_test(whole, network, 0, COUNT(networks));
    tcase_add_loop_test(whole, network_with_loss, 0, COUNT(losses));
    return suite;
}
