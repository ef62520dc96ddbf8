/* A folder of its own for each test, with nothing in it at its start, and memory that goes with it. */
#ifndef SPHERENET_TESTS_SUPPORT_FOLDER_H
#define SPHERENET_TESTS_SUPPORT_FOLDER_H

#include <limits.h>

#include "base/mem.h"
#include "support/disk.h"

extern char home[PATH_MAX];   /* the working directory before folder_enter */
extern char folder[PATH_MAX]; /* of the running test */
extern struct arena arena;    /* of the running test */

/* The folder's name has that of the suite in it. parent: NULL: TMPDIR, or /tmp. */
void folder_make(const char *parent, const char *suite);
void folder_remove(void);

/* The same, and the working directory is there meanwhile. */
void folder_enter(const char *parent, const char *suite);
void folder_leave(void);

/* FOLDER/NAME, and a whole file as text; both of the arena. The test fails where the file cannot be opened. */
char *in_folder(const char *name);
char *read_text(const char *path);

/* The program to test, which SPHERENET in the environment names, as an absolute path; of the arena. */
char *program_path(void);

#endif
