/* SphereFace2 (Wen et al. 2022, "SphereFace2: Binary Classification is All You Need for Deep Face Recognition"):
 * instead of one choice among all classes, for each class whether the image is of it. Of one image, of class y:
 *
 *     balance / s log(1 + exp(-s (g(cos theta_y) - m) - b))
 *         + (1 - balance) / s sum over j != y of log(1 + exp(s (g(cos theta_j) + m) + b))
 *
 * with g(z) = 2 ((z + 1) / 2)^t - 1, which spreads the cosines: those of high-dimensional features are all near 0. b is
 * one number for all classes, trained with the weights. Names in the paper and in the authors' code: s is r, balance
 * lambda or alpha, loss_weight lw. */
#ifndef SPHERENET_LOSS_SPHEREFACE2_H
#define SPHERENET_LOSS_SPHEREFACE2_H

#include "loss/loss.h"

struct sphereface2_config {
    double scale, margin, exponent, balance, loss_weight;
    bool detach;
};

#endif
