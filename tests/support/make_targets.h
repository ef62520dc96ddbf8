/* Targets of the Makefile that make files for installation, in the test's folder. */
#ifndef SPHERENET_TESTS_SUPPORT_MAKE_TARGETS_H
#define SPHERENET_TESTS_SUPPORT_MAKE_TARGETS_H

#include "support/program.h"

/* Below the test's folder, where `make install` puts files. */
#define INSTALLED "with blank/usr"

/* What the shell's command prints, errors too. It has to succeed. */
const char *printed_by(const char *command);

/* What make prints, outside of the make that may run this test. The program is not built again; pages and completions
 * are made in share/. */
const char *make(const char *arguments);

bool has(const char *program);

#endif
