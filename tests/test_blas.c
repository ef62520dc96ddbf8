/* What is said of OpenBLAS's kernels, with libraries that this machine does not have. */
#include "runner.h"

#include <cblas.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "machine/cpu.h"
#include "machine/openblas.h"
#include "support/suite.h"
#include "train/openblas_core.h"

static const char *config;
static char core_name[16] = "Abacus"; /* which is in no table of this project, so that its kernels are not slow */

/* These two stand before OpenBLAS's own, in this program. */
char *openblas_get_config(void) {
    return (char *)(uintptr_t)config;
}

char *openblas_get_corename(void) {
    return core_name;
}

static void ask_for(const char *core) {
    ck_assert_int_eq(core ? setenv(BLAS_CORE_VARIABLE, core, 1) : unsetenv(BLAS_CORE_VARIABLE), 0);
}

START_TEST(nothing_is_asked_for) {
    static const char *const configs[] = {"OpenBLAS 0.3.21 DYNAMIC_ARCH Abacus", "OpenBLAS 0.3.21 Abacus"};
    static const char *const unsaid[] = {NULL, "", "abacus"};
    config = configs[_i];
    for (int i = 0; i < 3; i++) {
        ask_for(unsaid[i]);
        ck_assert_ptr_null(blas_core_warning("auto"));
    }
}
END_TEST

START_TEST(a_name_that_is_not_known) {
    config = "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH Abacus MAX_THREADS=64";
    ask_for("fastest");
    ck_assert_str_eq(blas_core_warning("auto"), "OPENBLAS_CORETYPE=fastest in the environment names no kernels of "
                                                "OpenBLAS 0.3.21, which uses Abacus; unset it");
}
END_TEST

START_TEST(a_library_for_one_cpu_does_not_read_it) {
    config = "OpenBLAS 0.3.21 NO_LAPACKE Abacus MAX_THREADS=64";
    ask_for("Haswell");
    ck_assert_str_eq(blas_core_warning("auto"), "OPENBLAS_CORETYPE=Haswell in the environment is ignored: this "
                                                "OpenBLAS 0.3.21 is built for Abacus alone; unset it");
    ck_assert_ptr_null(blas_core_warning("Haswell"));
}
END_TEST

/* Of a CPU whose vectors are wider: what is said before and after the figures. */
static void expect_slow(const char *before, const char *after) {
    char expected[512];
    snprintf(expected, sizeof expected, "%s, but this CPU has %s: products may take up to %d times as long; %s", before,
             cpu_feature_name(cpu_vectors()), 1 << (cpu_vectors() - CPU_SSE), after);
    ck_assert_str_eq(blas_core_warning("auto"), expected);
}

START_TEST(kernels_slower_than_the_cpu) {
    SKIP_IF(cpu_vectors() == CPU_SSE || cpu_vectors() > CPU_AVX512 || cpu_has(CPU_FMA4),
            "this CPU has no kernels that are slow for it");
    snprintf(core_name, sizeof core_name, "Prescott");
    ask_for(NULL);
    config = "OpenBLAS 0.3.21 NO_LAPACKE Prescott MAX_THREADS=64";
    expect_slow("this OpenBLAS 0.3.21 is built for Prescott alone (SSE)", "use one with DYNAMIC_ARCH");
    config = "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH Prescott MAX_THREADS=64";
    struct blas_problem problem;
    char advice[64] = "a newer OpenBLAS may know this CPU";
    ck_assert(blas_problem(&problem));
    if (problem.faster)
        snprintf(advice, sizeof advice, "give --set train.openblas_core=%s", problem.faster);
    expect_slow("OpenBLAS 0.3.21 chose Prescott kernels (SSE)", advice);
    ck_assert_ptr_null(blas_core_warning("Prescott"));
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("blas");
    TCase *tcase = tcase_create("kernels");
    tcase_add_loop_test(tcase, nothing_is_asked_for, 0, 2);
    tcase_add_test(tcase, a_name_that_is_not_known);
    tcase_add_test(tcase, a_library_for_one_cpu_does_not_read_it);
    tcase_add_test(tcase, kernels_slower_than_the_cpu);
    suite_add_tcase(suite, tcase);
    return suite;
}
