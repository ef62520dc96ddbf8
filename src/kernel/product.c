#include "kernel/product.h"

#include "base/number.h"

enum { ROWS = 6 }; /* most in a register tile: with a panel's vectors they fill the registers */

/* c[rows][vectors] (+)= sum over depth of a[row] b[vectors], all in registers. */
struct tile {
    const real *a, *b;
    size_t a_row, a_step, b_step; /* reals between rows of a; between steps of depth of a and b */
    real *c;
    size_t c_row;
    int depth;
    const char *fetch; /* memory that will be needed next, */
    size_t fetch_step; /* bytes of it to a step of depth */
};

/* rows, vectors and add are known to the compiler where this is called. */
static inline __attribute__((always_inline)) void multiply(const struct tile *t, int rows, int vectors, bool add) {
    vector sum[ROWS][PANEL_VECTORS];
    const real *a = t->a, *b = t->b;
    real *c = t->c;
    const char *fetch = t->fetch;
    size_t a_row = t->a_row, c_row = t->c_row;
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[r][v] = add ? vector_load(c + (size_t)r * c_row + v * LANES) : (vector){0};
#pragma GCC unroll 2
    for (int d = 0; d < t->depth; d++, a += t->a_step, b += t->b_step, fetch += t->fetch_step) {
        vector right[PANEL_VECTORS];
        __builtin_prefetch(fetch, 0, 3);
        for (int v = 0; v < vectors; v++)
            right[v] = vector_load(b + v * LANES);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] += a[(size_t)r * a_row] * right[v];
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            vector_store(c + (size_t)r * c_row + v * LANES, sum[r][v]);
}

static inline __attribute__((always_inline)) void multiply_rows(const struct tile *t, int rows, int vectors, bool add) {
    switch (vectors) {
    case 1:
        multiply(t, rows, 1, add);
        break;
    case 2:
        multiply(t, rows, 2, add);
        break;
#if defined __AVX512F__
    case 3:
        multiply(t, rows, 3, add);
        break;
    case 4:
        multiply(t, rows, 4, add);
        break;
#endif
    }
}

static inline __attribute__((always_inline)) void multiply_tile(const struct tile *t, int rows, int vectors, bool add) {
    switch (rows) {
    case 1:
        multiply_rows(t, 1, vectors, add);
        break;
    case 2:
        multiply_rows(t, 2, vectors, add);
        break;
    case 3:
        multiply_rows(t, 3, vectors, add);
        break;
    case 4:
        multiply_rows(t, 4, vectors, add);
        break;
    case 5:
        multiply_rows(t, 5, vectors, add);
        break;
    case 6:
        multiply_rows(t, 6, vectors, add);
        break;
    }
}

static __attribute__((noinline)) void set_tile(const struct tile *t, int rows, int vectors) {
    multiply_tile(t, rows, vectors, false);
}

static __attribute__((noinline)) void add_tile(const struct tile *t, int rows, int vectors) {
    multiply_tile(t, rows, vectors, true);
}

/* Rows of the next tile, so that all are of nearly one size: 32 rows go as 5, 5, 5, 5, 6, 6. */
static int next_rows(int left) {
    return left / ((left + ROWS - 1) / ROWS);
}

void product_packed(int rows, int columns, int depth, real *c, const real *a, const real *b) {
    int tiles = (rows + ROWS - 1) / ROWS;
    for (int k = 0; k < columns; k += PANEL) {
        int width = smaller(PANEL, columns - k);
        const real *panel = b + (size_t)k * (size_t)depth;
        /* The next panel is fetched in even shares while this one is used again and again. */
        size_t share = (size_t)width * sizeof(real) / (size_t)tiles;
        const char *fetch = (const char *)(panel + (size_t)width * (size_t)depth);
        for (int row = 0, count; row < rows; row += count, fetch += share * (size_t)depth) {
            count = next_rows(rows - row);
            struct tile tile = {
                .a = a + (size_t)row * (size_t)depth,
                .b = panel,
                .a_row = (size_t)depth,
                .a_step = 1,
                .b_step = (size_t)width,
                .c = c + (size_t)row * (size_t)columns + k,
                .c_row = (size_t)columns,
                .depth = depth,
                .fetch = fetch,
                .fetch_step = share,
            };
            set_tile(&tile, count, width / LANES);
        }
    }
}

void product_transposed(struct row_range rows, int columns, int depth, real *c, const real *a, int lda, const real *b,
                        int ldb, bool add) {
    for (int k = 0; k < columns; k += PANEL) {
        int width = smaller(PANEL, columns - k);
        for (int row = rows.first, count; row < rows.end; row += count) {
            count = next_rows(rows.end - row);
            size_t size = (size_t)count * (size_t)width;
            real *sums = c + packed_offset(k, row, rows.all, columns);
            struct tile tile = {
                .a = a + row,
                .b = b + k,
                .a_row = 1,
                .a_step = (size_t)lda,
                .b_step = (size_t)ldb,
                .c = sums,
                .c_row = (size_t)width,
                .depth = depth,
                .fetch = (const char *)(sums + size), /* the next tile's sums */
                .fetch_step = size * sizeof(real) / (size_t)depth + 1,
            };
            (add ? add_tile : set_tile)(&tile, count, width / LANES);
        }
    }
}
