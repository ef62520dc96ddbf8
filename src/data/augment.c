#include "data/augment.h"

extern const struct augmentation augment_flip, augment_crop, augment_jitter, augment_erase;
extern const struct param augment_flip_params[], augment_crop_params[], augment_jitter_params[], augment_erase_params[];

static const struct kind *const rows[] = {&augment_flip.kind, &augment_crop.kind, &augment_jitter.kind,
                                          &augment_erase.kind, NULL};

const struct registry augmentation_registry = {.noun = "augmentation", .rows = rows};

#define KEYS_OF_ROW(PARAMS)                                                                                            \
    { .type = PARAM_INCLUDE, .params = PARAMS }

const struct param augment_params[] = {KEYS_OF_ROW(augment_flip_params), KEYS_OF_ROW(augment_crop_params),
                                       KEYS_OF_ROW(augment_jitter_params), KEYS_OF_ROW(augment_erase_params),
                                       END_OF_KEYS};

struct placement augment_draw(const struct augment_config *config, const struct augment_context *context) {
    struct placement placement = {0};
    for (const struct kind *const *row = rows; *row; row++) {
        const struct augmentation *augmentation = (const struct augmentation *)*row;
        if (augmentation->place)
            augmentation->place(&placement, config, context);
    }
    return placement;
}

void augment_paint(const struct augment_config *config, const struct augment_context *context, uint8_t *pixels) {
    for (const struct kind *const *row = rows; *row; row++) {
        const struct augmentation *augmentation = (const struct augmentation *)*row;
        if (augmentation->paint)
            augmentation->paint(pixels, config, context);
    }
}
