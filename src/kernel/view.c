#include "kernel/view.h"

#include <string.h>

#include "kernel/vector.h"

/* --- Reading ----------------------------------------------------------------------------------------------------- */

static inline real rectify(real value) {
    return value < 0 ? 0 : value; /* a NaN stays one */
}

/* One position; scale NULL and relu are known to the compiler where this is called. Returns the sum of squares. */
static inline __attribute__((always_inline)) real read_position(int channels, real *to, const real *data,
                                                                const real *scale, const real *shift, bool relu) {
    real squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int c = 0; c < channels; c++) {
        real value = scale ? scale[c] * data[c] + shift[c] : data[c];
        value = relu ? rectify(value) : value;
        to[c] = value;
        squares += value * value;
    }
    return squares;
}

void view_read(const struct view *view, size_t position, int count, real *to, real *squares) {
    int channels = view->channels;
    const real *data = view->data + position * (size_t)channels, *scale = view->scale, *shift = view->shift;
    if (!scale && !view->relu && !squares) {
        memcpy(to, data, (size_t)count * (size_t)channels * sizeof *to);
        return;
    }
    for (int p = 0; p < count; p++, data += channels, to += channels) {
        real sum = scale && view->relu ? read_position(channels, to, data, scale, shift, true)
                   : scale             ? read_position(channels, to, data, scale, shift, false)
                                       : read_position(channels, to, data, NULL, NULL, view->relu);
        if (squares)
            squares[p] = sum;
    }
}

void gradient_read(const struct gradient *gradient, size_t position, int count, real *to) {
    int channels = gradient->of.channels;
    const real *d = gradient->d + position * (size_t)channels, *data = gradient->of.data + position * (size_t)channels;
    const real *scale_d = gradient->scale_d, *scale_x = gradient->scale_x, *offset = gradient->offset,
               *mean = gradient->of.mean;
    if (!scale_d) {
        memcpy(to, d, (size_t)count * (size_t)channels * sizeof *to);
        return;
    }
    for (int p = 0; p < count; p++, d += channels, data += channels, to += channels) {
        if (mean)
#pragma omp simd
            for (int c = 0; c < channels; c++)
                to[c] = scale_d[c] * d[c] + scale_x[c] * (data[c] - mean[c]) + offset[c];
        else
#pragma omp simd
            for (int c = 0; c < channels; c++)
                to[c] = scale_d[c] * d[c] + scale_x[c] * data[c] + offset[c];
    }
}

/* --- Writing gradients ------------------------------------------------------------------------------------------- */

void gradient_begin(const struct gradient_target *target, const struct view *view, int image) {
    size_t size = 2 * (size_t)view->channels;
    if (target->sums)
        memset(target->sums + (size_t)image * size, 0, size * sizeof *target->sums);
}

/* What gradient_write does to one value: `value` is the view's before ReLU. */
static inline real masked(real d, real value, real box, bool relu) {
    d += box * value;
    return relu && !(value > 0) ? 0 : d;
}

/* One position. scale, shift, mean and sums NULL are known to the compiler where this is called. */
static inline __attribute__((always_inline)) void write_position(int channels, real *d, const real *data,
                                                                 const real *scale, const real *shift, bool relu,
                                                                 real box, const real *mean, real *sums) {
#pragma omp simd
    for (int c = 0; c < channels; c++) {
        real value = scale ? scale[c] * data[c] + shift[c] : data[c];
        real gradient = masked(d[c], value, box, relu);
        d[c] = gradient;
        if (sums) {
            sums[c] += gradient;
            sums[channels + c] += gradient * (mean ? data[c] - mean[c] : data[c]);
        }
    }
}

/* The common cases apart, so that each is one loop without conditions. */
static void finish_position(const struct view *view, real *d, const real *data, real box, real *sums) {
    int channels = view->channels;
    const real *scale = view->scale, *shift = view->shift, *mean = view->mean;
    if (scale && mean && sums && view->relu)
        write_position(channels, d, data, scale, shift, true, box, mean, sums);
    else if (scale && mean && sums)
        write_position(channels, d, data, scale, shift, false, box, mean, sums);
    else if (scale && sums)
        write_position(channels, d, data, scale, shift, view->relu, box, mean, sums);
    else if (scale)
        write_position(channels, d, data, scale, shift, view->relu, box, NULL, NULL);
    else
        write_position(channels, d, data, NULL, NULL, view->relu, box, mean, sums);
}

void gradient_write(const struct gradient_target *target, const struct view *view, int image, size_t position,
                    int count, real *row, const real *box) {
    size_t channels = (size_t)view->channels;
    const real *data = view->data + position * channels;
    real *d = target->d + position * channels;
    real *sums = target->sums ? target->sums + (size_t)image * 2 * channels : NULL;
    for (int p = 0; p < count; p++) {
        real *here = row + (size_t)p * channels;
        if (target->add)
#pragma omp simd
            for (size_t c = 0; c < channels; c++)
                here[c] += d[(size_t)p * channels + c];
        if (box || view->relu || sums)
            finish_position(view, here, data + (size_t)p * channels, box ? box[p] : 0, sums);
        vector_stream(d + (size_t)p * channels, here, channels);
    }
}

void gradient_write_all(const struct gradient_target *target, const struct view *view, int n, int positions,
                        const real *d, int threads) {
    size_t channels = (size_t)view->channels;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int image = 0; image < n; image++) {
        gradient_begin(target, view, image);
        for (int p = 0; p < positions; p++) {
            real row[channels];
            size_t position = (size_t)image * (size_t)positions + (size_t)p;
            memcpy(row, d + position * channels, sizeof row);
            gradient_write(target, view, image, position, 1, row, NULL);
        }
        vector_stream_end();
    }
}

/* --- Moments ----------------------------------------------------------------------------------------------------- */

enum { ROWS = 32 }; /* measured at once, while they are in the cache */

void moments_begin(real *moments, int channels) {
    memset(moments, 0, 2 * (size_t)channels * sizeof *moments);
}

/* In two passes over the rows, which are in the cache; joined as in Chan, Golub and LeVeque 1979. */
void moments_add(real *moments, int channels, int before, const real *rows, int count, real *work) {
    real *mean = work, *squares = work + channels;
    memset(work, 0, 2 * (size_t)channels * sizeof *work);
    for (int p = 0; p < count; p++)
#pragma omp simd
        for (int c = 0; c < channels; c++)
            mean[c] += rows[(size_t)p * (size_t)channels + (size_t)c];
    real share = 1 / (real)count;
#pragma omp simd
    for (int c = 0; c < channels; c++)
        mean[c] *= share;
    for (int p = 0; p < count; p++)
#pragma omp simd
        for (int c = 0; c < channels; c++) {
            real difference = rows[(size_t)p * (size_t)channels + (size_t)c] - mean[c];
            squares[c] += difference * difference;
        }
    real weight = (real)count / (real)(before + count);
#pragma omp simd
    for (int c = 0; c < channels; c++) {
        real difference = mean[c] - moments[c];
        moments[c] += difference * weight;
        moments[channels + c] += squares[c] + difference * difference * weight * (real)before;
    }
}

void moments_measure(real *moments, const real *x, int n, int positions, int channels, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int image = 0; image < n; image++) {
        real work[2 * channels], *own = moments + (size_t)image * 2 * (size_t)channels;
        moments_begin(own, channels);
        for (int first = 0; first < positions; first += ROWS) {
            int count = positions - first < ROWS ? positions - first : ROWS;
            const real *rows = x + ((size_t)image * (size_t)positions + (size_t)first) * (size_t)channels;
            moments_add(own, channels, first, rows, count, work);
        }
    }
}

void moments_join(real *mean, real *variance, const real *moments, int n, int positions, int channels) {
    double joined[channels], squares[channels];
    for (int c = 0; c < channels; c++)
        joined[c] = squares[c] = 0;
    for (int image = 0; image < n; image++) {
        const real *part = moments + (size_t)image * 2 * (size_t)channels;
        double share = 1.0 / (image + 1), weight = (double)positions * image * share;
#pragma omp simd
        for (int c = 0; c < channels; c++) {
            double difference = (double)part[c] - joined[c];
            joined[c] += difference * share;
            squares[c] += (double)part[channels + c] + difference * difference * weight;
        }
    }
    for (int c = 0; c < channels; c++) {
        mean[c] = (real)joined[c];
        variance[c] = (real)(squares[c] / ((double)n * positions));
    }
}
