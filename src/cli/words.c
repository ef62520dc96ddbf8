#include "cli/words.h"

#include <string.h>

#include "cli/command.h"
#include "train/experiment.h"

static void print_command(struct text *out, const struct command *command) {
    text_printf(out, "command\t%s\t%s\t%s\n", command->name, command->operands, command->summary);
    for (const struct option *o = command->options; o && o->name; o++)
        text_printf(out, "option\t%s\t%s\t%s\t%s\n", command->name, o->name, o->value ? o->value : "-", o->help);
}

/* --- The keys of a spec ------------------------------------------------------------------------------------------ */

/* Rows of a registry may share keys, so a line that is there already, but for its help, is left out. */
static void print_key(struct text *out, const char *path, const char *values, const char *help) {
    struct text line = {0};
    text_printf(&line, "\nkey\t%s\t%s\t", path, *values ? values : "-");
    if (!strstr(out->data, line.data))
        text_printf(out, "%s%s\n", line.data + 1, help);
    text_free(&line);
}

static void add_word(struct text *words, const char *word) {
    text_printf(words, "%s%s", words->length ? " " : "", word);
}

static void add_values(struct text *words, const struct param *param) {
    text_add(words, "", 0);
    if (param->type == PARAM_BOOL)
        text_printf(words, "true false");
    if (param->type == PARAM_PATH)
        text_printf(words, "FILE");
    for (const char *const *name = param->names; name && *name; name++)
        add_word(words, *name);
    for (const struct kind *const *row = param->registry ? param->registry->rows : NULL; row && *row; row++)
        add_word(words, (*row)->name);
}

static void print_keys(struct text *out, const struct param *params, const char *path);

static void print_rows(struct text *out, const struct registry *registry, const char *path) {
    for (const struct kind *const *row = registry->rows; *row; row++)
        print_keys(out, (*row)->params, path);
}

/* The keys below a section, or below the `type` of a row. */
static void print_below(struct text *out, const struct param *param, const char *path, const char *values) {
    struct text below = {0}, type = {0};
    text_printf(&below, "%s%s.", path, param->type == PARAM_KINDS ? "[0]" : "");
    text_printf(&type, "%stype=", below.data);
    print_key(out, below.data, "", param->help);
    if (param->registry) {
        print_key(out, type.data, values, param->registry->noun);
        print_rows(out, param->registry, below.data);
    } else {
        print_keys(out, param->params, below.data);
    }
    text_free(&below);
    text_free(&type);
}

static void print_param(struct text *out, const struct param *param, const char *above) {
    struct text path = {0}, key = {0}, values = {0};
    text_printf(&path, "%s%s", above, param->key);
    text_printf(&key, "%s=", path.data);
    add_values(&values, param);
    bool list = param->type == PARAM_KINDS;
    if (param->type != PARAM_SECTION && !list)
        print_key(out, key.data, values.data, param->help);
    if (param->type == PARAM_ROW)
        print_rows(out, param->registry, above);
    else if (param->type == PARAM_SECTION || param->type == PARAM_KIND || (list && !strchr(above, '[')))
        print_below(out, param, path.data, values.data);
    text_free(&path);
    text_free(&key);
    text_free(&values);
}

static void print_keys(struct text *out, const struct param *params, const char *path) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        if (p->type == PARAM_INCLUDE)
            print_keys(out, p->params, path);
        else
            print_param(out, p, path);
    }
}

void words_print(struct text *out) {
    for (const struct command *const *c = commands; *c; c++)
        print_command(out, *c);
    print_keys(out, experiment_params, "");
}
