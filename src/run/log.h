/* What a run tells: run.log, and the terminal.
 *
 * Messages go to run.log and, unless quiet, to standard output. Progress goes to the terminal alone: one line that is
 * rewritten in place and no wider than the terminal, or, when the output is no terminal or one that cannot rewrite a
 * line (TERM=dumb, or none), a plain line from time to time. */
#ifndef SPHERENET_RUN_LOG_H
#define SPHERENET_RUN_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct log {
    FILE *file;
    bool quiet, terminal;
    bool line_open;       /* a progress line stands on the terminal */
    double next_progress; /* seconds of the clock */
};

struct progress {
    int64_t iteration, total;
    double loss, accuracy, images_per_second;
};

/* Appends to the file at path. */
bool log_open(struct log *log, const char *path, bool quiet, struct error *err);
void log_line(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line that also goes to standard error, as it is no part of a run's course. */
void log_warning(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_progress(struct log *log, const struct progress *progress, int batch_size);
void log_close(struct log *log);

#endif
