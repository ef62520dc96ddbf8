#include "run/curves.h"

#include <math.h>

#include "base/clock.h"

/* --- Columns ----------------------------------------------------------------------------------------------------- */

/* How a value is written: with so many decimals, or as one of these. */
enum { SIX_DIGITS = -1, SPLIT_NAME = -2 };

struct column {
    const char *name;
    int format;
    double value;
};

enum { MOST_COLUMNS = 16 };

/* One row, of which the header is made as well; a column without name ends it. */
struct row {
    struct column columns[MOST_COLUMNS];
};

static double epoch(const struct curves *curves, int64_t iteration) {
    return (double)iteration * curves->batch_size / curves->train_images;
}

static struct row step_row(const struct curves *curves, int64_t iteration, const struct step_result *step) {
    return (struct row){{
        {"iteration", 0, (double)iteration},
        {"epoch", 4, epoch(curves, iteration)},
        {"learning_rate", SIX_DIGITS, step->rate},
        {"loss", SIX_DIGITS, step->fit + step->weight_decay + step->orthogonality},
        {"fit", SIX_DIGITS, step->fit},
        {"weight_decay", SIX_DIGITS, step->weight_decay},
        {"orthogonality", SIX_DIGITS, step->orthogonality},
        {"accuracy", SIX_DIGITS, step->accuracy},
        {"lambda", SIX_DIGITS, step->lambda},
        {"gradient_norm", SIX_DIGITS, step->gradient_norm},
        {"images_per_second", 1, curves->images_per_second},
        {"seconds", 2, curves_seconds(curves)},
    }};
}

static struct row test_row(const struct curves *curves, int64_t iteration, int split, const struct evaluation *test) {
    return (struct row){{
        {"iteration", 0, (double)iteration},
        {"epoch", 4, epoch(curves, iteration)},
        {"split", SPLIT_NAME, split},
        {"loss", SIX_DIGITS, test->loss},
        {"accuracy", SIX_DIGITS, test->accuracy},
        {"seconds", 2, curves_seconds(curves)},
    }};
}

static void add_name(struct text *line, const struct column *column) {
    text_printf(line, "%s", column->name);
}

static void add_value(struct text *line, const struct column *column) {
    if (column->format == SPLIT_NAME)
        text_printf(line, "%s", split_names[(int)column->value]);
    else if (isnan(column->value)) /* of which printf would show the sign */
        text_printf(line, "nan");
    else if (column->format == SIX_DIGITS)
        text_printf(line, "%.6g", column->value);
    else
        text_printf(line, "%.*f", column->format, column->value);
}

/* To be freed. */
static struct text join(const struct row *row, void (*add)(struct text *, const struct column *)) {
    struct text line = {0};
    for (int i = 0; i < MOST_COLUMNS && row->columns[i].name; i++) {
        if (i > 0)
            text_printf(&line, ",");
        add(&line, &row->columns[i]);
    }
    return line;
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

static bool open_curve(struct csv *csv, const struct run_dir *dir, const char *name, struct row row, int64_t iteration,
                       struct error *err) {
    char path[PATH_BYTES];
    struct text header = join(&row, add_name);
    bool good = csv_open(csv, run_dir_file(dir, name, path), header.data, iteration, err);
    text_free(&header);
    return good;
}

bool curves_open(struct curves *curves, const struct run_dir *dir, int64_t iteration, int batch_size, int train_images,
                 struct error *err) {
    *curves = (struct curves)CURVES_CLOSED;
    curves->batch_size = batch_size;
    curves->train_images = train_images;
    struct row steps = step_row(curves, 0, &(struct step_result){0});
    struct row tests = test_row(curves, 0, SPLIT_TEST, &(struct evaluation){0});
    if (!open_curve(&curves->train, dir, "train.csv", steps, iteration, err) ||
        !open_curve(&curves->eval, dir, "eval.csv", tests, iteration, err))
        return false;
    curves->window_start = clock_seconds();
    curves->start = curves->window_start - fmax(curves->train.last_seconds, curves->eval.last_seconds);
    return true;
}

static void add_row(struct curves *curves, struct csv *csv, struct row row, struct log *log) {
    struct text line = join(&row, add_value);
    struct error problem;
    bool written = csv_row(csv, line.data, &problem);
    if (!written && !curves->row_waits)
        log_warning(log, "%s; going on, the row waits until it can be", problem.text);
    curves->row_waits = !written;
    text_free(&line);
}

void curves_add_step(struct curves *curves, int64_t iteration, const struct step_result *step, struct log *log) {
    add_row(curves, &curves->train, step_row(curves, iteration, step), log);
}

void curves_add_test(struct curves *curves, int64_t iteration, int split, const struct evaluation *test,
                     struct log *log) {
    add_row(curves, &curves->eval, test_row(curves, iteration, split, test), log);
}

bool curves_sync(struct curves *curves, struct error *err) {
    return csv_sync(&curves->train, err) && csv_sync(&curves->eval, err);
}

void curves_close(struct curves *curves) {
    csv_close(&curves->train);
    csv_close(&curves->eval);
}

/* --- Time -------------------------------------------------------------------------------------------------------- */

double curves_seconds(const struct curves *curves) {
    return clock_seconds() - curves->start;
}

void curves_count_step(struct curves *curves) {
    double now = clock_seconds();
    curves->window_images += curves->batch_size;
    if (now <= curves->window_start)
        return;
    curves->images_per_second = (double)curves->window_images / (now - curves->window_start);
    if (now - curves->window_start > 5) { /* the last seconds count, not the whole run */
        curves->window_start = now;
        curves->window_images = 0;
    }
}

void curves_leave_out(struct curves *curves, double seconds) {
    curves->window_start += seconds;
}
