/* What a command line can hold, as a table that completions of shells are made of. */
#ifndef SPHERENET_CLI_WORDS_H
#define SPHERENET_CLI_WORDS_H

#include "base/text.h"

/* Adds lines of columns that tabs divide:
 *
 *   command  NAME     OPERANDS  SUMMARY
 *   option   COMMAND  NAME      VALUE    HELP     VALUE: what the value is called
 *   key      PATH     VALUES    HELP              of a spec, for --set
 *
 * A path ends in "=", or in "." where it leads to further keys; "[0]" in it stands for any place in a list. VALUES are
 * divided by blanks; FILE stands for the name of a file or folder, "-" where there is no value, or none can be listed.
 * Lists within lists are left out. */
void words_print(struct text *out);

#endif
