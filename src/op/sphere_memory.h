/* How the passes of a sphere_op divide their scratch. */
#ifndef SPHERENET_OP_SPHERE_MEMORY_H
#define SPHERENET_OP_SPHERE_MEMORY_H

#include "op/sphere_op.h"

/* Sums over positions that the backward pass needs of each filter. */
enum { SUM_BIAS, SUM_COSINE, SUM_MAGNITUDE, SUM_K, SUMS };

enum { FILTER_ROWS = 3 }; /* of a thread's work: cosines and slopes of one position, or moments */

struct sphere_memory {
    real *packed;     /* filters, as the convolution wants them */
    real *sums;       /* [SUMS][filters] */
    real *image_sums; /* [n][SUMS][filters] */
    real *weights;    /* [partials][conv.sum] */
    real *threads;    /* what each thread works in */
    size_t thread;    /* reals of it */
};

/* The memory of one thread. */
struct sphere_worker {
    real *x, *dy; /* strips of a block */
    real *out;    /* strip of a part */
    real *box;    /* a factor for each pixel of a row */
    real *map;    /* squares of the pixels of one image's strip, or a factor for each position of a block */
    real *work;   /* of the convolution, or FILTER_ROWS rows of filters */
};

/* Divides scratch for a batch of n, and returns the reals that it takes. scratch NULL: only that. */
size_t sphere_memory_divide(struct sphere_memory *memory, const struct sphere_op *op, int n, real *scratch);

/* The calling thread's. */
struct sphere_worker sphere_worker_of(const struct sphere_memory *memory, const struct sphere_op *op);

/* Reals of sphere_worker.map. */
size_t sphere_map_reals(const struct sphere_op *op);

#endif
