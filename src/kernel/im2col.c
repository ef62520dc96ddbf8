/* Convolution as a matrix product: the patches of a block of positions are laid out as matrix rows and multiplied with
 * the filters. Where a patch is a whole image or a single pixel, the strip is its own patch matrix.
 *
 * Where an image has so many positions that packing the filters pays, and the filters fill vectors, the products are
 * those of kernel/product.h, with columns packed as there: patches times filters forward, and for the sums of the
 * weight gradient. Elsewhere, and for the data gradient, they are OpenBLAS's.
 *
 * A strip of x has the border that the padding says; the gradient's has none.
 *
 * The weight gradient is the product of the gradients' and the patch matrix. Where it is small, as in a first layer,
 * every block of a chunk has a sum of its own. Else its pieces are of some columns of the patch matrix: those of a row
 * of the kernel, or PIECE_COLUMNS where the strip is the matrix. */
#include <string.h>

#include "kernel/conv.h"
#include "kernel/gemm.h"
#include "kernel/product.h"
#include "kernel/threads.h"

enum {
    ROWS = 128,        /* positions in one patch matrix */
    BLOCK_IMAGES = 32, /* most images in a block */
    SMALL = 16384,     /* most values of a small weight gradient, */
    SMALL_LANES = 16,  /* and the sums it has */
    PIECE_COLUMNS = 256,
    PACKING_POSITIONS = 64 /* of an image, from which on packing pays */
};

static int smaller(int a, int b) {
    return a < b ? a : b;
}

static int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

/* A strip, read as rows of conv_patch values, is the patch matrix. */
static bool is_matrix(const struct conv_geometry *g) {
    bool pixel = g->kernel_h == 1 && g->kernel_w == 1 && g->stride == 1;
    bool whole = g->kernel_h == g->height && g->kernel_w == g->width;
    return g->padding == 0 && (pixel || whole);
}

static bool packs(const struct conv_geometry *g) {
    return g->filters % LANES == 0 && g->out_height * g->out_width >= PACKING_POSITIONS;
}

static size_t weight_reals(const struct conv_geometry *g) {
    return (size_t)g->filters * (size_t)conv_patch(g);
}

static bool is_small(const struct conv_geometry *g) {
    return weight_reals(g) <= SMALL;
}

/* Columns of the patch matrix that a piece of the weight gradient is of. */
struct piece {
    int column, columns;
};

static struct piece piece_of(const struct conv_geometry *g, int index) {
    int patch = conv_patch(g), columns = is_matrix(g) ? PIECE_COLUMNS : g->kernel_w * g->channels;
    return (struct piece){index * columns, smaller(columns, patch - index * columns)};
}

static void plan(struct conv *conv) {
    const struct conv_geometry *g = &conv->g;
    int positions = g->out_height * g->out_width;
    int images = positions >= ROWS ? 1 : smaller(BLOCK_IMAGES, ROWS / positions);
    struct strip x = {g->height + 2 * g->padding, g->width + 2 * g->padding, g->channels, g->padding};
    struct strip y = {g->out_height, g->out_width, g->filters, 0};
    conv->images = images;
    conv->lanes = is_small(g) ? SMALL_LANES : threads_count();
    conv->pieces = is_small(g) ? 0 : is_matrix(g) ? ceil_div(conv_patch(g), PIECE_COLUMNS) : g->kernel_h;
    conv->keeps_strips = conv->pieces > 0;
    conv->x = x;
    conv->dy = y;
    conv->y = (struct conv_output){y, g->out_height, images, g->out_height};
    conv->dx = (struct conv_output){x, g->height, images, g->height};
    conv->gathered = (is_small(g) ? SMALL_LANES : 1) * weight_reals(g);
    conv->packed = packs(g) ? weight_reals(g) : 0;
    conv->work = is_matrix(g) ? 0 : (size_t)ROWS * (size_t)conv_patch(g);
}

static const real *pack(const struct conv *conv, real *packed, const real *w) {
    int filters = conv->g.filters, patch = conv_patch(&conv->g);
    if (!packs(&conv->g))
        return w;
#pragma omp parallel for schedule(static)
    for (int k = 0; k < filters; k++)
        for (int i = 0; i < patch; i++)
            packed[packed_offset(k, i, patch, filters)] = w[(size_t)k * (size_t)patch + (size_t)i];
    return packed;
}

static const real *pack_turned(const struct conv *conv, real *packed, const real *w) {
    (void)conv, (void)packed;
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

/* Some columns of the patches at `rows` positions from the first on: in the strip itself, or laid out in work. The
 * columns are whole rows of the kernel where they are laid out. ld: reals between patches. */
static const real *gather_patches(const struct conv *conv, real *work, const real *x, int first, int rows,
                                  struct piece piece, int *ld) {
    const struct conv_geometry *g = &conv->g;
    int kernel_row = g->kernel_w * g->channels;
    size_t size = (size_t)kernel_row;
    real *to = work;
    *ld = is_matrix(g) ? conv_patch(g) : piece.columns;
    if (is_matrix(g))
        return x + (size_t)first * (size_t)*ld + piece.column;
    for (int row = 0; row < rows; row++)
        for (int ky = piece.column / kernel_row; ky < (piece.column + piece.columns) / kernel_row; ky++, to += size)
            memcpy(to, x + patch_row(conv, first + row, ky), size * sizeof *to);
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

static void forward(const struct conv *conv, struct conv_part part, real *y, const real *x, const real *w, real *work) {
    int positions = conv_positions(&conv->g, part.images), patch = conv_patch(&conv->g), filters = conv->g.filters;
    for (int first = 0; first < positions; first += ROWS) {
        int rows = smaller(ROWS, positions - first), ld;
        const real *patches = gather_patches(conv, work, x, first, rows, (struct piece){0, patch}, &ld);
        real *to = y + (size_t)first * (size_t)filters;
        if (packs(&conv->g))
            product_packed(rows, filters, patch, to, patches, w);
        else
            gemm_nt(rows, filters, patch, patches, patch, w, patch, 0, to, filters);
    }
}

static void backward_data(const struct conv *conv, struct conv_part part, real *dx, const real *dy, const real *w,
                          real *work) {
    int positions = conv_positions(&conv->g, part.images), patch = conv_patch(&conv->g), filters = conv->g.filters;
    bool matrix = is_matrix(&conv->g);
    if (!matrix)
        memset(dx, 0, strip_reals(&conv->x, part.images) * sizeof *dx);
    for (int first = 0; first < positions; first += ROWS) {
        int rows = smaller(ROWS, positions - first);
        real *patches = matrix ? dx + (size_t)first * (size_t)patch : work;
        gemm_nn(rows, patch, filters, dy + (size_t)first * (size_t)filters, filters, w, patch, 0, patches, patch);
        if (!matrix)
            scatter_patches(conv, dx, patches, first, rows);
    }
}

/* Adds a block's share to a piece of a sum, [filters][columns] or packed [columns][filters]. */
static void add_block(const struct conv *conv, struct piece piece, int images, real *sum, bool add, const real *x,
                      const real *dy, real *work) {
    int positions = conv_positions(&conv->g, images), filters = conv->g.filters;
    for (int first = 0; first < positions; first += ROWS, add = true) {
        int rows = smaller(ROWS, positions - first), ld;
        const real *patches = gather_patches(conv, work, x, first, rows, piece, &ld);
        const real *gradients = dy + (size_t)first * (size_t)filters;
        if (packs(&conv->g))
            product_transposed(piece.columns, filters, rows, sum, patches, ld, gradients, filters, add);
        else
            gemm_tn(filters, piece.columns, rows, gradients, filters, patches, ld, add, sum, piece.columns);
    }
}

static void gather(const struct conv *conv, const struct conv_chunk *chunk, int block, const real *x, const real *dy,
                   real *work) {
    struct piece whole = {0, conv_patch(&conv->g)};
    real *sum = chunk->gathered + (size_t)block * weight_reals(&conv->g);
    if (is_small(&conv->g))
        add_block(conv, whole, conv_block_images(conv, chunk, block), sum, !chunk->first, x, dy, work);
}

static void add_weights(const struct conv *conv, const struct conv_chunk *chunk, int index, real *work) {
    struct piece piece = piece_of(&conv->g, index);
    real *sum = chunk->gathered + (size_t)piece.column * (size_t)conv->g.filters;
    for (int block = 0; block < conv_blocks(conv, chunk); block++)
        add_block(conv, piece, conv_block_images(conv, chunk, block), sum, !chunk->first || block,
                  chunk->x + strip_reals(&conv->x, block * conv->images),
                  chunk->dy + strip_reals(&conv->dy, block * conv->images), work);
}

/* Takes a piece of dw out of `count` sums that lie one weight gradient apart. */
static void finish_piece(const struct conv *conv, struct piece piece, real *dw, const real *sums, int count) {
    const struct conv_geometry *g = &conv->g;
#pragma omp parallel for schedule(static)
    for (int k = 0; k < g->filters; k++) {
        real *to = dw + (size_t)k * (size_t)conv_patch(g) + piece.column;
        for (int i = 0; i < piece.columns; i++) {
            size_t at = packs(g) ? packed_offset(k, i, piece.columns, g->filters)
                                 : (size_t)k * (size_t)piece.columns + (size_t)i;
            to[i] = sums[at];
            for (int j = 1; j < count; j++)
                to[i] += sums[(size_t)j * weight_reals(g) + at];
        }
    }
}

static void finish_weights(const struct conv *conv, int n, real *dw, const real *gathered) {
    struct piece whole = {0, conv_patch(&conv->g)};
    if (is_small(&conv->g)) {
        finish_piece(conv, whole, dw, gathered, smaller(conv->lanes, ceil_div(n, conv->images)));
        return;
    }
    for (int index = 0; index < conv->pieces; index++) {
        struct piece piece = piece_of(&conv->g, index);
        finish_piece(conv, piece, dw, gathered + (size_t)piece.column * (size_t)conv->g.filters, 1);
    }
}

const struct conv_way conv_im2col = {
    .plan = plan,
    .pack = pack,
    .pack_turned = pack_turned,
    .forward = forward,
    .backward_data = backward_data,
    .gather = gather,
    .add_weights = add_weights,
    .finish_weights = finish_weights,
};
