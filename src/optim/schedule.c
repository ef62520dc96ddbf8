#include "optim/schedule.h"

#include <math.h>

struct warmup {
    int iterations;
};

#define WARMUP_PARAM                                                                                                   \
    {                                                                                                                  \
        .key = "warmup", .type = PARAM_INT, .offset = offsetof(struct warmup, iterations), .fallback = "0", .min = 0,  \
        .max = 1e9, .help = "iterations over which the rate rises from 0"                                              \
    }

/* Rises linearly and is 1 from iteration `iterations` on. */
static double warmup_factor(const struct warmup *warmup, int64_t iteration) {
    return iteration < warmup->iterations ? (double)(iteration + 1) / (warmup->iterations + 1) : 1;
}

/* --- constant ---------------------------------------------------------------------------------------------------- */

static const struct param constant_params[] = {WARMUP_PARAM, {.type = PARAM_END}};

static double constant_factor(const void *config, int64_t iteration, int64_t total) {
    (void)total;
    return warmup_factor(config, iteration);
}

const struct schedule_type schedule_constant = {
    .kind = {"constant", "the same rate throughout", constant_params, sizeof(struct warmup)},
    .factor = constant_factor,
};

/* --- step -------------------------------------------------------------------------------------------------------- */

struct step_config {
    struct warmup warmup;
    struct int_list milestones;
    double factor;
};

static const struct param step_params[] = {
    {.key = "milestones",
     .type = PARAM_INTS,
     .offset = offsetof(struct step_config, milestones),
     .min = 0,
     .max = 2e9,
     .help = "iterations at which the rate is multiplied by factor"},
    {.key = "factor",
     .type = PARAM_REAL,
     .offset = offsetof(struct step_config, factor),
     .fallback = "0.1",
     .min = 1e-6,
     .max = 1,
     .help = "what the rate is multiplied by"},
    WARMUP_PARAM,
    {.type = PARAM_END},
};

static double step_factor(const void *config, int64_t iteration, int64_t total) {
    (void)total;
    const struct step_config *step = config;
    double factor = warmup_factor(&step->warmup, iteration);
    for (int i = 0; i < step->milestones.count; i++)
        if (iteration >= step->milestones.values[i])
            factor *= step->factor;
    return factor;
}

const struct schedule_type schedule_step = {
    .kind = {"step", "divided at given iterations", step_params, sizeof(struct step_config)},
    .factor = step_factor,
};

/* --- cosine ------------------------------------------------------------------------------------------------------ */

struct cosine_config {
    struct warmup warmup;
    double final_factor;
};

static const struct param cosine_params[] = {
    {.key = "final_factor",
     .type = PARAM_REAL,
     .offset = offsetof(struct cosine_config, final_factor),
     .fallback = "0",
     .min = 0,
     .max = 1,
     .help = "what is left of the rate at the end"},
    WARMUP_PARAM,
    {.type = PARAM_END},
};

static double cosine_factor(const void *config, int64_t iteration, int64_t total) {
    const struct cosine_config *cosine = config;
    int64_t warmup = cosine->warmup.iterations;
    if (iteration < warmup || total <= warmup)
        return warmup_factor(&cosine->warmup, iteration);
    double progress = (double)(iteration - warmup) / (double)(total - warmup);
    double fall = 0.5 * (1 + cos(3.14159265358979323846 * progress));
    return cosine->final_factor + (1 - cosine->final_factor) * fall;
}

const struct schedule_type schedule_cosine = {
    .kind = {"cosine", "half a cosine from 1 down to final_factor, after warm-up", cosine_params,
             sizeof(struct cosine_config)},
    .factor = cosine_factor,
};
