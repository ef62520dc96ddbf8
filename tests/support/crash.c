#define _GNU_SOURCE /* nftw, ppoll */
#include "support/crash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
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
#include "base/text.h"
#include "machine/openblas.h"
#include "support/compare.h"
#include "support/tensor_file.h"

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

struct rng rng;
uint64_t seed;
bool tracing;

static const char *program;
static struct text context;

void __attribute__((format(printf, 2, 3), noreturn)) fail_here(int line, const char *format, ...) {
    char what[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    ck_abort_msg("line %d: SPHERENET_KILL_SEED=%llu, %s: %s\n(see %s)", line, (unsigned long long)seed,
                 context.data ? context.data : "", what, folder);
}

void __attribute__((format(printf, 1, 2))) set_context(const char *format, ...) {
    char what[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    text_free(&context);
    text_printf(&context, "%s", what);
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

static off_t size_of(const char *path) {
    struct stat status;
    return stat(path, &status) ? -1 : status.st_size;
}

const char *in(const char *dir, const char *name) {
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

const char *list_files(const char *dir, bool sizes) {
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

/* Whole rows only, as the program promises; of the arena. No table: no text. */
static char *whole_rows(const char *path) {
    if (!disk_exists(path))
        return arena_string(&arena, "");
    const char *table = read_text(path);
    EXPECT_HERE(!*table || table[strlen(table) - 1] == '\n', "%s: its last row is cut off", path);
    char *kept = table_without_times(table, path), *copy = arena_string(&arena, kept);
    free(kept);
    return copy;
}

int last_iteration(const char *path) {
    const char *table = whole_rows(path);
    int last = 0;
    for (const char *line = table; *line; line += strcspn(line, "\n") + 1)
        sscanf(line, "%d,", &last);
    return last;
}

int list_checkpoints(const char *dir, int iterations[ITERATIONS + 1]) {
    DIR *checkpoints = opendir(in(dir, "checkpoints"));
    int count = 0;
    for (struct dirent *entry; checkpoints && (entry = readdir(checkpoints));) {
        int end = 0;
        EXPECT_HERE(count <= ITERATIONS, "more checkpoints than iterations");
        if (sscanf(entry->d_name, "iteration-%8d.safetensors.gz%n", &iterations[count], &end) == 1 && end &&
            !entry->d_name[end])
            count++;
    }
    if (checkpoints)
        closedir(checkpoints);
    return count;
}

int newest_checkpoint(const char *dir) {
    int iterations[ITERATIONS + 1], newest = 0;
    for (int i = list_checkpoints(dir, iterations); i-- > 0;)
        newest = iterations[i] > newest ? iterations[i] : newest;
    return newest;
}

const char *checkpoint_in(const char *dir, int iteration) {
    char name[64];
    snprintf(name, sizeof name, "checkpoints/iteration-%08d.safetensors.gz", iteration);
    return in(dir, name);
}

bool holds(const char *dir, const char *pattern) {
    DIR *entries = opendir(dir);
    bool found = false;
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        found |= !fnmatch(pattern, entry->d_name, 0);
    if (entries)
        closedir(entries);
    return found;
}

bool latest_is_newest(const char *dir) {
    char target[PATH_MAX] = "";
    if (readlink(in(dir, "checkpoints/latest.safetensors.gz"), target, sizeof target - 1) < 0)
        return newest_checkpoint(dir) == 0;
    return strstr(checkpoint_in(dir, newest_checkpoint(dir)), target) != NULL;
}

bool says(const char *path, const char *part) {
    char *text = disk_read(path, NULL);
    bool found = text && strstr(text, part);
    free(text);
    return found;
}

/* --- Processes --------------------------------------------------------------------------------------------------- */

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

struct process start_training(const char *dir, int threads, const char *more, bool traced) {
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

int finish(struct process *process) {
    while (!process->over) {
        pid_t pid = waitpid(process->pid, &process->status, 0);
        ck_assert(pid == process->pid || errno == EINTR);
        process->over = pid == process->pid && !WIFSTOPPED(process->status);
    }
    close(process->ended);
    return process->status;
}

void expect_success(int status) {
    EXPECT_HERE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the training ended with status %x: %s",
                (unsigned)status, disk_read("errors.txt", NULL));
}

bool nothing_to_resume(int status) {
    char *errors = disk_read("errors.txt", NULL);
    bool nothing = WIFEXITED(status) && WEXITSTATUS(status) == 1 && strstr(errors, ": there is no run to resume; ");
    free(errors);
    return nothing;
}

void let_go(struct process *process) {
    if (process->traced)
        ck_assert_int_eq(ptrace(PTRACE_DETACH, process->pid, NULL, NULL), 0);
    process->traced = false;
}

/* --- Instants ---------------------------------------------------------------------------------------------------- */

/* Calls of the kernel that change files. */
static const long calls[] = {
    SYS_mkdirat, SYS_renameat, SYS_renameat2, SYS_symlinkat, SYS_unlinkat, SYS_ftruncate, SYS_fsync,
#ifdef SYS_rename
    SYS_mkdir,   SYS_rename,   SYS_symlink,   SYS_unlink,
#endif
};

const char *moment_text(const struct moment *moment) {
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

bool run_to_call(struct process *process, struct moment *moment) {
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

bool wait_for(struct process *process, struct moment moment) {
    if (process->traced)
        return run_to_call(process, &moment);
    struct pollfd ended = {process->ended, POLLIN, 0};
    struct timespec timeout = {(time_t)moment.delay, (long)(1e9 * (moment.delay - floor(moment.delay)))};
    return ppoll(&ended, 1, &timeout, NULL) == 0;
}

double whole_time;
int whole_calls[2];

struct moment draw_moment(void) {
    if (!tracing || rng_below(&rng, 2))
        return (struct moment){.delay = rng_uniform(&rng) * rng_uniform(&rng) * whole_time};
    bool writes = rng_below(&rng, 3) == 0;
    return (struct moment){.nth = 1 + (int)rng_below(&rng, 1 + rng_below(&rng, (uint32_t)whole_calls[writes])),
                           .writes = writes};
}

void train_whole(const char *dir, int threads, const char *more) {
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

const char *const whole_runs[THREADS_MAX + 1] = {NULL, "whole-1", "whole-2"};

void make_whole_runs(void) {
    train_whole("every", 1, "--set train.checkpoint_every=1 --set train.keep=0");
    for (int i = 1; i <= ITERATIONS; i++) {
        struct error err;
        EXPECT_HERE(tensor_file_read(&whole_tensors[i], checkpoint_in("every", i), &err), "%s", err.text);
    }
    for (int threads = 1; threads <= THREADS_MAX; threads++) {
        double start = clock_seconds();
        train_whole(whole_runs[threads], threads, NULL);
        whole_time = fmax(whole_time, clock_seconds() - start);
    }
    count_calls();
}

/* Whatever is under a checkpoint's name is whole and is the checkpoint of that iteration. */
static void check_checkpoint(const char *dir, int iteration) {
    struct tensor_file file;
    struct error err;
    const struct tensor_file *whole = &whole_tensors[iteration];
    EXPECT_HERE(tensor_file_read(&file, checkpoint_in(dir, iteration), &err), "%s", err.text);
    EXPECT_HERE(file.tensor_count == whole->tensor_count, "iteration %d: %d tensors", iteration, file.tensor_count);
    for (int i = 0; i < file.tensor_count; i++) {
        const struct stored_tensor *a = &file.tensors[i], *b = &whole->tensors[i];
        bool equal = !strcmp(a->name, b->name) && tensor_bytes(a) == tensor_bytes(b) &&
                     !memcmp(a->data, b->data, tensor_bytes(a));
        EXPECT_HERE(equal, "iteration %d: tensor %s differs from the uninterrupted run's", iteration, a->name);
    }
    tensor_file_free(&file);
}

/* The rows of a table are the first ones of the uninterrupted run's. */
static void check_table(const char *dir, const char *name) {
    const char *rows = whole_rows(in(dir, name)), *whole = whole_rows(in(whole_runs[1], name));
    EXPECT_HERE(!strncmp(rows, whole, strlen(rows)), "%s: its rows are not those of the uninterrupted run", name);
}

static void check_link(const char *dir, const char *name) {
    struct stat status;
    const char *path = in(dir, name);
    EXPECT_HERE(!disk_exists(path) || stat(path, &status) == 0, "%s points to a file that is not there", name);
}

int check_folder(const char *dir, int seen) {
    int iterations[ITERATIONS + 1];
    for (int i = list_checkpoints(dir, iterations); i-- > 0;)
        if (iterations[i] > seen)
            check_checkpoint(dir, iterations[i]);
    check_link(dir, "checkpoints/latest.safetensors.gz");
    check_link(dir, "checkpoints/best.safetensors.gz");
    check_table(dir, "train.csv");
    check_table(dir, "eval.csv");
    int newest = newest_checkpoint(dir), last_row = last_iteration(in(dir, "train.csv"));
    EXPECT_HERE(last_row >= newest, "train.csv ends at iteration %d, but there is a checkpoint of %d", last_row,
                newest);
    return newest;
}

/* --- Where kills fall -------------------------------------------------------------------------------------------- */

const char *const phase_names[PHASES] = {
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

struct traces traces_in(const char *dir) {
    return (struct traces){
        .log = size_of(in(dir, "run.log")),
        .table = size_of(in(dir, "train.csv")),
        .new_spec = disk_exists(in(dir, "spec.yaml.tmp")),
    };
}

enum phase phase_of(const char *dir, struct traces before) {
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

/* --- What a whole run leaves ------------------------------------------------------------------------------------- */

void expect_same_here(const char *text, const char *whole, const char *what) {
    size_t same = 0, line = 0;
    for (; text[same] && text[same] == whole[same]; same++)
        line = text[same] == '\n' ? same + 1 : line;
    EXPECT_HERE(text[same] == whole[same], "%s: \"%.*s\" where the uninterrupted run has \"%.*s\"", what,
                (int)strcspn(text + line, "\n"), text + line, (int)strcspn(whole + line, "\n"), whole + line);
}

static void expect_same_table(const char *dir, const char *whole, const char *name) {
    expect_same_here(whole_rows(in(dir, name)), whole_rows(in(whole, name)), name);
}

void expect_same_results(const char *dir, const char *whole) {
    static const char *const links[] = {"checkpoints/latest.safetensors.gz", "checkpoints/best.safetensors.gz"};
    expect_same_table(dir, whole, "train.csv");
    expect_same_table(dir, whole, "eval.csv");
    EXPECT_HERE(equal_files(in(dir, "spec.yaml"), in(whole, "spec.yaml")), "spec.yaml differs");
    for (int i = 0; i < COUNT(links); i++) {
        char *target = realpath(in(dir, links[i]), NULL), *whole_target = realpath(in(whole, links[i]), NULL);
        bool same = target && whole_target && !strcmp(strrchr(target, '/'), strrchr(whole_target, '/'));
        EXPECT_HERE(same, "%s is %s, in the uninterrupted run %s", links[i], target, whole_target);
        EXPECT_HERE(equal_files(target, whole_target), "%s differs", target);
        free(target);
        free(whole_target);
    }
    EXPECT_HERE(!holds(dir, "*.tmp") && !holds(in(dir, "checkpoints"), "*.tmp"), "left over:\n%s",
                list_files(dir, false));
}

void expect_same_run(const char *dir, const char *whole) {
    int iterations[ITERATIONS + 1];
    expect_same_results(dir, whole);
    expect_same_here(list_files(dir, false), list_files(whole, false), "files");
    for (int i = list_checkpoints(whole, iterations); i-- > 0;)
        EXPECT_HERE(equal_files(checkpoint_in(dir, iterations[i]), checkpoint_in(whole, iterations[i])),
                    "checkpoint %d differs", iterations[i]);
}

const char *begin_run(const char *dir) {
    if (rng_below(&rng, 4) == 0 && newest_checkpoint(dir) == ITERATIONS)
        return "--overwrite";
    disk_remove(dir);
    return NULL;
}

int kills_wanted(int share) {
    const char *wanted = getenv("SPHERENET_KILLS");
    int kills = wanted ? atoi(wanted) : strstr(program, "/release/") ? 300 : 20;
    return kills * share / 100;
}

/* --- Fixtures ---------------------------------------------------------------------------------------------------- */

static uint64_t choose_seed(void) {
    const char *wanted = getenv("SPHERENET_KILL_SEED");
    return wanted ? strtoull(wanted, NULL, 10) : (uint64_t)(clock_seconds() * 1e6) % 1000000;
}

void crash_set_up(void) {
    /* Check's handlers kill the test, and a signal may come to a training before it has begun to be one. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    program = program_path();
    unsetenv(BLAS_CORE_VARIABLE);
    setenv("GOMP_SPINCOUNT", "20000", 0); /* or the program starts over */
    seed = choose_seed();
    rng = rng_stream(seed, RNG_TEST, 0, 0);
    tracing = can_trace();
    folder_enter(NULL, "kill");
    disk_write_text("spec.yaml", spec);
}

void crash_tear_down(void) {
    for (int i = 0; i <= ITERATIONS; i++)
        tensor_file_free(&whole_tensors[i]);
    text_free(&context);
    folder_leave();
}
