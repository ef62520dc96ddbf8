/* All pairs of a magnitude and an angular activation. */
#ifndef SPHERENET_TESTS_SUPPORT_OPERATORS_H
#define SPHERENET_TESTS_SUPPORT_OPERATORS_H

#include "spec/param.h"

int row_count(const struct registry *registry);

int operator_count(void);

/* The operator of that number among all pairs, with more keys of its section, as YAML; valid until the next call. */
const char *operator_yaml(int index, const char *keys);

#endif
