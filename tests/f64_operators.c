/* Every operator in convolutions and dense layers, in double: values against the formulas of tests/ref, gradients
 * against central differences. */
#include <stdio.h>

#include "kernel/gemm.h"
#include "machine/threads.h"
#include "ref/reference.h"
#include "support/f64_subject.h"
#include "support/operators.h"

static void check_conv(const char *operation, struct shape in, int n, int filters, int kernel, int stride, int padding,
                       bool bias) {
    char yaml[512];
    struct ref_geometry g = {in.height, in.width, in.channels, kernel, kernel, stride, padding, filters};
    snprintf(
        yaml, sizeof yaml,
        "layers: [{type: conv, name: a, filters: %d, kernel: %d, stride: %d, padding: %d, bias: %s, operator: %s}]",
        filters, kernel, stride, padding, bias ? "true" : "false", operation);
    check_subject(yaml, in, (struct shape){ref_out_height(&g), ref_out_width(&g), filters, false}, n);
}

START_TEST(operator_in_convolution) {
    check_conv(operator_yaml(_i, ""), (struct shape){7, 5, 3, false}, 2, 4, 3, 1, 1, false);
    check_conv(operator_yaml(_i, ", k: 0.1, initial_k: -0.4, k_offset: 0.2, rho: 0.7, train_rho: true, epsilon: 0.5"),
               (struct shape){7, 5, 3, false}, 2, 4, 3, 2, 1, true);
    check_conv(operator_yaml(_i, ", k: 2, k_shared: layer, rho: 3"), (struct shape){5, 7, 2, false}, 1, 6, 3, 1, 0,
               true);
}
END_TEST

START_TEST(operator_over_many_positions) {
    check_conv(operator_yaml(_i, ""), (struct shape){12, 11, 3, false}, 3, 5, 3, 1, 1, true);
    check_conv(operator_yaml(_i, ", k_shared: layer"), (struct shape){257, 1, 3, false}, 1, 3, 1, 1, 0, true);
    check_conv(operator_yaml(_i, ""), (struct shape){16, 16, 1, false}, 1, 3, 3, 1, 1, false);
    check_conv(operator_yaml(_i, ", train_rho: true"), (struct shape){9, 3, 2, false}, 19, 17, 1, 1, 0, false);
}
END_TEST

/* 3x3 with channels that fill vectors, which may be computed another way. */
START_TEST(operator_in_wide_convolution) {
    for (int padding = 0; padding <= 2; padding++) {
        check_conv(operator_yaml(_i, ""), (struct shape){9, 7, 16, false}, 2, 16, 3, 1, padding, true);
        check_conv(operator_yaml(_i, ", k_shared: layer"), (struct shape){3, 5, 12, false}, 3, 20, 3, 1, padding,
                   false);
    }
}
END_TEST

START_TEST(operator_in_dense) {
    char yaml[512];
    snprintf(yaml, sizeof yaml,
             "layers: [{type: flatten}, {type: dense, name: a, units: 6, operator: %s}, "
             "{type: dense, name: b, units: 5, bias: false, operator: %s}]",
             operator_yaml(_i, ""), operator_yaml(_i, ""));
    check_subject(yaml, (struct shape){4, 3, 3, false}, (struct shape){1, 1, 5, true}, 1);
    check_subject(yaml, (struct shape){1, 1, 17, false}, (struct shape){1, 1, 5, true}, 3);
    check_subject(yaml, (struct shape){2, 1, 2, false}, (struct shape){1, 1, 5, true}, 300);
}
END_TEST

/* sphere_conv starts from another magnitude; its k is a constant, or trained and negative. */
START_TEST(operator_in_sphere_conv) {
    char yaml[512];
    snprintf(yaml, sizeof yaml, "layers: [{type: sphere_conv, name: a, filters: 4, padding: 1, operator: %s}]",
             angular_yaml(_i, ", k: 0.7"));
    check_subject(yaml, (struct shape){7, 5, 3, false}, (struct shape){7, 5, 4, false}, 2);
}
END_TEST

static const int kernels[] = {1, 3, 4, 5, 7}, strides[] = {1, 2, 3}, channel_counts[] = {1, 3, 17};

static void check_geometry(int kernel, int stride, int padding, int channels, int operation) {
    struct shape in = {kernel > 5 ? 9 : 7, kernel > 5 ? 7 : 5, channels, false};
    check_conv(operator_yaml(operation, ""), in, 2, 3, kernel, stride, padding, false);
    check_conv("{}", in, 1, channels, kernel, stride, padding, true);
}

/* The operators take turns. */
START_TEST(geometry) {
    int kernel = kernels[_i % COUNT(kernels)], stride = strides[_i / COUNT(kernels)];
    for (int i = 0; i < COUNT(channel_counts); i++) {
        check_geometry(kernel, stride, 0, channel_counts[i], _i + 4 * i);
        check_geometry(kernel, stride, kernel / 2, channel_counts[i], _i + 4 * i + 1);
        check_geometry(kernel, stride, kernel - 1, channel_counts[i], _i + 4 * i + 2);
    }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    gemm_setup();
    threads_use(1);
    Suite *suite = suite_create("operators");
    TCase *operators = suite_group(suite, "operators", 120, NULL, NULL);
    tcase_add_loop_test(operators, operator_in_convolution, 0, operator_count());
    tcase_add_loop_test(operators, operator_over_many_positions, 0, operator_count());
    tcase_add_loop_test(operators, operator_in_wide_convolution, 0, operator_count());
    tcase_add_loop_test(operators, operator_in_dense, 0, operator_count());
    tcase_add_loop_test(operators, operator_in_sphere_conv, 0, row_count(&angular_registry));
    tcase_add_loop_test(operators, geometry, 0, COUNT(kernels) * COUNT(strides));
    return suite;
}
