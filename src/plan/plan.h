/* The memory of a network, gathered while its layers are planned and then allocated at once.
 *
 * Besides its tensors a network has one region, in which memory that is not needed at the same time may overlap. What a
 * stage of the outermost chain keeps from forward to backward lies above what the stages before it keep, so that in the
 * backward pass everything above the current stage is free again: activation gradients and scratch go there. */
#ifndef SPHERENET_PLAN_PLAN_H
#define SPHERENET_PLAN_PLAN_H

#include "base/mem.h"
#include "plan/tensor.h"
#include "spec/node.h"

enum { PLAN_LEVELS = 8 }; /* residual units within residual units */

struct tensor_place;
struct request;

struct planner {
    struct arena *arena;
    struct diagnostics *diags;
    int batch, threads; /* most images in a step, and threads that compute it */
    int layers;         /* numbered so far, for made-up names */
    int depth;          /* of the chain being planned */
    struct tensor_place *tensors;
    int tensor_count;
    struct request *requests;
    int request_count;
    size_t kept;          /* reals that last from forward to backward, so far: the region's lower part */
    size_t work, scratch; /* reals of the outermost stage being planned: for its backward pass, for any one call */
    size_t region;        /* reals in all */
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

/* Memory that lasts from forward to backward. */
void plan_keep(struct planner *planner, size_t reals, real **place);

/* Scratch for one forward or backward call: step->scratch. */
void plan_scratch(struct planner *planner, size_t reals);

/* Memory that lasts through the backward pass of the outermost stage: its offset there, for plan_work_at. */
size_t plan_work(struct planner *planner, size_t reals);
void plan_work_at(struct planner *planner, size_t offset, real **place);

/* Puts `reals` of the region at an offset in it. */
void plan_place(struct planner *planner, size_t offset, size_t reals, real **place);

/* Gives the work among the requests [first, end), once, its place in the region. */
void plan_place_work(struct planner *planner, int first, int end, size_t offset);

/* What one network holds in memory, in reals. */
struct plan_sizes {
    size_t trained; /* values of trained tensors; as many gradients */
    size_t buffers; /* values of the others */
    size_t next;    /* what training makes of buffers */
    size_t kept;    /* activations, and what else lasts from forward to backward */
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
