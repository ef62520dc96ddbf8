#include "kernel/vector.h"

#include <stdint.h>
#include <string.h>

double vector_squares(const real *values, size_t count) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sum;
}

#if defined __SSE2__

#include <immintrin.h>

enum { LINE = 64 }; /* bytes; only whole lines are written past the caches */

static inline void stream_line(char *to, const char *from) {
#if defined __AVX512F__
    _mm512_stream_si512((void *)to, _mm512_loadu_si512(from));
#elif defined __AVX__
    for (int i = 0; i < LINE; i += 32)
        _mm256_stream_si256((void *)(to + i), _mm256_loadu_si256((const void *)(from + i)));
#else
    for (int i = 0; i < LINE; i += 16)
        _mm_stream_si128((void *)(to + i), _mm_loadu_si128((const void *)(from + i)));
#endif
}

void vector_stream(real *to, const real *from, size_t count) {
    char *target = (char *)to;
    const char *source = (const char *)from;
    size_t bytes = count * sizeof *to, head = -(uintptr_t)target % LINE;
    if (head > bytes)
        head = bytes;
    memcpy(target, source, head);
    size_t i = head;
    for (; i + LINE <= bytes; i += LINE)
        stream_line(target + i, source + i);
    memcpy(target + i, source + i, bytes - i);
}

void vector_stream_end(void) {
    _mm_sfence();
}

#else

void vector_stream(real *to, const real *from, size_t count) {
    memcpy(to, from, count * sizeof *to);
}

void vector_stream_end(void) {
}

#endif
