#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "cli/command.h"
#include "cli/man.h"
#include "cli/words.h"
#include "spec/bind.h"
#include "train/experiment.h"

static bool markdown, man, words;

static const struct option options[] = {
    {"man", OPTION_FLAG, &man, NULL, "the program's manual page; `help spec --man`: that of specs"},
    {"markdown", OPTION_FLAG, &markdown, NULL, "`help spec` as Markdown"},
    {"words", OPTION_FLAG, &words, NULL, "what a command line can hold, as a table for shells"},
    {0},
};

/* --- The keys of a spec ------------------------------------------------------------------------------------------ */

enum { MOST_TABLES = 64 };

/* What is already printed, and where: the operator's keys, say, belong to many layers but are explained once. */
struct printed {
    int tables_count, registries_count;
    const struct param *tables[MOST_TABLES];
    char headings[MOST_TABLES][160];
    const struct registry *registries[MOST_TABLES];
};

static void print_row_of_markdown(const struct param *param, const char *type) {
    bool section = param->type == PARAM_SECTION;
    if (param->fallback && *param->fallback)
        printf("| `%s` | %s | `%s` | %s |\n", param->key, type, param->fallback, param->help);
    else
        printf("| `%s` | %s | %s | %s |\n", param->key, type, param->fallback || section ? "" : "required",
               param->help);
}

static void print_key(const struct param *param) {
    struct text type = {0};
    param_describe(&type, param);
    if (markdown) {
        print_row_of_markdown(param, type.data);
    } else {
        if (param->fallback && *param->fallback)
            text_printf(&type, "; default %s", param->fallback);
        else if (!param->fallback && param->type != PARAM_SECTION)
            text_printf(&type, "; required");
        if (man)
            man_key(param->key, param->help, type.data);
        else
            printf("  %-20s %s\n  %-20s   %s\n", param->key, param->help, "", type.data);
    }
    text_free(&type);
}

static void print_keys(const struct param *params) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        if (p->type == PARAM_INCLUDE)
            print_keys(p->params);
        else
            print_key(p);
    }
}

static void print_heading(const char *path, const char *help) {
    if (man)
        man_heading(path, help);
    else
        printf(markdown ? "\n## `%s`\n\n%s.\n\n" : "\n%s: %s\n", path, help);
}

/* To the heading under which the same keys are explained. */
static void print_reference(const char *heading) {
    if (man)
        printf(".PP\nThe keys of %s.\n", heading);
    else
        printf(markdown ? "The keys of `%s`.\n" : "  the keys of %s\n", heading);
}

static void print_columns(void) {
    if (markdown)
        printf("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
}

static void print_tables(const struct param *params, const char *path, struct printed *printed);

static void print_table(const struct param *params, const char *path, const char *help, struct printed *printed) {
    if (!params || params->type == PARAM_END || printed->tables_count == MOST_TABLES)
        return;
    for (int i = 0; i < printed->tables_count; i++) {
        if (printed->tables[i] == params) {
            if (strchr(path, ':')) { /* a kind with another's keys; a section's keys are the same wherever it is */
                print_heading(path, help);
                print_reference(printed->headings[i]);
            }
            return;
        }
    }
    snprintf(printed->headings[printed->tables_count], sizeof printed->headings[0], "%s", path);
    printed->tables[printed->tables_count++] = params;
    print_heading(path, help);
    print_columns();
    print_keys(params);
    print_tables(params, path, printed);
}

static bool print_once(const struct registry *registry, struct printed *printed) {
    for (int i = 0; i < printed->registries_count; i++)
        if (printed->registries[i] == registry)
            return false;
    printed->registries[printed->registries_count++] = registry;
    return true;
}

/* The rows of a registry with the keys that each brings. key: what names the row. */
static void print_registry(const struct registry *registry, const char *path, const char *key,
                           struct printed *printed) {
    if (!print_once(registry, printed))
        return;
    for (const struct kind *const *row = registry->rows; *row; row++) {
        char heading[256];
        snprintf(heading, sizeof heading, "%.150s: {%.40s: %s}", path, key, (*row)->name);
        print_table((*row)->params, heading, (*row)->help, printed);
    }
}

/* The sections and rows that the keys of a table lead to. */
static void print_tables(const struct param *params, const char *path, struct printed *printed) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        char section[256], below[256];
        if (p->type == PARAM_INCLUDE)
            print_tables(p->params, path, printed);
        if (!p->key)
            continue;
        snprintf(section, sizeof section, "%.*s", (int)strcspn(path, ":"), path);
        snprintf(below, sizeof below, "%.200s%s%s%s", section, *section ? "." : "", p->key,
                 p->type == PARAM_KINDS ? "[]" : "");
        if (p->type == PARAM_SECTION)
            print_table(p->params, below, p->help, printed);
        else if (p->type == PARAM_ROW)
            print_registry(p->registry, section, p->key, printed);
        else if (p->type == PARAM_KIND || p->type == PARAM_KINDS)
            print_registry(p->registry, below, "type", printed);
    }
}

static const char introduction[] =
    "A spec is one YAML map. Any key can be put over from the command line: `--set network.operator.angular=linear`, "
    "`--set network.layers[2].filters=32`. A section with a `type` that needs no other key may be written as the bare "
    "name: `optimizer: adam`, `- relu`. Where a key names a row that has keys of its own, these stand beside it: "
    "`operator: {angular: sigmoid, k: 0.3}`.\n\nnull, ~ or nothing as a value is the default. A text or path given "
    "with --set "
    "is taken as it stands, unless it is null or wholly in quotes. A path may begin with `~/`. `<<: *name` merges "
    "sections by their anchors; keys at the top that begin with `x-` are left to anchors.";

static void print_introduction(void) {
    if (man)
        man_spec(introduction);
    else if (markdown)
        printf("# The spec\n\nGenerated by `spherenet help spec --markdown` (`make docs`).\n\n%s\n", introduction);
    else
        printf("A spec is one YAML map of these keys. --set KEY=VALUE puts a value over any of them.\n");
}

static void help_spec(void) {
    struct printed printed = {0};
    print_introduction();
    print_heading("spec", "the top level");
    print_columns();
    print_keys(experiment_params);
    print_tables(experiment_params, "", &printed);
    if (man)
        man_spec_end();
}

/* --- Commands ---------------------------------------------------------------------------------------------------- */

/* In a column of one line. */
static const char *short_operands(const struct command *command) {
    return strlen(command->operands) > 20 ? "[WHAT]" : command->operands;
}

static void help_program(void) {
    int names = 0, operands = 0; /* widths of columns */
    for (const struct command *const *c = commands; *c; c++) {
        names = larger(names, (int)strlen((*c)->name));
        operands = larger(operands, (int)strlen(short_operands(*c)));
    }
    printf("spherenet trains deep hyperspherical networks from YAML specs.\n\n"
           "usage: spherenet COMMAND [OPTION ...] [OPERAND ...]\n\n");
    for (const struct command *const *c = commands; *c; c++)
        printf("  %-*s  %-*s  %s\n", names, (*c)->name, operands, short_operands(*c), (*c)->summary);
    printf("\n`spherenet help COMMAND` tells more of a command, `spherenet help spec` lists the keys of a spec.\n"
           "Exit status: 0 done, 1 failed while running, 2 wrong command line or spec.\n");
}

static void help_words(void) {
    struct text table = {0};
    words_print(&table);
    printf("%s", table.data);
    text_free(&table);
}

static enum exit_status run(int operand_count, const char *const *operands) {
    if (!operand_count) {
        (man ? man_program : words ? help_words : help_program)();
        return EXIT_DONE;
    }
    if (!strcmp(operands[0], "spec")) {
        help_spec();
        return EXIT_DONE;
    }
    for (const struct command *const *c = commands; *c; c++) {
        if (!strcmp((*c)->name, operands[0])) {
            command_help(*c);
            return EXIT_DONE;
        }
    }
    fprintf(stderr, "spherenet help: no command \"%s\"; `spherenet help` lists them, `help spec` explains specs\n",
            operands[0]);
    return EXIT_USAGE;
}

const struct command command_of_help = {
    .name = "help",
    .operands = "[COMMAND|spec]",
    .summary = "Explain the program, a command, or the keys of a spec.",
    .options = options,
    .most_operands = 1,
    .run = run,
};
