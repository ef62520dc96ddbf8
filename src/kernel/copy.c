#include "kernel/copy.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

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
