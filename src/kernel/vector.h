/* Vectors of `real` as wide as the CPU's, by the compiler's vector extension: one source for every width. */
#ifndef SPHERENET_KERNEL_VECTOR_H
#define SPHERENET_KERNEL_VECTOR_H

#include <stddef.h>

#include "base/real.h"

#if defined __AVX512F__
enum { VECTOR_BYTES = 64, VECTOR_REGISTERS = 32 };
#elif defined __AVX__
enum { VECTOR_BYTES = 32, VECTOR_REGISTERS = 16 };
#else
enum { VECTOR_BYTES = 16, VECTOR_REGISTERS = 16 };
#endif

enum { LANES = VECTOR_BYTES / sizeof(real) };

/* May lie at any address of a real, and may alias arrays of reals. */
typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

static inline vector vector_load(const real *from) {
    return *(const vector *)from;
}

static inline void vector_store(real *to, vector value) {
    *(vector *)to = value;
}

/* The sum of squares of `count` reals; that of the largest floats is far from the largest double. */
double vector_squares(const real *values, size_t count);

/* Copies `count` reals to memory that is not read again soon: past the caches, where the CPU can. vector_stream_end
 * must come before another thread reads it. */
void vector_stream(real *to, const real *from, size_t count);
void vector_stream_end(void);

#endif
