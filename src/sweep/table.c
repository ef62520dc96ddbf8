#include "sweep/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "storage/csv.h"

struct table {
    const struct sweep *sweep;
    const struct progress *progress;
    bool best;  /* accuracies at the best test; else at the last one */
    int *order; /* of the rows */
};

static const struct progress *progress_at(const struct table *table, int row, int column, int seed) {
    const struct sweep *sweep = table->sweep;
    return &table->progress[(seed * sweep->rows.count + row) * sweep->columns.count + column];
}

/* The test that counts; NULL: there is none. */
static const struct test_point *counted(const struct progress *progress, bool best) {
    int index = best ? progress_best(progress, 0) : progress->count - 1;
    return index < 0 ? NULL : &progress->tests[index];
}

/* --- Cells ------------------------------------------------------------------------------------------------------- */

struct moments {
    int count;
    double sum, squares; /* of differences from the mean */
};

static void add_value(struct moments *moments, double value) {
    double before = moments->count ? moments->sum / moments->count : 0;
    moments->count++;
    moments->sum += value;
    moments->squares += (value - before) * (value - moments->sum / moments->count);
}

/* What a cell has over the seeds. */
struct cell {
    struct moments finished, others; /* accuracies in percent */
    bool failed;
};

static struct cell cell_at(const struct table *table, int row, int column) {
    struct cell cell = {0};
    for (int seed = 0; seed < table->sweep->seed_count; seed++) {
        const struct progress *progress = progress_at(table, row, column, seed);
        const struct test_point *test = counted(progress, table->best);
        bool failed = progress->state == RUN_FAILED || progress->state == RUN_OTHER;
        cell.failed |= failed;
        if (test && !failed)
            add_value(progress->state == RUN_FINISHED ? &cell.finished : &cell.others, 100 * test->accuracy);
    }
    return cell;
}

static void write_cell(struct text *out, const struct table *table, int row, int column) {
    struct cell cell = cell_at(table, row, column);
    const struct moments *of = cell.finished.count ? &cell.finished : &cell.others;
    if (!of->count) {
        text_printf(out, cell.failed ? "failed" : "–");
        return;
    }
    text_printf(out, "%.2f", of->sum / of->count);
    if (of->count > 1)
        text_printf(out, " ± %.2f", sqrt(of->squares / (of->count - 1)));
    if (of == &cell.others)
        text_printf(out, " so far");
    if (of->count < table->sweep->seed_count)
        text_printf(out, " (%d of %d seeds)", of->count, table->sweep->seed_count);
}

/* --- The order of a search's trials ------------------------------------------------------------------------------ */

struct rank {
    int row, iteration; /* to which the farthest run has come */
    double score;       /* mean of the best tests of all runs */
};

static struct rank rank_of(const struct table *table, int row) {
    struct rank rank = {.row = row};
    int runs = table->sweep->columns.count * table->sweep->seed_count;
    for (int column = 0; column < table->sweep->columns.count; column++)
        for (int seed = 0; seed < table->sweep->seed_count; seed++) {
            const struct progress *progress = progress_at(table, row, column, seed);
            const struct test_point *last = counted(progress, false), *best = counted(progress, true);
            rank.iteration = larger(rank.iteration, last ? last->iteration : 0);
            rank.score += best && progress->state != RUN_FAILED ? best->score / runs : 0;
        }
    return rank;
}

static int best_first(const void *a, const void *b) {
    const struct rank *x = a, *y = b;
    if (x->iteration != y->iteration)
        return x->iteration < y->iteration ? 1 : -1;
    return x->score == y->score ? x->row - y->row : x->score < y->score ? 1 : -1;
}

/* Rows as the file has them; trials that came farthest first, and among those the best. */
static void put_in_order(struct table *table) {
    int rows = table->sweep->rows.count;
    struct rank *ranks = mem_alloc((size_t)rows * sizeof *ranks);
    for (int row = 0; row < rows; row++)
        ranks[row] = rank_of(table, row);
    if (table->sweep->search.trials)
        qsort(ranks, (size_t)rows, sizeof *ranks, best_first);
    for (int row = 0; row < rows; row++)
        table->order[row] = ranks[row].row;
    free(ranks);
}

/* --- Markdown ---------------------------------------------------------------------------------------------------- */

static int columns_of_text(const char *text) {
    int count = 0;
    for (; *text; text++)
        count += (*text & 0xc0) != 0x80; /* bytes that go on with a character of UTF-8 */
    return count;
}

static const char *row_name(const struct table *table, int row) {
    const char *name = table->sweep->rows.variants[row].name;
    return *name ? name : table->sweep->name;
}

static const char *column_name(const struct table *table, int column) {
    const char *name = table->sweep->columns.variants[column].name;
    return *name ? name : "accuracy";
}

static int column_width(const struct table *table, int column) {
    int width = larger(3, columns_of_text(column_name(table, column)));
    for (int row = 0; row < table->sweep->rows.count; row++) {
        struct text cell = {0};
        write_cell(&cell, table, row, column);
        width = larger(width, columns_of_text(cell.data));
        text_free(&cell);
    }
    return width;
}

static int name_width(const struct table *table) {
    int width = 3;
    for (int row = 0; row < table->sweep->rows.count; row++)
        width = larger(width, columns_of_text(row_name(table, row)));
    return width;
}

static void write_right(struct text *out, const char *text, int width) {
    text_printf(out, " %*s%s |", width - columns_of_text(text), "", text);
}

static void write_dashes(struct text *out, int count) {
    for (int i = 0; i < count; i++)
        text_add(out, "-", 1);
}

static void write_row(struct text *out, const struct table *table, int row, const int *widths) {
    text_printf(out, "| %-*s |", name_width(table), row_name(table, row));
    for (int column = 0; column < table->sweep->columns.count; column++) {
        struct text cell = {0};
        write_cell(&cell, table, row, column);
        write_right(out, cell.data, widths[column]);
        text_free(&cell);
    }
    text_printf(out, "\n");
}

static void write_table(struct text *out, const struct table *table) {
    int columns = table->sweep->columns.count, *widths = mem_alloc((size_t)columns * sizeof *widths);
    text_printf(out, "| %*s |", name_width(table), "");
    for (int column = 0; column < columns; column++) {
        widths[column] = column_width(table, column);
        write_right(out, column_name(table, column), widths[column]);
    }
    text_printf(out, "\n| ");
    write_dashes(out, name_width(table));
    for (int column = 0; column < columns; column++) {
        text_printf(out, " | ");
        write_dashes(out, widths[column] - 1);
        text_printf(out, ":");
    }
    text_printf(out, " |\n");
    for (int row = 0; row < table->sweep->rows.count; row++)
        write_row(out, table, table->order[row], widths);
    free(widths);
}

/* --- Notes ------------------------------------------------------------------------------------------------------- */

static void note_settings(struct text *out, const char *what, const char *name, const struct settings *settings) {
    text_printf(out, "- %s%s%s: ", what, *name ? " " : "", name);
    for (int i = 0; i < settings->count; i++)
        text_printf(out, "%s`%s`", i ? ", " : "", settings->items[i].text);
    text_printf(out, "%s\n", settings->count ? "" : "none");
}

static void note_axis(struct text *out, const char *what, const struct axis *axis, const int *order) {
    for (int i = 0; i < axis->count; i++) {
        const struct variant *variant = &axis->variants[order ? order[i] : i];
        if (*variant->name)
            note_settings(out, what, variant->name, &variant->settings);
    }
}

static const char *state_name(const struct sweep_run *run, const struct progress *progress) {
    static const char *const names[] = {"absent", "other", "unfinished", "failed", "finished"};
    bool at_rest = progress->state == RUN_UNFINISHED && run->dropped;
    return at_rest ? "dropped" : names[progress->state];
}

static void note_states(struct text *out, const struct table *table) {
    static const char *const states[] = {"finished", "unfinished", "absent", "dropped", "failed", "other"};
    text_printf(out, "- runs: %d", table->sweep->run_count);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        int count = 0;
        for (int run = 0; run < table->sweep->run_count; run++)
            count += !strcmp(state_name(&table->sweep->runs[run], &table->progress[run]), states[i]);
        if (count)
            text_printf(out, ", %d %s", count, states[i]);
    }
    text_printf(out, "\n");
    for (int run = 0; run < table->sweep->run_count; run++)
        if (*table->progress[run].message)
            text_printf(out, "- %s %s: %s\n", state_name(&table->sweep->runs[run], &table->progress[run]),
                        table->sweep->runs[run].name, table->progress[run].message);
}

static void write_notes(struct text *out, const struct table *table) {
    const struct sweep *sweep = table->sweep;
    text_printf(out, "- spec: %s\n", sweep->spec);
    note_settings(out, "overrides", "", &sweep->common);
    text_printf(out, "- seeds:");
    for (int i = 0; i < sweep->seed_count; i++)
        text_printf(out, "%s %d", i ? "," : "", sweep->seeds[i]);
    text_printf(out, "\n");
    note_states(out, table);
    note_axis(out, "row", &sweep->rows, table->order);
    note_axis(out, "column", &sweep->columns, NULL);
}

static const char *who_chose(const struct table *table) {
    bool validated = false, unvalidated = false;
    for (int run = 0; run < table->sweep->run_count; run++) {
        validated |= table->progress[run].validated;
        unvalidated |= table->progress[run].count && !table->progress[run].validated;
    }
    return !validated    ? "the test images themselves"
           : unvalidated ? "the validation images or, without those, the test images themselves"
                         : "the validation images";
}

void table_markdown(struct text *out, const struct sweep *sweep, const struct progress *progress) {
    struct table table = {sweep, progress, false, mem_alloc((size_t)sweep->rows.count * sizeof(int))};
    put_in_order(&table);
    text_printf(out, "# %s\n\nTest accuracy in percent at the last test of each run%s:\n\n", sweep->name,
                sweep->seed_count > 1 ? ", mean ± sample standard deviation over the seeds" : "");
    write_table(out, &table);
    table.best = true;
    text_printf(out, "\nThe same at the best test of each run, which %s have chosen:\n\n", who_chose(&table));
    write_table(out, &table);
    text_printf(out, "\n");
    write_notes(out, &table);
    free(table.order);
}

/* --- CSV --------------------------------------------------------------------------------------------------------- */

/* Nothing where there is no test. */
static void write_value(FILE *file, const struct test_point *test, double value) {
    fprintf(file, test ? ",%.6g" : ",", value);
}

static void write_run(FILE *file, const struct sweep *sweep, const struct sweep_run *run,
                      const struct progress *progress) {
    bool counts = progress->state == RUN_FINISHED || progress->state == RUN_UNFINISHED;
    const struct test_point none = {0}, *last = counts ? counted(progress, false) : NULL,
                            *best = counts ? counted(progress, true) : NULL;
    fprintf(file, "%s,%s,%d,%s,%d", sweep->rows.variants[run->row].name, sweep->columns.variants[run->column].name,
            run->seed, state_name(run, progress), (last ? last : &none)->iteration);
    write_value(file, last, (last ? last : &none)->accuracy);
    write_value(file, best, (best ? best : &none)->accuracy);
    fprintf(file, best ? ",%d" : ",", (best ? best : &none)->iteration);
    write_value(file, last, (last ? last : &none)->seconds);
    putc(',', file);
    csv_field(file, run->folder);
    putc(',', file);
    csv_field(file, progress->message);
    putc('\n', file);
}

static void write_runs(FILE *file, const struct sweep *sweep, const struct progress *progress) {
    fprintf(file,
            "row,column,seed,state,iteration,final_accuracy,best_accuracy,best_iteration,seconds,folder,message\n");
    for (int i = 0; i < sweep->run_count; i++)
        write_run(file, sweep, &sweep->runs[i], &progress[i]);
}

void table_csv(struct text *out, const struct sweep *sweep, const struct progress *progress) {
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    if (file)
        write_runs(file, sweep, progress);
    if (!file || fclose(file))
        mem_exhausted();
    text_add(out, text, length);
    free(text);
}
