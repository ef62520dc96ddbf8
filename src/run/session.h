/* A run from beginning to end, or from its newest checkpoint on. */
#ifndef SPHERENET_RUN_SESSION_H
#define SPHERENET_RUN_SESSION_H

#include "run/run_dir.h"
#include "train/experiment.h"

struct session_options {
    const char *run_dir; /* NULL: runs/NAME */
    enum run_mode mode;
    bool quiet;
    int until; /* iteration after which to end, with a checkpoint; 0: the spec alone says when */
};

enum session_end {
    SESSION_DONE,        /* as far as the spec or `until` says */
    SESSION_INTERRUPTED, /* by the signal interrupt_signal(), after a checkpoint */
    SESSION_FAILED,      /* err says why */
};

/* Trains, tests and writes checkpoints as the experiment says. Nothing of an earlier run is touched before data and
 * network stand. Takes signals as run/interrupt.h says, from its beginning to the end of the process. */
enum session_end session_run(const struct experiment *experiment, const struct session_options *options,
                             struct error *err);

#endif
