/* The commands of the program. To add one: one file with a `struct command`, one line in main.c. */
#ifndef SPHERENET_CLI_COMMAND_H
#define SPHERENET_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* EXIT_SIGNAL + n: ended by signal n, as shells put it. */
enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SIGNAL = 128 };

enum { MAX_VALUES = 256 };

/* Values of an option that may be repeated. */
struct values {
    int count;
    const char *items[MAX_VALUES];
};

enum option_type { OPTION_FLAG, OPTION_VALUE, OPTION_PATH, OPTION_VALUES };

struct option {
    const char *name; /* without "--"; NULL closes a table */
    enum option_type type;
    void *place;       /* bool *, const char ** (of a path: expanded), struct values * */
    const char *value; /* what the value is called in help */
    const char *help;
};

struct command {
    const char *name;
    const char *operands; /* "SPEC" */
    const char *summary;  /* one line */
    const char *details;  /* what `help NAME` says beyond that; NULL: nothing */
    const struct option *options;
    int least_operands, most_operands;
    bool logged; /* all it prints is in a log, too: its exit status is another matter than who reads the output */
    enum exit_status (*run)(int operand_count, const char *const *operands);
};

extern const struct command *const commands[]; /* NULL-terminated */

/* Sets the places that the options name and collects the operands. False, after a message on standard error, when the
 * command line is wrong. */
bool command_parse(const struct command *command, int argc, char **argv, int *operand_count, const char **operands);

void command_help(const struct command *command);

/* The option that several commands share. */
#define SET_OPTION(PLACE)                                                                                              \
    { "set", OPTION_VALUES, PLACE, "KEY=VALUE", "put a value over the spec's, as in network.operator.angular=linear" }

struct experiment;
struct error;

/* Reads a spec; false after printing everything that is wrong with it. The experiment is to be freed in either case.
 * A program that has to start over does so first when the spec is a pipe, which can be read only once. */
bool command_read_spec(struct experiment *experiment, const char *path, const struct values *overrides);

/* The same, but what is wrong goes into the text. */
struct text;
bool command_check_spec(struct experiment *experiment, const char *path, const struct values *overrides,
                        struct text *mistakes);

/* The layer's name as tables show it: indented by its depth, on one line, without what a terminal would act on. */
enum { LAYER_COLUMN_BYTES = 400 };
struct layer;
void command_layer_column(const struct layer *layer, int depth, char *name);

/* Has OpenBLAS use the kernels of train.openblas_core, by starting the program over when it uses others, or when it is
 * to start over anyway, so nothing may have been done yet that must not be done twice; and has OpenMP use the
 * experiment's threads. False with an error when these kernels cannot be had. spec: the file that was read, which has
 * to be one that can be read again; NULL: none was. */
bool command_take_machine(const struct experiment *experiment, const char *spec, struct error *err);

/* Says on standard error what is wrong with the kernels in use, if anything is. */
void command_warn_of_core(const struct experiment *experiment);

#endif
