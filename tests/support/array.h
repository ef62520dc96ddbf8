/* Arrays with a guard behind their end, and plain ones. */
#ifndef SPHERENET_TESTS_SUPPORT_ARRAY_H
#define SPHERENET_TESTS_SUPPORT_ARRAY_H

#include <stddef.h>

#include "base/real.h"
#include "base/rng.h"

struct array {
    size_t count;
    real *data;
};

struct array array_new(size_t count);       /* zeros */
struct array array_unwritten(size_t count); /* NaN, for results: what is not written shows */
struct array array_random(struct rng *rng, size_t count);

/* Fails when something was written behind the end. */
void array_free(const char *name, struct array *array);

double *doubles(const struct array *array); /* a copy, to be freed */

/* |found - expected| / |expected|, L2; 0 where both are 0. */
double relative_error(const struct array *found, const double *expected);

/* Fails where the relative error is larger than that of a product of floats. */
void check_array(const char *what, const struct array *found, const double *expected);

void check_same_bits(const char *what, const struct array *found, const struct array *expected);

/* --- Plain arrays --- */

void fill(struct rng *rng, real *values, size_t count, double deviation); /* of a normal distribution around 0 */

real *copy_of(const real *values, size_t count); /* to be freed */

void check_finite(const char *what, const real *values, size_t count);

/* Each value to the tolerance in units of the largest that is expected. */
void check_near(const char *what, const real *found, const double *expected, size_t count, double tolerance);

#endif
