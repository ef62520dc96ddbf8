#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "train/experiment.h"

static struct values overrides;

static const struct option options[] = {SET_OPTION(&overrides), {0}};

struct totals {
    const struct model *model;
    size_t parameters;
    int64_t multiply_adds;
};

static size_t layer_parameters(const struct model *model, const struct layer *layer) {
    size_t count = 0;
    for (int i = 0; i < model->tensor_count; i++)
        if (model->tensors[i]->trained && tensor_is_of(model->tensors[i]->name, layer->name))
            count += model->tensors[i]->count;
    return count;
}

static void print_layer(const struct layer *layer, int depth, void *context) {
    struct totals *totals = context;
    char name[80], shape[48];
    size_t parameters = layer_parameters(totals->model, layer);
    snprintf(name, sizeof name, "%*s%s", 2 * depth, "", layer->name);
    snprintf(shape, sizeof shape, "%dx%dx%d", layer->out.height, layer->out.width, layer->out.channels);
    printf("# %-28s %-16s %14s %12zu %16" PRId64 "\n", name, layer->type->kind.name, shape, parameters,
           layer->multiply_adds);
    totals->parameters += parameters;
    totals->multiply_adds += layer->multiply_adds;
}

static double megabytes(size_t reals) {
    return (double)(reals * sizeof(real)) / 1e6;
}

static void print_network(const struct model *model) {
    struct totals totals = {.model = model};
    printf("# %-28s %-16s %14s %12s %16s\n", "layer", "type", "output", "parameters", "multiply-adds");
    chain_visit(&model->chain, print_layer, &totals);
    struct plan_sizes sizes = plan_sizes(&model->planner);
    printf("# %-28s %-16s %14s %12zu %16" PRId64 "\n", "total", "", "", totals.parameters, totals.multiply_adds);
    printf("# multiply-adds: forward, one image; training takes about three times as many\n");
    printf("# memory for batches of %d: %.1f MB weights and gradients, %.1f MB activations, %.1f MB work beyond; "
           "optimizer and data come on top\n",
           model->batch, megabytes(2 * sizes.trained + sizes.buffers + sizes.next), megabytes(sizes.kept),
           megabytes(sizes.region - sizes.kept));
}

/* The spec with its network written out layer by layer. */
static void print_spec(const struct experiment *experiment) {
    struct experiment explicit = *experiment;
    struct layers_config written_out = {experiment->layers};
    struct text text = {0};
    explicit.network.kind = registry_find(&network_registry, "layers");
    explicit.network.config = &written_out;
    experiment_emit(&text, &explicit);
    fputs(text.data, stdout);
    text_free(&text);
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    struct experiment experiment;
    struct diagnostics diags = {0};
    struct model model;
    struct loss loss;
    bool good = command_read_spec(&experiment, operands[0], &overrides);
    if (good) {
        good = experiment_plan(&experiment, STEP_TRAIN, &model, &loss, &diags);
        printf("# %s, resolved; the network (%s) written out layer by layer\n", operands[0],
               experiment.network.kind->name);
        print_spec(&experiment);
        printf("\n");
        print_network(&model);
        model_free(&model);
    }
    text_free(&diags.text);
    experiment_free(&experiment);
    return good ? EXIT_DONE : EXIT_USAGE;
}

const struct command command_show = {
    .name = "show",
    .operands = "SPEC",
    .summary = "Print a spec with every key, its network layer by layer, and what the layers cost.",
    .details = "The output is itself a valid spec of the same network; the table of layers stands in comments.\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
