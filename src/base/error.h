/* One error message, carried from where something went wrong to main, which prints it once.
 *
 * Functions that can fail for a reason outside the program (a file, a device, the user's data) take a
 * `struct error *` last and return false after error_set; mistakes of ours are asserts. */
#ifndef SPHERENET_BASE_ERROR_H
#define SPHERENET_BASE_ERROR_H

#include <stdbool.h>

#include "base/text.h"

/* What callers decide by; they do not read the text. */
enum error_code {
    ERROR_OTHER,
    ERROR_DAMAGED, /* a file does not hold what was once written to it */
    /* Which say nothing of what the file holds that was to be read or written: */
    ERROR_NO_MEMORY,
    ERROR_SYSTEM /* an input/output error, too many open files, ... */
};

enum { ERROR_TEXT_BYTES = 8192, ERROR_LIST_BYTES = 2048 };

struct error {
    enum error_code code;
    char text[ERROR_TEXT_BYTES];
};

/* Stores ERROR_OTHER and the message, defused, and returns false, so that `return error_set(err, ...)` reads well. A
 * message that is too long is cut and ends with "...". */
bool error_set(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool error_set_code(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "CONTEXT: what strerror says of errno", which is never cut; returns false. ENOMEM is ERROR_NO_MEMORY, EIO,
 * EMFILE and their like ERROR_SYSTEM. */
bool error_set_errno(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether the error is of the kind that may be gone when the same is tried again. */
bool error_is_of_machine(const struct error *err);

/* Lines of a message, of which there may be too many: what goes beyond ERROR_LIST_BYTES is counted. A list of zeros is
 * empty and ready. */
struct error_list {
    struct text text;
    int left_out;
};

void error_list_add(struct error_list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "\n  LINE" for each line, then "\n  and 31 more" where 31 are left out; "" for an empty list. Ends the list, and is
 * valid until error_list_free. */
const char *error_list_end(struct error_list *list);
void error_list_free(struct error_list *list);

#endif
