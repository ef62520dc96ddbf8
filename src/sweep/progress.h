/* How far a run of a sweep has come, by what is in its folder, whoever trains it. */
#ifndef SPHERENET_SWEEP_PROGRESS_H
#define SPHERENET_SWEEP_PROGRESS_H

#include "sweep/sweep.h"

enum run_state {
    RUN_ABSENT,     /* nothing is there */
    RUN_OTHER,      /* it began with another spec, as the message says */
    RUN_UNFINISHED, /* it is being trained, or can be resumed */
    RUN_FAILED,     /* it ended with the message; the same command tries again */
    RUN_FINISHED
};

struct test_point {
    int iteration;
    double accuracy; /* of the test images */
    double score;    /* accuracy of what chooses the best: the validation images or, without those, the test images */
    double seconds;  /* of training and tests so far */
    bool finite;     /* all losses are */
};

struct progress {
    enum run_state state;
    const char *message; /* "" where there is none */
    int count;
    struct test_point *tests;
    bool validated; /* validation images choose */
};

/* Everything lives in the sweep's arena. */
struct progress progress_read(struct sweep *sweep, const struct sweep_run *run);

/* Of the tests up to that iteration (0: of all) the best, the first of equals; -1: none was finite. */
int progress_best(const struct progress *progress, int until);

/* Whether it has been tested at that iteration or later, or will not be. 0: is finished. */
bool progress_reached(const struct progress *progress, int until);

#endif
