/* The same in double, and there the gradients against differences. */
#include "test_losses.c"
