#include "cli/restart.h"

#include <stdlib.h>
#include <unistd.h>

#include "machine/cpu.h"

static char **arguments;

void restart_remember(char **argv) {
    arguments = argv;
}

void restart_with(const char *variable, const char *value) {
    if (!arguments || (value ? setenv(variable, value, 1) : unsetenv(variable)))
        return;
    cpu_unbind();
    execv("/proc/self/exe", arguments);
}
