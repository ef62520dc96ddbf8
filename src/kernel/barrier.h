/* A barrier for threads that meet often and have little to wait: they spin, and after a while let others run. OpenMP's
 * own puts a thread to sleep that has waited for a quarter of a millisecond, and waking it takes about as long as the
 * work between two meetings. */
#ifndef SPHERENET_KERNEL_BARRIER_H
#define SPHERENET_KERNEL_BARRIER_H

#include <stdatomic.h>

/* All zeros, it is ready. */
struct barrier {
    atomic_int arrived;
    atomic_uint round;
};

/* Returns when all threads of the OpenMP team have called it; each sees what the others have written before. */
void barrier_wait(struct barrier *barrier);

#endif
