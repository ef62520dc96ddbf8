#include "run/unreached.h"

#include <inttypes.h>
#include <math.h>

#include "optim/optimizer.h"
#include "optim/schedule.h"

/* Iterations of the schedule: those from where it starts. */
static int64_t scheduled(const struct experiment *experiment) {
    return experiment->train.iterations - ((const struct schedule_config *)experiment->schedule.config)->start;
}

static void warn_of_warmup(struct log *log, const struct experiment *experiment) {
    const struct optimizer_config *optimizer = experiment->optimizer.config;
    int warmup = ((const struct schedule_config *)experiment->schedule.config)->warmup,
        total = experiment->train.iterations;
    if (warmup >= scheduled(experiment))
        log_warning(log,
                    "schedule.warmup is %d, and there are %" PRId64
                    " iterations: the learning rate never rises to %.4g, "
                    "and ends at %.4g. Make the warm-up shorter, or the run longer",
                    warmup, scheduled(experiment), optimizer->learning_rate,
                    optimizer->learning_rate * schedule_factor(experiment->schedule, total, total));
}

static void warn_of_milestones(struct log *log, const struct experiment *experiment) {
    const struct schedule_type *type = schedule_type_of(experiment->schedule);
    int64_t first = type->first_change ? type->first_change(experiment->schedule.config) : -1;
    if (first >= scheduled(experiment))
        log_warning(log,
                    "schedule.milestones begin at %" PRId64 ", and there are %" PRId64 " iterations: the learning rate "
                    "never falls. Give milestones within the run, or schedule: cosine, which spans it",
                    first, scheduled(experiment));
}

/* With which lambda is `goal` at that iteration. */
static double gamma_for(const struct annealing *annealing, double goal, int64_t iteration) {
    return (pow(annealing->base / goal, 1 / annealing->power) - 1) / (double)iteration;
}

/* A lambda that the spec keeps where it is, with a gamma or power of 0, is meant so. */
static void warn_of_annealing(struct log *log, const struct experiment *experiment) {
    const struct loss_type *type = loss_type_of(experiment->loss);
    const struct annealing *annealing = type->annealing ? type->annealing(experiment->loss.config) : NULL;
    if (!annealing || !type->has_margin(experiment->loss.config) || !(annealing->gamma > 0) || !(annealing->power > 0))
        return;
    int total = experiment->train.iterations;
    double last = annealing_lambda(annealing, total), goal = annealing->minimum > 0 ? annealing->minimum : 1;
    if (last > 2 * goal)
        log_warning(
            log,
            "loss.annealing: lambda is still %.4g at the last iteration, %d, so the margin of %s hardly counts. "
            "With a gamma of %.3g it would be %.4g by half of the run",
            last, total, type->kind.name, gamma_for(annealing, goal, (total + 1) / 2), goal);
}

void unreached_warn(struct log *log, const struct experiment *experiment) {
    warn_of_warmup(log, experiment);
    warn_of_milestones(log, experiment);
    warn_of_annealing(log, experiment);
}
