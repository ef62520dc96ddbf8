/* A curve of a run, train.csv or eval.csv, read whole. */
#ifndef SPHERENET_EXPORT_CURVE_TABLE_H
#define SPHERENET_EXPORT_CURVE_TABLE_H

#include "base/error.h"
#include "base/mem.h"

struct curve_row {
    const char *split; /* of a table that has this column; else NULL */
    double *values;    /* [columns]; that of the split: 0 */
};

struct curve_table {
    int columns, row_count;
    const char *const *names; /* [columns]; the first is the iteration */
    struct curve_row *rows;
};

/* A last row that is still being written is left out. Everything lives in the arena. */
bool curve_table_read(struct curve_table *table, struct arena *arena, const char *path, struct error *err);

/* The column of that name; -1: there is none. */
int curve_table_column(const struct curve_table *table, const char *name);

#endif
