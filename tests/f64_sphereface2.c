/* The same in double, and there the gradients against differences. */
#include "test_sphereface2.c"
