#include "sweep/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "export/curve_table.h"
#include "run/resume.h"
#include "train/experiment.h"

enum { LONGEST_LINE = 4096 };

/* Whether what is in the folder began with the run's spec; else why not. */
static bool is_same(const struct sweep_run *run, const struct experiment *now, const char *path, struct error *err) {
    struct experiment before;
    struct diagnostics diags = {0};
    bool good = experiment_read(&before, path, NULL, 0, &diags);
    good = good ? resume_is_same(now, &before, run->folder, err)
                : error_set(err, "%s: not valid any more:\n%s", path, diags.text.data);
    text_free(&diags.text);
    experiment_free(&before);
    return good;
}

/* On one line. */
static const char *keep_message(struct arena *arena, const char *message) {
    char *kept = arena_string(arena, message), *end = kept;
    for (const char *c = kept; *c; c++)
        if (*c != '\n')
            *end++ = *c;
        else if (c[1])
            *end++ = ' ';
    *end = '\0';
    return kept;
}

/* --- Tests ------------------------------------------------------------------------------------------------------- */

static double cell(const struct curve_table *table, int row, const char *column) {
    int index = curve_table_column(table, column);
    return index < 0 ? NAN : table->rows[row].values[index];
}

static bool is_of(const struct curve_table *table, int row, const char *split) {
    return table->rows[row].split && !strcmp(table->rows[row].split, split);
}

/* A test's row of validation images comes right before that of the test images. */
static void take_tests(struct arena *arena, const struct curve_table *table, struct progress *progress) {
    for (int i = 0; i < table->row_count; i++) {
        if (!is_of(table, i, "test"))
            continue;
        bool validated = i > 0 && is_of(table, i - 1, "validation");
        int choice = validated ? i - 1 : i;
        struct test_point point = {
            .iteration = (int)table->rows[i].values[0],
            .accuracy = cell(table, i, "accuracy"),
            .score = cell(table, choice, "accuracy"),
            .seconds = cell(table, i, "seconds"),
            .finite = isfinite(cell(table, i, "loss")) && isfinite(cell(table, choice, "loss")),
        };
        progress->validated |= validated;
        progress->tests = arena_grow(arena, progress->tests, progress->count, sizeof point);
        progress->tests[progress->count++] = point;
    }
}

int progress_best(const struct progress *progress, int until) {
    int best = -1;
    for (int i = 0; i < progress->count; i++) {
        const struct test_point *test = &progress->tests[i];
        if ((!until || test->iteration <= until) && test->finite &&
            (best < 0 || test->score > progress->tests[best].score))
            best = i;
    }
    return best;
}

bool progress_reached(const struct progress *progress, int until) {
    if (progress->state == RUN_FINISHED || progress->state == RUN_FAILED || progress->state == RUN_OTHER)
        return true;
    return until && progress->count && progress->tests[progress->count - 1].iteration >= until;
}

static bool is_finished(const struct progress *progress, const struct train_config *train) {
    int since = progress->count - 1 - progress_best(progress, 0);
    return progress->count > 0 && (progress->tests[progress->count - 1].iteration >= train->iterations ||
                                   (train->patience && since >= train->patience));
}

/* --- The end ----------------------------------------------------------------------------------------------------- */

/* The last line of the log, further lines of a message left out. */
static void last_line(const char *path, char last[LONGEST_LINE]) {
    char line[LONGEST_LINE];
    FILE *file = fopen(path, "re");
    *last = '\0';
    while (file && fgets(line, sizeof line, file))
        if (*line != ' ')
            strcpy(last, line);
    if (file)
        fclose(file);
}

/* Why the run ended, if it has failed; else "". */
static const char *failure(struct arena *arena, const char *log) {
    static const char beginning[] = "stopped: ";
    char line[LONGEST_LINE];
    last_line(log, line);
    bool failed = !strncmp(line, beginning, strlen(beginning));
    return failed ? keep_message(arena, line + strlen(beginning)) : "";
}

static void read_folder(struct sweep *sweep, const struct sweep_run *run, const struct experiment *experiment,
                        struct progress *progress) {
    struct arena *arena = &sweep->arena;
    struct curve_table table;
    struct error err;
    const char *path = arena_printf(arena, "%s/eval.csv", run->folder);
    progress->state = RUN_UNFINISHED;
    if (!access(path, F_OK) && curve_table_read(&table, arena, path, &err))
        take_tests(arena, &table, progress);
    progress->message = failure(arena, arena_printf(arena, "%s/run.log", run->folder));
    if (is_finished(progress, &experiment->train))
        progress->state = RUN_FINISHED;
    else if (*progress->message)
        progress->state = RUN_FAILED;
}

struct progress progress_read(struct sweep *sweep, const struct sweep_run *run) {
    struct progress progress = {.state = RUN_ABSENT, .message = ""};
    const char *spec = arena_printf(&sweep->arena, "%s/spec.yaml", run->folder);
    struct experiment experiment;
    struct diagnostics diags = {0};
    struct error err;
    if (access(spec, F_OK))
        return progress;
    experiment_read(&experiment, sweep->spec, sweep_overrides(sweep, run), run->settings.count, &diags);
    if (is_same(run, &experiment, spec, &err)) {
        read_folder(sweep, run, &experiment, &progress);
    } else {
        progress.state = RUN_OTHER;
        progress.message = keep_message(&sweep->arena, err.text);
    }
    text_free(&diags.text);
    experiment_free(&experiment);
    return progress;
}
