/* Every tests/test_*.c and tests/f64_*.c is a program: this runner and one Check suite. */
#ifndef SPHERENET_TESTS_RUNNER_H
#define SPHERENET_TESTS_RUNNER_H

#include <check.h>

Suite *test_suite(void);

#endif
