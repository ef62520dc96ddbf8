/* Specs under test, and the messages about them. */
#ifndef SPHERENET_TESTS_SUPPORT_SPECS_H
#define SPHERENET_TESTS_SUPPORT_SPECS_H

#include "spec/bind.h"
#include "support/folder.h"

extern struct diagnostics diags; /* of the running test */

void specs_tear_down(void); /* frees the arena and the messages */

const char *messages(void); /* "": there are none */

struct node *read_yaml(const char *text); /* as a.yaml */
struct node *read_good(const char *text); /* which must have no mistakes */

char *repeated(const char *part, int count);

#endif
