#include "machine/threads.h"

#include <omp.h>

#include "machine/cpu.h"

int threads_decide(int wish) {
    return wish > 0 ? wish : cpu_count();
}

void threads_use(int threads) {
    omp_set_dynamic(0);
    omp_set_num_threads(threads);
}
