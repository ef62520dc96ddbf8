#include "optim/gradient.h"

#include <math.h>

#include "kernel/vector.h"

enum { PARTS = 64 }; /* always as many, so that the sum does not depend on the number of threads */

double gradient_norm(const real *gradient, size_t count, int threads) {
    double sums[PARTS], sum = 0;
    size_t part = (count + PARTS - 1) / PARTS;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int p = 0; p < PARTS; p++) {
        size_t first = (size_t)p * part, left = first < count ? count - first : 0;
        sums[p] = vector_squares(gradient + first, left < part ? left : part);
    }
    for (int p = 0; p < PARTS; p++)
        sum += sums[p];
    return sqrt(sum);
}

double gradient_largest(const real *gradient, size_t count) {
    real largest = 0;
    for (size_t i = 0; i < count; i++)
        if (real_abs(gradient[i]) > largest)
            largest = real_abs(gradient[i]);
    return (double)largest;
}

void gradient_clip(real *gradient, size_t count, double norm, double most, int threads) {
    real factor = (real)(most / (norm + 1e-6));
    if (factor >= 1)
        return;
#pragma omp parallel for simd schedule(static) num_threads(threads)
    for (size_t i = 0; i < count; i++)
        gradient[i] *= factor;
}
