#include "op/magnitude.h"

static real one(real norm) {
    (void)norm;
    return 1;
}

static real itself(real norm) {
    return norm;
}

#define FACTOR_ONE                                                                                                     \
    { one, NULL }
#define FACTOR_NORM                                                                                                    \
    { itself, one }

const struct magnitude magnitude_product = {
    .kind = {.name = "product", .help = "|w| |x|: with the cosine activation the ordinary convolution"},
    .of_w = FACTOR_NORM,
    .of_x = FACTOR_NORM,
};

const struct magnitude magnitude_sphere = {
    .kind = {.name = "sphere", .help = "1: SphereConv, only the angle counts"},
    .scale_free = true,
    .of_w = FACTOR_ONE,
    .of_x = FACTOR_ONE,
};

static const struct magnitude linear = {
    .kind = {.name = "linear", .help = "|x|: weight-normalised, as in W-Softmax"},
    .scale_free = true,
    .of_w = FACTOR_ONE,
    .of_x = FACTOR_NORM,
};

static const struct kind *const rows[] = {&magnitude_product.kind, &magnitude_sphere.kind, &linear.kind, NULL};

const struct registry magnitude_registry = {.noun = "magnitude function", .rows = rows};
