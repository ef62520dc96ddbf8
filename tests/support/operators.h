/* All pairs of a magnitude and an angular activation. */
#ifndef SPHERENET_TESTS_SUPPORT_OPERATORS_H
#define SPHERENET_TESTS_SUPPORT_OPERATORS_H

#include "op/angular.h"
#include "spec/param.h"

int row_count(const struct registry *registry);

int operator_count(void);

/* The operator of that number among all pairs as YAML, with those of the keys, ", KEY: VALUE" each, that its section or
 * its rows have; valid until the next call. */
const char *operator_yaml(int index, const char *keys);

/* The same of an activation alone, whose magnitude is left to its default. */
const char *angular_yaml(int index, const char *keys);

/* The value of a row's own key that is a number; `otherwise` when it has no such key. */
double row_number(struct choice row, const char *key, double otherwise);

/* An activation by itself, planned for some filters. */
struct lone_angular {
    struct arena arena;
    struct plan_memory memory;
    struct angular angular;
};

/* Each filter's shape as given or, where a row has one for all, the first's. */
void lone_angular_open(struct lone_angular *lone, const struct angular_type *type, const double *shapes, int filters);
void lone_angular_close(struct lone_angular *lone);

#endif
