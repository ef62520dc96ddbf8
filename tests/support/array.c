#include "support/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runner.h"

enum { GUARD = 64 };
#define GUARD_VALUE ((real)12345)
#define TOLERANCE 1e-5 /* relative L2 error of a product of floats */

struct array array_new(size_t count) {
    struct array array = {count, mem_alloc((count + GUARD) * sizeof(real))};
    for (int i = 0; i < GUARD; i++)
        array.data[count + (size_t)i] = GUARD_VALUE;
    return array;
}

struct array array_unwritten(size_t count) {
    struct array array = array_new(count);
    for (size_t i = 0; i < count; i++)
        array.data[i] = (real)NAN;
    return array;
}

struct array array_random(struct rng *rng, size_t count) {
    struct array array = array_new(count);
    for (size_t i = 0; i < count; i++)
        array.data[i] = (real)rng_normal(rng);
    return array;
}

void array_free(const char *name, struct array *array) {
    for (int i = 0; i < GUARD; i++)
        ck_assert_msg(array->data[array->count + (size_t)i] == GUARD_VALUE, "%s: written behind its end", name);
    free(array->data);
}

double *doubles(const struct array *array) {
    double *copy = mem_alloc((array->count + 1) * sizeof *copy);
    for (size_t i = 0; i < array->count; i++)
        copy[i] = (double)array->data[i];
    return copy;
}

double relative_error(const struct array *found, const double *expected) {
    double error = 0, size = 0;
    for (size_t i = 0; i < found->count; i++) {
        error += pow((double)found->data[i] - expected[i], 2);
        size += pow(expected[i], 2);
    }
    return error == 0 ? 0 : sqrt(error / size);
}

void check_array(const char *what, const struct array *found, const double *expected) {
    double error = relative_error(found, expected);
    ck_assert_msg(error <= TOLERANCE, "%s: relative error %g", what, error);
}

void check_same_bits(const char *what, const struct array *found, const struct array *expected) {
    ck_assert_uint_eq(found->count, expected->count);
    for (size_t i = 0; i < found->count; i++)
        ck_assert_msg(memcmp(&found->data[i], &expected->data[i], sizeof(real)) == 0, "%s[%zu]: %.9g and %.9g", what, i,
                      (double)found->data[i], (double)expected->data[i]);
}

void fill(struct rng *rng, real *values, size_t count, double deviation) {
    for (size_t i = 0; i < count; i++)
        values[i] = (real)(deviation * rng_normal(rng));
}

real *copy_of(const real *values, size_t count) {
    real *copy = mem_alloc(count * sizeof *copy);
    memcpy(copy, values, count * sizeof *copy);
    return copy;
}

void check_finite(const char *what, const real *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(isfinite(values[i]), "%s[%zu] is %g", what, i, (double)values[i]);
}

void check_near(const char *what, const real *found, const double *expected, size_t count, double tolerance) {
    double scale = 0;
    for (size_t i = 0; i < count; i++)
        scale = fmax(scale, fabs(expected[i]));
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)found[i] - expected[i]) <= tolerance * scale, "%s[%zu] is %.15g, expected %.15g",
                      what, i, (double)found[i], expected[i]);
}
