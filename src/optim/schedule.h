/* Learning rate schedules: a factor on the optimizer's learning rate, by iteration. */
#ifndef SPHERENET_OPTIM_SCHEDULE_H
#define SPHERENET_OPTIM_SCHEDULE_H

#include <stdint.h>

#include "spec/param.h"

struct schedule_type {
    struct kind kind;
    /* For the update number `iteration`, from 1, out of `total`. */
    double (*factor)(const void *config, int64_t iteration, int64_t total);
};

extern const struct registry schedule_registry;

static inline double schedule_factor(struct choice schedule, int64_t iteration, int64_t total) {
    return ((const struct schedule_type *)schedule.kind)->factor(schedule.config, iteration, total);
}

#endif
