/* With interpolation at 0, 1, -1, 2, -2 and infinity, one dimension at a time:
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
 * The tiles of a batch are cut into blocks of BLOCK_TILES; a block's transforms and products stay with one thread.
 *
 *    transformed input   [POINTS][BLOCK_TILES][channels]           of a thread
 *    products            [POINTS][BLOCK_TILES][filters]            of a thread
 *    filters             [POINTS][panel][channels][panel width]    packed, so that a panel is read in order */
#include "kernel/winograd.h"

#include <omp.h>
#include <string.h>

#include "kernel/vector.h"

enum {
    TILE = 4,
    PATCH = 6,
    POINTS = PATCH * PATCH,
    ROWS = 6,         /* of a register tile */
    BLOCK_TILES = 48, /* a multiple of ROWS */
    PANEL_VECTORS = VECTOR_REGISTERS == 32 ? 4 : 2,
    PANEL = PANEL_VECTORS * LANES,
    PARTIALS = 4 /* sums of the weight gradient, added in order */
};

static int smaller(int a, int b) {
    return a < b ? a : b;
}

static int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

/* --- Geometry ---------------------------------------------------------------------------------------------------- */

bool winograd_fits(const struct conv_geometry *g) {
    return g->kernel_h == 3 && g->kernel_w == 3 && g->stride == 1 && g->padding <= 2 && g->channels % LANES == 0 &&
           g->channels % 4 == 0 && g->filters % LANES == 0;
}

/* One side of a convolution as tiles see it: 4x4 tiles of an output image, 6x6 patches of an input image. */
struct tiling {
    int in_height, in_width, in_channels, padding;
    int out_height, out_width, out_channels;
    int rows, columns, per_image, tiles;
};

static struct tiling tiling_of(const struct conv_geometry *g, int n) {
    struct tiling t = {
        .in_height = g->height,
        .in_width = g->width,
        .in_channels = g->channels,
        .padding = g->padding,
        .out_height = g->out_height,
        .out_width = g->out_width,
        .out_channels = g->filters,
        .rows = ceil_div(g->out_height, TILE),
        .columns = ceil_div(g->out_width, TILE),
    };
    t.per_image = t.rows * t.columns;
    t.tiles = n * t.per_image;
    return t;
}

/* The convolution that takes dy to dx. */
static struct conv_geometry transposed(const struct conv_geometry *g) {
    struct conv_geometry back = *g;
    back.height = g->out_height;
    back.width = g->out_width;
    back.channels = g->filters;
    back.padding = 2 - g->padding;
    back.filters = g->channels;
    back.out_height = g->height;
    back.out_width = g->width;
    return back;
}

static size_t plane(int channels) {
    return (size_t)BLOCK_TILES * (size_t)channels;
}

static size_t thread_reals(const struct conv_geometry *g) {
    return POINTS * (plane(g->channels) + plane(g->filters));
}

static size_t filter_reals(const struct conv_geometry *g) {
    return POINTS * (size_t)g->channels * (size_t)g->filters;
}

size_t winograd_scratch(const struct conv_geometry *g) {
    return (size_t)omp_get_max_threads() * thread_reals(g) + PARTIALS * filter_reals(g);
}

/* --- One-dimensional transforms of vectors ----------------------------------------------------------------------- */

/* B^T, in place of six values `step` apart. */
static inline void transform_patch(vector *v, int step) {
    vector a = v[0], b = v[step], c = v[2 * step], d = v[3 * step], e = v[4 * step], f = v[5 * step];
    vector even = e - 4 * c, odd = d - 4 * b, even2 = e - c, odd2 = 2 * (d - b);
    v[0] = 4 * a - 5 * c + e;
    v[step] = even + odd;
    v[2 * step] = even - odd;
    v[3 * step] = even2 + odd2;
    v[4 * step] = even2 - odd2;
    v[5 * step] = 4 * b - 5 * d + f;
}

/* A^T: six values to the first four. */
static inline void transform_products(vector *v, int step) {
    vector sum1 = v[step] + v[2 * step], difference1 = v[step] - v[2 * step];
    vector sum2 = v[3 * step] + v[4 * step], difference2 = v[3 * step] - v[4 * step];
    v[0] = v[0] + sum1 + sum2;
    v[step] = difference1 + 2 * difference2;
    v[2 * step] = sum1 + 4 * sum2;
    v[3 * step] = difference1 + 8 * difference2 + v[5 * step];
}

/* A: the first four values to six. */
static inline void transform_gradient(vector *v, int step) {
    vector a = v[0], b = v[step], c = v[2 * step], d = v[3 * step];
    vector even1 = a + c, odd1 = b + d, even2 = a + 4 * c, odd2 = 2 * b + 8 * d;
    v[0] = a;
    v[step] = even1 + odd1;
    v[2 * step] = even1 - odd1;
    v[3 * step] = even2 + odd2;
    v[4 * step] = even2 - odd2;
    v[5 * step] = d;
}

/* G: the first three values to six. */
static inline void transform_filter(vector *v, int step) {
    const real sixth = (real)(1.0 / 6), twelfth = (real)(1.0 / 12);
    vector a = v[0], b = v[step], c = v[2 * step];
    vector even1 = -sixth * (a + c), odd1 = sixth * b, even2 = sixth * (c + (real)0.25 * a), odd2 = twelfth * b;
    v[0] = (real)0.25 * a;
    v[step] = even1 - odd1;
    v[2 * step] = even1 + odd1;
    v[3 * step] = even2 + odd2;
    v[4 * step] = even2 - odd2;
    v[5 * step] = c;
}

/* G^T: six values to the first three. */
static inline void transform_sums(vector *v, int step) {
    const real sixth = (real)(1.0 / 6), twelfth = (real)(1.0 / 12);
    vector sum1 = v[step] + v[2 * step], difference1 = v[2 * step] - v[step];
    vector sum2 = v[3 * step] + v[4 * step], difference2 = v[3 * step] - v[4 * step];
    v[0] = (real)0.25 * v[0] - sixth * sum1 + (real)(1.0 / 24) * sum2;
    v[step] = sixth * difference1 + twelfth * difference2;
    v[2 * step] = sixth * (sum2 - sum1) + v[5 * step];
}

/* --- Tiles ------------------------------------------------------------------------------------------------------- */

/* Where tile `index` of a batch lies. */
struct place {
    int image, y, x; /* of the tile's first output pixel */
};

static struct place place_of(const struct tiling *t, int index) {
    int within = index % t->per_image;
    return (struct place){index / t->per_image, within / t->columns * TILE, within % t->columns * TILE};
}

/* A square of `size` pixels of an image, its first pixel perhaps outside. */
struct square {
    const real *image;
    int height, width, channels;
    int y, x, size;
};

/* Loads channels [c, c + LANES) of the square's pixels into v, rows PATCH apart; zero outside the image. */
static inline void load_square(vector *v, const struct square *s, int c) {
    for (int i = 0; i < s->size; i++) {
        int y = s->y + i;
        const real *row = s->image + ((ptrdiff_t)y * s->width + s->x) * s->channels + c;
        bool row_inside = y >= 0 && y < s->height;
        for (int j = 0; j < s->size; j++) {
            int x = s->x + j;
            v[i * PATCH + j] =
                row_inside && x >= 0 && x < s->width ? vector_load(row + (ptrdiff_t)j * s->channels) : (vector){0};
        }
    }
}

/* The same for a square that lies inside. */
static inline void load_inside(vector *v, const struct square *s, int c) {
    for (int i = 0; i < s->size; i++)
        for (int j = 0; j < s->size; j++)
            v[i * PATCH + j] = vector_load(
                s->image + ((size_t)(s->y + i) * (size_t)s->width + (size_t)(s->x + j)) * (size_t)s->channels +
                (size_t)c);
}

static bool is_inside(const struct square *s) {
    return s->y >= 0 && s->x >= 0 && s->y + s->size <= s->height && s->x + s->size <= s->width;
}

/* values[point][tile][channels] of one tile: B^T x B */
static void transform_input(const struct tiling *t, real *values, const real *x, int index) {
    struct place p = place_of(t, index);
    size_t image = (size_t)t->in_height * (size_t)t->in_width * (size_t)t->in_channels;
    struct square square = {x + (size_t)p.image * image,
                            t->in_height,
                            t->in_width,
                            t->in_channels,
                            p.y - t->padding,
                            p.x - t->padding,
                            PATCH};
    bool inside = is_inside(&square);
    for (int c = 0; c < t->in_channels; c += LANES) {
        vector v[POINTS];
        if (inside)
            load_inside(v, &square, c);
        else
            load_square(v, &square, c);
        for (int j = 0; j < PATCH; j++)
            transform_patch(v + j, PATCH);
        for (int i = 0; i < PATCH; i++)
            transform_patch(v + i * PATCH, 1);
        for (int point = 0; point < POINTS; point++)
            vector_store(values + (size_t)point * plane(t->in_channels) + c, v[point]);
    }
}

/* values[point][tile][filters] of one tile: A dY A^T */
static void transform_output_gradient(const struct tiling *t, real *values, const real *dy, int index) {
    struct place p = place_of(t, index);
    size_t image = (size_t)t->out_height * (size_t)t->out_width * (size_t)t->out_channels;
    struct square square = {dy + (size_t)p.image * image, t->out_height, t->out_width, t->out_channels, p.y, p.x, TILE};
    bool inside = is_inside(&square);
    for (int k = 0; k < t->out_channels; k += LANES) {
        vector v[POINTS];
        if (inside)
            load_inside(v, &square, k);
        else
            load_square(v, &square, k);
        for (int j = 0; j < TILE; j++)
            transform_gradient(v + j, PATCH);
        for (int i = 0; i < PATCH; i++)
            transform_gradient(v + i * PATCH, 1);
        for (int point = 0; point < POINTS; point++)
            vector_store(values + (size_t)point * plane(t->out_channels) + k, v[point]);
    }
}

/* y of one tile from products[point][tile][filters]: A^T M A */
static void transform_output(const struct tiling *t, real *y, const real *products, int index) {
    struct place p = place_of(t, index);
    size_t image = (size_t)t->out_height * (size_t)t->out_width * (size_t)t->out_channels;
    real *out =
        y + (size_t)p.image * image + ((size_t)p.y * (size_t)t->out_width + (size_t)p.x) * (size_t)t->out_channels;
    int rows = smaller(TILE, t->out_height - p.y), columns = smaller(TILE, t->out_width - p.x);
    for (int k = 0; k < t->out_channels; k += LANES) {
        vector v[POINTS];
        for (int point = 0; point < POINTS; point++)
            v[point] = vector_load(products + (size_t)point * plane(t->out_channels) + k);
        for (int j = 0; j < PATCH; j++)
            transform_products(v + j, PATCH);
        for (int i = 0; i < TILE; i++)
            transform_products(v + i * PATCH, 1);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                vector_store(out + ((size_t)i * (size_t)t->out_width + (size_t)j) * (size_t)t->out_channels + k,
                             v[i * PATCH + j]);
    }
}

/* --- Products ---------------------------------------------------------------------------------------------------- */

/* c[rows][vectors] (+)= sum over depth of a[row] b[vectors]: a register tile. Called with constant rows and vectors. */
struct product {
    const real *a, *b;
    size_t a_row, a_step, b_step; /* reals between rows of a; between steps of depth of a and b */
    real *c;
    size_t c_row;
    int depth;
    bool add;
};

static inline __attribute__((always_inline)) void multiply(const struct product *p, int rows, int vectors) {
    vector sum[ROWS][PANEL_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = p->add ? vector_load(p->c + (size_t)r * p->c_row + v * LANES) : (vector){0};
    const real *a = p->a, *b = p->b;
    for (int d = 0; d < p->depth; d++, a += p->a_step, b += p->b_step) {
        vector right[PANEL_VECTORS];
        for (int v = 0; v < vectors; v++)
            right[v] = vector_load(b + v * LANES);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] += a[(size_t)r * p->a_row] * right[v];
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            vector_store(p->c + (size_t)r * p->c_row + v * LANES, sum[r][v]);
}

static inline __attribute__((always_inline)) void multiply_rows(const struct product *p, int rows, int vectors) {
    switch (vectors) {
    case 1:
        multiply(p, rows, 1);
        break;
    case 2:
        multiply(p, rows, 2);
        break;
#if defined __AVX512F__
    case 3:
        multiply(p, rows, 3);
        break;
    case 4:
        multiply(p, rows, 4);
        break;
#endif
    }
}

static void multiply_six(const struct product *p, int vectors) {
    multiply_rows(p, ROWS, vectors);
}

static void multiply_four(const struct product *p, int vectors) {
    multiply_rows(p, 4, vectors);
}

/* products[tile][out] = values[tile][in] filters[in][out], at one point; rows up to a multiple of ROWS. */
static void multiply_block(const struct tiling *t, real *products, const real *values, const real *filters, int tiles) {
    for (int k = 0; k < t->out_channels; k += PANEL) {
        int width = smaller(PANEL, t->out_channels - k);
        for (int tile = 0; tile < tiles; tile += ROWS) {
            struct product p = {
                .a = values + (size_t)tile * (size_t)t->in_channels,
                .b = filters + (size_t)k * (size_t)t->in_channels,
                .a_row = (size_t)t->in_channels,
                .a_step = 1,
                .b_step = (size_t)width,
                .c = products + (size_t)tile * (size_t)t->out_channels + k,
                .c_row = (size_t)t->out_channels,
                .depth = t->in_channels,
            };
            multiply_six(&p, width / LANES);
        }
    }
}

/* sums[in][out] += values[tile][in]^T gradients[tile][out], at one point. */
static void add_products(const struct tiling *t, real *sums, const real *values, const real *gradients, int tiles,
                         bool add) {
    for (int k = 0; k < t->out_channels; k += PANEL) {
        int vectors = smaller(PANEL, t->out_channels - k) / LANES;
        for (int c = 0; c < t->in_channels;) {
            int left = t->in_channels - c;
            bool four = left == 4 || left == 8; /* every multiple of 4 is sixes and at most two fours */
            struct product p = {
                .a = values + c,
                .b = gradients + k,
                .a_row = 1,
                .a_step = (size_t)t->in_channels,
                .b_step = (size_t)t->out_channels,
                .c = sums + (size_t)c * (size_t)t->out_channels + k,
                .c_row = (size_t)t->out_channels,
                .depth = tiles,
                .add = add,
            };
            if (four)
                multiply_four(&p, vectors);
            else
                multiply_six(&p, vectors);
            c += four ? 4 : ROWS;
        }
    }
}

/* --- Filters ----------------------------------------------------------------------------------------------------- */

/* 3x3 values of LANES filters facing one channel, or of one filter facing LANES channels, to POINTS vectors. */
static inline void transform_kernel(vector *v) {
    for (int j = 0; j < 3; j++)
        transform_filter(v + j, PATCH);
    for (int i = 0; i < PATCH; i++)
        transform_filter(v + i * PATCH, 1);
}

/* Offset of column k of the packed filters' row `c`, with `depth` rows and `columns` columns in all. */
static size_t packed(int k, int c, int depth, int columns) {
    int panel = k / PANEL * PANEL, width = smaller(PANEL, columns - panel);
    return (size_t)panel * (size_t)depth + (size_t)c * (size_t)width + (size_t)(k - panel);
}

/* packed[point]: [channels] rows, [filters] columns, from w: [filters][3][3][channels] */
static void pack_filters(const struct conv_geometry *g, real *to, const real *w) {
    size_t point_size = (size_t)g->channels * (size_t)g->filters;
#pragma omp parallel for schedule(static)
    for (int k = 0; k < g->filters; k += LANES) {
        for (int c = 0; c < g->channels; c++) {
            vector v[POINTS];
            for (int i = 0; i < 9; i++)
                for (int lane = 0; lane < LANES; lane++)
                    v[i / 3 * PATCH + i % 3][lane] =
                        w[((size_t)(k + lane) * 9 + (size_t)i) * (size_t)g->channels + (size_t)c];
            transform_kernel(v);
            for (int point = 0; point < POINTS; point++)
                vector_store(to + (size_t)point * point_size + packed(k, c, g->channels, g->filters), v[point]);
        }
    }
}

/* The same turned round: [filters] rows, [channels] columns. */
static void pack_turned_filters(const struct conv_geometry *g, real *to, const real *w) {
    size_t point_size = (size_t)g->channels * (size_t)g->filters;
#pragma omp parallel for schedule(static)
    for (int k = 0; k < g->filters; k++) {
        for (int c = 0; c < g->channels; c += LANES) {
            vector v[POINTS];
            for (int i = 0; i < 9; i++)
                v[i / 3 * PATCH + i % 3] = vector_load(w + ((size_t)k * 9 + (size_t)(8 - i)) * (size_t)g->channels + c);
            transform_kernel(v);
            for (int point = 0; point < POINTS; point++)
                vector_store(to + (size_t)point * point_size + packed(c, k, g->filters, g->channels), v[point]);
        }
    }
}

/* dw: [filters][3][3][channels] from `count` partial sums of [point][channels][filters] */
static void unpack_sums(const struct conv_geometry *g, real *dw, const real *sums, int count) {
    size_t point_size = (size_t)g->channels * (size_t)g->filters;
#pragma omp parallel for schedule(static)
    for (int k = 0; k < g->filters; k += LANES) {
        for (int c = 0; c < g->channels; c++) {
            vector v[POINTS];
            for (int point = 0; point < POINTS; point++) {
                const real *from = sums + (size_t)point * point_size + (size_t)c * (size_t)g->filters + k;
                v[point] = vector_load(from);
                for (int partial = 1; partial < count; partial++)
                    v[point] += vector_load(from + (size_t)partial * POINTS * point_size);
            }
            for (int j = 0; j < PATCH; j++)
                transform_sums(v + j, PATCH);
            for (int i = 0; i < 3; i++)
                transform_sums(v + i * PATCH, 1);
            for (int i = 0; i < 9; i++)
                for (int lane = 0; lane < LANES; lane++)
                    dw[((size_t)(k + lane) * 9 + (size_t)i) * (size_t)g->channels + (size_t)c] =
                        v[i / 3 * PATCH + i % 3][lane];
        }
    }
}

/* --- The three convolutions -------------------------------------------------------------------------------------- */

/* y = x convolved with packed filters */
static void convolve(const struct conv_geometry *g, int n, real *y, const real *x, const real *filters,
                     real *thread_memory) {
    struct tiling t = tiling_of(g, n);
    size_t point_size = (size_t)g->channels * (size_t)g->filters;
#pragma omp parallel for schedule(static)
    for (int first = 0; first < t.tiles; first += BLOCK_TILES) {
        real *values = thread_memory + (size_t)omp_get_thread_num() * thread_reals(g);
        real *products = values + POINTS * plane(g->channels);
        int tiles = smaller(BLOCK_TILES, t.tiles - first);
        for (int i = 0; i < tiles; i++)
            transform_input(&t, values + (size_t)i * (size_t)g->channels, x, first + i);
        for (int point = 0; point < POINTS; point++)
            multiply_block(&t, products + (size_t)point * plane(g->filters),
                           values + (size_t)point * plane(g->channels), filters + (size_t)point * point_size, tiles);
        for (int i = 0; i < tiles; i++)
            transform_output(&t, y, products + (size_t)i * (size_t)g->filters, first + i);
    }
}

void winograd_forward(const struct conv_geometry *g, int n, real *y, const real *x, const real *w, real *scratch) {
    pack_filters(g, scratch, w);
    convolve(g, n, y, x, scratch, scratch + filter_reals(g));
}

void winograd_backward_data(const struct conv_geometry *g, int n, real *dx, const real *dy, const real *w,
                            real *scratch) {
    struct conv_geometry back = transposed(g);
    pack_turned_filters(g, scratch, w);
    convolve(&back, n, dx, dy, scratch, scratch + filter_reals(g));
}

/* The blocks [first, end) of tiles, into one partial sum. */
static void sum_blocks(const struct conv_geometry *g, const struct tiling *t, real *sums, const real *x, const real *dy,
                       int first, int end, real *values) {
    size_t point_size = (size_t)g->channels * (size_t)g->filters;
    real *gradients = values + POINTS * plane(g->channels);
    for (int block = first; block < end; block++) {
        int tile = block * BLOCK_TILES, tiles = smaller(BLOCK_TILES, t->tiles - tile);
        for (int i = 0; i < tiles; i++) {
            transform_input(t, values + (size_t)i * (size_t)g->channels, x, tile + i);
            transform_output_gradient(t, gradients + (size_t)i * (size_t)g->filters, dy, tile + i);
        }
        for (int point = 0; point < POINTS; point++)
            add_products(t, sums + (size_t)point * point_size, values + (size_t)point * plane(g->channels),
                         gradients + (size_t)point * plane(g->filters), tiles, block > first);
    }
}

void winograd_backward_weights(const struct conv_geometry *g, int n, real *dw, const real *x, const real *dy,
                               real *scratch) {
    struct tiling t = tiling_of(g, n);
    int blocks = ceil_div(t.tiles, BLOCK_TILES), partials = smaller(PARTIALS, blocks);
    real *thread_memory = scratch + PARTIALS * filter_reals(g);
#pragma omp parallel for schedule(dynamic)
    for (int partial = 0; partial < partials; partial++)
        sum_blocks(g, &t, scratch + (size_t)partial * filter_reals(g), x, dy, partial * blocks / partials,
                   (partial + 1) * blocks / partials, thread_memory + (size_t)omp_get_thread_num() * thread_reals(g));
    unpack_sums(g, dw, scratch, partials);
}
