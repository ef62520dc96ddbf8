/* The program with calls that fail, and what its runs leave. A server keeps it loaded: tests/faults/inject.h. */
#ifndef SPHERENET_TESTS_SUPPORT_FAULTS_H
#define SPHERENET_TESTS_SUPPORT_FAULTS_H

#include "faults/inject.h"
#include "support/folder.h"
#include "support/suite.h"

extern struct arena lasting; /* until the test ends; folder.h's arena is emptied after each run in which a call fails */
extern struct fault_page *page;
extern bool can_fail;         /* whether the kernel lets system calls be trapped */
extern bool may_mount;        /* whether disks can be mounted */
extern long file_bytes;       /* for page->file_bytes */
extern bool traced, recorded; /* likewise */

extern const char *const kind_names[FAULT_KINDS];

/* Fixtures: a folder with spec.yaml in it, in memory, if there is one, since disks take their time to flush. There,
 * "cache" is the user's cache of the runs, and names.txt their standard input. */
void faults_set_up(void);
void faults_tear_down(void);

/* Runs the program, the words of whose command line are separated by single spaces; what waitpid says. */
int run_with_fault(const char *command, enum fault_kind kind, long at);

void run_well(const char *command);

/* The lines of standard error but for warnings; some machines deserve some. */
char *error_lines(void);

/* --- What runs leave --- */

char *join(const char *path, const char *name);
bool ends_with(const char *text, const char *end);

void copy_tree(const char *from, const char *to);

/* All that a run's folder holds, but for the log and for times. */
char *describe(const char *run_dir);

/* What keeps the two runs from having the same curves and the same newest and best checkpoint; NULL: nothing. */
const char *difference(const char *run_dir, const char *other);

/* A file that no run may leave behind, whatever failed; NULL: none. */
const char *wrong_file(const char *run_dir);

/* Whether there is anything of a run. */
bool is_begun(const char *run_dir);

#endif
