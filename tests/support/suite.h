/* What every suite is written with. */
#ifndef SPHERENET_TESTS_SUPPORT_SUITE_H
#define SPHERENET_TESTS_SUPPORT_SUITE_H

#include "runner.h"

#define COUNT(ARRAY) (int)(sizeof(ARRAY) / sizeof *(ARRAY))

/* ck_assert_msg makes a system call even where all is well: too slow for millions. */
#define EXPECT(CONDITION, ...)                                                                                         \
    do {                                                                                                               \
        if (!(CONDITION))                                                                                              \
            ck_abort_msg(__VA_ARGS__);                                                                                 \
    } while (0)

/* Ends the test where the condition holds, and says that it was skipped and why. */
#define SKIP_IF(CONDITION, WHY)                                                                                        \
    do {                                                                                                               \
        if (CONDITION) {                                                                                               \
            skipped(__func__, WHY);                                                                                    \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

void skipped(const char *function, const char *why);

/* A group of tests of the suite. seconds: what each may take at most, 0: any time. set_up and tear_down, or NULL, run
 * before and after each test, in its process. */
TCase *suite_group(Suite *suite, const char *name, double seconds, SFun set_up, SFun tear_down);

#endif
