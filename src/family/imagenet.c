/* The ImageNet pair of the paper: a 7x7/2 root convolution and 3x3/2 max pooling, four stages of two convolutions
 * (plain, 10 layers) or two residual units (18 layers), global average pooling, the classifier. Each stage after the
 * first halves the image in its first convolution. */
#include "family/family.h"

enum { STAGES = 4, PER_STAGE = 2 };

struct imagenet_config {
    struct family_config family;
    struct int_list widths;
};

static const struct param params[] = {
    INTS_KEY(struct imagenet_config, widths, "widths", "[64, 128, 256, 512]", 1, 65536,
             "filters of the four stages; the first is also the root's"),
    INCLUDED_KEYS(struct imagenet_config, family, family_params),
    END_OF_KEYS,
};

static void expand(struct expansion *expansion, const struct imagenet_config *config, bool residual) {
    struct choice_list *layers = expansion->layers;
    const struct family_config *family = &config->family;
    const int *widths = config->widths.values;
    if (config->widths.count != STAGES) {
        expansion_error(expansion, "widths has %d entries, but there are four stages", config->widths.count);
        return;
    }
    expansion_conv(expansion, layers, family, "root", widths[0], 7, 2, false);
    expansion_activation(expansion, layers, family, "root");
    struct pool_config *pool = EXPANSION_ADD(expansion, layers, max_pool, "root_pool");
    pool->kernel = 3;
    pool->padding = 1;
    for (int stage = 0; stage < STAGES; stage++) {
        for (int i = 0; i < PER_STAGE; i++) {
            const char *name = arena_printf(expansion->arena, "stage%d_%s%d", stage + 1, residual ? "unit" : "conv", i);
            int stride = stage && !i ? 2 : 1;
            if (residual) {
                expansion_residual_unit(expansion, family, name, widths[stage], stride, stride > 1);
            } else {
                expansion_conv(expansion, layers, family, name, widths[stage], 3, stride, false);
                expansion_activation(expansion, layers, family, name);
            }
        }
    }
    pool = EXPANSION_ADD(expansion, layers, avg_pool, "pool");
    pool->global = true;
    expansion_classifier(expansion, family);
}

static void plain_expand(struct expansion *expansion, const void *config) {
    expand(expansion, config, false);
}

static void resnet_expand(struct expansion *expansion, const void *config) {
    expand(expansion, config, true);
}

const struct network_type network_imagenet_plain = {
    .kind = {"imagenet_plain", "plain 10-layer network for large images", params, sizeof(struct imagenet_config)},
    .expand = plain_expand,
};

const struct network_type network_imagenet_resnet = {
    .kind = {"imagenet_resnet", "ResNet-18 for large images", params, sizeof(struct imagenet_config)},
    .expand = resnet_expand,
};
