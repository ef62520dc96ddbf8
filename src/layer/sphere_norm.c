/* SphereNorm: y = weight * x + bias per channel, after a SphereConv (paper, section 3.5: beta F + gamma). */
#include "layer/configs.h"

static const struct param params[] = {
    LAYER_NAME_PARAM,
    BOOL_KEY(struct sphere_norm_config, trained, "trained", "true", "train weight and bias; else they stay 1 and 0"),
    END_OF_KEYS,
};

struct sphere_norm {
    bool trained;
    real *weight, *dweight, *bias, *dbias; /* [channels] */
    real *scale, *shift;                   /* [channels], of the view after this layer */
};

static bool sphere_norm_plan(struct layer *layer, struct planner *planner) {
    struct sphere_norm *norm = layer->state;
    int channels = layer->in.channels;
    norm->trained = ((const struct sphere_norm_config *)layer->choice.config)->trained;
    if (layer->in.flat && layer->in.height * layer->in.width > 1)
        return layer_error(planner, layer, "stands after flatten; put it before, where channels are known");
    bool trained = norm->trained;
    const struct tensor_request weight = {"weight",
                                          ROLE_NORM,
                                          .filters = channels,
                                          .mean = 1,
                                          .value = &norm->weight,
                                          .grad = trained ? &norm->dweight : NULL};
    const struct tensor_request bias = {"bias", ROLE_NORM, .filters = channels, .value = &norm->bias,
                                        .grad = trained ? &norm->dbias : NULL};
    plan_tensor(planner, layer->name, &weight);
    plan_tensor(planner, layer->name, &bias);
    plan_keep(planner, (size_t)channels, &norm->scale);
    plan_keep(planner, (size_t)channels, &norm->shift);
    return true;
}

static void sphere_norm_fold(struct layer *layer, const struct step *step, struct view *view) {
    (void)step;
    const struct sphere_norm *norm = layer->state;
    for (int c = 0; c < layer->in.channels; c++) {
        norm->scale[c] = norm->weight[c] * (view->scale ? view->scale[c] : 1);
        norm->shift[c] = norm->weight[c] * (view->scale ? view->shift[c] : 0) + norm->bias[c];
    }
    view->scale = norm->scale;
    view->shift = norm->shift;
}

/* With g the gradient of the output and u = s (data - mean) + (s mean + t) the input: dbias = sum g, dweight = sum g u,
 * du = weight g. */
static void sphere_norm_unfold(struct layer *layer, const struct step *step, struct fold_gradient *gradient) {
    (void)step;
    struct sphere_norm *norm = layer->state;
    for (int c = 0; c < layer->in.channels; c++) {
        real mean = gradient->mean ? gradient->mean[c] : 0, variance = gradient->variance ? gradient->variance[c] : 0;
        real s = gradient->scale ? gradient->scale[c] : 1, t = gradient->scale ? gradient->shift[c] : 0;
        real count = (real)gradient->count;
        real sum = gradient->scale_d[c] * gradient->sum[c] + count * gradient->offset[c];
        real product = gradient->scale_d[c] * gradient->product[c] + count * gradient->scale_x[c] * variance;
        if (norm->trained) {
            norm->dbias[c] = sum;
            norm->dweight[c] = s * product + (s * mean + t) * sum;
        }
        gradient->scale_d[c] *= norm->weight[c];
        gradient->scale_x[c] *= norm->weight[c];
        gradient->offset[c] *= norm->weight[c];
    }
}

const struct layer_type layer_sphere_norm = {
    .kind = {"sphere_norm", "SphereNorm: weight * x + bias per channel", params, sizeof(layer_sphere_norm_config)},
    .state_size = sizeof(struct sphere_norm),
    .plan = sphere_norm_plan,
    .fold = sphere_norm_fold,
    .unfold = sphere_norm_unfold,
};
