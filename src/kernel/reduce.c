#include "kernel/reduce.h"

#include <stddef.h>

void reduce_in_order(real *sums, const real *partial, int chunks, int width) {
    double total[width];
    for (int j = 0; j < width; j++)
        total[j] = 0;
    for (int chunk = 0; chunk < chunks; chunk++) {
        const real *part = partial + (size_t)chunk * (size_t)width;
#pragma omp simd
        for (int j = 0; j < width; j++)
            total[j] += (double)part[j];
    }
    for (int j = 0; j < width; j++)
        sums[j] = (real)total[j];
}
