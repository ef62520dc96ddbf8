/* The backward pass of a sphere_op; op/sphere_op.h has the derivation. */
#include <string.h>

#include "base/number.h"
#include "kernel/reduce.h"
#include "kernel/vector.h"
#include "op/sphere_workspace.h"

/* --- G, r and the sums over positions ---------------------------------------------------------------------------- */

/* One position: row holds dL/dy and becomes G; returns r of its patch, and adds its terms to the filters' sums. */
static real backward_position(const struct sphere_op *op, real *row, const real *g, real n_x,
                              const struct angular_coefficients *k, real *sums, real *work) {
    int filters = op->conv.g.filters;
    real *c = work, *slope = c + filters, *k_slope = slope + filters;
    const struct magnitude_factor *of_x = &op->magnitude->of_x;
    const real *h_w = op->w_factor, *w_inverse = op->w_inverse;
    real x_inverse = 1 / n_x, h_x = of_x->value(n_x);
    real cosine_sum = 0, magnitude_sum = 0;
    op->angular->slope(c, slope, k_slope, g, k, filters);
    if (op->angular->trains_k)
#pragma omp simd
        for (int f = 0; f < filters; f++)
            sums[SUM_K * filters + f] += row[f] * h_x * h_w[f] * k_slope[f];
#pragma omp simd reduction(+ : cosine_sum, magnitude_sum)
    for (int f = 0; f < filters; f++) {
        real dy = row[f], h_gradient = dy * h_x * h_w[f] * slope[f]; /* dL/dc */
        row[f] = h_gradient * x_inverse * w_inverse[f];
        cosine_sum += h_gradient * c[f];
        magnitude_sum += dy * h_w[f] * g[f];
        sums[SUM_COSINE * filters + f] += h_gradient * c[f];
        sums[SUM_MAGNITUDE * filters + f] += dy * h_x * g[f];
    }
    real r = -cosine_sum * x_inverse * x_inverse;
    return of_x->slope ? r + magnitude_sum * of_x->slope(n_x) * x_inverse : r;
}

/* The same where y is cos theta: SphereConv with the cosine activation, which is most of them. */
static real backward_cosine(const struct sphere_op *op, real *row, const real *c, real n_x, real *sums) {
    int filters = op->conv.g.filters;
    const real *w_inverse = op->w_inverse;
    real x_inverse = 1 / n_x, cosine_sum = 0;
    real *cosine_sums = sums + SUM_COSINE * filters;
#pragma omp simd reduction(+ : cosine_sum)
    for (int f = 0; f < filters; f++) {
        real product = row[f] * c[f];
        row[f] *= x_inverse * w_inverse[f];
        cosine_sum += product;
        cosine_sums[f] += product;
    }
    return -cosine_sum * x_inverse * x_inverse;
}

/* The same for SphereConv with the other activations, whose magnitude is 1. */
static real backward_angle(const struct sphere_op *op, real *row, const real *g, real n_x,
                           const struct angular_coefficients *k, real *sums, real *work) {
    int filters = op->conv.g.filters;
    real *c = work, *slope = c + filters, *k_slope = slope + filters;
    real *cosine_sums = sums + SUM_COSINE * filters, *k_sums = sums + SUM_K * filters;
    const real *w_inverse = op->w_inverse;
    real x_inverse = 1 / n_x, cosine_sum = 0;
    op->angular->slope(c, slope, k_slope, g, k, filters);
    if (op->angular->trains_k)
#pragma omp simd
        for (int f = 0; f < filters; f++)
            k_sums[f] += row[f] * k_slope[f];
#pragma omp simd reduction(+ : cosine_sum)
    for (int f = 0; f < filters; f++) {
        real h_gradient = row[f] * slope[f], product = h_gradient * c[f];
        row[f] = h_gradient * x_inverse * w_inverse[f];
        cosine_sum += product;
        cosine_sums[f] += product;
    }
    return -cosine_sum * x_inverse * x_inverse;
}

static bool needs_sums(const struct sphere_op *op) {
    return op->bias || !sphere_op_ordinary(op);
}

static void add_bias_sums(real *sums, const real *dy, int filters) {
#pragma omp simd
    for (int f = 0; f < filters; f++)
        sums[SUM_BIAS * filters + f] += dy[f];
}

/* G of one image into place `slot` of the buffer, r into the map; sums: the image's own. */
static void read_gradient(const struct sphere_op *op, const struct gradient *dy, int image, int slot, real *sums,
                          const struct sphere_worker *worker) {
    const struct conv_geometry *g = &op->conv.g;
    size_t filters = (size_t)g->filters;
    bool ordinary = sphere_op_ordinary(op), is_angle = sphere_op_output_is_angle(op);
    const real *angles = op->g ? op->g : dy->of.data;
    struct angular_coefficients k = sphere_coefficients(op);
    if (needs_sums(op))
        memset(sums, 0, SUMS * filters * sizeof *sums);
    for (int y = 0; y < g->out_height; y++) {
        size_t first = sphere_position(image, g->out_height, g->out_width, y);
        real *row = worker->dy + image_buffer_row(&op->conv.dy, slot, y);
        real *r = worker->map + sphere_position(slot, g->out_height, g->out_width, y);
        gradient_read(dy, first, g->out_width, row);
        for (int p = 0; p < g->out_width; p++, first++, row += filters) {
            if (op->bias)
                add_bias_sums(sums, row, g->filters);
            if (is_angle && op->angular->identity)
                r[p] = backward_cosine(op, row, angles + first * filters, op->x_norm[first], sums);
            else if (is_angle)
                r[p] = backward_angle(op, row, angles + first * filters, op->x_norm[first], &k, sums, worker->work);
            else if (!ordinary)
                r[p] = backward_position(op, row, angles + first * filters, op->x_norm[first], &k, sums, worker->work);
            if (op->x_norm_gradient)
                r[p] += op->x_norm_gradient[first] / op->x_norm[first];
        }
    }
}

/* A backward pass. dx, packed NULL: the gradient of x is not wanted. */
struct backward {
    int n, partials;
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
    size_t sums = SUMS * (size_t)op->conv.g.filters;
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
    bool ordinary = sphere_op_ordinary(op);
    for (int i = 0; i < chunk.images; i++) {
        int slot = chunk.image + i, image = first_image + slot;
        if (chunk.row == 0)
            gradient_begin(dx, x, image);
        for (int r = 0; r < chunk.rows; r++) {
            int y = chunk.row + r;
            if (!ordinary)
                conv_box_row(g, worker->box, worker->map + sphere_position(slot, g->out_height, g->out_width, 0), y);
            gradient_write(dx, x, image, sphere_position(image, g->height, g->width, y), g->width,
                           worker->out + image_buffer_row(&op->conv.dx.buffer, i, r), ordinary ? NULL : worker->box);
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
    return (struct image_range){partial * pass->n / pass->partials, (partial + 1) * pass->n / pass->partials};
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
    int most_images = ceil_div(pass->n, pass->partials), blocks = ceil_div(most_images, op->conv.forward_images);
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

/* --- The gradients of w, b and k --------------------------------------------------------------------------------- */

/* What the filters' own norms add to their gradient. */
static void add_norm_gradient(const struct sphere_op *op, const real *sums, int threads) {
    int filters = op->conv.g.filters, patch = conv_patch(&op->conv.g);
    const struct magnitude_factor *of_w = &op->magnitude->of_w;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int f = 0; f < filters; f++) {
        real n_w = op->w_norm[f];
        real factor = -sums[SUM_COSINE * filters + f] / (n_w * n_w);
        if (of_w->slope)
            factor += sums[SUM_MAGNITUDE * filters + f] * of_w->slope(n_w) / n_w;
        const real *w = op->w + (size_t)f * (size_t)patch;
        real *dw = op->dw + (size_t)f * (size_t)patch;
#pragma omp simd
        for (int i = 0; i < patch; i++)
            dw[i] += factor * w[i];
    }
}

/* d effective k / dk = sign(k) */
static void set_k_gradient(const struct sphere_op *op, const real *sums) {
    int filters = op->conv.g.filters;
    bool shared = op->config->k_shared == K_PER_LAYER;
    memset(op->dk, 0, (shared ? 1 : (size_t)filters) * sizeof *op->dk);
    for (int f = 0; f < filters; f++) {
        int i = shared ? 0 : f;
        op->dk[i] += op->k[i] < 0 ? -sums[SUM_K * filters + f] : sums[SUM_K * filters + f];
    }
}

void sphere_op_backward(struct sphere_op *op, const struct step *step, const struct gradient_target *dx,
                        const struct gradient *dy, const struct view *x) {
    const struct conv *conv = &op->conv;
    int n = step->n, filters = conv->g.filters;
    struct sphere_workspace memory;
    sphere_workspace_divide(&memory, op, n, step->threads, step->scratch);
    struct backward pass = {
        .n = n,
        .partials = smaller(conv->partials, n),
        .dx = dx,
        .dy = dy,
        .x = x,
        .packed = dx ? conv->algorithm->pack_turned(conv, memory.packed, op->w, step->threads) : NULL,
        .memory = &memory,
    };
    struct division division = divide(conv, &pass, step->threads);
#pragma omp parallel num_threads(step->threads)
    {
        struct sphere_worker worker = sphere_worker_of(&memory, op);
        sphere_clear_border(&conv->x, conv->backward_images, worker.x);
        sphere_clear_border(&conv->dy, conv->backward_images, worker.dy);
        both_gradients(op, &pass, division, &worker);
        vector_stream_end();
    }
    conv->algorithm->finish_weights(conv, op->dw, memory.weights, pass.partials, step->threads);
    if (needs_sums(op))
        reduce_in_order(memory.sums, memory.image_sums, n, SUMS * filters);
    if (op->bias)
        memcpy(op->db, memory.sums + SUM_BIAS * filters, (size_t)filters * sizeof *op->db);
    if (sphere_op_ordinary(op))
        return;
    add_norm_gradient(op, memory.sums, step->threads);
    if (op->angular->trains_k)
        set_k_gradient(op, memory.sums);
}
