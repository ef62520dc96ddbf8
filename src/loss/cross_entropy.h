/* Cross entropy of softmax probabilities, with smoothed labels and a floor under the probabilities (as in the reference
 * code of the paper):
 *
 *     loss = - sum_j t_j log(p_j + floor),   t_j = smoothing / classes, and 1 - smoothing more for the label. */
#ifndef SPHERENET_LOSS_CROSS_ENTROPY_H
#define SPHERENET_LOSS_CROSS_ENTROPY_H

#include "spec/param.h"

struct cross_entropy {
    double label_smoothing, probability_floor;
};

extern const struct param cross_entropy_params[];

/* The loss of one image's logits[classes]. dlogits: its gradient, or NULL. May be logits. */
double cross_entropy(const struct cross_entropy *config, int classes, double *dlogits, const double *logits, int label);

#endif
