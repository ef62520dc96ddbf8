/* One error message, carried from where something went wrong to main, which prints it once.
 *
 * Functions that can fail for a reason outside the program (a file, a device, the user's data) take a
 * `struct error *` last and return false after error_set; mistakes of ours are asserts. */
#ifndef SPHERENET_BASE_ERROR_H
#define SPHERENET_BASE_ERROR_H

#include <stdbool.h>

struct error {
    char text[2048];
};

/* Stores the message, cut to fit and defused, and returns false, so that `return error_set(err, ...)` reads well. */
bool error_set(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "CONTEXT: what strerror says of errno"; returns false. */
bool error_set_errno(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
