#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/restart.h"
#include "run/run_dir.h"
#include "sweep/progress.h"
#include "sweep/search.h"
#include "sweep/slurm.h"
#include "sweep/sweep.h"
#include "sweep/table.h"

static struct values overrides;
static const char *out, *seeds;
static bool unfinished;

static const struct option options[] = {
    SET_OPTION(&overrides),
    {"out", OPTION_PATH, &out, "DIR", "where the runs are kept; else runs/NAME, by the sweep's file"},
    {"seeds", OPTION_VALUE, &seeds, "N,...", "instead of the file's"},
    {"unfinished", OPTION_FLAG, &unfinished, NULL, "only runs that have not come as far as they are to, nor failed"},
    {0},
};

/* What the runs have come to, [run_count], to be freed; and how far each is to come. */
static struct progress *look(struct sweep *sweep) {
    struct progress *progress = mem_alloc((size_t)sweep->run_count * sizeof *progress);
    for (int i = 0; i < sweep->run_count; i++)
        progress[i] = progress_read(sweep, &sweep->runs[i]);
    search_plan(sweep, progress);
    return progress;
}

/* The runs that were asked for; to be freed. */
static const struct sweep_run **choose_runs(struct sweep *sweep, int *count) {
    const struct sweep_run **runs = mem_alloc((size_t)sweep->run_count * sizeof *runs);
    struct progress *progress = look(sweep);
    *count = 0;
    for (int i = 0; i < sweep->run_count; i++)
        if (!unfinished || !progress_reached(&progress[i], sweep->runs[i].until))
            runs[(*count)++] = &sweep->runs[i];
    free(progress);
    return runs;
}

static enum exit_status list(struct sweep *sweep) {
    int count;
    const struct sweep_run **runs = choose_runs(sweep, &count);
    for (int i = 0; i < count; i++) {
        struct text command = {0};
        sweep_command(&command, sweep, runs[i], restart_program());
        puts(command.data);
        text_free(&command);
    }
    free(runs);
    return EXIT_DONE;
}

static enum exit_status slurm(struct sweep *sweep) {
    int count;
    struct error err;
    struct text script = {0};
    if (!sweep->threads) {
        fprintf(stderr, "spherenet sweep slurm: train.threads is not given; a job wants to know it: --set "
                        "train.threads=4\n");
        return EXIT_USAGE;
    }
    if (!run_dir_make(sweep->out, &err)) { /* Slurm makes no folder for its output */
        fprintf(stderr, "spherenet: %s\n", err.text);
        return EXIT_FAILED;
    }
    const struct sweep_run **runs = choose_runs(sweep, &count);
    if (count) {
        slurm_script(&script, sweep, runs, count, sweep->threads, restart_program());
        fputs(script.data, stdout);
    } else {
        fprintf(stderr, "spherenet sweep slurm: %s: nothing is left to run\n", sweep->path);
    }
    text_free(&script);
    free(runs);
    return count ? EXIT_DONE : EXIT_FAILED;
}

static enum exit_status table(struct sweep *sweep) {
    struct run_dir folder = {.lock = -1};
    struct text markdown = {0}, csv = {0};
    struct error err;
    struct progress *progress = look(sweep);
    table_markdown(&markdown, sweep, progress);
    table_csv(&csv, sweep, progress);
    fputs(markdown.data, stdout);
    snprintf(folder.path, sizeof folder.path, "%s", sweep->out);
    bool good = run_dir_make(sweep->out, &err) && run_dir_write(&folder, "table.md", markdown.data, &err) &&
                run_dir_write(&folder, "runs.csv", csv.data, &err);
    if (!good)
        fprintf(stderr, "spherenet: %s\n", err.text);
    text_free(&markdown);
    text_free(&csv);
    free(progress);
    return good ? EXIT_DONE : EXIT_FAILED;
}

static const struct {
    const char *name;
    enum exit_status (*run)(struct sweep *sweep);
} actions[] = {{"list", list}, {"slurm", slurm}, {"table", table}};

enum { ACTIONS = sizeof actions / sizeof *actions };

static enum exit_status read_and_run(size_t action, const char *path) {
    struct sweep sweep;
    struct diagnostics diags = {0};
    const struct sweep_request request = {path, out, seeds, overrides.items, overrides.count};
    bool good = sweep_read(&sweep, &request, &diags);
    if (!good)
        fprintf(stderr, "%s%s: %d mistake%s; nothing was listed\n", diags.text.data, path, diags.count,
                diags.count == 1 ? "" : "s");
    enum exit_status status = good ? actions[action].run(&sweep) : EXIT_USAGE;
    text_free(&diags.text);
    sweep_free(&sweep);
    return status;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    const char *names[ACTIONS];
    for (size_t i = 0; i < ACTIONS; i++) {
        names[i] = actions[i].name;
        if (!strcmp(names[i], operands[0]))
            return read_and_run(i, operands[1]);
    }
    const char *nearest = text_nearest(operands[0], names, ACTIONS);
    fprintf(stderr, "spherenet sweep: \"%s\"%s%s%s; expected list, slurm or table\n", operands[0],
            nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    return EXIT_USAGE;
}

const struct command command_sweep = {
    .name = "sweep",
    .operands = "list|slurm|table SWEEP",
    .summary = "List the runs that a file asks for as shell commands, or tabulate what they have come to.",
    .details =
        "list prints one command a line, which trains a run from wherever it is, and returns at once when the run is\n"
        "finished. Anything may run them, in the same folder, in any order, again: `sh`, `xargs -P`, GNU parallel.\n"
        "slurm prints a script for sbatch, with one task a run. table prints the accuracies so far as Markdown, and\n"
        "writes them to table.md and runs.csv in the sweep's folder.\n"
        "\n"
        "SWEEP is YAML, all but spec optional:\n"
        "  spec: quickstart.yaml            # from the sweep's folder\n"
        "  rows:                            # what each sets, as by --set\n"
        "    cosine: {}\n"
        "    linear: {network.operator.angular: linear}\n"
        "  columns:\n"
        "    narrow: {network.widths: [16, 32, 64]}\n"
        "    wide:   {network.widths: [32, 64, 128]}\n"
        "  seeds: [1, 2, 3]                 # 1 if left out\n"
        "\n"
        "Instead of rows, values may be drawn:\n"
        "  search:\n"
        "    trials: 27\n"
        "    seed: 1                        # 1 if left out\n"
        "    ranges:                        # log_uniform, uniform, choices\n"
        "      optimizer.learning_rate: {log_uniform: [1e-4, 1e-1]}\n"
        "      network.operator.angular: {choices: [cosine, linear]}\n"
        "    halving: {from: 250, factor: 3}   # successive halving\n"
        "\n"
        "A column's value counts before a row's, and a row's before that of --set. A run is kept in\n"
        "DIR/ROW_COLUMN_sSEED. With halving, list again when the commands before are done.\n",
    .options = options,
    .least_operands = 2,
    .most_operands = 2,
    .run = run,
};
