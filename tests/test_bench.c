/* What bench makes of its measurements. */
#include "cli/bench.h"
#include "support/suite.h"

/* Two measures of five rounds, and three of four. */
START_TEST(the_median_is_the_middle_of_the_rounds) {
    double odd[] = {5, 1, 9, 2, 7, 30, 10, 50, 20, 40}, even[] = {8, 2, 4, 100, 1, 1, 1, 1, -3, 3, 1, 9};
    struct bench five = {.rounds = 5, .samples = odd}, four = {.rounds = 4, .samples = even};
    ck_assert_double_eq(bench_median(&five, 0), 5);
    ck_assert_double_eq(bench_median(&five, 1), 30);
    ck_assert_double_eq(bench_median(&four, 0), 6); /* between 4 and 8 */
    ck_assert_double_eq(bench_median(&four, 1), 1);
    ck_assert_double_eq(bench_median(&four, 2), 2);
    ck_assert_double_eq(odd[0], 5); /* the samples stay in order */
}
END_TEST

START_TEST(one_round_is_its_own_median) {
    double samples[] = {3, 4};
    struct bench bench = {.rounds = 1, .samples = samples};
    ck_assert_double_eq(bench_median(&bench, 0), 3);
    ck_assert_double_eq(bench_median(&bench, 1), 4);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("bench");
    TCase *medians = suite_group(suite, "medians", 60, NULL, NULL);
    tcase_add_test(medians, the_median_is_the_middle_of_the_rounds);
    tcase_add_test(medians, one_round_is_its_own_median);
    return suite;
}
