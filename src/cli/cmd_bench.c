#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/command.h"
#include "kernel/gemm.h"
#include "machine/cpu.h"
#include "machine/openblas.h"
#include "storage/csv.h"

enum { MOST_ROUNDS = 1000 };

static struct values overrides;
static const char *rounds_text = "5";
static bool as_csv;

static const struct option options[] = {
    SET_OPTION(&overrides),
    {"rounds", OPTION_VALUE, &rounds_text, "N", "measure N times and take medians; 5 unless told"},
    {"csv", OPTION_FLAG, &as_csv, NULL, "print rows of measure,layer,value,unit instead of tables"},
    {0},
};

static const char *const phase_names[STEP_PHASES] = {"input", "forward", "loss", "backward", "penalties", "optimizer"};
static const char *const direction_names[PASS_DIRECTIONS] = {"forward", "backward"};

/* FLOP of the whole step a second, six for each multiply-add of the forward pass. */
static double step_rate(const struct bench *bench) {
    return 6.0 * (double)bench->multiply_adds * bench_median(bench, BENCH_TRAINING);
}

static size_t parameters(const struct bench *bench) {
    const struct model *model = &bench->trainer.model;
    size_t count = 0;
    for (int i = 0; i < model->tensor_count; i++)
        count += model->tensors[i]->trained ? model->tensors[i]->count : 0;
    return count;
}

/* --- Tables ------------------------------------------------------------------------------------------------------ */

static void print_direction(const struct bench *bench, const struct layer *layer, enum pass_direction direction) {
    double seconds = bench_median(bench, bench_layer(layer, direction)), flop = bench_flop(bench, layer, direction);
    printf(" %9.3f", 1e3 * seconds);
    if (flop > 0)
        printf(" %8.1f", 1e-9 * flop / seconds);
    else
        printf(" %8s", "-");
}

static void print_layer(const struct layer *layer, int depth, void *context) {
    const struct bench *bench = context;
    char name[LAYER_COLUMN_BYTES], shape[48];
    command_layer_column(layer, depth, name);
    snprintf(shape, sizeof shape, "%dx%dx%d", layer->out.height, layer->out.width, layer->out.channels);
    printf("%-28s %-16s %11s", name, layer->type->kind.name, shape);
    for (enum pass_direction direction = 0; direction < PASS_DIRECTIONS; direction++)
        print_direction(bench, layer, direction);
    double bytes = bench_tensor_bytes(bench, layer);
    if (bytes > 0)
        printf(" %8.1f\n", bytes / 1e6);
    else
        printf(" %8s\n", "-");
}

static void print_layers(const struct bench *bench) {
    printf("\n%-28s %-16s %11s %9s %8s %9s %8s %8s\n", "layer", "type", "output", "forward", "", "backward", "",
           "tensors");
    printf("%-28s %-16s %11s %9s %8s %9s %8s %8s\n", "", "", "", "ms", "GFLOP/s", "ms", "GFLOP/s", "MB");
    chain_visit(&bench->trainer.model.chain, print_layer, (void *)bench);
}

static void print_phases(const struct bench *bench) {
    double whole = 0;
    for (int phase = 0; phase < STEP_PHASES; phase++)
        whole += bench_median(bench, BENCH_PHASES + phase);
    printf("\n%-24s %9s %6s\n", "phase of the step", "ms", "%");
    for (int phase = 0; phase < STEP_PHASES; phase++) {
        double seconds = bench_median(bench, BENCH_PHASES + phase);
        printf("%-24s %9.3f %6.1f\n", phase_names[phase], 1e3 * seconds, 100 * seconds / whole);
    }
}

static void print_tables(const struct bench *bench) {
    double products = bench_median(bench, BENCH_GEMM), training = bench_median(bench, BENCH_TRAINING);
    double evaluation = bench_median(bench, BENCH_EVALUATION), input = bench_median(bench, BENCH_INPUT);
    int threads = bench->trainer.model.planner.threads, loaders = bench->loader_threads;
    printf("machine: %s, %d thread%s\nproducts: %s\n", cpu_description(), threads, threads == 1 ? "" : "s",
           blas_library());
    printf("network: %zu trained parameters, %.3f GFLOP an image forward; batches of %d\n", parameters(bench),
           2e-9 * (double)bench->multiply_adds, bench->trainer.model.batch);
    print_layers(bench);
    print_phases(bench);
    printf("\nmatrix products (%d^3): %.1f GFLOP/s\n", BENCH_GEMM_SIZE, products / 1e9);
    printf("copying (%d MB): %.1f GB/s read and written\n", BENCH_COPY_BYTES / 1000000,
           bench_median(bench, BENCH_COPY) / 1e9);
    printf("training step: %.1f images/s, %.3f GFLOP an image, %.1f effective GFLOP/s\n", training,
           6e-9 * (double)bench->multiply_adds, step_rate(bench) / 1e9);
    printf("ratio: %.3f of the matrix products\n", step_rate(bench) / products);
    printf("evaluation: %.1f images/s, %.2f times training\n", evaluation, evaluation / training);
    printf("input: %.1f images/s prepared by %d thread%s, %.2f times training\n", input, loaders,
           loaders == 1 ? "" : "s", input / training);
    printf("peak memory: %.0f MB, of which images %.0f MB; without what measuring the machine took\n",
           bench->peak_memory / 1e6, bench->image_memory / 1e6);
    printf("medians of %d round%s\n", bench->rounds, bench->rounds == 1 ? "" : "s");
}

/* --- CSV --------------------------------------------------------------------------------------------------------- */

static void row(const char *measure, const char *layer, double value, const char *unit) {
    printf("%s,", measure);
    csv_field(stdout, layer);
    printf(",%.9g,%s\n", value, unit);
}

static void layer_rows(const struct layer *layer, int depth, void *context) {
    (void)depth;
    const struct bench *bench = context;
    char name[LAYER_COLUMN_BYTES];
    command_layer_column(layer, 0, name);
    for (enum pass_direction direction = 0; direction < PASS_DIRECTIONS; direction++) {
        double seconds = bench_median(bench, bench_layer(layer, direction)), flop = bench_flop(bench, layer, direction);
        char rate[32];
        snprintf(rate, sizeof rate, "%s_rate", direction_names[direction]);
        row(direction_names[direction], name, 1e3 * seconds, "ms");
        if (flop > 0)
            row(rate, name, 1e-9 * flop / seconds, "GFLOP/s");
    }
    row("outputs", name, (double)shape_size(&layer->out), "values");
    row("tensors", name, bench_tensor_bytes(bench, layer) / 1e6, "MB");
}

static void spec_rows(const struct bench *bench) {
    const struct dataset *dataset = &bench->dataset;
    row("rounds", "", bench->rounds, "rounds");
    row("threads", "", bench->trainer.model.planner.threads, "threads");
    row("loader_threads", "", bench->loader_threads, "threads");
    row("batch", "", bench->trainer.model.batch, "images");
    row("height", "", dataset->height, "pixels");
    row("width", "", dataset->width, "pixels");
    row("channels", "", dataset->channels, "channels");
    row("dataset", "", bench->image_memory / 1e6, "MB");
    row("parameters", "", (double)parameters(bench), "values");
    row("multiply_adds", "", (double)bench->multiply_adds, "multiply-adds");
}

static void print_rows(const struct bench *bench) {
    double products = bench_median(bench, BENCH_GEMM), training = bench_median(bench, BENCH_TRAINING);
    double evaluation = bench_median(bench, BENCH_EVALUATION);
    printf("measure,layer,value,unit\n");
    spec_rows(bench);
    row("sgemm", "", products / 1e9, "GFLOP/s");
    row("copy", "", bench_median(bench, BENCH_COPY) / 1e9, "GB/s");
    row("training_step", "", training, "images/s");
    row("training_rate", "", step_rate(bench) / 1e9, "GFLOP/s");
    row("training_ratio", "", step_rate(bench) / products, "of sgemm");
    row("evaluation", "", evaluation, "images/s");
    row("evaluation_ratio", "", evaluation / training, "of training_step");
    row("prepared", "", bench_median(bench, BENCH_INPUT), "images/s");
    row("peak_memory", "", bench->peak_memory / 1e6, "MB");
    for (int phase = 0; phase < STEP_PHASES; phase++)
        row(phase_names[phase], "", 1e3 * bench_median(bench, BENCH_PHASES + phase), "ms");
    chain_visit(&bench->trainer.model.chain, layer_rows, (void *)bench);
}

/* --- The command ------------------------------------------------------------------------------------------------- */

static bool read_rounds(int *rounds) {
    char *end;
    long value = strtol(rounds_text, &end, 10);
    *rounds = (int)value;
    if (end != rounds_text && !*end && value >= 1 && value <= MOST_ROUNDS)
        return true;
    fprintf(stderr, "spherenet bench: --rounds %s: expected a whole number from 1 to %d\n", rounds_text, MOST_ROUNDS);
    return false;
}

static enum exit_status run_spec(const struct experiment *experiment, const char *path, int rounds) {
    struct bench bench = {0};
    struct error err;
    bool good = command_take_machine(experiment, path, &err);
    if (good) {
        command_warn_of_core(experiment);
        good = bench_run(&bench, experiment, rounds, &err);
    }
    if (!good)
        fprintf(stderr, "spherenet: %s\n", err.text);
    else if (as_csv)
        print_rows(&bench);
    else
        print_tables(&bench);
    bench_close(&bench);
    return good ? EXIT_DONE : EXIT_FAILED;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    int rounds;
    struct experiment experiment;
    if (!read_rounds(&rounds))
        return EXIT_USAGE;
    enum exit_status status = EXIT_USAGE;
    if (command_read_spec(&experiment, operands[0], &overrides))
        status = run_spec(&experiment, operands[0], rounds);
    experiment_free(&experiment);
    return status;
}

const struct command command_bench = {
    .name = "bench",
    .operands = "SPEC",
    .summary = "Time a spec's training, layer by layer, beside the machine's own matrix products and copies.",
    .details =
        "A round measures matrix products, copying, training steps, forward passes as in evaluation, and the input:\n"
        "batches that the loader's threads read, decode and augment while nothing else runs; at least half a second\n"
        "each of the last three. Figures are medians of the rounds.\n"
        "\n"
        "FLOP are counted as direct convolution: six for each multiply-add of the forward pass, which is a\n"
        "multiplication and an addition forward, backward to the input, and backward to the weights. The first layer\n"
        "goes back to the weights alone, and its own row counts that.\n"
        "batch_norm, sphere_norm, relu and flatten make no pass of their own: the layers beside them do their work.\n"
        "ms of a residual unit: in training it is the addition; the layers within it have rows of their own.\n"
        "input as a phase of the step is the time that a step waits for its batch.\n"
        "MB of tensors: what a step reads or writes at least once for the layer, forward or backward: a batch of its\n"
        "input, its output, and the gradients of both. The output of one layer is the input of the next, so the "
        "column\n"
        "does not add up to the memory of the network.\n"
        "Peak memory is that of training and evaluation, images of the dataset included; the arrays that measure the\n"
        "machine come after.\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
