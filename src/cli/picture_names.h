/* The files that `predict` is to look at: operands, what is below those that are folders, and lines of standard input.
 */
#ifndef SPHERENET_CLI_PICTURE_NAMES_H
#define SPHERENET_CLI_PICTURE_NAMES_H

#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"

struct picture_names {
    const char *const *operands; /* "-": the lines of standard input */
    int operand_count, next_operand;
    bool reads_lines;
    int failure; /* errno of standard input, whose lines have ended there; 0: none */
    char *line;  /* of getline */
    size_t line_bytes;
    struct arena memory; /* of what follows */
    const char **found;  /* in the folder that was walked last */
    int found_count, next_found;
    int foreign; /* files in folders that were passed over, because their names are no pictures' */
};

/* The next path in place of the text; false: there are no more. Files in folders come in the order of their names'
 * bytes, those of folders within at the folder's place. Names that begin with "." are left out. Links are followed, but
 * into no folder that leads to itself. A folder that cannot be read is a path, too. */
bool picture_names_next(struct picture_names *names, struct text *path);
void picture_names_free(struct picture_names *names);

#endif
