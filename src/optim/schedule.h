/* Learning rate schedules: a factor on the optimizer's learning rate, by iteration. */
#ifndef SPHERENET_OPTIM_SCHEDULE_H
#define SPHERENET_OPTIM_SCHEDULE_H

#include <stdint.h>

#include "spec/param.h"

/* First member of every schedule's configuration. */
struct schedule_config {
    int start;  /* updates before its first one; another than 0 in a run that was resumed with a new schedule */
    int warmup; /* updates */
};

struct schedule_type {
    struct kind kind;
    /* For the update number `iteration`, from 1, out of `total`, both counted from the schedule's start. */
    double (*factor)(const void *config, int64_t iteration, int64_t total);
    /* Counted from the schedule's start, the update after which the rate changes first; NULL: it changes throughout, or
     * never. -1: it never does. */
    int64_t (*first_change)(const void *config);
    bool spans_run; /* it looks at `total`: a run of another length has other rates from the beginning */
};

extern const struct registry schedule_registry;

static inline const struct schedule_type *schedule_type_of(struct choice schedule) {
    return (const struct schedule_type *)schedule.kind; /* its first member */
}

/* For the update number `iteration`, from 1, of a run of `total`. */
double schedule_factor(struct choice schedule, int64_t iteration, int64_t total);

#endif
