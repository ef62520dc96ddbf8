#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "cli/command.h"
#include "kernel/blas.h"
#include "kernel/gemm.h"
#include "kernel/threads.h"
#include "train/trainer.h"

enum { GEMM_SIZE = 2048, ROUNDS = 5 };

static struct values overrides;

static const struct option options[] = {SET_OPTION(&overrides), {0}};

static void add_layer(const struct layer *layer, int level, void *context) {
    (void)level;
    *(int64_t *)context += layer->multiply_adds;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

/* Alternates products and steps, so that both see the same minutes of a machine whose speed drifts. */
static bool measure(struct trainer *trainer, struct loader *loader, double *sgemm, double *images_per_second) {
    int batch = trainer->experiment->train.batch_size;
    trainer_step(trainer, loader_next(loader));
    for (int i = 0; i < ROUNDS; i++) {
        sgemm[i] = gemm_rate(GEMM_SIZE, threads_count(), 2);
        double start = clock_seconds();
        trainer_step(trainer, loader_next(loader));
        images_per_second[i] = batch / (clock_seconds() - start);
    }
    return sgemm[0] > 0;
}

static bool bench(const struct experiment *experiment, struct error *err) {
    struct dataset dataset = {0};
    struct trainer trainer = {0};
    struct loader *loader = NULL;
    double sgemm[ROUNDS], rate[ROUNDS];
    int64_t multiply_adds = 0;
    command_warn_of_core(experiment);
    threads_set(experiment->train.threads);
    bool good = dataset_load(&dataset, experiment->data, (uint64_t)experiment->seed, err) &&
                trainer_open(&trainer, experiment, err);
    if (good)
        loader = loader_train(&dataset, experiment_data(experiment), (uint64_t)experiment->seed,
                              experiment->train.batch_size, 0, err);
    good = loader && (measure(&trainer, loader, sgemm, rate) || error_set(err, "not enough memory for the products"));
    if (good) {
        chain_visit(&trainer.net.chain, add_layer, &multiply_adds);
        double images = median(rate, ROUNDS), products = median(sgemm, ROUNDS);
        double effective = 6.0 * (double)multiply_adds * images;
        printf("machine: %s, %d threads\nproducts: %s\n", cpu_description(), threads_count(), blas_library());
        printf("matrix products (%d^3): %.1f GFLOP/s\n", GEMM_SIZE, products / 1e9);
        printf("training step: %.1f images/s, %.3f GFLOP an image, %.1f effective GFLOP/s\n", images,
               6e-9 * (double)multiply_adds, effective / 1e9);
        printf("ratio: %.3f (medians of %d, alternating)\npeak memory: %.0f MB\n", effective / products, ROUNDS,
               cpu_peak_memory() / 1e6);
    }
    loader_close(loader);
    trainer_close(&trainer);
    dataset_free(&dataset);
    return good;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    struct experiment experiment;
    struct error err;
    enum exit_status status = EXIT_USAGE;
    if (command_read_spec(&experiment, operands[0], &overrides)) {
        bool good = command_take_core(&experiment, operands[0], &err) && bench(&experiment, &err);
        status = good ? EXIT_DONE : EXIT_FAILED;
        if (status == EXIT_FAILED)
            fprintf(stderr, "spherenet: %s\n", err.text);
    }
    experiment_free(&experiment);
    return status;
}

const struct command command_bench = {
    .name = "bench",
    .operands = "SPEC",
    .summary = "Time the training step of a spec against the machine's own matrix products.",
    .details = "FLOP are counted as direct convolution: six for each multiply-add of the forward pass, which is a\n"
               "multiplication and an addition forward, backward to the data, and backward to the weights.\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
