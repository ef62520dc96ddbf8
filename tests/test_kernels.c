/* Matrix products, functions of elements, activations and sums in the arithmetic of training (float) against double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "kernel/reduce.h"
#include "kernel/vmath.h"
#include "op/angular.h"
#include "support/array.h"
#include "support/operators.h"
#include "support/suite.h"

#define TOLERANCE 1e-5 /* relative error of a product of floats */

typedef void product(int m, int n, int k, const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc);

static const struct {
    const char *name;
    product *run;
    bool a_transposed, b_transposed;
} products[] = {
    {"gemm_nn", gemm_nn, false, false},
    {"gemm_nt", gemm_nt, false, true},
    {"gemm_tn", gemm_tn, true, false},
};

/* Rows lie 3 values further apart than they are long; what is between them must stay as it was. */
enum { GAP = 3 };

static double product_element(int index, const struct array *a, int lda, const struct array *b, int ldb, int row,
                              int column, int k) {
    double sum = 0;
    for (int i = 0; i < k; i++) {
        real left = a->data[products[index].a_transposed ? i * lda + row : row * lda + i];
        real right = b->data[products[index].b_transposed ? column * ldb + i : i * ldb + column];
        sum += (double)left * (double)right;
    }
    return sum;
}

static void check_product(int index, int m, int n, int k, real beta, struct rng *rng) {
    int lda = (products[index].a_transposed ? m : k) + GAP, ldb = (products[index].b_transposed ? k : n) + GAP;
    int ldc = n + GAP;
    struct array a = array_random(rng, (size_t)((products[index].a_transposed ? k : m) * lda));
    struct array b = array_random(rng, (size_t)((products[index].b_transposed ? n : k) * ldb));
    struct array c = beta == 0 ? array_unwritten((size_t)(m * ldc)) : array_random(rng, (size_t)(m * ldc));
    struct array before = array_new(c.count);
    memcpy(before.data, c.data, c.count * sizeof(real));
    products[index].run(m, n, k, a.data, lda, b.data, ldb, beta, c.data, ldc);
    for (int i = 0; i < m * ldc; i++) {
        if (i % ldc >= n) {
            ck_assert_msg(memcmp(&c.data[i], &before.data[i], sizeof(real)) == 0, "%s writes between rows",
                          products[index].name);
            continue;
        }
        double expected = product_element(index, &a, lda, &b, ldb, i / ldc, i % ldc, k);
        expected += beta == 0 ? 0 : (double)beta * (double)before.data[i];
        ck_assert_msg(fabs((double)c.data[i] - expected) <= TOLERANCE * (sqrt((double)k) + 1),
                      "%s %dx%dx%d beta %g: [%d] is %g, expected %g", products[index].name, m, n, k, (double)beta, i,
                      (double)c.data[i], expected);
    }
    array_free("a", &a);
    array_free("b", &b);
    array_free("c", &c);
    array_free("before", &before);
}

START_TEST(matrix_product) {
    static const real betas[] = {0, 1, (real)-0.5};
    struct rng rng = rng_stream(24, RNG_TEST, (uint64_t)_i, 0);
    check_product(_i, 1, 1, 1, 0, &rng);
    check_product(_i, 256, 65, 33, 0, &rng);
    for (int i = 0; i < 30; i++)
        check_product(_i, 1 + (int)rng_below(&rng, 70), 1 + (int)rng_below(&rng, 70), 1 + (int)rng_below(&rng, 300),
                      betas[i % COUNT(betas)], &rng);
}
END_TEST

/* --- Element-wise functions -------------------------------------------------------------------------------------- */

/* Error in units of the last place of the float nearest to `expected`. */
static double ulp_error(real found, double expected) {
    float nearest = fabsf((float)expected);
    double ulp = (double)nextafterf(nearest, INFINITY) - (double)nearest;
    return fabs((double)found - expected) / ulp;
}

struct function {
    const char *name;
    void (*run)(real *y, const real *x, int count);
    double (*exact)(double x);
    float last; /* the sweep ends here */
};

/* Largest errors measured in these sweeps (glibc 2.36, AVX2): asin 2.98, tanh 1.02 units in the last place. */
#define HALF_PI_BELOW 0x1.921fb4p+0F /* the float below pi/2 */

#define SMALL(NAME)                                                                                                    \
    static void small_##NAME(real *y, const real *x, int count) {                                                      \
        for (int i = 0; i < count; i++)                                                                                \
            y[i] = vmath_small_##NAME(x[i]);                                                                           \
    }
SMALL(asin)
SMALL(tanh)
SMALL(atanh)
SMALL(sin)
SMALL(sec)

static double sec(double x) {
    return 1 / cos(x);
}

static const struct function functions[] = {
    {"asin", vmath_asin, asin, 1.0F},
    {"tanh", vmath_tanh, tanh, 30.0F},
    {"atanh", vmath_atanh, atanh, 1 - REAL_EPSILON},
    {"sin", vmath_sin, sin, HALF_PI_BELOW},
    {"small asin", small_asin, asin, VMATH_SMALL_ASIN},
    {"small tanh", small_tanh, tanh, VMATH_SMALL_TANH},
    {"small atanh", small_atanh, atanh, VMATH_SMALL_ATANH},
    {"small sin", small_sin, sin, VMATH_SMALL_SIN},
    {"small sec", small_sec, sec, VMATH_SMALL_SEC},
};

enum { SWEEP_STEP = 997, SWEEP_BLOCK = 1 << 12 };

static double block_error(const struct function *f, const real *x, int count) {
    static real y[SWEEP_BLOCK];
    double worst = 0;
    f->run(y, x, count);
    for (int i = 0; i < count; i++) {
        double error = ulp_error(y[i], f->exact((double)x[i]));
        worst = error <= worst ? worst : error; /* NaN is worst */
    }
    return worst;
}

/* Every 997th float of either sign from the smallest normal one to the last, and the last itself. */
START_TEST(elementwise_accuracy) {
    const struct function *f = &functions[_i];
    static real x[SWEEP_BLOCK];
    uint32_t bits = 0x00800000, last;
    double worst = 0;
    memcpy(&last, &f->last, sizeof last);
    while (bits < last) {
        int count = 0;
        for (; count < SWEEP_BLOCK - 2 && bits < last; bits += SWEEP_STEP) {
            float value;
            memcpy(&value, &bits, sizeof value);
            x[count++] = value;
            x[count++] = -value;
        }
        x[count++] = f->last;
        x[count++] = -f->last;
        worst = fmax(worst, block_error(f, x, count));
    }
    ck_assert_msg(worst <= 4, "%s: %.3g units in the last place", f->name, worst);
}
END_TEST

START_TEST(elementwise_special_values) {
    const struct function *f = &functions[_i];
    const real x[] = {0, (real)-0.0, 1e-38F, -1e-38F, 1e-45F, f->last, -f->last};
    real y[COUNT(x)];
    f->run(y, x, COUNT(x));
    for (int i = 0; i < COUNT(x); i++)
        ck_assert_msg(fabs((double)y[i] - f->exact((double)x[i])) <= 4e-7 * fabs(f->exact((double)x[i])) + 1e-44,
                      "%s(%g) is %g", f->name, (double)x[i], (double)y[i]);
}
END_TEST

START_TEST(tanh_saturates) {
    const real x[] = {100, -100, 1e30F, -1e30F, 90, -90, 1000};
    real y[COUNT(x)];
    vmath_tanh(y, x, COUNT(x));
    for (int i = 0; i < COUNT(x); i++)
        ck_assert_msg(y[i] == (x[i] > 0 ? 1 : -1), "tanh(%g) is %g", (double)x[i], (double)y[i]);
}
END_TEST

/* Lengths that fill no whole vector. */
START_TEST(elementwise_lengths) {
    const struct function *f = &functions[_i];
    struct rng rng = rng_stream(25, RNG_TEST, 0, 0);
    for (size_t count = 0; count < 70; count++) {
        struct array x = array_new(count), y = array_unwritten(count);
        for (size_t i = 0; i < count; i++)
            x.data[i] = (real)(2 * rng_uniform(&rng) - 1) * (f->last < 1 ? f->last : 1);
        f->run(y.data, x.data, (int)count);
        for (size_t i = 0; i < count; i++)
            ck_assert_double_le(ulp_error(y.data[i], f->exact((double)x.data[i])), 4);
        array_free("x", &x);
        array_free("y", &y);
    }
}
END_TEST

/* --- Angular activations ----------------------------------------------------------------------------------------- */

/* Rows of cosines up to the largest, of filters whose k differ, against g computed in double. */
static void check_activation(const struct angular_type *row, double largest, double least_k) {
    enum { FILTERS = 37 };
    struct rng rng = rng_stream(27, RNG_TEST, 0, 0);
    struct lone_angular lone;
    real cosines[FILTERS], ones[FILTERS], g[FILTERS];
    real again[FILTERS], slope[FILTERS], shape_slope[FILTERS], work[FILTERS];
    double shapes[FILTERS];
    for (int f = 0; f < FILTERS; f++) {
        shapes[f] = least_k * (1 + 3 * rng_uniform(&rng));
        ones[f] = 1;
        cosines[f] = (real)(largest * (f ? 2 * rng_uniform(&rng) - 1 : 1));
    }
    lone_angular_open(&lone, row, shapes, FILTERS);
    row->value(&lone.angular, g, &(struct angular_cosines){cosines, ones, 1}, FILTERS);
    row->slope(&lone.angular, &(struct angular_slopes){again, slope, shape_slope, work}, g, FILTERS);
    for (int f = 0; f < FILTERS; f++) {
        double c = (double)cosines[f], theta = acos(c), shape = angular_shape(&lone.angular, f), by_theta, by_shape;
        double exact = row->at(theta, shape, &by_theta, &by_shape), by_c = -by_theta / sin(theta);
        double found_by_shape = row->gradient ? (double)shape_slope[f] : by_shape;
        ck_assert_msg(fabs((double)g[f] - exact) <= 1e-6 * fabs(exact) &&
                          fabs((double)again[f] - c) <= 4e-6 * fabs(c) &&
                          fabs((double)slope[f] - by_c) <= 1e-5 * fabs(by_c) &&
                          fabs(found_by_shape - by_shape) <= 1e-5 * (fabs(by_c) + fabs(by_shape)),
                      "%s, up to %g, k %g: c %.9g became g %.9g (%.9g), c %.9g, slopes %.9g (%.9g) and %.9g (%.9g)",
                      row->kind.name, largest, shape, c, (double)g[f], exact, (double)again[f], (double)slope[f], by_c,
                      found_by_shape, by_shape);
    }
    lone_angular_close(&lone);
}

/* Of small cosines alone, for which there are loops of their own, of some beyond on the way back, and beyond on both.
 */
START_TEST(activations) {
    static const double largest[] = {1e-5, 0.05, 0.3, 0.32, 0.34, 0.45, 0.5, 0.51, 0.8};
    static const double least_ks[] = {0.1, 0.3, 0.7, 5};
    const struct angular_type *row = (const struct angular_type *)angular_registry.rows[_i];
    for (int i = 0; i < COUNT(largest) * COUNT(least_ks); i++) {
        double least_k = least_ks[i % COUNT(least_ks)];
        if (!row->shape || asin(largest[i / COUNT(least_ks)]) <= 6 * least_k) /* else g saturates */
            check_activation(row, largest[i / COUNT(least_ks)], least_k);
    }
}
END_TEST

/* --- Sums of partial sums ---------------------------------------------------------------------------------------- */

START_TEST(chunk_sums) {
    struct rng rng = rng_stream(26, RNG_TEST, 0, 0);
    static const int chunk_counts[] = {1, 2, 3, 17, 500}, widths[] = {1, 2, 7, 64, 1001};
    for (int i = 0; i < COUNT(chunk_counts) * COUNT(widths); i++) {
        int chunks = chunk_counts[i / COUNT(widths)], width = widths[i % COUNT(widths)];
        struct array partial = array_random(&rng, (size_t)(chunks * width)), sums = array_unwritten((size_t)width);
        sums_join(sums.data, partial.data, chunks, 1, width, NULL);
        for (int j = 0; j < width; j++) {
            double expected = 0;
            for (int chunk = 0; chunk < chunks; chunk++)
                expected += (double)partial.data[chunk * width + j];
            ck_assert_msg(sums.data[j] == (real)expected, "%d chunks of %d: sum %d is %.9g, expected %.9g", chunks,
                          width, j, (double)sums.data[j], expected);
        }
        array_free("partial", &partial);
        array_free("sums", &sums);
    }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    gemm_setup();
    Suite *suite = suite_create("kernels");
    TCase *gemm = suite_group(suite, "matrix products", 120, NULL, NULL);
    tcase_add_loop_test(gemm, matrix_product, 0, COUNT(products));
    TCase *elementwise = suite_group(suite, "element-wise functions", 120, NULL, NULL);
    tcase_add_loop_test(elementwise, elementwise_accuracy, 0, COUNT(functions));
    tcase_add_loop_test(elementwise, elementwise_special_values, 0, COUNT(functions));
    tcase_add_loop_test(elementwise, elementwise_lengths, 0, COUNT(functions));
    tcase_add_test(elementwise, tanh_saturates);
    TCase *activation = suite_group(suite, "angular activations", 120, NULL, NULL);
    tcase_add_loop_test(activation, activations, 0, row_count(&angular_registry));
    TCase *sums = suite_group(suite, "sums of partial sums", 120, NULL, NULL);
    tcase_add_test(sums, chunk_sums);
    return suite;
}
