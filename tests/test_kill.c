/* Trainings that are killed at random instants, again and again, and resumed: what they leave in the end is what an
 * uninterrupted training leaves, bit for bit. SPHERENET names the program.
 *
 * SPHERENET_KILLS sets the number of kills, SPHERENET_KILL_SEED the random numbers, so that a failure can be repeated
 * as far as timing allows. Runs are kept below TMPDIR, or /tmp. */
#define _GNU_SOURCE /* nftw, ppoll */

#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "machine/openblas.h"
#include "support/disk.h"
#include "support/tensor_file.h"

#define COUNT(ARRAY) (int)(sizeof(ARRAY) / sizeof *(ARRAY))

/* Every layer that keeps state, and a layer wide enough that most of the time goes into writing checkpoints. */
static const char *const spec =
    "name: killed\n"
    "data:\n"
    "  {type: synthetic, height: 8, width: 8, classes: 4, train_images: 64, test_images: 29, flip: true,\n"
    "   crop_padding: 1}\n"
    "network:\n"
    "  layers:\n"
    "    - {type: sphere_conv, name: first, filters: 6, padding: 1, operator: {angular: learnable_sigmoid}}\n"
    "    - batch_norm\n"
    "    - {type: max_pool}\n"
    "    - {type: sphere_norm}\n"
    "    - {type: dense, name: wide, units: 512}\n"
    "    - {type: dense, name: score, units: 4}\n"
    "optimizer: {type: adam, learning_rate: 1e-3}\n"
    "schedule: {type: cosine, warmup: 5}\n"
    "train:\n"
    "  {iterations: 24, batch_size: 16, eval_every: 4, checkpoint_every: 3, keep: 2, log_every: 1, threads: 1}\n";

enum { ITERATIONS = 24, KEEP = 2, THREADS_MAX = 2 };

static char home[PATH_MAX];
static char folder[PATH_MAX];
static const char *program;
static struct arena arena;
static struct rng rng;
static uint64_t seed;
static struct text context; /* where the test is, for messages */

/* Fails with the place, the seed and the folder, which then stays. */
#define EXPECT(CONDITION, ...) ((CONDITION) ? (void)0 : fail_here(__LINE__, __VA_ARGS__))

static void __attribute__((format(printf, 2, 3), noreturn)) fail_here(int line, const char *format, ...) {
    char what[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    ck_abort_msg("line %d: SPHERENET_KILL_SEED=%llu, %s: %s\n(see %s)", line, (unsigned long long)seed,
                 context.data ? context.data : "", what, folder);
}

static void __attribute__((format(printf, 1, 2))) set_context(const char *format, ...) {
    char what[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    text_free(&context);
    text_printf(&context, "%s", what);
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

static bool equal_files(const char *path, const char *other) {
    size_t size = 0, other_size = 0;
    char *a = disk_read(path, &size), *b = disk_read(other, &other_size);
    bool equal = a && b && size == other_size && !memcmp(a, b, size);
    free(a);
    free(b);
    return equal;
}

static off_t size_of(const char *path) {
    struct stat status;
    return stat(path, &status) ? -1 : status.st_size;
}

/* DIR/NAME, valid until the next few calls. */
static const char *in(const char *dir, const char *name) {
    static char paths[8][PATH_MAX];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", dir, name);
    return path;
}

static struct {
    struct text lines;
    size_t skip; /* of paths */
    bool sizes;
} listing;

static int list_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
    char target[PATH_MAX] = "";
    (void)place;
    if (type == FTW_D)
        return 0;
    text_printf(&listing.lines, "%s", path + listing.skip);
    if (type == FTW_SL && readlink(path, target, sizeof target - 1) > 0)
        text_printf(&listing.lines, " -> %s", target);
    else if (listing.sizes)
        text_printf(&listing.lines, " %lld", (long long)status->st_size);
    text_add(&listing.lines, "\n", 1);
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of all files below DIR, sorted, with the targets of links; of the arena. */
static const char *list_files(const char *dir, bool sizes) {
    char *lines[256], *place;
    int count = 0;
    listing.skip = strlen(dir) + 1;
    listing.sizes = sizes;
    nftw(dir, list_entry, 8, FTW_PHYS);
    for (char *line = strtok_r(listing.lines.data, "\n", &place); line && count < COUNT(lines);
         line = strtok_r(NULL, "\n", &place))
        lines[count++] = line;
    qsort(lines, (size_t)count, sizeof *lines, by_name);
    struct text sorted = {0};
    text_add(&sorted, "", 0);
    for (int i = 0; i < count; i++)
        text_printf(&sorted, "%s\n", lines[i]);
    const char *copy = arena_string(&arena, sorted.data);
    text_free(&sorted);
    text_free(&listing.lines);
    return copy;
}

/* A table without its columns of time, which are the last; whole rows only, as the program promises. To be freed. */
static char *without_times(const char *path) {
    struct text kept = {0};
    char *table = disk_read(path, NULL), *place;
    text_add(&kept, "", 0);
    if (!table)
        return kept.data;
    EXPECT(!*table || table[strlen(table) - 1] == '\n', "%s: its last row is cut off", path);
    int times = strstr(table, "images_per_second") ? 2 : 1;
    for (char *line = strtok_r(table, "\n", &place); line; line = strtok_r(NULL, "\n", &place)) {
        for (int i = 0; i < times; i++) {
            char *comma = strrchr(line, ',');
            EXPECT(comma != NULL, "%s: too few columns in \"%s\"", path, line);
            *comma = '\0';
        }
        text_printf(&kept, "%s\n", line);
    }
    free(table);
    return kept.data;
}

/* Of the last row; 0: there is none. */
static int last_iteration(const char *path) {
    char *table = without_times(path);
    int last = 0;
    for (const char *line = table; *line; line += strcspn(line, "\n") + 1)
        sscanf(line, "%d,", &last);
    free(table);
    return last;
}

/* The iterations of the checkpoints in a run's folder, in any order; returns how many. */
static int list_checkpoints(const char *dir, int iterations[ITERATIONS + 1]) {
    DIR *checkpoints = opendir(in(dir, "checkpoints"));
    int count = 0;
    for (struct dirent *entry; checkpoints && (entry = readdir(checkpoints));) {
        int end = 0;
        EXPECT(count <= ITERATIONS, "more checkpoints than iterations");
        if (sscanf(entry->d_name, "iteration-%8d.safetensors.gz%n", &iterations[count], &end) == 1 && end &&
            !entry->d_name[end])
            count++;
    }
    if (checkpoints)
        closedir(checkpoints);
    return count;
}

static int newest_checkpoint(const char *dir) {
    int iterations[ITERATIONS + 1], newest = 0;
    for (int i = list_checkpoints(dir, iterations); i-- > 0;)
        newest = iterations[i] > newest ? iterations[i] : newest;
    return newest;
}

static const char *checkpoint(const char *dir, int iteration) {
    char name[64];
    snprintf(name, sizeof name, "checkpoints/iteration-%08d.safetensors.gz", iteration);
    return in(dir, name);
}

/* --- Processes --------------------------------------------------------------------------------------------------- */

struct process {
    pid_t pid;
    int ended; /* descriptor of a pipe that ends with the process */
    bool traced, over;
    int status; /* as waitpid has it, when it is over */
};

/* Some machines forbid tracing. */
static bool can_trace(void) {
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void become(const char *const *arguments, bool traced) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (traced) /* the sanitizer's search for leaks wants to trace, too */
        setenv("LSAN_OPTIONS", "detect_leaks=0", 1);
    if (!freopen("output.txt", "w", stdout) || !freopen("errors.txt", "w", stderr) ||
        (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL)))
        _exit(127);
    execv(program, (char *const *)arguments);
    _exit(127);
}

/* `spherenet train spec.yaml --run-dir DIR` and up to four more words, separated by spaces, or NULL; what it prints
 * goes to output.txt and errors.txt. It dies with the test. A traced one waits for run_to_call. */
static struct process start_training(const char *dir, int threads, const char *more, bool traced) {
    char threads_setting[32], words[256];
    snprintf(threads_setting, sizeof threads_setting, "train.threads=%d", threads);
    snprintf(words, sizeof words, "%s", more ? more : "");
    const char *arguments[12] = {"spherenet", "train", "spec.yaml", "--run-dir", dir, "--set", threads_setting};
    int count = 7, ends[2];
    for (char *word = strtok(words, " "); word && count < COUNT(arguments) - 1; word = strtok(NULL, " "))
        arguments[count++] = word;
    ck_assert_int_eq(pipe2(ends, 0), 0);
    struct process process = {.pid = fork(), .ended = ends[0], .traced = traced};
    ck_assert_int_ge(process.pid, 0);
    if (!process.pid) {
        close(ends[0]);
        become(arguments, traced);
    }
    close(ends[1]);
    if (traced) { /* stopped after execv */
        ck_assert_int_eq(waitpid(process.pid, &process.status, 0), process.pid);
        ck_assert(WIFSTOPPED(process.status));
        ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, process.pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
    }
    return process;
}

/* Waits for the end; the status as waitpid has it. */
static int finish(struct process *process) {
    while (!process->over) {
        pid_t pid = waitpid(process->pid, &process->status, 0);
        ck_assert(pid == process->pid || errno == EINTR);
        process->over = pid == process->pid && !WIFSTOPPED(process->status);
    }
    close(process->ended);
    return process->status;
}

static void expect_success(int status) {
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the training ended with status %x: %s", (unsigned)status,
           disk_read("errors.txt", NULL));
}

/* --- Instants ---------------------------------------------------------------------------------------------------- */

/* Calls of the kernel that change files. */
static const long calls[] = {
    SYS_mkdirat, SYS_renameat, SYS_renameat2, SYS_symlinkat, SYS_unlinkat, SYS_ftruncate, SYS_fsync,
#ifdef SYS_rename
    SYS_mkdir,   SYS_rename,   SYS_symlink,   SYS_unlink,
#endif
};

/* A time after the start, or right before the nth call. */
struct moment {
    double delay; /* seconds */
    int nth;      /* from 1; 0: the delay counts */
    bool writes;  /* count writes, too */
};

static const char *moment_text(const struct moment *moment) {
    static char text[100];
    if (moment->nth)
        snprintf(text, sizeof text, "before call %d that changes files%s", moment->nth,
                 moment->writes ? "" : ", writes not counted");
    else
        snprintf(text, sizeof text, "%.2f ms after the start", 1e3 * moment->delay);
    return text;
}

/* Opening counts where it creates or truncates, writing where it goes to no standard stream. */
static bool changes_files(const struct __ptrace_syscall_info *info, bool writes) {
    long number = (long)info->entry.nr;
    if (number == SYS_openat)
        return info->entry.args[2] & (O_CREAT | O_TRUNC);
    if (number == SYS_write)
        return writes && info->entry.args[0] > STDERR_FILENO;
    bool found = false;
    for (int i = 0; i < COUNT(calls); i++)
        found |= calls[i] == number;
    return found;
}

/* Lets a traced process go on to the moment; false: it ends before. Counts moment->nth down. */
static bool run_to_call(struct process *process, struct moment *moment) {
    for (int signal = 0;;) {
        struct __ptrace_syscall_info info;
        ck_assert_int_eq(ptrace(PTRACE_SYSCALL, process->pid, NULL, signal), 0);
        ck_assert_int_eq(waitpid(process->pid, &process->status, 0), process->pid);
        process->over = !WIFSTOPPED(process->status);
        if (process->over)
            return false;
        signal = WSTOPSIG(process->status);
        if (signal == (SIGTRAP | 0x80)) {
            signal = 0;
            ck_assert_int_gt(ptrace(PTRACE_GET_SYSCALL_INFO, process->pid, sizeof info, &info), 0);
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY && changes_files(&info, moment->writes) && --moment->nth == 0)
                return true;
        } else if (signal == SIGTRAP) {
            signal = 0; /* another execv */
        }
    }
}

/* Waits for the moment; false: the process ends before. */
static bool wait_for(struct process *process, struct moment moment) {
    if (process->traced)
        return run_to_call(process, &moment);
    struct pollfd ended = {process->ended, POLLIN, 0};
    struct timespec timeout = {(time_t)moment.delay, (long)(1e9 * (moment.delay - floor(moment.delay)))};
    return ppoll(&ended, 1, &timeout, NULL) == 0;
}

/* Of an uninterrupted training: seconds, calls without writes, and with them. */
static double whole_time;
static int whole_calls[2];
static bool tracing;

/* Half of the moments are spread over a part of the time that a whole training takes, half over its calls. Early ones
 * are likelier, so that a run is killed several times before it gets through. */
static struct moment draw_moment(void) {
    if (!tracing || rng_below(&rng, 2))
        return (struct moment){.delay = rng_uniform(&rng) * rng_uniform(&rng) * whole_time};
    bool writes = rng_below(&rng, 3) == 0;
    return (struct moment){.nth = 1 + (int)rng_below(&rng, 1 + rng_below(&rng, (uint32_t)whole_calls[writes])),
                           .writes = writes};
}

static void train_whole(const char *dir, int threads, const char *more) {
    struct process process = start_training(dir, threads, more, false);
    expect_success(finish(&process));
}

static void count_calls(void) {
    for (int writes = 0; tracing && writes < 2; writes++) {
        struct moment never = {.nth = INT_MAX, .writes = writes};
        struct process process = start_training("counted", 1, writes ? "--overwrite" : NULL, true);
        run_to_call(&process, &never);
        expect_success(finish(&process));
        whole_calls[writes] = INT_MAX - never.nth;
    }
}

/* --- What a kill leaves ------------------------------------------------------------------------------------------ */

/* Tensors of all iterations, as an uninterrupted run has them. */
static struct tensor_file whole_tensors[ITERATIONS + 1];
static const char *const whole_runs[THREADS_MAX + 1] = {NULL, "whole-1", "whole-2"};

static void make_whole_runs(void) {
    train_whole("every", 1, "--set train.checkpoint_every=1 --set train.keep=0");
    for (int i = 1; i <= ITERATIONS; i++) {
        struct error err;
        EXPECT(tensor_file_read(&whole_tensors[i], checkpoint("every", i), &err), "%s", err.text);
    }
    for (int threads = 1; threads <= THREADS_MAX; threads++) {
        double start = clock_seconds();
        train_whole(whole_runs[threads], threads, NULL);
        whole_time = fmax(whole_time, clock_seconds() - start);
    }
    count_calls();
}

static size_t tensor_bytes(const struct stored_tensor *tensor) {
    size_t count = 1;
    for (int d = 0; d < tensor->dims; d++)
        count *= (size_t)tensor->shape[d];
    return count * sizeof(real);
}

/* Whatever is under a checkpoint's name is whole and is the checkpoint of that iteration. */
static void check_checkpoint(const char *dir, int iteration) {
    struct tensor_file file;
    struct error err;
    const struct tensor_file *whole = &whole_tensors[iteration];
    EXPECT(tensor_file_read(&file, checkpoint(dir, iteration), &err), "%s", err.text);
    EXPECT(file.tensor_count == whole->tensor_count, "iteration %d: %d tensors", iteration, file.tensor_count);
    for (int i = 0; i < file.tensor_count; i++) {
        const struct stored_tensor *a = &file.tensors[i], *b = &whole->tensors[i];
        bool equal = !strcmp(a->name, b->name) && tensor_bytes(a) == tensor_bytes(b) &&
                     !memcmp(a->data, b->data, tensor_bytes(a));
        EXPECT(equal, "iteration %d: tensor %s differs from the uninterrupted run's", iteration, a->name);
    }
    tensor_file_free(&file);
}

/* The rows of a table are the first ones of the uninterrupted run's. */
static void check_table(const char *dir, const char *name) {
    char *rows = without_times(in(dir, name)), *whole = without_times(in(whole_runs[1], name));
    EXPECT(!strncmp(rows, whole, strlen(rows)), "%s: its rows are not those of the uninterrupted run", name);
    free(rows);
    free(whole);
}

static void check_link(const char *dir, const char *name) {
    struct stat status;
    const char *path = in(dir, name);
    EXPECT(!disk_exists(path) || stat(path, &status) == 0, "%s points to a file that is not there", name);
}

/* Holds at any instant: checkpoints are whole, links point to some, tables have whole rows up to the newest
 * checkpoint's iteration at least. Returns that iteration; 0: there is none. Those up to `seen` are not read again. */
static int check_folder(const char *dir, int seen) {
    int iterations[ITERATIONS + 1];
    for (int i = list_checkpoints(dir, iterations); i-- > 0;)
        if (iterations[i] > seen)
            check_checkpoint(dir, iterations[i]);
    check_link(dir, "checkpoints/latest.safetensors.gz");
    check_link(dir, "checkpoints/best.safetensors.gz");
    check_table(dir, "train.csv");
    check_table(dir, "eval.csv");
    int newest = newest_checkpoint(dir), last_row = last_iteration(in(dir, "train.csv"));
    EXPECT(last_row >= newest, "train.csv ends at iteration %d, but there is a checkpoint of %d", last_row, newest);
    return newest;
}

/* --- Where kills fall -------------------------------------------------------------------------------------------- */

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

static const char *const phase_names[] = {
    "before there was a folder",
    "starting: spec, data, checkpoint",
    "writing spec.yaml",
    "cutting tables back",
    "writing a checkpoint",
    "making a link",
    "checkpoint in place, latest not there",
    "removing old checkpoints",
    "training, testing",
};

/* What tells a process's own traces from those of one killed before it. */
struct traces {
    off_t log, table;
    bool new_spec;
};

static struct traces traces_in(const char *dir) {
    return (struct traces){
        .log = size_of(in(dir, "run.log")),
        .table = size_of(in(dir, "train.csv")),
        .new_spec = disk_exists(in(dir, "spec.yaml.tmp")),
    };
}

/* Whether the folder below DIR has a file like that. */
static bool holds(const char *dir, const char *pattern) {
    DIR *entries = opendir(dir);
    bool found = false;
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        found |= !fnmatch(pattern, entry->d_name, 0);
    if (entries)
        closedir(entries);
    return found;
}

static bool latest_is_newest(const char *dir) {
    char target[PATH_MAX] = "";
    if (readlink(in(dir, "checkpoints/latest.safetensors.gz"), target, sizeof target - 1) < 0)
        return newest_checkpoint(dir) == 0;
    return strstr(checkpoint(dir, newest_checkpoint(dir)), target) != NULL;
}

static enum phase phase_of(const char *dir, struct traces before) {
    int iterations[ITERATIONS + 1];
    struct traces now = traces_in(dir);
    if (!disk_exists(in(dir, "checkpoints")))
        return NO_FOLDER;
    if (now.new_spec && !before.new_spec)
        return WRITING_SPEC;
    if (now.log <= before.log)
        return now.table < before.table ? CUTTING_TABLES : STARTING;
    if (holds(in(dir, "checkpoints"), "iteration-*.tmp"))
        return WRITING_CHECKPOINT;
    if (disk_exists(in(dir, "checkpoints/link.tmp")))
        return LINKING;
    if (!latest_is_newest(dir))
        return CHECKPOINT_IN_PLACE;
    return list_checkpoints(dir, iterations) > KEEP + 1 ? PRUNING : TRAINING;
}

static int phases[PHASES];

static void print_phases(const char *what, int kills, int runs) {
    printf("%s: %d in %d runs, SPHERENET_KILL_SEED=%llu\n", what, kills, runs, (unsigned long long)seed);
    for (int i = 0; i < PHASES; i++)
        if (phases[i])
            printf("  %4d %s\n", phases[i], phase_names[i]);
    fflush(stdout);
}

/* --- What a whole run leaves ------------------------------------------------------------------------------------- */

/* The first line that differs. */
static void expect_same_text(const char *text, const char *whole, const char *what) {
    size_t same = 0, line = 0;
    for (; text[same] && text[same] == whole[same]; same++)
        line = text[same] == '\n' ? same + 1 : line;
    EXPECT(text[same] == whole[same], "%s: \"%.*s\" where the uninterrupted run has \"%.*s\"", what,
           (int)strcspn(text + line, "\n"), text + line, (int)strcspn(whole + line, "\n"), whole + line);
}

static void expect_same_table(const char *dir, const char *whole, const char *name) {
    char *a = without_times(in(dir, name)), *b = without_times(in(whole, name));
    expect_same_text(a, b, name);
    free(a);
    free(b);
}

/* The curves, the spec, and the checkpoints that latest and best name. */
static void expect_same_results(const char *dir, const char *whole) {
    static const char *const links[] = {"checkpoints/latest.safetensors.gz", "checkpoints/best.safetensors.gz"};
    expect_same_table(dir, whole, "train.csv");
    expect_same_table(dir, whole, "eval.csv");
    EXPECT(equal_files(in(dir, "spec.yaml"), in(whole, "spec.yaml")), "spec.yaml differs");
    for (int i = 0; i < COUNT(links); i++) {
        char *target = realpath(in(dir, links[i]), NULL), *whole_target = realpath(in(whole, links[i]), NULL);
        bool same = target && whole_target && !strcmp(strrchr(target, '/'), strrchr(whole_target, '/'));
        EXPECT(same, "%s is %s, in the uninterrupted run %s", links[i], target, whole_target);
        EXPECT(equal_files(target, whole_target), "%s differs", target);
        free(target);
        free(whole_target);
    }
    EXPECT(!holds(dir, "*.tmp") && !holds(in(dir, "checkpoints"), "*.tmp"), "left over:\n%s", list_files(dir, false));
}

/* That, and the same files, byte for byte. */
static void expect_same_run(const char *dir, const char *whole) {
    int iterations[ITERATIONS + 1];
    expect_same_results(dir, whole);
    expect_same_text(list_files(dir, false), list_files(whole, false), "files");
    for (int i = list_checkpoints(whole, iterations); i-- > 0;)
        EXPECT(equal_files(checkpoint(dir, iterations[i]), checkpoint(whole, iterations[i])), "checkpoint %d differs",
               iterations[i]);
}

/* --- Killing ----------------------------------------------------------------------------------------------------- */

/* How a run begins: in no folder, or over a finished run. */
static const char *begin_run(const char *dir) {
    if (rng_below(&rng, 4) == 0 && newest_checkpoint(dir) == ITERATIONS)
        return "--overwrite";
    disk_remove(dir);
    return NULL;
}

static bool nothing_to_resume(int status) {
    char *errors = disk_read("errors.txt", NULL);
    bool nothing = WIFEXITED(status) && WEXITSTATUS(status) == 1 && strstr(errors, ": there is no run to resume; ");
    free(errors);
    return nothing;
}

/* Kills one run again and again until it gets through, then compares it; returns the number of kills. */
static int kill_run(const char *dir, int threads, int kills_before, const char *what) {
    const char *mode = begin_run(dir);
    int newest = 0;
    for (int kills = 0;;) {
        struct moment moment = draw_moment();
        struct traces before = traces_in(dir);
        set_context("%s, kill %d, the run's %d., %s, %s", what, kills_before + kills + 1, kills + 1,
                    mode ? mode : "begun", moment_text(&moment));
        struct process process = start_training(dir, threads, mode, moment.nth > 0);
        if (wait_for(&process, moment))
            kill(process.pid, SIGKILL);
        int status = finish(&process);
        if (WIFSIGNALED(status)) {
            kills++;
            phases[phase_of(dir, before)]++;
            int now = check_folder(dir, newest);
            EXPECT(now >= newest, "the newest checkpoint was %d and is %d", newest, now);
            newest = now;
            mode = "--resume";
        } else if (mode && nothing_to_resume(status)) {
            mode = NULL;
        } else {
            expect_success(status);
            expect_same_run(dir, whole_runs[threads]);
            return kills;
        }
    }
}

/* The number of kills; tests of slower variants of the program do with fewer. */
static int kills_wanted(int share) {
    const char *wanted = getenv("SPHERENET_KILLS");
    int kills = wanted ? atoi(wanted) : strstr(program, "/release/") ? 300 : 20;
    return kills * share / 100;
}

static void kill_runs(const char *what, int threads, int share) {
    int kills = 0, runs = 0, wanted = kills_wanted(share);
    make_whole_runs();
    for (; kills < wanted; runs++)
        kills += kill_run("run", threads, kills, what);
    print_phases(what, kills, runs);
}

START_TEST(no_kill_loses_work) {
    kill_runs("kills", 1, 90);
}
END_TEST

START_TEST(no_kill_of_several_threads_loses_work) {
    kill_runs("kills of two threads", 2, 10);
}
END_TEST

/* One kill for each, or each so manieth, call that changes a name or a size, and a resume that goes to the end. */
START_TEST(no_call_is_a_bad_place_to_die) {
    if (!tracing)
        return;
    make_whole_runs();
    int wanted = kills_wanted(20), kills = 0;
    int stride = wanted < whole_calls[0] ? whole_calls[0] / wanted : 1;
    for (int nth = 1 + (int)rng_below(&rng, (uint32_t)stride); nth <= whole_calls[0]; nth += stride, kills++) {
        set_context("before call %d", nth);
        disk_remove("run");
        struct process process = start_training("run", 1, NULL, true);
        EXPECT(wait_for(&process, (struct moment){.nth = nth}), "the training ended early");
        kill(process.pid, SIGKILL);
        finish(&process);
        check_folder("run", 0);
        process = start_training("run", 1, "--resume", false);
        int status = finish(&process);
        if (nothing_to_resume(status))
            train_whole("run", 1, NULL);
        else
            expect_success(status);
        expect_same_run("run", whole_runs[1]);
    }
    printf("kills before %d of the %d calls that change names and sizes\n", kills, whole_calls[0]);
}
END_TEST

/* --- Signals ----------------------------------------------------------------------------------------------------- */

/* Takes a process that run_to_call has stopped off the leash. */
static void let_go(struct process *process) {
    if (process->traced)
        ck_assert_int_eq(ptrace(PTRACE_DETACH, process->pid, NULL, NULL), 0);
    process->traced = false;
}

static void send_signal(struct process *process, int number) {
    kill(process->pid, number);
    let_go(process);
}

static bool says(const char *path, const char *part) {
    char *text = disk_read(path, NULL);
    bool found = text && strstr(text, part);
    free(text);
    return found;
}

/* The signals that end a training say so in the exit status, after a checkpoint of the last row's iteration. A process
 * that has not yet read its spec knows nothing of signals. */
static void check_signalled(const char *dir, int status, int number, bool twice, struct traces before) {
    enum phase phase = phase_of(dir, before);
    if (WIFSIGNALED(status)) {
        bool killed = number == SIGUSR1 && twice && WTERMSIG(status) == SIGKILL;
        EXPECT(killed || WTERMSIG(status) == number, "ended by signal %d", WTERMSIG(status));
        EXPECT(killed || phase == NO_FOLDER || phase == STARTING, "killed by the signal while %s", phase_names[phase]);
        return;
    }
    EXPECT(number != SIGUSR1 && WEXITSTATUS(status) == 128 + number, "exit status %d: %s", WEXITSTATUS(status),
           disk_read("errors.txt", NULL));
    if (twice)
        return;
    int newest = newest_checkpoint(dir), last_row = last_iteration(in(dir, "train.csv"));
    EXPECT(newest == last_row, "the newest checkpoint is %d, the last row %d", newest, last_row);
    EXPECT(says("output.txt", " --resume\n"), "does not say how to go on");
    EXPECT(latest_is_newest(dir) && !holds(in(dir, "checkpoints"), "*.tmp"), "left so:\n%s", list_files(dir, false));
}

/* Ends one run again and again with a signal, now and then with two (after SIGUSR1, with SIGKILL), until it gets
 * through, then compares what it leaves; returns the number of times. */
static int signal_run(const char *dir, int number, int times_before) {
    const char *mode = begin_run(dir);
    for (int times = 0;;) {
        struct moment moment = draw_moment();
        struct traces before = traces_in(dir);
        bool twice = rng_below(&rng, 3) < (number == SIGUSR1 ? 2 : 1);
        set_context("%s, time %d, %s, %s%s", strsignal(number), times_before + times + 1, mode ? mode : "begun",
                    moment_text(&moment), twice ? ", and another signal" : "");
        struct process process = start_training(dir, 1, mode, moment.nth > 0);
        if (wait_for(&process, moment)) {
            send_signal(&process, number);
            times++;
            if (twice) {
                struct moment next = {.delay = rng_uniform(&rng) * (number == SIGUSR1 ? whole_time : 3e-3)};
                if (wait_for(&process, next))
                    kill(process.pid, number == SIGUSR1 ? SIGKILL : number);
            }
        }
        int status = finish(&process);
        if (mode && nothing_to_resume(status)) {
            mode = NULL;
        } else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            expect_same_results(dir, whole_runs[1]);
            return times;
        } else {
            check_signalled(dir, status, number, twice, before);
            check_folder(dir, 0);
            mode = "--resume";
        }
    }
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};

START_TEST(no_signal_loses_work) {
    int times = 0, runs = 0, wanted = kills_wanted(10);
    make_whole_runs();
    for (; times < wanted; runs++)
        times += signal_run("run", signals[_i], times);
    printf("%s: %d times in %d runs, SPHERENET_KILL_SEED=%llu\n", strsignal(signals[_i]), times, runs,
           (unsigned long long)seed);
}
END_TEST

START_TEST(a_signal_asks_for_a_checkpoint) {
    static const char *const none = "--set train.checkpoint_every=0 --set train.eval_every=0";
    int iterations[ITERATIONS + 1];
    if (!tracing)
        return;
    struct process process = start_training("run", 1, none, true);
    do {
        struct moment moment = {.writes = true, .nth = 1};
        EXPECT(run_to_call(&process, &moment), "ended early: %s", disk_read("errors.txt", NULL));
    } while (last_iteration("run/train.csv") < 3);
    /* To the thread that trains: another may have to wait for a processor before it can take the signal. */
    ck_assert_int_eq(syscall(SYS_tgkill, process.pid, process.pid, SIGUSR1), 0);
    let_go(&process);
    expect_success(finish(&process));
    EXPECT(list_checkpoints("run", iterations) == 2, "files:\n%s", list_files("run", true));
    EXPECT(iterations[0] + iterations[1] < ITERATIONS + 6, "files:\n%s", list_files("run", true));
}
END_TEST

/* --- Two processes ----------------------------------------------------------------------------------------------- */

static void expect_refused(const char *dir, const char *mode, const char *message) {
    set_context("a second process, %s", mode ? mode : "without --resume and --overwrite");
    struct process process = start_training(dir, 1, mode, false);
    int status = finish(&process);
    char *errors = disk_read("errors.txt", NULL);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 1 && strstr(errors, message), "status %x: %s", (unsigned)status,
           errors);
    free(errors);
}

START_TEST(a_folder_in_use_is_left_alone) {
    static const char *const in_use = "run: another process is training in this folder\n";
    make_whole_runs();
    struct process process = start_training("run", 1, NULL, tracing);
    struct moment moment = {.nth = whole_calls[0] / 2, .delay = whole_time / 2};
    EXPECT(wait_for(&process, moment), "the training ended early");
    if (!tracing)
        kill(process.pid, SIGSTOP);
    const char *before = list_files("run", true);
    expect_refused("run", NULL, "run: there is a run already; ");
    expect_refused("run", "--resume", in_use);
    expect_refused("run", "--overwrite", in_use);
    expect_same_text(list_files("run", true), before, "files of the run");
    let_go(&process);
    kill(process.pid, SIGCONT);
    expect_success(finish(&process));
    expect_same_run("run", whole_runs[1]);
}
END_TEST

/* A process finds no run, waits, and makes its folder when another one has begun and finished a run there. */
START_TEST(a_run_that_came_in_between_is_left_alone) {
    if (!tracing)
        return;
    make_whole_runs();
    struct process late = start_training("run", 1, NULL, true);
    struct moment first = {.nth = 1};
    EXPECT(run_to_call(&late, &first), "ended early");
    train_whole("run", 1, NULL);
    let_go(&late);
    int status = finish(&late);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %x", (unsigned)status);
    expect_same_run("run", whole_runs[1]);
}
END_TEST

/* --- tools/soak -------------------------------------------------------------------------------------------------- */

/* In place of the program: a run that is damaged in every way that the soak looks for. */
static const char *const damaged_program =
    "#!/bin/sh\n"
    "while [ \"$1\" != --run-dir ]; do shift; done\n"
    "cp -r whole-1 \"$2\" && cd \"$2\" || exit 1\n"
    "sed -i '3p' train.csv\n"
    "printf '25,6.25' >>eval.csv\n"
    "truncate -s -100 checkpoints/iteration-00000021.*\n"
    "touch checkpoints/link.tmp\n"
    "ln -sf iteration-00000021.safetensors.gz checkpoints/latest.safetensors.gz\n"
    "exec sleep 60\n";

START_TEST(the_soak_finds_what_is_wrong) {
    static const char *const mistakes[] = {
        "train.csv:4: iteration 2 comes after 2\n",
        "eval.csv: the last row is cut off\n",
        "iteration-00000021.safetensors.gz: Compressed file ended before",
        "latest.safetensors.gz: points to iteration-00000021.safetensors.gz, not to iteration-00000024",
        "link.tmp: left over\n",
    };
    if (!disk_exists("/usr/bin/python3"))
        return;
    train_whole("whole-1", 1, NULL);
    FILE *file = fopen("damaged", "w");
    ck_assert(file && fputs(damaged_program, file) >= 0 && fclose(file) == 0 && chmod("damaged", 0777) == 0);
    int status =
        system(arena_printf(&arena,
                            "SPHERENET=./damaged '%s/tools/soak' spec.yaml --run-dir soaked --minutes 0.02 --settle 0 "
                            "--every 0.3 >output.txt 2>errors.txt",
                            home));
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %x", (unsigned)status);
    for (int i = 0; i < COUNT(mistakes); i++)
        EXPECT(says("errors.txt", mistakes[i]), "\"%s\" is not in \"%s\"", mistakes[i], disk_read("errors.txt", NULL));
    EXPECT(says("output.txt", "resident memory: "), "does not tell memory");
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

static uint64_t choose_seed(void) {
    const char *wanted = getenv("SPHERENET_KILL_SEED");
    return wanted ? strtoull(wanted, NULL, 10) : (uint64_t)(clock_seconds() * 1e6) % 1000000;
}

static void enter_folder(void) {
    const char *path = getenv("SPHERENET");
    /* Check's handlers kill the test, and a signal may come to a training before it has begun to be one. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    program = realpath(path ? path : "build/release/spherenet", NULL);
    ck_assert_msg(program != NULL, "no program to test; SPHERENET names it");
    unsetenv(BLAS_CORE_VARIABLE);
    setenv("GOMP_SPINCOUNT", "20000", 0); /* or the program starts itself over */
    seed = choose_seed();
    rng = rng_stream(seed, RNG_TEST, 0, 0);
    tracing = can_trace();
    ck_assert_ptr_nonnull(getcwd(home, sizeof home));
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/spherenet-test-kill-XXXXXX", temporary ? temporary : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    FILE *file = fopen("spec.yaml", "w");
    ck_assert(file && fputs(spec, file) >= 0 && fclose(file) == 0);
}

static void leave_folder(void) {
    ck_assert_int_eq(chdir(home), 0);
    disk_remove(folder);
    for (int i = 0; i <= ITERATIONS; i++)
        tensor_file_free(&whole_tensors[i]);
    text_free(&context);
    free((char *)program);
    arena_free(&arena);
}

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, enter_folder, leave_folder);
    tcase_set_timeout(tests, 0); /* the time depends on SPHERENET_KILLS */
    suite_add_tcase(suite, tests);
    return tests;
}

Suite *test_suite(void) {
    Suite *suite = suite_create("kill");
    TCase *kills = add_case(suite, "kills");
    tcase_add_test(kills, no_kill_loses_work);
    tcase_add_test(kills, no_kill_of_several_threads_loses_work);
    tcase_add_test(kills, no_call_is_a_bad_place_to_die);
    TCase *asked = add_case(suite, "signals");
    tcase_add_loop_test(asked, no_signal_loses_work, 0, COUNT(signals));
    tcase_add_test(asked, a_signal_asks_for_a_checkpoint);
    TCase *two = add_case(suite, "two processes");
    tcase_add_test(two, a_folder_in_use_is_left_alone);
    tcase_add_test(two, a_run_that_came_in_between_is_left_alone);
    tcase_add_test(add_case(suite, "soak"), the_soak_finds_what_is_wrong);
    return suite;
}
