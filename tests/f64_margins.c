/* The same in double, and there the gradients against differences. */
#include "test_margins.c"
