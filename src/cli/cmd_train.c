#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/restart.h"
#include "run/interrupt.h"
#include "run/session.h"

static struct values overrides;
static const char *run_dir;
static bool resume, auto_resume, overwrite, quiet;

static const struct option options[] = {
    SET_OPTION(&overrides),
    {"run-dir", OPTION_VALUE, &run_dir, "DIR", "where the run is kept; else runs/NAME"},
    {"resume", OPTION_FLAG, &resume, NULL, "go on from the newest checkpoint"},
    {"auto-resume", OPTION_FLAG, &auto_resume, NULL, "the same, or start the run where there is none yet"},
    {"overwrite", OPTION_FLAG, &overwrite, NULL, "replace the run that is there"},
    {"quiet", OPTION_FLAG, &quiet, NULL, "say nothing but errors"},
    {0},
};

/* A word as a shell takes it. */
static void print_word(const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=:,+-@%";
    if (*word && !word[strspn(word, plain)]) {
        printf(" %s", word);
        return;
    }
    printf(" '");
    for (; *word; word++)
        printf(*word == '\'' ? "'\\''" : "%c", *word);
    printf("'");
}

static void print_how_to_resume(const char *spec) {
    printf("to go on:");
    print_word(restart_program());
    printf(" train");
    print_word(spec);
    for (int i = 0; i < overrides.count; i++) {
        printf(" --set");
        print_word(overrides.items[i]);
    }
    if (run_dir) {
        printf(" --run-dir");
        print_word(run_dir);
    }
    printf(" --resume\n");
}

static enum exit_status status_of(enum session_end end, const char *spec, const struct error *err) {
    switch (end) {
    case SESSION_DONE:
        return EXIT_DONE;
    case SESSION_INTERRUPTED:
        if (!quiet)
            print_how_to_resume(spec);
        return (enum exit_status)(EXIT_SIGNAL + interrupt_signal());
    case SESSION_FAILED:
        fprintf(stderr, "spherenet: %s\n", err->text);
    }
    return EXIT_FAILED;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    if (resume + auto_resume + overwrite > 1) {
        fprintf(stderr, "spherenet train: --resume, --auto-resume and --overwrite exclude each other\n");
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
        .mode = resume        ? RUN_RESUME
                : auto_resume ? RUN_AUTO_RESUME
                : overwrite   ? RUN_OVERWRITE
                              : RUN_NEW,
        .quiet = quiet,
    };
    enum exit_status status = EXIT_USAGE;
    if (command_read_spec(&experiment, operands[0], &overrides)) {
        enum session_end end = SESSION_FAILED;
        if (command_take_machine(&experiment, operands[0], &err))
            end = session_run(&experiment, &session, &err);
        status = status_of(end, operands[0], &err);
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
