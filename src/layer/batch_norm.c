/* Batch normalisation (Ioffe and Szegedy 2015): y = weight (x - mean) / sqrt(var + epsilon) + bias per channel.
 *
 * In training mean and (biased) variance are the batch's; evaluation uses running averages. These start at 0 and
 *     running = d running + (1 - d) batch,
 * d = decay, as in the reference code; with `debias` d = decay (1 - decay^(t-1)) / (1 - decay^t) at the t-th batch,
 * which makes the same average free of its start at 0 (the first batch then counts fully). */
#include <math.h>
#include <string.h>

#include "kernel/chunk.h"
#include "layer/layers.h"
#include "layer/plan.h"

#define SETTINGS                                                                                                       \
    REAL_KEY(struct batch_norm_config, epsilon, "epsilon", "1e-3", 1e-12, 1, "added to the variance"),                 \
        REAL_KEY(struct batch_norm_config, decay, "decay", "0.999", 0, 0.999999,                                       \
                 "of the running averages, per batch"),                                                                \
        BOOL_KEY(struct batch_norm_config, debias, "debias", "true",                                                   \
                 "correct the running averages for their start at 0"),                                                 \
        END_OF_KEYS

const struct param batch_norm_settings[] = {SETTINGS};
static const struct param params[] = {LAYER_NAME_PARAM, SETTINGS};

struct batch_norm {
    real *weight, *dweight, *bias, *dbias;   /* [channels], like all below */
    real *running_mean, *running_var, *seen; /* seen: [1], batches so far */
    real *mean, *inverse;                    /* of the last forward; inverse = 1 / sqrt(var + epsilon) */
    real *scale, *shift;                     /* y = scale x + shift */
    real *sums;                              /* [2][channels] */
};

enum { SUMS = 2 };

static int rows_of(const struct layer *layer, int n) {
    return n * layer->in.height * layer->in.width;
}

static bool batch_norm_plan(struct layer *layer, struct planner *planner) {
    struct batch_norm *norm = layer->state;
    int channels = layer->in.channels;
    if (layer->in.flat && layer->in.height * layer->in.width > 1)
        return plan_error(planner, layer, "stands after flatten; put it before, where channels are known");
    plan_vector(planner, layer, "weight", ROLE_NORM, true, channels, 1, &norm->weight, &norm->dweight);
    plan_vector(planner, layer, "bias", ROLE_NORM, true, channels, 0, &norm->bias, &norm->dbias);
    plan_vector(planner, layer, "running_mean", ROLE_BUFFER, false, channels, 0, &norm->running_mean, NULL);
    plan_vector(planner, layer, "running_var", ROLE_BUFFER, false, channels, 0, &norm->running_var, NULL);
    plan_vector(planner, layer, "num_batches_tracked", ROLE_BUFFER, false, 1, 0, &norm->seen, NULL);
    real **kept[] = {&norm->mean, &norm->inverse, &norm->scale, &norm->shift};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        plan_keep(planner, (size_t)channels, kept[i]);
    plan_keep(planner, SUMS * (size_t)channels, &norm->sums);
    plan_scratch(planner, (size_t)chunk_count(rows_of(layer, planner->batch)) * SUMS * (size_t)channels);
    layer->reads_input = true;
    return true;
}

/* --- Forward ----------------------------------------------------------------------------------------------------- */

/* Mean and sum of squared deviations of one chunk of rows, in two passes while it is in the cache. */
static void chunk_moments(real *mean, real *squares, const real *x, int rows, int channels) {
    memset(mean, 0, (size_t)channels * sizeof *mean);
    memset(squares, 0, (size_t)channels * sizeof *squares);
    for (int row = 0; row < rows; row++) {
        const real *values = x + (size_t)row * (size_t)channels;
#pragma omp simd
        for (int c = 0; c < channels; c++)
            mean[c] += values[c];
    }
    for (int c = 0; c < channels; c++)
        mean[c] /= (real)rows;
    for (int row = 0; row < rows; row++) {
        const real *values = x + (size_t)row * (size_t)channels;
#pragma omp simd
        for (int c = 0; c < channels; c++)
            squares[c] += (values[c] - mean[c]) * (values[c] - mean[c]);
    }
}

/* Joins the chunks' moments in order, in double (Chan, Golub and LeVeque 1979). */
static void join_moments(const real *partial, int rows, int channels, int channel, double *mean, double *variance) {
    double joined_mean = 0, squares = 0, joined = 0;
    for (int chunk = 0; chunk < chunk_count(rows); chunk++) {
        const real *moments = partial + (size_t)chunk * SUMS * (size_t)channels + channel;
        double count = chunk_end(chunk, rows) - chunk * CHUNK_ROWS;
        double difference = (double)moments[0] - joined_mean;
        joined += count;
        joined_mean += difference * count / joined;
        squares += (double)moments[channels] + difference * difference * count * (joined - count) / joined;
    }
    *mean = joined_mean;
    *variance = squares / joined;
}

static double running_decay(const struct batch_norm_config *config, double seen) {
    if (!config->debias)
        return config->decay;
    return config->decay * (1 - pow(config->decay, seen - 1)) / (1 - pow(config->decay, seen));
}

static void batch_statistics(const struct layer *layer, const struct pass *pass, const real *x) {
    struct batch_norm *norm = layer->state;
    const struct batch_norm_config *config = layer->choice.config;
    int rows = rows_of(layer, pass->n), channels = layer->in.channels;
#pragma omp parallel for schedule(static)
    for (int chunk = 0; chunk < chunk_count(rows); chunk++) {
        real *mean = pass->scratch + (size_t)chunk * SUMS * (size_t)channels;
        int first = chunk * CHUNK_ROWS;
        chunk_moments(mean, mean + channels, x + (size_t)first * (size_t)channels, chunk_end(chunk, rows) - first,
                      channels);
    }
    norm->seen[0] += 1;
    double decay = running_decay(config, (double)norm->seen[0]);
#pragma omp parallel for schedule(static)
    for (int c = 0; c < channels; c++) {
        double mean, variance;
        join_moments(pass->scratch, rows, channels, c, &mean, &variance);
        norm->mean[c] = (real)mean;
        norm->inverse[c] = (real)(1 / sqrt(variance + config->epsilon));
        norm->running_mean[c] = (real)(decay * (double)norm->running_mean[c] + (1 - decay) * mean);
        norm->running_var[c] = (real)(decay * (double)norm->running_var[c] + (1 - decay) * variance);
    }
}

static void running_statistics(const struct layer *layer) {
    struct batch_norm *norm = layer->state;
    const struct batch_norm_config *config = layer->choice.config;
    for (int c = 0; c < layer->in.channels; c++) {
        norm->mean[c] = norm->running_mean[c];
        norm->inverse[c] = (real)(1 / sqrt((double)norm->running_var[c] + config->epsilon));
    }
}

static void batch_norm_forward(struct layer *layer, const struct pass *pass, real *y, const real *x) {
    struct batch_norm *norm = layer->state;
    int rows = rows_of(layer, pass->n), channels = layer->in.channels;
    if (pass->training)
        batch_statistics(layer, pass, x);
    else
        running_statistics(layer);
    for (int c = 0; c < channels; c++) {
        norm->scale[c] = norm->weight[c] * norm->inverse[c];
        norm->shift[c] = norm->bias[c] - norm->mean[c] * norm->scale[c];
    }
#pragma omp parallel for schedule(static)
    for (int row = 0; row < rows; row++) {
        size_t first = (size_t)row * (size_t)channels;
#pragma omp simd
        for (int c = 0; c < channels; c++)
            y[first + (size_t)c] = norm->scale[c] * x[first + (size_t)c] + norm->shift[c];
    }
}

/* --- Backward ---------------------------------------------------------------------------------------------------- */

/* dweight = sum of dy times normalised x, dbias = sum of dy */
static void parameter_gradients(const struct layer *layer, const struct pass *pass, const real *dy, const real *x) {
    struct batch_norm *norm = layer->state;
    int rows = rows_of(layer, pass->n), channels = layer->in.channels;
#pragma omp parallel for schedule(static)
    for (int chunk = 0; chunk < chunk_count(rows); chunk++) {
        real *products = pass->scratch + (size_t)chunk * SUMS * (size_t)channels, *plain = products + channels;
        memset(products, 0, SUMS * (size_t)channels * sizeof *products);
        for (int row = chunk * CHUNK_ROWS; row < chunk_end(chunk, rows); row++) {
            size_t first = (size_t)row * (size_t)channels;
#pragma omp simd
            for (int c = 0; c < channels; c++) {
                products[c] += dy[first + (size_t)c] * (x[first + (size_t)c] - norm->mean[c]);
                plain[c] += dy[first + (size_t)c];
            }
        }
    }
    chunk_reduce(norm->sums, pass->scratch, chunk_count(rows), SUMS * channels);
    for (int c = 0; c < channels; c++) {
        norm->dweight[c] = norm->sums[c] * norm->inverse[c];
        norm->dbias[c] = norm->sums[channels + c];
    }
}

/* dx = scale (dy - dbias / rows - normalised x dweight / rows) */
static void batch_norm_backward(struct layer *layer, const struct pass *pass, real *dx, const real *dy, const real *x,
                                const real *y) {
    (void)y;
    struct batch_norm *norm = layer->state;
    int rows = rows_of(layer, pass->n), channels = layer->in.channels;
    parameter_gradients(layer, pass, dy, x);
    if (!dx)
        return;
    real *slope = norm->sums, *level = norm->sums + channels;
    for (int c = 0; c < channels; c++) {
        slope[c] = norm->dweight[c] * norm->inverse[c] / (real)rows;
        level[c] = norm->dbias[c] / (real)rows;
    }
#pragma omp parallel for schedule(static)
    for (int row = 0; row < rows; row++) {
        size_t first = (size_t)row * (size_t)channels;
#pragma omp simd
        for (int c = 0; c < channels; c++) {
            size_t i = first + (size_t)c;
            dx[i] = norm->scale[c] * (dy[i] - level[c] - (x[i] - norm->mean[c]) * slope[c]);
        }
    }
}

const struct layer_type layer_batch_norm = {
    .kind = {"batch_norm", "batch normalisation per channel", params, sizeof(struct batch_norm_config)},
    .state_size = sizeof(struct batch_norm),
    .plan = batch_norm_plan,
    .forward = batch_norm_forward,
    .backward = batch_norm_backward,
};
