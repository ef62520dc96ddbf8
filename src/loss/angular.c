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
    const struct kind *angular; /* NULL: cosine */
    double k;
    struct cross_entropy cross_entropy;
    double scale;       /* of all logits; 0: the feature's length */
    int times;          /* margin that multiplies the angle; 0: none */
    double plus, minus; /* margins added to the angle, and taken from the cosine */
    struct annealing annealing;
};

static const struct angular *activation_of(const struct angular_config *config) {
    return config->angular ? (const struct angular *)config->angular : &angular_cosine;
}

static double lambda_of(const void *config, int64_t iteration) {
    return annealing_lambda(&((const struct angular_config *)config)->annealing, iteration);
}

/* The target's logit by s: with its margin at one weight, without at lambda. */
static struct of_cosine target(const struct angular_config *config, double c, double lambda) {
    const struct angular *g = activation_of(config);
    struct of_cosine plain = margin_none(g, config->k, c), with = plain;
    if (config->times)
        with = margin_times(g, config->k, config->times, c);
    if (config->plus > 0)
        with = margin_plus(g, config->k, config->plus, c);
    with.value -= config->minus;
    return (struct of_cosine){(lambda * plain.value + with.value) / (1 + lambda),
                              (lambda * plain.slope + with.slope) / (1 + lambda)};
}

/* One image; the gradients of its cosines and of its length where `dscores`. */
static double image_loss(const struct angular_config *config, int classes, const real *cosines, double length,
                         int label, bool margin, double lambda, double *dscores, double *dlength) {
    struct of_cosine of[classes];
    double logits[classes], s = config->scale > 0 ? config->scale : length;
    for (int j = 0; j < classes; j++) {
        of[j] = margin && j == label ? target(config, (double)cosines[j], lambda)
                                     : margin_none(activation_of(config), config->k, (double)cosines[j]);
        logits[j] = s * of[j].value;
    }
    double loss = cross_entropy(&config->cross_entropy, classes, dscores, logits, label);
    if (!dscores)
        return loss;
    *dlength = 0;
    for (int j = 0; j < classes; j++) {
        if (!(config->scale > 0))
            *dlength += dscores[j] * of[j].value;
        dscores[j] *= s * of[j].slope;
    }
    return loss;
}

static double angular_evaluate(const struct loss_type *type, const void *config, const struct loss_input *in,
                               int64_t iteration, const struct loss_gradient *gradient) {
    bool margin = type->lambda && iteration > 0;
    double lambda = margin ? type->lambda(config, iteration) : 0;
    double longest = sqrt((double)REAL_LARGEST); /* beyond, squares have overflowed */
    double sum = 0, dscores[in->classes], dlength = 0;
    for (int i = 0; i < in->n; i++) {
        size_t first = (size_t)i * (size_t)in->classes;
        double length = in->lengths[i] > longest ? longest : (double)in->lengths[i];
        sum += image_loss(config, in->classes, in->scores + first, length, in->labels[i], margin, lambda,
                          gradient ? dscores : NULL, &dlength);
        for (int j = 0; gradient && j < in->classes; j++)
            gradient->scores[first + (size_t)j] = (real)(dscores[j] / in->n);
        if (gradient)
            gradient->lengths[i] = (real)(dlength / in->n);
    }
    return sum / in->n;
}

static const char *mistake(const void *config, const char **key) {
    *key = "angular";
    return activation_of(config)->trains_k ? "a loss trains no parameters; take sigmoid, with a fixed loss.k" : NULL;
}

/* --- Rows -------------------------------------------------------------------------------------------------------- */

#define ANGULAR_KEYS(FALLBACK)                                                                                         \
    ROW_KEY(struct angular_config, angular, "angular", FALLBACK, &angular_registry,                                    \
            "what a class's logit makes of its angle to the feature"),                                                 \
        REAL_KEY(struct angular_config, k, "k", "0.3", 0.01, 100, "sigmoid: small is near a step, large near linear")

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
        .angular = true,                                                                                               \
        .mistake = mistake,                                                                                            \
        .evaluate = angular_evaluate,                                                                                  \
        .lambda = LAMBDA,                                                                                              \
    }

ROW(w_softmax, "normalised class weights: |x| g(theta)", NULL);
ROW(a_softmax, "the same with the cosine, and a margin that multiplies the target's angle (SphereFace)", lambda_of);
ROW(ga_softmax, "the same with any activation", lambda_of);
ROW(cosface, "scale times the cosine, and a margin taken from the target's cosine", lambda_of);
ROW(arcface, "scale times the cosine, and a margin added to the target's angle", lambda_of);
