/* Starting the program over, for libraries that read their settings before main. */
#ifndef SPHERENET_CLI_RESTART_H
#define SPHERENET_CLI_RESTART_H

/* To be called first in main; argv stays the caller's. */
void restart_remember(char **argv);

/* Sets the environment variable, or with NULL takes it away, and begins again from main, with the same arguments.
 * Returns only when that fails.
 * Whoever calls it sees to it that the program that has the variable does not call it again. */
void restart_with(const char *variable, const char *value);

#endif
