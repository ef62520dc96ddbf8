/* What the forward and the backward pass of a sphere_op share: how scratch is divided, and how x is read. */
#ifndef SPHERENET_OP_SPHERE_WORKSPACE_H
#define SPHERENET_OP_SPHERE_WORKSPACE_H

#include "op/sphere_op.h"

/* Sums over positions that the backward pass needs of each filter: a row of filters each, then, for a magnitude with a
 * parameter of its own, that parameter's. */
enum { SUM_BIAS, SUM_COSINE, SUM_MAGNITUDE, SUM_SHAPE };

int sphere_sum_count(const struct sphere_op *op); /* of them in all */

/* Reals of one image's sums (kernel/reduce.h). */
size_t sphere_sums_reals(const struct sphere_op *op);

/* A row of positions of one image in the backward pass. */
struct position_row {
    int count;
    real *dy;           /* [count][filters]: dL/dy becomes G */
    const real *g;      /* [count][filters] */
    const real *x_norm; /* [count] */
    real *r;            /* [count]: set */
    real *sums;         /* of the image's latest positions; added to */
    real *work;         /* [ANGULAR_SLOPE_ROWS][filters] */
};

/* Sets op->backward_row. */
void sphere_choose_backward(struct sphere_op *op);

struct sphere_workspace {
    real *packed;  /* filters, as the convolution wants them */
    real *threads; /* what each thread works in */
    size_t thread; /* reals of it */
    /* Of the backward pass alone: */
    real *sums;       /* [sphere_sum_count] */
    real *image_sums; /* [n][sphere_sums_reals] */
    real *weights;    /* [smaller(partials, n)][conv.sum] */
};

/* The memory of one thread. */
struct sphere_worker {
    real *x, *dy; /* buffers of a block */
    real *out;    /* buffer of a chunk */
    real *box;    /* a factor for each pixel of a row */
    real *map;    /* squares of the pixels of one image's buffer, or a factor for each position of a block */
    real *sums;   /* of an image whose sums are kept elsewhere */
    real *work;   /* of the convolution, or ANGULAR_SLOPE_ROWS rows of filters */
};

/* Divides a pass's scratch for a batch of n on so many threads, and returns the reals that it takes. scratch NULL: only
 * that. */
size_t sphere_workspace_divide(struct sphere_workspace *memory, const struct sphere_op *op, int n, int threads,
                               bool backward, real *scratch);

/* The calling thread's. */
struct sphere_worker sphere_worker_of(const struct sphere_workspace *memory, const struct sphere_op *op);

/* Reals of sphere_worker.map. */
size_t sphere_map_reals(const struct sphere_op *op);

/* The position of row y of an image of the batch. */
static inline size_t sphere_position(int image, int height, int width, int y) {
    return ((size_t)image * (size_t)height + (size_t)y) * (size_t)width;
}

/* Zeros a buffer's border, before whole images are written into it. */
void sphere_clear_border(const struct image_buffer *s, int images, real *buffer);

/* Reads image `image` of the batch into place `slot` of the buffer. squares: those of the buffer's pixels, or NULL. */
void sphere_read_image(const struct sphere_op *op, const struct view *x, int image, real *buffer, int slot,
                       real *squares);

#endif
