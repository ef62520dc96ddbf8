#include "support/loss_case.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/text.h"
#include "op/angular.h"
#include "spec/bind.h"

const struct angular_case activations[LOSS_ACTIVATIONS] = {
    {"cosine", 0, 1},       {"linear", 0, 2 / M_PI}, {"sigmoid", 0.1, 5.01},
    {"sigmoid", 0.3, 1.69}, {"sigmoid", 0.7, 0.89},  {"square_cosine", 0, 1},
};

static const struct ref_annealing annealings[] = {
    {0, 0.12, 1, 0}, {1000, 0.12, 1, 5} /* SphereFace's */, {10, 0.5, 2, 0.1}, {3, 0, 0, 0}};

static const struct { double smoothing, floor; } targets[] = {{0, 0}, {0.1, 0}, {0, 1e-4}, {0.01, 1e-4}};

const struct loss_row loss_rows[LOSS_ROWS] = {
    {"w_softmax", COUNT(activations), 1, 1, 1, COUNT(targets), true, false, {1}, {1}},
    {"a_softmax", 1, 5, 1, COUNT(annealings), 1, true, false, {1, 2, 3, 4, 7}, {1}},
    {"ga_softmax", COUNT(activations), 5, 1, COUNT(annealings), 1, true, false, {1, 2, 3, 4, 7}, {1}},
    {"cosface", 1, 3, 3, COUNT(annealings), 1, false, false, {0, 0.35, 2}, {64, 1, 0.01}},
    {"arcface", 1, 4, 3, COUNT(annealings), 1, false, true, {0, 0.5, 1.7, 3.14}, {64, 1, 0.01}},
};

const int64_t iterations[LOSS_ITERATIONS] = {0, 1, 10, 1000000};

struct choice bind_loss(struct arena *arena, const char *yaml) {
    struct param params[] = {{.key = "loss", .type = PARAM_KIND, .registry = &loss_registry}, {.type = PARAM_END}};
    struct diagnostics diags = {0};
    struct choice choice = {0};
    struct node *root = yaml_read(arena, "test", yaml, strlen(yaml), &diags);
    EXPECT(root != NULL, "%s: %s", yaml, diags.text.data);
    spec_bind(arena, &choice, params, root, "", &diags);
    EXPECT(diags.count == 0, "%s: %s", yaml, diags.text.data);
    text_free(&diags.text);
    return choice;
}

static void write_yaml(struct loss_case *c) {
    struct text text = {0};
    text_printf(&text, "loss: {type: %s", c->row->type);
    if (c->row->activations > 1)
        text_printf(&text, ", angular: %s", c->activation->name);
    if (c->activation->k > 0)
        text_printf(&text, ", k: %g", c->activation->k);
    if (c->row->targets > 1)
        text_printf(&text, ", label_smoothing: %g, probability_floor: %g", c->smoothing, c->floor);
    if (c->row->margins > 1)
        text_printf(&text, ", margin: %g", c->margin);
    if (c->row->scales > 1)
        text_printf(&text, ", scale: %g", c->scale);
    if (c->row->annealings > 1)
        text_printf(&text, ", annealing: {base: %g, gamma: %g, power: %g, minimum: %g}", c->annealing.base,
                    c->annealing.gamma, c->annealing.power, c->annealing.minimum);
    text_printf(&text, "}");
    snprintf(c->yaml, sizeof c->yaml, "%s", text.data);
    text_free(&text);
}

int take(int *index, int count) {
    int digit = *index % count;
    *index /= count;
    return digit;
}

/* Case number `index` of the loss; false: it has no more. */
static bool open_case(struct loss_case *c, const struct loss_row *row, int index) {
    *c = (struct loss_case){.row = row};
    c->activation = &activations[take(&index, row->activations)];
    c->margin = row->margin[take(&index, row->margins)];
    c->scale = row->scale[take(&index, row->scales)];
    c->annealing = annealings[take(&index, row->annealings)];
    int target = take(&index, row->targets);
    c->smoothing = targets[target].smoothing;
    c->floor = targets[target].floor;
    if (index > 0)
        return false;
    write_yaml(c);
    c->loss = bind_loss(&c->arena, c->yaml);
    return true;
}

void each_case(int row, void (*check)(const struct loss_case *c)) {
    struct loss_case c;
    for (int i = 0; open_case(&c, &loss_rows[row], i); i++) {
        check(&c);
        arena_free(&c.arena);
    }
}

double expected_lambda(const struct loss_case *c, int64_t iteration) {
    return ref_lambda(&c->annealing, (double)iteration);
}

struct ref_angular_loss reference(const struct loss_case *c, int64_t iteration) {
    return (struct ref_angular_loss){
        .type = c->row->type,
        .angular = c->activation->name,
        .k = c->activation->k,
        .margin = c->margin,
        .scale = c->scale,
        .clamp = ANGULAR_CLAMP,
        .smoothing = c->smoothing,
        .floor = c->floor,
        .lambda = iteration == 0 ? INFINITY : expected_lambda(c, iteration),
    };
}

/* --- Inputs ------------------------------------------------------------------------------------------------------ */

static struct loss_input input_of(const struct inputs *in) {
    return (struct loss_input){in->n, in->classes, in->cosines, in->lengths, in->labels, NULL};
}

double evaluate(const struct loss_case *c, const struct inputs *in, int64_t iteration, struct gradients *to) {
    struct loss_input input = input_of(in);
    if (!to)
        return lone_loss(c->loss, &input, iteration, NULL);
    for (int i = 0; i < IMAGES * CLASSES; i++)
        to->cosines[i] = (real)NAN;
    for (int i = 0; i < IMAGES; i++)
        to->lengths[i] = (real)NAN;
    return lone_loss(c->loss, &input, iteration, &(struct loss_gradient){to->cosines, to->lengths, NULL});
}

double reference_value(const struct loss_case *c, const struct inputs *in, int64_t iteration) {
    double cosines[IMAGES * CLASSES], lengths[IMAGES];
    for (int i = 0; i < in->n * in->classes; i++)
        cosines[i] = in->cosines[i];
    for (int i = 0; i < in->n; i++)
        lengths[i] = in->lengths[i];
    struct ref_angular_loss loss = reference(c, iteration);
    return ref_angular_loss(&loss, in->n, in->classes, cosines, lengths, in->labels);
}

int breaks(const struct loss_case *c, double *angles) {
    int count = 0;
    if (c->row->adds_margin)
        angles[count++] = M_PI - c->margin;
    for (int p = 1; c->row->looks_at_lengths && p < c->margin; p++)
        angles[count++] = p * M_PI / c->margin;
    return count;
}

/* Angles of targets that random ones would miss: at the ends, and on both sides of every break. */
static int special_angles(const struct loss_case *c, double *angles) {
    double at[ANGLES];
    int count = 0, found = breaks(c, at);
    static const double ends[] = {1e-3, 1e-4, 1e-5};
    for (int i = 0; i < COUNT(ends); i++) {
        angles[count++] = acos(1 - ends[i]);
        angles[count++] = acos(-1 + ends[i]);
    }
    for (int i = 0; i < found; i++) {
        angles[count++] = fmax(2e-3, fmin(at[i] - 1e-3, M_PI - 2e-3));
        angles[count++] = fmax(2e-3, fmin(at[i] + 1e-3, M_PI - 2e-3));
    }
    return count;
}

void sample(struct inputs *in, const struct loss_case *c, int classes) {
    struct rng rng = rng_stream(21, RNG_TEST, (uint64_t)classes, 0);
    double special[ANGLES];
    int count = special_angles(c, special);
    in->n = count + 8;
    in->classes = classes;
    for (int i = 0; i < in->n; i++) {
        real *row = in->cosines + i * classes;
        in->labels[i] = i * 7 % classes;
        in->lengths[i] = (real)(0.1 + 5 * rng_uniform(&rng));
        for (int j = 0; j < classes; j++)
            row[j] = (real)cos(M_PI * (0.01 + 0.98 * rng_uniform(&rng)));
        if (i < count)
            row[in->labels[i]] = (real)cos(special[i]);
        if (i % 2)
            row[(in->labels[i] + 1) % classes] = (real)cos(special[i % count]);
    }
}

double largest_logit(const struct loss_case *c, const struct inputs *in) {
    double length = 0;
    for (int i = 0; i < in->n; i++)
        length = fmax(length, in->lengths[i]);
    return c->row->looks_at_lengths ? length * (2 * c->margin - 1) : c->scale * (1 + c->margin);
}

/* A logit and the sum over images take a few roundings, and that of the angle counts for up to `margin` times as much,
 * and for up to the activation's steepness as much. */
void check_value(const struct loss_case *c, const struct inputs *in, int64_t iteration) {
    double found = evaluate(c, in, iteration, NULL), expected = reference_value(c, in, iteration);
    double tolerance = 32 * REAL_EPSILON * (1 + largest_logit(c, in)) * (1 + c->activation->steepest);
    EXPECT(fabs(found - expected) <= tolerance, "%s, %d classes, iteration %d: %.17g, expected %.17g", c->yaml,
           in->classes, (int)iteration, found, expected);
}
