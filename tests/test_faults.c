/* Every call that can fail does, once: each allocation, open, read, write, fsync, rename, ... of a short training, of a
 * resumed one, and of commands beside them. Whatever fails, the program ends by itself: with status 0 and all that it
 * does without the fault, or with status 1 and a message. It leaves no file half written and no checkpoint damaged, and
 * the next run without a fault ends as if there had been none. Under AddressSanitizer nothing may leak either. */
#define _GNU_SOURCE /* unshare */
#include "runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "faults/inject.h"
#include "machine/openblas.h"
#include "support/disk.h"
#include "support/tensor_file.h"

/* Sanitized programs are slow: there one allocation of each place fails. */
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

enum { SECONDS = 10, MOST_MESSAGES = 20 };

static char folder[64], program[4096], library[4096];
static struct arena arena;   /* emptied after each run in which a call fails */
static struct arena lasting; /* until the test ends */

/* As short as it can be with all kinds of state, two checkpoints that are kept and one that is not, tests and rows. */
static const char *const spec =
    "name: tiny\n"
    "data: {type: synthetic, height: 6, width: 6, classes: 3, train_images: 12, test_images: 7, flip: true}\n"
    "network:\n"
    "  layers: [{type: sphere_conv, filters: 2}, batch_norm, {type: dense, units: 3}]\n"
    "optimizer: {type: sgd, learning_rate: 1e-2}\n"
    "train: {iterations: 6, batch_size: 4, eval_every: 3, checkpoint_every: 2, keep: 2, log_every: 1, threads: 1}\n";

static const char *const kind_names[FAULT_KINDS] = {
    [FAULT_MALLOC] = "malloc",       [FAULT_THREAD] = "pthread_create",
    [FAULT_OPEN] = "open",           [FAULT_READ] = "read",
    [FAULT_LESS_READ] = "read less", [FAULT_LIST] = "getdents",
    [FAULT_WRITE] = "write",         [FAULT_LESS_WRITTEN] = "write less",
    [FAULT_SYNC] = "fsync",          [FAULT_CLOSE] = "close",
    [FAULT_RENAME] = "rename",       [FAULT_UNLINK] = "unlink",
    [FAULT_SYMLINK] = "symlink",     [FAULT_MKDIR] = "mkdir",
    [FAULT_TRUNCATE] = "ftruncate",  [FAULT_SEEK] = "lseek",
    [FAULT_STAT] = "stat",           [FAULT_LOCK] = "flock",
    [FAULT_GONE] = "folder gone",
};

/* --- Files ------------------------------------------------------------------------------------------------------- */

static char *read_bytes(const char *path, size_t *size) {
    size_t length;
    char *bytes = disk_read(path, &length);
    ck_assert_msg(bytes != NULL, "%s cannot be opened", path);
    char *copy = memcpy(arena_alloc(&arena, length + 1), bytes, length + 1);
    free(bytes);
    if (size)
        *size = length;
    return copy;
}

static char *read_text(const char *path) {
    return read_bytes(path, NULL);
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

static char *join(const char *path, const char *name) {
    return arena_printf(&arena, "%s/%s", path, name);
}

/* Calls `visit` with each path below the folder, in the order of the names; a folder comes after what is in it. */
static void visit_all(const char *path, void (*visit)(const char *path, const struct stat *status, void *context),
                      void *context) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        struct stat status;
        char *inside = join(path, entries[i]->d_name);
        if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, "..") && lstat(inside, &status) == 0) {
            if (S_ISDIR(status.st_mode))
                visit_all(inside, visit, context);
            visit(inside, &status, context);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static char *link_target(const char *path) {
    char target[256] = "";
    ck_assert_int_gt(readlink(path, target, sizeof target - 1), 0);
    return arena_string(&arena, target);
}

struct copying {
    const char *from, *to;
};

static void copy_entry(const char *path, const struct stat *status, void *context) {
    const struct copying *copying = context;
    char *to = join(copying->to, path + strlen(copying->from) + 1);
    for (char *slash = to; (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        mkdir(to, 0777);
        *slash = '/';
    }
    size_t size;
    if (S_ISLNK(status->st_mode)) {
        ck_assert_int_eq(symlink(link_target(path), to), 0);
    } else if (S_ISREG(status->st_mode)) {
        const char *bytes = read_bytes(path, &size);
        disk_write(to, bytes, size);
    }
}

static void copy_tree(const char *from, const char *to) {
    visit_all(from, copy_entry, &(struct copying){from, to});
}

/* --- Runs -------------------------------------------------------------------------------------------------------- */

/* A table without its columns of time, which are the last. */
static char *without_times(const char *path) {
    struct text kept = {0};
    char *table = read_text(path), *place;
    int times = strstr(table, "images_per_second") ? 2 : 1;
    text_add(&kept, "", 0);
    for (char *line = strtok_r(table, "\n", &place); line; line = strtok_r(NULL, "\n", &place)) {
        for (int i = 0; i < times && strrchr(line, ','); i++)
            *strrchr(line, ',') = '\0';
        text_printf(&kept, "%s\n", line);
    }
    char *copy = arena_string(&arena, kept.data);
    text_free(&kept);
    return copy;
}

static void describe_entry(const char *path, const struct stat *status, void *context) {
    struct text *description = context;
    size_t size = 0;
    text_printf(description, "%s ", strchr(path, '/') + 1);
    if (S_ISLNK(status->st_mode)) {
        text_printf(description, "-> %s\n", link_target(path));
    } else if (ends_with(path, "/train.csv") || ends_with(path, "/eval.csv")) {
        text_printf(description, "\n%s", without_times(path));
    } else if (S_ISREG(status->st_mode) && !ends_with(path, "run.log")) {
        const char *bytes = read_bytes(path, &size);
        text_printf(description, "%zu bytes %08lx\n", size, crc32(0, (const unsigned char *)bytes, (unsigned)size));
    } else {
        text_printf(description, "\n");
    }
}

/* All that a run's folder holds, but for the log and for times. */
static char *describe(const char *run_dir) {
    struct text description = {0};
    text_add(&description, "", 0);
    visit_all(run_dir, describe_entry, &description);
    char *copy = arena_string(&arena, description.data);
    text_free(&description);
    return copy;
}

/* What keeps the two runs from having the same curves and the same newest and best checkpoint; NULL: nothing. */
static const char *difference(const char *run_dir, const char *other) {
    static const char *const names[] = {"train.csv", "eval.csv", "checkpoints/latest.safetensors.gz",
                                        "checkpoints/best.safetensors.gz"};
    for (int i = 0; i < 4; i++) {
        const char *a = join(run_dir, names[i]), *b = join(other, names[i]);
        size_t size, other_size;
        if (access(a, R_OK))
            return arena_printf(&arena, "%s cannot be read", a);
        if (i < 2 && strcmp(without_times(a), without_times(b)))
            return arena_printf(&arena, "%s is not as without a fault:\n%s", a, without_times(a));
        const char *bytes = read_bytes(a, &size), *other_bytes = read_bytes(b, &other_size);
        if (i >= 2 && (size != other_size || memcmp(bytes, other_bytes, size)))
            return arena_printf(&arena, "%s -> %s is not as without a fault", a, link_target(a));
    }
    return NULL;
}

static void find_wrong_file(const char *path, const struct stat *status, void *context) {
    const char **wrong = context;
    struct tensor_file file;
    struct error err;
    if (*wrong)
        return;
    if (ends_with(path, ".tmp")) {
        *wrong = arena_printf(&arena, "%s was left", path);
    } else if (ends_with(path, ".safetensors.gz") && S_ISREG(status->st_mode)) {
        if (tensor_file_read(&file, path, &err))
            tensor_file_free(&file);
        else
            *wrong = arena_printf(&arena, "a checkpoint cannot be read: %s", err.text);
    } else if (S_ISLNK(status->st_mode) && access(path, R_OK)) {
        *wrong = arena_printf(&arena, "%s leads nowhere", path);
    }
}

/* A file that no run may leave behind, whatever failed; NULL: none. */
static const char *wrong_file(const char *run_dir) {
    const char *wrong = NULL;
    visit_all(run_dir, find_wrong_file, &wrong);
    return wrong;
}

static bool holds_checkpoint(const char *run_dir) {
    return strstr(describe(run_dir), "checkpoints/iteration-") != NULL;
}

static bool is_begun(const char *run_dir) {
    return disk_exists(join(run_dir, "spec.yaml")) || disk_exists(join(run_dir, "train.csv")) ||
           holds_checkpoint(run_dir);
}

/* --- Faults ------------------------------------------------------------------------------------------------------ */

static struct fault_page *page;
static int server; /* socket */
static pid_t server_process;
static long file_bytes; /* for page->file_bytes */
static bool traced, recorded;
static bool can_fail; /* whether the kernel lets system calls be trapped */

static void start_server(void) {
    int sockets[2];
    int fd = open("page", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, sizeof *page), 0);
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(page != MAP_FAILED);
    close(fd);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    server = sockets[0];
    server_process = fork();
    ck_assert_int_ge(server_process, 0);
    if (server_process) {
        char ready;
        close(sockets[1]);
        can_fail = read(server, &ready, 1) == 1;
        if (!can_fail)
            printf("faults: left out: %s", read_text("errors.txt"));
        return;
    }
    setenv("LD_PRELOAD", library, 1);
    setenv(FAULTS_VARIABLE, join(folder, "page"), 1);
    setenv("GOMP_SPINCOUNT", "20000", 1); /* or the program would start over */
    setenv("LD_BIND_NOW", "1", 1);        /* once, not in every run */
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    unsetenv(BLAS_CORE_VARIABLE);
    /* Statuses of their own, which the program has not. Both libraries are first that define malloc. */
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:exitcode=99:detect_leaks=1", 1);
    setenv("UBSAN_OPTIONS", "exitcode=99:print_stacktrace=1", 1);
    dup2(open("output.txt", O_WRONLY | O_APPEND), STDOUT_FILENO);
    dup2(open("errors.txt", O_WRONLY | O_APPEND), STDERR_FILENO);
    dup2(sockets[1], FAULTS_FD);
    execl(program, program, (char *)NULL);
    _exit(127);
}

/* Runs the program, the words of whose command line are separated by single spaces; what waitpid says. */
static int run(const char *command, enum fault_kind kind, long at) {
    int status;
    memset(page, 0, sizeof *page);
    ck_assert_uint_lt(strlen(command) + 1, sizeof page->arguments - 1);
    snprintf(page->arguments, sizeof page->arguments, "spherenet %s", command);
    page->argument_count = 1;
    for (char *space = page->arguments; (space = strchr(space, ' ')); page->argument_count++)
        *space++ = '\0';
    page->seconds = SECONDS;
    page->kind = (int)kind;
    page->at = at;
    page->file_bytes = kind == FAULT_NONE ? 0 : file_bytes;
    page->trace = traced;
    page->record = recorded;
    ck_assert_int_eq(truncate("output.txt", 0), 0);
    ck_assert_int_eq(truncate("errors.txt", 0), 0);
    ck_assert_int_eq(write(server, "", 1), 1);
    ck_assert_msg(read(server, &status, sizeof status) == sizeof status, "the program did not start: %s",
                  read_text("errors.txt"));
    return status;
}

/* The lines of standard error but for warnings; some machines deserve some. */
static char *errors(void) {
    char *text = read_text("errors.txt"), *line = text;
    while (!strncmp(line, "spherenet: warning: ", 20))
        line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n');
    return line;
}

static void run_well(const char *command) {
    int status = run(command, FAULT_NONE, 0);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "spherenet %s: status %x\n%s", command, status,
                  errors());
}

/* --- Cycles ------------------------------------------------------------------------------------------------------ */

/* One command whose calls fail in turn, on the folder "run". */
struct cycle {
    const char *name, *command;
    const char *before;    /* the run that is there before; NULL: none */
    const char *reference; /* the run that it ends as without a fault; NULL: it changes nothing */
    const char *resume; /* what ends so when a run is there, and when that one's spec does not fit or none is there */
    const char *again;
    enum { ALL, ONE_OF_EACH, NONE } allocations; /* that fail; NONE: another cycle has them all */
};

/* What followed from a state that a fault had left is what follows from it the next time. */
struct states {
    const char **items;
    int count;
};

static bool is_known(const struct states *states, const char *description) {
    for (int i = 0; i < states->count; i++)
        if (!strcmp(states->items[i], description))
            return true;
    return false;
}

static void restore(const struct cycle *cycle, const char *before) {
    if (!strcmp(describe("run"), before))
        return;
    disk_remove("run");
    if (cycle->before)
        copy_tree(cycle->before, "run");
}

/* Goes on from what the fault left; what is wrong then, or NULL. A run that said that it is done must be one. */
static const char *recover(const struct cycle *cycle, bool done) {
    bool begun = is_begun("run");
    int status = run(begun ? cycle->resume : cycle->again, FAULT_NONE, 0);
    if (!done && status && begun && cycle->again && strstr(errors(), "the run began with another spec"))
        status = run(cycle->again, FAULT_NONE, 0);
    if (status)
        return arena_printf(&arena, "the run after it: status %x: %s", status, errors());
    const char *different = difference("run", cycle->reference);
    return different ? arena_printf(&arena, "the run after it: %s", different) : NULL;
}

/* What is wrong with the folder of a training in which a call failed, or NULL. */
static const char *judge_run(const struct cycle *cycle, bool done, struct states *states) {
    const char *left = arena_printf(&arena, "%d\n%s", done, describe("run"));
    const char *wrong = done ? difference("run", cycle->reference) : NULL;
    if (wrong || is_known(states, left) || (wrong = recover(cycle, done)))
        return wrong;
    states->items = arena_grow(&lasting, states->items, states->count, sizeof *states->items);
    states->items[states->count++] = arena_string(&lasting, left);
    return NULL;
}

/* The folder went while the command ran. What ended with status 0 was done before, or was begun after. */
static const char *judge_gone(const struct cycle *cycle, int status) {
    const char *wrong = NULL;
    if (status == 0 && cycle->reference && (wrong = difference("gone", cycle->reference)))
        wrong = disk_exists("run") ? difference("run", cycle->reference) : wrong;
    disk_remove("gone");
    return wrong;
}

/* Whether each line of a text is one of the other. */
static bool is_within(const char *text, const char *other) {
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        const char *place = other;
        size_t length = strcspn(line, "\n") + 1;
        while (*place && strncmp(place, line, length))
            place += strcspn(place, "\n") + 1;
        if (!*place)
            return false;
    }
    return true;
}

/* What a command does without a fault. */
struct expected {
    int status;
    const char *output, *before, *after; /* the run's folder */
    const uint32_t *stacks;              /* of its allocations, from 1 on */
    long allocations;
};

/* What is wrong with the end of a run in which a call failed, or NULL. */
static const char *judge(const struct cycle *cycle, enum fault_kind kind, int status, const struct expected *expected,
                         struct states *states) {
    bool harmless = kind == FAULT_LESS_READ || kind == FAULT_LESS_WRITTEN;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? "it hangs" : arena_printf(&arena, "signal %d", WTERMSIG(status));
    if (status != expected->status && harmless)
        return arena_printf(&arena, "exit status %d of what is no fault", WEXITSTATUS(status));
    /* 2: of a spec that cannot be opened or read. */
    if (WEXITSTATUS(status) > 1 && !(WEXITSTATUS(status) == 2 && strstr(errors(), " the spec: ")))
        return arena_printf(&arena, "exit status %d", WEXITSTATUS(status));
    if (status && !strlen(errors()) && !(expected->status && kind == FAULT_WRITE))
        return "it says nothing";
    const char *wrong = NULL;
    if (kind == FAULT_GONE && disk_exists("gone") && ((wrong = judge_gone(cycle, status)) || status == 0))
        return wrong;
    wrong = wrong_file("run");
    if (wrong && !(kind == FAULT_UNLINK && ends_with(wrong, " was left")))
        return wrong;
    if (cycle->reference)
        return judge_run(cycle, status == 0, states);
    if (status == 0 && strcmp(read_text("output.txt"), expected->output))
        return "another output";
    const char *left = describe("run");
    if (!is_within(left, expected->after))
        return "it spoils the run";
    return kind == FAULT_GONE || is_within(expected->before, left) ? NULL : "it takes something from the run";
}

/* Where not every allocation fails, one of those that are made in the same place, called from the same places, stands
 * for all of them. */
static bool is_repeated(const struct expected *expected, long at) {
    for (long i = 1; i < at && at <= expected->allocations; i++)
        if (expected->stacks[i] == expected->stacks[at])
            return true;
    return false;
}

/* Lets every call of the kind fail, or the one that AT in the environment names; how many there are. Says what is
 * wrong. */
static long fail_in_turn(const struct cycle *cycle, enum fault_kind kind, const struct expected *expected,
                         struct states *states, int *mistakes) {
    const char *only = getenv("AT");
    long skipped = 0;
    for (long at = only ? atol(only) : 1;; at++) {
        if (kind == FAULT_MALLOC && (SANITIZED || cycle->allocations == ONE_OF_EACH) && is_repeated(expected, at)) {
            skipped++;
            continue;
        }
        restore(cycle, expected->before);
        traced = only;
        int status = run(cycle->command, kind, at);
        traced = false;
        if (!page->failed) {
            ck_assert_int_eq(status, expected->status);
            return at - 1 - skipped;
        }
        const char *message = errors();
        const char *wrong = judge(cycle, kind, status, expected, states);
        if (only || (wrong && ++*mistakes <= MOST_MESSAGES))
            printf("faults: %s: %s %ld: %s\n%s\n", cycle->name, kind_names[kind], at, wrong ? wrong : "all is well",
                   message);
        arena_free(&arena);
        if (only)
            return at;
    }
}

static const struct cycle cycles[] = {
    {"train", "train spec.yaml --run-dir run", NULL, "short", "train spec.yaml --run-dir run --resume",
     "train spec.yaml --run-dir run", ALL},
    {"resume", "train spec.yaml --run-dir run --resume --set train.iterations=9", "short", "long",
     "train spec.yaml --run-dir run --resume --set train.iterations=9",
     "train spec.yaml --run-dir run --set train.iterations=9", ALL},
    {"overwrite", "train spec.yaml --run-dir run --overwrite --set seed=2", "long", "other",
     "train spec.yaml --run-dir run --resume --set seed=2", "train spec.yaml --run-dir run --overwrite --set seed=2",
     NONE},
    {"a run is there", "train spec.yaml --run-dir run", "short", NULL, NULL, NULL, NONE},
    {"eval", "eval run", "short", NULL, NULL, NULL, ONE_OF_EACH},
};

static void make_references(void) {
    run_well("train spec.yaml --run-dir short");
    run_well("train spec.yaml --run-dir other --set seed=2");
    copy_tree("short", "long");
    run_well("train spec.yaml --run-dir long --resume --set train.iterations=9");
}

static struct expected expect(const struct cycle *cycle) {
    struct expected expected = {.before = arena_string(&lasting, cycle->before ? describe(cycle->before) : "")};
    restore(cycle, expected.before);
    recorded = true;
    expected.status = run(cycle->command, FAULT_NONE, 0);
    recorded = false;
    expected.allocations = page->calls[FAULT_MALLOC];
    ck_assert_int_lt(expected.allocations, FAULT_STACKS);
    expected.stacks = memcpy(arena_alloc(&lasting, sizeof page->stacks), page->stacks, sizeof page->stacks);
    expected.output = arena_string(&lasting, read_text("output.txt"));
    expected.after = arena_string(&lasting, describe("run"));
    if (cycle->reference)
        ck_assert_ptr_null(difference("run", cycle->reference));
    return expected;
}

/* For who looks into a fault: the environment's CYCLE and KIND choose, AT too, and then the stack is printed. */
static bool is_left_out(const char *variable, const char *name) {
    const char *chosen = getenv(variable);
    return chosen && strcmp(chosen, name);
}

START_TEST(calls_fail_one_by_one) {
    const struct cycle *cycle = &cycles[_i];
    struct states states = {0};
    struct text counts = {0};
    int mistakes = 0;
    if (!can_fail || is_left_out("CYCLE", cycle->name))
        return;
    make_references();
    struct expected expected = expect(cycle);
    for (int kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++) {
        if ((kind == FAULT_MALLOC && cycle->allocations == NONE) || is_left_out("KIND", kind_names[kind]))
            continue;
        long count = fail_in_turn(cycle, (enum fault_kind)kind, &expected, &states, &mistakes);
        if (count == 0 && kind == FAULT_MALLOC)
            printf("faults: allocations are left out: the program brings a malloc of its own\n");
        if (count)
            text_printf(&counts, "%s%s %ld", counts.length ? ", " : "", kind_names[kind], count);
    }
    printf("faults: %s: %s; %d states to go on from\n", cycle->name, counts.data, states.count);
    text_free(&counts);
    ck_assert_msg(mistakes == 0, "%s: %d calls whose failure is not borne", cycle->name, mistakes);
}
END_TEST

/* --- Disks that are full ----------------------------------------------------------------------------------------- */

/* A run that cannot write all of its files, because of what `limit` says. */
static void expect_borne(const struct cycle *cycle, const struct expected *expected, int status, const char *limit,
                         struct states *states) {
    const char *message = errors();
    const char *wrong = judge(cycle, FAULT_WRITE, status, expected, states);
    ck_assert_msg(!wrong, "%s, %s: %s\n%s", cycle->name, limit, wrong, message);
}

/* As by ulimit -f; the signal that comes with it would end the program if it did not ignore it. */
START_TEST(files_cannot_grow) {
    const struct cycle *cycle = &cycles[_i];
    struct states states = {0};
    if (!can_fail)
        return;
    make_references();
    struct expected expected = expect(cycle);
    int status = -1, runs = 0;
    for (file_bytes = 1; status; file_bytes += 61, runs++) {
        restore(cycle, expected.before);
        status = run(cycle->command, FAULT_WRITE, 0);
        expect_borne(cycle, &expected, status, arena_printf(&arena, "files of at most %ld bytes", file_bytes), &states);
        arena_free(&arena);
    }
    ck_assert_int_gt(runs, 20);
    printf("faults: %s: %d limits of a file's size\n", cycle->name, runs - 1);
}
END_TEST

enum { PAGES = 24, PAGE_SIZE = 4096 };

/* A disk of its own at "run", with so many pages left. */
static void mount_small(const struct cycle *cycle, int left) {
    static const char zeros[PAGES * PAGE_SIZE];
    struct statvfs status;
    char *options = arena_printf(&arena, "size=%d", PAGES * PAGE_SIZE);
    mkdir("run", 0777);
    ck_assert_int_eq(mount("none", "run", "tmpfs", 0, options), 0);
    if (cycle->before)
        copy_tree(cycle->before, "run");
    ck_assert_int_eq(statvfs("run", &status), 0);
    ck_assert_uint_eq(status.f_bsize, PAGE_SIZE);
    if ((int)status.f_bavail > left)
        disk_write("run/ballast", zeros, (status.f_bavail - (size_t)left) * PAGE_SIZE);
}

static void unmount(void) {
    ck_assert_int_eq(umount("run"), 0);
    rmdir("run");
}

static bool may_mount;

START_TEST(a_disk_is_full) {
    const struct cycle *cycle = &cycles[_i];
    if (!can_fail)
        return;
    if (!may_mount)
        return (void)printf("faults: %s: full disks are left out, since nothing can be mounted here\n", cycle->name);
    make_references();
    struct expected expected = expect(cycle);
    disk_remove("run");
    int left = 0, failed = 0;
    for (int status = -1; status; left++) {
        struct states states = {0}; /* the same folder on another disk is another state */
        mount_small(cycle, left);
        status = run(cycle->command, FAULT_NONE, 0);
        const char *limit = arena_printf(&arena, "%d pages left", left);
        char *message = errors();
        failed += status && strstr(message, "No space left on device");
        if (disk_exists("run/ballast"))
            ck_assert_int_eq(unlink("run/ballast"), 0);
        expect_borne(cycle, &expected, status, arena_printf(&arena, "%s: %s", limit, message), &states);
        unmount();
    }
    ck_assert_int_eq(failed, left - 1);
    printf("faults: %s: full disks with 0 to %d pages left\n", cycle->name, left - 2);
}
END_TEST

START_TEST(a_folder_is_read_only) {
    if (!can_fail)
        return;
    if (!may_mount)
        return (void)printf("faults: read-only folders are left out, since nothing can be mounted here\n");
    make_references();
    for (size_t i = 0; i < sizeof cycles / sizeof *cycles; i++) {
        const struct cycle *cycle = &cycles[i];
        if (!cycle->before)
            continue;
        copy_tree(cycle->before, "run");
        const char *before = describe("run");
        ck_assert_int_eq(mount("run", "run", NULL, MS_BIND, NULL), 0);
        ck_assert_int_eq(mount("run", "run", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
        int status = run(cycle->command, FAULT_NONE, 0);
        ck_assert_int_eq(WEXITSTATUS(status), 1);
        if (strcmp(cycle->name, "a run is there"))
            ck_assert_msg(strstr(errors(), "Read-only file system") != NULL, "%s: %s", cycle->name, errors());
        ck_assert_str_eq(describe("run"), before);
        ck_assert_int_eq(umount("run"), 0);
        disk_remove("run");
    }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

/* The fixtures of every test: a folder in memory, if there is one, since disks take their time to flush. */
static void enter_folder(void) {
    const char *named = getenv("SPHERENET");
    ck_assert_msg(realpath(named ? named : "build/release/spherenet", program) != NULL,
                  "no program to test; SPHERENET names it");
    ssize_t length = readlink("/proc/self/exe", library, sizeof library - 16);
    ck_assert_int_gt(length, 0);
    library[length] = '\0';
    strcpy(strrchr(library, '/') + 1, "inject.so");
    snprintf(folder, sizeof folder, "%s/spherenet-test-faults-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    disk_write_text("spec.yaml", spec);
    may_mount = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    disk_write_text("output.txt", "");
    disk_write_text("errors.txt", "");
    setvbuf(stdout, NULL, _IOLBF, 0);
    start_server();
}

static void leave_folder(void) {
    close(server);
    waitpid(server_process, NULL, 0);
    munmap(page, sizeof *page);
    ck_assert_int_eq(chdir("/"), 0);
    disk_remove(folder);
    arena_free(&arena);
    arena_free(&lasting);
}

Suite *test_suite(void) {
    Suite *suite = suite_create("faults");
    TCase *faults = tcase_create("calls that fail");
    tcase_add_checked_fixture(faults, enter_folder, leave_folder);
    tcase_set_timeout(faults, 3600);
    tcase_add_loop_test(faults, calls_fail_one_by_one, 0, (int)(sizeof cycles / sizeof *cycles));
    tcase_add_loop_test(faults, files_cannot_grow, 0, 2);
    tcase_add_loop_test(faults, a_disk_is_full, 0, 2);
    tcase_add_test(faults, a_folder_is_read_only);
    suite_add_tcase(suite, faults);
    return suite;
}
