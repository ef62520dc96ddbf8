/* Trainings that are stopped at any instant, what they leave, and what an uninterrupted one leaves.
 *
 * SPHERENET_KILLS sets the number of kills, SPHERENET_KILL_SEED the random numbers, so that a failure can be repeated
 * as far as timing allows. Runs are kept below TMPDIR, or /tmp. */
#ifndef SPHERENET_TESTS_SUPPORT_CRASH_H
#define SPHERENET_TESTS_SUPPORT_CRASH_H

#include <sys/types.h>

#include "base/rng.h"
#include "support/folder.h"
#include "support/suite.h"

enum { ITERATIONS = 24, KEEP = 2, THREADS_MAX = 2 };

extern struct rng rng; /* of SPHERENET_KILL_SEED */
extern uint64_t seed;
extern bool tracing; /* whether processes can be stopped before their calls: some machines forbid tracing */

/* Fixtures: a folder with spec.yaml in it. */
void crash_set_up(void);
void crash_tear_down(void);

/* Fails with the place, the seed and the folder, which then stays. */
#define EXPECT_HERE(CONDITION, ...) ((CONDITION) ? (void)0 : fail_here(__LINE__, __VA_ARGS__))

void __attribute__((format(printf, 2, 3), noreturn)) fail_here(int line, const char *format, ...);

/* Where the test is, for messages. */
void __attribute__((format(printf, 1, 2))) set_context(const char *format, ...);

/* The number of times, of which `share` are asked for in percent; tests of slower variants of the program do with
 * fewer. */
int kills_wanted(int share);

/* --- Files --- */

/* DIR/NAME, valid until the next few calls. */
const char *in(const char *dir, const char *name);

/* Likewise. */
const char *checkpoint_in(const char *dir, int iteration);

/* The names of all files below DIR, sorted, with the targets of links; of the arena. */
const char *list_files(const char *dir, bool sizes);

/* The iterations of the checkpoints in a run's folder, in any order; returns how many. */
int list_checkpoints(const char *dir, int iterations[ITERATIONS + 1]);
int newest_checkpoint(const char *dir);

int last_iteration(const char *path); /* of a table's last row; 0: there is none */

/* Whether the folder below DIR has a file like that. */
bool holds(const char *dir, const char *pattern);

bool latest_is_newest(const char *dir);
bool says(const char *path, const char *part);

/* --- Processes --- */

struct process {
    pid_t pid;
    int ended; /* descriptor of a pipe that ends with the process */
    bool traced, over;
    int status; /* as waitpid has it, when it is over */
};

/* `spherenet train spec.yaml --run-dir DIR` and up to four more words, separated by spaces, or NULL; what it prints
 * goes to output.txt and errors.txt. It dies with the test. A traced one waits for run_to_call. */
struct process start_training(const char *dir, int threads, const char *more, bool traced);

int finish(struct process *process); /* waits for the end; the status as waitpid has it */
void expect_success(int status);
bool nothing_to_resume(int status);

/* Takes a process that run_to_call has stopped off the leash. */
void let_go(struct process *process);

/* A time after the start, or right before the nth call that changes files. */
struct moment {
    double delay; /* seconds */
    int nth;      /* from 1; 0: the delay counts */
    bool writes;  /* count writes, too */
};

const char *moment_text(const struct moment *moment);

/* Half of the moments are spread over a part of the time that a whole training takes, half over its calls. Early ones
 * are likelier, so that a run is killed several times before it gets through. */
struct moment draw_moment(void);

/* Lets a traced process go on to the moment; false: it ends before. Counts moment->nth down. */
bool run_to_call(struct process *process, struct moment *moment);

/* Waits for the moment; false: the process ends before. */
bool wait_for(struct process *process, struct moment moment);

/* --- Whole runs --- */

/* Of an uninterrupted training: seconds, calls without writes, and with them. */
extern double whole_time;
extern int whole_calls[2];

/* Folders, by the number of threads. */
extern const char *const whole_runs[THREADS_MAX + 1];

void train_whole(const char *dir, int threads, const char *more);
void make_whole_runs(void);

/* How a run begins: in no folder, NULL, or over a finished run, --overwrite. */
const char *begin_run(const char *dir);

/* Holds at any instant: checkpoints are whole, links point to some, tables have whole rows up to the newest
 * checkpoint's iteration at least. Returns that iteration; 0: there is none. Those up to `seen` are not read again. */
int check_folder(const char *dir, int seen);

/* The first line that differs. */
void expect_same_here(const char *text, const char *whole, const char *what);

/* The curves, the spec, and the checkpoints that latest and best name. */
void expect_same_results(const char *dir, const char *whole);

/* That, and the same files, byte for byte. */
void expect_same_run(const char *dir, const char *whole);

/* --- Where a process was stopped --- */

/* As the folder shows it afterwards. */
enum phase {
    NO_FOLDER,
    STARTING,
    WRITING_SPEC,
    CUTTING_TABLES,
    WRITING_CHECKPOINT,
    LINKING,
    CHECKPOINT_IN_PLACE,
    PRUNING,
    TRAINING,
    PHASES,
};

extern const char *const phase_names[PHASES];

/* What tells a process's own traces from those of one killed before it. */
struct traces {
    off_t log, table;
    bool new_spec;
};

struct traces traces_in(const char *dir);
enum phase phase_of(const char *dir, struct traces before);

#endif
