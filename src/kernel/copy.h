/* The machine's memory, as fast as it goes. */
#ifndef SPHERENET_KERNEL_COPY_H
#define SPHERENET_KERNEL_COPY_H

#include <stddef.h>

/* The best of `repeats` copies of that many bytes by all threads, in bytes read and written a second: a copy counts
 * twice its size. It is what work that only moves values could reach at best, since the C library's copy of a large
 * piece writes past the caches. `bytes` should be much larger than the caches. 0 when there is not enough memory. */
double copy_rate(size_t bytes, int repeats);

#endif
