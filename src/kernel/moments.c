#include "kernel/moments.h"

#include <stddef.h>
#include <string.h>

#include "base/number.h"

enum {
    PIECE = 1024, /* channels that are measured or joined at a time, on the stack */
    ROWS = 32     /* positions that are measured at once, while they are in the cache */
};

void moments_begin(real *moments, int channels) {
    memset(moments, 0, 2 * (size_t)channels * sizeof *moments);
}

/* Means, then sums of squared deviations, of `count` rows that are `stride` apart. */
static void measure_rows(real *mean, real *squares, const real *rows, size_t stride, int count, int channels) {
    memset(mean, 0, (size_t)channels * sizeof *mean);
    memset(squares, 0, (size_t)channels * sizeof *squares);
    for (int p = 0; p < count; p++)
#pragma omp simd
        for (int c = 0; c < channels; c++)
            mean[c] += rows[(size_t)p * stride + (size_t)c];
    real share = 1 / (real)count;
#pragma omp simd
    for (int c = 0; c < channels; c++)
        mean[c] *= share;
    for (int p = 0; p < count; p++)
#pragma omp simd
        for (int c = 0; c < channels; c++) {
            real difference = rows[(size_t)p * stride + (size_t)c] - mean[c];
            squares[c] += difference * difference;
        }
}

/* In two passes over the rows, which are in the cache; joined as in Chan, Golub and LeVeque 1979. */
void moments_add(real *moments, int channels, int before, const real *rows, int count) {
    real mean[PIECE], squares[PIECE], weight = (real)count / (real)(before + count);
    for (int first = 0; first < channels; first += PIECE) {
        int size = smaller(PIECE, channels - first);
        real *all_mean = moments + first, *all_squares = all_mean + channels;
        measure_rows(mean, squares, rows + first, (size_t)channels, count, size);
#pragma omp simd
        for (int c = 0; c < size; c++) {
            real difference = mean[c] - all_mean[c];
            all_mean[c] += difference * weight;
            all_squares[c] += squares[c] + difference * difference * weight * (real)before;
        }
    }
}

void moments_measure(real *moments, const real *x, int n, int positions, int channels, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int image = 0; image < n; image++) {
        real *own = moments + (size_t)image * 2 * (size_t)channels;
        moments_begin(own, channels);
        for (int first = 0; first < positions; first += ROWS) {
            const real *rows = x + ((size_t)image * (size_t)positions + (size_t)first) * (size_t)channels;
            moments_add(own, channels, first, rows, smaller(ROWS, positions - first));
        }
    }
}

/* Some of the channels: `stride` is from one image's moments to the next, and from means to squares half of it. */
static void join_channels(real *mean, real *variance, const real *moments, size_t stride, int n, int positions,
                          int channels, const struct batch_part *part) {
    double totals[2 * PIECE], *joined = totals, *squares = totals + channels;
    size_t bytes = 2 * (size_t)channels * sizeof *totals;
    memset(totals, 0, bytes);
    relay_take(part->group, totals, bytes);
    for (int i = 0; i < n; i++) {
        const real *own = moments + (size_t)i * stride, *own_squares = own + stride / 2;
        int image = part->first + i;
        double share = 1.0 / (image + 1), weight = (double)positions * image * share;
#pragma omp simd
        for (int c = 0; c < channels; c++) {
            double difference = (double)own[c] - joined[c];
            joined[c] += difference * share;
            squares[c] += (double)own_squares[c] + difference * difference * weight;
        }
    }
    relay_finish(part->group, totals, bytes);
    for (int c = 0; c < channels; c++) {
        mean[c] = (real)joined[c];
        variance[c] = (real)(squares[c] / ((double)part_whole(part, n) * positions));
    }
}

void moments_join(real *mean, real *variance, const real *moments, int n, int positions, int channels,
                  const struct batch_part *part) {
    for (int first = 0; first < channels; first += PIECE)
        join_channels(mean + first, variance + first, moments + first, 2 * (size_t)channels, n, positions,
                      smaller(PIECE, channels - first), part);
}
