#include "support/suite.h"

#include <stdio.h>
#include <string.h>

TCase *suite_group(Suite *suite, const char *name, double seconds, SFun set_up, SFun tear_down) {
    TCase *group = tcase_create(name);
    tcase_set_timeout(group, seconds);
    tcase_add_checked_fixture(group, set_up, tear_down);
    suite_add_tcase(suite, group);
    return group;
}

/* Check's function of a test is named as the test, and _fn. */
void skipped(const char *function, const char *why) {
    size_t length = strlen(function);
    if (length > 3 && !strcmp(function + length - 3, "_fn"))
        length -= 3;
    printf("skipped: %.*s: %s\n", (int)length, function, why);
    fflush(stdout); /* the process may be left without it */
}
