/* SphereNorm: y = weight * x + bias per channel, after a SphereConv (paper, section 3.5: beta F + gamma). */
#include <string.h>

#include "kernel/chunk.h"
#include "layer/layers.h"
#include "layer/plan.h"

static const struct param params[] = {
    LAYER_NAME_PARAM,
    BOOL_KEY(struct sphere_norm_config, trained, "trained", "true", "train weight and bias; else they stay 1 and 0"),
    END_OF_KEYS,
};

struct sphere_norm {
    bool trained;
    real *weight, *dweight, *bias, *dbias; /* [channels] */
    real *sums;                            /* [2][channels] */
};

enum { SUMS = 2 };

static int rows_of(const struct layer *layer, int n) {
    return n * layer->in.height * layer->in.width;
}

static bool sphere_norm_plan(struct layer *layer, struct planner *planner) {
    struct sphere_norm *norm = layer->state;
    int channels = layer->in.channels;
    norm->trained = ((const struct sphere_norm_config *)layer->choice.config)->trained;
    if (layer->in.flat && layer->in.height * layer->in.width > 1)
        return plan_error(planner, layer, "stands after flatten; put it before, where channels are known");
    plan_vector(planner, layer, "weight", ROLE_NORM, norm->trained, channels, 1, &norm->weight, &norm->dweight);
    plan_vector(planner, layer, "bias", ROLE_NORM, norm->trained, channels, 0, &norm->bias, &norm->dbias);
    plan_keep(planner, SUMS * (size_t)channels, &norm->sums);
    plan_scratch(planner, (size_t)chunk_count(rows_of(layer, planner->batch)) * SUMS * (size_t)channels);
    layer->reads_input = norm->trained;
    return true;
}

static void sphere_norm_forward(struct layer *layer, const struct pass *pass, real *y, const real *x) {
    const struct sphere_norm *norm = layer->state;
    int rows = rows_of(layer, pass->n), channels = layer->in.channels;
#pragma omp parallel for schedule(static)
    for (int row = 0; row < rows; row++) {
        size_t first = (size_t)row * (size_t)channels;
#pragma omp simd
        for (int c = 0; c < channels; c++)
            y[first + (size_t)c] = norm->weight[c] * x[first + (size_t)c] + norm->bias[c];
    }
}

static void parameter_gradients(const struct layer *layer, const struct pass *pass, const real *dy, const real *x) {
    const struct sphere_norm *norm = layer->state;
    int rows = rows_of(layer, pass->n), channels = layer->in.channels;
#pragma omp parallel for schedule(static)
    for (int chunk = 0; chunk < chunk_count(rows); chunk++) {
        real *dweight = pass->scratch + (size_t)chunk * SUMS * (size_t)channels, *dbias = dweight + channels;
        memset(dweight, 0, SUMS * (size_t)channels * sizeof *dweight);
        for (int row = chunk * CHUNK_ROWS; row < chunk_end(chunk, rows); row++) {
            size_t first = (size_t)row * (size_t)channels;
#pragma omp simd
            for (int c = 0; c < channels; c++) {
                dweight[c] += dy[first + (size_t)c] * x[first + (size_t)c];
                dbias[c] += dy[first + (size_t)c];
            }
        }
    }
    chunk_reduce(norm->sums, pass->scratch, chunk_count(rows), SUMS * channels);
    memcpy(norm->dweight, norm->sums, (size_t)channels * sizeof *norm->sums);
    memcpy(norm->dbias, norm->sums + channels, (size_t)channels * sizeof *norm->sums);
}

static void sphere_norm_backward(struct layer *layer, const struct pass *pass, real *dx, const real *dy, const real *x,
                                 const real *y) {
    (void)y;
    const struct sphere_norm *norm = layer->state;
    int rows = rows_of(layer, pass->n), channels = layer->in.channels;
    if (norm->trained)
        parameter_gradients(layer, pass, dy, x);
    if (!dx)
        return;
#pragma omp parallel for schedule(static)
    for (int row = 0; row < rows; row++) {
        size_t first = (size_t)row * (size_t)channels;
#pragma omp simd
        for (int c = 0; c < channels; c++)
            dx[first + (size_t)c] = norm->weight[c] * dy[first + (size_t)c];
    }
}

const struct layer_type layer_sphere_norm = {
    .kind = {"sphere_norm", "SphereNorm: weight * x + bias per channel", params, sizeof(struct sphere_norm_config)},
    .state_size = sizeof(struct sphere_norm),
    .plan = sphere_norm_plan,
    .forward = sphere_norm_forward,
    .backward = sphere_norm_backward,
};
