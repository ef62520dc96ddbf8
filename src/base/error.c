#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { REASON_BYTES = 256 /* of strerror */, LINE_BYTES = 1024 };

static void format_into(char *text, size_t bytes, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void set(struct error *err, enum error_code code, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* Room for `bytes`; what has been cut ends with "...". */
static void format_into(char *text, size_t bytes, const char *format, va_list args) {
    static const char mark[] = "...";
    if ((size_t)vsnprintf(text, bytes, format, args) >= bytes)
        strcpy(text + bytes - sizeof mark, mark);
}

static void set(struct error *err, enum error_code code, const char *format, va_list args) {
    err->code = code;
    format_into(err->text, sizeof err->text, format, args);
    text_defuse(err->text);
}

bool error_set(struct error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    set(err, ERROR_OTHER, format, args);
    va_end(args);
    return false;
}

bool error_set_code(struct error *err, enum error_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    set(err, code, format, args);
    va_end(args);
    return false;
}

static enum error_code code_of_errno(void) {
    switch (errno) {
    case ENOMEM:
        return ERROR_NO_MEMORY;
    case EIO:
    case EMFILE:
    case ENFILE:
    case ESTALE:
    case ETIMEDOUT:
        return ERROR_SYSTEM;
    default:
        return ERROR_OTHER;
    }
}

bool error_is_of_machine(const struct error *err) {
    return err->code == ERROR_NO_MEMORY || err->code == ERROR_SYSTEM;
}

bool error_set_errno(struct error *err, const char *format, ...) {
    enum error_code code = code_of_errno();
    const char *reason = strerror(errno);
    char context[ERROR_TEXT_BYTES - REASON_BYTES];
    va_list args;
    va_start(args, format);
    format_into(context, sizeof context, format, args);
    va_end(args);
    return error_set_code(err, code, "%s: %s", context, reason);
}

void error_list_add(struct error_list *list, const char *format, ...) {
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    format_into(line, sizeof line, format, args);
    va_end(args);
    if (list->left_out || list->text.length + strlen(line) > ERROR_LIST_BYTES)
        list->left_out++;
    else
        text_printf(&list->text, "\n  %s", line);
}

const char *error_list_end(struct error_list *list) {
    if (list->left_out)
        text_printf(&list->text, "\n  and %d more", list->left_out);
    return list->text.data ? list->text.data : "";
}

void error_list_free(struct error_list *list) {
    text_free(&list->text);
    *list = (struct error_list){0};
}
