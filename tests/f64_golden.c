/* The same in double, to the files' own resolution. */
#include "test_golden.c"
