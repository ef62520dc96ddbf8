#include "export/curve_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_LINE = 4096 };

/* What a line is read with. */
struct reader {
    struct curve_table *table;
    struct arena *arena;
    const char *path;
    int line;
    struct error *err;
};

/* The cell at *next, which goes on to the one behind it, or to NULL. */
static char *next_cell(char **next) {
    char *cell = *next, *comma = strchr(cell, ',');
    if (comma)
        *comma = '\0';
    *next = comma ? comma + 1 : NULL;
    return cell;
}

static bool read_header(const struct reader *reader, char *line) {
    const char **names = NULL;
    struct curve_table *table = reader->table;
    do {
        names = arena_grow(reader->arena, (void *)names, table->columns, sizeof *names);
        names[table->columns++] = arena_string(reader->arena, next_cell(&line));
    } while (line);
    table->names = names;
    return !strcmp(names[0], "iteration") ||
           error_set(reader->err, "%s: its first column is \"%.40s\", not the iteration: no curve of a run",
                     reader->path, names[0]);
}

static bool read_cell(const struct reader *reader, struct curve_row *row, int column, const char *cell) {
    const char *name = reader->table->names[column];
    char *end;
    if (!strcmp(name, "split")) {
        row->split = arena_string(reader->arena, cell);
        return true;
    }
    row->values[column] = strtod(cell, &end);
    return (*cell && !*end) ||
           error_set(reader->err, "%s:%d: %s is \"%.40s\", which is no number", reader->path, reader->line, name, cell);
}

static bool read_row(const struct reader *reader, char *line) {
    struct curve_table *table = reader->table;
    struct curve_row row = {.values = arena_alloc(reader->arena, (size_t)table->columns * sizeof *row.values)};
    int column = 0;
    for (; line && column < table->columns; column++)
        if (!read_cell(reader, &row, column, next_cell(&line)))
            return false;
    if (line || column < table->columns)
        return error_set(reader->err, "%s:%d: has %s than %d columns", reader->path, reader->line,
                         line ? "more" : "fewer", table->columns);
    table->rows = arena_grow(reader->arena, table->rows, table->row_count, sizeof *table->rows);
    table->rows[table->row_count++] = row;
    return true;
}

static bool read_lines(struct reader *reader, FILE *file) {
    char line[LONGEST_LINE];
    while (fgets(line, sizeof line, file)) {
        size_t end = strcspn(line, "\n");
        reader->line++;
        if (line[end] != '\n')
            break;
        line[end] = '\0';
        if (!(reader->line == 1 ? read_header(reader, line) : read_row(reader, line)))
            return false;
    }
    if (ferror(file))
        return error_set_errno(reader->err, "%s: cannot be read", reader->path);
    return reader->table->columns || error_set(reader->err, "%s: has no header", reader->path);
}

bool curve_table_read(struct curve_table *table, struct arena *arena, const char *path, struct error *err) {
    struct reader reader = {table, arena, path, 0, err};
    *table = (struct curve_table){0};
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_errno(err, "%s: the curve of a run cannot be read", path);
    bool good = read_lines(&reader, file);
    fclose(file);
    return good;
}

int curve_table_column(const struct curve_table *table, const char *name) {
    for (int i = 0; i < table->columns; i++)
        if (!strcmp(table->names[i], name))
            return i;
    return -1;
}
