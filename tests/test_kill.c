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
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "kernel/blas.h"
#include "run/safetensors.h"

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
    "    - {type: dense, name: wide, units: 1024}\n"
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

/* Everything of the file, NUL-terminated, to be freed; NULL: there is none. */
static char *read_file(const char *path, size_t *size) {
    struct text text = {0};
    char bytes[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    text_add(&text, "", 0);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, file));)
        text_add(&text, bytes, got);
    fclose(file);
    if (size)
        *size = text.length;
    return text.data;
}

static bool equal_files(const char *path, const char *other) {
    size_t size = 0, other_size = 0;
    char *a = read_file(path, &size), *b = read_file(other, &other_size);
    bool equal = a && b && size == other_size && !memcmp(a, b, size);
    free(a);
    free(b);
    return equal;
}

static bool exists(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

static off_t size_of(const char *path) {
    struct stat status;
    return stat(path, &status) ? -1 : status.st_size;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status, (void)type, (void)place;
    return remove(path);
}

static void remove_tree(const char *path) {
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* DIR/NAME, valid until the next few calls. */
static const char *in(const char *dir, const char *name) {
    static char paths[8][PATH_MAX];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", dir, name);
    return path;
}

static struct text listed;
static const char *listed_dir;

static int list_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)place;
    if (type == FTW_SL) {
        char target[PATH_MAX] = "";
        EXPECT(readlink(path, target, sizeof target - 1) > 0, "%s cannot be read", path);
        text_printf(&listed, "%s -> %s\n", path + strlen(listed_dir), target);
    } else if (type != FTW_D) {
        text_printf(&listed, "%s %s\n", path + strlen(listed_dir),
                    fnmatch("*.safetensors.gz*", path, 0) ? ""
                                                          : arena_printf(&arena, "%lld", (long long)status->st_size));
    }
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of all files below DIR, sorted, with the targets of links and the sizes of checkpoints; of the arena. */
static const char *list_files(const char *dir) {
    char *lines[256], *place;
    int count = 0;
    listed = (struct text){0};
    listed_dir = dir;
    text_add(&listed, "", 0);
    nftw(dir, list_entry, 8, FTW_PHYS);
    for (char *line = strtok_r(listed.data, "\n", &place); line && count < 256; line = strtok_r(NULL, "\n", &place))
        lines[count++] = line;
    qsort(lines, (size_t)count, sizeof *lines, by_name);
    struct text sorted = {0};
    text_add(&sorted, "", 0);
    for (int i = 0; i < count; i++)
        text_printf(&sorted, "%s\n", lines[i]);
    const char *copy = arena_string(&arena, sorted.data);
    text_free(&sorted);
    text_free(&listed);
    return copy;
}

/* A table without its columns of time, which are the last; whole rows only, as the program promises. To be freed. */
static char *without_times(const char *path) {
    struct text kept = {0};
    char *table = read_file(path, NULL), *place;
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

static int last_iteration(const char *table) {
    int last = 0;
    for (const char *line = table; *line; line += strcspn(line, "\n") + 1)
        sscanf(line, "%d,", &last);
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
    int ended;  /* descriptor of a pipe that ends with the process */
    int events; /* inotify of the run's folder */
};

/* `spherenet train spec.yaml --run-dir DIR` and up to four more words, separated by a space or NULL; what it prints
 * goes to output.txt and errors.txt. It dies with the test. */
static struct process start_training(const char *dir, int threads, const char *more) {
    char threads_setting[32], words[256];
    snprintf(threads_setting, sizeof threads_setting, "train.threads=%d", threads);
    snprintf(words, sizeof words, "%s", more ? more : "");
    const char *arguments[12] = {"spherenet", "train", "spec.yaml", "--run-dir", dir, "--set", threads_setting};
    int count = 7, pipe_ends[2];
    for (char *word = strtok(words, " "); word && count < COUNT(arguments) - 1; word = strtok(NULL, " "))
        arguments[count++] = word;
    struct process process = {.events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    ck_assert_int_ge(process.events, 0);
    inotify_add_watch(process.events, dir, IN_ALL_EVENTS); /* which need not be there */
    inotify_add_watch(process.events, in(dir, "checkpoints"), IN_ALL_EVENTS);
    ck_assert_int_eq(pipe2(pipe_ends, 0), 0);
    process.ended = pipe_ends[0];
    process.pid = fork();
    ck_assert_int_ge(process.pid, 0);
    if (!process.pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pipe_ends[0]);
        if (!freopen("output.txt", "w", stdout) || !freopen("errors.txt", "w", stderr))
            _exit(127);
        execv(program, (char *const *)arguments);
        _exit(127);
    }
    close(pipe_ends[1]);
    return process;
}

/* The status as waitpid has it. */
static int finish(struct process *process) {
    int status;
    while (waitpid(process->pid, &status, 0) != process->pid)
        ck_assert_int_eq(errno, EINTR);
    close(process->ended);
    close(process->events);
    return status;
}

static void expect_success(int status) {
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the training ended with status %x: %s", (unsigned)status,
           read_file("errors.txt", NULL));
}

static void train_whole(const char *dir, int threads, const char *more) {
    struct process process = start_training(dir, threads, more);
    expect_success(finish(&process));
}

/* --- Instants ---------------------------------------------------------------------------------------------------- */

/* What can be seen to happen in a run's folder, and how often in a whole run. */
struct event {
    uint32_t mask;
    const char *pattern; /* of the file's name */
    const char *what;
    uint32_t times;
};

static const struct event events[] = {
    {IN_CREATE, "spec.yaml.tmp", "spec.yaml.tmp appears", 1},
    {IN_MOVED_TO, "spec.yaml", "spec.yaml is in place", 1},
    {IN_OPEN, "train.csv", "train.csv is opened", 1},
    {IN_OPEN, "eval.csv", "eval.csv is opened", 1},
    {IN_MODIFY, "train.csv", "train.csv changes", 24},
    {IN_MODIFY, "eval.csv", "eval.csv changes", 6},
    {IN_MODIFY, "run.log", "run.log changes", 12},
    {IN_OPEN, "iteration-*.gz", "a checkpoint is read", 1},
    {IN_CREATE, "iteration-*.tmp", "a checkpoint's temporary file appears", 8},
    {IN_MODIFY, "iteration-*.tmp", "a checkpoint's temporary file grows", 100},
    {IN_CLOSE_WRITE, "iteration-*.tmp", "a checkpoint's temporary file is whole", 8},
    {IN_MOVED_TO, "iteration-*.gz", "a checkpoint is in place", 8},
    {IN_CREATE, "link.tmp", "a link appears", 12},
    {IN_MOVED_TO, "latest.*", "latest changes", 8},
    {IN_MOVED_TO, "best.*", "best changes", 4},
    {IN_DELETE, "iteration-*", "a checkpoint or a temporary file is removed", 8},
    {IN_DELETE, "*.csv", "a table is removed", 2},
};

/* A random time after the start, or after the nth event. */
struct moment {
    const struct event *event; /* NULL: the start */
    int nth;                   /* from 1 */
    double delay;              /* seconds */
};

/* Half of the moments are spread over a part of the time that a whole training takes, half over the events. Small
 * numbers are likelier, so that a run is killed several times before it gets through. */
static struct moment draw_moment(double whole_time) {
    if (rng_below(&rng, 2))
        return (struct moment){.delay = rng_uniform(&rng) * rng_uniform(&rng) * whole_time};
    const struct event *event = &events[rng_below(&rng, COUNT(events))];
    int nth = 1 + (int)rng_below(&rng, 1 + rng_below(&rng, event->times));
    return (struct moment){event, nth, rng_below(&rng, 2) ? 0 : rng_uniform(&rng) * 2e-3};
}

static const char *moment_text(const struct moment *moment) {
    static char text[160];
    snprintf(text, sizeof text, "%.2f ms after %s, %d", 1e3 * moment->delay,
             moment->event ? moment->event->what : "the start", moment->nth);
    return text;
}

/* How many of the events that came meanwhile are of that kind. */
static int count_events(int inotify, const struct event *event) {
    char bytes[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    int found = 0;
    for (ssize_t got; (got = read(inotify, bytes, sizeof bytes)) > 0;) {
        for (char *at = bytes; at < bytes + got;) {
            const struct inotify_event *now = (const struct inotify_event *)at;
            found += (now->mask & event->mask) && now->len && !fnmatch(event->pattern, now->name, 0);
            at += sizeof *now + now->len;
        }
    }
    return found;
}

/* Waits for the moment; false when the process ends before. */
static bool wait_for(const struct process *process, const struct moment *moment) {
    int left = moment->event ? moment->nth : 0;
    double until = clock_seconds() + moment->delay;
    for (;;) {
        double rest = left > 0 ? 1 : until - clock_seconds();
        if (rest <= 0)
            return true;
        struct pollfd fds[] = {{process->ended, POLLIN, 0}, {process->events, POLLIN, 0}};
        struct timespec timeout = {(time_t)rest, (long)(1e9 * (rest - floor(rest)))};
        ppoll(fds, left > 0 ? 2 : 1, &timeout, NULL);
        if (fds[0].revents)
            return false;
        if (left > 0 && fds[1].revents && (left -= count_events(process->events, moment->event)) <= 0)
            until = clock_seconds() + moment->delay;
    }
}

/* --- What a kill leaves ------------------------------------------------------------------------------------------ */

/* Tensors of all iterations, as an uninterrupted run has them. */
static struct tensor_file whole_tensors[ITERATIONS + 1];
static double whole_time; /* that an uninterrupted training takes, seconds */
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

/* The rows of a table are the first ones of the uninterrupted run's; returns the last one's iteration. */
static int check_table(const char *dir, const char *name) {
    char *rows = without_times(in(dir, name)), *whole = without_times(in(whole_runs[1], name));
    EXPECT(!strncmp(rows, whole, strlen(rows)), "%s: its rows are not those of the uninterrupted run", name);
    int last = last_iteration(rows);
    free(rows);
    free(whole);
    return last;
}

static void check_link(const char *dir, const char *name) {
    struct stat status;
    const char *path = in(dir, name);
    EXPECT(!exists(path) || stat(path, &status) == 0, "%s points to a file that is not there", name);
}

/* Holds at any instant: checkpoints are whole, links point to some, tables have whole rows up to the newest
 * checkpoint's iteration at least. Returns that iteration; 0: there is none. */
static int check_folder(const char *dir) {
    int iterations[ITERATIONS + 1];
    for (int i = list_checkpoints(dir, iterations); i-- > 0;)
        check_checkpoint(dir, iterations[i]);
    check_link(dir, "checkpoints/latest.safetensors.gz");
    check_link(dir, "checkpoints/best.safetensors.gz");
    int newest = newest_checkpoint(dir), last_row = check_table(dir, "train.csv");
    check_table(dir, "eval.csv");
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

struct sizes {
    off_t log, table;
};

static struct sizes sizes_of(const char *dir) {
    return (struct sizes){size_of(in(dir, "run.log")), size_of(in(dir, "train.csv"))};
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

static enum phase phase_of(const char *dir, struct sizes before) {
    int iterations[ITERATIONS + 1];
    struct sizes now = sizes_of(dir);
    if (!exists(in(dir, "checkpoints")))
        return NO_FOLDER;
    if (exists(in(dir, "spec.yaml.tmp")))
        return WRITING_SPEC;
    if (now.log <= before.log)
        return now.table < before.table ? CUTTING_TABLES : STARTING;
    if (holds(in(dir, "checkpoints"), "iteration-*.tmp"))
        return WRITING_CHECKPOINT;
    if (exists(in(dir, "checkpoints/link.tmp")))
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
    EXPECT(!holds(dir, "*.tmp") && !holds(in(dir, "checkpoints"), "*.tmp"), "left over:\n%s", list_files(dir));
}

/* That, and the same files, byte for byte. */
static void expect_same_run(const char *dir, const char *whole) {
    int iterations[ITERATIONS + 1];
    expect_same_results(dir, whole);
    expect_same_text(list_files(dir), list_files(whole), "files");
    for (int i = list_checkpoints(whole, iterations); i-- > 0;)
        EXPECT(equal_files(checkpoint(dir, iterations[i]), checkpoint(whole, iterations[i])), "checkpoint %d differs",
               iterations[i]);
}

/* --- Killing ----------------------------------------------------------------------------------------------------- */

/* How a run begins: in no folder, in an empty one, or over a finished run. */
static const char *begin_run(const char *dir) {
    if (rng_below(&rng, 4) == 0 && newest_checkpoint(dir) == ITERATIONS)
        return "--overwrite";
    remove_tree(dir);
    if (rng_below(&rng, 2)) { /* where events can be seen from the first one on */
        ck_assert_int_eq(mkdir(dir, 0777), 0);
        ck_assert_int_eq(mkdir(in(dir, "checkpoints"), 0777), 0);
    }
    return NULL;
}

static bool nothing_to_resume(int status) {
    char *errors = read_file("errors.txt", NULL);
    bool nothing = WIFEXITED(status) && WEXITSTATUS(status) == 1 && strstr(errors, ": there is no run to resume; ");
    free(errors);
    return nothing;
}

/* Kills one run again and again until it gets through, then compares it; returns the number of kills. */
static int kill_run(const char *dir, int threads, int kills_before, const char *what) {
    const char *mode = begin_run(dir);
    int newest = 0;
    for (int kills = 0;;) {
        struct moment moment = draw_moment(whole_time);
        struct sizes before = sizes_of(dir);
        set_context("%s, kill %d, the run's %d., %s, %s", what, kills_before + kills + 1, kills + 1,
                    mode ? mode : "begun", moment_text(&moment));
        struct process process = start_training(dir, threads, mode);
        if (wait_for(&process, &moment))
            kill(process.pid, SIGKILL);
        int status = finish(&process);
        if (WIFSIGNALED(status)) {
            kills++;
            phases[phase_of(dir, before)]++;
            int now = check_folder(dir);
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
    int kills = wanted ? atoi(wanted) : strstr(program, "/release/") ? 300 : 40;
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

/* --- Suite ------------------------------------------------------------------------------------------------------- */

static uint64_t choose_seed(void) {
    const char *wanted = getenv("SPHERENET_KILL_SEED");
    return wanted ? strtoull(wanted, NULL, 10) : (uint64_t)(clock_seconds() * 1e6) % 1000000;
}

static void enter_folder(void) {
    const char *path = getenv("SPHERENET");
    program = realpath(path ? path : "build/release/spherenet", NULL);
    ck_assert_msg(program != NULL, "no program to test; SPHERENET names it");
    unsetenv(BLAS_CORE_VARIABLE);
    setenv("GOMP_SPINCOUNT", "20000", 0); /* or the program starts itself over */
    seed = choose_seed();
    rng = rng_stream(seed, RNG_TEST, 0, 0);
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
    remove_tree(folder);
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
    return suite;
}
