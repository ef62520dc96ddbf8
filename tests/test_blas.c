/* What is said of OpenBLAS's kernels, with libraries that this machine does not have. */
#include "runner.h"

#include <cblas.h>
#include <stdint.h>
#include <stdlib.h>

#include "machine/openblas.h"

static const char *config;

/* These two stand before OpenBLAS's own, in this program. No table of this project has the core, so none is slow. */
char *openblas_get_config(void) {
    return (char *)(uintptr_t)config;
}

char *openblas_get_corename(void) {
    static char name[] = "Abacus";
    return name;
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

Suite *test_suite(void) {
    Suite *suite = suite_create("blas");
    TCase *tcase = tcase_create("kernels");
    tcase_add_loop_test(tcase, nothing_is_asked_for, 0, 2);
    tcase_add_test(tcase, a_name_that_is_not_known);
    tcase_add_test(tcase, a_library_for_one_cpu_does_not_read_it);
    suite_add_tcase(suite, tcase);
    return suite;
}
