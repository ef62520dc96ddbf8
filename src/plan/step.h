/* What a forward or backward pass knows of where it stands: the same for operators, layers, losses and optimizers.
 *
 * Everything random is a function of seed, position and layer (base/rng.h), and everything annealed one of the
 * iteration; so a resumed run, and one on another number of threads, computes the same. */
#ifndef SPHERENET_PLAN_STEP_H
#define SPHERENET_PLAN_STEP_H

#include <stdint.h>

#include "base/real.h"
#include "process/group.h"

enum step_mode { STEP_TRAIN, STEP_EVALUATE };

struct profile;

struct step {
    int n;                  /* images of this batch that are computed here, at most the planned number */
    struct batch_part part; /* which of the whole batch they are */
    enum step_mode mode;
    uint64_t seed;       /* the run's */
    int64_t iteration;   /* number of the update that is being computed, from 1; 0 in evaluation */
    int64_t first_image; /* training images that the run took before those that are computed here */
    int averaged;        /* batches over which batch normalisation averages anew, this one included; 0: it does not */
    int threads;         /* as many as memory was planned for */
    real *scratch;       /* as much as the layer asked for, shared by all threads */
    struct profile *profile; /* NULL: times are not measured */
};

/* Images of the whole batch. */
static inline int step_whole(const struct step *step) {
    return part_whole(&step->part, step->n);
}

#endif
