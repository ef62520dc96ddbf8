#define _GNU_SOURCE /* unshare */
#include "support/faults.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/text.h"
#include "machine/openblas.h"
#include "support/compare.h"
#include "support/tensor_file.h"

enum { SECONDS = 10 };

/* As short as it can be with all kinds of state, two checkpoints that are kept and one that is not, tests and rows. */
static const char *const spec =
    "name: tiny\n"
    "data: {type: synthetic, height: 6, width: 6, classes: 3, train_images: 12, test_images: 7, flip: true}\n"
    "network:\n"
    "  layers: [{type: sphere_conv, filters: 2}, batch_norm, {type: dense, units: 3}]\n"
    "optimizer: {type: sgd, learning_rate: 1e-2}\n"
    "train: {iterations: 6, batch_size: 4, eval_every: 3, checkpoint_every: 2, keep: 2, log_every: 1, threads: 1}\n";

const char *const kind_names[FAULT_KINDS] = {
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

struct arena lasting;
struct fault_page *page;
bool can_fail, may_mount, traced, recorded;
long file_bytes;

static const char *program;
static char library[4096];
static int server; /* socket */
static int input;  /* names.txt, the program's standard input */
static pid_t server_process;

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

bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

char *join(const char *path, const char *name) {
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

void copy_tree(const char *from, const char *to) {
    visit_all(from, copy_entry, &(struct copying){from, to});
}

/* --- Runs -------------------------------------------------------------------------------------------------------- */

static char *without_times(const char *path) {
    char *kept = table_without_times(read_text(path), NULL), *copy = arena_string(&arena, kept);
    free(kept);
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
    } else if (S_ISREG(status->st_mode) && !ends_with(path, "run.log") && !strstr(path, "tfevents")) {
        const char *bytes = read_bytes(path, &size);
        text_printf(description, "%zu bytes %08lx\n", size, crc32(0, (const unsigned char *)bytes, (unsigned)size));
    } else {
        text_printf(description, "\n");
    }
}

char *describe(const char *run_dir) {
    struct text description = {0};
    text_add(&description, "", 0);
    visit_all(run_dir, describe_entry, &description);
    char *copy = arena_string(&arena, description.data);
    text_free(&description);
    return copy;
}

const char *difference(const char *run_dir, const char *other) {
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

const char *wrong_file(const char *run_dir) {
    const char *wrong = NULL;
    visit_all(run_dir, find_wrong_file, &wrong);
    return wrong;
}

static bool holds_checkpoint(const char *run_dir) {
    return strstr(describe(run_dir), "checkpoints/iteration-") != NULL;
}

bool is_begun(const char *run_dir) {
    return disk_exists(join(run_dir, "spec.yaml")) || disk_exists(join(run_dir, "train.csv")) ||
           holds_checkpoint(run_dir);
}

/* --- Faults ------------------------------------------------------------------------------------------------------ */

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
    dup2(input, STDIN_FILENO);
    setenv("XDG_CACHE_HOME", join(folder, "cache"), 1);
    setenv("LD_PRELOAD", library, 1);
    setenv(FAULTS_VARIABLE, join(folder, "page"), 1);
    setenv("GOMP_SPINCOUNT", "20000", 1); /* or the program starts over */
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

int run_with_fault(const char *command, enum fault_kind kind, long at) {
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
    ck_assert_int_eq(lseek(input, 0, SEEK_SET), 0);
    ck_assert_int_eq(write(server, "", 1), 1);
    ck_assert_msg(read(server, &status, sizeof status) == sizeof status, "the program did not start: %s",
                  read_text("errors.txt"));
    ck_assert_msg(!*page->unsynced, "spherenet %s: %s has its name before it is on the disk", command, page->unsynced);
    ck_assert_msg(status || kind != FAULT_NONE || !page->unsynced_folders,
                  "spherenet %s: the name of a file is not on the disk", command);
    return status;
}

char *error_lines(void) {
    char *text = read_text("errors.txt"), *line = text;
    while (!strncmp(line, "spherenet: warning: ", 20))
        line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n');
    return line;
}

void run_well(const char *command) {
    int status = run_with_fault(command, FAULT_NONE, 0);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "spherenet %s: status %x\n%s", command, status,
                  error_lines());
}

/* --- Fixtures ---------------------------------------------------------------------------------------------------- */

void faults_set_up(void) {
    program = program_path();
    ssize_t length = readlink("/proc/self/exe", library, sizeof library - 16);
    ck_assert_int_gt(length, 0);
    library[length] = '\0';
    strcpy(strrchr(library, '/') + 1, "inject.so");
    folder_enter(access("/dev/shm", W_OK) ? NULL : "/dev/shm", "faults");
    disk_write_text("spec.yaml", spec);
    may_mount = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    disk_write_text("output.txt", "");
    disk_write_text("errors.txt", "");
    disk_write_text("names.txt", "");
    input = open("names.txt", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(input, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    start_server();
}

void faults_tear_down(void) {
    close(server);
    close(input);
    waitpid(server_process, NULL, 0);
    munmap(page, sizeof *page);
    folder_leave();
    arena_free(&lasting);
}
