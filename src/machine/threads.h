/* The number of worker threads. */
#ifndef SPHERENET_MACHINE_THREADS_H
#define SPHERENET_MACHINE_THREADS_H

/* count 0: one for each processor the process may use. To be called before a network is planned. */
void threads_set(int count);
int threads_count(void);

#endif
