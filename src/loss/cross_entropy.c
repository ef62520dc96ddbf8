#include "loss/cross_entropy.h"

#include <assert.h>
#include <math.h>

const struct param cross_entropy_params[] = {
    REAL_KEY(struct cross_entropy, label_smoothing, "label_smoothing", "0", 0, 1,
             "part of the target spread evenly over all classes"),
    REAL_KEY(struct cross_entropy, probability_floor, "probability_floor", "0", 0, 0.1,
             "added to each probability before its logarithm"),
    END_OF_KEYS,
};

/* The logarithm of sum_j exp(logit_j). */
static double log_sum_exp(const double *logits, int classes) {
    double largest = logits[0], sum = 0;
    for (int j = 1; j < classes; j++)
        largest = fmax(largest, logits[j]);
    for (int j = 0; j < classes; j++)
        sum += exp(logits[j] - largest);
    return largest + log(sum);
}

/* What class j's probability is to be. */
static double target(const struct cross_entropy *config, int classes, int class, int label) {
    return config->label_smoothing / classes + (class == label ? 1 - config->label_smoothing : 0);
}

/* a_j of the gradient. */
static double attraction(double target, double p, double floor) {
    return floor > 0 ? target * p / (p + floor) : target;
}

/* With a_j = t_j p_j / (p_j + floor), which is t_j without a floor: dloss/dlogit_i = p_i sum_j a_j - a_i. */
double cross_entropy(const struct cross_entropy *config, int classes, double *dlogits, const double *logits,
                     int label) {
    assert(classes > 0);
    double total = log_sum_exp(logits, classes), floor = config->probability_floor;
    double loss = 0, sum = 0;
    for (int j = 0; j < classes; j++) {
        double t = target(config, classes, j, label), log_probability = logits[j] - total, p = exp(log_probability);
        sum += attraction(t, p, floor);
        if (t > 0)
            loss -= t * (floor > 0 ? log(p + floor) : log_probability);
        if (dlogits)
            dlogits[j] = p;
    }
    if (!dlogits)
        return loss;
    for (int j = 0; j < classes; j++) {
        double p = dlogits[j];
        dlogits[j] = p * sum - attraction(target(config, classes, j, label), p, floor);
    }
    return loss;
}
