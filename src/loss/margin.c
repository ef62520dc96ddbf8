#include "loss/margin.h"

#include <math.h>

#define PI 3.14159265358979324

/* c within [-limit, limit]; a NaN stays one. */
static double clamp(double c, double limit) {
    return c > limit ? limit : c < -limit ? -limit : c;
}

/* g at an angle that may lie beyond pi, continued. */
static double continued(const struct angular_type *g, double shape, double angle, double *slope, double *shape_slope) {
    double half_turns = floor(angle / PI);
    return g->at(angle - half_turns * PI, shape, slope, shape_slope) - 2 * half_turns;
}

/* g continued at factor theta + shift. */
static struct of_cosine at_clamped(const struct angular_type *g, double shape, double factor, double shift, double c) {
    double slope;
    struct of_cosine result;
    c = clamp(c, 1 - ANGULAR_CLAMP);
    result.value = continued(g, shape, factor * acos(c) + shift, &slope, &result.shape_slope);
    result.slope = -factor * slope / sqrt((1 - c) * (1 + c));
    return result;
}

/* (-1)^p cos(m theta) - 2p, and its derivative (-1)^p m sin(m theta) / sin theta, by the recurrences of Chebyshev
 * polynomials of the first and second kind. */
static struct of_cosine cosine_times(int margin, double c) {
    double first[2] = {1, c}, second[2] = {0, 1}; /* T_0, T_1 and U_-1, U_0 */
    for (int i = 1; i < margin; i++) {
        double t = 2 * c * first[1] - first[0], u = 2 * c * second[1] - second[0];
        first[0] = first[1], first[1] = t;
        second[0] = second[1], second[1] = u;
    }
    int half_turns = (int)fmin(margin - 1, floor(margin * acos(c) / PI));
    double sign = half_turns % 2 ? -1 : 1;
    return (struct of_cosine){sign * first[1] - 2 * half_turns, sign * margin * second[1], 0};
}

struct of_cosine margin_none(const struct angular_type *g, double shape, double c) {
    return margin_times(g, shape, 1, c);
}

struct of_cosine margin_times(const struct angular_type *g, double shape, int margin, double c) {
    return g->identity ? cosine_times(margin, clamp(c, 1)) : at_clamped(g, shape, margin, 0, c);
}

struct of_cosine margin_plus(const struct angular_type *g, double shape, double margin, double c) {
    return at_clamped(g, shape, 1, margin, c);
}

double annealing_lambda(const struct annealing *annealing, int64_t iteration) {
    double lambda = annealing->base * pow(1 + annealing->gamma * (double)iteration, -annealing->power);
    return fmax(annealing->minimum, lambda);
}
