#include "support/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runner.h"

enum { GUARD = 64 };
#define GUARD_VALUE ((real)12345)

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

void check_same_bits(const char *what, const struct array *found, const struct array *expected) {
    ck_assert_uint_eq(found->count, expected->count);
    for (size_t i = 0; i < found->count; i++)
        ck_assert_msg(memcmp(&found->data[i], &expected->data[i], sizeof(real)) == 0, "%s[%zu]: %.9g and %.9g", what, i,
                      (double)found->data[i], (double)expected->data[i]);
}
