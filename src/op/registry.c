/* The magnitudes and the angular activations a spec can name: one line each, magnitude_NAME and angular_NAME. */
#include "op/angular.h"
#include "op/magnitude.h"

#define MAGNITUDES(ROW)                                                                                                \
    ROW(product)                                                                                                       \
    ROW(sphere)                                                                                                        \
    ROW(linear)                                                                                                        \
    ROW(tanh)

#define ANGULARS(ROW)                                                                                                  \
    ROW(cosine)                                                                                                        \
    ROW(square_cosine)                                                                                                 \
    ROW(linear)                                                                                                        \
    ROW(sigmoid)                                                                                                       \
    ROW(learnable_sigmoid)

#define DECLARE_MAGNITUDE(NAME) extern const struct magnitude_type magnitude_##NAME;
#define DECLARE_ANGULAR(NAME) extern const struct angular_type angular_##NAME;
#define MAGNITUDE_ROW(NAME) &magnitude_##NAME.kind,
#define ANGULAR_ROW(NAME) &angular_##NAME.kind,

MAGNITUDES(DECLARE_MAGNITUDE)
ANGULARS(DECLARE_ANGULAR)

static const struct kind *const magnitudes[] = {MAGNITUDES(MAGNITUDE_ROW) NULL};
static const struct kind *const angulars[] = {ANGULARS(ANGULAR_ROW) NULL};

const struct registry magnitude_registry = {.noun = "magnitude function", .rows = magnitudes};
const struct registry angular_registry = {.noun = "angular activation", .rows = angulars};
