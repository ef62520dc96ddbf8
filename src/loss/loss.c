#include "loss/loss.h"

static void plan(void *owner, struct planner *planner, const struct head *head) {
    struct loss *loss = owner;
    loss->state = arena_alloc(planner->arena, loss->type->state_size);
    loss->type->plan(loss, planner, head);
}

struct head_request loss_request(struct loss *loss, struct choice choice) {
    const struct loss_type *type = loss_type_of(choice);
    *loss = (struct loss){.type = type, .config = choice.config};
    return (struct head_request){.kind = type->needs, .loss = type->kind.name, .plan = plan, .owner = loss};
}
