/* The functions of an angle behind the margins: psi and g(theta + m), their ends, their slopes. */
#include <float.h>
#include <math.h>

#include "kernel/gemm.h"
#include "loss/margin.h"
#include "machine/threads.h"
#include "op/angular.h"
#include "support/loss_case.h"

enum { GRID = 20000 };

static const double plus_margins[] = {0, 0.35, 0.5, M_PI / 2, 2.5, 3.14, M_PI};

/* One of the functions of an angle: psi with an integer margin, or g(theta + margin). */
struct curve {
    const struct angular_case *activation;
    double margin;
    bool plus;
};

static const struct angular_type *row_of(const struct angular_case *activation) {
    return (const struct angular_type *)registry_find(&angular_registry, activation->name);
}

static struct of_cosine curve_at(const struct curve *curve, double cosine) {
    const struct angular_type *g = row_of(curve->activation);
    if (curve->plus)
        return margin_plus(g, curve->activation->k, curve->margin, cosine);
    return margin_times(g, curve->activation->k, (int)curve->margin, cosine);
}

static bool is_clamped(const struct curve *curve) {
    return curve->plus || !row_of(curve->activation)->identity;
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
    const struct angular_type *g = row_of(&activations[_i]);
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

#ifdef SN_DOUBLE

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

#endif

/* --- Suite ------------------------------------------------------------------------------------------------------- */

/* For each test, in its own process: OpenMP that a process has used is not to be used by its children. */
static void start(void) {
    gemm_setup();
    threads_use(1);
}

Suite *test_suite(void) {
    Suite *suite = suite_create("margins");
    TCase *psi = suite_group(suite, "psi", 120, start, NULL);
    tcase_add_loop_test(psi, psi_falls_from_1_to_1_minus_2m, 0, LOSS_ACTIVATIONS);
    tcase_add_loop_test(psi, g_of_theta_plus_margin_falls_beyond_pi, 0, LOSS_ACTIVATIONS);
    tcase_add_loop_test(psi, no_margin_is_g, 0, LOSS_ACTIVATIONS);
#ifdef SN_DOUBLE
    tcase_add_loop_test(psi, slopes_at_the_clamp, 0, LOSS_ACTIVATIONS);
#endif
    return suite;
}
