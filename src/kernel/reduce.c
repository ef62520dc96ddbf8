#include "kernel/reduce.h"

#include <string.h>

#include "base/number.h"

enum { PIECE = 1024 }; /* sums at a time, on the stack */

static size_t reals_of_doubles(size_t count) {
    return count * sizeof(double) / sizeof(real);
}

/* Where the sums of complete blocks lie, behind those of the latest one. */
static double *blocks_of(real *sums, int width) {
    return (double *)(void *)(sums + real_aligned((size_t)width));
}

static const double *blocks_read(const real *sums, int width) {
    return (const double *)(const void *)(sums + real_aligned((size_t)width));
}

size_t sums_reals(int positions, int width) {
    size_t count = (size_t)width;
    return positions < SUMS_BLOCK ? count : real_aligned(count) + real_aligned(reals_of_doubles(count));
}

void sums_begin(real *sums, int positions, int width) {
    memset(sums, 0, sums_reals(positions, width) * sizeof *sums);
}

void sums_end_block(real *sums, int width, int first, int count) {
    real *latest = sums + first;
    double *blocks = blocks_of(sums, width) + first;
#pragma omp simd
    for (int j = 0; j < count; j++) {
        blocks[j] += (double)latest[j];
        latest[j] = 0;
    }
}

static void add_columns(double *total, const real *values, int columns) {
#pragma omp simd
    for (int j = 0; j < columns; j++)
        total[j] += (double)values[j];
}

static void add_blocks(double *total, const double *blocks, int columns) {
#pragma omp simd
    for (int j = 0; j < columns; j++)
        total[j] += blocks[j];
}

static void join_columns(real *joined, const real *sums, int n, int positions, int width, int first, int columns,
                         const struct group *group) {
    double total[PIECE];
    size_t stride = sums_reals(positions, width);
    for (int j = 0; j < columns; j++)
        total[j] = 0;
    relay_take(group, total, (size_t)columns * sizeof *total);
    for (int image = 0; image < n; image++, sums += stride) {
        if (positions >= SUMS_BLOCK)
            add_blocks(total, blocks_read(sums, width) + first, columns);
        add_columns(total, sums + first, columns);
    }
    relay_finish(group, total, (size_t)columns * sizeof *total);
    for (int j = 0; j < columns; j++)
        joined[j] = (real)total[j];
}

void sums_join(real *joined, const real *sums, int n, int positions, int width, const struct group *group) {
    for (int first = 0; first < width; first += PIECE)
        join_columns(joined + first, sums, n, positions, width, first, smaller(PIECE, width - first), group);
}
