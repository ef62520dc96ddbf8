/* The real program, run by a shell in a folder of its own. */
#ifndef SPHERENET_TESTS_SUPPORT_PROGRAM_H
#define SPHERENET_TESTS_SUPPORT_PROGRAM_H

#include "support/folder.h"

extern char *output, *errors, *warnings; /* of the last run; warnings are lines of standard error as errors are */

/* What spec.yaml in the folder holds: every layer that keeps state, so that a resumed run has something to lose. */
extern const char *const tiny_spec;

/* Fixtures. SPHERENET becomes an absolute path. */
void program_set_up(void);
void program_tear_down(void);

/* The exit status of a shell's command. */
int shell(const char *command);

/* Runs the program with the arguments as a shell takes them, redirections too, and expects that exit status. */
void __attribute__((format(printf, 2, 3))) run(int expected_status, const char *format, ...);

void expect_error(const char *part);
void expect_output(const char *part);

/* The number that follows that text in the output. */
double printed(const char *what);

#endif
