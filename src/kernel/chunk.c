#include "kernel/chunk.h"

void chunk_reduce(real *sums, const real *partial, int chunks, int width) {
#pragma omp parallel for schedule(static)
    for (int j = 0; j < width; j++) {
        double sum = 0;
        for (int chunk = 0; chunk < chunks; chunk++)
            sum += (double)partial[(size_t)chunk * (size_t)width + (size_t)j];
        sums[j] = (real)sum;
    }
}
