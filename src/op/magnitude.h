/* Magnitude functions h(|w|, |x|), the half of the operator family that looks at lengths.
 *
 * Every one is a product of a function of the filter's norm and one of the patch's norm, so it costs a factor per
 * filter and one per position. The latter may depend on a number for the whole layer, which the row makes of its keys
 * or of a tensor of its own that is trained.
 *
 * To add one: a file with a `struct magnitude_type`, one line in registry.c. */
#ifndef SPHERENET_OP_MAGNITUDE_H
#define SPHERENET_OP_MAGNITUDE_H

#include "base/real.h"
#include "plan/plan.h"
#include "spec/param.h"

/* A magnitude function in use: a row with its keys and, once it is planned, what it holds. */
struct magnitude {
    const struct magnitude_type *type;
    const void *config;
    void *state; /* type->state_size bytes */
};

/* One factor of h, its derivative with respect to the norm, and that with respect to the row's own parameter. */
struct magnitude_factor {
    real value, slope, own_slope;
};

struct magnitude_type {
    struct kind kind;
    bool is_one;     /* h = 1 */
    bool is_product; /* h = |w| |x| */
    bool scale_free; /* the factor of w is 1: its length does not matter to the output */
    size_t state_size;
    /* Asks for tensors, "OWNER.NAME", and for memory of its own. NULL: needs neither. */
    void (*plan)(const struct magnitude *m, struct planner *planner, const char *owner);
    /* Takes up what the tensors hold, before a forward pass. NULL: nothing to do. */
    void (*prepare)(const struct magnitude *m);
    struct magnitude_factor (*of_w)(const struct magnitude *m, real norm);
    struct magnitude_factor (*of_x)(const struct magnitude *m, real norm);
    /* The number that it depends on; NULL: it depends on none. */
    double (*shape)(const struct magnitude *m);
    /* From the sum over positions and filters of dL/dh dh/d own parameter sets the gradient of its tensor; NULL: has
     * none. */
    void (*gradient)(const struct magnitude *m, real sum);
};

extern const struct registry magnitude_registry;
extern const struct magnitude_type magnitude_sphere;

/* The row that was chosen, not yet planned. */
struct magnitude magnitude_chosen(struct choice choice);
void magnitude_plan(struct magnitude *m, struct planner *planner, const char *owner);

static inline void magnitude_prepare(const struct magnitude *m) {
    if (m->type->prepare)
        m->type->prepare(m);
}

/* Factors that rows share: 1, and the norm itself. */
struct magnitude_factor magnitude_one(const struct magnitude *m, real norm);
struct magnitude_factor magnitude_norm(const struct magnitude *m, real norm);

#endif
