/* What conv, sphere_conv and dense share: a layer whose state is one sphere_op. */
#ifndef SPHERENET_LAYER_FILTERS_H
#define SPHERENET_LAYER_FILTERS_H

#include "layer/layer.h"
#include "op/sphere_op.h"

enum filters_use {
    FILTERS_CONV,
    FILTERS_DENSE,  /* checkpoints show two dimensions */
    FILTERS_CLASSES /* the same, and whatever the operator, penalties treat the weights like any other classifier's */
};

/* Sets up the operator for a complete geometry and asks for its memory. False after layer_error, when the algorithm
 * does not fit. */
bool filters_plan(struct layer *layer, struct planner *planner, const struct operator_config *config,
                  const struct conv_geometry *geometry, enum conv_choice algorithm, bool bias, enum filters_use use);
void filters_forward(struct layer *layer, const struct step *step, real *y, const struct view *x, real *moments);
void filters_backward(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                      const struct gradient *dy, const struct view *x);

#endif
