/* Convolutions in the arithmetic of training (float) against naive loops in double, and the same bits on any number of
 * threads. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kernel/gemm.h"
#include "machine/threads.h"
#include "ref/reference.h"
#include "support/array.h"
#include "support/convolution.h"
#include "support/suite.h"

/* Fewer than the partial sums of a weight gradient, and more; divisors of their number or not. */
static const int thread_counts[] = {2, 3, 4, 13};

enum { RANDOM_GEOMETRIES = 32 };

/* height, width, channels, kernel's height and width, stride, padding, filters */
#define GEOMETRY(H, W, C, KH, KW, STRIDE, PADDING, FILTERS)                                                            \
    {                                                                                                                  \
        .height = H, .width = W, .channels = C, .kernel_h = KH, .kernel_w = KW, .stride = STRIDE, .padding = PADDING,  \
        .filters = FILTERS                                                                                             \
    }

/* Shapes that matter: blocks of one image and of several, the last one full or not, patch matrices of 128 positions
 * filled or not, 1x1, a dense layer, padding that covers patches, many images; and 3x3 convolutions that go the
 * Winograd way, with images that tiles of 4x4 do and do not fill. */
static const struct {
    int n;
    struct conv_geometry g;
} chosen[] = {
    {3, GEOMETRY(12, 11, 3, 3, 3, 1, 1, 5)},
    {1, GEOMETRY(16, 16, 4, 3, 3, 1, 1, 8)},
    {257, GEOMETRY(1, 1, 9, 1, 1, 1, 0, 7)},
    {300, GEOMETRY(3, 2, 5, 3, 2, 1, 0, 10)},
    {2, GEOMETRY(33, 31, 17, 1, 1, 3, 0, 3)},
    {1, GEOMETRY(2, 3, 1, 7, 7, 1, 6, 2)},
    {2, GEOMETRY(40, 37, 3, 7, 7, 2, 3, 16)},
    {9, GEOMETRY(8, 8, 32, 3, 3, 1, 1, 33)},
    {2, GEOMETRY(9, 7, 16, 3, 3, 1, 1, 16)},
    {3, GEOMETRY(5, 6, 32, 3, 3, 1, 0, 48)},
    {1, GEOMETRY(3, 3, 16, 3, 3, 1, 2, 32)},
    {70, GEOMETRY(4, 4, 16, 3, 3, 1, 1, 16)},
    {2, GEOMETRY(13, 17, 64, 3, 3, 1, 1, 32)},
    {1, GEOMETRY(1, 1, 16, 3, 3, 1, 1, 16)},
    {2, GEOMETRY(6, 5, 8, 3, 3, 1, 1, 24)},
    {3, GEOMETRY(7, 10, 48, 3, 3, 1, 1, 32)},
    {40, GEOMETRY(12, 12, 3, 3, 3, 1, 1, 5)},
    {520, GEOMETRY(3, 3, 2, 2, 2, 1, 0, 3)},
    {14, GEOMETRY(16, 16, 32, 3, 3, 1, 1, 16)},
    {13, GEOMETRY(17, 16, 8, 3, 3, 1, 1, 8)},
    {2, GEOMETRY(13, 11, 3, 3, 3, 1, 1, 80)},
    {2, GEOMETRY(17, 18, 3, 7, 7, 2, 3, 48)},
    {2, GEOMETRY(8, 9, 5, 1, 1, 1, 0, 64)},
    /* Weight gradients that are large, and those of many images. */
    {11, GEOMETRY(17, 18, 48, 3, 3, 2, 1, 48)},
    {19, GEOMETRY(13, 13, 48, 3, 3, 2, 1, 48)},
    {260, GEOMETRY(6, 6, 16, 6, 6, 1, 0, 48)},
    {35, GEOMETRY(16, 15, 16, 3, 3, 1, 1, 16)},
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
    check_array("forward", &c.y, y);
    ref_backward_data(&g, n, dx, dy, w);
    check_array("backward_data", &c.dx, dx);
    ref_backward_weights(&g, n, dw, x, dy);
    check_array("weights", &c.dw, dw);
    ref_patch_squares(&g, n, squares, x);
    check_array("conv_patch_squares", &c.squares, squares);
    ref_box(&g, n, box, r);
    check_array("conv_box_row", &c.box, box);
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

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    gemm_setup();
    Suite *suite = suite_create("convolution");
    TCase *conv = suite_group(suite, "convolution", 120, NULL, NULL);
    tcase_add_test(conv, kernel_must_fit);
    tcase_add_test(conv, both_ways_are_covered);
    tcase_add_test(conv, algorithm_is_chosen_by_shape);
    tcase_add_test(conv, sums_of_blocks_are_covered);
    tcase_add_loop_test(conv, convolution, 0, COUNT(chosen) + RANDOM_GEOMETRIES);
    tcase_add_loop_test(conv, convolution_on_any_number_of_threads, 0, COUNT(chosen) + RANDOM_GEOMETRIES);
    tcase_add_test(conv, patch_squares_are_never_negative);
    return suite;
}
