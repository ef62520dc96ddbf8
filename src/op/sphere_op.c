#include "op/sphere_op.h"

#include <math.h>
#include <string.h>

#include "kernel/chunk.h"
#include "kernel/vector.h"
#include "op/sphere_memory.h"

static const char *const sharing_names[] = {"filter", "layer", NULL};

const struct param activation_params[] = {
    REAL_KEY(struct operator_config, k, "k", "0.3", 0.01, 100, "sigmoid: small is near a step, large near linear"),
    REAL_KEY(struct operator_config, initial_k, "initial_k", "0.7", -100, 100, "learnable_sigmoid: where k starts"),
    REAL_KEY(struct operator_config, k_offset, "k_offset", "0.05", 0.01, 10,
             "learnable_sigmoid: effective k = |k| + k_offset"),
    ENUM_KEY(struct operator_config, k_shared, "k_shared", "filter", sharing_names,
             "learnable_sigmoid: one k for each filter or for the layer"),
    END_OF_KEYS,
};

#define OPERATOR_PARAMS(DEFAULT_MAGNITUDE)                                                                             \
    ROW_KEY(struct operator_config, magnitude, "magnitude", DEFAULT_MAGNITUDE, &magnitude_registry,                    \
            "what the lengths of filter and patch contribute"),                                                        \
        ROW_KEY(struct operator_config, angular, "angular", "cosine", &angular_registry,                               \
                "what the angle between filter and patch contributes"),                                                \
        {.type = PARAM_INCLUDE, .params = activation_params},                                                          \
        REAL_KEY(struct operator_config, epsilon, "epsilon", "1e-4", 1e-12, 1,                                         \
                 "added to the sum of squares under a norm's root"),                                                   \
        END_OF_KEYS

const struct param sphere_operator_params[] = {OPERATOR_PARAMS("sphere")};
const struct param ordinary_operator_params[] = {OPERATOR_PARAMS("product")};

bool sphere_op_init(struct sphere_op *op, const struct operator_config *config, const struct conv_geometry *geometry,
                    enum conv_algorithm algorithm, bool bias) {
    *op = (struct sphere_op){
        .magnitude = (const struct magnitude *)config->magnitude,
        .angular = (const struct angular *)config->angular,
        .config = config,
        .bias = bias,
    };
    return conv_plan(&op->conv, geometry, algorithm);
}

bool sphere_op_ordinary(const struct sphere_op *op) {
    return op->magnitude == &magnitude_product && op->angular->identity;
}

bool sphere_op_output_is_angle(const struct sphere_op *op) {
    return op->magnitude == &magnitude_sphere && !op->bias;
}

size_t sphere_op_scratch(const struct sphere_op *op, int n) {
    struct sphere_memory memory;
    return sphere_memory_divide(&memory, op, n, NULL);
}

static int smaller(int a, int b) {
    return a < b ? a : b;
}

/* Whole images will be written into a strip, never their borders. */
static void zero_border(const struct strip *s, int images, real *strip) {
    if (s->border)
        memset(strip, 0, strip_reals(s, images) * sizeof *strip);
}

static size_t position_of(int image, int height, int width, int y) {
    return ((size_t)image * (size_t)height + (size_t)y) * (size_t)width;
}

/* --- Forward ----------------------------------------------------------------------------------------------------- */

static struct angular_coefficients coefficients_of(const struct sphere_op *op) {
    return angular_coefficients_in(op->coefficients, op->conv.g.filters);
}

static double effective_k(const struct sphere_op *op, int filter) {
    if (!op->angular->trains_k)
        return op->config->k;
    real k = op->k[op->config->k_shared == K_PER_LAYER ? 0 : filter];
    return fabs((double)k) + op->config->k_offset;
}

static void prepare_coefficients(const struct sphere_op *op) {
    struct angular_coefficients coefficients = coefficients_of(op);
    for (int f = 0; op->angular->uses_k && f < op->conv.g.filters; f++)
        angular_set_k(&coefficients, f, effective_k(op, f));
}

static void filter_norms(const struct sphere_op *op) {
    int patch = conv_patch(&op->conv.g);
#pragma omp parallel for schedule(static)
    for (int f = 0; f < op->conv.g.filters; f++) {
        double squares = vector_squares(op->w + (size_t)f * (size_t)patch, (size_t)patch);
        op->w_norm[f] = (real)sqrt(squares + op->config->epsilon);
        op->w_inverse[f] = 1 / op->w_norm[f];
        op->w_factor[f] = op->magnitude->of_w.value(op->w_norm[f]);
    }
}

/* Reads image `image` of the batch into place `slot` of the strip. squares: those of the strip's pixels, or NULL. */
static void read_image(const struct sphere_op *op, const struct view *x, int image, real *strip, int slot,
                       real *squares) {
    const struct strip *s = &op->conv.x;
    const struct conv_geometry *g = &op->conv.g;
    for (int y = 0; y < g->height; y++) {
        real *row = strip + strip_row(s, slot, y);
        real *row_squares = squares ? squares + (size_t)(y + s->border) * (size_t)s->width + s->border : NULL;
        view_read(x, position_of(image, g->height, g->width, y), g->width, row, row_squares);
    }
}

/* Norms of the patches of one image, from the squares of its strip. */
static void patch_norms(const struct sphere_op *op, int image, const real *squares) {
    int positions = conv_positions(&op->conv.g, 1);
    real epsilon = (real)op->config->epsilon;
    real *norms = op->x_norm + (size_t)image * (size_t)positions;
    real *inverses = op->x_inverse + (size_t)image * (size_t)positions;
    conv_patch_squares(&op->conv, norms, squares);
#pragma omp simd
    for (int p = 0; p < positions; p++) {
        real sum = norms[p];
        norms[p] = (real)sqrt(sum + epsilon);
        inverses[p] = sum == 0 ? 0 : 1 / norms[p];
    }
}

/* From dot products to g, in place. A convolution in the transform domain rounds in proportion to the largest value of
 * a tile, which a small patch's norm would blow up: the cosine of a patch of zeros is 0 all the same. */
static void apply_angle(const struct sphere_op *op, real *dots, real x_inverse, const struct angular_coefficients *k) {
    struct angular_cosines c = {dots, op->w_inverse, x_inverse};
    op->angular->value(dots, &c, k, op->conv.g.filters);
}

static void apply_magnitude(const struct sphere_op *op, real *row, real x_norm) {
    int filters = op->conv.g.filters;
    const real *w_factor = op->w_factor;
    real h_x = op->magnitude->of_x.value(x_norm);
#pragma omp simd
    for (int f = 0; f < filters; f++)
        row[f] *= h_x * w_factor[f];
}

static void add_bias(const struct sphere_op *op, real *row) {
    int filters = op->conv.g.filters;
    const real *b = op->b;
#pragma omp simd
    for (int f = 0; f < filters; f++)
        row[f] += b[f];
}

/* A row of dot products becomes a row of y; each position goes to memory while the next one is computed. */
static void write_row(const struct sphere_op *op, real *y, size_t first, real *row) {
    const struct conv_geometry *g = &op->conv.g;
    size_t filters = (size_t)g->filters;
    struct angular_coefficients k = coefficients_of(op);
    bool ordinary = sphere_op_ordinary(op);
    for (size_t p = first; p < first + (size_t)g->out_width; p++, row += filters) {
        if (!ordinary)
            apply_angle(op, row, op->x_inverse[p], &k);
        if (op->g) {
            vector_stream(op->g + p * filters, row, filters);
            apply_magnitude(op, row, op->x_norm[p]);
        }
        if (op->bias)
            add_bias(op, row);
        vector_stream(y + p * filters, row, filters);
    }
}

static void write_part(const struct sphere_op *op, struct conv_part part, int first_image, real *y, real *moments,
                       const struct sphere_worker *worker) {
    const struct conv_geometry *g = &op->conv.g;
    for (int i = 0; i < part.images; i++) {
        int image = first_image + part.image + i;
        real *image_moments = moments ? moments + (size_t)image * 2 * (size_t)g->filters : NULL;
        if (moments && part.row == 0)
            moments_begin(image_moments, g->filters);
        for (int r = 0; r < part.rows; r++) {
            real *row = worker->out + strip_row(&op->conv.y.strip, i, r);
            write_row(op, y, position_of(image, g->out_height, g->out_width, part.row + r), row);
            if (moments)
                moments_add(image_moments, g->filters, (part.row + r) * g->out_width, row, g->out_width, worker->work);
        }
    }
}

static void forward_block(const struct sphere_op *op, int first_image, int images, real *y, const struct view *x,
                          const real *packed, real *moments, const struct sphere_worker *worker) {
    bool ordinary = sphere_op_ordinary(op);
    for (int i = 0; i < images; i++) {
        read_image(op, x, first_image + i, worker->x, i, ordinary ? NULL : worker->map);
        if (!ordinary)
            patch_norms(op, first_image + i, worker->map);
    }
    struct conv_part part = {0};
    while (conv_next_part(&op->conv.y, images, &part)) {
        op->conv.way->forward(&op->conv, part, worker->out, worker->x, packed, worker->work);
        write_part(op, part, first_image, y, moments, worker);
    }
}

void sphere_op_forward(struct sphere_op *op, int n, real *y, const struct view *x, real *moments, real *scratch) {
    const struct conv *conv = &op->conv;
    struct sphere_memory memory;
    sphere_memory_divide(&memory, op, n, scratch);
    if (!sphere_op_ordinary(op)) {
        prepare_coefficients(op);
        filter_norms(op);
    }
    const real *packed = conv->way->pack(conv, memory.packed, op->w);
#pragma omp parallel
    {
        struct sphere_worker worker = sphere_worker_of(&memory, op);
        zero_border(&conv->x, conv->forward_images, worker.x);
        memset(worker.map, 0, sphere_map_reals(op) * sizeof *worker.map);
#pragma omp for schedule(dynamic)
        for (int image = 0; image < n; image += conv->forward_images)
            forward_block(op, image, smaller(conv->forward_images, n - image), y, x, packed, moments, &worker);
        vector_stream_end();
    }
}

/* --- Backward ---------------------------------------------------------------------------------------------------- */

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

/* G of one image into place `slot` of the strip, r into the map; sums: the image's own. */
static void read_gradient(const struct sphere_op *op, const struct gradient *dy, int image, int slot, real *sums,
                          const struct sphere_worker *worker) {
    const struct conv_geometry *g = &op->conv.g;
    size_t filters = (size_t)g->filters;
    bool ordinary = sphere_op_ordinary(op), is_angle = sphere_op_output_is_angle(op);
    const real *angles = op->g ? op->g : dy->of.data;
    struct angular_coefficients k = coefficients_of(op);
    if (needs_sums(op))
        memset(sums, 0, SUMS * filters * sizeof *sums);
    for (int y = 0; y < g->out_height; y++) {
        size_t first = position_of(image, g->out_height, g->out_width, y);
        real *row = worker->dy + strip_row(&op->conv.dy, slot, y);
        real *r = worker->map + position_of(slot, g->out_height, g->out_width, y);
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

/* Takes the gradient of x out of a part. */
static void write_gradient(const struct sphere_op *op, struct conv_part part, int first_image,
                           const struct gradient_target *dx, const struct view *x, const struct sphere_worker *worker) {
    const struct conv_geometry *g = &op->conv.g;
    bool ordinary = sphere_op_ordinary(op);
    for (int i = 0; i < part.images; i++) {
        int slot = part.image + i, image = first_image + slot;
        if (part.row == 0)
            gradient_begin(dx, x, image);
        for (int r = 0; r < part.rows; r++) {
            int y = part.row + r;
            if (!ordinary)
                conv_box_row(g, worker->box, worker->map + position_of(slot, g->out_height, g->out_width, 0), y);
            gradient_write(dx, x, image, position_of(image, g->height, g->width, y), g->width,
                           worker->out + strip_row(&op->conv.dx.strip, i, r), ordinary ? NULL : worker->box);
        }
    }
}

/* A backward pass. dx, packed NULL: the gradient of x is not wanted. */
struct backward {
    const struct gradient_target *dx;
    const struct gradient *dy;
    const struct view *x;
    const real *packed;
    const struct sphere_memory *memory;
};

/* Both gradients over a block of images, that of the weights into their sum. */
static void backward_block(const struct sphere_op *op, const struct backward *pass, int first_image, int images,
                           real *weights, bool first, const struct sphere_worker *worker) {
    const struct conv *conv = &op->conv;
    for (int i = 0; i < images; i++) {
        int image = first_image + i;
        read_image(op, pass->x, image, worker->x, i, NULL);
        read_gradient(op, pass->dy, image, i, pass->memory->image_sums + (size_t)image * SUMS * (size_t)conv->g.filters,
                      worker);
    }
    conv->way->add_weights(conv, images, weights, first, worker->x, worker->dy, worker->work);
    struct conv_part part = {0};
    while (pass->dx && conv_next_part(&conv->dx, images, &part)) {
        conv->way->backward_data(conv, part, worker->out, worker->dy, pass->packed, worker->work);
        write_gradient(op, part, first_image, pass->dx, pass->x, worker);
    }
}

/* The images [first, end), whose weight gradient one sum takes. */
static void backward_images(const struct sphere_op *op, const struct backward *pass, int first, int end, real *weights,
                            const struct sphere_worker *worker) {
    int block = op->conv.backward_images;
    for (int image = first; image < end; image += block)
        backward_block(op, pass, image, smaller(block, end - image), weights, image == first, worker);
}

/* What the filters' own norms add to their gradient. */
static void add_norm_gradient(const struct sphere_op *op, const real *sums) {
    int filters = op->conv.g.filters, patch = conv_patch(&op->conv.g);
    const struct magnitude_factor *of_w = &op->magnitude->of_w;
#pragma omp parallel for schedule(static)
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

void sphere_op_backward(struct sphere_op *op, int n, const struct gradient_target *dx, const struct gradient *dy,
                        const struct view *x, real *scratch) {
    const struct conv *conv = &op->conv;
    int filters = conv->g.filters;
    struct sphere_memory memory;
    sphere_memory_divide(&memory, op, n, scratch);
    int partials = smaller(conv->partials, n);
    struct backward pass = {
        .dx = dx,
        .dy = dy,
        .x = x,
        .packed = dx ? conv->way->pack_turned(conv, memory.packed, op->w) : NULL,
        .memory = &memory,
    };
#pragma omp parallel
    {
        struct sphere_worker worker = sphere_worker_of(&memory, op);
        zero_border(&conv->x, conv->backward_images, worker.x);
        zero_border(&conv->dy, conv->backward_images, worker.dy);
#pragma omp for schedule(dynamic)
        for (int i = 0; i < partials; i++)
            backward_images(op, &pass, i * n / partials, (i + 1) * n / partials, memory.weights + (size_t)i * conv->sum,
                            &worker);
        vector_stream_end();
    }
    conv->way->finish_weights(conv, op->dw, memory.weights, partials);
    if (needs_sums(op))
        chunk_reduce(memory.sums, memory.image_sums, n, SUMS * filters);
    if (op->bias)
        memcpy(op->db, memory.sums + SUM_BIAS * filters, (size_t)filters * sizeof *op->db);
    if (sphere_op_ordinary(op))
        return;
    add_norm_gradient(op, memory.sums);
    if (op->angular->trains_k)
        set_k_gradient(op, memory.sums);
}
