/* Partial sums, each made by one thread, joined in their order: the same on any number of threads. */
#ifndef SPHERENET_KERNEL_REDUCE_H
#define SPHERENET_KERNEL_REDUCE_H

#include "base/real.h"

/* sums[j] = sum over chunks of partial[chunk][j], j < width, in double */
void reduce_in_order(real *sums, const real *partial, int chunks, int width);

#endif
