/* The products of the transform domain: a register tile of a few rows times a packed panel of columns. */
#ifndef SPHERENET_KERNEL_PRODUCT_H
#define SPHERENET_KERNEL_PRODUCT_H

#include <stdbool.h>

#include "kernel/vector.h"

/* Columns of a panel. Packed columns lie panel after panel, [panel][depth][width]; the last may be narrower. */
enum { PANEL_VECTORS = VECTOR_REGISTERS == 32 ? 4 : 2, PANEL = PANEL_VECTORS * LANES };

/* Columns of the panel that column k is in. */
static inline int panel_width(int k, int columns) {
    int panel = k / PANEL * PANEL;
    return columns - panel < PANEL ? columns - panel : PANEL;
}

/* Offset of column k of row d of packed columns. */
static inline size_t packed_offset(int k, int d, int depth, int columns) {
    int panel = k / PANEL * PANEL;
    return (size_t)panel * (size_t)depth + (size_t)d * (size_t)panel_width(k, columns) + (size_t)(k - panel);
}

/* c[rows][columns] = a[rows][depth] b[depth][columns]; b packed, columns a multiple of LANES. a and c are as wide as
 * depth and columns. Meanwhile fetches what follows b in memory, as large as a panel. */
void product_packed(int rows, int columns, int depth, real *c, const real *a, const real *b);

/* The rows [first, end) of a matrix of `all` rows. */
struct row_range {
    int first, end, all;
};

/* Those rows of c[all][columns] = a[depth][all]^T b[depth][columns], added to what is there where `add`; c packed,
 * columns a multiple of LANES. lda, ldb: reals between rows of a and b. */
void product_transposed(struct row_range rows, int columns, int depth, real *c, const real *a, int lda, const real *b,
                        int ldb, bool add);

#endif
