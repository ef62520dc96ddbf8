/* Angular losses: softmax cross entropy of s g(theta_j), where s is the feature's length or a fixed scale, and while
 * training the target's logit has a margin.
 *
 *     w_softmax, a_softmax, ga_softmax    method of the paper, section 3; a_softmax is SphereFace's
 *     cosface                             s (cos theta_y - m): Wang et al. 2018, "CosFace"
 *     arcface                             s cos(theta_y + m), beyond pi continued as s (-cos(theta_y + m) - 2):
 *                                         Deng et al. 2019, "ArcFace" */
#ifndef SPHERENET_LOSS_ANGULAR_H
#define SPHERENET_LOSS_ANGULAR_H

#include "loss/cross_entropy.h"
#include "loss/loss.h"
#include "loss/margin.h"

/* Of all of them; keys that a row does not have stay 0. */
struct angular_config {
    struct choice angular; /* none: cosine */
    struct cross_entropy cross_entropy;
    double scale;       /* of all logits; 0: the feature's length */
    int times;          /* margin that multiplies the angle; 0: none */
    double plus, minus; /* margins added to the angle, and taken from the cosine */
    struct annealing annealing;
};

/* The activation of such a loss, once it is planned. */
const struct angular *angular_loss_activation(const struct loss *loss);

#endif
