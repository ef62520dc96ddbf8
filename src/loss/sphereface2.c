#include "loss/sphereface2.h"

#include <math.h>

#include "base/number.h"
#include "loss/images.h"

static const struct param params[] = {
    REAL_KEY(struct sphereface2_config, scale, "scale", "40", 1e-3, 500, "of all logits"),
    REAL_KEY(struct sphereface2_config, margin, "margin", "0.4", 0, 1,
             "taken from the target's adjusted cosine, and added to all others"),
    REAL_KEY(struct sphereface2_config, exponent, "exponent", "3", 1, 20,
             "t of the adjusted cosine, 2 ((cos + 1) / 2)^t - 1; 1: the cosine itself"),
    REAL_KEY(struct sphereface2_config, balance, "balance", "0.7", 0.01, 0.99,
             "weight of the image's own class; the others have the rest"),
    REAL_KEY(struct sphereface2_config, loss_weight, "loss_weight", "1", 1e-3, 1e6,
             "of the loss beside the penalties; the authors' code has 50"),
    BOOL_KEY(struct sphereface2_config, detach, "detach", "false",
             "let the gradient take the adjusted cosine for the cosine itself, as the authors' code does"),
    END_OF_KEYS,
};

struct state {
    real *bias, *bias_gradient; /* [1] */
};

struct batch {
    const struct sphereface2_config *config;
    const struct head *head;
    const int32_t *labels;
    int whole; /* images of it */
    double bias, margin;
    bool gradient;
    double *bias_gradients; /* of each image */
};

/* --- One image --------------------------------------------------------------------------------------------------- */

/* g and dg/dz, z within [-1, 1]; a NaN stays one. */
static double adjusted(const struct sphereface2_config *config, double z, double *slope) {
    double half = ((z > 1 ? 1 : z < -1 ? -1 : z) + 1) / 2, power = pow(half, config->exponent - 1);
    *slope = config->detach ? 1 : config->exponent * power;
    return 2 * half * power - 1;
}

/* log(1 + exp(x)), and its slope. */
static double softplus(double x, double *slope) {
    double small = exp(-fabs(x));
    *slope = (x > 0 ? 1 : small) / (1 + small);
    return fmax(x, 0) + log1p(small);
}

/* The loss of one class, and its gradients with respect to cosine and bias. */
static double class_loss(const struct batch *batch, double cosine, bool own, double *cosine_gradient,
                         double *bias_gradient) {
    const struct sphereface2_config *config = batch->config;
    double sign = own ? -1 : 1, weight = config->loss_weight * (own ? config->balance : 1 - config->balance);
    double slope, logit_slope, value = adjusted(config, cosine, &slope);
    double loss = softplus(sign * (config->scale * (value + sign * batch->margin) + batch->bias), &logit_slope);
    *cosine_gradient = weight * sign * logit_slope * slope;
    *bias_gradient = weight * sign * logit_slope / config->scale;
    return weight * loss / config->scale;
}

static double image_loss(const void *of, int image, double *own) {
    (void)own;
    const struct batch *batch = of;
    const struct head *head = batch->head;
    size_t first = (size_t)image * (size_t)head->classes;
    double loss = 0, bias_gradient = 0;
    for (int j = 0; j < head->classes; j++) {
        double by_cosine, by_bias;
        loss +=
            class_loss(batch, (double)head->scores[first + (size_t)j], j == batch->labels[image], &by_cosine, &by_bias);
        bias_gradient += by_bias;
        if (batch->gradient)
            head->scores_gradient[first + (size_t)j] = (real)(by_cosine / batch->whole);
    }
    if (batch->gradient)
        head->lengths_gradient[image] = 0;
    batch->bias_gradients[image] = bias_gradient;
    return loss;
}

/* --- The loss ---------------------------------------------------------------------------------------------------- */

/* Where dL/db = 0 when all cosines are 0, the authors' start. With z = balance / ((1 - balance) (classes - 1)) and the
 * logits s (g(0) -+ m), balance sigmoid(-target) = (1 - balance) (classes - 1) sigmoid(other) is a quadratic equation
 * in exp(b), whose positive root this is without cancellation. */
static double initial_bias(const struct sphereface2_config *config, int classes) {
    double z = config->balance / ((1 - config->balance) * larger(classes - 1, 1)), slope;
    double middle = config->scale * adjusted(config, 0, &slope), margin = config->scale * config->margin;
    return 0.5 * log(z) - middle - asinh((1 - z) / (2 * sqrt(z)) * exp(margin));
}

static const struct image_memory memory = {.kept = 1};

static void sphereface2_plan(const struct loss *loss, struct planner *planner, const struct head *head) {
    struct state *state = loss->state;
    image_losses_plan(planner, memory);
    plan_tensor(planner, head->name,
                &(struct tensor_request){
                    .name = "bias",
                    .role = ROLE_BIAS,
                    .filters = 1,
                    .mean = initial_bias(loss->config, head->classes),
                    .value = &state->bias,
                    .grad = &state->bias_gradient,
                });
}

static double sphereface2_evaluate(const struct loss *loss, const struct step *step, const struct head *head,
                                   const int32_t *labels) {
    const struct sphereface2_config *config = loss->config;
    const struct state *state = loss->state;
    struct image_losses losses = image_losses_of(step, memory);
    const struct batch batch = {
        .config = config,
        .head = head,
        .labels = labels,
        .whole = step_whole(step),
        .bias = (double)*state->bias,
        .margin = step->iteration > 0 ? config->margin : 0,
        .gradient = loss_wants_gradient(step, head),
        .bias_gradients = losses.kept,
    };
    image_losses_compute(&losses, 0, step->n, image_loss, &batch);
    if (batch.gradient)
        *state->bias_gradient = (real)image_mean(step, losses.kept);
    return image_mean(step, losses.loss);
}

static void sphereface2_logits(const struct loss *loss, const struct head *head, int image, double *logits) {
    const struct sphereface2_config *config = loss->config;
    const struct state *state = loss->state;
    const real *cosines = head->scores + (size_t)image * (size_t)head->classes;
    double slope;
    for (int j = 0; j < head->classes; j++)
        logits[j] = config->scale * adjusted(config, (double)cosines[j], &slope) + (double)*state->bias;
}

const struct loss_type loss_sphereface2 = {
    .kind = {"sphereface2", "for each class a binary classification by the cosine, with a margin and a trained bias",
             params, sizeof(struct sphereface2_config)},
    .needs = HEAD_COSINES,
    .state_size = sizeof(struct state),
    .plan = sphereface2_plan,
    .evaluate = sphereface2_evaluate,
    .logits = sphereface2_logits,
    .independent = true,
};
