/* How fast a spec trains, beside what its machine can do: the measurements of `spherenet bench`. */
#ifndef SPHERENET_CLI_BENCH_H
#define SPHERENET_CLI_BENCH_H

#include "train/trainer.h"

enum { BENCH_GEMM_SIZE = 2048, BENCH_COPY_BYTES = 1 << 27 };

/* What every round measures once. */
enum bench_measure {
    BENCH_GEMM,       /* FLOP/s of products of square matrices */
    BENCH_COPY,       /* bytes/s, read and written */
    BENCH_TRAINING,   /* images/s of whole steps, input included */
    BENCH_EVALUATION, /* images/s of forward passes alone, as in evaluation */
    BENCH_INPUT,      /* images/s that the loader prepares while no step runs */
    BENCH_PHASES,     /* from here on seconds a step: STEP_PHASES of these, then PASS_DIRECTIONS for each layer */
    BENCH_LAYERS = BENCH_PHASES + STEP_PHASES
};

static inline int bench_layer(const struct layer *layer, enum pass_direction direction) {
    return BENCH_LAYERS + PASS_DIRECTIONS * layer->number + (int)direction;
}

struct bench {
    struct dataset dataset;
    struct trainer trainer;
    struct loader *loader;
    double peak_memory;  /* bytes: the program in training and evaluation, before the arrays of the machine's rates */
    double image_memory; /* bytes of images in it */
    int loader_threads;
    int64_t multiply_adds; /* of all layers; an image, forward */
    int layers, rounds;
    double *samples; /* [measure][round] */
    struct step_times step;
    struct profile times;
};

/* Measures the machine, training steps and evaluation in turn, so that all see the same minutes of a machine whose
 * speed drifts. The experiment must be checked, and outlive the bench. False with an error when a file or memory is
 * missing. Close it in either case. */
bool bench_run(struct bench *bench, const struct experiment *experiment, int rounds, struct error *err);
void bench_close(struct bench *bench);

/* The median of the rounds. */
double bench_median(const struct bench *bench, int measure);

/* Bytes that a training step has to read or write at least once for this layer, forward or backward: a batch of its
 * input, its output, and the gradients of both. The network's first layer has no gradient of its input. What a layer
 * puts out the next takes in, so that the sum over layers is not the memory of the network. 0 for layers that make no
 * pass of their own. */
double bench_tensor_bytes(const struct bench *bench, const struct layer *layer);

/* FLOP of a batch in that direction, counted as direct convolution: a multiplication and an addition each forward,
 * backward to the input (not in the network's first layer) and backward to the weights. */
double bench_flop(const struct bench *bench, const struct layer *layer, enum pass_direction direction);

#endif
