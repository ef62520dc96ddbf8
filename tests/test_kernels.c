/* Kernels in the arithmetic of training (float) against naive loops in double, and the same bits on any number of
 * threads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "kernel/reduce.h"
#include "kernel/vmath.h"
#include "machine/threads.h"
#include "op/angular.h"
#include "ref/reference.h"
#include "runner.h"
#include "support/array.h"
#include "support/convolution.h"
#include "train/trainer.h"

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))
#define TOLERANCE 1e-5 /* relative L2 error of a product of floats */

/* Fewer than the partial sums of a weight gradient, and more; divisors of their number or not. */
static const int thread_counts[] = {2, 3, 4, 13};

static void check_near(const char *what, const struct array *found, const double *expected) {
    double error = relative_error(found, expected);
    ck_assert_msg(error <= TOLERANCE, "%s: relative error %g", what, error);
}

/* --- Convolution ------------------------------------------------------------------------------------------------- */

enum { RANDOM_GEOMETRIES = 32 };

/* Shapes that matter: blocks of one image and of several, the last one full or not, patch matrices of 128 positions
 * filled or not, 1x1, a dense layer, padding that covers patches, many images; and 3x3 convolutions that go the
 * Winograd way, with images that tiles of 4x4 do and do not fill. */
static const struct {
    int n;
    struct conv_geometry g;
} chosen[] = {
    {3,
     {.height = 12, .width = 11, .channels = 3, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 5}},
    {1,
     {.height = 16, .width = 16, .channels = 4, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 8}},
    {257,
     {.height = 1, .width = 1, .channels = 9, .kernel_h = 1, .kernel_w = 1, .stride = 1, .padding = 0, .filters = 7}},
    {300,
     {.height = 3, .width = 2, .channels = 5, .kernel_h = 3, .kernel_w = 2, .stride = 1, .padding = 0, .filters = 10}},
    {2,
     {.height = 33,
      .width = 31,
      .channels = 17,
      .kernel_h = 1,
      .kernel_w = 1,
      .stride = 3,
      .padding = 0,
      .filters = 3}},
    {1,
     {.height = 2, .width = 3, .channels = 1, .kernel_h = 7, .kernel_w = 7, .stride = 1, .padding = 6, .filters = 2}},
    {2,
     {.height = 40,
      .width = 37,
      .channels = 3,
      .kernel_h = 7,
      .kernel_w = 7,
      .stride = 2,
      .padding = 3,
      .filters = 16}},
    {9,
     {.height = 8, .width = 8, .channels = 32, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 33}},
    {2,
     {.height = 9, .width = 7, .channels = 16, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 16}},
    {3,
     {.height = 5, .width = 6, .channels = 32, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 0, .filters = 48}},
    {1,
     {.height = 3, .width = 3, .channels = 16, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 2, .filters = 32}},
    {70,
     {.height = 4, .width = 4, .channels = 16, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 16}},
    {2,
     {.height = 13,
      .width = 17,
      .channels = 64,
      .kernel_h = 3,
      .kernel_w = 3,
      .stride = 1,
      .padding = 1,
      .filters = 32}},
    {1,
     {.height = 1, .width = 1, .channels = 16, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 16}},
    {2,
     {.height = 6, .width = 5, .channels = 8, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 24}},
    {3,
     {.height = 7,
      .width = 10,
      .channels = 48,
      .kernel_h = 3,
      .kernel_w = 3,
      .stride = 1,
      .padding = 1,
      .filters = 32}},
    {40,
     {.height = 12, .width = 12, .channels = 3, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 5}},
    {520,
     {.height = 3, .width = 3, .channels = 2, .kernel_h = 2, .kernel_w = 2, .stride = 1, .padding = 0, .filters = 3}},
    {14,
     {.height = 16,
      .width = 16,
      .channels = 32,
      .kernel_h = 3,
      .kernel_w = 3,
      .stride = 1,
      .padding = 1,
      .filters = 16}},
    {13,
     {.height = 17, .width = 16, .channels = 8, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 8}},
    {2,
     {.height = 13,
      .width = 11,
      .channels = 3,
      .kernel_h = 3,
      .kernel_w = 3,
      .stride = 1,
      .padding = 1,
      .filters = 80}},
    {2,
     {.height = 17,
      .width = 18,
      .channels = 3,
      .kernel_h = 7,
      .kernel_w = 7,
      .stride = 2,
      .padding = 3,
      .filters = 48}},
    {2,
     {.height = 8, .width = 9, .channels = 5, .kernel_h = 1, .kernel_w = 1, .stride = 1, .padding = 0, .filters = 64}},
    /* Weight gradients that are large, and those of many images. */
    {11,
     {.height = 17,
      .width = 18,
      .channels = 48,
      .kernel_h = 3,
      .kernel_w = 3,
      .stride = 2,
      .padding = 1,
      .filters = 48}},
    {19,
     {.height = 13,
      .width = 13,
      .channels = 48,
      .kernel_h = 3,
      .kernel_w = 3,
      .stride = 2,
      .padding = 1,
      .filters = 48}},
    {260,
     {.height = 6, .width = 6, .channels = 16, .kernel_h = 6, .kernel_w = 6, .stride = 1, .padding = 0, .filters = 48}},
    {35,
     {.height = 16,
      .width = 15,
      .channels = 16,
      .kernel_h = 3,
      .kernel_w = 3,
      .stride = 1,
      .padding = 1,
      .filters = 16}},
};

static int geometry_case(int index, struct conv_geometry *g) {
    if (index < COUNT(chosen)) {
        *g = chosen[index].g;
        ck_assert(conv_geometry_complete(g));
        return chosen[index].n;
    }
    struct rng rng = rng_stream(21, RNG_TEST, (uint64_t)index, 0);
    do {
        int kernel = 1 + (int)rng_below(&rng, 7);
        *g = (struct conv_geometry){.height = 1 + (int)rng_below(&rng, 20),
                                    .width = 1 + (int)rng_below(&rng, 20),
                                    .channels = 1 + (int)rng_below(&rng, 20),
                                    .kernel_h = kernel,
                                    .kernel_w = kernel,
                                    .stride = 1 + (int)rng_below(&rng, 4),
                                    .padding = (int)rng_below(&rng, (uint32_t)kernel),
                                    .filters = 1 + (int)rng_below(&rng, 40)};
    } while (!conv_geometry_complete(g));
    return 1 + (int)rng_below(&rng, 5);
}

static size_t input_count(const struct conv_geometry *g, int n) {
    return (size_t)n * (size_t)g->height * (size_t)g->width * (size_t)g->channels;
}

static void conv_inputs(struct conv_results *c, const struct conv_geometry *g, int n, struct rng *rng) {
    size_t positions = (size_t)conv_positions(g, n);
    c->x = array_random(rng, input_count(g, n));
    c->w = array_random(rng, (size_t)(g->filters * conv_patch(g)));
    c->dy = array_random(rng, positions * (size_t)g->filters);
    c->r = array_random(rng, positions);
}

static void conv_free(struct conv_results *c) {
    conv_free_given(c);
    conv_free_results(c);
}

static void conv_run(struct conv_results *c, int index, enum conv_choice algorithm, int threads) {
    struct conv_geometry g;
    int n = geometry_case(index, &g);
    struct rng rng = rng_stream(22, RNG_TEST, (uint64_t)index, 0);
    conv_inputs(c, &g, n, &rng);
    conv_compute(c, &g, algorithm, n, threads);
}

/* Everything of one geometry against the naive loops. */
static void check_convolution(int index, enum conv_choice algorithm) {
    struct conv_geometry geometry;
    int n = geometry_case(index, &geometry);
    struct ref_geometry g = reference_of(&geometry);
    struct rng rng = rng_stream(23, RNG_TEST, (uint64_t)index, 0);
    struct conv_results c;
    ck_assert_int_eq(geometry.out_height, ref_out_height(&g));
    ck_assert_int_eq(geometry.out_width, ref_out_width(&g));
    conv_inputs(&c, &geometry, n, &rng);
    conv_compute(&c, &geometry, algorithm, n, 2);
    double *x = doubles(&c.x), *w = doubles(&c.w), *dy = doubles(&c.dy), *r = doubles(&c.r);
    double *y = doubles(&c.y), *dx = doubles(&c.dx), *dw = doubles(&c.dw), *squares = doubles(&c.squares);
    double *box = doubles(&c.box);
    ref_convolution(&g, n, y, x, w);
    check_near("forward", &c.y, y);
    ref_backward_data(&g, n, dx, dy, w);
    check_near("backward_data", &c.dx, dx);
    ref_backward_weights(&g, n, dw, x, dy);
    check_near("weights", &c.dw, dw);
    ref_patch_squares(&g, n, squares, x);
    check_near("conv_patch_squares", &c.squares, squares);
    ref_box(&g, n, box, r);
    check_near("conv_box_row", &c.box, box);
    double *all[] = {x, w, dy, r, y, dx, dw, squares, box};
    for (int i = 0; i < COUNT(all); i++)
        free(all[i]);
    conv_free(&c);
}

static bool winograd_fits(int index) {
    struct conv_geometry g;
    geometry_case(index, &g);
    return conv_winograd_fits(&g);
}

START_TEST(convolution) {
    check_convolution(_i, CONV_IM2COL);
    if (winograd_fits(_i))
        check_convolution(_i, CONV_WINOGRAD);
}
END_TEST

static void check_threads(int index, enum conv_choice algorithm) {
    struct conv_results one, many;
    conv_run(&one, index, algorithm, 1);
    for (int i = 0; i < COUNT(thread_counts); i++) {
        conv_run(&many, index, algorithm, thread_counts[i]);
        check_same_bits("forward", &many.y, &one.y);
        check_same_bits("backward_data", &many.dx, &one.dx);
        check_same_bits("weights", &many.dw, &one.dw);
        check_same_bits("conv_patch_squares", &many.squares, &one.squares);
        check_same_bits("conv_box_row", &many.box, &one.box);
        conv_free(&many);
    }
    conv_free(&one);
}

START_TEST(convolution_on_any_number_of_threads) {
    check_threads(_i, CONV_IM2COL);
    if (winograd_fits(_i))
        check_threads(_i, CONV_WINOGRAD);
}
END_TEST

START_TEST(both_ways_are_covered) {
    int fast = 0;
    for (int i = 0; i < COUNT(chosen); i++)
        fast += winograd_fits(i);
    ck_assert_int_ge(fast, 6);
    ck_assert_int_ge(COUNT(chosen) - fast, 6);
}
END_TEST

/* Of each way, a batch with more than one block for each sum of the weight gradient. */
START_TEST(sums_of_blocks_are_covered) {
    int winograd = 0, im2col = 0;
    for (int i = 0; i < COUNT(chosen); i++) {
        struct conv_geometry g;
        struct conv conv;
        int n = geometry_case(i, &g);
        conv_plan(&conv, &g, CONV_AUTO);
        if (n > conv.partials * conv.backward_images)
            *(conv.algorithm == &conv_winograd ? &winograd : &im2col) += 1;
    }
    ck_assert_int_gt(winograd, 0);
    ck_assert_int_gt(im2col, 1);
}
END_TEST

START_TEST(algorithm_is_chosen_by_shape) {
    struct conv_geometry g = {.height = 9,
                              .width = 9,
                              .channels = 32,
                              .kernel_h = 3,
                              .kernel_w = 3,
                              .stride = 1,
                              .padding = 1,
                              .filters = 32};
    struct conv conv;
    ck_assert(conv_geometry_complete(&g));
    ck_assert(conv_plan(&conv, &g, CONV_AUTO));
    ck_assert_ptr_eq(conv.algorithm, &conv_winograd);
    ck_assert(conv_plan(&conv, &g, CONV_IM2COL));
    ck_assert_ptr_eq(conv.algorithm, &conv_im2col);
    g.channels = 3;
    ck_assert(conv_plan(&conv, &g, CONV_AUTO));
    ck_assert_ptr_eq(conv.algorithm, &conv_im2col);
    ck_assert(!conv_plan(&conv, &g, CONV_WINOGRAD));
}
END_TEST

START_TEST(kernel_must_fit) {
    struct conv_geometry g = {.height = 4, .width = 6, .channels = 1, .kernel_h = 5, .kernel_w = 5, .stride = 1};
    ck_assert(!conv_geometry_complete(&g));
    g.padding = 1;
    ck_assert(conv_geometry_complete(&g));
    ck_assert_int_eq(g.out_height, 2);
    ck_assert_int_eq(g.out_width, 4);
}
END_TEST

/* Sums of squares must not lose their positive sign: their roots are divisors. */
START_TEST(patch_squares_are_never_negative) {
    struct conv_geometry g = {
        .height = 9, .width = 9, .channels = 2, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1, .filters = 1};
    struct conv conv;
    ck_assert(conv_geometry_complete(&g));
    conv_plan(&conv, &g, CONV_AUTO);
    struct array squares = array_new((size_t)(conv.x.height * conv.x.width)), sums = array_unwritten(81);
    squares.data[conv.x.width * 4 + 5] = squares.data[conv.x.width + 1] = (real)1e30;
    conv_patch_squares(&conv, sums.data, squares.data);
    int covering = 0;
    for (int i = 0; i < 81; i++) {
        bool large = sums.data[i] > 0;
        covering += large;
        ck_assert(sums.data[i] == (large ? (real)1e30 : 0)); /* the patches that do not cover either are exactly 0 */
    }
    ck_assert_int_eq(covering, 9 + 4);
    array_free("squares", &squares);
    array_free("sums", &sums);
}
END_TEST

/* --- Matrix products --------------------------------------------------------------------------------------------- */

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
static void check_activation(const struct angular *row, double largest, double least_k) {
    enum { FILTERS = 37 };
    struct rng rng = rng_stream(27, RNG_TEST, 0, 0);
    real memory[ANGULAR_COEFFICIENTS * FILTERS], cosines[FILTERS], ones[FILTERS], g[FILTERS];
    real again[FILTERS], slope[FILTERS], k_slope[FILTERS];
    double ks[FILTERS];
    struct angular_coefficients coefficients = angular_coefficients_in(memory, FILTERS);
    for (int f = 0; f < FILTERS; f++) {
        ks[f] = least_k * (1 + 3 * rng_uniform(&rng));
        angular_set_k(&coefficients, f, ks[f]);
        ones[f] = 1;
        cosines[f] = (real)(largest * (f ? 2 * rng_uniform(&rng) - 1 : 1));
    }
    row->value(g, &(struct angular_cosines){cosines, ones, 1}, &coefficients, FILTERS);
    row->slope(again, slope, k_slope, g, &coefficients, FILTERS);
    for (int f = 0; f < FILTERS; f++) {
        double c = (double)cosines[f], theta = acos(c), by_theta, by_k;
        double exact = row->at(theta, ks[f], &by_theta, &by_k), by_c = -by_theta / sin(theta);
        ck_assert_msg(fabs((double)g[f] - exact) <= 1e-6 * fabs(exact) &&
                          fabs((double)again[f] - c) <= 4e-6 * fabs(c) &&
                          fabs((double)slope[f] - by_c) <= 1e-5 * fabs(by_c) &&
                          (!row->trains_k || fabs((double)k_slope[f] - by_k) <= 1e-5 * (fabs(by_c) + fabs(by_k))),
                      "%s, up to %g, k %g: c %.9g became g %.9g (%.9g), c %.9g, slopes %.9g (%.9g) and %.9g (%.9g)",
                      row->kind.name, largest, ks[f], c, (double)g[f], exact, (double)again[f], (double)slope[f], by_c,
                      row->trains_k ? (double)k_slope[f] : by_k, by_k);
    }
}

/* Of small cosines alone, for which there are loops of their own, of some beyond on the way back, and beyond on both.
 */
START_TEST(activations) {
    static const double largest[] = {1e-5, 0.05, 0.3, 0.32, 0.34, 0.45, 0.5, 0.51, 0.8};
    static const double least_ks[] = {0.1, 0.3, 0.7, 5};
    const struct angular *row = (const struct angular *)angular_registry.rows[_i];
    for (int i = 0; i < COUNT(largest) * COUNT(least_ks); i++) {
        double least_k = least_ks[i % COUNT(least_ks)];
        if (!row->uses_k || asin(largest[i / COUNT(least_ks)]) <= 6 * least_k) /* else g saturates */
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
        reduce_in_order(sums.data, partial.data, chunks, width);
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

/* --- Whole steps ------------------------------------------------------------------------------------------------- */

#define STEP_DATA(HEIGHT, WIDTH)                                                                                       \
    "data: {type: synthetic, height: " #HEIGHT ", width: " #WIDTH ", channels: 3, classes: 5}\n"
#define STEP_HEAD STEP_DATA(17, 15)
#define STEP_TAIL "regularizer: {orthogonality: 0.01}\ntrain: {iterations: 3, batch_size: 19}\n"

static const char *const step_specs[] = {
    STEP_HEAD "network: {type: resnet, depth: 8, widths: [5, 9, 17], normalization: both,"
              " operator: {angular: learnable_sigmoid}}\n" STEP_TAIL,
    STEP_HEAD "network: {type: plain, depth: 3, widths: [16, 32, 48], features: 33, bias: true,"
              " operator: {magnitude: linear, angular: linear},"
              " classifier_operator: {magnitude: linear, angular: learnable_sigmoid, k_shared: layer}}\n" STEP_TAIL,
    STEP_HEAD "network: {type: plain, depth: 3, operator: {magnitude: product, angular: cosine}}\n"
              "optimizer: {type: sgd, nesterov: true}\n" STEP_TAIL,
    STEP_HEAD "network: {type: plain, depth: 3, operator: {magnitude: sphere, angular: cosine}}\n" STEP_TAIL,
    /* Residual units and batch normalisation around convolutions whose channels fill vectors. */
    STEP_DATA(32, 32) "network: {type: resnet, depth: 8, widths: [16, 32, 32]}\n" STEP_TAIL,
};

enum { STEPS = 3, BATCH = 19 }; /* more than one image to each sum of a weight gradient */

struct step_run {
    struct step_result results[STEPS];
    struct array values; /* of all tensors, one after the other */
};

static struct array all_values(const struct model *net) {
    size_t count = 0, at = 0;
    for (int i = 0; i < net->tensor_count; i++)
        count += net->tensors[i]->count;
    struct array values = array_new(count);
    for (int i = 0; i < net->tensor_count; at += net->tensors[i++]->count)
        memcpy(values.data + at, net->tensors[i]->value, net->tensors[i]->count * sizeof(real));
    return values;
}

static void open_trainer(struct trainer *trainer, struct experiment *experiment, const char *spec, int threads) {
    struct diagnostics diags = {0};
    struct error err;
    char setting[32];
    const char *override = setting;
    snprintf(setting, sizeof setting, "train.threads=%d", threads);
    ck_assert_msg(experiment_parse(experiment, "test", spec, &override, 1, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(trainer, experiment, &err), "%s", err.text);
}

static void run_steps(struct step_run *run, const char *spec, int threads) {
    struct experiment experiment;
    struct trainer trainer;
    struct rng rng = rng_stream(27, RNG_TEST, 0, 0);
    int32_t labels[BATCH];
    open_trainer(&trainer, &experiment, spec, threads);
    for (int step = 0; step < STEPS; step++) {
        struct array images = array_random(&rng, BATCH * shape_size(&trainer.model.chain.in));
        for (int i = 0; i < BATCH; i++)
            labels[i] = (int32_t)rng_below(&rng, 5);
        run->results[step] = trainer_step(&trainer, &(struct batch){BATCH, images.data, labels});
        array_free("images", &images);
    }
    run->values = all_values(&trainer.model);
    trainer_close(&trainer);
    experiment_free(&experiment);
}

START_TEST(steps_on_any_number_of_threads) {
    struct step_run one, many;
    run_steps(&one, step_specs[_i], 1);
    for (int i = 0; i < COUNT(thread_counts); i++) {
        run_steps(&many, step_specs[_i], thread_counts[i]);
        for (int step = 0; step < STEPS; step++) {
            ck_assert_double_eq(many.results[step].fit, one.results[step].fit);
            ck_assert_double_eq(many.results[step].weight_decay, one.results[step].weight_decay);
            ck_assert_double_eq(many.results[step].orthogonality, one.results[step].orthogonality);
        }
        check_same_bits("values", &many.values, &one.values);
        array_free("values", &many.values);
    }
    array_free("values", &one.values);
}
END_TEST

/* --- Extreme images in float ------------------------------------------------------------------------------------- */

static int row_count(const struct registry *registry) {
    int count = 0;
    while (registry->rows[count])
        count++;
    return count;
}

static void check_all_finite(const struct trainer *trainer, const char *what) {
    struct array values = all_values(&trainer->model);
    for (size_t i = 0; i < values.count; i++)
        ck_assert_msg(isfinite(values.data[i]), "%s: value %zu is %g", what, i, (double)values.data[i]);
    array_free("values", &values);
}

/* One step of an update that is as large as the gradient: a NaN or Inf in either stays in the weights. */
static void step_on_extreme_images(const char *spec, real size) {
    struct experiment experiment;
    struct trainer trainer;
    struct rng rng = rng_stream(28, RNG_TEST, 0, 0);
    static const int32_t labels[] = {0, 1, 2};
    open_trainer(&trainer, &experiment, spec, 2);
    struct array images = array_random(&rng, 3 * 6 * 5 * 2);
    for (size_t i = 0; i < images.count; i++)
        images.data[i] *= size;
    struct step_result result = trainer_step(&trainer, &(struct batch){3, images.data, labels});
    ck_assert_msg(isfinite(result.fit), "%s at %g: loss %g", spec, (double)size, result.fit);
    check_all_finite(&trainer, spec);
    array_free("images", &images);
    trainer_close(&trainer);
    experiment_free(&experiment);
}

/* A cosine stays within [-1, 1] whatever lies beside it; Winograd's rounding errors spread within a tile. */
START_TEST(cosines_beside_a_large_pixel) {
    static const real sizes[] = {1, 1e2F, 1e4F, 1e8F};
    static const char spec[] = "data: {type: synthetic, height: 9, width: 9, channels: 16, classes: 256}\n"
                               "network: {type: layers, layers: [{type: sphere_conv, filters: 16},"
                               " {type: max_pool, kernel: 4, stride: 1}]}\n"
                               "train: {iterations: 1, batch_size: 1}\n";
    struct experiment experiment;
    struct trainer trainer;
    struct rng rng = rng_stream(29, RNG_TEST, 0, 0);
    open_trainer(&trainer, &experiment, spec, 2);
    struct array image = array_random(&rng, 9 * 9 * 16);
    for (int i = 0; i < COUNT(sizes); i++) {
        image.data[(2 * 9 + 2) * 16] = sizes[i];
        const real *y = model_forward(&trainer.model, model_step(&trainer.model, 1, STEP_EVALUATE), image.data);
        for (int j = 0; j < 256; j++)
            ck_assert_msg(fabs((double)y[j]) <= 1 + 1e-5, "beside %g: cosine %g", (double)sizes[i], (double)y[j]);
    }
    array_free("image", &image);
    trainer_close(&trainer);
    experiment_free(&experiment);
}
END_TEST

START_TEST(extreme_images) {
    static const real sizes[] = {1e15F, 1e-15F, 0};
    char spec[1024];
    int angulars = row_count(&angular_registry);
    snprintf(spec, sizeof spec,
             "data: {type: synthetic, height: 6, width: 5, channels: 2, classes: 3}\n"
             "network: {type: layers, layers: [{type: conv, filters: 4, operator: {magnitude: %s, angular: %s}}, "
             "{type: batch_norm}, {type: relu}, {type: dense, units: 3}]}\n"
             "optimizer: {type: sgd, learning_rate: 1}\n"
             "train: {iterations: 1, batch_size: 3}\n",
             magnitude_registry.rows[_i / angulars]->name, angular_registry.rows[_i % angulars]->name);
    for (int i = 0; i < COUNT(sizes); i++)
        step_on_extreme_images(spec, sizes[i]);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return tcase;
}

Suite *test_suite(void) {
    gemm_setup();
    Suite *suite = suite_create("kernels");
    TCase *conv = add_case(suite, "convolution");
    tcase_add_test(conv, kernel_must_fit);
    tcase_add_test(conv, both_ways_are_covered);
    tcase_add_test(conv, algorithm_is_chosen_by_shape);
    tcase_add_test(conv, sums_of_blocks_are_covered);
    tcase_add_loop_test(conv, convolution, 0, COUNT(chosen) + RANDOM_GEOMETRIES);
    tcase_add_loop_test(conv, convolution_on_any_number_of_threads, 0, COUNT(chosen) + RANDOM_GEOMETRIES);
    tcase_add_test(conv, patch_squares_are_never_negative);
    TCase *gemm = add_case(suite, "matrix products");
    tcase_add_loop_test(gemm, matrix_product, 0, COUNT(products));
    TCase *elementwise = add_case(suite, "element-wise functions");
    tcase_add_loop_test(elementwise, elementwise_accuracy, 0, COUNT(functions));
    tcase_add_loop_test(elementwise, elementwise_special_values, 0, COUNT(functions));
    tcase_add_loop_test(elementwise, elementwise_lengths, 0, COUNT(functions));
    tcase_add_test(elementwise, tanh_saturates);
    TCase *activation = add_case(suite, "angular activations");
    tcase_add_loop_test(activation, activations, 0, row_count(&angular_registry));
    TCase *sums = add_case(suite, "sums of partial sums");
    tcase_add_test(sums, chunk_sums);
    TCase *steps = add_case(suite, "training steps");
    tcase_add_loop_test(steps, steps_on_any_number_of_threads, 0, COUNT(step_specs));
    tcase_add_test(steps, cosines_beside_a_large_pixel);
    tcase_add_loop_test(steps, extreme_images, 0, row_count(&magnitude_registry) * row_count(&angular_registry));
    return suite;
}
