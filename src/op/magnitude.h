/* Magnitude functions h(|w|, |x|), the half of the operator family that looks at lengths.
 *
 * Every one is a product of a function of the filter's norm and one of the patch's norm, so it costs a factor per
 * filter and one per position. To add one: write a row in magnitude.c and name it in the table there. */
#ifndef SPHERENET_OP_MAGNITUDE_H
#define SPHERENET_OP_MAGNITUDE_H

#include "base/real.h"
#include "spec/param.h"

/* One factor of h and its derivative with respect to the norm. */
struct magnitude_factor {
    real (*value)(real norm);
    real (*slope)(real norm); /* NULL: zero everywhere */
};

struct magnitude {
    struct kind kind;
    bool scale_free; /* the length of w does not matter to the output */
    struct magnitude_factor of_w, of_x;
};

extern const struct registry magnitude_registry;
extern const struct magnitude magnitude_product, magnitude_sphere;

#endif
