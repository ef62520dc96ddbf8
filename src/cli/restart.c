#include "cli/restart.h"

#include <stdlib.h>
#include <unistd.h>

static char **arguments;

void restart_remember(char **argv) {
    arguments = argv;
}

void restart_with(const char *variable, const char *value) {
    if (arguments && (value ? setenv(variable, value, 1) : unsetenv(variable)) == 0)
        execv("/proc/self/exe", arguments);
}
