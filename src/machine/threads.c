#include "machine/threads.h"

#include <omp.h>

#include "machine/cpu.h"

void threads_set(int count) {
    omp_set_dynamic(0);
    omp_set_num_threads(count > 0 ? count : cpu_count());
}

int threads_count(void) {
    return omp_get_max_threads();
}
