/* What a training leaves in its folder. */
#ifndef SPHERENET_TESTS_SUPPORT_RUN_FOLDER_H
#define SPHERENET_TESTS_SUPPORT_RUN_FOLDER_H

#include "support/tensor_file.h"

extern const char *const train_header, *const eval_header;

/* Paths and texts are of folder.h's arena. */
char *in_run(const char *run_dir, const char *name);
char *checkpoint(const char *run_dir, int iteration);
char *without_times(const char *path);

/* Fails the test where the file cannot be read. */
void read_tensors(struct tensor_file *file, const char *path);

/* Both runs have the same curves, and latest and best are the same files. */
void expect_same_runs(const char *run_dir, const char *other);

/* The iterations are first, first + step, ... last, and all rows have all columns; returns the number of rows. */
int check_table(const char *path, const char *header, int columns, int first, int step, int last);

/* The column of train.csv with that number, from 0, of the row of an iteration. */
double train_value(const char *run_dir, int iteration, int column);

/* The iteration of the first row of eval.csv that has the largest accuracy. */
int best_iteration(const char *run_dir);

/* latest or best is a link to the checkpoint of that iteration. */
void expect_link(const char *run_dir, const char *name, int iteration);

int count_checkpoints(const char *run_dir);

int lines_of(const char *path); /* 0, too, where there is no such file */

#endif
