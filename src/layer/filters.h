/* What conv, sphere_conv and dense share: a layer whose state is one sphere_op. */
#ifndef SPHERENET_LAYER_FILTERS_H
#define SPHERENET_LAYER_FILTERS_H

#include "layer/plan.h"
#include "op/sphere_op.h"

/* Sets up the operator for a complete geometry and asks for its memory. dense: checkpoints show two dimensions. False
 * after plan_error, when the algorithm does not fit. */
bool filters_plan(struct layer *layer, struct planner *planner, const struct operator_config *config,
                  const struct conv_geometry *geometry, enum conv_algorithm algorithm, bool bias, bool dense);
void filters_forward(struct layer *layer, const struct pass *pass, real *y, const struct view *x, real *moments);
void filters_backward(struct layer *layer, const struct pass *pass, const struct gradient_target *dx,
                      const struct gradient *dy, const struct view *x);

#endif
