#include "machine/rates.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kernel/gemm.h"
#include "machine/threads.h"

/* One piece for each thread. */
static void copy(char *to, const char *from, size_t bytes, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int i = 0; i < threads; i++) {
        size_t first = bytes * (size_t)i / (size_t)threads, end = bytes * (size_t)(i + 1) / (size_t)threads;
        memcpy(to + first, from + first, end - first);
    }
}

double copy_rate(size_t bytes, int threads, int repeats) {
    char *memory = mem_block(2 * bytes);
    if (!memory)
        return 0;
    double best = 0;
    for (int i = 0; i <= repeats; i++) {
        double start = clock_seconds();
        copy(memory + bytes, memory, bytes, threads);
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
    openblas_set_num_threads(threads);
    for (int i = 0; i <= repeats; i++) {
        double start = clock_seconds();
        gemm_nt(size, size, size, memory, size, memory + count, size, 0, memory + 2 * count, size);
        double rate = 2.0 * (double)count * size / (clock_seconds() - start);
        if (i > 0 && rate > best) /* the first warms up */
            best = rate;
    }
    openblas_set_num_threads(1);
    threads_use(threads); /* an OpenBLAS on OpenMP changes it too */
    free(memory);
    return best;
}
