/* Random search and successive halving.
 *
 * A trial's values are functions of the search's seed, the trial's number and the place of the key among the ranges, so
 * that the same file gives the same trials, and more trials leave those before as they were.
 *
 * Halving trains all trials for `from` iterations, the best of them, one of `factor`, for `factor` times as many, and
 * so on, until what is left is trained to its end. The runs are those of the spec, stopped early and resumed, so the
 * last one has the bits of a run that was never stopped. A trial's score is its best accuracy so far, on validation
 * images where there are any, as the mean over the seeds; in each column trials compete with each other. */
#ifndef SPHERENET_SWEEP_SEARCH_H
#define SPHERENET_SWEEP_SEARCH_H

#include "sweep/progress.h"
#include "sweep/sweep.h"

/* Makes the trials the rows of the sweep. Mistakes in the ranges add diagnostics. */
void search_draw(struct sweep *sweep, struct diagnostics *diags);

/* Says of each run how far it is to be trained now, by what all have come to; progress: [run_count]. Nothing changes
 * where nothing is searched by halving. */
void search_plan(struct sweep *sweep, const struct progress *progress);

#endif
