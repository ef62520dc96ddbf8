/* Convolution by im2col: patches of a block of positions are laid out as matrix rows and multiplied with the filters.
 *
 * The batch is cut into tasks of whole images, a task into blocks of at most BLOCK_ROWS positions. Tasks never share
 * output, except the weight gradient: there PARTIALS accumulators each take a fixed set of tasks and are added in order
 * at the end. Where a patch is the whole image or a single pixel, the input is its own patch matrix. */
#include "kernel/conv.h"

#include <omp.h>
#include <string.h>

#include "kernel/gemm.h"
#include "kernel/winograd.h"

enum { BLOCK_ROWS = 128, PARTIALS = 16, FILTERS_PER_TASK = 16, ROWS_PER_TASK = 256 };

static int smaller(int a, int b) {
    return a < b ? a : b;
}

static int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

bool conv_geometry_complete(struct conv_geometry *g) {
    int rows = g->height + 2 * g->padding - g->kernel_h;
    int columns = g->width + 2 * g->padding - g->kernel_w;
    if (rows < 0 || columns < 0)
        return false;
    g->out_height = rows / g->stride + 1;
    g->out_width = columns / g->stride + 1;
    return true;
}

/* The input, read as rows of conv_patch values, is the patch matrix. */
static bool is_matrix(const struct conv_geometry *g) {
    bool pixel = g->kernel_h == 1 && g->kernel_w == 1 && g->stride == 1;
    bool whole = g->kernel_h == g->height && g->kernel_w == g->width;
    return g->padding == 0 && (pixel || whole);
}

static int images_per_task(const struct conv_geometry *g) {
    int positions = g->out_height * g->out_width;
    return positions >= BLOCK_ROWS ? 1 : BLOCK_ROWS / positions;
}

static size_t patch_block(const struct conv_geometry *g) {
    return (size_t)BLOCK_ROWS * (size_t)conv_patch(g);
}

size_t conv_scratch(const struct conv_geometry *g) {
    if (is_matrix(g))
        return 0;
    if (winograd_fits(g))
        return winograd_scratch(g);
    size_t filters = (size_t)g->filters * (size_t)conv_patch(g);
    return (size_t)omp_get_max_threads() * patch_block(g) + PARTIALS * filters;
}

static real *thread_patches(const struct conv_geometry *g, real *scratch) {
    return scratch + (size_t)omp_get_thread_num() * patch_block(g);
}

/* --- Patches ----------------------------------------------------------------------------------------------------- */

/* One row of a patch inside the image: columns [first, end) of the kernel, from pixel (iy, ix + first). */
struct run {
    int first, end;
    size_t pixel; /* offset of the first value in the image */
};

static bool patch_run(const struct conv_geometry *g, int oy, int ox, int ky, struct run *run) {
    int iy = oy * g->stride - g->padding + ky, ix = ox * g->stride - g->padding;
    run->first = ix < 0 ? -ix : 0;
    run->end = smaller(g->kernel_w, g->width - ix);
    if (iy < 0 || iy >= g->height || run->first >= run->end)
        return false;
    run->pixel = ((size_t)iy * (size_t)g->width + (size_t)(ix + run->first)) * (size_t)g->channels;
    return true;
}

/* patches[row] for positions [begin, end) of one image */
static void gather_patches(const struct conv_geometry *g, real *patches, const real *image, int begin, int end) {
    size_t kernel_row = (size_t)g->kernel_w * (size_t)g->channels;
    for (int position = begin; position < end; position++) {
        int oy = position / g->out_width, ox = position % g->out_width;
        for (int ky = 0; ky < g->kernel_h; ky++, patches += kernel_row) {
            struct run run;
            if (!patch_run(g, oy, ox, ky, &run)) {
                memset(patches, 0, kernel_row * sizeof *patches);
                continue;
            }
            size_t left = (size_t)run.first * (size_t)g->channels, right = (size_t)run.end * (size_t)g->channels;
            memset(patches, 0, left * sizeof *patches);
            memcpy(patches + left, image + run.pixel, (right - left) * sizeof *patches);
            memset(patches + right, 0, (kernel_row - right) * sizeof *patches);
        }
    }
}

/* The transpose of gather_patches: adds each patch to the pixels it covers. */
static void scatter_patches(const struct conv_geometry *g, real *image, const real *patches, int begin, int end) {
    size_t kernel_row = (size_t)g->kernel_w * (size_t)g->channels;
    for (int position = begin; position < end; position++) {
        int oy = position / g->out_width, ox = position % g->out_width;
        for (int ky = 0; ky < g->kernel_h; ky++, patches += kernel_row) {
            struct run run;
            if (!patch_run(g, oy, ox, ky, &run))
                continue;
            real *pixels = image + run.pixel;
            const real *values = patches + (size_t)run.first * (size_t)g->channels;
            size_t count = (size_t)(run.end - run.first) * (size_t)g->channels;
#pragma omp simd
            for (size_t i = 0; i < count; i++)
                pixels[i] += values[i];
        }
    }
}

/* A block of positions: either a part of one image or several whole images. */
struct block {
    int image, images, begin, end; /* positions [begin, end) of each image */
};

static bool next_block(const struct conv_geometry *g, struct block *block, int last_image) {
    int positions = g->out_height * g->out_width;
    if (block->end < positions && block->images) {
        block->begin = block->end;
    } else {
        block->image += block->images;
        block->images = positions <= BLOCK_ROWS ? smaller(BLOCK_ROWS / positions, last_image - block->image) : 1;
        block->begin = 0;
    }
    block->end = smaller(positions, block->begin + BLOCK_ROWS);
    return block->image < last_image;
}

static int block_rows(const struct block *block) {
    return block->images * (block->end - block->begin);
}

static size_t block_output(const struct conv_geometry *g, const struct block *block) {
    size_t positions = (size_t)g->out_height * (size_t)g->out_width;
    return ((size_t)block->image * positions + (size_t)block->begin) * (size_t)g->filters;
}

static size_t image_values(const struct conv_geometry *g) {
    return (size_t)g->height * (size_t)g->width * (size_t)g->channels;
}

static void gather_block(const struct conv_geometry *g, real *patches, const real *x, const struct block *block) {
    size_t rows = (size_t)(block->end - block->begin);
    for (int i = 0; i < block->images; i++)
        gather_patches(g, patches + (size_t)i * rows * (size_t)conv_patch(g),
                       x + (size_t)(block->image + i) * image_values(g), block->begin, block->end);
}

static void scatter_block(const struct conv_geometry *g, real *dx, const real *patches, const struct block *block) {
    size_t rows = (size_t)(block->end - block->begin);
    for (int i = 0; i < block->images; i++)
        scatter_patches(g, dx + (size_t)(block->image + i) * image_values(g),
                        patches + (size_t)i * rows * (size_t)conv_patch(g), block->begin, block->end);
}

/* --- Forward ----------------------------------------------------------------------------------------------------- */

static void matrix_forward(const struct conv_geometry *g, int n, real *y, const real *x, const real *w) {
    int rows = conv_positions(g, n), patch = conv_patch(g), k = g->filters;
    /* Few rows and many filters, or the other way round: cut along the longer side. */
    if (rows < ROWS_PER_TASK) {
#pragma omp parallel for schedule(dynamic)
        for (int first = 0; first < k; first += FILTERS_PER_TASK)
            gemm_nt(rows, smaller(FILTERS_PER_TASK, k - first), patch, x, patch, w + (size_t)first * (size_t)patch,
                    patch, 0, y + first, k);
        return;
    }
#pragma omp parallel for schedule(dynamic)
    for (int first = 0; first < rows; first += ROWS_PER_TASK)
        gemm_nt(smaller(ROWS_PER_TASK, rows - first), k, patch, x + (size_t)first * (size_t)patch, patch, w, patch, 0,
                y + (size_t)first * (size_t)k, k);
}

void conv_forward(const struct conv_geometry *g, int n, real *y, const real *x, const real *w, real *scratch) {
    if (is_matrix(g)) {
        matrix_forward(g, n, y, x, w);
        return;
    }
    if (winograd_fits(g)) {
        winograd_forward(g, n, y, x, w, scratch);
        return;
    }
    int patch = conv_patch(g), group = images_per_task(g);
#pragma omp parallel for schedule(dynamic)
    for (int image = 0; image < n; image += group) {
        real *patches = thread_patches(g, scratch);
        struct block block = {.image = image};
        while (next_block(g, &block, smaller(image + group, n))) {
            gather_block(g, patches, x, &block);
            gemm_nt(block_rows(&block), g->filters, patch, patches, patch, w, patch, 0, y + block_output(g, &block),
                    g->filters);
        }
    }
}

/* --- Gradients --------------------------------------------------------------------------------------------------- */

static void matrix_backward_data(const struct conv_geometry *g, int n, real *dx, const real *dy, const real *w) {
    int rows = conv_positions(g, n), patch = conv_patch(g), k = g->filters;
    int step = rows < ROWS_PER_TASK ? FILTERS_PER_TASK : ROWS_PER_TASK;
#pragma omp parallel for schedule(dynamic)
    for (int first = 0; first < rows; first += step)
        gemm_nn(smaller(step, rows - first), patch, k, dy + (size_t)first * (size_t)k, k, w, patch, 0,
                dx + (size_t)first * (size_t)patch, patch);
}

void conv_backward_data(const struct conv_geometry *g, int n, real *dx, const real *dy, const real *w, real *scratch) {
    if (is_matrix(g)) {
        matrix_backward_data(g, n, dx, dy, w);
        return;
    }
    if (winograd_fits(g)) {
        winograd_backward_data(g, n, dx, dy, w, scratch);
        return;
    }
    int patch = conv_patch(g), group = images_per_task(g);
#pragma omp parallel for schedule(dynamic)
    for (int image = 0; image < n; image += group) {
        real *patches = thread_patches(g, scratch);
        int last = smaller(image + group, n);
        memset(dx + (size_t)image * image_values(g), 0, (size_t)(last - image) * image_values(g) * sizeof *dx);
        struct block block = {.image = image};
        while (next_block(g, &block, last)) {
            gemm_nn(block_rows(&block), patch, g->filters, dy + block_output(g, &block), g->filters, w, patch, 0,
                    patches, patch);
            scatter_block(g, dx, patches, &block);
        }
    }
}

static void matrix_backward_weights(const struct conv_geometry *g, int n, real *dw, const real *x, const real *dy) {
    int rows = conv_positions(g, n), patch = conv_patch(g), k = g->filters;
#pragma omp parallel for schedule(dynamic)
    for (int first = 0; first < k; first += FILTERS_PER_TASK)
        gemm_tn(smaller(FILTERS_PER_TASK, k - first), patch, rows, dy + first, k, x, patch, 0,
                dw + (size_t)first * (size_t)patch, patch);
}

static void sum_partials(real *dw, const real *partials, size_t count, int used) {
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        real sum = partials[i];
        for (int p = 1; p < used; p++)
            sum += partials[(size_t)p * count + i];
        dw[i] = sum;
    }
}

void conv_backward_weights(const struct conv_geometry *g, int n, real *dw, const real *x, const real *dy,
                           real *scratch) {
    if (is_matrix(g)) {
        matrix_backward_weights(g, n, dw, x, dy);
        return;
    }
    if (winograd_fits(g)) {
        winograd_backward_weights(g, n, dw, x, dy, scratch);
        return;
    }
    int patch = conv_patch(g), group = images_per_task(g);
    int tasks = ceil_div(n, group), used = smaller(PARTIALS, tasks);
    size_t count = (size_t)g->filters * (size_t)patch;
    real *partials = scratch + (size_t)omp_get_max_threads() * patch_block(g);
#pragma omp parallel for schedule(dynamic)
    for (int p = 0; p < used; p++) {
        real *patches = thread_patches(g, scratch), *sum = partials + (size_t)p * count;
        real beta = 0;
        for (int task = p; task < tasks; task += used) {
            struct block block = {.image = task * group};
            while (next_block(g, &block, smaller((task + 1) * group, n))) {
                gather_block(g, patches, x, &block);
                gemm_tn(g->filters, patch, block_rows(&block), dy + block_output(g, &block), g->filters, patches, patch,
                        beta, sum, patch);
                beta = 1;
            }
        }
    }
    sum_partials(dw, partials, count, used);
}

/* --- Box sums ---------------------------------------------------------------------------------------------------- */

static void pixel_squares(real *squares, const real *x, int pixels, int channels) {
    for (int p = 0; p < pixels; p++) {
        const real *pixel = x + (size_t)p * (size_t)channels;
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int c = 0; c < channels; c++)
            sum += pixel[c] * pixel[c];
        squares[p] = sum;
    }
}

static real box_sum(const struct conv_geometry *g, const real *map, int oy, int ox) {
    real sum = 0;
    int top = oy * g->stride - g->padding, left = ox * g->stride - g->padding;
    int bottom = smaller(top + g->kernel_h, g->height), right = smaller(left + g->kernel_w, g->width);
    for (int iy = top < 0 ? 0 : top; iy < bottom; iy++)
        for (int ix = left < 0 ? 0 : left; ix < right; ix++)
            sum += map[iy * g->width + ix];
    return sum;
}

void conv_patch_squares(const struct conv_geometry *g, int n, real *sums, const real *x, real *scratch) {
    int pixels = g->height * g->width, positions = g->out_height * g->out_width;
#pragma omp parallel for schedule(static)
    for (int image = 0; image < n; image++) {
        real *squares = scratch + (size_t)image * (size_t)pixels;
        pixel_squares(squares, x + (size_t)image * image_values(g), pixels, g->channels);
        for (int p = 0; p < positions; p++)
            sums[(size_t)image * (size_t)positions + (size_t)p] =
                box_sum(g, squares, p / g->out_width, p % g->out_width);
    }
}

/* Output rows (or columns) whose window covers input coordinate i are [first, end). */
static void covering(int i, int kernel, int stride, int padding, int outputs, int *first, int *end) {
    int lowest = i + padding - kernel + 1;
    *first = lowest <= 0 ? 0 : ceil_div(lowest, stride);
    *end = smaller(outputs, (i + padding) / stride + 1);
}

static real covered_sum(const struct conv_geometry *g, const real *r, int iy, int ix) {
    int top, bottom, left, right;
    covering(iy, g->kernel_h, g->stride, g->padding, g->out_height, &top, &bottom);
    covering(ix, g->kernel_w, g->stride, g->padding, g->out_width, &left, &right);
    real sum = 0;
    for (int oy = top; oy < bottom; oy++)
        for (int ox = left; ox < right; ox++)
            sum += r[oy * g->out_width + ox];
    return sum;
}

void conv_add_box(const struct conv_geometry *g, int n, real *dx, const real *x, const real *r) {
    int pixels = g->height * g->width, positions = g->out_height * g->out_width;
#pragma omp parallel for schedule(static)
    for (int image = 0; image < n; image++) {
        const real *map = r + (size_t)image * (size_t)positions;
        for (int p = 0; p < pixels; p++) {
            real factor = covered_sum(g, map, p / g->width, p % g->width);
            size_t first = ((size_t)image * (size_t)pixels + (size_t)p) * (size_t)g->channels;
#pragma omp simd
            for (int c = 0; c < g->channels; c++)
                dx[first + (size_t)c] += factor * x[first + (size_t)c];
        }
    }
}
