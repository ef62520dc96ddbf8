/* The rows that `predict` writes, one for each picture. */
#ifndef SPHERENET_CLI_PREDICTION_TABLE_H
#define SPHERENET_CLI_PREDICTION_TABLE_H

#include "cli/loaded_run.h"

struct guess {
    int class;
    double probability, angle; /* angle: degrees between feature and the class's weights; NAN: there is none */
};

struct prediction {
    const char *path;
    const char *fault;           /* why there is no prediction, beginning with the path; NULL: there is one */
    const struct guess *guesses; /* [top], the most probable class first */
    const real *feature;         /* NULL: it is not wanted */
};

struct prediction_table {
    const struct prediction_format *format;
    FILE *file;
    bool on_terminal; /* paths are then defused */
    const struct loaded_run *loaded;
    int top;
    bool with_features;
    int name_width; /* of a class, as text */
};

/* NULL: there is none of that name. */
const struct prediction_format *prediction_format_find(const char *name);

void prediction_table_begin(struct prediction_table *table);
void prediction_table_put(const struct prediction_table *table, const struct prediction *prediction);

#endif
