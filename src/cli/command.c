#include "cli/command.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/number.h"
#include "base/path.h"
#include "cli/restart.h"
#include "machine/openblas.h"
#include "machine/threads.h"
#include "train/experiment.h"

static const struct option *find_option(const struct option *options, const char *name, size_t length) {
    for (const struct option *o = options; o && o->name; o++)
        if (strlen(o->name) == length && !memcmp(o->name, name, length))
            return o;
    return NULL;
}

static void complain_option(const struct command *command, const char *word) {
    const char *names[32];
    size_t count = 0;
    for (const struct option *o = command->options; o && o->name && count < 32; o++)
        names[count++] = o->name;
    char name[65];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word + strspn(word, "-"));
    const char *nearest = text_nearest(name, names, count);
    fprintf(stderr, "spherenet %s: unknown option %s", command->name, word);
    if (nearest)
        fprintf(stderr, "; did you mean --%s?", nearest);
    fprintf(stderr, "\n  `spherenet help %s` lists the options\n", command->name);
}

/* A shell leaves the ~ of --out=~/a as it is. */
static bool store_path(const struct command *command, const struct option *option, const char *value) {
    static struct arena paths; /* as long as the program */
    struct error err;
    const char *path = path_expand(&paths, value, &err);
    if (path)
        *(const char **)option->place = path;
    else
        fprintf(stderr, "spherenet %s: --%s: %s\n", command->name, option->name, err.text);
    return path != NULL;
}

static bool store(const struct command *command, const struct option *option, const char *value) {
    struct values *values = option->place;
    switch (option->type) {
    case OPTION_FLAG:
        *(bool *)option->place = true;
        return true;
    case OPTION_VALUE:
        *(const char **)option->place = value;
        return true;
    case OPTION_PATH:
        return store_path(command, option, value);
    case OPTION_VALUES:
        if (values->count < MAX_VALUES) {
            values->items[values->count++] = value;
            return true;
        }
    }
    fprintf(stderr, "spherenet %s: --%s is given more than %d times\n", command->name, option->name, MAX_VALUES);
    return false;
}

/* argv[*index] is an option; *index moves on over its value. */
static bool parse_option(const struct command *command, int argc, char **argv, int *index) {
    const char *word = argv[*index];
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const struct option *option =
        length > 2 && word[1] == '-' ? find_option(command->options, word + 2, length - 2) : NULL;
    if (!option) {
        complain_option(command, word);
        return false;
    }
    const char *value = equals ? equals + 1 : NULL;
    if (option->type == OPTION_FLAG && value) {
        fprintf(stderr, "spherenet %s: --%s takes no value\n", command->name, option->name);
        return false;
    }
    if (option->type != OPTION_FLAG && !value) {
        if (*index + 1 >= argc) {
            fprintf(stderr, "spherenet %s: --%s needs a value: --%s %s\n", command->name, option->name, option->name,
                    option->value);
            return false;
        }
        value = argv[++*index];
    }
    return store(command, option, value);
}

bool command_parse(const struct command *command, int argc, char **argv, int *operand_count, const char **operands) {
    bool options_end = false;
    *operand_count = 0;
    for (int i = 0; i < argc; i++) {
        if (!options_end && !strcmp(argv[i], "--")) {
            options_end = true;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1]) {
            if (!parse_option(command, argc, argv, &i))
                return false;
        } else if (*operand_count < command->most_operands) {
            operands[(*operand_count)++] = argv[i];
        } else {
            fprintf(stderr, "spherenet %s: \"%s\" is one operand too many; usage: spherenet %s %s\n", command->name,
                    argv[i], command->name, command->operands);
            return false;
        }
    }
    if (*operand_count >= command->least_operands)
        return true;
    fprintf(stderr, "spherenet %s: %s is missing; usage: spherenet %s %s\n", command->name, command->operands,
            command->name, command->operands);
    return false;
}

enum { TAG_BYTES = 64 };

/* "--NAME VALUE" */
static int option_tag(const struct option *option, char tag[TAG_BYTES]) {
    return snprintf(tag, TAG_BYTES, "--%s%s%s", option->name, option->value ? " " : "",
                    option->value ? option->value : "");
}

void command_help(const struct command *command) {
    char tag[TAG_BYTES];
    int width = 20;
    for (const struct option *o = command->options; o && o->name; o++)
        width = larger(width, option_tag(o, tag));
    printf("usage: spherenet %s%s%s%s\n\n%s\n", command->name, command->options ? " [OPTION ...]" : "",
           *command->operands ? " " : "", command->operands, command->summary);
    if (command->details)
        printf("\n%s", command->details);
    for (const struct option *o = command->options; o && o->name; o++) {
        option_tag(o, tag);
        printf("%s  %-*s  %s\n", o == command->options ? "\n" : "", width, tag, o->help);
    }
}

/* A pipe has nothing left for a program that starts over. */
static bool can_be_read_twice(const char *path) {
    struct stat status;
    return !stat(path, &status) && S_ISREG(status.st_mode);
}

bool command_check_spec(struct experiment *experiment, const char *path, const struct values *overrides,
                        struct text *mistakes) {
    struct diagnostics diags = {0};
    if (!can_be_read_twice(path))
        restart_if_due();
    bool good = experiment_read(experiment, path, overrides->items, overrides->count, &diags);
    if (!good)
        text_printf(mistakes, "%s%s: %d mistake%s; nothing was started\n", diags.text.data, path, diags.count,
                    diags.count == 1 ? "" : "s");
    text_free(&diags.text);
    return good;
}

bool command_read_spec(struct experiment *experiment, const char *path, const struct values *overrides) {
    struct text mistakes = {0};
    bool good = command_check_spec(experiment, path, overrides, &mistakes);
    if (!good)
        fputs(mistakes.data, stderr);
    text_free(&mistakes);
    return good;
}

void command_layer_column(const struct layer *layer, int depth, char *name) {
    snprintf(name, LAYER_COLUMN_BYTES, "%*s%s", 2 * depth, "", layer->name);
    text_defuse_line(name);
}

bool command_take_machine(const struct experiment *experiment, const char *spec, struct error *err) {
    const char *wish = experiment->train.openblas_core;
    if (!blas_core_check(wish, err))
        return false;
    bool used = blas_core_used(wish);
    if (!used && spec && !can_be_read_twice(spec))
        return error_set(err,
                         "%s: cannot be read twice, as train.openblas_core needs; set " BLAS_CORE_VARIABLE
                         "=%s in the environment, or give the spec as a file",
                         spec, wish);
    if (!used)
        restart_set(BLAS_CORE_VARIABLE, wish);
    restart_if_due();
    threads_use(experiment->threads);
    if (!blas_take_memory(experiment->threads, err))
        return false;
    return used || error_set_errno(err,
                                   "the program cannot start over for train.openblas_core; set " BLAS_CORE_VARIABLE
                                   "=%s in the environment",
                                   wish);
}

void command_warn_of_core(const struct experiment *experiment) {
    const char *warning = blas_core_warning(experiment->train.openblas_core);
    if (warning)
        fprintf(stderr, "spherenet: warning: %s\n", warning);
}
