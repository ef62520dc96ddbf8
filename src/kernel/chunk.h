/* Sums over rows that come out the same on any number of threads.
 *
 * A matrix of `rows` rows is cut into chunks of CHUNK_ROWS; each chunk is summed by one thread into its own row of
 * partial sums, and the partial sums are added in order, in double. */
#ifndef SPHERENET_KERNEL_CHUNK_H
#define SPHERENET_KERNEL_CHUNK_H

#include <stddef.h>

#include "base/real.h"

enum { CHUNK_ROWS = 256 };

static inline int chunk_count(int rows) {
    return (rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
}

static inline int chunk_end(int chunk, int rows) {
    return chunk + 1 < chunk_count(rows) ? (chunk + 1) * CHUNK_ROWS : rows;
}

/* sums[j] = sum over chunks of partial[chunk][j], j < width */
void chunk_reduce(real *sums, const real *partial, int chunks, int width);

#endif
