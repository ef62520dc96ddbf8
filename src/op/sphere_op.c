#include "op/sphere_op.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "kernel/moments.h"
#include "kernel/vector.h"
#include "op/sphere_workspace.h"

#define OPERATOR_PARAMS(DEFAULT_MAGNITUDE)                                                                             \
    ROW_KEY(struct operator_config, magnitude, "magnitude", DEFAULT_MAGNITUDE, &magnitude_registry,                    \
            "what the lengths of filter and patch contribute"),                                                        \
        ROW_KEY(struct operator_config, angular, "angular", "cosine", &angular_registry,                               \
                "what the angle between filter and patch contributes"),                                                \
        REAL_KEY(struct operator_config, epsilon, "epsilon", "1e-4", 1e-12, 1,                                         \
                 "added to the sum of squares under a norm's root"),                                                   \
        END_OF_KEYS

const struct param sphere_operator_params[] = {OPERATOR_PARAMS("sphere")};
const struct param ordinary_operator_params[] = {OPERATOR_PARAMS("product")};

bool operator_ordinary(const struct operator_config *config) {
    return magnitude_chosen(config->magnitude).type->is_product && angular_chosen(config->angular).type->identity;
}

struct operator_config operator_of_cosines(double epsilon) {
    return (struct operator_config){
        .magnitude = {.kind = &magnitude_sphere.kind},
        .angular = {.kind = &angular_cosine.kind},
        .epsilon = epsilon,
    };
}

bool sphere_op_init(struct sphere_op *op, const struct operator_config *config, const struct conv_geometry *geometry,
                    enum conv_choice algorithm, bool bias) {
    *op = (struct sphere_op){
        .config = config,
        .magnitude = magnitude_chosen(config->magnitude),
        .angular = angular_chosen(config->angular),
        .bias = bias,
        .ordinary = operator_ordinary(config),
    };
    op->y_is_g = op->magnitude.type->is_one && !bias;
    sphere_choose_backward(op);
    return conv_plan(&op->conv, geometry, algorithm);
}

size_t sphere_op_scratch(const struct sphere_op *op, int n, int threads, bool backward) {
    struct sphere_workspace memory;
    return sphere_workspace_divide(&memory, op, n, threads, backward, NULL);
}

/* --- Forward ----------------------------------------------------------------------------------------------------- */

static void filter_norms(const struct sphere_op *op, int threads) {
    int patch = conv_patch(&op->conv.g);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int f = 0; f < op->conv.g.filters; f++) {
        double squares = vector_squares(op->w + (size_t)f * (size_t)patch, (size_t)patch);
        op->w_norm[f] = (real)sqrt(squares + op->config->epsilon);
        op->w_inverse[f] = 1 / op->w_norm[f];
        op->w_factor[f] = op->magnitude.type->of_w(&op->magnitude, op->w_norm[f]).value;
    }
}

/* Norms of the patches of one image, from the squares of its buffer. */
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
static void apply_angle(const struct sphere_op *op, real *dots, real x_inverse) {
    struct angular_cosines c = {dots, op->w_inverse, x_inverse};
    op->angular.type->value(&op->angular, dots, &c, op->conv.g.filters);
}

static void apply_magnitude(const struct sphere_op *op, real *row, real x_norm) {
    int filters = op->conv.g.filters;
    const real *w_factor = op->w_factor;
    real h_x = op->magnitude.type->of_x(&op->magnitude, x_norm).value;
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
    for (size_t p = first; p < first + (size_t)g->out_width; p++, row += filters) {
        if (!op->ordinary)
            apply_angle(op, row, op->x_inverse[p]);
        if (op->g) {
            vector_stream(op->g + p * filters, row, filters);
            apply_magnitude(op, row, op->x_norm[p]);
        }
        if (op->bias)
            add_bias(op, row);
        vector_stream(y + p * filters, row, filters);
    }
}

/* Images of a block that another process has, [0, n) being those of this one, are neither read nor written. */

static void write_chunk(const struct sphere_op *op, struct conv_chunk chunk, int first_image, int n, real *y,
                        real *moments, const struct sphere_worker *worker) {
    const struct conv_geometry *g = &op->conv.g;
    for (int i = 0; i < chunk.images; i++) {
        int image = first_image + chunk.image + i;
        if (image < 0 || image >= n)
            continue;
        real *image_moments = moments ? moments + (size_t)image * 2 * (size_t)g->filters : NULL;
        if (moments && chunk.row == 0)
            moments_begin(image_moments, g->filters);
        for (int r = 0; r < chunk.rows; r++) {
            real *row = worker->out + image_buffer_row(&op->conv.y.buffer, i, r);
            write_row(op, y, sphere_position(image, g->out_height, g->out_width, chunk.row + r), row);
            if (moments)
                moments_add(image_moments, g->filters, (chunk.row + r) * g->out_width, row, g->out_width);
        }
    }
}

static void forward_block(const struct sphere_op *op, int first_image, int images, int n, real *y, const struct view *x,
                          const real *packed, real *moments, const struct sphere_worker *worker) {
    for (int i = larger(0, -first_image); i < images && first_image + i < n; i++) {
        sphere_read_image(op, x, first_image + i, worker->x, i, op->ordinary ? NULL : worker->map);
        if (!op->ordinary)
            patch_norms(op, first_image + i, worker->map);
    }
    struct conv_chunk chunk = {0};
    while (conv_next_chunk(&op->conv.y, images, &chunk)) {
        op->conv.algorithm->forward(&op->conv, chunk, worker->out, worker->x, packed, worker->work);
        write_chunk(op, chunk, first_image, n, y, moments, worker);
    }
}

void sphere_op_forward(struct sphere_op *op, const struct step *step, real *y, const struct view *x, real *moments) {
    const struct conv *conv = &op->conv;
    int n = step->n, block = conv->forward_images;
    int first = conv->fixed_blocks ? -(step->part.first % block) : 0;
    int end = conv->fixed_blocks ? step_whole(step) - step->part.first : n;
    struct sphere_workspace memory;
    sphere_workspace_divide(&memory, op, n, step->threads, false, step->scratch);
    if (!op->ordinary) {
        magnitude_prepare(&op->magnitude);
        angular_prepare(&op->angular);
        filter_norms(op, step->threads);
    }
    const real *packed = conv->algorithm->pack(conv, memory.packed, op->w, step->threads);
#pragma omp parallel num_threads(step->threads)
    {
        struct sphere_worker worker = sphere_worker_of(&memory, op);
        sphere_clear_border(&conv->x, conv->forward_images, worker.x);
        memset(worker.map, 0, sphere_map_reals(op) * sizeof *worker.map);
#pragma omp for schedule(dynamic)
        for (int image = first; image < n; image += block)
            forward_block(op, image, smaller(block, end - image), n, y, x, packed, moments, &worker);
        vector_stream_end();
    }
}
