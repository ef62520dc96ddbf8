/* Softmax cross entropy, with smoothed labels and a floor under the probabilities:
 *
 *     loss = - sum_j t_j log(p_j + floor),   t_j = smoothing / classes, and 1 - smoothing more for the label.
 *
 * With a_j = t_j p_j / (p_j + floor), which is t_j without a floor: dloss/dlogit_i = p_i sum_j a_j - a_i. */
#include <math.h>

#include "loss/loss.h"

struct softmax_config {
    double label_smoothing, probability_floor;
};

static const struct param params[] = {
    REAL_KEY(struct softmax_config, label_smoothing, "label_smoothing", "0", 0, 1,
             "part of the target spread evenly over all classes"),
    REAL_KEY(struct softmax_config, probability_floor, "probability_floor", "0", 0, 0.1,
             "added to each probability before its logarithm"),
    END_OF_KEYS,
};

/* The logarithm of sum_j exp(logit_j). */
static double log_sum_exp(const real *logits, int classes) {
    double largest = (double)logits[0], sum = 0;
    for (int j = 1; j < classes; j++)
        largest = fmax(largest, (double)logits[j]);
    for (int j = 0; j < classes; j++)
        sum += exp((double)logits[j] - largest);
    return largest + log(sum);
}

static double target(const struct softmax_config *config, int classes, int j, int label) {
    return config->label_smoothing / classes + (j == label ? 1 - config->label_smoothing : 0);
}

static double image_loss(const struct softmax_config *config, int classes, const real *logits, int label) {
    double total = log_sum_exp(logits, classes), loss = 0;
    for (int j = 0; j < classes; j++) {
        double log_probability = (double)logits[j] - total;
        if (config->probability_floor > 0)
            log_probability = log(exp(log_probability) + config->probability_floor);
        double t = target(config, classes, j, label);
        if (t > 0)
            loss -= t * log_probability;
    }
    return loss;
}

static void image_gradient(const struct softmax_config *config, int n, int classes, real *dlogits, const real *logits,
                           int label) {
    double total = log_sum_exp(logits, classes), sum = 0;
    for (int j = 0; j < classes; j++) {
        double p = exp((double)logits[j] - total), t = target(config, classes, j, label);
        double a = config->probability_floor > 0 ? t * p / (p + config->probability_floor) : t;
        dlogits[j] = (real)a;
        sum += a;
    }
    for (int j = 0; j < classes; j++)
        dlogits[j] = (real)((exp((double)logits[j] - total) * sum - (double)dlogits[j]) / n);
}

static double softmax_evaluate(const void *config, int n, int classes, real *dlogits, const real *logits,
                               const uint8_t *labels) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        size_t first = (size_t)i * (size_t)classes;
        sum += image_loss(config, classes, logits + first, labels[i]);
        if (dlogits)
            image_gradient(config, n, classes, dlogits + first, logits + first, labels[i]);
    }
    return sum / n;
}

const struct loss_type loss_softmax = {
    .kind = {"softmax", "softmax cross entropy", params, sizeof(struct softmax_config)},
    .evaluate = softmax_evaluate,
};
