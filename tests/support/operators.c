#include "support/operators.h"

#include <stdio.h>

#include "op/angular.h"
#include "op/magnitude.h"

int row_count(const struct registry *registry) {
    int count = 1; /* no registry is empty */
    while (registry->rows[count])
        count++;
    return count;
}

int operator_count(void) {
    return row_count(&angular_registry) * row_count(&magnitude_registry);
}

const char *operator_yaml(int index, const char *keys) {
    static char text[256];
    int angulars = row_count(&angular_registry), magnitudes = row_count(&magnitude_registry);
    snprintf(text, sizeof text, "{magnitude: %s, angular: %s%s}",
             magnitude_registry.rows[index / angulars % magnitudes]->name,
             angular_registry.rows[index % angulars]->name, keys);
    return text;
}
