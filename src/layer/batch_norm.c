/* Batch normalisation (Ioffe and Szegedy 2015): y = weight (x - mean) / sqrt(var + epsilon) + bias per channel.
 *
 * In training mean and (biased) variance are the batch's; evaluation uses running averages. These start at 0 and
 *     running = d running + (1 - d) batch,
 * d = decay, as in the reference code; with `debias` d = decay (1 - decay^(t-1)) / (1 - decay^t) at the t-th batch,
 * which makes the same average free of its start at 0 (the first batch then counts fully). Batches that are averaged
 * anew (step->averaged) count alike: the first puts its own in the place of what was there. */
#include <math.h>

#include "layer/configs.h"

#define SETTINGS                                                                                                       \
    REAL_KEY(struct batch_norm_config, epsilon, "epsilon", "1e-3", 1e-12, 1, "added to the variance"),                 \
        REAL_KEY(struct batch_norm_config, decay, "decay", "0.9", 0, 0.999999, "of the running averages, per batch"),  \
        BOOL_KEY(struct batch_norm_config, debias, "debias", "true",                                                   \
                 "correct the running averages for their start at 0"),                                                 \
        END_OF_KEYS

const struct param batch_norm_settings[] = {SETTINGS};
static const struct param params[] = {LAYER_NAME_PARAM, SETTINGS};

struct batch_norm {
    real *weight, *dweight, *bias, *dbias;   /* [channels], like all below */
    real *running_mean, *running_var, *seen; /* seen: [1], batches so far */
    real *next_mean, *next_var, *next_seen;  /* with the last training step's batch */
    real *inverse;                           /* 1 / sqrt(var + epsilon) of the last forward */
    real *scale, *shift;                     /* of the view after this layer */
};

static bool batch_norm_plan(struct layer *layer, struct planner *planner) {
    struct batch_norm *norm = layer->state;
    int channels = layer->in.channels;
    if (layer->in.flat && layer->in.height * layer->in.width > 1)
        return layer_error(planner, layer, "stands after flatten; put it before, where channels are known");
    if (!planner->forward_only && planner->whole_batch * layer->in.height * layer->in.width == 1)
        return layer_error(planner, layer,
                           "has one value a channel to normalise, so it would put out its bias alone; it needs a "
                           "train.batch_size of 2 or more, or larger images");
    const struct tensor_request tensors[] = {
        {"weight", ROLE_NORM, .filters = channels, .mean = 1, .value = &norm->weight, .grad = &norm->dweight},
        {"bias", ROLE_NORM, .filters = channels, .value = &norm->bias, .grad = &norm->dbias},
        {"running_mean", ROLE_BUFFER, .filters = channels, .value = &norm->running_mean, .next = &norm->next_mean},
        {"running_var", ROLE_BUFFER, .filters = channels, .value = &norm->running_var, .next = &norm->next_var},
        {"num_batches_tracked", ROLE_COUNTER, .filters = 1, .value = &norm->seen, .next = &norm->next_seen},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        plan_tensor(planner, layer->name, &tensors[i]);
    plan_keep(planner, (size_t)channels, &norm->inverse);
    plan_keep(planner, (size_t)channels, &norm->scale);
    plan_keep(planner, (size_t)channels, &norm->shift);
    return true;
}

/* seen: batches, this one included. */
static double running_decay(const struct batch_norm_config *config, const struct step *step, double seen) {
    if (step->averaged)
        return 1 - 1.0 / step->averaged;
    if (!config->debias)
        return config->decay;
    return config->decay * (1 - pow(config->decay, seen - 1)) / (1 - pow(config->decay, seen));
}

/* What is given no weight may be anything, NaN too. */
static real moved(double decay, real running, double batch) {
    return (real)((decay > 0 ? decay * (double)running : 0) + (1 - decay) * batch);
}

/* With u = s data + t the layer's input: its mean is s mean + t, its variance s^2 variance. */
static void batch_norm_fold(struct layer *layer, const struct step *step, struct view *view) {
    struct batch_norm *norm = layer->state;
    const struct batch_norm_config *config = layer->choice.config;
    double decay = 0;
    if (step->mode == STEP_TRAIN) {
        norm->next_seen[0] = norm->seen[0] + !step->averaged;
        decay = running_decay(config, step, (double)norm->next_seen[0]);
    }
    for (int c = 0; c < layer->in.channels; c++) {
        double s = view->scale ? (double)view->scale[c] : 1, t = view->scale ? (double)view->shift[c] : 0;
        double mean = (double)norm->running_mean[c], variance = (double)norm->running_var[c];
        if (step->mode == STEP_TRAIN) {
            mean = s * (double)view->mean[c] + t;
            variance = s * s * (double)view->variance[c];
            norm->next_mean[c] = moved(decay, norm->running_mean[c], mean);
            norm->next_var[c] = moved(decay, norm->running_var[c], variance);
        }
        double inverse = 1 / sqrt(variance + config->epsilon), scale = (double)norm->weight[c] * inverse;
        norm->inverse[c] = (real)inverse;
        norm->scale[c] = (real)(scale * s);
        norm->shift[c] = (real)((double)norm->bias[c] + scale * (t - mean));
    }
    view->scale = norm->scale;
    view->shift = norm->shift;
}

/* With g the gradient of the output, v = inverse s (data - mean) the normalised input, and sums over the batch:
 *     dbias = sum g, dweight = sum g v, du = weight inverse (g - dbias / count - v dweight / count). */
static void batch_norm_unfold(struct layer *layer, const struct step *step, struct fold_gradient *gradient) {
    (void)step;
    struct batch_norm *norm = layer->state;
    double count = gradient->count;
    for (int c = 0; c < layer->in.channels; c++) {
        double scale_d = (double)gradient->scale_d[c], scale_x = (double)gradient->scale_x[c];
        double offset = (double)gradient->offset[c], variance = (double)gradient->variance[c];
        double unit = (double)norm->inverse[c] * (gradient->scale ? (double)gradient->scale[c] : 1);
        double sum = scale_d * (double)gradient->sum[c] + count * offset;
        double product = scale_d * (double)gradient->product[c] + count * scale_x * variance;
        double factor = (double)norm->weight[c] * (double)norm->inverse[c];
        norm->dbias[c] = (real)sum;
        norm->dweight[c] = (real)(unit * product);
        gradient->scale_d[c] = (real)(factor * scale_d);
        gradient->scale_x[c] = (real)(factor * (scale_x - unit * unit * product / count));
        gradient->offset[c] = (real)(factor * (offset - sum / count));
    }
}

const struct layer_type layer_batch_norm = {
    .kind = {"batch_norm", "batch normalisation per channel", params, sizeof(layer_batch_norm_config)},
    .state_size = sizeof(struct batch_norm),
    .plan = batch_norm_plan,
    .fold = batch_norm_fold,
    .unfold = batch_norm_unfold,
    .wants_moments = true,
};
