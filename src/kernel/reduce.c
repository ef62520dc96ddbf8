#include "kernel/reduce.h"

#include <stddef.h>

#include "base/number.h"

enum { PIECE = 1024 }; /* sums at a time, on the stack */

static void reduce_columns(real *sums, const real *partial, int chunks, size_t stride, int columns) {
    double total[PIECE];
    for (int j = 0; j < columns; j++)
        total[j] = 0;
    for (int chunk = 0; chunk < chunks; chunk++) {
        const real *part = partial + (size_t)chunk * stride;
#pragma omp simd
        for (int j = 0; j < columns; j++)
            total[j] += (double)part[j];
    }
    for (int j = 0; j < columns; j++)
        sums[j] = (real)total[j];
}

void reduce_in_order(real *sums, const real *partial, int chunks, int width) {
    for (int first = 0; first < width; first += PIECE)
        reduce_columns(sums + first, partial + first, chunks, (size_t)width, smaller(PIECE, width - first));
}
