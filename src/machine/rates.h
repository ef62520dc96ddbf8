/* How fast the machine's memory and its matrix products go: what speeds are compared with. */
#ifndef SPHERENET_MACHINE_RATES_H
#define SPHERENET_MACHINE_RATES_H

#include <stddef.h>

/* The best of `repeats` copies of that many bytes by that many threads, in bytes read and written a second: a copy
 * counts twice its size. It is what work that only moves values could reach at best, since the C library's copy of a
 * large piece writes past the caches. `bytes` should be much larger than the caches. 0 when there is not enough memory.
 */
double copy_rate(size_t bytes, int threads, int repeats);

/* The machine's own rate: the best of `repeats` products of size x size matrices on that many threads, in FLOP/s.
 * 0 when there is not enough memory. */
double gemm_rate(int size, int threads, int repeats);

#endif
