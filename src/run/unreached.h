/* Settings that a run of its length never reaches, as where a spec was made for a longer one. */
#ifndef SPHERENET_RUN_UNREACHED_H
#define SPHERENET_RUN_UNREACHED_H

#include "run/log.h"
#include "train/experiment.h"

/* A warning for each: a warm-up that the run does not outlast; milestones of which none lies within it; a margin whose
 * annealing (loss/margin.h) is far from its minimum at the end. */
void unreached_warn(struct log *log, const struct experiment *experiment);

#endif
