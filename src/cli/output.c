#include "cli/output.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

bool output_has_reader(void) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) < 1 || !(out.revents & (POLLERR | POLLHUP));
}

bool output_finish(void) {
    bool written = !fflush(stdout) && !ferror(stdout);
    if (written || !output_has_reader())
        return true;
    fprintf(stderr, "spherenet: standard output cannot be written\n");
    return false;
}
