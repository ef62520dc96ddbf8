/* A sweep: the runs that a file asks for. All share a spec, and differ in what their row, their column and their seed
 * set.
 *
 *     spec: quickstart.yaml                       # from this file's folder
 *     rows:                                       # names, each with what it sets, as `train --set` does
 *       cosine: {}
 *       sigmoid: {network.operator.angular: sigmoid, network.operator.k: 0.3}
 *     columns: {narrow: {network.widths: [16, 32, 64]}, wide: {network.widths: [32, 64, 128]}}
 *     seeds: [1, 2, 3]
 *
 * or, instead of rows, values that are drawn (sweep/search.h):
 *
 *     search:
 *       trials: 27
 *       ranges:
 *         optimizer.learning_rate: {log_uniform: [1e-4, 1e-1]}
 *         network.operator.angular: {choices: [cosine, linear]}
 *       halving: {from: 250, factor: 3}
 */
#ifndef SPHERENET_SWEEP_SWEEP_H
#define SPHERENET_SWEEP_SWEEP_H

#include "spec/node.h"

/* What `train --set` takes. */
struct setting {
    const char *text; /* "KEY=VALUE" */
    int line;         /* of the sweep's file; 0: it is of no line */
};

struct settings {
    int count;
    struct setting *items;
};

/* A row or a column. Where the file has none, there is one without a name that sets nothing. */
struct variant {
    const char *name;
    struct settings settings;
};

struct axis {
    int count;
    struct variant *variants;
};

/* Successive halving (Jamieson and Talwalkar, AISTATS 2016). */
struct halving_config {
    int from;   /* iterations of all trials; 0: all are trained to their end */
    int factor; /* so many times longer are so many times fewer trials trained */
};

struct search_config {
    int trials; /* 0: nothing is searched */
    int seed;
    const struct node *ranges;
    struct halving_config halving;
};

struct sweep_run {
    int row, column, seed;    /* numbers of variants; the seed itself */
    const char *name;         /* ROW_COLUMN_sSEED */
    const char *folder;       /* OUT/NAME */
    struct settings settings; /* all, the later ones counting */
    int iterations;           /* train.iterations */
    int until;                /* iteration to which it is trained now; 0: to its end */
    bool dropped;             /* halving trains it no further than that */
};

struct sweep {
    struct arena arena;
    const char *path, *name; /* the sweep's file, and its name without folder and ending */
    const char *spec;
    const char *out; /* the folder of its runs */
    struct settings common;
    struct axis rows, columns;
    int seed_count, *seeds;
    struct search_config search;
    int run_count;
    struct sweep_run *runs; /* all with the first seed, then all with the next */
    int threads;            /* train.threads, the most of any run; 0: it is left to the program */
};

struct sweep_request {
    const char *path;
    const char *out;              /* NULL: runs/NAME */
    const char *seeds;            /* "1,2,3", instead of the file's; NULL: none */
    const char *const *overrides; /* "KEY=VALUE", for all runs */
    int override_count;
};

/* Reads a sweep and checks the spec of each of its runs. False with the mistakes in diags, in the words of specs:
 * FILE:LINE: what is wrong, and what is expected. Free with sweep_free in either case. */
bool sweep_read(struct sweep *sweep, const struct sweep_request *request, struct diagnostics *diags);
void sweep_free(struct sweep *sweep);

/* The settings' texts, as experiment_read wants them; in the sweep's arena. */
const char **sweep_overrides(struct sweep *sweep, const struct sweep_run *run);

/* One shell command that trains the run as far as it is to come now, from wherever it is, and returns at once when it
 * is there; for the folder in which the sweep was read. program: the word that starts it. */
void sweep_command(struct text *out, const struct sweep *sweep, const struct sweep_run *run, const char *program);

/* Adds "KEY=VALUE". */
void settings_add(struct arena *arena, struct settings *settings, const char *text, int line);

#endif
