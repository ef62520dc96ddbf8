/* How two specs differ, key by key. */
#ifndef SPHERENET_SPEC_DIFFERENCE_H
#define SPHERENET_SPEC_DIFFERENCE_H

#include <stdbool.h>

#include "base/error.h"

/* Whether a key, as in "network.layers[2].filters", may have another value. */
typedef bool may_differ_function(const void *context, const char *key);

/* Adds a line for each key whose value differs between two resolved specs, as spec_emit writes them: "seed: it had 1,
 * now 2", with all of both values. Where a kind differs, its keys are not compared. */
void spec_differences(struct error_list *differences, const char *before, const char *now,
                      may_differ_function *may_differ, const void *context);

#endif
