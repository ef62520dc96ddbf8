#include "op/magnitude.h"

struct magnitude magnitude_chosen(struct choice choice) {
    return (struct magnitude){.type = (const struct magnitude_type *)choice.kind, .config = choice.config};
}

void magnitude_plan(struct magnitude *m, struct planner *planner, const char *owner) {
    m->state = arena_alloc(planner->arena, m->type->state_size);
    if (m->type->plan)
        m->type->plan(m, planner, owner);
}

struct magnitude_factor magnitude_one(const struct magnitude *m, real norm) {
    (void)m, (void)norm;
    return (struct magnitude_factor){.value = 1};
}

struct magnitude_factor magnitude_norm(const struct magnitude *m, real norm) {
    (void)m;
    return (struct magnitude_factor){.value = norm, .slope = 1};
}

const struct magnitude_type magnitude_product = {
    .kind = {.name = "product", .help = "|w| |x|: with the cosine activation the ordinary convolution"},
    .is_product = true,
    .of_w = magnitude_norm,
    .of_x = magnitude_norm,
};

const struct magnitude_type magnitude_sphere = {
    .kind = {.name = "sphere", .help = "1: SphereConv, only the angle counts"},
    .is_one = true,
    .scale_free = true,
    .of_w = magnitude_one,
    .of_x = magnitude_one,
};

const struct magnitude_type magnitude_linear = {
    .kind = {.name = "linear", .help = "|x|: weight-normalised, as in W-Softmax"},
    .scale_free = true,
    .of_w = magnitude_one,
    .of_x = magnitude_norm,
};
