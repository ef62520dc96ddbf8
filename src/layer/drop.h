/* What the layers that drop at random share: in training values are multiplied by 0 with probability `rate`, else by
 * 1 / (1 - rate), so that evaluation takes them as they are.
 *
 * What an image drops is a function of the run's seed, the layer and the image's position in the run: the stream of
 * (seed, purpose, position, layer number) is drawn once forward and again backward (base/rng.h). */
#ifndef SPHERENET_LAYER_DROP_H
#define SPHERENET_LAYER_DROP_H

#include "base/rng.h"
#include "layer/layer.h"

struct drop_config {
    struct layer_config layer;
    double rate;
};

struct drop_kind {
    enum rng_purpose purpose;
    /* Multiplies values of an image, which come in order. */
    void (*drop)(struct rng *rng, double rate, real *values, int count);
};

bool drop_plan(struct layer *layer, struct planner *planner);
void drop_forward(const struct drop_kind *kind, const struct layer *layer, const struct step *step, real *y,
                  const struct view *x);
void drop_backward(const struct drop_kind *kind, const struct layer *layer, const struct step *step,
                   const struct gradient_target *dx, const struct gradient *dy, const struct view *x);

#endif
