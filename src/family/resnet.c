/* The residual networks for small images (He et al. 2016, depth 6n + 2; SphereResNet-32): a 3x3 root convolution, three
 * stages of n units, global average pooling, the classifier. Of a map of even size a convolution of stride
 * 2 sees one row and column of padding, here before the map, as in most implementations; in the reference code behind
 * it. */
#include "family/family.h"

enum { STAGES = 3 };

struct resnet_config {
    struct family_config family;
    int depth;
    struct int_list widths;
};

static const struct param params[] = {
    INT_KEY(struct resnet_config, depth, "depth", "32", 8, 302, "layers with weights on the main path, 6n + 2"),
    INTS_KEY(struct resnet_config, widths, "widths", "[96, 192, 384]", 1, 65536, "filters of the three stages"),
    INCLUDED_KEYS(struct resnet_config, family, family_params),
    END_OF_KEYS,
};

static void resnet_expand(struct expansion *expansion, const void *config) {
    const struct resnet_config *resnet = config;
    struct arena *arena = expansion->arena;
    const int *widths = resnet->widths.values;
    if (resnet->depth % 6 != 2)
        expansion_error(expansion, "depth %d is not 6n + 2; 8, 14, 20, 26, 32, 44, 56 and 110 are", resnet->depth);
    if (resnet->widths.count != STAGES) {
        expansion_error(expansion, "widths has %d entries, but there are three stages", resnet->widths.count);
        return;
    }
    expansion_conv(expansion, expansion->layers, &resnet->family, "root", widths[0], 3, 1, false);
    expansion_activation(expansion, expansion->layers, &resnet->family, "root");
    for (int stage = 0; stage < STAGES; stage++) {
        for (int i = 0; i < (resnet->depth - 2) / 6; i++) {
            int inputs = stage && !i ? widths[stage - 1] : widths[stage], stride = stage && !i ? 2 : 1;
            expansion_residual_unit(expansion, &resnet->family, arena_printf(arena, "stage%d_unit%d", stage + 1, i),
                                    widths[stage], stride, stride > 1 || inputs != widths[stage]);
        }
    }
    struct pool_config *pool = EXPANSION_ADD(expansion, expansion->layers, avg_pool, "pool");
    pool->global = true;
    expansion_classifier(expansion, &resnet->family);
}

const struct network_type network_resnet = {
    .kind = {"resnet", "residual units in three stages, for small images", params, sizeof(struct resnet_config)},
    .expand = resnet_expand,
};
