/* How long every layer takes, for whoever wants to know. A residual unit's time is that of its addition; the layers
 * within it have their own, so that the times of all layers add up to the pass. */
#ifndef SPHERENET_LAYER_PROFILE_H
#define SPHERENET_LAYER_PROFILE_H

#include "base/clock.h"
#include "layer/layer.h"

enum pass_direction { PASS_FORWARD, PASS_BACKWARD, PASS_DIRECTIONS };

struct profile {
    double last;                        /* clock when the pass began, then when the latest layer ended */
    double (*seconds)[PASS_DIRECTIONS]; /* of the layer of that number, all passes added; the caller's memory */
};

/* To be called when a pass begins. profile NULL: nothing is measured, here and below. */
static inline void profile_begin(struct profile *profile) {
    if (profile)
        profile->last = clock_seconds();
}

/* To be called when a layer ends: the time since the last call is its. */
static inline void profile_add(struct profile *profile, const struct layer *layer, enum pass_direction direction) {
    if (profile)
        profile->seconds[layer->number][direction] += clock_lap(&profile->last);
}

#endif
