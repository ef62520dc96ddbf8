#include "kernel/barrier.h"

#include <sched.h>

#include <omp.h>

enum { SPINS = 200 };

static void rest(void) {
#if defined __x86_64__
    __builtin_ia32_pause();
#endif
}

void barrier_wait(struct barrier *barrier) {
    unsigned round = atomic_load(&barrier->round);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == omp_get_num_threads()) {
        atomic_store(&barrier->arrived, 0);
        atomic_fetch_add(&barrier->round, 1);
        return;
    }
    for (int spins = 0; atomic_load(&barrier->round) == round; spins++) {
        if (spins < SPINS)
            rest();
        else
            sched_yield();
    }
}
