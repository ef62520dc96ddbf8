#include "kernel/conv.h"

#include "base/number.h"

bool conv_geometry_complete(struct conv_geometry *g) {
    int rows = g->height + 2 * g->padding - g->kernel_h;
    int columns = g->width + 2 * g->padding - g->kernel_w;
    if (rows < 0 || columns < 0)
        return false;
    g->out_height = rows / g->stride + 1;
    g->out_width = columns / g->stride + 1;
    return true;
}

bool conv_plan(struct conv *conv, const struct conv_geometry *g, enum conv_choice algorithm) {
    bool transform = algorithm != CONV_IM2COL && conv_winograd_fits(g);
    *conv = (struct conv){.g = *g, .algorithm = transform ? &conv_winograd : &conv_im2col};
    conv->algorithm->plan(conv);
    return transform || algorithm != CONV_WINOGRAD;
}

bool conv_next_chunk(const struct conv_output *output, int images, struct conv_chunk *chunk) {
    int row = chunk->row + chunk->rows;
    if (row < output->height && chunk->images) {
        chunk->row = row;
    } else {
        chunk->image += chunk->images;
        chunk->row = 0;
    }
    chunk->images = smaller(output->images, images - chunk->image);
    chunk->rows = smaller(output->rows, output->height - chunk->row);
    return chunk->image < images;
}

enum { SUMS_BYTES = 20 * 1048576, LEAST_PARTIALS = 4, MOST_PARTIALS = 8 };

int conv_partials(size_t reals) {
    int partials = MOST_PARTIALS;
    while (partials > LEAST_PARTIALS && (size_t)partials * reals * sizeof(real) > SUMS_BYTES)
        partials /= 2;
    return partials;
}

/* --- Box sums ---------------------------------------------------------------------------------------------------- */

void conv_patch_squares(const struct conv *conv, real *sums, const real *squares) {
    const struct conv_geometry *g = &conv->g;
    for (int oy = 0; oy < g->out_height; oy++) {
        real *row = sums + (size_t)oy * (size_t)g->out_width;
        for (int ox = 0; ox < g->out_width; ox++)
            row[ox] = 0;
        for (int ky = 0; ky < g->kernel_h; ky++) {
            int y = oy * g->stride + ky + conv->x.border - g->padding;
            for (int kx = 0; kx < g->kernel_w; kx++) {
                const real *from = squares + (size_t)y * (size_t)conv->x.width + kx + conv->x.border - g->padding;
#pragma omp simd
                for (int ox = 0; ox < g->out_width; ox++)
                    row[ox] += from[ox * g->stride];
            }
        }
    }
}

/* Output rows (or columns) whose window covers input coordinate i are [first, end). */
static void covering(int i, int kernel, int stride, int padding, int outputs, int *first, int *end) {
    int lowest = i + padding - kernel + 1;
    *first = lowest <= 0 ? 0 : ceil_div(lowest, stride);
    *end = smaller(outputs, (i + padding) / stride + 1);
}

void conv_box_row(const struct conv_geometry *g, real *box, const real *r, int y) {
    int top, bottom, left, right;
    covering(y, g->kernel_h, g->stride, g->padding, g->out_height, &top, &bottom);
    for (int x = 0; x < g->width; x++) {
        real sum = 0;
        covering(x, g->kernel_w, g->stride, g->padding, g->out_width, &left, &right);
        for (int oy = top; oy < bottom; oy++)
            for (int ox = left; ox < right; ox++)
                sum += r[oy * g->out_width + ox];
        box[x] = sum;
    }
}
