#include "train/feature_angles.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/number.h"
#include "kernel/gemm.h"
#include "kernel/vmath.h"

#define DEGREES 57.29577951308232

bool features_allocate(struct features *features, int images, int width, struct error *err) {
    size_t reals = (size_t)images * (size_t)width;
    *features = (struct features){.images = images, .width = width};
    features->values = mem_block(reals * sizeof(real));
    features->labels = mem_block((size_t)images * sizeof *features->labels);
    features->predictions = mem_block((size_t)images * sizeof *features->predictions);
    if (features->values && features->labels && features->predictions)
        return true;
    return error_set(err, "not enough memory for the features of %d images: %.0f MB", images,
                     (double)(reals * sizeof(real)) / 1e6);
}

bool features_allocate_logits(struct features *features, int classes, struct error *err) {
    size_t count = (size_t)features->images * (size_t)classes;
    features->classes = classes;
    features->logits = mem_block(count * sizeof *features->logits);
    return features->logits || error_set(err, "not enough memory for the logits of %d images: %.0f MB",
                                         features->images, (double)(count * sizeof *features->logits) / 1e6);
}

void features_free(struct features *features) {
    free(features->values);
    free(features->labels);
    free(features->predictions);
    free(features->logits);
    *features = (struct features){0};
}

/* --- Angles ------------------------------------------------------------------------------------------------------ */

static double length_of(const real *vector, int width) {
    double squares = 0;
    for (int i = 0; i < width; i++)
        squares += (double)vector[i] * (double)vector[i];
    return sqrt(squares);
}

static double angle_between(const real *a, const real *b, int width) {
    double product = 0, lengths = length_of(a, width) * length_of(b, width);
    for (int i = 0; i < width; i++)
        product += (double)a[i] * (double)b[i];
    return DEGREES * acos(lengths > 0 ? fmax(-1, fmin(1, product / lengths)) : 0);
}

static double own_angle(const struct features *f, const real *weights) {
    double sum = 0;
    for (int i = 0; i < f->images; i++)
        sum += angle_between(f->values + (size_t)i * (size_t)f->width,
                             weights + (size_t)f->labels[i] * (size_t)f->width, f->width);
    return sum / f->images;
}

static double smallest_class_angle(int classes, const real *weights, int width) {
    double smallest = INFINITY;
    if (classes > ANGLE_CLASSES)
        return NAN;
#pragma omp parallel for schedule(dynamic, 16) reduction(min : smallest)
    for (int a = 0; a < classes; a++)
        for (int b = 0; b < a; b++)
            smallest = fmin(smallest, angle_between(weights + (size_t)a * (size_t)width,
                                                    weights + (size_t)b * (size_t)width, width));
    return classes > 1 ? smallest : NAN;
}

static void measure_lengths(struct feature_angles *angles, const struct features *f) {
    double sum = 0, squares = 0;
    for (int i = 0; i < f->images; i++)
        sum += length_of(f->values + (size_t)i * (size_t)f->width, f->width);
    angles->length = sum / f->images;
    for (int i = 0; i < f->images; i++) {
        double difference = length_of(f->values + (size_t)i * (size_t)f->width, f->width) - angles->length;
        squares += difference * difference;
    }
    angles->variation = sqrt(squares / f->images) / angles->length;
}

/* Divides the features by their lengths; those of length 0 stay. */
static void normalize(struct features *f) {
    for (int i = 0; i < f->images; i++) {
        real *feature = f->values + (size_t)i * (size_t)f->width;
        double length = length_of(feature, f->width);
        for (int j = 0; length > 0 && j < f->width; j++)
            feature[j] = (real)((double)feature[j] / length);
    }
}

enum { BLOCK = 128 };

/* Pairs of images of two classes, [0], and of one, [1]. */
struct pairs {
    double angles[2]; /* sums of pi/2 - angle */
    int64_t counts[2];
};

/* One image and `count` others. cosines: [count], overwritten. */
static void add_row(struct pairs *pairs, real *cosines, int label, const int32_t *labels, int count) {
    for (int j = 0; j < count; j++)
        cosines[j] = real_clamp(cosines[j], 1);
    vmath_asin(cosines, cosines, count);
    for (int j = 0; j < count; j++) {
        bool same = label == labels[j];
        pairs->angles[same] += (double)cosines[j];
        pairs->counts[same]++;
    }
}

/* The pairs of `rows` images from `first` on with all images before them, and among each other. */
static void add_pairs(struct pairs *pairs, const struct features *f, int first, int rows) {
    real cosines[BLOCK * BLOCK];
    size_t width = (size_t)f->width;
    for (int column = 0; column < first + rows; column += BLOCK) {
        int columns = smaller(f->images - column, BLOCK);
        gemm_nt(rows, columns, f->width, f->values + (size_t)first * width, f->width,
                f->values + (size_t)column * width, f->width, 0, cosines, BLOCK);
        for (int i = 0; i < rows; i++)
            add_row(pairs, cosines + i * BLOCK, f->labels[first + i], f->labels + column,
                    smaller(first + i - column, columns));
    }
}

static double mean_angle(const struct pairs *pairs, bool same) {
    int64_t count = pairs->counts[same];
    return count ? 90 - DEGREES * pairs->angles[same] / (double)count : NAN;
}

/* Of features of length 1. */
static bool measure_pairs(struct feature_angles *angles, const struct features *f) {
    int blocks = ceil_div(f->images, BLOCK);
    struct pairs *parts = mem_block((size_t)blocks * sizeof *parts), all = {0};
    if (!parts)
        return false;
#pragma omp parallel for schedule(dynamic)
    for (int block = 0; block < blocks; block++)
        add_pairs(&parts[block], f, block * BLOCK, smaller(f->images - block * BLOCK, BLOCK));
    for (int block = 0; block < blocks; block++) {
        for (int same = 0; same < 2; same++) {
            all.angles[same] += parts[block].angles[same];
            all.counts[same] += parts[block].counts[same];
        }
    }
    angles->within = mean_angle(&all, true);
    angles->between = mean_angle(&all, false);
    free(parts);
    return true;
}

bool features_angles(struct feature_angles *angles, struct features *features, int classes, const real *weights,
                     struct error *err) {
    angles->own = own_angle(features, weights);
    angles->classes = smallest_class_angle(classes, weights, features->width);
    measure_lengths(angles, features);
    normalize(features);
    return measure_pairs(angles, features) || error_set(err, "not enough memory to compare the features");
}
