/* The plain networks for small images (method: CNN-3 to CNN-60 and their SphereNets): three stages of n 3x3
 * convolutions, each closed by 2x2 max pooling, a feature layer over what is left of the image, the classifier. */
#include "family/family.h"

enum { STAGES = 3 };

struct plain_config {
    struct family_config family;
    int depth;
    struct int_list widths;
    int features;
    bool normalize_features;
};

static const struct param params[] = {
    INT_KEY(struct plain_config, depth, "depth", NULL, 3, 300,
            "convolutions in all, a multiple of 3 (3, 9, 18, 45, 60 in the paper)"),
    INTS_KEY(struct plain_config, widths, "widths", "[64, 128, 256]", 1, 65536, "filters of the three stages"),
    INT_KEY(struct plain_config, features, "features", "256", 0, 65536, "units of the feature layer; 0: none"),
    BOOL_KEY(struct plain_config, normalize_features, "normalize_features", "false",
             "normalise the features as the convolutions are"),
    INCLUDED_KEYS(struct plain_config, family, family_params),
    END_OF_KEYS,
};

static void add_features(struct expansion *expansion, const struct plain_config *plain) {
    struct dense_config *feature = EXPANSION_ADD(expansion, expansion->layers, dense, "feature");
    feature->units = plain->features;
    feature->bias = plain->family.bias;
    feature->operation = plain->family.operation;
    if (plain->normalize_features)
        expansion_normalization(expansion, expansion->layers, &plain->family, "feature");
}

static void plain_expand(struct expansion *expansion, const void *config) {
    const struct plain_config *plain = config;
    struct arena *arena = expansion->arena;
    if (plain->depth % STAGES)
        expansion_error(expansion, "depth %d is not a multiple of 3, one third for each stage; %d and %d are",
                        plain->depth, plain->depth - plain->depth % STAGES,
                        plain->depth - plain->depth % STAGES + STAGES);
    if (plain->widths.count != STAGES) {
        expansion_error(expansion, "widths has %d entries, but there are three stages", plain->widths.count);
        return;
    }
    for (int stage = 0; stage < STAGES; stage++) {
        for (int i = 0; i < plain->depth / STAGES; i++) {
            const char *name = arena_printf(arena, "conv%d_%d", stage + 1, i);
            expansion_conv(expansion, expansion->layers, &plain->family, name, plain->widths.values[stage], 3, 1,
                           false);
            expansion_activation(expansion, expansion->layers, &plain->family, name);
        }
        EXPANSION_ADD(expansion, expansion->layers, max_pool, arena_printf(arena, "pool%d", stage + 1));
    }
    if (plain->features)
        add_features(expansion, plain);
    expansion_classifier(expansion, &plain->family);
}

const struct network_type network_plain = {
    .kind = {"plain", "three stages of 3x3 convolutions and pooling, for small images", params,
             sizeof(struct plain_config)},
    .expand = plain_expand,
};
