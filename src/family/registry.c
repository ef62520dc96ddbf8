/* The networks a spec can name: one line each. */
#include "family/family.h"

#define NETWORKS(ROW)                                                                                                  \
    ROW(plain)                                                                                                         \
    ROW(resnet)                                                                                                        \
    ROW(imagenet_plain)                                                                                                \
    ROW(imagenet_resnet)                                                                                               \
    ROW(layers)

#define DECLARE(NAME) extern const struct network_type network_##NAME;
#define KIND(NAME) &network_##NAME.kind,

NETWORKS(DECLARE)

static const struct kind *const rows[] = {NETWORKS(KIND) NULL};

const struct registry network_registry = {.noun = "network", .rows = rows};
