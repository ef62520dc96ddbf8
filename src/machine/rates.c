#include "machine/rates.h"

#include <cblas.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kernel/gemm.h"

/* One piece for each thread. */
static void copy(char *to, const char *from, size_t bytes) {
#pragma omp parallel
    {
        size_t threads = (size_t)omp_get_num_threads(), thread = (size_t)omp_get_thread_num();
        size_t first = bytes * thread / threads, end = bytes * (thread + 1) / threads;
        memcpy(to + first, from + first, end - first);
    }
}

double copy_rate(size_t bytes, int repeats) {
    char *memory = mem_block(2 * bytes);
    if (!memory)
        return 0;
    double best = 0;
    for (int i = 0; i <= repeats; i++) {
        double start = clock_seconds();
        copy(memory + bytes, memory, bytes);
        double rate = 2.0 * (double)bytes / (clock_seconds() - start);
        if (i > 0 && rate > best) /* the first warms up */
            best = rate;
    }
    free(memory);
    return best;
}

double gemm_rate(int size, int threads, int repeats) {
    size_t count = (size_t)size * (size_t)size;
    real *memory = mem_block(3 * count * sizeof *memory);
    if (!memory)
        return 0;
    for (size_t i = 0; i < 2 * count; i++)
        memory[i] = (real)0.5;
    double best = 0;
    int workers = omp_get_max_threads(); /* an OpenBLAS on OpenMP changes it too */
    openblas_set_num_threads(threads);
    for (int i = 0; i <= repeats; i++) {
        double start = clock_seconds();
        gemm_nt(size, size, size, memory, size, memory + count, size, 0, memory + 2 * count, size);
        double rate = 2.0 * (double)count * size / (clock_seconds() - start);
        if (i > 0 && rate > best) /* the first warms up */
            best = rate;
    }
    openblas_set_num_threads(1);
    omp_set_num_threads(workers);
    free(memory);
    return best;
}
