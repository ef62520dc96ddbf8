/* A trained network from a checkpoint, with its dataset: what `eval` and `features` start from. */
#ifndef SPHERENET_CLI_TRAINED_H
#define SPHERENET_CLI_TRAINED_H

#include <stdio.h>

#include "cli/command.h"
#include "run/run_dir.h"
#include "train/trainer.h"

struct trained {
    char path[PATH_BYTES]; /* of the checkpoint */
    int64_t iteration;
    int split;
    struct experiment experiment;
    struct dataset dataset;
    struct trainer trainer;
};

/* operand: a run's folder or a checkpoint. split: its name. EXIT_DONE, or another status after telling on standard
 * error what is wrong. Close with trained_close in either case. */
enum exit_status trained_open(struct trained *trained, const char *command, const char *operand, const char *split,
                              const struct values *overrides);
void trained_close(struct trained *trained);

/* Tests the network on the split, and takes its features where it has a classifier: `features` of zeros otherwise. Free
 * features and result->confusion in either case. */
bool trained_evaluate(struct trained *trained, struct evaluation *result, struct features *features, struct error *err);

/* Opens PATH for writing; closes what was written, and prints where it went. */
FILE *table_open(const char *path, struct error *err);
bool table_close(FILE *file, const char *path, struct error *err);

/* "FOLDER/SPLIT_NAME" into `path`, PATH_BYTES long; returns path. */
const char *table_path(const struct trained *trained, const char *folder, const char *name, char *path);

/* The checkpoint's folder. */
const char *trained_folder(const struct trained *trained, char *folder);

#define SPLIT_OPTION(PLACE)                                                                                            \
    { "split", OPTION_VALUE, PLACE, "SPLIT", "test (the default) or train" }

#endif
