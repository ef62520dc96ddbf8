/* Angular losses: values against the formulas of tests/ref, psi's shape, what happens at the ends of every range, and
 * the messages about specs that cannot be; in double also gradients, of the losses alone and through whole networks,
 * against differences of the values. Every angular row of the registry is covered, or a test here fails. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"

#include "loss/margin.h"
#include "machine/threads.h"
#include "ref/reference.h"
#include "runner.h"
#include "support/lone_loss.h"
#include "train/trainer.h"

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))
/* ck_assert_msg makes a system call even where all is well: too slow for millions. */
#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg(__VA_ARGS__);                                                                                 \
    } while (0)

/* --- Cases: every loss with every activation, margin, scale, annealing and smoothing -------------------------------
 */

static const struct angular_case {
    const char *name;
    double k;
    double steepest; /* largest |dg/dtheta| there is: at pi/2 */
} activations[] = {
    {"cosine", 0, 1}, {"linear", 0, 2 / M_PI}, {"sigmoid", 0.1, 5.01}, {"sigmoid", 0.3, 1.69}, {"sigmoid", 0.7, 0.89},
};

static const struct ref_annealing annealings[] = {
    {0, 0.12, 1, 0}, {1000, 0.12, 1, 5} /* SphereFace's */, {10, 0.5, 2, 0.1}, {3, 0, 0, 0}};

static const struct { double smoothing, floor; } targets[] = {{0, 0}, {0.1, 0}, {0, 1e-4}, {0.01, 1e-4}};

enum { MARGINS = 5, SCALES = 3 };

/* How many of the tables above and of its own margins and scales a loss is tried with. */
static const struct loss_row {
    const char *type;
    int activations, margins, scales, annealings, targets;
    double margin[MARGINS], scale[SCALES];
} loss_rows[] = {
    {"w_softmax", COUNT(activations), 1, 1, 1, COUNT(targets), {1}, {1}},
    {"a_softmax", 1, 5, 1, COUNT(annealings), 1, {1, 2, 3, 4, 7}, {1}},
    {"ga_softmax", COUNT(activations), 5, 1, COUNT(annealings), 1, {1, 2, 3, 4, 7}, {1}},
    {"cosface", 1, 3, 3, COUNT(annealings), 1, {0, 0.35, 2}, {64, 1, 0.01}},
    {"arcface", 1, 4, 3, COUNT(annealings), 1, {0, 0.5, 1.7, 3.14}, {64, 1, 0.01}},
};

static const int64_t iterations[] = {0, 1, 10, 1000000};

struct loss_case {
    const struct loss_row *row;
    const struct angular_case *activation;
    double margin, scale, smoothing, floor;
    struct ref_annealing annealing;
    char yaml[256]; /* also the case's name in messages */
    struct arena arena;
    struct choice loss;
};

static bool is(const struct loss_case *c, const char *type) {
    return strcmp(c->row->type, type) == 0;
}

static bool looks_at_lengths(const struct loss_case *c) {
    return !is(c, "cosface") && !is(c, "arcface");
}

static struct choice bind_loss(struct arena *arena, const char *yaml) {
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

static int take(int *index, int count) {
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

static void each_case(int row, void (*check)(const struct loss_case *c)) {
    struct loss_case c;
    for (int i = 0; open_case(&c, &loss_rows[row], i); i++) {
        check(&c);
        arena_free(&c.arena);
    }
}

static double expected_lambda(const struct loss_case *c, int64_t iteration) {
    return is(c, "w_softmax") ? 0 : ref_lambda(&c->annealing, (double)iteration);
}

static struct ref_angular_loss reference(const struct loss_case *c, int64_t iteration) {
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

enum { IMAGES = 48, CLASSES = 10, ANGLES = 24 };

struct inputs {
    int n, classes;
    real cosines[IMAGES * CLASSES], lengths[IMAGES];
    int32_t labels[IMAGES];
};

struct gradients {
    real cosines[IMAGES * CLASSES], lengths[IMAGES];
};

static struct loss_input input_of(const struct inputs *in) {
    return (struct loss_input){in->n, in->classes, in->cosines, in->lengths, in->labels, NULL};
}

static double evaluate(const struct loss_case *c, const struct inputs *in, int64_t iteration, struct gradients *to) {
    struct loss_input input = input_of(in);
    if (!to)
        return lone_loss(c->loss, &input, iteration, NULL);
    for (int i = 0; i < IMAGES * CLASSES; i++)
        to->cosines[i] = (real)NAN;
    for (int i = 0; i < IMAGES; i++)
        to->lengths[i] = (real)NAN;
    return lone_loss(c->loss, &input, iteration, &(struct loss_gradient){to->cosines, to->lengths, NULL});
}

static double reference_value(const struct loss_case *c, const struct inputs *in, int64_t iteration) {
    double cosines[IMAGES * CLASSES], lengths[IMAGES];
    for (int i = 0; i < in->n * in->classes; i++)
        cosines[i] = in->cosines[i];
    for (int i = 0; i < in->n; i++)
        lengths[i] = in->lengths[i];
    struct ref_angular_loss loss = reference(c, iteration);
    return ref_angular_loss(&loss, in->n, in->classes, cosines, lengths, in->labels);
}

/* Where psi changes from one piece to the next, and g(theta + m) passes pi. */
static int breaks(const struct loss_case *c, double *angles) {
    int count = 0;
    if (is(c, "arcface"))
        angles[count++] = M_PI - c->margin;
    for (int p = 1; looks_at_lengths(c) && p < c->margin; p++)
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

static void sample(struct inputs *in, const struct loss_case *c, int classes) {
    struct rng rng = rng_stream(21, RNG_TEST, (uint64_t)classes, 0);
    double special[ANGLES];
    int count = special_angles(c, special);
    in->n = count + 8;
    in->classes = classes;
    for (int i = 0; i < in->n; i++) {
        real *row = in->cosines + i * classes;
        in->labels[i] = (i * 7 % classes);
        in->lengths[i] = (real)(0.1 + 5 * rng_uniform(&rng));
        for (int j = 0; j < classes; j++)
            row[j] = (real)cos(M_PI * (0.01 + 0.98 * rng_uniform(&rng)));
        if (i < count)
            row[in->labels[i]] = (real)cos(special[i]);
        if (i % 2)
            row[(in->labels[i] + 1) % classes] = (real)cos(special[i % count]);
    }
}

/* --- Values ------------------------------------------------------------------------------------------------------ */

/* The largest logit there can be: rounding in the loss is relative to it. */
static double largest_logit(const struct loss_case *c, const struct inputs *in) {
    double length = 0;
    for (int i = 0; i < in->n; i++)
        length = fmax(length, in->lengths[i]);
    return looks_at_lengths(c) ? length * (2 * c->margin - 1) : c->scale * (1 + c->margin);
}

/* A logit and the sum over images take a few roundings, and that of the angle counts for up to `margin` times as much,
 * and for up to the activation's steepness as much. */
static void check_value(const struct loss_case *c, const struct inputs *in, int64_t iteration) {
    double found = evaluate(c, in, iteration, NULL), expected = reference_value(c, in, iteration);
    double tolerance = 32 * REAL_EPSILON * (1 + largest_logit(c, in)) * (1 + c->activation->steepest);
    EXPECT(fabs(found - expected) <= tolerance, "%s, %d classes, iteration %d: %.17g, expected %.17g", c->yaml,
           in->classes, (int)iteration, found, expected);
}

static void check_values(const struct loss_case *c) {
    static const int classes[] = {2, 3, CLASSES};
    struct inputs in;
    for (int i = 0; i < COUNT(classes); i++) {
        sample(&in, c, classes[i]);
        for (int j = 0; j < COUNT(iterations); j++)
            check_value(c, &in, iterations[j]);
    }
}

START_TEST(values_of_losses) {
    each_case(_i, check_values);
}
END_TEST

/* The value does not depend on whether the gradient is wanted, and nothing of the gradient stays unset. */
static void check_with_gradient(const struct loss_case *c) {
    struct inputs in;
    struct gradients gradients;
    sample(&in, c, 3);
    for (int j = 0; j < COUNT(iterations); j++) {
        double with = evaluate(c, &in, iterations[j], &gradients), without = evaluate(c, &in, iterations[j], NULL);
        EXPECT(with == without, "%s: %.17g with gradient, %.17g without", c->yaml, with, without);
        for (int i = 0; i < in.n * in.classes; i++)
            EXPECT(isfinite(gradients.cosines[i]), "%s: scores[%d] is %g", c->yaml, i, gradients.cosines[i]);
        for (int i = 0; i < in.n; i++) {
            EXPECT(isfinite(gradients.lengths[i]), "%s: lengths[%d] is %g", c->yaml, i, gradients.lengths[i]);
            EXPECT(looks_at_lengths(c) || gradients.lengths[i] == 0, "%s: lengths[%d] is %g", c->yaml, i,
                   gradients.lengths[i]);
        }
    }
}

START_TEST(values_with_and_without_gradient) {
    each_case(_i, check_with_gradient);
}
END_TEST

static void check_lambda(const struct loss_case *c) {
    static const int64_t points[] = {1, 2, 10, 100, 1700, 64000, INT32_MAX};
    for (int i = 0; i < COUNT(points); i++) {
        double found = loss_lambda(c->loss, points[i]), expected = expected_lambda(c, points[i]);
        EXPECT(fabs(found - expected) <= 1e-14 * expected, "%s: lambda is %.17g at %d, expected %.17g", c->yaml, found,
               (int)points[i], expected);
    }
}

START_TEST(lambdas) {
    each_case(_i, check_lambda);
}
END_TEST

/* What a spec that names the loss alone gets: the method's values. */
static const struct {
    const char *type, *angular;
    double margin, scale;
    struct ref_annealing annealing;
} defaults[] = {
    {"w_softmax", "cosine", 1, 1, {0, 0, 0, 0}},        {"a_softmax", "cosine", 4, 1, {1000, 0.12, 1, 5}},
    {"ga_softmax", "linear", 4, 1, {1000, 0.12, 1, 5}}, {"cosface", "cosine", 0.35, 64, {0, 0, 1, 0}},
    {"arcface", "cosine", 0.5, 64, {0, 0, 1, 0}},
};

START_TEST(defaults_of_a_spec) {
    struct loss_case c = {.row = &loss_rows[_i],
                          .activation = &activations[strcmp(defaults[_i].angular, "linear") == 0]};
    struct inputs in;
    ck_assert_str_eq(defaults[_i].type, c.row->type);
    c.margin = defaults[_i].margin;
    c.scale = defaults[_i].scale;
    c.annealing = defaults[_i].annealing;
    snprintf(c.yaml, sizeof c.yaml, "loss: %s", c.row->type);
    c.loss = bind_loss(&c.arena, c.yaml);
    sample(&in, &c, CLASSES);
    for (int j = 0; j < COUNT(iterations); j++)
        check_value(&c, &in, iterations[j]);
    check_lambda(&c);
    arena_free(&c.arena);
}
END_TEST

START_TEST(every_angular_loss_is_covered) {
    for (int row = 0; loss_registry.rows[row]; row++) {
        const struct loss_type *type = (const struct loss_type *)loss_registry.rows[row];
        bool covered = type->needs == HEAD_SCORES;
        for (int i = 0; i < COUNT(loss_rows); i++)
            covered |= strcmp(type->kind.name, loss_rows[i].type) == 0;
        EXPECT(covered, "no case for loss %s", type->kind.name);
        EXPECT(type->needs == HEAD_COSINES || (!type->lambda && strcmp(type->kind.name, "softmax") == 0), "loss %s",
               type->kind.name);
    }
}
END_TEST

/* --- psi --------------------------------------------------------------------------------------------------------- */

enum { GRID = 20000 };

static const double plus_margins[] = {0, 0.35, 0.5, M_PI / 2, 2.5, 3.14, M_PI};

/* One of the functions of an angle: psi with an integer margin, or g(theta + margin). */
struct curve {
    const struct angular_case *activation;
    double margin;
    bool plus;
};

static struct of_cosine curve_at(const struct curve *curve, double cosine) {
    const struct angular *g = (const struct angular *)registry_find(&angular_registry, curve->activation->name);
    if (curve->plus)
        return margin_plus(g, curve->activation->k, curve->margin, cosine);
    return margin_times(g, curve->activation->k, (int)curve->margin, cosine);
}

static bool is_clamped(const struct curve *curve) {
    return curve->plus || strcmp(curve->activation->name, "cosine") != 0;
}

static double curve_reference(const struct curve *curve, double cosine) {
    const struct angular_case *a = curve->activation;
    double limit = is_clamped(curve) ? 1 - ANGULAR_CLAMP : 1, theta = acos(fmax(-limit, fmin(limit, cosine)));
    if (!curve->plus)
        return ref_psi(a->name, a->k, curve->margin, theta);
    double p = floor((theta + curve->margin) / M_PI);
    return ref_angular(a->name, theta + curve->margin - p * M_PI, a->k) - 2 * p;
}

/* Falls with theta: strictly where c is not clamped and the step in c can be told from rounding. At a break psi is as
 * flat as a cosine at 0, so that a step of d around it changes the value by (m d / 2)^2 or more: 6e-9 here, unless the
 * activation is as flat there as sigmoid(0.1), whose slope is 3e-6. Continuous: no step is larger than the steepest
 * slope allows. */
static void check_curve(const struct curve *curve) {
    double before = curve_at(curve, 1).value, step = M_PI / GRID, factor = curve->plus ? 1 : curve->margin;
    const char *name = curve->activation->name, *kind = curve->plus ? "+" : "*";
    for (int i = 1; i <= GRID; i++) {
        double theta = i * step, c = i == GRID ? -1 : cos(theta);
        struct of_cosine at = curve_at(curve, c);
        double expected = curve_reference(curve, c), drop = before - at.value;
        bool inside = !is_clamped(curve) || (cos(theta - step) < 1 - ANGULAR_CLAMP && c > -1 + ANGULAR_CLAMP);
        double rounding = 32 * DBL_EPSILON * (1 + factor * curve->activation->steepest);
        EXPECT(fabs(at.value - expected) <= rounding * factor, "%s(%g), theta %s %g: %.17g at %g, expected %.17g", name,
               curve->activation->k, kind, curve->margin, at.value, theta, expected);
        EXPECT(inside ? drop > 0 : drop >= 0, "%s(%g), theta %s %g: falls by %g at %.17g", name, curve->activation->k,
               kind, curve->margin, drop, theta);
        EXPECT(drop <= 1.001 * factor * curve->activation->steepest * step, "%s(%g), theta %s %g: jumps by %g at %g",
               name, curve->activation->k, kind, curve->margin, drop, theta);
        EXPECT(at.slope >= -1e-12 && isfinite(at.slope), "%s(%g), theta %s %g: slope %g at %g", name,
               curve->activation->k, kind, curve->margin, at.slope, theta);
        before = at.value;
    }
}

/* From 1 to 1 - 2m, up to what the clamp leaves of the ends. */
static void check_ends(const struct curve *curve) {
    double rest = is_clamped(curve) ? acos(1 - ANGULAR_CLAMP) * 2 / M_PI * curve->margin : 0;
    double first = curve_at(curve, 1).value, last = curve_at(curve, -1).value;
    EXPECT(first <= 1 + 1e-15 && first >= 1 - rest - 1e-15, "%s(%g), margin %g: %.17g at 0", curve->activation->name,
           curve->activation->k, curve->margin, first);
    double end = 1 - 2 * curve->margin;
    EXPECT(last >= end - 1e-14 && last <= end + rest + 1e-14, "%s(%g), margin %g: %.17g at pi", curve->activation->name,
           curve->activation->k, curve->margin, last);
}

START_TEST(psi_falls_from_1_to_1_minus_2m) {
    for (int margin = 1; margin <= 8; margin++) {
        struct curve curve = {&activations[_i], margin, false};
        check_curve(&curve);
        check_ends(&curve);
    }
}
END_TEST

START_TEST(g_of_theta_plus_margin_falls_beyond_pi) {
    for (int i = 0; i < COUNT(plus_margins); i++)
        check_curve(&(struct curve){&activations[_i], plus_margins[i], true});
}
END_TEST

/* margin_none is psi at m = 1 and g(theta + 0). */
START_TEST(no_margin_is_g) {
    const struct angular *g = (const struct angular *)registry_find(&angular_registry, activations[_i].name);
    double k = activations[_i].k;
    for (int i = 0; i <= 1000; i++) {
        double c = cos(M_PI * i / 1000);
        struct of_cosine none = margin_none(g, k, c), times = margin_times(g, k, 1, c);
        double expected = curve_reference(&(struct curve){&activations[_i], 1, false}, c);
        EXPECT(fabs(none.value - expected) <= 1e-14, "%s(%g): %.17g at %g, expected %.17g", activations[_i].name, k,
               none.value, c, expected);
        EXPECT(fabs(none.value - times.value) <= 1e-14 && fabs(none.slope - times.slope) <= 1e-12 * none.slope,
               "%s(%g): %.17g, %.17g at %g, psi %.17g, %.17g", activations[_i].name, k, none.value, none.slope, c,
               times.value, times.slope);
    }
}
END_TEST

/* --- The ends of every range ------------------------------------------------------------------------------------- */

/* Where the formulas have finite values in either arithmetic, and beyond. Squares of the latter overflow. */
static const double lengths_within[] = {0, 1e-30, 0.01, 1, 1e3, 1e15};
static const double lengths_beyond[] = {1e25, REAL_LARGEST, INFINITY};
static const real corners[] = {1, -1, 0};

enum { CORNERS = 27 };

/* Every way to have three classes parallel, antiparallel or at a right angle to a feature of that length. */
static void corner_inputs(struct inputs *in, double length, int label) {
    in->n = CORNERS;
    in->classes = 3;
    for (int i = 0; i < CORNERS; i++) {
        in->labels[i] = label;
        in->lengths[i] = (real)length;
        for (int j = 0, rest = i; j < 3; j++)
            in->cosines[3 * i + j] = corners[take(&rest, 3)];
    }
}

static void check_numbers(const struct loss_case *c, const struct inputs *in, const char *what, const real *values,
                          int count, bool finite) {
    for (int i = 0; i < count; i++)
        EXPECT(finite ? isfinite(values[i]) : !isnan(values[i]), "%s, lengths %g: %s[%d] is %g", c->yaml,
               in->lengths[0], what, i, values[i]);
}

static void check_corner(const struct loss_case *c, double length, int label, int64_t iteration, bool finite) {
    struct inputs in;
    struct gradients gradients;
    corner_inputs(&in, length, label);
    double value = evaluate(c, &in, iteration, &gradients);
    EXPECT(finite ? isfinite(value) : !isnan(value), "%s, lengths %g, iteration %d: the loss is %g", c->yaml, length,
           (int)iteration, value);
    check_numbers(c, &in, "scores", gradients.cosines, in.n * in.classes, finite);
    check_numbers(c, &in, "lengths", gradients.lengths, in.n, finite);
    if (finite)
        check_value(c, &in, iteration);
}

static void check_corners(const struct loss_case *c) {
    for (int label = 0; label < 3; label++)
        for (int j = 0; j < COUNT(iterations); j++) {
            for (int i = 0; i < COUNT(lengths_within); i++)
                check_corner(c, lengths_within[i], label, iterations[j], true);
            for (int i = 0; i < COUNT(lengths_beyond); i++)
                check_corner(c, lengths_beyond[i], label, iterations[j], false);
        }
}

START_TEST(corners_are_numbers) {
    each_case(_i, check_corners);
}
END_TEST

/* What went wrong before the loss must show in it: that is what training watches. */
static void check_nan(const struct loss_case *c) {
    struct inputs in;
    for (int j = 0; j < 3; j++)
        for (int k = 0; k < COUNT(iterations); k++) {
            sample(&in, c, 3);
            in.cosines[j] = (real)NAN;
            double value = evaluate(c, &in, iterations[k], NULL);
            EXPECT(isnan(value), "%s: the loss is %g where cosine %d of 3, label %d, is not a number", c->yaml, value,
                   j, in.labels[0]);
        }
    sample(&in, c, 3);
    in.lengths[0] = (real)NAN;
    double value = evaluate(c, &in, 1, NULL);
    EXPECT(isnan(value) == looks_at_lengths(c), "%s: the loss is %g where a length is not a number", c->yaml, value);
}

START_TEST(a_nan_stays_one) {
    each_case(_i, check_nan);
}
END_TEST

/* --- Whole networks ---------------------------------------------------------------------------------------------- */

/* A network for an angular loss, and what a step of the trainer hands from one to the other. */
struct wired {
    struct experiment experiment;
    struct model net;
    struct loss loss;
    int n;
    real *images;
    int32_t labels[8];
};

/* network: "data: ..." and "network: ...", with three classes */
static void wired_open(struct wired *w, const char *network, int n) {
    struct text spec = {0};
    struct diagnostics diags = {0};
    struct error err;
    memset(w, 0, sizeof *w);
    text_printf(&spec, "%s\nloss: w_softmax\ntrain: {iterations: 1, batch_size: %d}\n", network, n);
    bool parsed = experiment_parse(&w->experiment, "test", spec.data, NULL, 0, &diags);
    EXPECT(parsed && experiment_plan(&w->experiment, &w->net, &w->loss, &diags), "%s%s", spec.data, diags.text.data);
    EXPECT(model_allocate(&w->net, 3, &err), "%s", err.text);
    EXPECT(w->net.head.lengths_gradient, "%s: no gradient of lengths", spec.data);
    w->n = n;
    const struct dataset *shape = &w->experiment.shape;
    w->images = mem_alloc((size_t)(n * shape->height * shape->width * shape->channels) * sizeof(real));
    text_free(&spec);
}

static void wired_close(struct wired *w) {
    model_free(&w->net);
    experiment_free(&w->experiment);
    free(w->images);
}

static double wired_loss(struct wired *w, struct choice loss, int64_t iteration, bool gradient) {
    const real *scores = model_forward(&w->net, model_step(&w->net, w->n, STEP_TRAIN), w->images);
    struct loss_input in = {w->n, w->experiment.shape.classes, scores, w->net.head.lengths, w->labels, NULL};
    struct loss_gradient to = {w->net.head.scores_gradient, w->net.head.lengths_gradient, NULL};
    return lone_loss(loss, &in, iteration, gradient ? &to : NULL);
}

static const struct tensor *tensor_called(const struct model *net, const char *name) {
    for (int i = 0; i < net->tensor_count; i++)
        if (strcmp(net->tensors[i]->name, name) == 0)
            return net->tensors[i];
    ck_abort_msg("no tensor %s", name);
}

/* Weights so long that epsilon is lost beside their square, at right angles or opposite to each other. */
static const real class_weights[] = {600, 800, -800, 600, -600, -800};

/* Features: none, huge ones, and ones exactly along or against the weights of their own class or of another. */
static const real planar_images[] = {0, 0, (real)1e15, -(real)1e15, 6e3, 8e3, -3e3, -4e3, 8e3, -6e3, 3e3, 4e3};
static const int32_t planar_labels[] = {0, 1, 0, 0, 1, 2};

static const char *const planar_networks[] = {
    "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
    "network: {type: layers, layers: [{type: dense, name: score, units: 3, bias: false}]}",
    "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
    "network: {type: layers, layers: [{type: dense, name: feature, units: 2, bias: false}, "
    "{type: dense, name: score, units: 3, bias: false}]}",
};

static struct wired planar[COUNT(planar_networks)];

static void planar_open(struct wired *w, const char *network) {
    wired_open(w, network, COUNT(planar_labels));
    memcpy(w->images, planar_images, sizeof planar_images);
    memcpy(w->labels, planar_labels, sizeof planar_labels);
    memcpy(tensor_called(&w->net, "score.weight")->value, class_weights, sizeof class_weights);
    if (network == planar_networks[1])
        memcpy(tensor_called(&w->net, "feature.weight")->value, (real[]){1, 0, 0, 1}, 4 * sizeof(real));
}

/* That the images are what they are meant to be, up to epsilon, which is 1e-10 of the weights' squares. */
static void check_planar_scores(struct wired *w) {
    static const double expected[] = {
        0, 0, 0, -0.2 / M_SQRT2, -1.4 / M_SQRT2, 0.2 / M_SQRT2, 1, 0, -1, -1, 0, 1, 0, -1, 0, 1, 0, -1};
    const real *scores = model_forward(&w->net, model_step(&w->net, w->n, STEP_TRAIN), w->images);
    for (int i = 0; i < COUNT(expected); i++)
        EXPECT(fabs(scores[i] - expected[i]) <= 1e-10 + 8 * REAL_EPSILON, "scores[%d] is %.17g, expected %.17g", i,
               scores[i], expected[i]);
}

static void check_planar(struct wired *w, const struct loss_case *c, int64_t iteration) {
    double value = wired_loss(w, c->loss, iteration, true);
    EXPECT(isfinite(value), "%s: the loss is %g", c->yaml, value);
    model_backward(&w->net, model_step(&w->net, w->n, STEP_TRAIN), w->images);
    for (int i = 0; i < w->net.tensor_count; i++) {
        const struct tensor *t = w->net.tensors[i];
        for (size_t j = 0; j < t->count; j++)
            EXPECT(isfinite(t->grad[j]), "%s: gradient of %s[%zu] is %g", c->yaml, t->name, j, t->grad[j]);
    }
}

static void check_planars(const struct loss_case *c) {
    for (int i = 0; i < COUNT(planar_networks); i++) {
        check_planar(&planar[i], c, 1);
        check_planar(&planar[i], c, 1000000);
    }
}

static void planar_open_all(void) {
    for (int i = 0; i < COUNT(planar_networks); i++) {
        planar_open(&planar[i], planar_networks[i]);
        check_planar_scores(&planar[i]);
    }
}

static void planar_close_all(void) {
    for (int i = 0; i < COUNT(planar_networks); i++)
        wired_close(&planar[i]);
}

START_TEST(networks_stay_finite) {
    planar_open_all();
    each_case(_i, check_planars);
    planar_close_all();
}
END_TEST

/* Features whose squares overflow, though no dot product does: their length is infinite. */
START_TEST(networks_stay_finite_where_squares_overflow) {
    planar_open_all();
    for (int i = 0; i < COUNT(planar_networks); i++) {
        planar[i].images[2] = 4 * (real)sqrt(REAL_LARGEST);
        planar[i].images[3] = -planar[i].images[2];
    }
    each_case(_i, check_planars);
    planar_close_all();
}
END_TEST

/* --- The trainer -------------------------------------------------------------------------------------------------- */

static const char trainer_spec[] = "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
                                   "network: {type: layers, layers: [{type: dense, name: feature, units: 2}, "
                                   "{type: dense, name: score, units: 3, bias: false}]}\n"
                                   "loss: {type: a_softmax, annealing: {base: 10, gamma: 1, power: 2, minimum: 0.5}}\n"
                                   "optimizer: {type: sgd, learning_rate: 0.5, momentum: 0}\n"
                                   "regularizer: {weight_decay: 0, orthogonality: 0}\n"
                                   "train: {iterations: 4, batch_size: 6}\n";

/* One step against a loss and a backward pass of our own. */
static void check_step(struct trainer *trainer, const struct batch *batch, int64_t iteration) {
    static const struct ref_annealing annealing = {10, 1, 2, 0.5};
    struct model *net = &trainer->model;
    const struct head *head = &net->head;
    const int count = net->tensor_count;
    real *expected[8];
    struct choice loss = trainer->experiment->loss;
    struct loss_input in = {
        6, 3, model_forward(net, model_step(net, 6, STEP_TRAIN), batch->images), head->lengths, batch->labels, NULL};
    double fit =
        lone_loss(loss, &in, iteration, &(struct loss_gradient){head->scores_gradient, head->lengths_gradient, NULL});
    model_backward(net, model_step(net, 6, STEP_TRAIN), batch->images);
    for (int i = 0; i < count; i++) {
        const struct tensor *t = net->tensors[i];
        expected[i] = mem_alloc(t->count * sizeof(real));
        for (size_t j = 0; j < t->count; j++)
            expected[i][j] = t->value[j] - (real)0.5 * t->grad[j];
    }
    struct step_result result = trainer_step(trainer, batch);
    EXPECT(result.fit == fit, "iteration %d: fit %.17g, expected %.17g", (int)iteration, result.fit, fit);
    double lambda = ref_lambda(&annealing, (double)iteration);
    EXPECT(fabs(result.lambda - lambda) <= 1e-14 * lambda, "lambda is %.17g, expected %.17g", result.lambda, lambda);
    for (int i = 0; i < count; i++) {
        const struct tensor *t = net->tensors[i];
        for (size_t j = 0; j < t->count; j++)
            EXPECT(fabs(t->value[j] - expected[i][j]) <= 8 * REAL_EPSILON * (1 + fabs(expected[i][j])),
                   "iteration %d: %s[%zu] is %.9g, expected %.9g", (int)iteration, t->name, j, t->value[j],
                   expected[i][j]);
        free(expected[i]);
    }
}

START_TEST(trainer_steps_with_a_margin) {
    struct experiment experiment;
    struct trainer trainer;
    struct diagnostics diags = {0};
    struct error err;
    struct rng rng = rng_stream(41, RNG_TEST, 0, 0);
    real images[12];
    int32_t labels[] = {0, 1, 2, 2, 1, 0};
    EXPECT(experiment_parse(&experiment, "test", trainer_spec, NULL, 0, &diags), "%s", diags.text.data);
    EXPECT(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    for (int64_t iteration = 1; iteration <= 4; iteration++) {
        for (int i = 0; i < COUNT(images); i++)
            images[i] = (real)(3 * rng_normal(&rng));
        check_step(&trainer, &(struct batch){6, images, labels}, iteration);
    }
    trainer_close(&trainer);
    experiment_free(&experiment);
}
END_TEST

/* --- Gradients ---------------------------------------------------------------------------------------------------- */

#ifdef SN_DOUBLE

/* Of image i alone, as part of the mean. */
static double share(const struct loss_case *c, const struct inputs *in, int image, int64_t iteration) {
    struct loss_input input = {
        1, in->classes, in->cosines + image * in->classes, in->lengths + image, in->labels + image, NULL};
    return lone_loss(c->loss, &input, iteration, NULL) / in->n;
}

/* Central differences of fourth order. */
static double difference(const struct loss_case *c, struct inputs *in, int image, int64_t iteration, double *at,
                         double step) {
    static const double offsets[] = {-2, -1, 1, 2}, weights[] = {1, -8, 8, -1};
    double was = *at, sum = 0;
    for (int i = 0; i < COUNT(offsets); i++) {
        *at = was + offsets[i] * step;
        sum += weights[i] * share(c, in, image, iteration);
    }
    *at = was;
    return sum / (12 * step);
}

/* Small beside the angle's curvature: near |c| = 1 and near a break, beside the distance to it, so that no difference
 * reaches across; else beside the angle over which the steepest activation at the largest margin turns, 2k / m. */
static double step_at(const struct loss_case *c, double cosine) {
    double at[ANGLES], distance = 1 - fabs(cosine);
    int count = breaks(c, at);
    for (int i = 0; i < count; i++)
        distance = fmin(distance, fabs(cosine - cos(at[i])));
    return fmin(2e-4, 5e-3 * distance);
}

/* With a step of 5e-3 of the distance d to where the root in acos ends, an error of order four is below 1e-8 of the
 * slope. The value is rounded to some 1e-16 of the largest logit, which the difference divides by the step. */
static void check_slope(const struct loss_case *c, const struct inputs *in, const char *what, int image, int class,
                        double found, double expected, double scale, double step) {
    double rounding = 4 * DBL_EPSILON * (1 + largest_logit(c, in)) / (step * in->n);
    EXPECT(fabs(found - expected) <= 1e-7 * scale + rounding,
           "%s: d / d %s[%d][%d] is %.15g, expected %.15g (cosine %.10g, label %d)", c->yaml, what, image, class, found,
           expected, in->cosines[image * in->classes + class], in->labels[image]);
}

static void check_image(const struct loss_case *c, struct inputs *in, int image, int64_t iteration,
                        const struct gradients *gradients) {
    for (int j = 0; j < in->classes; j++) {
        int place = image * in->classes + j;
        double step = step_at(c, in->cosines[place]);
        double expected = difference(c, in, image, iteration, &in->cosines[place], step);
        check_slope(c, in, "scores", image, j, gradients->cosines[place], expected, fabs(expected), step);
    }
    double expected = difference(c, in, image, iteration, &in->lengths[image], 1e-4);
    check_slope(c, in, "lengths", image, 0, gradients->lengths[image], expected, fabs(expected), 1e-4);
}

static void check_gradients(const struct loss_case *c) {
    struct inputs in;
    struct gradients gradients;
    sample(&in, c, 3);
    for (int j = 0; j < COUNT(iterations); j++) {
        evaluate(c, &in, iterations[j], &gradients);
        for (int i = 0; i < in.n; i++)
            check_image(c, &in, i, iterations[j], &gradients);
    }
}

START_TEST(gradients) {
    each_case(_i, check_gradients);
}
END_TEST

/* At and beyond the clamp the slope is the one at the clamp (margin.h). */
START_TEST(slopes_at_the_clamp) {
    for (int margin = 1; margin <= 4; margin++)
        for (int sign = -1; sign <= 1; sign += 2) {
            struct curve times = {&activations[_i], margin, false}, plus = {&activations[_i], margin - 1, true};
            double edge = sign * (1 - ANGULAR_CLAMP);
            struct of_cosine end = curve_at(&plus, sign), at = curve_at(&plus, edge);
            EXPECT(end.slope == at.slope && end.value == at.value, "%s(%g), plus %d, c = %d: %.17g, at %.17g",
                   activations[_i].name, activations[_i].k, margin - 1, sign, end.slope, at.slope);
            end = curve_at(&times, sign), at = curve_at(&times, edge);
            EXPECT(is_clamped(&times) ? end.slope == at.slope : fabs(end.slope - margin * margin) <= 1e-12,
                   "%s(%g), times %d, c = %d: %.17g, at the clamp %.17g", activations[_i].name, activations[_i].k,
                   margin, sign, end.slope, at.slope);
        }
}
END_TEST

/* --- Gradients of whole networks ---------------------------------------------------------------------------------- */

static const char *const networks[] = {
    "data: {type: synthetic, height: 4, width: 3, channels: 2, classes: 3}\n"
    "network: {type: layers, layers: [{type: sphere_conv, filters: 4, operator: {angular: sigmoid}}, "
    "{type: dense, name: feature, units: 2}, {type: dense, name: score, units: 3, bias: false}]}",
    /* the feature is a map, and no layer before it is flat */
    "data: {type: synthetic, height: 4, width: 3, channels: 2, classes: 3}\n"
    "network: {type: layers, layers: [{type: conv, filters: 5, kernel: 2, bias: true}, "
    "{type: dense, name: score, units: 3, bias: false}]}",
    /* the feature is normalised itself, so that all lengths are much the same */
    "data: {type: synthetic, height: 4, width: 3, channels: 2, classes: 3}\n"
    "network: {type: layers, layers: [{type: dense, name: feature, units: 2, operator: {magnitude: sphere}}, "
    "{type: sphere_norm}, {type: dense, name: score, units: 3, bias: false, operator: {epsilon: 0.01}}]}",
    /* maps in front of the classifier */
    "data: {type: synthetic, height: 4, width: 3, channels: 2, classes: 3}\n"
    "network: {type: layers, layers: [{type: dense, name: feature, units: 6}, {type: batch_norm}, {type: relu}, "
    "{type: dense, name: score, units: 3, bias: false}]}",
    /* in parentheses, or a compiler takes it for two specs whose comma was forgotten */
    ("data: {type: synthetic, height: 8, width: 8, channels: 2, classes: 3}\n"
     "network: {type: plain, depth: 3, widths: [2, 3, 3], features: 2}"),
};

static void fill(struct rng *rng, real *values, size_t count, double deviation) {
    for (size_t i = 0; i < count; i++)
        values[i] = deviation * rng_normal(rng);
}

static void random_batch(struct wired *w) {
    const struct dataset *shape = &w->experiment.shape;
    struct rng rng = rng_stream(31, RNG_TEST, 0, 0);
    fill(&rng, w->images, (size_t)(w->n * shape->height * shape->width * shape->channels), 1);
    for (int i = 0; i < w->n; i++)
        w->labels[i] = (i % 3);
    for (int i = 0; i < w->net.tensor_count; i++) {
        const struct tensor *t = w->net.tensors[i];
        if (t->trained && t->role == ROLE_NORM)
            fill(&rng, t->value, t->count, 1);
    }
}

static double norm(const real *values, int count, double epsilon) {
    double sum = epsilon;
    for (int i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sqrt(sum);
}

/* The classifier's part of the network from its definition: cosines and lengths of the features the net shows. */
static void check_wired_value(struct wired *w, const struct loss_case *c, int64_t iteration) {
    int width = w->net.head.width, classes = 3;
    const struct chain *chain = &w->net.chain;
    const struct dense_config *classifier = chain->layers[chain->count - 1].choice.config;
    double epsilon = classifier->operation.epsilon, cosines[8 * 3], lengths[8];
    real *features = mem_alloc((size_t)(w->n * width) * sizeof *features);
    const real *weights = tensor_called(&w->net, "score.weight")->value;
    double found = wired_loss(w, c->loss, iteration, false);
    model_features(&w->net, w->n, w->images, features);
    for (int i = 0; i < w->n; i++) {
        lengths[i] = norm(features + i * width, width, epsilon);
        for (int j = 0; j < classes; j++) {
            double dot = 0;
            for (int e = 0; e < width; e++)
                dot += features[i * width + e] * weights[j * width + e];
            cosines[i * classes + j] = dot / (lengths[i] * norm(weights + j * width, width, epsilon));
        }
    }
    struct ref_angular_loss loss = reference(c, iteration);
    double expected = ref_angular_loss(&loss, w->n, classes, cosines, lengths, w->labels);
    EXPECT(fabs(found - expected) <= 1e-12 * (1 + fabs(expected)), "%s: %.17g, expected %.17g", c->yaml, found,
           expected);
    free(features);
}

/* Steps of 1e-5 in weights around 1: what they miss is below 1e-9 of the curvature, and a loss of up to 100 is rounded
 * to 1e-14, 1e-9 of the step. */
static void check_tensor(struct wired *w, const struct loss_case *c, int64_t iteration, const struct tensor *t,
                         const real *found) {
    double scale = 0, step = 1e-5;
    for (size_t j = 0; j < t->count; j++)
        scale = fmax(scale, fabs(found[j]));
    for (size_t j = 0; j < t->count; j++) {
        double was = t->value[j];
        t->value[j] = was + step;
        double above = wired_loss(w, c->loss, iteration, false);
        t->value[j] = was - step;
        double below = wired_loss(w, c->loss, iteration, false), expected = (above - below) / (2 * step);
        t->value[j] = was;
        EXPECT(fabs(found[j] - expected) <= 1e-6 * scale + 1e-8, "%s: d / d %s[%zu] is %.15g, expected %.15g", c->yaml,
               t->name, j, found[j], expected);
    }
}

/* A copy of all gradients, to be freed. */
static real *gradients_of(const struct model *net) {
    real *copy = mem_alloc(plan_sizes(&net->planner).trained * sizeof *copy), *next = copy;
    for (int i = 0; i < net->tensor_count; i++)
        for (size_t j = 0; net->tensors[i]->trained && j < net->tensors[i]->count; j++)
            *next++ = net->tensors[i]->grad[j];
    return copy;
}

static void check_wired(struct wired *w, const struct loss_case *c, int64_t iteration) {
    check_wired_value(w, c, iteration);
    wired_loss(w, c->loss, iteration, true);
    model_backward(&w->net, model_step(&w->net, w->n, STEP_TRAIN), w->images);
    real *found = gradients_of(&w->net), *next = found;
    for (int i = 0; i < w->net.tensor_count; i++) {
        const struct tensor *t = w->net.tensors[i];
        if (t->trained) {
            check_tensor(w, c, iteration, t, next);
            next += t->count;
        }
    }
    free(found);
}

static struct wired wired;

static void check_network(const struct loss_case *c) {
    check_wired(&wired, c, 10);
}

START_TEST(gradients_of_networks) {
    for (int i = 0; i < COUNT(networks); i++) {
        wired_open(&wired, networks[i], 7);
        random_batch(&wired);
        each_case(_i, check_network);
        wired_close(&wired);
    }
}
END_TEST

#endif

/* --- Trained k ---------------------------------------------------------------------------------------------------- */

enum { K_IMAGES = 6, K_CLASSES = 3 };

/* A margin and whether all classes share a k, by number. */
static struct choice open_learnable(struct arena *arena, int number) {
    const char *yaml = arena_printf(arena,
                                    "loss: {type: ga_softmax, angular: learnable_sigmoid, k_offset: 0.1, margin: %d, "
                                    "k_shared: %s, annealing: {base: 0, minimum: 0.5}}",
                                    number < 2 ? 1 : 3, number % 2 ? "layer" : "filter");
    return bind_loss(arena, yaml);
}

struct k_batch {
    real cosines[K_IMAGES * K_CLASSES], lengths[K_IMAGES], k[K_CLASSES];
    int32_t labels[K_IMAGES];
    struct loss_input in;
};

static void fill_k_batch(struct k_batch *batch) {
    struct rng rng = rng_stream(21, RNG_TEST, 0, 0);
    for (int i = 0; i < K_IMAGES * K_CLASSES; i++)
        batch->cosines[i] = (real)(1.9 * rng_uniform(&rng) - 0.95);
    for (int i = 0; i < K_IMAGES; i++) {
        batch->lengths[i] = (real)(0.5 + 4 * rng_uniform(&rng));
        batch->labels[i] = (i % K_CLASSES);
    }
    for (int i = 0; i < K_CLASSES; i++)
        batch->k[i] = (real)0.25;
    batch->in = (struct loss_input){K_IMAGES, K_CLASSES, batch->cosines, batch->lengths, batch->labels, batch->k};
}

START_TEST(equal_k_are_one_fixed_k) {
    struct arena arena = {0};
    struct k_batch batch;
    real scores[2][K_IMAGES * K_CLASSES], lengths[2][K_IMAGES], dk[K_CLASSES];
    fill_k_batch(&batch);
    const char *yaml = arena_printf(&arena,
                                    "loss: {type: ga_softmax, angular: sigmoid, k: 0.35, margin: %d, annealing: {base: "
                                    "0, minimum: 0.5}}",
                                    _i < 2 ? 1 : 3);
    double trained =
        lone_loss(open_learnable(&arena, _i), &batch.in, 1, &(struct loss_gradient){scores[0], lengths[0], dk});
    batch.in.own = NULL;
    double fixed =
        lone_loss(bind_loss(&arena, yaml), &batch.in, 1, &(struct loss_gradient){scores[1], lengths[1], NULL});
    EXPECT(fabs(trained - fixed) <= 1e-6 * fixed, "%.17g, expected %.17g", trained, fixed);
    for (int i = 0; i < K_IMAGES * K_CLASSES; i++)
        EXPECT(fabs((double)(scores[0][i] - scores[1][i])) <= 1e-5, "%s: cosine %d", yaml, i);
    for (int i = 0; i < K_IMAGES; i++)
        EXPECT(fabs((double)(lengths[0][i] - lengths[1][i])) <= 1e-5, "%s: length %d", yaml, i);
    arena_free(&arena);
}
END_TEST

/* One step of plain gradient descent takes k where its gradient says, and k is in the checkpoint's tensors. */
START_TEST(k_takes_a_step) {
    static const char *const shared[] = {"filter", "layer"};
    struct experiment experiment;
    struct trainer trainer;
    struct diagnostics diags = {0};
    struct error err;
    struct text spec = {0};
    real images[K_IMAGES * 2] = {1, 2, -1, 1, 2, -2, 1, 0, 0, 1, -1, -1}, dk[K_CLASSES];
    int32_t labels[K_IMAGES] = {0, 1, 2, 2, 1, 0};
    text_printf(&spec,
                "data: {type: synthetic, height: 1, width: 2, channels: 1, classes: 3}\n"
                "network: {type: layers, layers: [{type: dense, name: score, units: 3, bias: false}]}\n"
                "loss: {type: w_softmax, angular: learnable_sigmoid, initial_k: -0.4, k_shared: %s}\n"
                "optimizer: {type: sgd, learning_rate: 0.5, momentum: 0}\n"
                "regularizer: {weight_decay: 0, orthogonality: 0}\n"
                "train: {iterations: 4, batch_size: 6}\n",
                shared[_i]);
    EXPECT(experiment_parse(&experiment, "test", spec.data, NULL, 0, &diags), "%s", diags.text.data);
    EXPECT(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    const struct head *head = &trainer.model.head;
    const struct tensor *t = trainer.model.tensors[1];
    struct batch batch = {K_IMAGES, images, labels};
    struct loss_input in = {K_IMAGES,
                            K_CLASSES,
                            model_forward(&trainer.model, model_step(&trainer.model, K_IMAGES, STEP_TRAIN), images),
                            head->lengths,
                            labels,
                            t->value};
    lone_loss(experiment.loss, &in, 1, &(struct loss_gradient){head->scores_gradient, head->lengths_gradient, dk});
    int count = _i ? 1 : K_CLASSES;
    ck_assert_str_eq(t->name, "score.k");
    ck_assert_uint_eq(t->count, (size_t)count);
    trainer_step(&trainer, &batch);
    for (int i = 0; i < count; i++) {
        EXPECT(dk[i] != 0, "no gradient");
        EXPECT(fabs((double)(t->value[i] - ((real)-0.4 - (real)0.5 * dk[i]))) < 1e-7, "k[%d] is %.9g after -%.9g", i,
               (double)t->value[i], 0.5 * (double)dk[i]);
    }
    trainer_close(&trainer);
    experiment_free(&experiment);
    text_free(&spec);
}
END_TEST

#ifdef SN_DOUBLE

/* Steps of 1e-5: what they miss is below 1e-8 of the value, rounding below 1e-10. */
START_TEST(gradient_of_k) {
    struct arena arena = {0};
    struct k_batch batch;
    real scores[K_IMAGES * K_CLASSES], lengths[K_IMAGES], dk[K_CLASSES];
    struct choice loss = open_learnable(&arena, _i);
    const double step = 1e-5;
    fill_k_batch(&batch);
    batch.k[0] = 0.7;
    batch.k[1] = -0.2;
    lone_loss(loss, &batch.in, 1, &(struct loss_gradient){scores, lengths, dk});
    for (int j = 0; j < (_i % 2 ? 1 : K_CLASSES); j++) {
        double was = batch.k[j];
        batch.k[j] = was + step;
        double above = lone_loss(loss, &batch.in, 1, NULL);
        batch.k[j] = was - step;
        double below = lone_loss(loss, &batch.in, 1, NULL), expected = (above - below) / (2 * step);
        batch.k[j] = was;
        EXPECT(fabs(dk[j] - expected) <= 1e-8, "d / d k[%d] is %.15g, expected %.15g", j, dk[j], expected);
    }
    arena_free(&arena);
}
END_TEST

#endif

/* --- Specs that cannot be ----------------------------------------------------------------------------------------- */

#define IMAGES_OF(SIZE) "data: {type: synthetic, height: " #SIZE ", width: " #SIZE ", channels: 2, classes: 3}\n"
#define LAYERS(LAST) IMAGES_OF(4) "network: {type: layers, layers: [{type: sphere_conv, filters: 4}, " LAST "]}\n"
#define CLASSIFIER "{type: dense, name: score, units: 3, bias: false}"
#define PLAIN(KEYS) IMAGES_OF(8) "network: {type: plain, depth: 3, widths: [4, 4, 4], features: 2" KEYS "}\n"

/* hints: where the mistake is, and words of what to do about it */
static const struct {
    const char *spec, *hints[3];
} mistakes[] = {
    {LAYERS("{type: dense, name: score, units: 3}") "loss: a_softmax",
     {"network.layers[1]", "a_softmax", "bias: false"}},
    {PLAIN(", classifier_bias: true") "loss: w_softmax", {"network", "w_softmax", "bias"}},
    {PLAIN(", classifier_operator: {magnitude: linear}") "loss: a_softmax",
     {"network", "a_softmax", "leave out network.classifier_operator"}},
    {PLAIN(", classifier_operator: {angular: linear}") "loss: ga_softmax",
     {"network", "ga_softmax", "leave out network.classifier_operator"}},
    {LAYERS("{type: dense, units: 3, bias: false, operator: {magnitude: linear}}") "loss: cosface",
     {"network.layers[1]", "cosface", "leave out network.classifier_operator, or the operator"}},
    {LAYERS(CLASSIFIER ", relu") "loss: arcface", {"network.layers[2]", "arcface", "dense layer at the end"}},
    {LAYERS(CLASSIFIER ", batch_norm") "loss: w_softmax", {"network.layers[2]", "w_softmax", "dense layer at the end"}},
    {LAYERS("{type: conv, filters: 3, kernel: 2}") "loss: ga_softmax",
     {"network.layers[1]", "ga_softmax", "dense layer at the end"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, margin: 2.5}", {"loss.margin", "2.5", "a whole number from 1 to 20"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, margin: 0}", {"loss.margin", "0", "a whole number from 1 to 20"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, label_smoothing: 0.1}",
     {"loss.label_smoothing", "a key of softmax, w_softmax alone", "annealing"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, angular: linear}", {"loss.angular", "expected one of", "annealing"}},
    {LAYERS(CLASSIFIER) "loss: {type: cosface, k: 0.3}", {"loss.k", "expected one of", "scale"}},
    {LAYERS(CLASSIFIER) "loss: {type: arcface, margin: 4}", {"loss.margin", "4", "from 0 to 3.14"}},
    {LAYERS(CLASSIFIER) "loss: {type: a_softmax, annealing: {base: -1}}", {"loss.annealing.base", "-1", "from 0"}},
    {LAYERS(CLASSIFIER) "loss: {type: w_softmax, annealing: {base: 1}}",
     {"loss.annealing", "expected one of", "label_smoothing"}},
};

static bool parses(const char *spec, struct diagnostics *diags) {
    struct experiment experiment;
    struct text text = {0};
    text_printf(&text, "%s\ntrain: {iterations: 1, batch_size: 2}\n", spec);
    bool parsed = experiment_parse(&experiment, "test", text.data, NULL, 0, diags);
    experiment_free(&experiment);
    text_free(&text);
    return parsed;
}

START_TEST(mistakes_are_named) {
    struct diagnostics diags = {0};
    EXPECT(!parses(mistakes[_i].spec, &diags), "accepted: %s", mistakes[_i].spec);
    EXPECT(diags.count == 1, "%s: %s", mistakes[_i].spec, diags.text.data);
    for (int i = 0; i < COUNT(mistakes[_i].hints); i++)
        EXPECT(strstr(diags.text.data, mistakes[_i].hints[i]) != NULL, "%s: no \"%s\" in \"%s\"", mistakes[_i].spec,
               mistakes[_i].hints[i], diags.text.data);
    text_free(&diags.text);
}
END_TEST

/* The same networks without the mistake. */
START_TEST(specs_without_mistakes) {
    static const char *const specs[] = {LAYERS(CLASSIFIER), PLAIN("")};
    struct diagnostics none = {0};
    EXPECT(parses(PLAIN("") "loss: {type: ga_softmax, angular: learnable_sigmoid}", &none), "%s", none.text.data);
    for (int i = 0; i < COUNT(specs); i++)
        for (int j = 0; j < COUNT(loss_rows); j++) {
            char spec[512];
            struct diagnostics diags = {0};
            snprintf(spec, sizeof spec, "%sloss: %s", specs[i], loss_rows[j].type);
            EXPECT(parses(spec, &diags), "%s: %s", spec, diags.text.data);
            text_free(&diags.text);
        }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

/* For each test, in its own process: OpenMP that a process has used is not to be used by its children. */
static void start(void) {
    gemm_setup();
    threads_decide(1);
}

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, start, NULL);
    suite_add_tcase(suite, tcase);
    return tcase;
}

Suite *test_suite(void) {
    Suite *suite = suite_create("losses");
    TCase *cases = add_case(suite, "values");
    tcase_add_test(cases, every_angular_loss_is_covered);
    tcase_add_loop_test(cases, values_of_losses, 0, COUNT(loss_rows));
    tcase_add_loop_test(cases, values_with_and_without_gradient, 0, COUNT(loss_rows));
    tcase_add_loop_test(cases, lambdas, 0, COUNT(loss_rows));
    tcase_add_loop_test(cases, defaults_of_a_spec, 0, COUNT(defaults));
    TCase *psi = add_case(suite, "psi");
    tcase_add_loop_test(psi, psi_falls_from_1_to_1_minus_2m, 0, COUNT(activations));
    tcase_add_loop_test(psi, g_of_theta_plus_margin_falls_beyond_pi, 0, COUNT(activations));
    tcase_add_loop_test(psi, no_margin_is_g, 0, COUNT(activations));
    TCase *ends = add_case(suite, "ends");
    tcase_add_loop_test(ends, corners_are_numbers, 0, COUNT(loss_rows));
    tcase_add_loop_test(ends, a_nan_stays_one, 0, COUNT(loss_rows));
    tcase_add_loop_test(ends, networks_stay_finite, 0, COUNT(loss_rows));
    tcase_add_loop_test(ends, networks_stay_finite_where_squares_overflow, 0, COUNT(loss_rows));
    tcase_add_test(add_case(suite, "trainer"), trainer_steps_with_a_margin);
    TCase *learnable = add_case(suite, "trained k");
    tcase_add_loop_test(learnable, equal_k_are_one_fixed_k, 0, 4);
    tcase_add_loop_test(learnable, k_takes_a_step, 0, 2);
#ifdef SN_DOUBLE
    tcase_add_loop_test(learnable, gradient_of_k, 0, 4);
    TCase *slopes = add_case(suite, "gradients");
    tcase_add_loop_test(slopes, gradients, 0, COUNT(loss_rows));
    tcase_add_loop_test(slopes, slopes_at_the_clamp, 0, COUNT(activations));
    tcase_add_loop_test(slopes, gradients_of_networks, 0, COUNT(loss_rows));
#endif
    TCase *specs = add_case(suite, "specs");
    tcase_add_loop_test(specs, mistakes_are_named, 0, COUNT(mistakes));
    tcase_add_test(specs, specs_without_mistakes);
    return suite;
}
