/* A job array of Slurm that trains runs of a sweep. */
#ifndef SPHERENET_SWEEP_SLURM_H
#define SPHERENET_SWEEP_SLURM_H

#include "sweep/sweep.h"

/* The script for sbatch; task i trains runs[i - 1]. Whatever ends a task, the run goes on where it was when the task is
 * queued again: Slurm does that after a preemption, `scontrol requeue` and a lost node, the script itself when the time
 * limit is near. threads: of each task. program: the word that starts it. */
void slurm_script(struct text *out, const struct sweep *sweep, const struct sweep_run *const *runs, int count,
                  int threads, const char *program);

#endif
