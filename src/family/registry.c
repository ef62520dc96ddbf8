/* The networks a spec can name: one line each. */
#include "family/family.h"

extern const struct network_type network_plain, network_resnet, network_imagenet_plain, network_imagenet_resnet,
    network_layers;

static const struct kind *const rows[] = {
    &network_plain.kind,           &network_resnet.kind, &network_imagenet_plain.kind,
    &network_imagenet_resnet.kind, &network_layers.kind, NULL,
};

const struct registry network_registry = {.noun = "network", .rows = rows};
