/* Starting the program over, at most once, for libraries that read their settings before main. */
#ifndef SPHERENET_CLI_RESTART_H
#define SPHERENET_CLI_RESTART_H

/* To be called first in main; argv stays the caller's. */
void restart_remember(char **argv);

/* The word by which the program was called, so that its caller finds it by that word again. */
const char *restart_program(void);

/* Sets the environment variable, or with NULL takes it away, for a program that has been started over. Whoever calls it
 * sees to it that the program that has the variable does not call it again. */
void restart_set(const char *variable, const char *value);

/* When a variable was set, begins again from main, with the same arguments; so nothing may have been done yet that must
 * not be done twice. Returns only when none was, or when that fails. */
void restart_if_due(void);

#endif
