/* The arithmetic of sizes and bounds that every folder needs. */
#ifndef SPHERENET_BASE_NUMBER_H
#define SPHERENET_BASE_NUMBER_H

#include <math.h>
#include <stddef.h>

static inline int smaller(int a, int b) {
    return a < b ? a : b;
}
static inline int larger(int a, int b) {
    return a > b ? a : b;
}
/* value, or the nearer end of [low, high] */
static inline int clamp(int value, int low, int high) {
    return smaller(larger(value, low), high);
}
/* a / b rounded up; a >= 0, b > 0 */
static inline int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

static inline size_t size_smaller(size_t a, size_t b) {
    return a < b ? a : b;
}
static inline size_t size_larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The value to be printed: printf would show the sign of a NAN, which says nothing. */
static inline double shown(double value) {
    return isnan(value) ? fabs(value) : value;
}

#endif
