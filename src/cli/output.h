/* Whether anybody reads what is printed. */
#ifndef SPHERENET_CLI_OUTPUT_H
#define SPHERENET_CLI_OUTPUT_H

#include <stdbool.h>

/* False when standard output is a pipe whose other end was closed, as by `head`, or a terminal that has gone. */
bool output_has_reader(void);

/* Sends what was printed on its way. Where that fails although somebody reads, as on a full disk, says so on standard
 * error and returns false. */
bool output_finish(void);

#endif
