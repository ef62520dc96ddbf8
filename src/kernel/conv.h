/* Convolutions, block by block.
 *
 * x: [n][height][width][channels]   y: [n][out_height][out_width][filters]
 * w: [filters][kernel_h][kernel_w][channels], so a filter is one row and faces one patch.
 * A fully connected layer is a convolution whose kernel is as large as its input.
 *
 * A convolution sees neither x nor y: it goes from buffer to buffer. A buffer holds a block, some whole images, in
 * memory that stays in a core's cache, each with the zeros around it that the filters see. Whoever drives the
 * convolution writes x into a buffer and takes y out of one, and does on the way what else there is to do with each
 * value: norms, statistics, activations. A block's output comes chunk by chunk, so that it is taken out while it is in
 * the cache.
 *
 *     fill a buffer of x; for each chunk: conv->algorithm->forward, take the chunk's rows out
 *     fill buffers of x and dy; conv->algorithm->add_weights; for each chunk: conv->algorithm->backward_data, take it
 * out
 *
 * The two of the last line may go apart, backward_data with the buffer of dy alone and in blocks of forward_images.
 *
 * All functions run on the calling thread, except those that take a number of threads. Results do not depend on how
 * blocks are spread over threads. */
#ifndef SPHERENET_KERNEL_CONV_H
#define SPHERENET_KERNEL_CONV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/real.h"

struct conv_geometry {
    int height, width, channels;
    int kernel_h, kernel_w, stride, padding;
    int filters;
    int out_height, out_width;
};

/* Fills out_height and out_width; false when the kernel does not fit the padded input. */
bool conv_geometry_complete(struct conv_geometry *g);

/* Values in one patch, and positions in n outputs. */
static inline int conv_patch(const struct conv_geometry *g) {
    return g->kernel_h * g->kernel_w * g->channels;
}
static inline int conv_positions(const struct conv_geometry *g, int n) {
    return n * g->out_height * g->out_width;
}

/* Some images one after the other, [height][width][channels] each. The image's own pixels begin `border` rows down and
 * `border` columns to the right; all others are zero. */
struct image_buffer {
    int height, width, channels, border;
};

static inline size_t image_buffer_reals(const struct image_buffer *s, int images) {
    return (size_t)images * (size_t)s->height * (size_t)s->width * (size_t)s->channels;
}
/* Offset of pixel (0, y) of an image of the buffer. */
static inline size_t image_buffer_row(const struct image_buffer *s, int image, int y) {
    size_t row = (size_t)image * (size_t)s->height + (size_t)(y + s->border);
    return (row * (size_t)s->width + (size_t)s->border) * (size_t)s->channels;
}

/* Rows [row, row + rows) of the images [image, image + images) of a block. */
struct conv_chunk {
    int image, images, row, rows;
};

/* Where a block's results come out: chunks of so many images or, when one image is too large, so many rows. */
struct conv_output {
    struct image_buffer buffer; /* of a chunk: buffer.height is that of its rows */
    int height;                 /* rows of an image */
    int images, rows;           /* most in a chunk */
};

/* Slice `index` of `count`. */
struct conv_slice {
    int index, count;
};

struct conv_algorithm;

struct conv {
    struct conv_geometry g;
    const struct conv_algorithm *algorithm;
    int forward_images, backward_images; /* most images in a block; backward no fewer */
    int partials;                        /* sums that the weight gradient is gathered in */
    bool fixed_blocks;                   /* a result may depend on how many images its block has: forward, blocks are
                                            those of the whole batch, from its first image on, whoever computes which */
    int slices;                          /* most that add_weights can divide a sum in */
    struct image_buffer x, dy;
    struct conv_output y, dx;
    size_t packed, sum, work; /* reals: packed filters, one sum of the weight gradient, work of a thread */
};

/* An algorithm. `images`: in the block. work: conv->work reals, the thread's own. */
struct conv_algorithm {
    void (*plan)(struct conv *conv); /* from conv->g, everything below conv->algorithm */
    /* Filters as forward and as backward_data want them, once a step; all threads. In `packed`, [conv->packed], or w
     * itself; returns which. */
    const real *(*pack)(const struct conv *conv, real *packed, const real *w, int threads);
    const real *(*pack_turned)(const struct conv *conv, real *packed, const real *w, int threads);
    void (*forward)(const struct conv *conv, struct conv_chunk chunk, real *y, const real *x, const real *packed,
                    real *work);
    void (*backward_data)(const struct conv *conv, struct conv_chunk chunk, real *dx, const real *dy,
                          const real *packed, real *work);
    /* Adds a slice of a block's weight gradient to `sum` (or, the first time, sets it). sum: [conv->sum] */
    void (*add_weights)(const struct conv *conv, int images, struct conv_slice slice, real *sum, bool first,
                        const real *x, const real *dy, real *work);
    /* dw from `count` sums over some blocks each, which lie one after the other; all threads. */
    void (*finish_weights)(const struct conv *conv, real *dw, const real *sums, int count, int threads);
};

extern const struct conv_algorithm conv_winograd, conv_im2col;

/* Whether conv_winograd can do it: 3x3, stride 1, padding 1, and channel counts that fill vectors. */
bool conv_winograd_fits(const struct conv_geometry *g);

enum conv_choice { CONV_AUTO, CONV_IM2COL, CONV_WINOGRAD };

/* Plans the convolution of a complete geometry. False when the algorithm asked for does not fit it. */
bool conv_plan(struct conv *conv, const struct conv_geometry *g, enum conv_choice algorithm);

/* The number of sums, of `reals` each, that a weight gradient is gathered in. It does not depend on the number of
 * threads, since the result depends on it. */
int conv_partials(size_t reals);

/* The chunks of a block: false after the last. A chunk of zeros comes before the first. */
bool conv_next_chunk(const struct conv_output *output, int images, struct conv_chunk *chunk);

/* sums[out_height][out_width]: sum of squares of each patch of one image. squares: [buffer height][buffer width], the
 * squared length of each pixel of the image's buffer. */
void conv_patch_squares(const struct conv *conv, real *sums, const real *squares);

/* box[width]: for each pixel of row y, the sum of r over the patches that cover it. r: [out_height][out_width] */
void conv_box_row(const struct conv_geometry *g, real *box, const real *r, int y);

#endif
