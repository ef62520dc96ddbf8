/* When a training that stays at chance is told: once, and not before it had time to learn. */
#include "support/suite.h"
#include "train/plateau.h"

enum { CLASSES = 20, RUN = 10 * PLATEAU_WINDOW };

/* Iterations at which it is told in a run whose accuracy is `factor` times chance, from `first` on, and 1 before. */
static int times_told(double factor, int first, int *when) {
    struct plateau plateau = {0};
    int told = 0;
    for (int iteration = 1; iteration <= RUN; iteration++)
        if (plateau_add(&plateau, iteration < first ? 1 : factor / CLASSES, CLASSES, iteration)) {
            told++;
            *when = iteration;
        }
    return told;
}

START_TEST(up_to_one_and_a_half_times_chance_is_told) {
    int when;
    ck_assert_int_eq(times_told(0, 1, &when), 1);
    ck_assert_int_eq(times_told(1, 1, &when), 1);
    ck_assert_int_eq(times_told(1.45, 1, &when), 1);
    ck_assert_int_eq(times_told(1.55, 1, &when), 0);
    ck_assert_int_eq(times_told(5, 1, &when), 0);
}
END_TEST

START_TEST(it_is_told_after_the_second_window) {
    int when;
    ck_assert_int_eq(times_told(1, 1, &when), 1);
    ck_assert_int_eq(when, 2 * PLATEAU_WINDOW);
    ck_assert_int_eq(times_told(1, 4 * PLATEAU_WINDOW + 1, &when), 1);
    ck_assert_int_eq(when, 5 * PLATEAU_WINDOW);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("plateau");
    TCase *told = suite_group(suite, "told", 60, NULL, NULL);
    tcase_add_test(told, up_to_one_and_a_half_times_chance_is_told);
    tcase_add_test(told, it_is_told_after_the_second_window);
    return suite;
}
