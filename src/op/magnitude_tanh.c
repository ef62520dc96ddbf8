/* TanhConv, h = tanh(|x| / rho): bounded like SphereConv where patches are long, linear where they are short (Liu et
 * al. 2018, "Decoupled Networks", section 3.2). rho is one number for the layer, fixed or trained. */
#include <math.h>

#include "op/magnitude.h"

/* Added to the absolute value of the trained tensor, which starts at what leaves rho as it is given (the reference
 * code's constant): rho stays positive. */
#define LEAST_RHO 1e-4

struct tanh_config {
    double rho;
    bool train_rho;
};

static const struct param params[] = {
    REAL_KEY(struct tanh_config, rho, "rho", "1", 1e-3, 1e6, "the length up to which patches count about linearly"),
    BOOL_KEY(struct tanh_config, train_rho, "train_rho", "false", "train rho, starting there"),
    END_OF_KEYS,
};

struct tanh_state {
    double rho;               /* of this step */
    real *trained, *gradient; /* [1]; NULL: rho is fixed */
};

static void tanh_plan(const struct magnitude *m, struct planner *planner, const char *owner) {
    const struct tanh_config *config = m->config;
    struct tanh_state *state = m->state;
    if (config->train_rho)
        plan_tensor(planner, owner,
                    &(struct tensor_request){
                        .name = "rho",
                        .role = ROLE_SHAPE,
                        .filters = 1,
                        .mean = config->rho - LEAST_RHO,
                        .value = &state->trained,
                        .grad = &state->gradient,
                    });
}

static double tanh_rho(const struct magnitude *m) {
    const struct tanh_config *config = m->config;
    const struct tanh_state *state = m->state;
    return state->trained ? fabs((double)*state->trained) + LEAST_RHO : config->rho;
}

static void tanh_prepare(const struct magnitude *m) {
    struct tanh_state *state = m->state;
    state->rho = tanh_rho(m);
}

/* With t = tanh(norm / rho): dh/dnorm = (1 - t^2) / rho, dh/drho = -norm / rho dh/dnorm, and 0 where t has rounded to
 * 1, however long the patch. */
static struct magnitude_factor tanh_of_x(const struct magnitude *m, real norm) {
    const struct tanh_state *state = m->state;
    double u = (double)norm / state->rho, t = tanh(u), slope = (1 - t) * (1 + t) / state->rho;
    return (struct magnitude_factor){(real)t, (real)slope, slope > 0 ? (real)(-u * slope) : 0};
}

static void tanh_gradient(const struct magnitude *m, real sum) {
    const struct tanh_state *state = m->state;
    if (state->gradient)
        *state->gradient = *state->trained < 0 ? -sum : sum;
}

const struct magnitude_type magnitude_tanh = {
    .kind = {"tanh", "tanh(|x| / rho): TanhConv, bounded like sphere and linear in short patches", params,
             sizeof(struct tanh_config)},
    .scale_free = true,
    .state_size = sizeof(struct tanh_state),
    .plan = tanh_plan,
    .prepare = tanh_prepare,
    .shape = tanh_rho,
    .of_w = magnitude_one,
    .of_x = tanh_of_x,
    .gradient = tanh_gradient,
};
