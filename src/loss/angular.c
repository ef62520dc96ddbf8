#include "loss/angular.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "loss/images.h"

static const struct annealing *annealing_of(const void *config) {
    return &((const struct angular_config *)config)->annealing;
}

static bool has_margin(const void *config) {
    const struct angular_config *angular = config;
    return angular->times > 1 || angular->plus > 0 || angular->minus > 0;
}

/* The target's logit by s: with its margin at one weight, without at lambda. */
static struct of_cosine target(const struct angular_config *config, const struct angular_type *g, double shape,
                               double c, double lambda) {
    struct of_cosine plain = margin_none(g, shape, c), with = plain;
    if (config->times)
        with = margin_times(g, shape, config->times, c);
    if (config->plus > 0)
        with = margin_plus(g, shape, config->plus, c);
    with.value -= config->minus;
    return (struct of_cosine){(lambda * plain.value + with.value) / (1 + lambda),
                              (lambda * plain.slope + with.slope) / (1 + lambda),
                              (lambda * plain.shape_slope + with.shape_slope) / (1 + lambda)};
}

/* --- One image --------------------------------------------------------------------------------------------------- */

struct batch {
    const struct angular_config *config;
    const struct angular *angular;
    const struct head *head;
    const int32_t *labels;
    int n, whole; /* images computed here, and all */
    bool margin, gradient;
    double lambda;
    struct ranking *rankings; /* [n]: to be set; NULL: the cosines rank as the logits do */
};

/* What an image's loss leaves, [classes] each. */
struct row {
    double *value, *slope, *shape_slope; /* of a logit by s, of the cosine and of the class's shape */
    double *logits;                      /* or, once the loss is known, their gradients */
};

enum { ROW_ARRAYS = 4 };

static struct row row_in(double *own, int classes) {
    return (struct row){own, own + classes, own + 2 * (ptrdiff_t)classes, own + 3 * (ptrdiff_t)classes};
}

/* s: what multiplies every cosine's value. Squares of lengths beyond the longest have overflowed. */
static double scale_of(const struct batch *batch, int image) {
    double longest = sqrt((double)REAL_LARGEST);
    if (batch->config->scale > 0)
        return batch->config->scale;
    return batch->head->lengths[image] > longest ? longest : (double)batch->head->lengths[image];
}

static void angular_logits(const struct loss *loss, const struct head *head, int image, double *logits) {
    const struct angular *angular = loss->state;
    const struct batch batch = {.config = loss->config, .head = head};
    const real *cosines = head->scores + (size_t)image * (size_t)head->classes;
    double s = scale_of(&batch, image);
    for (int j = 0; j < head->classes; j++)
        logits[j] = s * margin_none(angular->type, angular_shape(angular, j), (double)cosines[j]).value;
}

static void compute_logits(const struct batch *batch, int image, struct row row, double s) {
    int classes = batch->head->classes;
    const struct angular_config *config = batch->config;
    const struct angular_type *g = batch->angular->type;
    const real *cosines = batch->head->scores + (size_t)image * (size_t)classes;
    for (int j = 0; j < classes; j++) {
        double c = (double)cosines[j], shape = angular_shape(batch->angular, j);
        struct of_cosine of = batch->margin && j == batch->labels[image] ? target(config, g, shape, c, batch->lambda)
                                                                         : margin_none(g, shape, c);
        row.value[j] = of.value;
        row.slope[j] = of.slope;
        row.shape_slope[j] = of.shape_slope;
        row.logits[j] = s * of.value;
    }
}

/* By the logits without margin. The feature's length, or the scale, multiplies all of them. */
static struct ranking rank(const struct batch *batch, int image, struct row row) {
    int classes = batch->head->classes, label = batch->labels[image];
    double cosine = (double)batch->head->scores[(size_t)image * (size_t)classes + (size_t)label];
    double own = margin_none(batch->angular->type, angular_shape(batch->angular, label), cosine).value, largest = 0;
    struct ranking ranking = {0};
    for (int j = 0; j < classes; j++) {
        double value = j == label ? own : row.value[j];
        if (isnan(value))
            return ranking_none(classes);
        ranking.above += value > own;
        if (j == 0 || value > largest) {
            ranking.best = j;
            largest = value;
        }
    }
    return ranking;
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
        cosines[j] = (real)(cosine / batch->whole);
    }
    head->lengths_gradient[image] = (real)(length / batch->whole);
}

static double image_loss(const void *of, int image, double *own) {
    const struct batch *batch = of;
    int classes = batch->head->classes;
    struct row row = row_in(own, classes);
    double s = scale_of(batch, image);
    compute_logits(batch, image, row, s);
    if (batch->rankings)
        batch->rankings[image] = rank(batch, image, row);
    double loss = cross_entropy(&batch->config->cross_entropy, classes, batch->gradient ? row.logits : NULL, row.logits,
                                batch->labels[image]);
    if (batch->gradient)
        set_gradients(batch, image, row, s);
    return loss;
}

/* --- The gradient of the activation's tensor --------------------------------------------------------------------- */

/* Adds the terms of the images [first, end), whose rows are there, to those of the shapes. */
static void add_shape_gradients(const struct batch *batch, const struct image_losses *losses, int first, int end) {
    int classes = batch->head->classes;
    double *dshapes = losses->shared;
    for (int image = first; image < end; image++) {
        struct row row = row_in(losses->own + (size_t)(image - first) * losses->stride, classes);
        double s = scale_of(batch, image);
        for (int j = 0; j < classes; j++)
            dshapes[j] += row.logits[j] * s * row.shape_slope[j];
    }
}

/* As many images at a time as there are rows to keep, whose terms are added in order. */
static void compute_with_shapes(const struct batch *batch, const struct image_losses *losses,
                                const struct group *group) {
    size_t bytes = (size_t)batch->head->classes * sizeof *losses->shared;
    memset(losses->shared, 0, bytes);
    relay_take(group, losses->shared, bytes);
    for (int first = 0; first < batch->n; first += losses->threads) {
        int end = smaller(first + losses->threads, batch->n);
        image_losses_compute(losses, first, end, image_loss, batch);
        add_shape_gradients(batch, losses, first, end);
    }
    relay_finish(group, losses->shared, bytes);
    batch->angular->type->mean_gradient(batch->angular, losses->shared, batch->whole);
}

/* --- The loss ---------------------------------------------------------------------------------------------------- */

static struct image_memory memory_of(const struct angular *angular, const struct head *head) {
    size_t classes = (size_t)head->classes;
    return (struct image_memory){.own = ROW_ARRAYS * classes, .shared = angular->type->mean_gradient ? classes : 0};
}

static void angular_loss_plan(const struct loss *loss, struct planner *planner, const struct head *head) {
    const struct angular_config *config = loss->config;
    struct angular *angular = loss->state;
    *angular = angular_chosen(config->angular);
    angular_plan(angular, planner, head->name, head->classes);
    image_losses_plan(planner, memory_of(angular, head));
}

const struct angular *angular_loss_activation(const struct loss *loss) {
    return loss->state;
}

/* Whether a larger cosine may have the smaller logit: g falls with the angle, but not for each class alike. */
static bool shapes_differ(const struct angular *angular, int classes) {
    for (int j = 1; j < classes; j++)
        if (angular_shape(angular, j) != angular_shape(angular, 0))
            return true;
    return false;
}

static double angular_evaluate(const struct loss *loss, const struct step *step, const struct head *head,
                               const int32_t *labels) {
    const struct angular *angular = loss->state;
    struct batch batch = {
        .config = loss->config,
        .angular = angular,
        .head = head,
        .labels = labels,
        .n = step->n,
        .whole = step_whole(step),
        .margin = loss->type->annealing && step->iteration > 0,
        .gradient = loss_wants_gradient(step, head),
        .rankings = shapes_differ(angular, head->classes) ? loss->rankings : NULL,
    };
    batch.lambda = batch.margin ? annealing_lambda(annealing_of(loss->config), step->iteration) : 0;
    struct image_losses losses = image_losses_of(step, memory_of(angular, head));
    if (batch.gradient && angular->type->mean_gradient)
        compute_with_shapes(&batch, &losses, step->part.group);
    else
        image_losses_compute(&losses, 0, step->n, image_loss, &batch);
    return image_mean(step, losses.loss);
}

/* --- Rows -------------------------------------------------------------------------------------------------------- */

#define ANGULAR_KEY(FALLBACK)                                                                                          \
    ROW_KEY(struct angular_config, angular, "angular", FALLBACK, &angular_registry,                                    \
            "what a class's logit makes of its angle to the feature")

#define TIMES_KEY                                                                                                      \
    INT_KEY(struct angular_config, times, "margin", "4", 1, 20, "multiplies the target's angle; 1: no margin")

#define SCALE_KEY REAL_KEY(struct angular_config, scale, "scale", "64", 1e-3, 1e4, "of all logits")

#define ANNEALING_PARAMS(BASE, MINIMUM)                                                                                \
    REAL_KEY(struct annealing, base, "base", BASE, 0, 1e9, "lambda before it falls; with minimum 0, 0 means none"),    \
        REAL_KEY(struct annealing, gamma, "gamma", "0.12", 0, 1e9,                                                     \
                 "how fast lambda falls with the iteration; short runs need a larger one"),                            \
        REAL_KEY(struct annealing, power, "power", "1", 0, 100, "how steeply"),                                        \
        REAL_KEY(struct annealing, minimum, "minimum", MINIMUM, 0, 1e9, "where lambda stays"), END_OF_KEYS

#define ANNEALING_KEY(PARAMS)                                                                                          \
    SECTION_KEY(struct angular_config, annealing, "annealing", PARAMS,                                                 \
                "the target's logit without margin, at weight lambda beside the one with it")

static const struct param gradual[] = {ANNEALING_PARAMS("1000", "5")}; /* SphereFace's */
static const struct param at_once[] = {ANNEALING_PARAMS("0", "0")};

static const struct param w_softmax_params[] = {
    ANGULAR_KEY("cosine"),
    INCLUDED_KEYS(struct angular_config, cross_entropy, cross_entropy_params),
    END_OF_KEYS,
};
static const struct param a_softmax_params[] = {TIMES_KEY, ANNEALING_KEY(gradual), END_OF_KEYS};
static const struct param ga_softmax_params[] = {ANGULAR_KEY("linear"), TIMES_KEY, ANNEALING_KEY(gradual), END_OF_KEYS};
static const struct param cosface_params[] = {
    SCALE_KEY,
    REAL_KEY(struct angular_config, minus, "margin", "0.35", 0, 2, "taken from the target's cosine"),
    ANNEALING_KEY(at_once),
    END_OF_KEYS,
};
static const struct param arcface_params[] = {
    SCALE_KEY,
    REAL_KEY(
        struct angular_config, plus, "margin", "0.5", 0, 3.14,
        "added to the target's angle, in radians; beyond pi the logit is -cos(theta + m) - 2, which goes on falling"),
    ANNEALING_KEY(at_once),
    END_OF_KEYS,
};

#define ROW(NAME, HELP, ANNEALING)                                                                                     \
    const struct loss_type loss_##NAME = {                                                                             \
        .kind = {#NAME, HELP, NAME##_params, sizeof(struct angular_config)},                                           \
        .needs = HEAD_COSINES,                                                                                         \
        .state_size = sizeof(struct angular),                                                                          \
        .plan = angular_loss_plan,                                                                                     \
        .evaluate = angular_evaluate,                                                                                  \
        .logits = angular_logits,                                                                                      \
        .annealing = ANNEALING,                                                                                        \
        .has_margin = has_margin,                                                                                      \
    }

ROW(w_softmax, "normalised class weights: |x| g(theta)", NULL);
ROW(a_softmax, "the same with the cosine, and a margin that multiplies the target's angle (SphereFace)", annealing_of);
ROW(ga_softmax, "the same with any activation", annealing_of);
ROW(cosface, "scale times the cosine, and a margin taken from the target's cosine", annealing_of);
ROW(arcface, "scale times the cosine, and a margin added to the target's angle", annealing_of);
