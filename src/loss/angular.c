/* Angular losses: softmax cross entropy of s g(theta_j), where s is the feature's length or a fixed scale, and while
 * training the target's logit has a margin.
 *
 *     w_softmax, a_softmax, ga_softmax    method of the paper, section 3; a_softmax is SphereFace's
 *     cosface                             s (cos theta_y - m): Wang et al. 2018, "CosFace"
 *     arcface                             s cos(theta_y + m): Deng et al. 2019, "ArcFace" */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "loss/cross_entropy.h"
#include "loss/images.h"
#include "loss/loss.h"
#include "loss/margin.h"

/* Of all of them; keys that a row does not have stay 0. */
struct angular_config {
    struct operator_config activation; /* its angular NULL: cosine */
    struct cross_entropy cross_entropy;
    double scale;       /* of all logits; 0: the feature's length */
    int times;          /* margin that multiplies the angle; 0: none */
    double plus, minus; /* margins added to the angle, and taken from the cosine */
    struct annealing annealing;
};

static const struct angular *angular_of(const struct angular_config *config) {
    const struct kind *angular = config->activation.angular;
    return angular ? (const struct angular *)angular : &angular_cosine;
}

static double lambda_of(const void *config, int64_t iteration) {
    return annealing_lambda(&((const struct angular_config *)config)->annealing, iteration);
}

/* The target's logit by s: with its margin at one weight, without at lambda. */
static struct of_cosine target(const struct angular_config *config, double c, double k, double lambda) {
    const struct angular *g = angular_of(config);
    struct of_cosine plain = margin_none(g, k, c), with = plain;
    if (config->times)
        with = margin_times(g, k, config->times, c);
    if (config->plus > 0)
        with = margin_plus(g, k, config->plus, c);
    with.value -= config->minus;
    return (struct of_cosine){(lambda * plain.value + with.value) / (1 + lambda),
                              (lambda * plain.slope + with.slope) / (1 + lambda),
                              (lambda * plain.k_slope + with.k_slope) / (1 + lambda)};
}

/* --- One image --------------------------------------------------------------------------------------------------- */

/* k of an activation that trains it: [classes], or [1] for all of them. */
struct state {
    real *k, *k_gradient;
};

struct batch {
    const struct angular_config *config;
    const struct head *head;
    const int32_t *labels;
    const real *k; /* NULL: not trained */
    int n;
    bool margin, gradient;
    double lambda;
};

/* What an image's loss leaves, [classes] each. */
struct row {
    double *value, *slope, *k_slope; /* of a logit by s, of the cosine and of k */
    double *logits;                  /* or, once the loss is known, their gradients */
};

enum { ROW_ARRAYS = 4 };

static struct row row_in(double *own, int classes) {
    return (struct row){own, own + classes, own + 2 * (ptrdiff_t)classes, own + 3 * (ptrdiff_t)classes};
}

static int k_of_class(const struct angular_config *config, int class) {
    return config->activation.k_shared == K_PER_LAYER ? 0 : class;
}

static double effective_k(const struct batch *batch, int class) {
    const struct operator_config *activation = &batch->config->activation;
    return batch->k ? fabs((double)batch->k[k_of_class(batch->config, class)]) + activation->k_offset : activation->k;
}

/* s: what multiplies every cosine's value. Squares of lengths beyond the longest have overflowed. */
static double scale_of(const struct batch *batch, int image) {
    double longest = sqrt((double)REAL_LARGEST);
    if (batch->config->scale > 0)
        return batch->config->scale;
    return batch->head->lengths[image] > longest ? longest : (double)batch->head->lengths[image];
}

static void compute_logits(const struct batch *batch, int image, struct row row, double s) {
    int classes = batch->head->classes;
    const struct angular_config *config = batch->config;
    const real *cosines = batch->head->scores + (size_t)image * (size_t)classes;
    for (int j = 0; j < classes; j++) {
        double c = (double)cosines[j], k = effective_k(batch, j);
        struct of_cosine of = batch->margin && j == batch->labels[image] ? target(config, c, k, batch->lambda)
                                                                         : margin_none(angular_of(config), k, c);
        row.value[j] = of.value;
        row.slope[j] = of.slope;
        row.k_slope[j] = of.k_slope;
        row.logits[j] = s * of.value;
    }
}

/* From those of the logits. */
static void set_gradients(const struct batch *batch, int image, struct row row, double s) {
    const struct head *head = batch->head;
    int classes = head->classes;
    const double *dlogits = row.logits;
    real *cosines = head->scores_gradient + (size_t)image * (size_t)classes;
    double length = 0;
    for (int j = 0; j < classes; j++) {
        double cosine = dlogits[j] * s * row.slope[j];
        if (!(batch->config->scale > 0))
            length += dlogits[j] * row.value[j];
        cosines[j] = (real)(cosine / batch->n);
    }
    head->lengths_gradient[image] = (real)(length / batch->n);
}

static double image_loss(const void *of, int image, double *own) {
    const struct batch *batch = of;
    int classes = batch->head->classes;
    struct row row = row_in(own, classes);
    double s = scale_of(batch, image);
    compute_logits(batch, image, row, s);
    double loss = cross_entropy(&batch->config->cross_entropy, classes, batch->gradient ? row.logits : NULL, row.logits,
                                batch->labels[image]);
    if (batch->gradient)
        set_gradients(batch, image, row, s);
    return loss;
}

/* --- The gradient of k ------------------------------------------------------------------------------------------- */

/* Adds the terms of the images [first, end), whose rows are there, to dk[classes], that of the effective k. */
static void add_k_gradient(const struct batch *batch, const struct image_losses *losses, int first, int end) {
    int classes = batch->head->classes;
    double *dk = losses->shared;
    for (int image = first; image < end; image++) {
        struct row row = row_in(losses->own + (size_t)(image - first) * losses->stride, classes);
        double s = scale_of(batch, image);
        for (int j = 0; j < classes; j++)
            dk[j] += row.logits[j] * s * row.k_slope[j];
    }
}

/* d effective k / dk = sign(k) */
static real k_gradient(real k, double effective, int n) {
    return (real)((k < 0 ? -effective : effective) / n);
}

static void set_k_gradient(const struct batch *batch, const double *dk, real *gradient) {
    double sum = 0;
    for (int j = 0; j < batch->head->classes; j++)
        sum += dk[j];
    if (batch->config->activation.k_shared == K_PER_LAYER)
        gradient[0] = k_gradient(batch->k[0], sum, batch->n);
    else
        for (int j = 0; j < batch->head->classes; j++)
            gradient[j] = k_gradient(batch->k[j], dk[j], batch->n);
}

/* As many images at a time as there are rows to keep, whose terms are added in order. */
static void compute_with_k(const struct batch *batch, const struct image_losses *losses, real *gradient) {
    memset(losses->shared, 0, (size_t)batch->head->classes * sizeof *losses->shared);
    for (int first = 0; first < batch->n; first += losses->threads) {
        int end = smaller(first + losses->threads, batch->n);
        image_losses_compute(losses, first, end, image_loss, batch);
        add_k_gradient(batch, losses, first, end);
    }
    set_k_gradient(batch, losses->shared, gradient);
}

/* --- The loss ---------------------------------------------------------------------------------------------------- */

static struct image_memory memory_of(const struct angular_config *config, const struct head *head) {
    size_t classes = (size_t)head->classes;
    return (struct image_memory){.own = ROW_ARRAYS * classes, .shared = angular_of(config)->trains_k ? classes : 0};
}

static void angular_plan(const struct loss *loss, struct planner *planner, const struct head *head) {
    const struct angular_config *config = loss->config;
    struct state *state = loss->state;
    image_losses_plan(planner, memory_of(config, head));
    if (angular_of(config)->trains_k)
        plan_tensor(planner, head->name,
                    &(struct tensor_request){
                        .name = "k",
                        .role = ROLE_K,
                        .filters = config->activation.k_shared == K_PER_LAYER ? 1 : head->classes,
                        .mean = config->activation.initial_k,
                        .value = &state->k,
                        .grad = &state->k_gradient,
                    });
}

static double angular_evaluate(const struct loss *loss, const struct step *step, const struct head *head,
                               const int32_t *labels) {
    const struct state *state = loss->state;
    struct batch batch = {
        .config = loss->config,
        .head = head,
        .labels = labels,
        .k = state->k,
        .n = step->n,
        .margin = loss->type->lambda && step->iteration > 0,
        .gradient = loss_wants_gradient(step, head),
    };
    batch.lambda = batch.margin ? loss->type->lambda(loss->config, step->iteration) : 0;
    struct image_losses losses = image_losses_of(step, memory_of(loss->config, head));
    if (batch.k && batch.gradient)
        compute_with_k(&batch, &losses, state->k_gradient);
    else
        image_losses_compute(&losses, 0, step->n, image_loss, &batch);
    return image_mean(losses.loss, step->n);
}

/* --- Rows -------------------------------------------------------------------------------------------------------- */

#define ANGULAR_KEYS(FALLBACK)                                                                                         \
    ROW_KEY(struct angular_config, activation.angular, "angular", FALLBACK, &angular_registry,                         \
            "what a class's logit makes of its angle to the feature"),                                                 \
        INCLUDED_KEYS(struct angular_config, activation, activation_params)

#define TIMES_KEY                                                                                                      \
    INT_KEY(struct angular_config, times, "margin", "4", 1, 20, "multiplies the target's angle; 1: no margin")

#define SCALE_KEY REAL_KEY(struct angular_config, scale, "scale", "64", 1e-3, 1e4, "of all logits")

#define ANNEALING_PARAMS(BASE, MINIMUM)                                                                                \
    REAL_KEY(struct annealing, base, "base", BASE, 0, 1e9, "lambda before it falls; with minimum 0, 0 means none"),    \
        REAL_KEY(struct annealing, gamma, "gamma", "0.12", 0, 1e9, "how fast lambda falls with the iteration"),        \
        REAL_KEY(struct annealing, power, "power", "1", 0, 100, "how steeply"),                                        \
        REAL_KEY(struct annealing, minimum, "minimum", MINIMUM, 0, 1e9, "where lambda stays"), END_OF_KEYS

#define ANNEALING_KEY(PARAMS)                                                                                          \
    SECTION_KEY(struct angular_config, annealing, "annealing", PARAMS,                                                 \
                "the target's logit without margin, at weight lambda beside the one with it")

static const struct param gradual[] = {ANNEALING_PARAMS("1000", "5")}; /* SphereFace's */
static const struct param at_once[] = {ANNEALING_PARAMS("0", "0")};

static const struct param w_softmax_params[] = {
    ANGULAR_KEYS("cosine"),
    INCLUDED_KEYS(struct angular_config, cross_entropy, cross_entropy_params),
    END_OF_KEYS,
};
static const struct param a_softmax_params[] = {TIMES_KEY, ANNEALING_KEY(gradual), END_OF_KEYS};
static const struct param ga_softmax_params[] = {ANGULAR_KEYS("linear"), TIMES_KEY, ANNEALING_KEY(gradual),
                                                 END_OF_KEYS};
static const struct param cosface_params[] = {
    SCALE_KEY,
    REAL_KEY(struct angular_config, minus, "margin", "0.35", 0, 2, "taken from the target's cosine"),
    ANNEALING_KEY(at_once),
    END_OF_KEYS,
};
static const struct param arcface_params[] = {
    SCALE_KEY,
    REAL_KEY(struct angular_config, plus, "margin", "0.5", 0, 3.14, "added to the target's angle, in radians"),
    ANNEALING_KEY(at_once),
    END_OF_KEYS,
};

#define ROW(NAME, HELP, LAMBDA)                                                                                        \
    const struct loss_type loss_##NAME = {                                                                             \
        .kind = {#NAME, HELP, NAME##_params, sizeof(struct angular_config)},                                           \
        .needs = HEAD_COSINES,                                                                                         \
        .state_size = sizeof(struct state),                                                                            \
        .plan = angular_plan,                                                                                          \
        .evaluate = angular_evaluate,                                                                                  \
        .lambda = LAMBDA,                                                                                              \
    }

ROW(w_softmax, "normalised class weights: |x| g(theta)", NULL);
ROW(a_softmax, "the same with the cosine, and a margin that multiplies the target's angle (SphereFace)", lambda_of);
ROW(ga_softmax, "the same with any activation", lambda_of);
ROW(cosface, "scale times the cosine, and a margin taken from the target's cosine", lambda_of);
ROW(arcface, "scale times the cosine, and a margin added to the target's angle", lambda_of);
