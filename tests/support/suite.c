#include "support/suite.h"

TCase *suite_group(Suite *suite, const char *name, double seconds, SFun set_up, SFun tear_down) {
    TCase *group = tcase_create(name);
    tcase_set_timeout(group, seconds);
    tcase_add_checked_fixture(group, set_up, tear_down);
    suite_add_tcase(suite, group);
    return group;
}
