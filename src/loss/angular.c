/* Angular losses: softmax cross entropy of s g(theta_j), where s is the feature's length or a fixed scale, and while
 * training the target's logit has a margin.
 *
 *     w_softmax, a_softmax, ga_softmax    method of the paper, section 3; a_softmax is SphereFace's
 *     cosface                             s (cos theta_y - m): Wang et al. 2018, "CosFace"
 *     arcface                             s cos(theta_y + m): Deng et al. 2019, "ArcFace" */
#include <math.h>
#include <string.h>

#include "loss/cross_entropy.h"
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
    const struct kind *angular = config->activation.angular.kind;
    return angular ? (const struct angular *)angular : &angular_cosine;
}

static const struct operator_config *activation_of(const void *config) {
    return &((const struct angular_config *)config)->activation;
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

/* One image's cosines and length, and what the logits are made with. */
struct image {
    const real *cosines;
    double length;
    int label;
    const double *k; /* [classes] */
    bool margin;
    double lambda;
};

/* Where `dcosines`: the gradients of the cosines and of the length; that of k is added to dk. */
static double image_loss(const struct angular_config *config, int classes, const struct image *image, double *dcosines,
                         double *dlength, double *dk) {
    struct of_cosine of[classes];
    double logits[classes], dlogits[classes], s = config->scale > 0 ? config->scale : image->length;
    for (int j = 0; j < classes; j++) {
        double c = (double)image->cosines[j], k = image->k[j];
        of[j] = image->margin && j == image->label ? target(config, c, k, image->lambda)
                                                   : margin_none(angular_of(config), k, c);
        logits[j] = s * of[j].value;
    }
    double loss = cross_entropy(&config->cross_entropy, classes, dcosines ? dlogits : NULL, logits, image->label);
    if (!dcosines)
        return loss;
    *dlength = 0;
    for (int j = 0; j < classes; j++) {
        if (!(config->scale > 0))
            *dlength += dlogits[j] * of[j].value;
        dcosines[j] = dlogits[j] * s * of[j].slope;
        dk[j] += dlogits[j] * s * of[j].k_slope;
    }
    return loss;
}

static int k_of_class(const struct angular_config *config, int class) {
    return config->activation.k_shared == K_PER_LAYER ? 0 : class;
}

static void effective_k(const struct angular_config *config, int classes, double *k, const real *trained) {
    for (int j = 0; j < classes; j++)
        k[j] =
            trained ? fabs((double)trained[k_of_class(config, j)]) + config->activation.k_offset : config->activation.k;
}

/* From dk, of the effective k of each class; d effective k / dk = sign(k) */
static void set_k_gradient(const struct angular_config *config, const struct loss_input *in, const double *dk,
                           real *gradient) {
    int last = k_of_class(config, in->classes - 1);
    double sums[in->classes];
    memset(sums, 0, sizeof sums);
    for (int j = 0; j < in->classes; j++)
        sums[k_of_class(config, j)] += dk[j];
    for (int j = 0; j <= last; j++)
        gradient[j] = (real)((in->k[j] < 0 ? -sums[j] : sums[j]) / in->n);
}

static double angular_evaluate(const struct loss_type *type, const void *config, const struct loss_input *in,
                               int64_t iteration, const struct loss_gradient *gradient) {
    double longest = sqrt((double)REAL_LARGEST); /* beyond, squares have overflowed */
    double sum = 0, k[in->classes], dcosines[in->classes], dk[in->classes], dlength = 0;
    struct image image = {.k = k, .margin = type->lambda && iteration > 0};
    image.lambda = image.margin ? type->lambda(config, iteration) : 0;
    effective_k(config, in->classes, k, in->k);
    memset(dk, 0, sizeof dk);
    for (int i = 0; i < in->n; i++) {
        size_t first = (size_t)i * (size_t)in->classes;
        image.cosines = in->scores + first;
        image.length = in->lengths[i] > longest ? longest : (double)in->lengths[i];
        image.label = in->labels[i];
        sum += image_loss(config, in->classes, &image, gradient ? dcosines : NULL, &dlength, dk);
        for (int j = 0; gradient && j < in->classes; j++)
            gradient->scores[first + (size_t)j] = (real)(dcosines[j] / in->n);
        if (gradient)
            gradient->lengths[i] = (real)(dlength / in->n);
    }
    if (gradient && in->k)
        set_k_gradient(config, in, dk, gradient->k);
    return sum / in->n;
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
        .activation = activation_of,                                                                                   \
        .evaluate = angular_evaluate,                                                                                  \
        .lambda = LAMBDA,                                                                                              \
    }

ROW(w_softmax, "normalised class weights: |x| g(theta)", NULL);
ROW(a_softmax, "the same with the cosine, and a margin that multiplies the target's angle (SphereFace)", lambda_of);
ROW(ga_softmax, "the same with any activation", lambda_of);
ROW(cosface, "scale times the cosine, and a margin taken from the target's cosine", lambda_of);
ROW(arcface, "scale times the cosine, and a margin added to the target's angle", lambda_of);
