#include "cli/restart.h"

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "machine/cpu.h"

static char **arguments;
static bool due;

void restart_remember(char **argv) {
    arguments = argv;
}

const char *restart_program(void) {
    return arguments && arguments[0] && *arguments[0] ? arguments[0] : "spherenet";
}

void restart_set(const char *variable, const char *value) {
    due |= !(value ? setenv(variable, value, 1) : unsetenv(variable));
}

void restart_if_due(void) {
    if (!due)
        return;
    cpu_unbind();
    execv("/proc/self/exe", arguments);
    due = false;
}
