/* The method's formulas (docs: sections 1 to 4) as naive loops in double, to test the library against.
 *
 * Nothing here is shared with src/. Layout as there: activations [n][height][width][channels], filters
 * [filters][kernel_h][kernel_w][channels]. Outputs come first and do not overlap the inputs. */
#ifndef SPHERENET_TESTS_REF_REFERENCE_H
#define SPHERENET_TESTS_REF_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- Convolution ------------------------------------------------------------------------------------------------- */

struct ref_geometry {
    int height, width, channels;
    int kernel_h, kernel_w, stride, padding;
    int filters;
};

int ref_out_height(const struct ref_geometry *g);
int ref_out_width(const struct ref_geometry *g);
int ref_patch(const struct ref_geometry *g);            /* values in one patch */
int ref_positions(const struct ref_geometry *g, int n); /* patches in n images */

void ref_convolution(const struct ref_geometry *g, int n, double *y, const double *x, const double *w);
void ref_backward_data(const struct ref_geometry *g, int n, double *dx, const double *dy, const double *w);
void ref_backward_weights(const struct ref_geometry *g, int n, double *dw, const double *x, const double *dy);

/* sums[positions]: sum of squares of each patch */
void ref_patch_squares(const struct ref_geometry *g, int n, double *sums, const double *x);

/* box[n][height][width]: sum of r[positions] over the patches that cover the pixel */
void ref_box(const struct ref_geometry *g, int n, double *box, const double *r);

/* --- Operators --------------------------------------------------------------------------------------------------- */

/* Whether the formula of that name is written down here. */
bool ref_knows_magnitude(const char *magnitude);
bool ref_knows_angular(const char *angular);

/* h(|w|, |x|). rho: effective; only tanh looks at it. */
double ref_magnitude(const char *magnitude, double rho, double w_norm, double x_norm);

/* g(theta), sigmoids in the paper's exponential form, and dg/dtheta. k: effective; only sigmoids look at it. */
double ref_angular(const char *angular, double theta, double k);
double ref_angular_slope(const char *angular, double theta, double k);
/* g and dg/dc of activations that are smooth in c = cos theta, also where c is 1 or -1. */
double ref_smooth_angular(const char *angular, double c, double *slope);

struct ref_operator {
    const char *magnitude, *angular;
    double epsilon;
    double clamp;    /* theta = acos of the cosine kept within 1 - clamp; the cosine activation needs none */
    const double *k; /* [filters], effective: positive */
    double rho;      /* likewise */
};

/* y = h(|w|, |x|) g(theta) + b; b NULL: none */
void ref_operate(const struct ref_operator *op, const struct ref_geometry *g, int n, double *y, const double *x,
                 const double *w, const double *b);

/* --- Other layers ------------------------------------------------------------------------------------------------ */

/* y = weight x + bias per channel */
void ref_sphere_norm(int rows, int channels, double *y, const double *x, const double *weight, const double *bias);

/* Mean and (biased) variance of each channel */
void ref_moments(int rows, int channels, double *mean, double *variance, const double *x);
void ref_batch_norm(int rows, int channels, double *y, const double *x, const double *mean, const double *variance,
                    double epsilon, const double *weight, const double *bias);

/* Windows are those of the geometry, whose `filters` does not matter. Padding is never the largest. */
void ref_max_pool(const struct ref_geometry *g, int n, double *y, const double *x);
void ref_avg_pool(const struct ref_geometry *g, int n, double *y, const double *x);
void ref_relu(size_t count, double *y, const double *x);

/* The first numbers in [0, 1) of a stream of random numbers (method.md, "Random numbers"). */
void ref_uniform(uint64_t seed, uint64_t purpose, uint64_t a, uint64_t b, size_t count, double *numbers);
/* Values whose number is below the rate become 0, others are divided by 1 - rate. */
void ref_drop(size_t count, double *y, const double *x, const double *numbers, double rate);

/* --- Loss -------------------------------------------------------------------------------------------------------- */

/* Mean over images of -sum t log(p + floor), t = 1 - smoothing (target class alone) + smoothing / classes. */
double ref_softmax_loss(int n, int classes, const double *logits, const int32_t *labels, double smoothing,
                        double floor);
void ref_softmax_gradient(int n, int classes, double *dlogits, const double *logits, const int32_t *labels,
                          double smoothing, double floor);

/* g(m theta - p pi) - 2p, p = floor(m theta / pi) */
double ref_psi(const char *angular, double k, double margin, double theta);
/* The cosine of theta + margin, continued beyond pi as psi is. */
double ref_cosine_plus(double margin, double theta);

struct ref_annealing {
    double base, gamma, power, minimum;
};
double ref_lambda(const struct ref_annealing *annealing, double iteration);

struct ref_angular_loss {
    const char *type, *angular; /* as in a spec; cosface and arcface look at no activation, nor at lengths */
    double k, margin, scale;
    double clamp; /* theta = acos of the cosine kept within 1 - clamp, but for the cosine activation and its psi, and
                     arcface without margin */
    double smoothing, floor;
    double lambda; /* weight of the logit without margin; INFINITY: no margin */
};
double ref_angular_loss(const struct ref_angular_loss *loss, int n, int classes, const double *cosines,
                        const double *lengths, const int32_t *labels);

/* margin: 0 where a test has none. */
struct ref_sphereface2 {
    double scale, margin, exponent, balance, loss_weight;
};
double ref_sphereface2(const struct ref_sphereface2 *loss, int n, int classes, const double *cosines,
                       const int32_t *labels, double bias);

/* --- Regularisation and optimizers ------------------------------------------------------------------------------- */

/* The penalties' values; their gradients are added to dw. */
double ref_weight_decay(double factor, size_t count, double *dw, const double *w);
double ref_orthogonality(double factor, int filters, int patch, double *dw, const double *w);

/* One update, numbered from 1; first, second and velocity are 0 before it. */
void ref_adam(double rate, double beta1, double beta2, double epsilon, int step, size_t count, double *w,
              const double *dw, double *first, double *second);
/* AdamW, Loshchilov and Hutter 2019, algorithm 2: before it, w loses rate decay w. */
void ref_adamw(double rate, double beta1, double beta2, double epsilon, double decay, int step, size_t count, double *w,
               const double *dw, double *first, double *second);
void ref_sgd(double rate, double momentum, bool nesterov, size_t count, double *w, const double *dw, double *velocity);

#endif
