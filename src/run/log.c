#include "run/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"

/* Seconds between progress lines. */
#define TERMINAL_INTERVAL 0.2
#define FILE_INTERVAL 30.0

enum { LINE_BYTES = ERROR_TEXT_BYTES + 64, PROGRESS_BYTES = 256 };

/* A terminal that does not know how to rewrite a line. */
static bool is_dumb(const char *kind) {
    return !kind || !*kind || !strcmp(kind, "dumb");
}

bool log_open(struct log *log, const char *path, bool quiet, struct error *err) {
    *log = (struct log){.quiet = quiet, .terminal = isatty(STDOUT_FILENO) && !is_dumb(getenv("TERM"))};
    log->file = fopen(path, "a");
    if (!log->file)
        return error_set_errno(err, "%s: cannot be opened for writing", path);
    return true;
}

static void close_line(struct log *log) {
    if (log->line_open)
        fputs("\r\033[K", stdout);
    log->line_open = false;
}

void log_line(struct log *log, const char *format, ...) {
    char text[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_defuse(text);
    fprintf(log->file, "%s\n", text);
    fflush(log->file);
    if (log->quiet)
        return;
    close_line(log);
    puts(text);
    fflush(stdout);
}

void log_warning(struct log *log, const char *format, ...) {
    char text[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_defuse(text);
    fprintf(log->file, "warning: %s\n", text);
    fflush(log->file);
    if (log->quiet)
        return;
    close_line(log);
    fflush(stdout);
    fprintf(stderr, "spherenet: warning: %s\n", text);
}

static void put_duration(char *out, size_t bytes, double seconds) {
    int64_t whole = (int64_t)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(out, bytes, "  %" PRId64 "h%02" PRId64 "m left", whole / 3600, whole / 60 % 60);
    else
        snprintf(out, bytes, "  %" PRId64 "m%02" PRId64 "s left", whole / 60, whole % 60);
}

/* Its parts in the order of their weight, each at most once, as many as fit into `columns`. */
static void put_progress(char *line, const struct progress *p, int batch_size, size_t columns) {
    char parts[5][64];
    int count = 4;
    snprintf(parts[0], sizeof parts[0], "iteration %" PRId64 "/%" PRId64, p->iteration, p->total);
    snprintf(parts[1], sizeof parts[1], "  loss %.4f", shown(p->loss));
    snprintf(parts[2], sizeof parts[2], "  accuracy %.3f", p->accuracy);
    snprintf(parts[3], sizeof parts[3], "  %.0f images/s", p->images_per_second);
    if (p->images_per_second > 0)
        put_duration(parts[count++], sizeof parts[4],
                     (double)(p->total - p->iteration) * batch_size / p->images_per_second);
    size_t length = 0;
    *line = '\0';
    for (int i = 0; i < count && length + strlen(parts[i]) <= columns; i++) {
        strcpy(line + length, parts[i]);
        length += strlen(parts[i]);
    }
}

/* What a line of the terminal has room for; the last column stays empty, since some wrap as soon as it is written. */
static size_t terminal_columns(void) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col == 0)
        return 79;
    return size.ws_col - 1u;
}

void log_progress(struct log *log, const struct progress *progress, int batch_size) {
    double now = clock_seconds();
    if (log->quiet || now < log->next_progress)
        return;
    bool first = log->next_progress == 0;
    log->next_progress = now + (log->terminal ? TERMINAL_INTERVAL : FILE_INTERVAL);
    if (first && !log->terminal)
        return; /* the first line of a file comes when there is something to tell */
    char line[PROGRESS_BYTES];
    put_progress(line, progress, batch_size, log->terminal ? terminal_columns() : sizeof line - 1);
    printf(log->terminal ? "\r\033[K%s" : "%s\n", line);
    log->line_open = log->terminal;
    fflush(stdout);
}

void log_close(struct log *log) {
    if (!log->file)
        return;
    if (!log->quiet)
        close_line(log);
    fclose(log->file);
    log->file = NULL;
}
