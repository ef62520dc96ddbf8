/* Every angular loss with every activation, margin, scale, annealing and smoothing; what it is given, and what the
 * reference says. */
#ifndef SPHERENET_TESTS_SUPPORT_LOSS_CASE_H
#define SPHERENET_TESTS_SUPPORT_LOSS_CASE_H

#include "base/mem.h"
#include "ref/reference.h"
#include "support/lone_loss.h"
#include "support/suite.h"

struct angular_case {
    const char *name;
    double k;
    double steepest; /* largest |dg/dtheta| there is */
};

enum { LOSS_ACTIVATIONS = 6, LOSS_ROWS = 5, LOSS_ITERATIONS = 4, MARGINS = 5, SCALES = 3 };

extern const struct angular_case activations[LOSS_ACTIVATIONS];
extern const int64_t iterations[LOSS_ITERATIONS];

/* How many of the tables of loss_case.c and of its own margins and scales a loss is tried with. */
extern const struct loss_row {
    const char *type;
    int activations, margins, scales, annealings, targets;
    bool looks_at_lengths;
    bool adds_margin; /* to the angle, beyond pi too */
    double margin[MARGINS], scale[SCALES];
} loss_rows[LOSS_ROWS];

struct loss_case {
    const struct loss_row *row;
    const struct angular_case *activation;
    double margin, scale, smoothing, floor;
    struct ref_annealing annealing;
    char yaml[256]; /* also the case's name in messages */
    struct arena arena;
    struct choice loss;
};

/* yaml: "loss: ...", which has to be right. */
struct choice bind_loss(struct arena *arena, const char *yaml);

/* Calls `check` with every case of the row of that number. */
void each_case(int row, void (*check)(const struct loss_case *c));

/* The next digit of a number whose digits count up to `count`. */
int take(int *index, int count);

double expected_lambda(const struct loss_case *c, int64_t iteration);
struct ref_angular_loss reference(const struct loss_case *c, int64_t iteration);

/* --- Inputs --- */

enum { IMAGES = 48, CLASSES = 10, ANGLES = 24 };

struct inputs {
    int n, classes;
    real cosines[IMAGES * CLASSES], lengths[IMAGES];
    int32_t labels[IMAGES];
};

struct gradients {
    real cosines[IMAGES * CLASSES], lengths[IMAGES];
};

/* Angles of targets that random ones would miss, and random ones. */
void sample(struct inputs *in, const struct loss_case *c, int classes);

/* Where psi changes from one piece to the next, and g(theta + m) passes pi; returns how many. */
int breaks(const struct loss_case *c, double *angles);

/* The loss; to: its gradient, or NULL. */
double evaluate(const struct loss_case *c, const struct inputs *in, int64_t iteration, struct gradients *to);

double reference_value(const struct loss_case *c, const struct inputs *in, int64_t iteration);

/* The largest logit there can be: rounding in the loss is relative to it. */
double largest_logit(const struct loss_case *c, const struct inputs *in);

/* Fails where the loss is not the reference's, up to rounding. */
void check_value(const struct loss_case *c, const struct inputs *in, int64_t iteration);

#endif
