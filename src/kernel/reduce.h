/* Sums over the positions of each image of a batch. Readers of an image add its positions one after the other, in real,
 * to the sums of a block of them; the blocks' sums are added in double, and so are the images'. In this order whatever
 * the number of threads, and as exact for a large image as for a small one. */
#ifndef SPHERENET_KERNEL_REDUCE_H
#define SPHERENET_KERNEL_REDUCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/real.h"
#include "process/group.h"

enum { SUMS_BLOCK = 16 }; /* positions of a block, or some more where they come several at a time */

/* Reals of one image's sums. The first [width] are the latest block's, to which is added. */
size_t sums_reals(int positions, int width);

/* Starts an image. */
void sums_begin(real *sums, int positions, int width);

/* Whether a block is complete once the positions [before, before + count) of an image are in. Then sums_end_block has
 * to follow for all sums that are added to, which starts the next one. */
static inline bool sums_block_ends(int before, int count) {
    return (before + count) / SUMS_BLOCK > before / SUMS_BLOCK;
}

/* For the sums [first, first + count). */
void sums_end_block(real *sums, int width, int first, int count);

/* joined[width], over all images of the batch, n of which this process has. sums: [n][sums_reals] */
void sums_join(real *joined, const real *sums, int n, int positions, int width, const struct group *group);

#endif
