#include "support/lone_loss.h"

#include <stdlib.h>
#include <string.h>

/* Memory of a loss on its own. */
struct plan {
    struct arena arena;
    struct planner planner;
    struct plan_memory memory;
    struct loss loss;
    real *scratch, *lengths_gradient;
};

static void plan_open(struct plan *plan, struct choice choice, struct head *head, int n, int threads) {
    struct planner *planner = &plan->planner;
    *plan = (struct plan){.memory = {0}};
    *planner = (struct planner){.arena = &plan->arena, .batch = n, .threads = threads};
    struct head_request request = loss_request(&plan->loss, choice);
    head->kind = request.kind;
    plan_keep(planner, (size_t)n, &plan->lengths_gradient);
    request.plan(request.owner, planner, head);
    plan_place(planner, planner->kept, planner->scratch, &plan->scratch);
    if (!plan_allocate(planner, &plan->memory))
        abort();
}

static void plan_close(struct plan *plan) {
    free(plan->memory.block);
    arena_free(&plan->arena);
}

double lone_loss_on(int threads, struct choice loss, const struct loss_input *in, int64_t iteration,
                    const struct loss_gradient *gradient) {
    struct plan plan;
    struct head head = {.classes = in->classes, .name = "score", .scores = in->scores, .lengths = in->lengths};
    plan_open(&plan, loss, &head, in->n, threads);
    head.scores_gradient = gradient ? gradient->scores : NULL;
    head.lengths_gradient = gradient && gradient->lengths ? gradient->lengths : plan.lengths_gradient;
    const struct tensor *own = plan.planner.tensor_count ? planned_tensor(&plan.planner, 0) : NULL;
    if (own && in->own)
        memcpy(own->value, in->own, own->count * sizeof(real));
    const struct step step = {
        .n = in->n, .mode = STEP_TRAIN, .iteration = iteration, .threads = threads, .scratch = plan.scratch};
    double value = loss_evaluate(&plan.loss, &step, &head, in->labels);
    if (own && gradient && gradient->own)
        memcpy(gradient->own, own->grad, own->count * sizeof(real));
    plan_close(&plan);
    return value;
}

double lone_loss(struct choice loss, const struct loss_input *in, int64_t iteration,
                 const struct loss_gradient *gradient) {
    return lone_loss_on(1, loss, in, iteration, gradient);
}
