/* The losses a spec can name: one line each. */
#include "loss/loss.h"

#define LOSSES(ROW)                                                                                                    \
    ROW(softmax)                                                                                                       \
    ROW(w_softmax)                                                                                                     \
    ROW(a_softmax)                                                                                                     \
    ROW(ga_softmax)                                                                                                    \
    ROW(cosface)                                                                                                       \
    ROW(arcface)                                                                                                       \
    ROW(sphereface2)

#define DECLARE(NAME) extern const struct loss_type loss_##NAME;
#define LIST(NAME) &loss_##NAME.kind,

LOSSES(DECLARE)

static const struct kind *const rows[] = {LOSSES(LIST) NULL};

const struct registry loss_registry = {.noun = "loss", .rows = rows};
