#include "kernel/product.h"

enum { ROWS = 6 }; /* most in a register tile: with a panel's vectors they fill the registers */

static int smaller(int a, int b) {
    return a < b ? a : b;
}

/* c[rows][vectors] (+)= sum over depth of a[row] b[vectors], all in registers. */
struct tile {
    const real *a, *b;
    size_t a_row, a_step, b_step; /* reals between rows of a; between steps of depth of a and b */
    real *c;
    size_t c_row;
    int depth;
    bool add;
    const char *fetch; /* memory that will be needed next, */
    size_t fetch_step; /* bytes of it to a step of depth */
};

static inline __attribute__((always_inline)) void multiply(const struct tile *t, int rows, int vectors) {
    vector sum[ROWS][PANEL_VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = t->add ? vector_load(t->c + (size_t)r * t->c_row + v * LANES) : (vector){0};
    const real *a = t->a, *b = t->b;
    const char *fetch = t->fetch;
#pragma GCC unroll 4
    for (int d = 0; d < t->depth; d++, a += t->a_step, b += t->b_step, fetch += t->fetch_step) {
        vector right[PANEL_VECTORS];
        __builtin_prefetch(fetch, 0, 3);
        for (int v = 0; v < vectors; v++)
            right[v] = vector_load(b + v * LANES);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] += a[(size_t)r * t->a_row] * right[v];
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            vector_store(t->c + (size_t)r * t->c_row + v * LANES, sum[r][v]);
}

static inline __attribute__((always_inline)) void multiply_rows(const struct tile *t, int rows, int vectors) {
    switch (vectors) {
    case 1:
        multiply(t, rows, 1);
        break;
    case 2:
        multiply(t, rows, 2);
        break;
#if defined __AVX512F__
    case 3:
        multiply(t, rows, 3);
        break;
    case 4:
        multiply(t, rows, 4);
        break;
#endif
    }
}

static __attribute__((noinline)) void multiply_tile(const struct tile *t, int rows, int vectors) {
    switch (rows) {
    case 1:
        multiply_rows(t, 1, vectors);
        break;
    case 2:
        multiply_rows(t, 2, vectors);
        break;
    case 3:
        multiply_rows(t, 3, vectors);
        break;
    case 4:
        multiply_rows(t, 4, vectors);
        break;
    case 5:
        multiply_rows(t, 5, vectors);
        break;
    case 6:
        multiply_rows(t, 6, vectors);
        break;
    }
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
            multiply_tile(&tile, count, width / LANES);
        }
    }
}

void product_transposed(int rows, int columns, int depth, real *c, const real *a, const real *b, bool add) {
    for (int k = 0; k < columns; k += PANEL) {
        int width = smaller(PANEL, columns - k);
        for (int row = 0, count; row < rows; row += count) {
            count = next_rows(rows - row);
            size_t size = (size_t)count * (size_t)width;
            real *sums = c + packed_offset(k, row, rows, columns);
            struct tile tile = {
                .a = a + row,
                .b = b + k,
                .a_row = 1,
                .a_step = (size_t)rows,
                .b_step = (size_t)columns,
                .c = sums,
                .c_row = (size_t)width,
                .depth = depth,
                .add = add,
                .fetch = (const char *)(sums + size), /* the next tile's sums */
                .fetch_step = size * sizeof(real) / (size_t)depth + 1,
            };
            multiply_tile(&tile, count, width / LANES);
        }
    }
}
