#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/restart.h"
#include "process/launcher.h"
#include "run/interrupt.h"
#include "run/session.h"

static struct values overrides;
static const char *run_dir, *until_text;
static bool resume, auto_resume, overwrite, quiet;

static const struct option options[] = {
    SET_OPTION(&overrides),
    {"run-dir", OPTION_PATH, &run_dir, "DIR", "where the run is kept; else runs/NAME"},
    {"resume", OPTION_FLAG, &resume, NULL, "go on from the newest checkpoint"},
    {"auto-resume", OPTION_FLAG, &auto_resume, NULL, "the same, or start the run where there is none yet"},
    {"overwrite", OPTION_FLAG, &overwrite, NULL, "replace the run that is there"},
    {"until", OPTION_VALUE, &until_text, "N", "end after iteration N, with a checkpoint; a resume goes on from it"},
    {"quiet", OPTION_FLAG, &quiet, NULL, "say nothing but errors"},
    {0},
};

static void add_words(struct text *command, const char *option, const char *word) {
    text_printf(command, " %s ", option);
    text_add_shell_word(command, word);
}

/* Ctrl-C also ends a `tee` that reads the output; then standard error may still have a reader. */
static void print_how_to_resume(const char *spec) {
    struct text command = {0};
    text_add_shell_word(&command, restart_program());
    add_words(&command, "train", spec);
    for (int i = 0; i < overrides.count; i++)
        add_words(&command, "--set", overrides.items[i]);
    if (run_dir)
        add_words(&command, "--run-dir", run_dir);
    if (until_text)
        add_words(&command, "--until", until_text);
    fprintf(output_has_reader() ? stdout : stderr, "to go on: %s --resume\n", command.data);
    text_free(&command);
}

/* Of several processes the first one speaks. */
static enum exit_status status_of(enum session_end end, const char *spec, bool speaks, const struct error *err) {
    switch (end) {
    case SESSION_DONE:
        return EXIT_DONE;
    case SESSION_INTERRUPTED:
        if (!quiet && speaks)
            print_how_to_resume(spec);
        return (enum exit_status)(EXIT_SIGNAL + interrupt_signal());
    case SESSION_FAILED:
        if (speaks)
            fprintf(stderr, "spherenet: %s\n", err->text);
    }
    return EXIT_FAILED;
}

/* 0: not given, or no iteration. */
static int until(void) {
    char *end;
    long number = strtol(until_text ? until_text : "0", &end, 10);
    return *end || number < 0 || number > INT_MAX ? 0 : (int)number;
}

/* This process cannot work with the others, which may be the same on all of them or on this one alone. */
static enum exit_status fail_alone(struct error *err) {
    int rank = launch_of_environment().rank;
    launch_give_way();
    if (rank > 0)
        group_name_process(rank, err);
    fprintf(stderr, "spherenet: %s\n", err->text);
    return EXIT_FAILED;
}

/* Reads the spec and takes the machine, on each process; what is wrong on any of them, the first one tells. */
static enum exit_status prepare(struct experiment *experiment, const char *spec, const struct group **group) {
    struct text mistakes = {0};
    struct error err, unopened;
    bool valid = command_check_spec(experiment, spec, &overrides, &mistakes);
    bool good = valid ? command_take_machine(experiment, spec, &err) : error_set(&err, "%s", mistakes.data);
    bool opened = group_open(group, &unopened);
    good = opened && group_agree(*group, good, &err) && experiment_divide(experiment, *group, &err);
    if (opened && !good && group_is_first(*group))
        valid ? fprintf(stderr, "spherenet: %s\n", err.text) : fputs(mistakes.data, stderr);
    text_free(&mistakes);
    return !opened ? fail_alone(&unopened) : good ? EXIT_DONE : valid ? EXIT_FAILED : EXIT_USAGE;
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
    if (until_text && !until()) {
        fprintf(stderr, "spherenet train: --until %s: expected an iteration, a whole number from 1 to %d\n", until_text,
                INT_MAX);
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
        .until = until(),
    };
    const struct group *group;
    enum exit_status status = prepare(&experiment, operands[0], &group);
    if (status == EXIT_DONE) {
        enum session_end end = session_run(&experiment, &session, &err);
        status = status_of(end, operands[0], group_is_first(group), &err);
    }
    group_close(group);
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
    .logged = true,
    .run = run,
};
