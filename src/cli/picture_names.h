/* The files that `predict` is to look at: operands, what is below those that are folders, and names that standard input
 * has. */
#ifndef SPHERENET_CLI_PICTURE_NAMES_H
#define SPHERENET_CLI_PICTURE_NAMES_H

#include <stdbool.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

struct picture_names {
    const char *const *operands; /* "-": the names of standard input */
    int operand_count, next_operand;
    char end;          /* of each name there: '\n', or '\0' */
    bool reads_input;  /* now */
    struct text input; /* what was read */
    size_t input_used; /* bytes of it */
    int output;        /* a descriptor: no name is wanted any more when its reader has gone; -1: it has none */
    int stop;          /* an event's descriptor */
    bool failed;       /* names end too early, for the reason that `err` has */
    struct error err;
    struct arena memory; /* of what follows */
    const char **found;  /* in the folder that was walked last */
    int found_count, next_found;
    int foreign; /* files in folders that were passed over, because their names are no pictures' */
};

void picture_names_open(struct picture_names *names, const char *const *operands, int count, char end);

/* Whether the next name, or that there is none, can be told without waiting for standard input. */
bool picture_names_at_hand(const struct picture_names *names);

/* The next path in place of the text; false: there are no more. Files in folders come in the order of their names'
 * bytes, those of folders within at the folder's place. Names that begin with "." are left out. Links are followed, but
 * into no folder that leads to itself. A folder that cannot be read is a path, too. What is named twice comes twice. */
bool picture_names_next(struct picture_names *names, struct text *path);

/* Ends the waiting for standard input, on whatever thread that is; no name is read from it any more. */
void picture_names_stop(const struct picture_names *names);
void picture_names_close(struct picture_names *names);

#endif
