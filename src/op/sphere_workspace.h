/* What the forward and the backward pass of a sphere_op share: how scratch is divided, and how x is read. */
#ifndef SPHERENET_OP_SPHERE_WORKSPACE_H
#define SPHERENET_OP_SPHERE_WORKSPACE_H

#include "op/sphere_op.h"

/* Sums over positions that the backward pass needs of each filter. */
enum { SUM_BIAS, SUM_COSINE, SUM_MAGNITUDE, SUM_K, SUMS };

enum { FILTER_ROWS = 3 }; /* of a thread's work: cosines and slopes of one position */

struct sphere_workspace {
    real *packed;     /* filters, as the convolution wants them */
    real *sums;       /* [SUMS][filters] */
    real *image_sums; /* [n][SUMS][filters] */
    real *weights;    /* [smaller(partials, n)][conv.sum] */
    real *threads;    /* what each thread works in */
    size_t thread;    /* reals of it */
};

/* The memory of one thread. */
struct sphere_worker {
    real *x, *dy; /* buffers of a block */
    real *out;    /* buffer of a chunk */
    real *box;    /* a factor for each pixel of a row */
    real *map;    /* squares of the pixels of one image's buffer, or a factor for each position of a block */
    real *sums;   /* [SUMS][filters], of an image whose sums are kept elsewhere */
    real *work;   /* of the convolution, or FILTER_ROWS rows of filters */
};

/* Divides scratch for a batch of n on so many threads, and returns the reals that it takes. scratch NULL: only that. */
size_t sphere_workspace_divide(struct sphere_workspace *memory, const struct sphere_op *op, int n, int threads,
                               real *scratch);

/* The calling thread's. */
struct sphere_worker sphere_worker_of(const struct sphere_workspace *memory, const struct sphere_op *op);

/* Reals of sphere_worker.map. */
size_t sphere_map_reals(const struct sphere_op *op);

/* The position of row y of an image of the batch. */
static inline size_t sphere_position(int image, int height, int width, int y) {
    return ((size_t)image * (size_t)height + (size_t)y) * (size_t)width;
}

/* In op->coefficients. */
struct angular_coefficients sphere_coefficients(const struct sphere_op *op);

/* Zeros a buffer's border, before whole images are written into it. */
void sphere_clear_border(const struct image_buffer *s, int images, real *buffer);

/* Reads image `image` of the batch into place `slot` of the buffer. squares: those of the buffer's pixels, or NULL. */
void sphere_read_image(const struct sphere_op *op, const struct view *x, int image, real *buffer, int slot,
                       real *squares);

#endif
