#include "loss/cross_entropy.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

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

/* With a_j = t_j p_j / (p_j + floor), which is t_j without a floor: dloss/dlogit_i = p_i sum_j a_j - a_i. */
double cross_entropy(const struct cross_entropy *config, int classes, double *dlogits, const double *logits,
                     int label) {
    assert(classes > 0);
    double total = log_sum_exp(logits, classes), floor = config->probability_floor;
    double even = config->label_smoothing / classes, loss = 0, sum = 0;
    double *p = mem_alloc(2 * (size_t)classes * sizeof *p), *a = p + classes;
    for (int j = 0; j < classes; j++) {
        double t = even + (j == label ? 1 - config->label_smoothing : 0);
        double log_probability = logits[j] - total;
        p[j] = exp(log_probability);
        a[j] = floor > 0 ? t * p[j] / (p[j] + floor) : t;
        sum += a[j];
        if (t > 0)
            loss -= t * (floor > 0 ? log(p[j] + floor) : log_probability);
    }
    for (int j = 0; dlogits && j < classes; j++)
        dlogits[j] = p[j] * sum - a[j];
    free(p);
    return loss;
}
