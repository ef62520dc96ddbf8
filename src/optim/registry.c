/* The optimizers and schedules a spec can name: one line each. */
#include "optim/optimizer.h"
#include "optim/schedule.h"

extern const struct optimizer_type optimizer_adam, optimizer_sgd;
extern const struct schedule_type schedule_constant, schedule_step, schedule_cosine;

static const struct kind *const optimizers[] = {&optimizer_adam.kind, &optimizer_sgd.kind, NULL};
static const struct kind *const schedules[] = {&schedule_constant.kind, &schedule_step.kind, &schedule_cosine.kind,
                                               NULL};

const struct registry optimizer_registry = {.noun = "optimizer", .rows = optimizers};
const struct registry schedule_registry = {.noun = "schedule", .rows = schedules};
