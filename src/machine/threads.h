/* The number of worker threads. */
#ifndef SPHERENET_MACHINE_THREADS_H
#define SPHERENET_MACHINE_THREADS_H

/* How many threads a run takes: `wish`, or with 0 one for each processor that the process may use. To be asked once,
 * before memory is planned; from then on the number is passed. */
int threads_decide(int wish);

/* Parallel regions that take as many threads as they get, since nothing depends on it, get so many from now on. */
void threads_use(int threads);

#endif
