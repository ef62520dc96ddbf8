/* 3x3 convolutions of stride 1 in a transform domain: Winograd's F(4x4, 3x3) (Lavin and Gray 2016).
 *
 * Each 6x6 tile of the input and each filter is transformed to 36 values; there the convolution is 36 matrix products
 * over channels, with a quarter of the multiplications of the direct sum. Both gradients have the same form. With
 * interpolation at 0, 1, -1, 2, -2 and infinity, one dimension at a time:
 *
 *          |4  0 -5  0  1  0|         | 1/4    0    0 |          |1 1  1 1  1 0|
 *          |0 -4 -4  1  1  0|         |-1/6 -1/6 -1/6 |   A^T =  |0 1 -1 2 -2 0|
 *    B^T = |0  4 -4 -1  1  0|     G = |-1/6  1/6 -1/6 |          |0 1  1 4  4 0|
 *          |0 -2 -1  2  1  0|         |1/24 1/12  1/6 |          |0 1 -1 8 -8 1|
 *          |0  2 -1 -2  1  0|         |1/24 -1/12 1/6 |
 *          |0  4  0 -5  0  1|         | 0     0    1  |
 *
 *    forward            Y = A^T [ (G w G^T) . (B^T x B) ] A       per tile, summed over channels in the brackets
 *    backward data      the same with dY for x and the filters turned round, channels and filters exchanged
 *    backward weights   dw = G^T [ sum over tiles (B^T x B) . (A dY A^T) ] G
 *
 * Padding is 1, so input and output are of one size; buffers of x and dy have a border of 1, and their images are
 * rounded up to whole tiles.
 *
 *    transformed tiles   [POINTS][tiles][channels]                 of a thread
 *    products            [POINTS][tiles][panel width]              of a thread
 *    filters             [panel][POINTS][channels][panel width]    packed, read in order; a vector after each point
 *    sum                 [POINTS][panel][filters][panel width]     panels of channels
 *
 * Panel by panel: the products of one panel of filters for all points are few enough to stay in the cache until they
 * are transformed back. */
#include <string.h>

#include "base/number.h"
#include "kernel/conv.h"
#include "kernel/product.h"

enum {
    TILE = 4,
    PATCH = 6,
    POINTS = PATCH * PATCH,
    CHUNK_TILES = 32, /* whose transforms and a panel's products stay in a core's second-level cache */
    STEP_TILES = 64   /* of the weight gradient: its sums pass through the cache once a step */
};

/* --- Geometry ---------------------------------------------------------------------------------------------------- */

bool conv_winograd_fits(const struct conv_geometry *g) {
    return g->kernel_h == 3 && g->kernel_w == 3 && g->stride == 1 && g->padding == 1 && g->channels % LANES == 0 &&
           g->filters % LANES == 0;
}

static int tile_rows(const struct conv_geometry *g) {
    return ceil_div(g->height, TILE);
}

static int tile_columns(const struct conv_geometry *g) {
    return ceil_div(g->width, TILE);
}

static int tiles_of_image(const struct conv_geometry *g) {
    return tile_rows(g) * tile_columns(g);
}

/* Reals between the planes of two points, of rows x columns. Not a multiple of large powers of 2, which would put all
 * points of a tile or filter into the same few lines of the cache. */
static size_t plane(int rows, int columns) {
    return (size_t)rows * (size_t)columns + LANES;
}

/* Packed filters: columns in panels, `depth` rows for each point. */
static size_t packed_reals(int depth, int columns) {
    return POINTS * ((size_t)depth * (size_t)columns + (size_t)ceil_div(columns, PANEL) * LANES);
}

/* The first point's offset of row d of column k. */
static size_t packed_filter(int k, int d, int depth, int columns) {
    return packed_offset(k, d, POINTS * depth, columns) + (size_t)(k / PANEL) * POINTS * LANES;
}

/* Work of `convolve`. */
static size_t chunk_reals(const struct conv *conv) {
    int tiles = conv->y.images * conv->y.rows / TILE * tile_columns(&conv->g);
    return POINTS * (plane(tiles, larger(conv->g.channels, conv->g.filters)) + plane(tiles, PANEL));
}

/* In `add_weights` tiles are a vector longer than the channels: at distances of large powers of 2, one channel of all
 * tiles would be in a few sets of the cache. */
static int padded(int channels) {
    return channels + LANES;
}

static size_t step_reals(const struct conv *conv) {
    return POINTS * (plane(STEP_TILES, padded(conv->g.channels)) + plane(STEP_TILES, padded(conv->g.filters)));
}

/* Parts of about CHUNK_TILES tiles: several images, or equal numbers of an image's rows. */
static struct conv_output output_of(const struct conv_geometry *g, int channels) {
    int rows = tile_rows(g), columns = tile_columns(g);
    int chunks = ceil_div(rows, larger(1, CHUNK_TILES / columns));
    struct conv_output out = {.height = g->height, .images = larger(1, CHUNK_TILES / (rows * columns))};
    out.rows = ceil_div(rows, chunks) * TILE;
    out.buffer = (struct image_buffer){out.rows, columns * TILE, channels, 0};
    return out;
}

static void plan(struct conv *conv) {
    const struct conv_geometry *g = &conv->g;
    int rows = tile_rows(g), columns = tile_columns(g);
    struct image_buffer buffer = {rows * TILE + 2, columns * TILE + 2, g->channels, 1};
    conv->x = conv->dy = buffer;
    conv->dy.channels = g->filters;
    conv->y = output_of(g, g->filters);
    conv->dx = output_of(g, g->channels);
    conv->forward_images = conv->y.images;
    conv->backward_images = larger(1, STEP_TILES / (rows * columns));
    size_t forward_packed = packed_reals(g->channels, g->filters), turned = packed_reals(g->filters, g->channels);
    conv->packed = forward_packed > turned ? forward_packed : turned;
    conv->sum = POINTS * plane(g->filters, g->channels);
    conv->partials = conv_partials(conv->sum);
    conv->slices = g->filters / LANES;
    conv->work = chunk_reals(conv) > step_reals(conv) ? chunk_reals(conv) : step_reals(conv);
}

/* Offset of the first pixel that a tile of a block sees in a buffer: the tile's own pixels start one row and one column
 * further. Tiles are counted through all images of the block. */
static size_t tile_offset(const struct conv_geometry *g, const struct image_buffer *s, int index) {
    int columns = tile_columns(g), per_image = tiles_of_image(g), within = index % per_image;
    size_t row = (size_t)(index / per_image) * (size_t)s->height + (size_t)(within / columns * TILE);
    return (row * (size_t)s->width + (size_t)(within % columns * TILE)) * (size_t)s->channels;
}

/* --- Transforms of vectors --------------------------------------------------------------------------------------- */

/* B^T, in place: six values to six. */
static inline void transform_patch(vector *v) {
    vector a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5];
    vector even = e - 4 * c, odd = d - 4 * b, even2 = e - c, odd2 = d - b;
    v[0] = e - 5 * c + 4 * a;
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = even2 + 2 * odd2;
    v[4] = even2 - 2 * odd2;
    v[5] = f - 5 * d + 4 * b;
}

/* A^T: six values to four. */
static inline void transform_products(vector *v) {
    vector sum1 = v[1] + v[2], difference1 = v[1] - v[2], sum2 = v[3] + v[4], difference2 = v[3] - v[4];
    v[0] = v[0] + sum1 + sum2;
    v[1] = difference1 + 2 * difference2;
    v[2] = sum1 + 4 * sum2;
    v[3] = difference1 + 8 * difference2 + v[5];
}

/* A: four values to six. */
static inline void transform_gradient(vector *v) {
    vector a = v[0], b = v[1], c = v[2], d = v[3];
    vector even = a + c, odd = b + d, even2 = a + 4 * c, odd2 = b + 4 * d;
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = even2 + 2 * odd2;
    v[4] = even2 - 2 * odd2;
    v[5] = d;
}

/* G: three values to six. */
static inline void transform_filter(vector *v) {
    const real sixth = (real)(1.0 / 6), twelfth = (real)(1.0 / 12);
    vector a = v[0], b = v[1], c = v[2];
    vector even1 = -sixth * (a + c), odd1 = sixth * b, even2 = sixth * (c + (real)0.25 * a), odd2 = twelfth * b;
    v[0] = (real)0.25 * a;
    v[1] = even1 - odd1;
    v[2] = even1 + odd1;
    v[3] = even2 + odd2;
    v[4] = even2 - odd2;
    v[5] = c;
}

/* G^T: six values to three. */
static inline void transform_sums(vector *v) {
    const real sixth = (real)(1.0 / 6), twelfth = (real)(1.0 / 12);
    vector sum1 = v[1] + v[2], difference1 = v[2] - v[1], sum2 = v[3] + v[4], difference2 = v[3] - v[4];
    v[0] = (real)0.25 * v[0] - sixth * sum1 + (real)(1.0 / 24) * sum2;
    v[1] = sixth * difference1 + twelfth * difference2;
    v[2] = sixth * (sum2 - sum1) + v[5];
}

/* Vectors in rows and columns: reals from one to the next. */
struct grid {
    ptrdiff_t row, column;
};

static inline struct grid grid_of_points(size_t plane_size) {
    return (struct grid){PATCH * (ptrdiff_t)plane_size, (ptrdiff_t)plane_size};
}

static inline struct grid grid_of_pixels(const struct image_buffer *s) {
    return (struct grid){(ptrdiff_t)s->width * s->channels, s->channels};
}

/* Transforms the columns of a square of `in` x `in` vectors, then the rows, to `out` x `out`. `in` and `out` are known
 * to the compiler where this is called. Unrolled in whole, the input's transform is slower (docs/lab/2026-11-speed.md).
 */
static inline __attribute__((always_inline)) void transform_square(void (*transform)(vector *v), int in, int out,
                                                                   real *to, struct grid to_grid, const real *from,
                                                                   struct grid from_grid) {
    vector columns[PATCH][PATCH] __attribute__((aligned(VECTOR_BYTES)));
#pragma GCC unroll 2
    for (int j = 0; j < in; j++) {
        vector v[PATCH];
        for (int i = 0; i < in; i++)
            v[i] = vector_load(from + i * from_grid.row + j * from_grid.column);
        transform(v);
        for (int i = 0; i < out; i++)
            columns[i][j] = v[i];
    }
#pragma GCC unroll 2
    for (int i = 0; i < out; i++) {
        vector v[PATCH];
        for (int j = 0; j < in; j++)
            v[j] = columns[i][j];
        transform(v);
        for (int j = 0; j < out; j++)
            vector_store(to + i * to_grid.row + j * to_grid.column, v[j]);
    }
}

/* --- Tiles ------------------------------------------------------------------------------------------------------- */

/* values[point][tile][channels] of the tiles [first, first + count) of a block: B^T x B. tile_size, plane_size: reals
 * between tiles, and between points. */
static void transform_input(const struct conv_geometry *g, const struct image_buffer *s, real *values, int tile_size,
                            size_t plane_size, const real *buffer, int first, int count) {
    for (int i = 0; i < count; i++) {
        const real *from = buffer + tile_offset(g, s, first + i);
        real *to = values + (size_t)i * (size_t)tile_size;
        for (int c = 0; c < s->channels; c += LANES)
            transform_square(transform_patch, PATCH, PATCH, to + c, grid_of_points(plane_size), from + c,
                             grid_of_pixels(s));
    }
}

/* The same with A dY A^T of the tiles' own pixels, of some of the filters. */
static void transform_gradients(const struct conv_geometry *g, const struct image_buffer *s, struct row_range filters,
                                real *values, int tile_size, size_t plane_size, const real *buffer, int first,
                                int count) {
    size_t own = ((size_t)s->width + 1) * (size_t)s->channels;
    for (int i = 0; i < count; i++) {
        const real *from = buffer + tile_offset(g, s, first + i) + own;
        real *to = values + (size_t)i * (size_t)tile_size;
        for (int k = filters.first; k < filters.end; k += LANES)
            transform_square(transform_gradient, TILE, PATCH, to + k, grid_of_points(plane_size), from + k,
                             grid_of_pixels(s));
    }
}

/* `width` channels of the `count` tiles of a chunk, from products[point][tile][width]: A^T M A */
static void transform_output(const struct conv_output *out, real *buffer, const real *products, size_t plane_size,
                             int count, int width) {
    struct grid pixels = grid_of_pixels(&out->buffer);
    int columns = out->buffer.width / TILE;
    for (int i = 0; i < count; i++) {
        const real *from = products + (size_t)i * (size_t)width;
        real *to = buffer + i / columns * TILE * pixels.row + i % columns * TILE * pixels.column;
        for (int k = 0; k < width; k += LANES) {
            for (int point = 0; point < POINTS; point++)
                __builtin_prefetch(from + (size_t)point * plane_size + k + 2 * LANES);
            transform_square(transform_products, PATCH, TILE, to + k, pixels, from + k, grid_of_points(plane_size));
        }
    }
}

/* --- Filters ----------------------------------------------------------------------------------------------------- */

/* Packed, for each panel of filters and point `channels` rows, from w: [filters][3][3][channels] */
static const real *pack(const struct conv *conv, real *to, const real *w, int threads) {
    const struct conv_geometry *g = &conv->g;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int k = 0; k < g->filters; k += LANES) {
        struct grid points = grid_of_points(plane(g->channels, panel_width(k, g->filters)));
        for (int c = 0; c < g->channels; c++) {
            real kernels[9][LANES] __attribute__((aligned(VECTOR_BYTES)));
            for (int i = 0; i < 9; i++)
                for (int lane = 0; lane < LANES; lane++)
                    kernels[i][lane] = w[((size_t)(k + lane) * 9 + (size_t)i) * (size_t)g->channels + (size_t)c];
            transform_square(transform_filter, 3, PATCH, to + packed_filter(k, c, g->channels, g->filters), points,
                             kernels[0], (struct grid){3 * LANES, LANES});
        }
    }
    return to;
}

/* The same turned round: panels of channels, for each point `filters` rows. */
static const real *pack_turned(const struct conv *conv, real *to, const real *w, int threads) {
    const struct conv_geometry *g = &conv->g;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int k = 0; k < g->filters; k++) {
        const real *last = w + ((size_t)k * 9 + 8) * (size_t)g->channels;
        for (int c = 0; c < g->channels; c += LANES)
            transform_square(transform_filter, 3, PATCH, to + packed_filter(c, k, g->filters, g->channels),
                             grid_of_points(plane(g->filters, panel_width(c, g->channels))), last + c,
                             (struct grid){-3 * g->channels, -g->channels});
    }
    return to;
}

static void finish_weights(const struct conv *conv, real *dw, const real *sums, int count, int threads) {
    const struct conv_geometry *g = &conv->g;
    size_t point_size = plane(g->filters, g->channels);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int k = 0; k < g->filters; k++) {
        for (int c = 0; c < g->channels; c += LANES) {
            real joined[POINTS][LANES] __attribute__((aligned(VECTOR_BYTES)));
            const real *from = sums + packed_offset(c, k, g->filters, g->channels);
            for (int point = 0; point < POINTS; point++, from += point_size) {
                vector sum = vector_load(from);
                for (int i = 1; i < count; i++)
                    sum += vector_load(from + (size_t)i * conv->sum);
                vector_store(joined[point], sum);
            }
            transform_square(transform_sums, PATCH, 3, dw + (size_t)k * 9 * (size_t)g->channels + c,
                             (struct grid){3 * g->channels, g->channels}, joined[0], grid_of_points(LANES));
        }
    }
}

/* --- The three convolutions -------------------------------------------------------------------------------------- */

/* One chunk of y = x convolved with packed filters. */
static void convolve(const struct conv_geometry *g, const struct image_buffer *in, const struct conv_output *out,
                     struct conv_chunk chunk, real *y, const real *x, const real *packed, real *work) {
    int columns = tile_columns(g), first = chunk.image * tiles_of_image(g) + chunk.row / TILE * columns;
    int tiles = chunk.images * ceil_div(chunk.rows, TILE) * columns;
    size_t in_plane = plane(tiles, in->channels), out_plane = plane(tiles, PANEL);
    real *values = work, *products = work + POINTS * in_plane;
    transform_input(g, in, values, in->channels, in_plane, x, first, tiles);
    for (int k = 0; k < out->buffer.channels; k += PANEL) {
        int width = panel_width(k, out->buffer.channels);
        for (int point = 0; point < POINTS; point++, packed += plane(in->channels, width))
            product_packed(tiles, width, in->channels, products + (size_t)point * out_plane,
                           values + (size_t)point * in_plane, packed);
        transform_output(out, y + k, products, out_plane, tiles, width);
    }
}

static void forward(const struct conv *conv, struct conv_chunk chunk, real *y, const real *x, const real *packed,
                    real *work) {
    convolve(&conv->g, &conv->x, &conv->y, chunk, y, x, packed, work);
}

static void backward_data(const struct conv *conv, struct conv_chunk chunk, real *dx, const real *dy,
                          const real *packed, real *work) {
    convolve(&conv->g, &conv->dy, &conv->dx, chunk, dx, dy, packed, work);
}

static void add_weights(const struct conv *conv, int images, struct conv_slice slice, real *sum, bool first_block,
                        const real *x, const real *dy, real *work) {
    const struct conv_geometry *g = &conv->g;
    struct row_range filters = {slice.index * conv->slices / slice.count * LANES,
                                (slice.index + 1) * conv->slices / slice.count * LANES, g->filters};
    int tiles = images * tiles_of_image(g), values_row = padded(g->channels), gradients_row = padded(g->filters);
    for (int first = 0; first < tiles; first += STEP_TILES) {
        int count = smaller(STEP_TILES, tiles - first);
        size_t values_plane = plane(count, values_row), gradients_plane = plane(count, gradients_row);
        real *values = work, *gradients = work + POINTS * values_plane;
        transform_input(g, &conv->x, values, values_row, values_plane, x, first, count);
        transform_gradients(g, &conv->dy, filters, gradients, gradients_row, gradients_plane, dy, first, count);
        for (int point = 0; point < POINTS; point++)
            product_transposed(filters, g->channels, count, sum + (size_t)point * plane(g->filters, g->channels),
                               gradients + (size_t)point * gradients_plane, gradients_row,
                               values + (size_t)point * values_plane, values_row, !first_block || first);
    }
}

const struct conv_algorithm conv_winograd = {
    .plan = plan,
    .pack = pack,
    .pack_turned = pack_turned,
    .forward = forward,
    .backward_data = backward_data,
    .add_weights = add_weights,
    .finish_weights = finish_weights,
};
