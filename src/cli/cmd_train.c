#include <stdio.h>

#include "cli/command.h"
#include "run/session.h"

static struct values overrides;
static const char *run_dir;
static bool resume, overwrite, quiet;

static const struct option options[] = {
    SET_OPTION(&overrides),
    {"run-dir", OPTION_VALUE, &run_dir, "DIR", "where the run is kept; else runs/NAME"},
    {"resume", OPTION_FLAG, &resume, NULL, "go on from the newest checkpoint"},
    {"overwrite", OPTION_FLAG, &overwrite, NULL, "replace the run that is there"},
    {"quiet", OPTION_FLAG, &quiet, NULL, "say nothing but errors"},
    {0},
};

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    if (resume && overwrite) {
        fprintf(stderr, "spherenet train: --resume and --overwrite exclude each other\n");
        return EXIT_USAGE;
    }
    if (run_dir && !*run_dir) {
        fprintf(stderr, "spherenet train: --run-dir is empty; name a folder, or leave it out for runs/NAME\n");
        return EXIT_USAGE;
    }
    struct experiment experiment;
    struct error err;
    struct session_options session = {
        .run_dir = run_dir,
        .mode = resume      ? RUN_RESUME
                : overwrite ? RUN_OVERWRITE
                            : RUN_NEW,
        .quiet = quiet,
    };
    enum exit_status status = EXIT_USAGE;
    if (command_read_spec(&experiment, operands[0], &overrides)) {
        status = EXIT_DONE;
        if (!command_take_core(&experiment, operands[0], &err) || !session_run(&experiment, &session, &err)) {
            fprintf(stderr, "spherenet: %s\n", err.text);
            status = EXIT_FAILED;
        }
    }
    experiment_free(&experiment);
    return status;
}

const struct command command_train = {
    .name = "train",
    .operands = "SPEC",
    .summary = "Train the network that a YAML spec describes.",
    .details = "The run's folder gets spec.yaml (resolved), train.csv, eval.csv, run.log and checkpoints/.\n"
               "`spherenet help spec` explains the keys of a spec.\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
