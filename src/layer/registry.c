/* The layers a spec can name: one line each, in the order in which help shows them. */
#include "layer/layer.h"

#define LAYERS(ROW)                                                                                                    \
    ROW(conv)                                                                                                          \
    ROW(sphere_conv)                                                                                                   \
    ROW(dense)                                                                                                         \
    ROW(batch_norm)                                                                                                    \
    ROW(sphere_norm)                                                                                                   \
    ROW(relu)                                                                                                          \
    ROW(max_pool)                                                                                                      \
    ROW(avg_pool)                                                                                                      \
    ROW(dropout)                                                                                                       \
    ROW(residual)                                                                                                      \
    ROW(stochastic_depth)                                                                                              \
    ROW(flatten)

#define DECLARE(NAME) extern const struct layer_type layer_##NAME;
#define KIND(NAME) &layer_##NAME.kind,

LAYERS(DECLARE)

static const struct kind *const rows[] = {LAYERS(KIND) NULL};

const struct registry layer_registry = {.noun = "layer", .rows = rows};

const struct param layer_name_params[] = {LAYER_NAME_PARAM, END_OF_KEYS};
