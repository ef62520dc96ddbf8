/* Rows of more channels than are taken at a time: the pieces of kernel/ against plain loops, and a network of such
 * layers on a small stack. */
#include "runner.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel/gradient.h"
#include "kernel/moments.h"
#include "kernel/reduce.h"
#include "support/array.h"
#include "support/disk.h"

/* More than a piece of any kind, and no multiple of a vector. */
enum { IMAGES = 3, POSITIONS = 2, CHANNELS = 9001, VALUES = IMAGES * POSITIONS * CHANNELS };

static struct array random_array(uint64_t number, size_t count) {
    struct rng rng = rng_stream(7, RNG_TEST, number, 0);
    return array_random(&rng, count);
}

static void check_close(const char *what, const struct array *found, const double *expected) {
    double error = relative_error(found, expected);
    ck_assert_msg(error < 1e-6, "%s: relative error %g", what, error);
}

static double *new_doubles(size_t count) {
    double *values = calloc(count, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

static double view_value(const struct view *view, int i) {
    int c = i % view->channels;
    double value = (double)view->data[i];
    if (view->scale)
        value = value * (double)view->scale[c] + (double)view->shift[c];
    return view->relu && value < 0 ? 0 : value;
}

START_TEST(wide_views_are_summed) {
    struct array a = random_array(1, VALUES), b = random_array(2, VALUES), scale = random_array(3, CHANNELS);
    struct array shift = random_array(4, CHANNELS), sum = array_unwritten(VALUES);
    const struct view mapped = {
        .data = a.data, .channels = CHANNELS, .scale = scale.data, .shift = shift.data, .relu = true};
    const struct view plain = {.data = b.data, .channels = CHANNELS};
    double *expected = new_doubles(VALUES);
    view_sum(&mapped, &plain, 0, IMAGES * POSITIONS, sum.data);
    for (int i = 0; i < VALUES; i++)
        expected[i] = view_value(&mapped, i) + view_value(&plain, i);
    check_close("sum", &sum, expected);
    free(expected);
    struct array *all[] = {&a, &b, &scale, &shift, &sum};
    for (int i = 0; i < 5; i++)
        array_free("views", all[i]);
}
END_TEST

/* dL/d data of value i, before the target's own ReLU. */
static double read_value(const struct gradient *from, int i) {
    int c = i % CHANNELS;
    return (double)from->scale_d[c] * (double)from->d[i] +
           (double)from->scale_x[c] * ((double)from->of.data[i] - (double)from->of.mean[c]) + (double)from->offset[c];
}

START_TEST(wide_gradients_pass) {
    struct array d = random_array(1, VALUES), data = random_array(2, VALUES), added = random_array(3, VALUES);
    struct array channel = random_array(4, (size_t)6 * CHANNELS), sums = array_unwritten((size_t)IMAGES * 2 * CHANNELS);
    const struct gradient from = {.d = d.data,
                                  .scale_d = channel.data,
                                  .scale_x = channel.data + CHANNELS,
                                  .offset = channel.data + 2 * CHANNELS,
                                  .of = {.data = data.data, .channels = CHANNELS, .mean = channel.data + 3 * CHANNELS}};
    const struct view view = {.data = data.data,
                              .channels = CHANNELS,
                              .scale = channel.data + 4 * CHANNELS,
                              .shift = channel.data + 5 * CHANNELS,
                              .relu = true,
                              .mean = channel.data + 3 * CHANNELS};
    double *expected = new_doubles(VALUES), *expected_sums = new_doubles((size_t)IMAGES * 2 * CHANNELS);
    for (int i = 0; i < VALUES; i++) {
        int c = i % CHANNELS, image = i / (POSITIONS * CHANNELS);
        double *own = expected_sums + (size_t)image * 2 * CHANNELS;
        expected[i] = view_value(&view, i) > 0 ? read_value(&from, i) + (double)added.data[i] : 0;
        own[c] += expected[i];
        own[CHANNELS + c] += expected[i] * ((double)data.data[i] - (double)view.mean[c]);
    }
    const struct gradient_target target = {added.data, true, sums.data, POSITIONS};
    gradient_pass(&target, &view, IMAGES, POSITIONS, &from, 2);
    check_close("gradient", &added, expected);
    check_close("sums", &sums, expected_sums);
    free(expected);
    free(expected_sums);
    struct array *all[] = {&d, &data, &added, &channel, &sums};
    for (int i = 0; i < 5; i++)
        array_free("gradients", all[i]);
}
END_TEST

START_TEST(wide_moments_are_measured_and_joined) {
    struct array x = random_array(1, VALUES), moments = array_unwritten((size_t)IMAGES * 2 * CHANNELS);
    struct array mean = array_unwritten(CHANNELS), variance = array_unwritten(CHANNELS);
    double *expected_mean = new_doubles(CHANNELS), *expected_variance = new_doubles(CHANNELS);
    const int rows = IMAGES * POSITIONS;
    moments_measure(moments.data, x.data, IMAGES, POSITIONS, CHANNELS, 2);
    moments_join(mean.data, variance.data, moments.data, IMAGES, POSITIONS, CHANNELS, &(struct batch_part){0});
    for (int i = 0; i < VALUES; i++)
        expected_mean[i % CHANNELS] += (double)x.data[i] / rows;
    for (int i = 0; i < VALUES; i++)
        expected_variance[i % CHANNELS] += pow((double)x.data[i] - expected_mean[i % CHANNELS], 2) / rows;
    check_close("mean", &mean, expected_mean);
    check_close("variance", &variance, expected_variance);
    free(expected_mean);
    free(expected_variance);
    struct array *all[] = {&x, &moments, &mean, &variance};
    for (int i = 0; i < 4; i++)
        array_free("moments", all[i]);
}
END_TEST

START_TEST(wide_sums_are_reduced) {
    struct array partial = random_array(1, VALUES), sums = array_unwritten(CHANNELS);
    double *expected = new_doubles(CHANNELS);
    for (int i = 0; i < VALUES; i++)
        expected[i % CHANNELS] += (double)partial.data[i];
    sums_join(sums.data, partial.data, IMAGES * POSITIONS, 1, CHANNELS, NULL);
    check_close("sums", &sums, expected);
    free(expected);
    array_free("partial", &partial);
    array_free("sums", &sums);
}
END_TEST

/* --- A small stack ----------------------------------------------------------------------------------------------- */

static const char *const wide_spec =
    "data: {type: synthetic, height: 2, width: 2, channels: 3, train_images: 8, test_images: 4, classes: 4}\n"
    "network:\n"
    "  layers:\n"
    "    - flatten\n"
    "    - {type: dense, units: 65536}\n"
    "    - batch_norm\n"
    "    - relu\n"
    "    - batch_norm\n" /* needs the identity before it */
    "    - type: residual\n"
    "      body: [relu, batch_norm, relu]\n"
    "    - {type: dense, units: 4}\n"
    "train: {iterations: 2, batch_size: 4, eval_every: 2, threads: 2}\n";

START_TEST(a_stack_of_512_kilobytes_is_enough_for_65536_units) {
    char folder[] = "/tmp/spherenet-test-wide-XXXXXX", command[2 * PATH_MAX];
    const char *named = getenv("SPHERENET");
    char *program = realpath(named ? named : "build/release/spherenet", NULL);
    ck_assert_msg(program != NULL, "no program to test; SPHERENET names it");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(command, sizeof command, "%s/spec.yaml", folder);
    disk_write_text(command, wide_spec);
    snprintf(command, sizeof command,
             "cd %s && ulimit -s 512 && '%s' train spec.yaml --run-dir run --quiet >output.txt 2>&1", folder, program);
    int status = system(command);
    disk_remove(folder);
    ck_assert_int_eq(status, 0);
    free(program);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("wide rows");
    TCase *pieces = tcase_create("pieces");
    tcase_add_test(pieces, wide_views_are_summed);
    tcase_add_test(pieces, wide_gradients_pass);
    tcase_add_test(pieces, wide_moments_are_measured_and_joined);
    tcase_add_test(pieces, wide_sums_are_reduced);
    suite_add_tcase(suite, pieces);
    TCase *stack = tcase_create("stack");
    tcase_set_timeout(stack, 120);
    tcase_add_test(stack, a_stack_of_512_kilobytes_is_enough_for_65536_units);
    suite_add_tcase(suite, stack);
    return suite;
}
