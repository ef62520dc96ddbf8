#include "support/f64_reference_net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer/configs.h"
#include "layer/drop.h"
#include "ref/reference.h"
#include "support/operators.h"
#include "support/suite.h"

const struct tensor *find_tensor(const struct model *net, const char *layer, const char *part) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    for (int i = 0; i < net->tensor_count; i++)
        if (strcmp(net->tensors[i]->name, name) == 0)
            return net->tensors[i];
    return NULL;
}

const double *tensor_values(const struct model *net, const char *layer, const char *part) {
    const struct tensor *tensor = find_tensor(net, layer, part);
    return tensor ? tensor->value : NULL;
}

static struct signal signal_new(int n, struct shape shape) {
    return (struct signal){n, shape, mem_alloc((size_t)n * shape_size(&shape) * sizeof(double))};
}

static struct signal signal_copy(struct signal x) {
    struct signal copy = signal_new(x.n, x.shape);
    memcpy(copy.values, x.values, (size_t)x.n * shape_size(&x.shape) * sizeof(double));
    return copy;
}

double effective_rho(const struct model *net, const char *layer, struct choice magnitude) {
    const double *trained = tensor_values(net, layer, "rho");
    return trained ? fabs(*trained) + 1e-4 : row_number(magnitude, "rho", 0);
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
        k[f] = trained ? fabs(trained->value[trained->count > 1 ? f : 0]) + row_number(config->angular, "k_offset", 0)
                       : row_number(config->angular, "k", 0);
    struct ref_operator op = {config->magnitude.kind->name,
                              config->angular.kind->name,
                              config->epsilon,
                              ANGULAR_CLAMP,
                              k,
                              effective_rho(net, name, config->magnitude)};
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
    double *mean = mem_alloc((size_t)channels * sizeof *mean), *variance = mem_alloc((size_t)channels * sizeof *mean);
    struct signal y = signal_new(x.n, x.shape);
    ref_moments(rows_of(x), channels, mean, variance, x.values);
    ref_batch_norm(rows_of(x), channels, y.values, x.values, mean, variance, c->epsilon,
                   tensor_values(net, c->layer.name, "weight"), tensor_values(net, c->layer.name, "bias"));
    free(mean);
    free(variance);
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

/* The step's seed and the position of its first image are 0. */
struct numbered {
    const void *config;
    int number;
};

static void find_number(const struct layer *layer, int depth, void *context) {
    struct numbered *found = context;
    (void)depth;
    if (layer->choice.config == found->config)
        found->number = layer->number;
}

static int number_of(const struct model *net, const void *config) {
    struct numbered found = {config, -1};
    chain_visit(&net->chain, find_number, &found);
    ck_assert_int_ge(found.number, 0);
    return found.number;
}

/* Each value has a number of its own, or all have the image's first. */
static struct signal drop(const struct model *net, const void *config, struct signal x, enum rng_purpose purpose,
                          bool first_decides) {
    size_t size = shape_size(&x.shape);
    struct signal y = signal_new(x.n, x.shape);
    double *numbers = mem_alloc(size * sizeof *numbers);
    for (int i = 0; i < x.n; i++) {
        ref_uniform(0, purpose, (uint64_t)i, (uint64_t)number_of(net, config), size, numbers);
        for (size_t j = 0; first_decides && j < size; j++)
            numbers[j] = numbers[0];
        ref_drop(size, y.values + (size_t)i * size, x.values + (size_t)i * size, numbers,
                 ((const struct drop_config *)config)->rate);
    }
    free(numbers);
    return y;
}

static struct signal reference_dropout(const struct model *net, const void *config, struct signal x) {
    return drop(net, config, x, RNG_DROPOUT, false);
}

static struct signal reference_stochastic_depth(const struct model *net, const void *config, struct signal x) {
    return drop(net, config, x, RNG_STOCHASTIC_DEPTH, true);
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
    {"dropout", reference_dropout},
    {"stochastic_depth", reference_stochastic_depth},
};

int reference_index(const char *type) {
    for (int i = 0; i < COUNT(references); i++)
        if (strcmp(references[i].type, type) == 0)
            return i;
    ck_abort_msg("no reference for layer type %s", type);
}

struct signal reference_chain(const struct model *net, const struct choice_list *layers, struct signal x) {
    struct signal y = signal_copy(x);
    for (int i = 0; i < layers->count; i++) {
        const struct choice *choice = &layers->choices[i];
        struct signal next = references[reference_index(choice->kind->name)].run(net, choice->config, y);
        free(y.values);
        y = next;
    }
    return y;
}
