/* The network written out layer by layer. */
#include "family/family.h"

static const struct param params[] = {
    KINDS_KEY(struct layers_config, layers, "layers", NULL, &layer_registry, "from the images to the logits"),
    END_OF_KEYS,
};

static void layers_expand(struct expansion *expansion, const void *config) {
    *expansion->layers = ((const struct layers_config *)config)->layers;
    if (!expansion->layers->count)
        expansion_error(expansion, "a network needs at least one layer");
}

const struct network_type network_layers = {
    .kind = {"layers", "written out layer by layer", params, sizeof(struct layers_config)},
    .expand = layers_expand,
};
