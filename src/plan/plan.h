/* The memory of a network, gathered while its layers are planned and then allocated at once.
 *
 * Besides its tensors a network has one region for all that a step computes. Its buffers have lives (plan/memory.h):
 * when all layers are planned, the two passes are acted out on the planner's clock, which marks what each step of them
 * uses (layer/chain_memory.c). */
#ifndef SPHERENET_PLAN_PLAN_H
#define SPHERENET_PLAN_PLAN_H

#include <stdbool.h>

#include "base/mem.h"
#include "plan/memory.h"
#include "plan/tensor.h"
#include "spec/node.h"

enum { PLAN_DEPTH = 8 }; /* residual units within residual units */

enum { NO_BUFFER = -1 };

struct tensor_place;
struct request;

struct planner {
    struct arena *arena;
    struct diagnostics *diags;
    int batch, threads; /* most images in a step that are computed here, and threads that compute it */
    int whole_batch;    /* most images in a step, here and elsewhere */
    int gradient_sums;  /* that a weight gradient is gathered in; 0: conv_partials */
    int fewest_sums;    /* of the weight gradients planned so far; 0: there are none */
    bool forward_only;  /* nothing is trained: there are no gradients, and activations last until they are read */
    int layers;         /* numbered so far */
    const char **names; /* [layers]: theirs */
    int depth;          /* of the chain being planned */
    const void *owner;  /* of what is kept: the layer being planned, or the head */
    size_t scratch, backward_scratch; /* reals of the layer being planned; the second no less */
    struct tensor_place *tensors;
    int tensor_count;
    struct memory_layout memory;
    struct request *requests;
    int request_count;
    int now, turn; /* the clock; the time between the passes */
};

/* What an owner, most often a layer, wants of a tensor, "OWNER.NAME". When the plan is carried out the pointers asked
 * for are set to its memory. */
struct tensor_request {
    const char *name;
    enum tensor_role role;
    int filters, kernel_h, kernel_w, inputs; /* memory: [filters][kernel_h][kernel_w][inputs]; 0 in the last three: 1 */
    int dims;                                /* of what is stored: 1 or 0 (a vector), 2 ([filters][the rest]) or 4 */
    double mean, deviation;                  /* of the initial values */
    real **value;
    real **grad; /* NULL: not trained */
    real **next; /* of a buffer that training moves (struct tensor), or NULL */
};
void plan_tensor(struct planner *planner, const char *owner, const struct tensor_request *request);

/* The planned tensors in order of planning; pointers stay valid as long as the planner's arena. */
struct tensor *planned_tensor(const struct planner *planner, int index);

/* Memory that lasts from the forward pass of the layer that is being planned to its backward pass; what the head's
 * owner keeps lasts between the passes. */
void plan_keep(struct planner *planner, size_t reals, real **place);

/* Scratch for one forward or backward call, or for a backward call alone: step->scratch. */
void plan_scratch(struct planner *planner, size_t reals);
void plan_backward_scratch(struct planner *planner, size_t reals);

/* A buffer of the region, which lives as long as it is used. place: where its address goes, or NULL. */
int plan_buffer(struct planner *planner, size_t reals, real **place);
/* Another pointer to it. */
void plan_point(struct planner *planner, int buffer, real **place);
/* The buffer is used now; NO_BUFFER: nothing is. */
void plan_use(struct planner *planner, int buffer);
/* So is all that was kept for that layer. */
void plan_use_kept(struct planner *planner, const void *owner);
/* A step of a pass begins: what it uses must not overlap. */
void plan_tick(struct planner *planner);

/* What one network holds in memory, in reals. */
struct plan_sizes {
    size_t trained; /* values of trained tensors */
    size_t grads;   /* as many, or none where nothing is trained */
    size_t buffers; /* values of the others */
    size_t next;    /* what training makes of buffers */
    size_t kept;    /* activations, and what else there is between the passes */
    size_t region;  /* with activation gradients and scratch */
    size_t total;
};
struct plan_sizes plan_sizes(const struct planner *planner);

/* The memory itself: one block, to be freed by its owner. */
struct plan_memory {
    void *block;
    real *values; /* all tensors, the trained ones first */
    real *grads;  /* of the trained ones, at the same offsets */
};

/* Allocates everything, zeroed, and fills in every pointer asked for; false when there is not enough memory. */
bool plan_allocate(struct planner *planner, struct plan_memory *memory);

#endif
