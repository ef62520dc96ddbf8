/* What a layer is, and what it may ask for while the network is planned.
 *
 * To add a layer: one file with a `struct layer_type`, one line in registry.c. The row drives parsing, range checks,
 * `list`, help and the gradient checks.
 *
 * Activations are channels-last, [n][height][width][channels]. A layer is planned once: it derives its output shape and
 * asks for parameters, kept memory and scratch. All memory then comes as one block, and nothing is allocated later. */
#ifndef SPHERENET_LAYER_LAYER_H
#define SPHERENET_LAYER_LAYER_H

#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/real.h"
#include "kernel/gradient.h"
#include "plan/plan.h"
#include "plan/step.h"
#include "spec/param.h"

/* One image, or one feature vector (flat: what `flatten` and `dense` put out; its values stay where they were). */
struct shape {
    int height, width, channels;
    bool flat;
};

static inline size_t shape_size(const struct shape *s) {
    return (size_t)s->height * (size_t)s->width * (size_t)s->channels;
}

struct layer {
    const struct layer_type *type;
    const char *name;
    struct choice choice; /* its part of the spec */
    struct shape in, out;
    void *state;
    int number;                       /* from 0 in the order of planning, which is chain_visit's */
    int64_t multiply_adds;            /* an image, forward */
    size_t scratch, backward_scratch; /* reals of step->scratch in each pass */
    bool in_place;                    /* set by plan: backward may write the gradient of x over that of y */
};

/* Gradients of folded layers, per channel. With d the gradient of the view's value before ReLU, that of a folded
 * layer's output is scale_d d + scale_x (data - mean) + offset. Its input is scale data + shift. */
struct fold_gradient {
    int count; /* values in each channel */
    real *scale_d, *scale_x, *offset;
    const real *sum, *product;   /* sum of d, and of d (data - mean) */
    const real *mean, *variance; /* of data; NULL: 0 */
    const real *scale, *shift;   /* NULL: 1 and 0 */
};

struct chain;
struct fusion;
struct planned_gradient;

struct layer_type {
    struct kind kind;
    size_t state_size;
    /* From layer->in and its configuration: sets layer->out and asks the planner for memory. False after layer_error.
     */
    bool (*plan)(struct layer *layer, struct planner *planner);

    /* A layer either computes: */
    /* moments: [n][2][channels], y's per image; NULL: not wanted. Filled in only where fills_moments. */
    void (*forward)(struct layer *layer, const struct step *step, real *y, const struct view *x, real *moments);
    bool fills_moments;
    bool only_trains; /* in evaluation y = x, and the chain hands x on where it can, instead of calling forward */
    /* Sets the gradients of its parameters and, unless dx is NULL, hands the gradient of x to gradient_write, image by
     * image. dy->of.data is y. */
    void (*backward)(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                     const struct gradient *dy, const struct view *x);

    /* Or it folds into the layer before it: it changes every value by a function of its channel, in no pass of its own:
     */
    void (*fold)(struct layer *layer, const struct step *step, struct view *view);
    /* Sets the gradients of its parameters, and turns that of its output into that of its input. NULL: scale and shift
     * stay as they were. */
    void (*unfold)(struct layer *layer, const struct step *step, struct fold_gradient *gradient);
    bool wants_moments; /* in training, fold() needs the view's mean and variance */
    bool is_relu;       /* fold() sets the view's `relu`, and no unfold() is needed: gradient_write does its work */

    /* The three members below are NULL for layers without chains within. The chains, by number from 0, then NULL: */
    const struct chain *(*branch)(const struct layer *layer, int index);
    /* forward and backward acted out on the planner's clock (layer/chain_memory.h), when all layers are planned:
     * forward up to the layer's own step, in which it writes y; backward from its own step on, in which it reads dy. */
    void (*plan_forward)(struct layer *layer, struct planner *planner, const struct fusion *x);
    void (*plan_backward)(struct layer *layer, struct planner *planner, const struct planned_gradient *gradient);
};

extern const struct registry layer_registry;

/* Not in the registry: y = x, for layers that fold and have nothing in front of them to fold into. */
extern const struct layer_type layer_identity;

/* First member of every layer's configuration. */
struct layer_config {
    const char *name; /* "": made from the type and a number */
};
#define LAYER_NAME_PARAM                                                                                               \
    TEXT_KEY(struct layer_config, name, "name", "''", "how checkpoints and tables call it; made up when empty")

/* A layer whose only key is its name. */
extern const struct param layer_name_params[];

/* A mistake in the spec, reported at the layer's place; returns false. */
bool layer_error(struct planner *planner, const struct layer *layer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
