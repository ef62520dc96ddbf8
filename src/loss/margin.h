/* What a loss makes of the angle between a feature and its own class, as a function of c = cos theta.
 *
 * A margin m asks more of the target's logit than of the others. With an integer m that multiplies the angle (paper,
 * section 3; SphereFace), g at m theta is continued so that it keeps falling over all of [0, pi]:
 *
 *     psi(theta) = g(m theta - p pi) - 2p,   p = floor(m theta / pi)
 *
 * and the same continuation serves a margin that is added to the angle, g(theta + m). */
#ifndef SPHERENET_LOSS_MARGIN_H
#define SPHERENET_LOSS_MARGIN_H

#include <stdint.h>

#include "op/angular.h"

/* A value and its derivatives with respect to c and the shape. */
struct of_cosine {
    double value, slope, shape_slope;
};

/* g. Of the cosine activation exact for every c of [-1, 1]; of the others c is clamped as in op/angular.h, and the
 * slope there is the one at the clamp. */
struct of_cosine margin_none(const struct angular_type *g, double shape, double c);

/* psi. Of the cosine activation a polynomial, exact for every c of [-1, 1]. Slopes jump at multiples of pi/m where g's
 * slopes at 0 and pi differ: with the activations there are, nowhere. */
struct of_cosine margin_times(const struct angular_type *g, double shape, int margin, double c);

/* g at theta + margin, 0 <= margin <= pi; clamped. */
struct of_cosine margin_plus(const struct angular_type *g, double shape, double margin, double c);

/* lambda of the annealing, SphereFace's: max(minimum, base (1 + gamma iteration)^-power), with which the target's logit
 * is (lambda plain + with margin) / (1 + lambda). */
struct annealing {
    double base, gamma, power, minimum;
};

double annealing_lambda(const struct annealing *annealing, int64_t iteration);

#endif
