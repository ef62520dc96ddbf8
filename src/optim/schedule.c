#include "optim/schedule.h"

#include <math.h>

#define COMMON_PARAMS                                                                                                  \
    INT_KEY(struct schedule_config, warmup, "warmup", "0", 0, 1e9, "iterations over which the rate rises from 0"),     \
        INT_KEY(struct schedule_config, start, "start", "0", 0, 2e9,                                                   \
                "iteration that the schedule counts from, where a resumed run gets a new one; else 0")

/* Rises linearly over the first updates, and is 1 after `iterations` of them. */
static double warmup_factor(int iterations, int64_t iteration) {
    return iteration <= iterations ? (double)iteration / (iterations + 1) : 1;
}

double schedule_factor(struct choice schedule, int64_t iteration, int64_t total) {
    const struct schedule_config *config = schedule.config;
    int64_t start = config->start < iteration ? config->start : iteration - 1;
    return schedule_type_of(schedule)->factor(config, iteration - start, total - start);
}

/* --- constant ---------------------------------------------------------------------------------------------------- */

static const struct param constant_params[] = {COMMON_PARAMS, END_OF_KEYS};

static double constant_factor(const void *config, int64_t iteration, int64_t total) {
    (void)total;
    return warmup_factor(((const struct schedule_config *)config)->warmup, iteration);
}

const struct schedule_type schedule_constant = {
    .kind = {"constant", "the same rate throughout", constant_params, sizeof(struct schedule_config)},
    .factor = constant_factor,
};

/* --- step -------------------------------------------------------------------------------------------------------- */

struct step_config {
    struct schedule_config common;
    struct int_list milestones;
    double factor;
};

static const struct param step_params[] = {
    INTS_KEY(struct step_config, milestones, "milestones", NULL, 0, 2e9,
             "iterations after which the rate is multiplied by factor"),
    REAL_KEY(struct step_config, factor, "factor", "0.1", 1e-6, 1, "what the rate is multiplied by"),
    COMMON_PARAMS,
    END_OF_KEYS,
};

static double step_factor(const void *config, int64_t iteration, int64_t total) {
    (void)total;
    const struct step_config *step = config;
    double factor = warmup_factor(step->common.warmup, iteration);
    for (int i = 0; i < step->milestones.count; i++)
        if (iteration > step->milestones.values[i])
            factor *= step->factor;
    return factor;
}

static int64_t step_first_change(const void *config) {
    const struct step_config *step = config;
    int64_t first = -1;
    for (int i = 0; i < step->milestones.count && step->factor != 1; i++)
        first = first < 0 || step->milestones.values[i] < first ? step->milestones.values[i] : first;
    return first;
}

const struct schedule_type schedule_step = {
    .kind = {"step", "divided at given iterations", step_params, sizeof(struct step_config)},
    .factor = step_factor,
    .first_change = step_first_change,
};

/* --- cosine ------------------------------------------------------------------------------------------------------ */

struct cosine_config {
    struct schedule_config common;
    double final_factor;
};

static const struct param cosine_params[] = {
    REAL_KEY(struct cosine_config, final_factor, "final_factor", "0", 0, 1, "what is left of the rate at the end"),
    COMMON_PARAMS,
    END_OF_KEYS,
};

static double cosine_factor(const void *config, int64_t iteration, int64_t total) {
    const struct cosine_config *cosine = config;
    int64_t warmup = cosine->common.warmup;
    if (iteration <= warmup || total <= warmup)
        return warmup_factor(cosine->common.warmup, iteration);
    double progress = fmin(1, (double)(iteration - 1 - warmup) / (double)(total - warmup));
    double fall = 0.5 * (1 + cos(3.14159265358979323846 * progress));
    return cosine->final_factor + (1 - cosine->final_factor) * fall;
}

const struct schedule_type schedule_cosine = {
    .kind = {"cosine", "half a cosine from 1 down to final_factor, after warm-up", cosine_params,
             sizeof(struct cosine_config)},
    .factor = cosine_factor,
    .spans_run = true,
};
