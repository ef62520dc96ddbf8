/* The backward pass of a sphere_op; op/sphere_op.h has the derivation. */
#include <assert.h>
#include <string.h>

#include "base/number.h"
#include "kernel/reduce.h"
#include "kernel/vector.h"
#include "op/sphere_workspace.h"

/* --- G, r and the sums over positions ---------------------------------------------------------------------------- */

/* Each of these takes a row of positions: dy holds dL/dy and becomes G, the terms of the filters' sums are added to the
 * image's, and r is set. */

static struct angular_slopes slopes_in(const struct sphere_op *op, real *work) {
    size_t filters = (size_t)op->conv.g.filters;
    return (struct angular_slopes){work, work + filters, work + 2 * filters, work + 3 * filters};
}

/* Any operator but those below. */
static void backward_product(const struct sphere_op *op, const struct position_row *row) {
    int filters = op->conv.g.filters;
    const struct magnitude_type *magnitude = op->magnitude.type;
    const struct angular_type *angular = op->angular.type;
    const struct angular_slopes slopes = slopes_in(op, row->work);
    const real *c = slopes.c, *slope = slopes.slope, *shape_slope = slopes.shape_slope, *g = row->g;
    const real *h_w = op->w_factor, *w_inverse = op->w_inverse;
    real *sums = row->sums, *dy = row->dy;
    for (int p = 0; p < row->count; p++, dy += filters, g += filters) {
        const struct magnitude_factor h = magnitude->of_x(&op->magnitude, row->x_norm[p]);
        real x_inverse = 1 / row->x_norm[p], h_x = h.value, cosine_sum = 0, magnitude_sum = 0;
        angular->slope(&op->angular, &slopes, g, filters);
        if (angular->gradient)
#pragma omp simd
            for (int f = 0; f < filters; f++)
                sums[SUM_SHAPE * filters + f] += dy[f] * h_x * h_w[f] * shape_slope[f];
#pragma omp simd reduction(+ : cosine_sum, magnitude_sum)
        for (int f = 0; f < filters; f++) {
            real d = dy[f], h_gradient = d * h_x * h_w[f] * slope[f]; /* dL/dc */
            dy[f] = h_gradient * x_inverse * w_inverse[f];
            cosine_sum += h_gradient * c[f];
            magnitude_sum += d * h_w[f] * g[f];
            sums[SUM_COSINE * filters + f] += h_gradient * c[f];
            sums[SUM_MAGNITUDE * filters + f] += d * h_x * g[f];
        }
        real r = -cosine_sum * x_inverse * x_inverse;
        /* A factor that is constant adds nothing, even where the sum has no bound. */
        row->r[p] = h.slope != 0 ? r + magnitude_sum * h.slope * x_inverse : r;
        if (magnitude->gradient)
            sums[sphere_sum_count(op) - 1] += magnitude_sum * h.own_slope;
    }
}

/* Where y is cos theta: SphereConv with the cosine activation, which is most of them. */
static void backward_cosine(const struct sphere_op *op, const struct position_row *row) {
    int filters = op->conv.g.filters;
    const real *w_inverse = op->w_inverse, *c = row->g;
    real *cosine_sums = row->sums + SUM_COSINE * filters, *dy = row->dy;
    for (int p = 0; p < row->count; p++, dy += filters, c += filters) {
        real x_inverse = 1 / row->x_norm[p], cosine_sum = 0;
#pragma omp simd reduction(+ : cosine_sum)
        for (int f = 0; f < filters; f++) {
            real product = dy[f] * c[f];
            dy[f] *= x_inverse * w_inverse[f];
            cosine_sum += product;
            cosine_sums[f] += product;
        }
        row->r[p] = -cosine_sum * x_inverse * x_inverse;
    }
}

/* Where y is g of another activation. */
static void backward_angle(const struct sphere_op *op, const struct position_row *row) {
    int filters = op->conv.g.filters;
    const struct angular_type *angular = op->angular.type;
    const struct angular_slopes slopes = slopes_in(op, row->work);
    const real *c = slopes.c, *slope = slopes.slope, *shape_slope = slopes.shape_slope, *g = row->g;
    const real *w_inverse = op->w_inverse;
    real *cosine_sums = row->sums + SUM_COSINE * filters, *shape_sums = row->sums + SUM_SHAPE * filters;
    real *dy = row->dy;
    for (int p = 0; p < row->count; p++, dy += filters, g += filters) {
        real x_inverse = 1 / row->x_norm[p], cosine_sum = 0;
        angular->slope(&op->angular, &slopes, g, filters);
        if (angular->gradient)
#pragma omp simd
            for (int f = 0; f < filters; f++)
                shape_sums[f] += dy[f] * shape_slope[f];
#pragma omp simd reduction(+ : cosine_sum)
        for (int f = 0; f < filters; f++) {
            real h_gradient = dy[f] * slope[f], product = h_gradient * c[f];
            dy[f] = h_gradient * x_inverse * w_inverse[f];
            cosine_sum += product;
            cosine_sums[f] += product;
        }
        row->r[p] = -cosine_sum * x_inverse * x_inverse;
    }
}

void sphere_choose_backward(struct sphere_op *op) {
    if (op->ordinary)
        op->backward_row = NULL;
    else if (!op->y_is_g)
        op->backward_row = backward_product;
    else
        op->backward_row = op->angular.type->identity ? backward_cosine : backward_angle;
}

static bool needs_sums(const struct sphere_op *op) {
    return op->bias || !op->ordinary;
}

static void add_bias_sums(real *sums, const real *dy, int positions, int filters) {
    for (int p = 0; p < positions; p++, dy += filters)
#pragma omp simd
        for (int f = 0; f < filters; f++)
            sums[SUM_BIAS * filters + f] += dy[f];
}

/* What comes from outside: the gradient of the norms themselves. */
static void add_x_norm_gradient(const struct sphere_op *op, real *r, size_t first, int positions) {
    for (int p = 0; p < positions; p++, first++)
        r[p] += op->x_norm_gradient[first] / op->x_norm[first];
}

/* For the sums that the operator has; where y is g, nothing is added to those of the magnitude. */
static void end_block(const struct sphere_op *op, real *sums) {
    int filters = op->conv.g.filters, count = sphere_sum_count(op);
    int others = (op->y_is_g ? SUM_SHAPE : SUM_MAGNITUDE) * filters;
    if (op->bias)
        sums_end_block(sums, count, SUM_BIAS * filters, filters);
    if (op->ordinary)
        return;
    sums_end_block(sums, count, SUM_COSINE * filters, filters);
    sums_end_block(sums, count, others, count - others);
}

/* Some positions of a row of an image, the first of which is number `before` of the image. */
struct piece {
    int count, before;
    real *to, *r;       /* dL/dy, which becomes G; set */
    const real *angles; /* op->g, or what stands for it */
    size_t position;    /* of the batch */
};

static void backward_piece(const struct sphere_op *op, const struct piece *piece, real *sums, real *work) {
    if (op->bias)
        add_bias_sums(sums, piece->to, piece->count, op->conv.g.filters);
    if (op->backward_row)
        op->backward_row(op, &(struct position_row){piece->count, piece->to, piece->angles,
                                                    op->x_norm + piece->position, piece->r, sums, work});
    if (op->x_norm_gradient)
        add_x_norm_gradient(op, piece->r, piece->position, piece->count);
    if (needs_sums(op) && sums_block_ends(piece->before, piece->count))
        end_block(op, sums);
}

/* G of one image into place `slot` of the buffer, r into the map; sums: the image's own. */
static void read_gradient(const struct sphere_op *op, const struct gradient *dy, int image, int slot, real *sums,
                          const struct sphere_worker *worker) {
    const struct conv_geometry *g = &op->conv.g;
    size_t filters = (size_t)g->filters;
    const real *angles = op->g ? op->g : dy->of.data;
    if (needs_sums(op))
        sums_begin(sums, conv_positions(g, 1), sphere_sum_count(op));
    for (int y = 0; y < g->out_height; y++) {
        size_t first = sphere_position(image, g->out_height, g->out_width, y);
        real *to = worker->dy + image_buffer_row(&op->conv.dy, slot, y);
        real *r = worker->map + sphere_position(slot, g->out_height, g->out_width, y);
        gradient_read(dy, first, g->out_width, to);
        for (int x = 0; x < g->out_width; x += SUMS_BLOCK) {
            size_t at = first + (size_t)x;
            const struct piece piece = {smaller(SUMS_BLOCK, g->out_width - x),
                                        y * g->out_width + x,
                                        to + (size_t)x * filters,
                                        r + x,
                                        angles + at * filters,
                                        at};
            backward_piece(op, &piece, sums, worker->work);
        }
    }
}

/* A backward pass. dx, packed NULL: the gradient of x is not wanted. */
struct backward {
    int n, sums;                 /* of the whole batch: images, and partial sums of the weight gradient */
    int first;                   /* image of the batch that is number 0 here */
    int first_partial, partials; /* partial sums whose images are here */
    const struct gradient_target *dx;
    const struct gradient *dy;
    const struct view *x;
    const real *packed;
    const struct sphere_workspace *memory;
};

/* G of a block of images into the buffer, r into the map. However often that is done, the sums over positions come out
 * the same, and are kept once. */
static void read_gradients(const struct sphere_op *op, const struct backward *pass, int first_image, int images,
                           bool keep_sums, const struct sphere_worker *worker) {
    size_t sums = sphere_sums_reals(op);
    for (int i = 0; i < images; i++) {
        int image = first_image + i;
        real *to = keep_sums ? pass->memory->image_sums + (size_t)image * sums : worker->sums;
        read_gradient(op, pass->dy, image, i, to, worker);
    }
}

/* --- The gradient of x ------------------------------------------------------------------------------------------- */

/* Takes the gradient of x out of a chunk. */
static void write_gradient(const struct sphere_op *op, struct conv_chunk chunk, int first_image,
                           const struct gradient_target *dx, const struct view *x, const struct sphere_worker *worker) {
    const struct conv_geometry *g = &op->conv.g;
    for (int i = 0; i < chunk.images; i++) {
        int slot = chunk.image + i, image = first_image + slot;
        if (chunk.row == 0)
            gradient_begin(dx, x, image);
        for (int r = 0; r < chunk.rows; r++) {
            int y = chunk.row + r;
            if (!op->ordinary)
                conv_box_row(g, worker->box, worker->map + sphere_position(slot, g->out_height, g->out_width, 0), y);
            gradient_write(dx, x, image, sphere_position(image, g->height, g->width, y), g->width,
                           worker->out + image_buffer_row(&op->conv.dx.buffer, i, r),
                           op->ordinary ? NULL : worker->box);
        }
    }
}

/* The gradient of x over a block of images whose G is in the buffer. */
static void data_gradient(const struct sphere_op *op, const struct backward *pass, int first_image, int images,
                          const struct sphere_worker *worker) {
    const struct conv *conv = &op->conv;
    struct conv_chunk chunk = {0};
    while (conv_next_chunk(&conv->dx, images, &chunk)) {
        conv->algorithm->backward_data(conv, chunk, worker->out, worker->dy, pass->packed, worker->work);
        write_gradient(op, chunk, first_image, pass->dx, pass->x, worker);
    }
}

/* --- Dividing the work among threads ----------------------------------------------------------------------------- */

/* The images [first, end), whose weight gradient one partial sum takes. */
struct image_range {
    int first, end;
};

static struct image_range images_of(const struct backward *pass, int partial) {
    int sum = pass->first_partial + partial;
    return (struct image_range){sum * pass->n / pass->sums - pass->first,
                                (sum + 1) * pass->n / pass->sums - pass->first};
}

/* The partial sum that begins with that image of the batch. */
static int partial_from(const struct backward *pass, int image) {
    int sum = (int)(((int64_t)image * pass->sums + pass->n - 1) / pass->n);
    assert(sum * pass->n / pass->sums == image);
    return sum;
}

/* A slice of a partial sum and, where `data`, on the way the gradient of x over the same images. */
static void sum_slice(const struct sphere_op *op, const struct backward *pass, int partial, struct conv_slice slice,
                      bool data, const struct sphere_worker *worker) {
    const struct conv *conv = &op->conv;
    struct image_range range = images_of(pass, partial);
    real *sum = pass->memory->weights + (size_t)partial * conv->sum;
    for (int image = range.first, images; image < range.end; image += images) {
        images = smaller(conv->backward_images, range.end - image);
        for (int i = 0; i < images; i++)
            sphere_read_image(op, pass->x, image + i, worker->x, i, NULL);
        read_gradients(op, pass, image, images, slice.index == 0, worker);
        conv->algorithm->add_weights(conv, images, slice, sum, image == range.first, worker->x, worker->dy,
                                     worker->work);
        if (data)
            data_gradient(op, pass, image, images, worker);
    }
}

/* Block `index` of a partial sum's images, if it has so many. */
static void data_block(const struct sphere_op *op, const struct backward *pass, int partial, int index,
                       const struct sphere_worker *worker) {
    struct image_range range = images_of(pass, partial);
    int first = range.first + index * op->conv.forward_images;
    int images = smaller(op->conv.forward_images, range.end - first);
    if (images <= 0)
        return;
    read_gradients(op, pass, first, images, false, worker);
    data_gradient(op, pass, first, images, worker);
}

/* Both gradients come from one reading of their block while there are about as many partial sums as threads. Else the
 * gradients are computed apart: first that of the weights, whose sums are cut in slices for several threads each, which
 * all read dy and read and transform x; then that of x, which reads dy again. The results are the same. */
struct division {
    bool apart;
    int slices;
};

static struct division divide(const struct conv *conv, const struct backward *pass, int threads) {
    /* Shares of the time of both gradients on one thread. */
    const double weights = 0.5, repeated = 0.08, data = pass->dx ? 0.52 : 0;
    double best = ceil_div(pass->partials, threads) * (pass->dx ? 1 : weights);
    struct division division = {.slices = 1};
    for (int slices = 1; slices <= conv->slices && slices <= threads; slices++) {
        double slice = repeated + (weights - repeated) * ceil_div(conv->slices, slices) / conv->slices;
        double time = ceil_div(pass->partials * slices, threads) * slice + data * pass->partials / threads;
        if (time < best) {
            best = time;
            division = (struct division){true, slices};
        }
    }
    return division;
}

/* Called by all threads at once. */
static void both_gradients(const struct sphere_op *op, const struct backward *pass, struct division division,
                           const struct sphere_worker *worker) {
    int most_images = ceil_div(pass->n, pass->sums), blocks = ceil_div(most_images, op->conv.forward_images);
#pragma omp for schedule(dynamic) collapse(2)
    for (int partial = 0; partial < pass->partials; partial++)
        for (int i = 0; i < division.slices; i++)
            sum_slice(op, pass, partial, (struct conv_slice){i, division.slices}, pass->dx && !division.apart, worker);
    if (pass->dx && division.apart)
#pragma omp for schedule(dynamic) collapse(2)
        for (int partial = 0; partial < pass->partials; partial++)
            for (int i = 0; i < blocks; i++)
                data_block(op, pass, partial, i, worker);
}

/* --- The gradients of parameters --------------------------------------------------------------------------------- */

/* What the filters' own norms add to their gradient. */
static void add_norm_gradient(const struct sphere_op *op, const real *sums, int threads) {
    int filters = op->conv.g.filters, patch = conv_patch(&op->conv.g);
    const struct magnitude_type *magnitude = op->magnitude.type;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int f = 0; f < filters; f++) {
        real n_w = op->w_norm[f];
        real factor = -sums[SUM_COSINE * filters + f] / (n_w * n_w);
        if (!magnitude->scale_free)
            factor += sums[SUM_MAGNITUDE * filters + f] * magnitude->of_w(&op->magnitude, n_w).slope / n_w;
        const real *w = op->w + (size_t)f * (size_t)patch;
        real *dw = op->dw + (size_t)f * (size_t)patch;
#pragma omp simd
        for (int i = 0; i < patch; i++)
            dw[i] += factor * w[i];
    }
}

static void add_to(real *sums, const real *terms, size_t count) {
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        sums[i] += terms[i];
}

/* Adds the partial sums of several processes up in their order, in the place of this one's first: those of the last one
 * become the whole. In pieces, so that the processes work at the same time. */
static void relay_partials(const struct sphere_op *op, const struct backward *pass, const struct group *group) {
    enum { PIECE = 16384 };
    real before[PIECE];
    for (size_t first = 0; first < op->conv.sum; first += PIECE) {
        size_t count = size_smaller(PIECE, op->conv.sum - first), bytes = count * sizeof *before;
        real *joined = pass->memory->weights + first;
        if (!group_is_first(group)) {
            relay_take(group, before, bytes);
            add_to(joined, before, count); /* a + b is b + a */
        }
        for (int partial = 1; partial < pass->partials; partial++)
            add_to(joined, joined + (size_t)partial * op->conv.sum, count);
        relay_pass(group, joined, bytes);
    }
}

/* sums: over positions. */
static void set_weight_gradient(const struct sphere_op *op, const struct backward *pass, const real *sums,
                                const struct step *step) {
    const struct group *group = step->part.group;
    const struct conv *conv = &op->conv;
    if (group)
        relay_partials(op, pass, group);
    if (relay_ends_here(group)) {
        conv->algorithm->finish_weights(conv, op->dw, pass->memory->weights, group ? 1 : pass->partials, step->threads);
        if (!op->ordinary)
            add_norm_gradient(op, sums, step->threads);
    }
    relay_share(group, op->dw, (size_t)conv->g.filters * (size_t)conv_patch(&conv->g) * sizeof *op->dw);
}

/* Those that come of the sums over positions alone. */
static void set_parameter_gradients(const struct sphere_op *op, const real *sums) {
    size_t filters = (size_t)op->conv.g.filters;
    if (op->bias)
        memcpy(op->db, sums + SUM_BIAS * filters, filters * sizeof *op->db);
    if (op->ordinary)
        return;
    if (op->angular.type->gradient)
        op->angular.type->gradient(&op->angular, sums + SUM_SHAPE * filters);
    if (op->magnitude.type->gradient)
        op->magnitude.type->gradient(&op->magnitude, sums[sphere_sum_count(op) - 1]);
}

void sphere_op_backward(struct sphere_op *op, const struct step *step, const struct gradient_target *dx,
                        const struct gradient *dy, const struct view *x) {
    const struct conv *conv = &op->conv;
    int n = step->n;
    struct sphere_workspace memory;
    sphere_workspace_divide(&memory, op, n, step->threads, true, step->scratch);
    int whole = step_whole(step);
    struct backward pass = {
        .n = whole,
        .sums = smaller(conv->partials, whole),
        .first = step->part.first,
        .dx = dx,
        .dy = dy,
        .x = x,
        .packed = dx ? conv->algorithm->pack_turned(conv, memory.packed, op->w, step->threads) : NULL,
        .memory = &memory,
    };
    pass.first_partial = partial_from(&pass, pass.first);
    pass.partials = partial_from(&pass, pass.first + n) - pass.first_partial;
    struct division division = divide(conv, &pass, step->threads);
#pragma omp parallel num_threads(step->threads)
    {
        struct sphere_worker worker = sphere_worker_of(&memory, op);
        sphere_clear_border(&conv->x, conv->backward_images, worker.x);
        sphere_clear_border(&conv->dy, conv->backward_images, worker.dy);
        both_gradients(op, &pass, division, &worker);
        vector_stream_end();
    }
    if (needs_sums(op))
        sums_join(memory.sums, memory.image_sums, n, conv_positions(&conv->g, 1), sphere_sum_count(op),
                  step->part.group);
    set_weight_gradient(op, &pass, memory.sums, step);
    if (needs_sums(op))
        set_parameter_gradients(op, memory.sums);
}
