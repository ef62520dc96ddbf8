/* What conv, sphere_conv and dense share: a layer whose state is one sphere_op. */
#ifndef SPHERENET_LAYER_FILTERS_H
#define SPHERENET_LAYER_FILTERS_H

#include "layer/plan.h"
#include "op/sphere_op.h"

/* Sets up the operator for a complete geometry and asks for its memory. dense: checkpoints show two dimensions. */
void filters_plan(struct layer *layer, struct planner *planner, const struct operator_config *config,
                  struct conv_geometry geometry, bool bias, bool dense);
void filters_forward(struct layer *layer, const struct pass *pass, real *y, const real *x);
void filters_backward(struct layer *layer, const struct pass *pass, real *dx, const real *dy, const real *x,
                      const real *y);

#endif
