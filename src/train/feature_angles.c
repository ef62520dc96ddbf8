#include "train/feature_angles.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
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

void features_free(struct features *features) {
    free(features->values);
    free(features->labels);
    free(features->predictions);
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

/* The features divided by their lengths; NULL: not enough memory. */
static real *directions(const struct features *f) {
    size_t width = (size_t)f->width;
    real *to = mem_block((size_t)f->images * width * sizeof *to);
    for (int i = 0; to && i < f->images; i++) {
        const real *from = f->values + (size_t)i * width;
        double length = length_of(from, f->width);
        for (size_t j = 0; j < width; j++)
            to[(size_t)i * width + j] = length > 0 ? (real)((double)from[j] / length) : 0;
    }
    return to;
}

enum { BLOCK = 128 };

struct pairs {
    double within, between; /* sums of pi/2 - angle */
    int64_t within_count, between_count;
};

/* The pairs of `rows` images from `first` on with all images before them, and among each other. */
static void add_pairs(struct pairs *pairs, const struct features *f, const real *units, int first, int rows) {
    real cosines[BLOCK * BLOCK];
    for (int column = 0; column < first + rows; column += BLOCK) {
        int columns = f->images - column < BLOCK ? f->images - column : BLOCK;
        gemm_nt(rows, columns, f->width, units + (size_t)first * (size_t)f->width, f->width,
                units + (size_t)column * (size_t)f->width, f->width, 0, cosines, BLOCK);
        for (int i = 0; i < rows; i++) {
            real *row = cosines + i * BLOCK;
            int before = first + i - column < columns ? first + i - column : columns;
            for (int j = 0; j < before; j++)
                row[j] = real_clamp(row[j], 1);
            vmath_asin(row, row, before);
            for (int j = 0; j < before; j++) {
                bool same = f->labels[first + i] == f->labels[column + j];
                *(same ? &pairs->within : &pairs->between) += (double)row[j];
                *(same ? &pairs->within_count : &pairs->between_count) += 1;
            }
        }
    }
}

static bool measure_pairs(struct feature_angles *angles, const struct features *f) {
    int blocks = (f->images + BLOCK - 1) / BLOCK;
    real *units = directions(f);
    struct pairs *parts = mem_block((size_t)blocks * sizeof *parts), all = {0};
    bool good = units && parts;
#pragma omp parallel for schedule(dynamic)
    for (int block = 0; block < (good ? blocks : 0); block++) {
        int left = f->images - block * BLOCK;
        add_pairs(&parts[block], f, units, block * BLOCK, left < BLOCK ? left : BLOCK);
    }
    for (int block = 0; good && block < blocks; block++) {
        all.within += parts[block].within;
        all.between += parts[block].between;
        all.within_count += parts[block].within_count;
        all.between_count += parts[block].between_count;
    }
    angles->within = 90 - DEGREES * all.within / (double)all.within_count;
    angles->between = 90 - DEGREES * all.between / (double)all.between_count;
    free(units);
    free(parts);
    return good;
}

bool features_angles(struct feature_angles *angles, const struct features *features, int classes, const real *weights,
                     struct error *err) {
    angles->own = own_angle(features, weights);
    angles->classes = smallest_class_angle(classes, weights, features->width);
    measure_lengths(angles, features);
    return measure_pairs(angles, features) || error_set(err, "not enough memory to compare the features");
}
