#include "cli/bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "data/standardize.h"
#include "kernel/gemm.h"
#include "machine/cpu.h"
#include "machine/rates.h"

/* A round has at least as many steps, and goes on for at least as long, so that small networks are not measured by
 * single steps of a millisecond. */
enum { LEAST_STEPS = 2 };
static const double least_seconds = 0.5;

enum { MACHINE_REPEATS = 2 };

/* --- What is known without measuring ----------------------------------------------------------------------------- */

static bool is_first(const struct bench *bench, const struct layer *layer) {
    return layer == bench->trainer.model.chain.layers;
}

double bench_tensor_bytes(const struct bench *bench, const struct layer *layer) {
    if (layer->type->fold)
        return 0;
    double in = (double)shape_size(&layer->in), out = (double)shape_size(&layer->out);
    return (double)sizeof(real) * bench->trainer.model.batch * ((is_first(bench, layer) ? 1 : 2) * in + 2 * out);
}

double bench_flop(const struct bench *bench, const struct layer *layer, enum pass_direction direction) {
    int products = direction == PASS_FORWARD || is_first(bench, layer) ? 1 : 2;
    return 2.0 * products * (double)layer->multiply_adds * bench->trainer.model.batch;
}

static void count_layer(const struct layer *layer, int depth, void *context) {
    (void)depth;
    struct bench *bench = context;
    bench->layers++;
    bench->multiply_adds += layer->multiply_adds;
}

/* --- Opening ----------------------------------------------------------------------------------------------------- */

static bool open_bench(struct bench *bench, const struct experiment *experiment, struct error *err) {
    uint64_t seed = (uint64_t)experiment->seed;
    if (!dataset_load(&bench->dataset, experiment->data, seed, err) ||
        !standardize(&bench->dataset, experiment->data, err) || !trainer_open(&bench->trainer, experiment, err))
        return false;
    const struct data_config *data = experiment_data(experiment);
    bench->loader_threads = data->loader_threads;
    bench->loader = loader_train(&bench->dataset, data, seed, experiment->train.batch_size, 0, err);
    if (!bench->loader)
        return false;
    chain_visit(&bench->trainer.model.chain, count_layer, bench);
    size_t measures = BENCH_LAYERS + PASS_DIRECTIONS * (size_t)bench->layers;
    bench->samples = mem_block(measures * (size_t)bench->rounds * sizeof *bench->samples);
    bench->times.seconds = mem_block((size_t)bench->layers * sizeof *bench->times.seconds);
    return (bench->samples && bench->times.seconds) ||
           error_set_code(err, ERROR_NO_MEMORY, "not enough memory for the measurements");
}

void bench_close(struct bench *bench) {
    loader_close(bench->loader);
    trainer_close(&bench->trainer);
    dataset_free(&bench->dataset);
    free(bench->samples);
    free(bench->times.seconds);
    *bench = (struct bench){0};
}

/* --- Measuring --------------------------------------------------------------------------------------------------- */

static void keep(struct bench *bench, int measure, int round, double value) {
    bench->samples[(size_t)measure * (size_t)bench->rounds + (size_t)round] = value;
}

static bool enough(int steps, double seconds) {
    return steps >= LEAST_STEPS && seconds >= least_seconds;
}

static void keep_times(struct bench *bench, int round, int steps) {
    for (int phase = 0; phase < STEP_PHASES; phase++)
        keep(bench, BENCH_PHASES + phase, round, bench->step.seconds[phase] / steps);
    const double *seconds = bench->times.seconds[0];
    for (int i = 0; i < PASS_DIRECTIONS * bench->layers; i++)
        keep(bench, BENCH_LAYERS + i, round, seconds[i] / steps);
}

static void evaluate(struct bench *bench, const struct batch *batch) {
    struct model *model = &bench->trainer.model;
    model_forward(model, model_step(model, batch->count, STEP_EVALUATE), batch->images);
}

/* Returns the last batch; NULL: an image could not be fetched. */
static const struct batch *measure_training(struct bench *bench, int round) {
    struct trainer *trainer = &bench->trainer;
    const struct batch *batch;
    int steps = 0;
    double start = clock_seconds(), seconds = 0;
    bench->step = (struct step_times){.last = start};
    memset(bench->times.seconds, 0, (size_t)bench->layers * sizeof *bench->times.seconds);
    trainer->times = &bench->step;
    trainer->profile = &bench->times;
    while (!enough(steps, seconds)) {
        batch = loader_next(bench->loader);
        if (!batch)
            return NULL;
        trainer_step(trainer, batch);
        steps++;
        seconds = clock_seconds() - start;
    }
    trainer->times = NULL;
    trainer->profile = NULL;
    keep(bench, BENCH_TRAINING, round, (double)trainer->model.batch * steps / seconds);
    keep_times(bench, round, steps);
    return batch;
}

static void measure_evaluation(struct bench *bench, int round, const struct batch *batch) {
    int steps = 0;
    double start = clock_seconds(), seconds = 0;
    while (!enough(steps, seconds)) {
        evaluate(bench, batch);
        steps++;
        seconds = clock_seconds() - start;
    }
    keep(bench, BENCH_EVALUATION, round, (double)batch->count * steps / seconds);
}

/* Batches that are ready when it begins are not counted. False: an image could not be fetched. */
static bool measure_input(struct bench *bench, int round) {
    int batches = -LOADER_BATCHES;
    double start = 0, seconds = 0;
    for (; batches < 0 || !enough(batches, seconds); batches++) {
        if (batches == 0)
            start = clock_seconds();
        if (!loader_next(bench->loader))
            return false;
        seconds = clock_seconds() - start;
    }
    keep(bench, BENCH_INPUT, round, (double)bench->trainer.model.batch * batches / seconds);
    return true;
}

static bool measure_machine(struct bench *bench, int round, struct error *err) {
    int threads = bench->trainer.model.planner.threads;
    double products = gemm_rate(BENCH_GEMM_SIZE, threads, MACHINE_REPEATS);
    double copies = copy_rate(BENCH_COPY_BYTES, threads, MACHINE_REPEATS);
    keep(bench, BENCH_GEMM, round, products);
    keep(bench, BENCH_COPY, round, copies);
    return (products > 0 && copies > 0) || error_set(err, "not enough memory to measure the machine");
}

/* What a step does for the first time is not measured: memory is touched, and the batches are being prepared. */
static bool warm_up(struct bench *bench, struct error *err) {
    const struct batch *batch = loader_next(bench->loader);
    if (!batch)
        return loader_good(bench->loader, err);
    trainer_step(&bench->trainer, batch);
    evaluate(bench, batch);
    bench->peak_memory = cpu_peak_memory();
    bench->image_memory = (double)dataset_held_bytes(&bench->dataset);
    return true;
}

bool bench_run(struct bench *bench, const struct experiment *experiment, int rounds, struct error *err) {
    *bench = (struct bench){.rounds = rounds};
    if (!open_bench(bench, experiment, err) || !warm_up(bench, err))
        return false;
    for (int round = 0; round < rounds; round++) {
        if (!measure_machine(bench, round, err))
            return false;
        const struct batch *batch = measure_training(bench, round);
        if (!batch)
            return loader_good(bench->loader, err);
        measure_evaluation(bench, round, batch);
        if (!measure_input(bench, round))
            return loader_good(bench->loader, err);
    }
    return true;
}

/* --- Summing up -------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const struct bench *bench, int measure) {
    size_t count = (size_t)bench->rounds;
    double *sorted = mem_alloc(count * sizeof *sorted);
    memcpy(sorted, bench->samples + (size_t)measure * count, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare);
    double median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    free(sorted);
    return median;
}
