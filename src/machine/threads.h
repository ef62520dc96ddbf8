/* The number of worker threads. */
#ifndef SPHERENET_MACHINE_THREADS_H
#define SPHERENET_MACHINE_THREADS_H

enum { MOST_THREADS = 1024 };

/* How many threads a run takes: `wish`, or with 0 the number in OMP_NUM_THREADS, or where there is none one for each
 * processor that the process may use; no more than OMP_THREAD_LIMIT. To be asked once, before memory is planned; from
 * then on the number is passed. */
int threads_decide(int wish);

/* The variable of the environment that decides, as " (OMP_NUM_THREADS)"; "": none does. */
const char *threads_reason(int wish);

/* Parallel regions that take as many threads as they get, since nothing depends on it, get so many from now on. */
void threads_use(int threads);

#endif
