/* The losses a spec can name: one line each. */
#include "loss/loss.h"

extern const struct loss_type loss_softmax;

static const struct kind *const rows[] = {&loss_softmax.kind, NULL};

const struct registry loss_registry = {.noun = "loss", .rows = rows};
