/* spherenet: the command line. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/version.h"
#include "cli/command.h"
#include "kernel/gemm.h"

extern const struct command command_train, command_eval, command_show, command_bench, command_list, command_help_;

const struct command *const commands[] = {
    &command_train, &command_eval, &command_show, &command_bench, &command_list, &command_help_, NULL,
};

static const struct command *find(const char *name) {
    for (const struct command *const *c = commands; *c; c++)
        if (!strcmp((*c)->name, name))
            return *c;
    return NULL;
}

static enum exit_status unknown(const char *word) {
    const char *names[32];
    size_t count = 0;
    while (commands[count] && count < 32) {
        names[count] = commands[count]->name;
        count++;
    }
    const char *nearest = text_nearest(word, names, count);
    fprintf(stderr, "spherenet: unknown command \"%s\"", word);
    if (nearest)
        fprintf(stderr, "; did you mean \"%s\"?", nearest);
    fprintf(stderr, "\n  `spherenet help` lists the commands\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    gemm_setup();
    const char *word = argc > 1 ? argv[1] : "help";
    if (!strcmp(word, "--version")) {
        printf("spherenet %s (OpenBLAS: %s)\n", SPHERENET_VERSION, gemm_library());
        return EXIT_DONE;
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h"))
        word = "help";
    const struct command *command = find(word);
    if (!command)
        return unknown(word);
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) {
            command_help(command);
            return EXIT_DONE;
        }
    }
    const char *operands[MAX_OPERANDS];
    int operand_count;
    if (!command_parse(command, argc - 2 < 0 ? 0 : argc - 2, argv + 2, &operand_count, operands))
        return EXIT_USAGE;
    enum exit_status status = command->run(operand_count, operands);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "spherenet: standard output cannot be written\n");
        return EXIT_FAILED;
    }
    return status;
}
