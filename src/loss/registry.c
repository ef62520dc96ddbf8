/* The losses a spec can name: one line each. */
#include "loss/loss.h"

extern const struct loss_type loss_softmax, loss_w_softmax, loss_a_softmax, loss_ga_softmax, loss_cosface, loss_arcface;

static const struct kind *const rows[] = {
    &loss_softmax.kind,
    &loss_w_softmax.kind,
    &loss_a_softmax.kind,
    &loss_ga_softmax.kind,
    &loss_cosface.kind,
    &loss_arcface.kind,
    NULL,
};

const struct registry loss_registry = {.noun = "loss", .rows = rows};
