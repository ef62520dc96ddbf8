/* The tables of a sweep, finished or not. */
#ifndef SPHERENET_SWEEP_TABLE_H
#define SPHERENET_SWEEP_TABLE_H

#include "sweep/progress.h"
#include "sweep/sweep.h"

/* Accuracies by row and column, at the last test and at the best, and what each row and column sets; Markdown.
 * progress: [run_count]. */
void table_markdown(struct text *out, const struct sweep *sweep, const struct progress *progress);

/* A line for each run. */
void table_csv(struct text *out, const struct sweep *sweep, const struct progress *progress);

#endif
