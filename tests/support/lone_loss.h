/* A loss without a network: on scores, lengths and labels of a test's own. */
#ifndef SPHERENET_TESTS_SUPPORT_LONE_LOSS_H
#define SPHERENET_TESTS_SUPPORT_LONE_LOSS_H

#include "loss/loss.h"

struct loss_input {
    int n, classes;
    const real *scores;  /* [n][classes]: scores, or cosines */
    const real *lengths; /* [n]; NULL: not looked at */
    const int32_t *labels;
    const real *own; /* the values of the first tensor that the loss owns, where it owns one */
};

/* Of the mean loss, in the places of struct loss_input. NULL: not looked at. */
struct loss_gradient {
    real *scores, *lengths, *own;
};

/* The mean loss in a training step of that number, from 1; 0: as in a test. gradient: NULL: not wanted. */
double lone_loss(struct choice loss, const struct loss_input *in, int64_t iteration,
                 const struct loss_gradient *gradient);

/* The same on so many threads. */
double lone_loss_on(int threads, struct choice loss, const struct loss_input *in, int64_t iteration,
                    const struct loss_gradient *gradient);

#endif
