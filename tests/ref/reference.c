#include "ref/reference.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- Convolution ------------------------------------------------------------------------------------------------- */

static int out_size(int size, int kernel, int stride, int padding) {
    return (size + 2 * padding - kernel) / stride + 1;
}

int ref_out_height(const struct ref_geometry *g) {
    return out_size(g->height, g->kernel_h, g->stride, g->padding);
}

int ref_out_width(const struct ref_geometry *g) {
    return out_size(g->width, g->kernel_w, g->stride, g->padding);
}

int ref_patch(const struct ref_geometry *g) {
    return g->kernel_h * g->kernel_w * g->channels;
}

int ref_positions(const struct ref_geometry *g, int n) {
    return n * ref_out_height(g) * ref_out_width(g);
}

/* Index into x of value `element` of the patch at `position`; -1: it is padding. */
static ptrdiff_t patch_index(const struct ref_geometry *g, int position, int element) {
    int out_height = ref_out_height(g), out_width = ref_out_width(g);
    int image = position / (out_height * out_width);
    int top = position / out_width % out_height * g->stride - g->padding;
    int left = position % out_width * g->stride - g->padding;
    int row = top + element / (g->kernel_w * g->channels);
    int column = left + element / g->channels % g->kernel_w;
    if (row < 0 || row >= g->height || column < 0 || column >= g->width)
        return -1;
    return (((ptrdiff_t)image * g->height + row) * g->width + column) * g->channels + element % g->channels;
}

static size_t input_size(const struct ref_geometry *g, int n) {
    return (size_t)n * (size_t)g->height * (size_t)g->width * (size_t)g->channels;
}

void ref_convolution(const struct ref_geometry *g, int n, double *y, const double *x, const double *w) {
    int patch = ref_patch(g), positions = ref_positions(g, n);
    memset(y, 0, (size_t)(positions * g->filters) * sizeof *y);
    for (int p = 0; p < positions; p++)
        for (int e = 0; e < patch; e++) {
            ptrdiff_t at = patch_index(g, p, e);
            for (int f = 0; at >= 0 && f < g->filters; f++)
                y[p * g->filters + f] += x[at] * w[f * patch + e];
        }
}

void ref_backward_data(const struct ref_geometry *g, int n, double *dx, const double *dy, const double *w) {
    int patch = ref_patch(g), positions = ref_positions(g, n);
    memset(dx, 0, input_size(g, n) * sizeof *dx);
    for (int p = 0; p < positions; p++)
        for (int e = 0; e < patch; e++) {
            ptrdiff_t at = patch_index(g, p, e);
            for (int f = 0; at >= 0 && f < g->filters; f++)
                dx[at] += dy[p * g->filters + f] * w[f * patch + e];
        }
}

void ref_backward_weights(const struct ref_geometry *g, int n, double *dw, const double *x, const double *dy) {
    int patch = ref_patch(g), positions = ref_positions(g, n);
    memset(dw, 0, (size_t)(g->filters * patch) * sizeof *dw);
    for (int p = 0; p < positions; p++)
        for (int e = 0; e < patch; e++) {
            ptrdiff_t at = patch_index(g, p, e);
            for (int f = 0; at >= 0 && f < g->filters; f++)
                dw[f * patch + e] += dy[p * g->filters + f] * x[at];
        }
}

void ref_patch_squares(const struct ref_geometry *g, int n, double *sums, const double *x) {
    for (int p = 0; p < ref_positions(g, n); p++) {
        sums[p] = 0;
        for (int e = 0; e < ref_patch(g); e++) {
            ptrdiff_t at = patch_index(g, p, e);
            sums[p] += at < 0 ? 0 : x[at] * x[at];
        }
    }
}

void ref_box(const struct ref_geometry *g, int n, double *box, const double *r) {
    memset(box, 0, input_size(g, n) / (size_t)g->channels * sizeof *box);
    for (int p = 0; p < ref_positions(g, n); p++)
        for (int e = 0; e < ref_patch(g); e += g->channels) {
            ptrdiff_t at = patch_index(g, p, e);
            if (at >= 0)
                box[at / g->channels] += r[p];
        }
}

/* --- Operators --------------------------------------------------------------------------------------------------- */

static bool same(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

bool ref_knows_magnitude(const char *magnitude) {
    return same(magnitude, "product") || same(magnitude, "sphere") || same(magnitude, "linear") ||
           same(magnitude, "tanh");
}

bool ref_knows_angular(const char *angular) {
    return same(angular, "cosine") || same(angular, "square_cosine") || same(angular, "linear") ||
           same(angular, "sigmoid") || same(angular, "learnable_sigmoid");
}

double ref_magnitude(const char *magnitude, double rho, double w_norm, double x_norm) {
    if (same(magnitude, "product"))
        return w_norm * x_norm;
    if (same(magnitude, "tanh"))
        return 1 - 2 / (exp(2 * x_norm / rho) + 1);
    return same(magnitude, "linear") ? x_norm : 1;
}

static double paper_sigmoid(double theta, double k) {
    double end = exp(-M_PI / (2 * k)), here = exp(theta / k - M_PI / (2 * k));
    return (1 + end) / (1 - end) * (1 - here) / (1 + here);
}

double ref_angular(const char *angular, double theta, double k) {
    if (same(angular, "cosine"))
        return cos(theta);
    if (same(angular, "square_cosine"))
        return copysign(pow(cos(theta), 2), M_PI / 2 - theta);
    return same(angular, "linear") ? 1 - 2 * theta / M_PI : paper_sigmoid(theta, k);
}

double ref_angular_slope(const char *angular, double theta, double k) {
    if (same(angular, "cosine"))
        return -sin(theta);
    if (same(angular, "square_cosine"))
        return -fabs(sin(2 * theta));
    if (same(angular, "linear"))
        return -2 / M_PI;
    double tangent = tanh((M_PI / 2 - theta) / (2 * k));
    return -(1 - tangent * tangent) / (2 * k * tanh(M_PI / (4 * k)));
}

double ref_smooth_angular(const char *angular, double c, double *slope) {
    bool square = same(angular, "square_cosine");
    assert(square || same(angular, "cosine"));
    *slope = square ? 2 * fabs(c) : 1;
    return square ? copysign(c * c, c) : c;
}

static double norm_of(int count, const double *values, double epsilon) {
    double sum = epsilon;
    for (int i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sqrt(sum);
}

static double angle_part(const struct ref_operator *op, double cosine, double k) {
    if (same(op->angular, "cosine"))
        return cosine;
    if (same(op->angular, "square_cosine"))
        return copysign(cosine * cosine, cosine);
    double kept = fmax(-1 + op->clamp, fmin(1 - op->clamp, cosine));
    return ref_angular(op->angular, acos(kept), k);
}

void ref_operate(const struct ref_operator *op, const struct ref_geometry *g, int n, double *y, const double *x,
                 const double *w, const double *b) {
    int positions = ref_positions(g, n), patch = ref_patch(g);
    bool ordinary = same(op->magnitude, "product") && same(op->angular, "cosine");
    double *squares = malloc((size_t)positions * sizeof *squares);
    ref_convolution(g, n, y, x, w);
    ref_patch_squares(g, n, squares, x);
    for (int p = 0; p < positions; p++)
        for (int f = 0; f < g->filters; f++) {
            double *value = &y[p * g->filters + f];
            if (!ordinary) {
                double x_norm = sqrt(squares[p] + op->epsilon), w_norm = norm_of(patch, w + f * patch, op->epsilon);
                double cosine = *value / (w_norm * x_norm), k = op->k ? op->k[f] : 0;
                *value = ref_magnitude(op->magnitude, op->rho, w_norm, x_norm) * angle_part(op, cosine, k);
            }
            *value += b ? b[f] : 0;
        }
    free(squares);
}

/* --- Other layers ------------------------------------------------------------------------------------------------ */

void ref_sphere_norm(int rows, int channels, double *y, const double *x, const double *weight, const double *bias) {
    for (int i = 0; i < rows * channels; i++)
        y[i] = weight[i % channels] * x[i] + bias[i % channels];
}

void ref_moments(int rows, int channels, double *mean, double *variance, const double *x) {
    for (int c = 0; c < channels; c++) {
        mean[c] = variance[c] = 0;
        for (int row = 0; row < rows; row++)
            mean[c] += x[row * channels + c] / rows;
        for (int row = 0; row < rows; row++)
            variance[c] += pow(x[row * channels + c] - mean[c], 2) / rows;
    }
}

void ref_batch_norm(int rows, int channels, double *y, const double *x, const double *mean, const double *variance,
                    double epsilon, const double *weight, const double *bias) {
    for (int i = 0; i < rows * channels; i++) {
        int c = i % channels;
        y[i] = weight[c] * (x[i] - mean[c]) / sqrt(variance[c] + epsilon) + bias[c];
    }
}

void ref_max_pool(const struct ref_geometry *g, int n, double *y, const double *x) {
    for (int p = 0; p < ref_positions(g, n); p++)
        for (int c = 0; c < g->channels; c++) {
            double largest = -INFINITY;
            for (int e = c; e < ref_patch(g); e += g->channels) {
                ptrdiff_t at = patch_index(g, p, e);
                largest = at < 0 ? largest : fmax(largest, x[at]);
            }
            y[p * g->channels + c] = largest;
        }
}

void ref_avg_pool(const struct ref_geometry *g, int n, double *y, const double *x) {
    for (int p = 0; p < ref_positions(g, n); p++)
        for (int c = 0; c < g->channels; c++) {
            double sum = 0;
            for (int e = c; e < ref_patch(g); e += g->channels)
                sum += x[patch_index(g, p, e)];
            y[p * g->channels + c] = sum / (g->kernel_h * g->kernel_w);
        }
}

void ref_relu(size_t count, double *y, const double *x) {
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] > 0 ? x[i] : 0;
}

/* splitmix64 */
static uint64_t mixed(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t rotated(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

/* xoshiro256++ */
static uint64_t next_number(uint64_t s[4]) {
    uint64_t number = rotated(s[0] + s[3], 23) + s[0], shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotated(s[3], 45);
    return number;
}

void ref_uniform(uint64_t seed, uint64_t purpose, uint64_t a, uint64_t b, size_t count, double *numbers) {
    uint64_t key = seed, state[4];
    key = mixed(&key) ^ purpose;
    key = mixed(&key) ^ a;
    key = mixed(&key) ^ b;
    key = mixed(&key);
    for (int i = 0; i < 4; i++)
        state[i] = mixed(&key);
    for (size_t i = 0; i < count; i++)
        numbers[i] = ldexp((double)(next_number(state) >> 11), -53);
}

void ref_drop(size_t count, double *y, const double *x, const double *numbers, double rate) {
    for (size_t i = 0; i < count; i++)
        y[i] = numbers[i] < rate ? 0 : x[i] / (1 - rate);
}

/* --- Loss -------------------------------------------------------------------------------------------------------- */

/* log_p: logarithms of the probabilities */
static void log_softmax(int classes, double *log_p, const double *logits) {
    double largest = -INFINITY, sum = 0;
    for (int i = 0; i < classes; i++)
        largest = fmax(largest, logits[i]);
    for (int i = 0; i < classes; i++)
        sum += exp(logits[i] - largest);
    for (int i = 0; i < classes; i++)
        log_p[i] = logits[i] - largest - log(sum);
}

static double smoothed_target(int class, int label, int classes, double smoothing) {
    return (class == label ? 1 - smoothing : 0) + smoothing / classes;
}

double ref_softmax_loss(int n, int classes, const double *logits, const int32_t *labels, double smoothing,
                        double floor) {
    assert(classes > 0);
    double loss = 0, *log_p = calloc((size_t)classes, sizeof *log_p);
    assert(log_p);
    for (int i = 0; i < n; i++) {
        log_softmax(classes, log_p, logits + i * classes);
        for (int j = 0; j < classes; j++) {
            double target = smoothed_target(j, labels[i], classes, smoothing);
            loss -= target * (floor > 0 ? log(exp(log_p[j]) + floor) : log_p[j]) / n;
        }
    }
    free(log_p);
    return loss;
}

/* dL/dz_j = sum over i of dL/dp_i dp_i/dz_j, with dp_i/dz_j = p_i ([i = j] - p_j). */
void ref_softmax_gradient(int n, int classes, double *dlogits, const double *logits, const int32_t *labels,
                          double smoothing, double floor) {
    double *log_p = calloc((size_t)classes, sizeof *log_p);
    assert(log_p);
    for (int image = 0; image < n; image++) {
        log_softmax(classes, log_p, logits + image * classes);
        for (int j = 0; j < classes; j++) {
            double gradient = 0;
            for (int i = 0; i < classes; i++) {
                double p = exp(log_p[i]), target = smoothed_target(i, labels[image], classes, smoothing);
                double share = floor > 0 ? p / (p + floor) : 1;
                gradient -= target * share * ((i == j) - exp(log_p[j])) / n;
            }
            dlogits[image * classes + j] = gradient;
        }
    }
    free(log_p);
}

double ref_psi(const char *angular, double k, double margin, double theta) {
    double p = floor(margin * theta / M_PI);
    return ref_angular(angular, margin * theta - p * M_PI, k) - 2 * p;
}

double ref_cosine_plus(double margin, double theta) {
    double p = floor((theta + margin) / M_PI);
    return cos(theta + margin - p * M_PI) - 2 * p;
}

double ref_lambda(const struct ref_annealing *annealing, double iteration) {
    return fmax(annealing->minimum, annealing->base * pow(1 + annealing->gamma * iteration, -annealing->power));
}

static double clamped_angle(const struct ref_angular_loss *loss, double cosine) {
    return acos(fmax(-1 + loss->clamp, fmin(1 - loss->clamp, cosine)));
}

static double plain_logit(const struct ref_angular_loss *loss, double cosine, double length) {
    if (same(loss->type, "cosface") || same(loss->type, "arcface"))
        return loss->scale * cosine;
    if (same(loss->angular, "cosine"))
        return length * cosine;
    return length * ref_angular(loss->angular, clamped_angle(loss, cosine), loss->k);
}

static double margin_logit(const struct ref_angular_loss *loss, double cosine, double length) {
    if (same(loss->type, "cosface"))
        return loss->scale * (cosine - loss->margin);
    if (same(loss->type, "arcface"))
        return loss->scale * ref_cosine_plus(loss->margin, clamped_angle(loss, cosine));
    double theta = same(loss->angular, "cosine") ? acos(cosine) : clamped_angle(loss, cosine);
    return length * ref_psi(loss->angular, loss->k, loss->margin, theta);
}

static double target_logit(const struct ref_angular_loss *loss, double cosine, double length) {
    double plain = plain_logit(loss, cosine, length);
    bool none = same(loss->type, "w_softmax") || (same(loss->type, "arcface") && loss->margin == 0);
    if (none || isinf(loss->lambda))
        return plain;
    return (loss->lambda * plain + margin_logit(loss, cosine, length)) / (1 + loss->lambda);
}

double ref_angular_loss(const struct ref_angular_loss *loss, int n, int classes, const double *cosines,
                        const double *lengths, const int32_t *labels) {
    double *logits = malloc((size_t)n * (size_t)classes * sizeof *logits);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < classes; j++) {
            double cosine = cosines[i * classes + j];
            logits[i * classes + j] =
                j == labels[i] ? target_logit(loss, cosine, lengths[i]) : plain_logit(loss, cosine, lengths[i]);
        }
    double value = ref_softmax_loss(n, classes, logits, labels, loss->smoothing, loss->floor);
    free(logits);
    return value;
}

double ref_sphereface2(const struct ref_sphereface2 *loss, int n, int classes, const double *cosines,
                       const int32_t *labels, double bias) {
    double sum = 0, s = loss->scale;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < classes; j++) {
            double g = 2 * pow((cosines[i * classes + j] + 1) / 2, loss->exponent) - 1;
            if (j == labels[i])
                sum += loss->balance / s * log1p(exp(-(s * (g - loss->margin) + bias)));
            else
                sum += (1 - loss->balance) / s * log1p(exp(s * (g + loss->margin) + bias));
        }
    return loss->loss_weight * sum / n;
}

/* --- Regularisation and optimizers ------------------------------------------------------------------------------- */

double ref_weight_decay(double factor, size_t count, double *dw, const double *w) {
    double value = 0;
    for (size_t i = 0; i < count; i++) {
        value += factor / 2 * w[i] * w[i];
        dw[i] += factor * w[i];
    }
    return value;
}

static double gram_error(int patch, const double *w, int a, int b) {
    double sum = a == b ? -1 : 0;
    for (int e = 0; e < patch; e++)
        sum += w[a * patch + e] * w[b * patch + e];
    return sum;
}

double ref_orthogonality(double factor, int filters, int patch, double *dw, const double *w) {
    double value = 0;
    for (int a = 0; a < filters; a++)
        for (int b = 0; b < filters; b++) {
            double error = gram_error(patch, w, a, b);
            value += factor / 2 * error * error;
            for (int e = 0; e < patch; e++)
                dw[a * patch + e] += 2 * factor * error * w[b * patch + e];
        }
    return value;
}

void ref_adam(double rate, double beta1, double beta2, double epsilon, int step, size_t count, double *w,
              const double *dw, double *first, double *second) {
    for (size_t i = 0; i < count; i++) {
        first[i] = beta1 * first[i] + (1 - beta1) * dw[i];
        second[i] = beta2 * second[i] + (1 - beta2) * dw[i] * dw[i];
        double mean = first[i] / (1 - pow(beta1, step)), square = second[i] / (1 - pow(beta2, step));
        w[i] -= rate * mean / (sqrt(square) + epsilon);
    }
}

void ref_adamw(double rate, double beta1, double beta2, double epsilon, double decay, int step, size_t count, double *w,
               const double *dw, double *first, double *second) {
    for (size_t i = 0; i < count; i++)
        w[i] -= rate * decay * w[i];
    ref_adam(rate, beta1, beta2, epsilon, step, count, w, dw, first, second);
}

void ref_sgd(double rate, double momentum, bool nesterov, size_t count, double *w, const double *dw, double *velocity) {
    for (size_t i = 0; i < count; i++) {
        velocity[i] = momentum * velocity[i] + dw[i];
        w[i] -= rate * (nesterov ? dw[i] + momentum * velocity[i] : velocity[i]);
    }
}
