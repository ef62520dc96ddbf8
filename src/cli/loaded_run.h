/* A trained network from a checkpoint and the split of the dataset that it is to see: what `eval` and `features` start
 * from. It is planned for evaluation alone: there are weights, but no gradients and no optimizer. */
#ifndef SPHERENET_CLI_LOADED_RUN_H
#define SPHERENET_CLI_LOADED_RUN_H

#include <stdio.h>

#include "cli/command.h"
#include "run/run_dir.h"
#include "storage/atomic_file.h"
#include "train/evaluate.h"

struct loaded_run {
    char path[PATH_BYTES]; /* of the checkpoint */
    int64_t iteration;
    int split;     /* -1: none */
    bool computes; /* with OpenBLAS's kernels and the threads of the run */
    struct experiment experiment;
    struct dataset dataset;
    struct model model;
    struct loss loss;
    bool wants_logits; /* beside features; false when opened */
};

/* operand: a run's folder or a checkpoint. split: its name; NULL: no images are wanted, nor OpenBLAS's kernels, and the
 * experiment's shape has the names of classes that the checkpoint has. EXIT_DONE, or another status after telling on
 * standard error what is wrong. Close with loaded_run_close in either case. */
enum exit_status loaded_run_open(struct loaded_run *loaded, const char *command, const char *operand, const char *split,
                                 const struct values *overrides);

/* The same without images, for a network that is to compute. */
enum exit_status loaded_run_open_network(struct loaded_run *loaded, const char *operand,
                                         const struct values *overrides);
void loaded_run_close(struct loaded_run *loaded);

/* Tests the network on the split, and takes its features where it has a classifier: `features` of zeros otherwise.
 * *result is zeros before; free it and the features in either case. */
bool loaded_run_evaluate(struct loaded_run *loaded, struct evaluation *result, struct features *features,
                         struct error *err);

/* The error says what was not finite, where anything was: what such a network makes of images is told and written, but
 * it is a failure. */
bool loaded_run_check_finite(const struct loaded_run *loaded, const struct evaluation *result, struct error *err);

/* Whether a table can be written there, to be asked before the work that it takes. */
bool table_check(const char *path, struct error *err);

/* Opens PATH for writing; closes what was written, and prints where it went. Half a table looks like a whole one, so
 * there is none when that fails. */
bool table_open(struct atomic_stream *table, const char *path, struct error *err);
bool table_close(struct atomic_stream *table, const char *path, struct error *err);

/* Writes the class's name as a field of a table, in quotes where it needs them. */
void table_put_class(FILE *file, const struct loaded_run *loaded, int class);

/* Writes a feature's values, with commas between, in the order of a class's weights in checkpoints. */
void table_put_feature(FILE *file, const struct model *model, const real *feature, const char *before);

/* "FOLDER/SPLIT_NAME" into `path`, PATH_BYTES long; returns path. */
const char *table_path(const struct loaded_run *loaded, const char *folder, const char *name, char *path);

/* The checkpoint's folder. */
const char *loaded_run_folder(const struct loaded_run *loaded, char *folder);

#define SPLIT_OPTION(PLACE)                                                                                            \
    { "split", OPTION_VALUE, PLACE, "test|train|validation", "which images; test unless told" }

#endif
