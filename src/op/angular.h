/* Angular activations g(theta), the half of the operator family that looks at the angle (paper, section 2.2).
 *
 * All fall from 1 at theta = 0 to -1 at theta = pi. They are computed from c = cos theta, most as functions of
 * asin c = pi/2 - theta, which keeps full accuracy near theta = pi/2 where most angles are.
 *
 * The backward pass starts from g alone, which is what the forward pass leaves in memory: g gives the angle back, and
 * the angle c and dg/dc.
 *
 * Near |c| = 1 dg/dc of the linear and sigmoid activations grows like 1/sqrt(1 - c^2). There c is clamped to
 * [-1 + ANGULAR_CLAMP, 1 - ANGULAR_CLAMP], and the gradient is the one at the clamped value, at most 708 times
 * dg/dtheta: finite, and still pointing the right way. Activations that are smooth in c need no clamp.
 *
 * An activation may depend on a shape, a number for each filter, which it makes of its keys or of a tensor of its own
 * that is trained.
 *
 * To add one: a file with a `struct angular_type`, one line in registry.c. */
#ifndef SPHERENET_OP_ANGULAR_H
#define SPHERENET_OP_ANGULAR_H

#include "base/real.h"
#include "plan/plan.h"
#include "spec/param.h"

#define ANGULAR_CLAMP 1e-6

/* An activation in use: a row with its keys and, once it is planned, what it holds for so many filters. */
struct angular {
    const struct angular_type *type;
    const void *config;
    int filters;
    void *state; /* type->state_size bytes; NULL: not planned */
};

/* Cosines of filters with one patch: c[i] = dots[i] x_inverse w_inverse[i], perhaps rounded beyond [-1, 1]. */
struct angular_cosines {
    const real *dots, *w_inverse;
    real x_inverse;
};

/* What the backward pass needs of the filters at one position. */
struct angular_slopes {
    real *c, *slope;   /* cos theta, and dg/dc */
    real *shape_slope; /* dg/dshape, of types with a gradient */
    real *work;        /* as many reals as there are filters */
};

enum { ANGULAR_SLOPE_ROWS = 4 }; /* of filters, that these take */

struct angular_type {
    struct kind kind;
    bool identity; /* g(c) = c */
    bool clamped;  /* c is clamped, since dg/dc has no bound */
    size_t state_size;
    /* Asks for tensors, "OWNER.NAME", and for memory of its own. NULL: needs neither. */
    void (*plan)(const struct angular *a, struct planner *planner, const char *owner);
    /* Takes up what the tensors hold, before a forward pass. NULL: nothing to do. */
    void (*prepare)(const struct angular *a);
    /* g[i] = g(arccos c[i]) for i < count filters; g may be c->dots. */
    void (*value)(const struct angular *a, real *g, const struct angular_cosines *c, int count);
    /* From g[i], i < count filters. */
    void (*slope)(const struct angular *a, const struct angular_slopes *to, const real *g, int count);
    /* From sums over positions of dL/dg dg/dshape, [filters], sets the gradient of its tensor; NULL: has none. */
    void (*gradient)(const struct angular *a, const real *sums);

    /* For losses, which compute in double, continue g beyond pi, and have classes for filters. */

    /* Of one filter; NULL: has none. */
    double (*shape)(const struct angular *a, int filter);
    /* g of one angle, dg/dtheta and dg/dshape. */
    double (*at)(double theta, double shape, double *slope, double *shape_slope);
    /* As gradient, from sums over n images, of whose mean loss the gradient is. */
    void (*mean_gradient)(const struct angular *a, const double *sums, int n);
};

extern const struct registry angular_registry;
extern const struct angular_type angular_cosine;

/* The row that was chosen, not yet planned; the cosine where there was no choice. */
struct angular angular_chosen(struct choice choice);
void angular_plan(struct angular *a, struct planner *planner, const char *owner, int filters);

static inline void angular_prepare(const struct angular *a) {
    if (a->type->prepare)
        a->type->prepare(a);
}

/* The filter's shape; 0 where there is none. */
static inline double angular_shape(const struct angular *a, int filter) {
    return a->type->shape ? a->type->shape(a, filter) : 0;
}

#endif
