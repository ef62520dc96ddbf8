#include "run/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/clock.h"

/* Seconds between progress lines. */
#define TERMINAL_INTERVAL 0.2
#define FILE_INTERVAL 30.0

bool log_open(struct log *log, const char *path, bool quiet, struct error *err) {
    *log = (struct log){.quiet = quiet, .terminal = isatty(STDOUT_FILENO)};
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
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    vfprintf(log->file, format, args);
    va_end(args);
    fputc('\n', log->file);
    fflush(log->file);
    if (!log->quiet) {
        close_line(log);
        vprintf(format, again);
        putchar('\n');
        fflush(stdout);
    }
    va_end(again);
}

void log_warning(struct log *log, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(log->file, "warning: %s\n", text);
    fflush(log->file);
    if (log->quiet)
        return;
    close_line(log);
    fflush(stdout);
    fprintf(stderr, "spherenet: warning: %s\n", text);
}

static void print_duration(double seconds) {
    int64_t whole = (int64_t)(seconds + 0.5);
    if (whole >= 3600)
        printf("%" PRId64 "h%02" PRId64 "m", whole / 3600, whole / 60 % 60);
    else
        printf("%" PRId64 "m%02" PRId64 "s", whole / 60, whole % 60);
}

void log_progress(struct log *log, const struct progress *progress, int batch_size) {
    double now = clock_seconds();
    if (log->quiet || now < log->next_progress)
        return;
    bool first = log->next_progress == 0;
    log->next_progress = now + (log->terminal ? TERMINAL_INTERVAL : FILE_INTERVAL);
    if (first && !log->terminal)
        return; /* the first line of a file comes when there is something to tell */
    if (log->terminal)
        fputs("\r\033[K", stdout);
    printf("iteration %" PRId64 "/%" PRId64 "  loss %.4f  accuracy %.3f  %.0f images/s", progress->iteration,
           progress->total, progress->loss, progress->accuracy, progress->images_per_second);
    if (progress->images_per_second > 0) {
        printf("  ");
        print_duration((double)(progress->total - progress->iteration) * batch_size / progress->images_per_second);
        printf(" left");
    }
    if (!log->terminal)
        putchar('\n');
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
