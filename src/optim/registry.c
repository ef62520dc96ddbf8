/* The optimizers and schedules a spec can name: one line each. */
#include "optim/optimizer.h"
#include "optim/schedule.h"

#define OPTIMIZERS(ROW)                                                                                                \
    ROW(adam)                                                                                                          \
    ROW(adamw)                                                                                                         \
    ROW(sgd)

#define SCHEDULES(ROW)                                                                                                 \
    ROW(constant)                                                                                                      \
    ROW(step)                                                                                                          \
    ROW(cosine)

#define DECLARE_OPTIMIZER(NAME) extern const struct optimizer_type optimizer_##NAME;
#define DECLARE_SCHEDULE(NAME) extern const struct schedule_type schedule_##NAME;
OPTIMIZERS(DECLARE_OPTIMIZER)
SCHEDULES(DECLARE_SCHEDULE)

#define OPTIMIZER_ROW(NAME) &optimizer_##NAME.kind,
#define SCHEDULE_ROW(NAME) &schedule_##NAME.kind,
static const struct kind *const optimizers[] = {OPTIMIZERS(OPTIMIZER_ROW) NULL};
static const struct kind *const schedules[] = {SCHEDULES(SCHEDULE_ROW) NULL};

const struct registry optimizer_registry = {.noun = "optimizer", .rows = optimizers};
const struct registry schedule_registry = {.noun = "schedule", .rows = schedules};
