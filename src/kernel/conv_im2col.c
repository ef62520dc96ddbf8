/* Convolution as a matrix product: the patches of a block of positions are laid out as matrix rows and multiplied with
 * the filters. Where a patch is a whole image or a single pixel, the buffer is its own patch matrix.
 *
 * Where an image has so many positions that packing the filters pays, and the filters fill vectors, the products are
 * those of kernel/product.h, with columns packed as there: patches times filters forward, and for the sums of the
 * weight gradient. Elsewhere, and for the data gradient, they are OpenBLAS's.
 *
 * A buffer of x has the border that the padding says; the gradient's has none. */
#include <string.h>

#include "base/number.h"
#include "kernel/conv.h"
#include "kernel/gemm.h"
#include "kernel/product.h"

enum {
    ROWS = 128,            /* positions in one patch matrix */
    BLOCK_IMAGES = 32,     /* most images in a block */
    PACKING_POSITIONS = 64 /* of an image, from which on packing pays */
};

/* A buffer, read as rows of conv_patch values, is the patch matrix. */
static bool is_matrix(const struct conv_geometry *g) {
    bool pixel = g->kernel_h == 1 && g->kernel_w == 1 && g->stride == 1;
    bool whole = g->kernel_h == g->height && g->kernel_w == g->width;
    return g->padding == 0 && (pixel || whole);
}

static bool packs(const struct conv_geometry *g) {
    return g->filters % LANES == 0 && g->out_height * g->out_width >= PACKING_POSITIONS;
}

static void plan(struct conv *conv) {
    const struct conv_geometry *g = &conv->g;
    int positions = g->out_height * g->out_width;
    int images = positions >= ROWS ? 1 : smaller(BLOCK_IMAGES, ROWS / positions);
    struct image_buffer x = {g->height + 2 * g->padding, g->width + 2 * g->padding, g->channels, g->padding};
    struct image_buffer y = {g->out_height, g->out_width, g->filters, 0};
    conv->forward_images = conv->backward_images = images;
    conv->x = x;
    conv->dy = y;
    conv->y = (struct conv_output){y, g->out_height, images, g->out_height};
    conv->dx = (struct conv_output){x, g->height, images, g->height};
    conv->sum = (size_t)g->filters * (size_t)conv_patch(g);
    conv->packed = packs(g) ? conv->sum : 0;
    conv->partials = conv_partials(conv->sum);
    conv->fixed_blocks = !packs(g);              /* OpenBLAS may round a row by how many rows there are */
    conv->slices = packs(g) ? conv_patch(g) : 1; /* OpenBLAS may sum in another order in a slice */
    conv->work = is_matrix(g) ? 0 : (size_t)ROWS * (size_t)conv_patch(g);
}

static const real *pack(const struct conv *conv, real *packed, const real *w, int threads) {
    int filters = conv->g.filters, patch = conv_patch(&conv->g);
    if (!packs(&conv->g))
        return w;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int k = 0; k < filters; k++)
        for (int i = 0; i < patch; i++)
            packed[packed_offset(k, i, patch, filters)] = w[(size_t)k * (size_t)patch + (size_t)i];
    return packed;
}

static const real *pack_turned(const struct conv *conv, real *packed, const real *w, int threads) {
    (void)conv, (void)packed, (void)threads;
    return w;
}

/* --- Patches ----------------------------------------------------------------------------------------------------- */

/* Row ky of the patch at a position of the block, counted through all its images. */
static size_t patch_row(const struct conv *conv, int position, int ky) {
    const struct conv_geometry *g = &conv->g;
    int within = position % (g->out_height * g->out_width), image = position / (g->out_height * g->out_width);
    int y = within / g->out_width * g->stride + ky, x = within % g->out_width * g->stride;
    size_t pixel = ((size_t)image * (size_t)conv->x.height + (size_t)y) * (size_t)conv->x.width + (size_t)x;
    return pixel * (size_t)g->channels;
}

/* The patches at `rows` positions from the first on: in the buffer itself, or laid out in work. */
static const real *gather_patches(const struct conv *conv, real *work, const real *x, int first, int rows) {
    const struct conv_geometry *g = &conv->g;
    size_t kernel_row = (size_t)g->kernel_w * (size_t)g->channels;
    real *to = work;
    if (is_matrix(g))
        return x + (size_t)first * (size_t)conv_patch(g);
    for (int row = 0; row < rows; row++)
        for (int ky = 0; ky < g->kernel_h; ky++, to += kernel_row)
            memcpy(to, x + patch_row(conv, first + row, ky), kernel_row * sizeof *to);
    return work;
}

/* The transpose: adds each patch to the pixels it covers. */
static void scatter_patches(const struct conv *conv, real *dx, const real *patches, int first, int rows) {
    const struct conv_geometry *g = &conv->g;
    size_t kernel_row = (size_t)g->kernel_w * (size_t)g->channels;
    for (int row = 0; row < rows; row++) {
        for (int ky = 0; ky < g->kernel_h; ky++, patches += kernel_row) {
            real *pixels = dx + patch_row(conv, first + row, ky);
#pragma omp simd
            for (size_t i = 0; i < kernel_row; i++)
                pixels[i] += patches[i];
        }
    }
}

/* --- The three convolutions -------------------------------------------------------------------------------------- */

static void forward(const struct conv *conv, struct conv_chunk chunk, real *y, const real *x, const real *w,
                    real *work) {
    int positions = conv_positions(&conv->g, chunk.images), patch = conv_patch(&conv->g), filters = conv->g.filters;
    for (int first = 0; first < positions; first += ROWS) {
        int rows = smaller(ROWS, positions - first);
        const real *patches = gather_patches(conv, work, x, first, rows);
        real *to = y + (size_t)first * (size_t)filters;
        if (packs(&conv->g))
            product_packed(rows, filters, patch, to, patches, w);
        else
            gemm_nt(rows, filters, patch, patches, patch, w, patch, 0, to, filters);
    }
}

static void backward_data(const struct conv *conv, struct conv_chunk chunk, real *dx, const real *dy, const real *w,
                          real *work) {
    int positions = conv_positions(&conv->g, chunk.images), patch = conv_patch(&conv->g), filters = conv->g.filters;
    bool matrix = is_matrix(&conv->g);
    if (!matrix)
        memset(dx, 0, image_buffer_reals(&conv->x, chunk.images) * sizeof *dx);
    for (int first = 0; first < positions; first += ROWS) {
        int rows = smaller(ROWS, positions - first);
        real *patches = matrix ? dx + (size_t)first * (size_t)patch : work;
        gemm_nn(rows, patch, filters, dy + (size_t)first * (size_t)filters, filters, w, patch, 0, patches, patch);
        if (!matrix)
            scatter_patches(conv, dx, patches, first, rows);
    }
}

static void add_weights(const struct conv *conv, int images, struct conv_slice slice, real *sum, bool first_block,
                        const real *x, const real *dy, real *work) {
    int positions = conv_positions(&conv->g, images), patch = conv_patch(&conv->g), filters = conv->g.filters;
    struct row_range range = {slice.index * patch / slice.count, (slice.index + 1) * patch / slice.count, patch};
    for (int first = 0; first < positions; first += ROWS) {
        int rows = smaller(ROWS, positions - first);
        const real *patches = gather_patches(conv, work, x, first, rows);
        const real *gradients = dy + (size_t)first * (size_t)filters;
        bool add = !first_block || first;
        if (packs(&conv->g))
            product_transposed(range, filters, rows, sum, patches, patch, gradients, filters, add);
        else
            gemm_tn(filters, patch, rows, gradients, filters, patches, patch, add, sum, patch);
    }
}

static void add_row(real *to, const real *from, size_t step, int count) {
    if (step > 1) {
        for (int i = 0; i < count; i++)
            to[i] += from[(size_t)i * step];
        return;
    }
#pragma omp simd
    for (int i = 0; i < count; i++)
        to[i] += from[i];
}

static void finish_weights(const struct conv *conv, real *dw, const real *sums, int count, int threads) {
    int filters = conv->g.filters, patch = conv_patch(&conv->g);
    bool packed = packs(&conv->g);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int k = 0; k < filters; k++) {
        real *to = dw + (size_t)k * (size_t)patch;
        size_t from = packed ? packed_offset(k, 0, patch, filters) : (size_t)k * (size_t)patch;
        memset(to, 0, (size_t)patch * sizeof *to);
        for (int i = 0; i < count; i++)
            add_row(to, sums + (size_t)i * conv->sum + from, packed ? (size_t)panel_width(k, filters) : 1, patch);
    }
}

const struct conv_algorithm conv_im2col = {
    .plan = plan,
    .pack = pack,
    .pack_turned = pack_turned,
    .forward = forward,
    .backward_data = backward_data,
    .add_weights = add_weights,
    .finish_weights = finish_weights,
};
