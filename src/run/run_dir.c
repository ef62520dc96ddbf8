#include "run/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "storage/atomic_file.h"

#define CHECKPOINT_FORMAT "iteration-%08" PRId64 ".safetensors.gz"

static const char *const run_files[] = {"train.csv", "eval.csv", "run.log", "spec.yaml"};
static const char *const links[] = {"latest.safetensors.gz", "best.safetensors.gz"};

const char *run_dir_file(const struct run_dir *dir, const char *name, char *out) {
    snprintf(out, PATH_BYTES, "%s/%s", dir->path, name);
    return out;
}

const char *run_dir_checkpoint(const struct run_dir *dir, int64_t iteration, char *out) {
    snprintf(out, PATH_BYTES, "%s/checkpoints/" CHECKPOINT_FORMAT, dir->path, iteration);
    return out;
}

const char *run_dir_sibling(const char *checkpoint, int64_t iteration, char *out) {
    const char *slash = strrchr(checkpoint, '/');
    snprintf(out, PATH_BYTES, "%.*s" CHECKPOINT_FORMAT, slash ? (int)(slash + 1 - checkpoint) : 0, checkpoint,
             iteration);
    return out;
}

/* --- Which checkpoints there are --------------------------------------------------------------------------------- */

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Appends the iterations of all checkpoints, in no order. What stops the reading is in errno, or 0. */
static int64_t *read_iterations(DIR *folder, size_t *count) {
    int64_t *iterations = NULL;
    struct dirent *entry;
    while (errno = 0, (entry = readdir(folder))) {
        int64_t iteration;
        char again[64];
        if (sscanf(entry->d_name, "iteration-%" SCNd64, &iteration) != 1)
            continue;
        snprintf(again, sizeof again, CHECKPOINT_FORMAT, iteration);
        if (strcmp(again, entry->d_name))
            continue;
        iterations = mem_realloc(iterations, (*count + 1) * sizeof *iterations);
        iterations[(*count)++] = iteration;
    }
    return iterations;
}

/* Those in the folder at path itself. */
static bool list_checkpoints(const char *path, int64_t **iterations, size_t *count, struct error *err) {
    DIR *folder = opendir(path);
    *iterations = NULL;
    *count = 0;
    if (!folder)
        return errno == ENOENT || errno == ENOTDIR || error_set_errno(err, "%s: cannot be read", path);
    *iterations = read_iterations(folder, count);
    bool good = errno == 0 || error_set_errno(err, "%s: cannot be read", path);
    closedir(folder);
    if (*count)
        qsort(*iterations, *count, sizeof **iterations, newest_first);
    if (!good) {
        free(*iterations);
        *iterations = NULL;
        *count = 0;
    }
    return good;
}

bool run_dir_checkpoints(const struct run_dir *dir, int64_t **iterations, size_t *count, struct error *err) {
    char path[PATH_BYTES];
    return list_checkpoints(run_dir_file(dir, "checkpoints", path), iterations, count, err);
}

/* -1: there is none. */
static bool find_newest_in(const char *path, int64_t *newest, struct error *err) {
    size_t count;
    int64_t *iterations;
    bool good = list_checkpoints(path, &iterations, &count, err);
    *newest = count ? iterations[0] : -1;
    free(iterations);
    return good;
}

static bool find_newest(const struct run_dir *dir, int64_t *newest, struct error *err) {
    char path[PATH_BYTES];
    return find_newest_in(run_dir_file(dir, "checkpoints", path), newest, err);
}

void run_dir_prune(const struct run_dir *dir, int64_t saved, int keep, int64_t best) {
    size_t count;
    int64_t *iterations;
    struct error err; /* what cannot be listed stays until the next time */
    char path[PATH_BYTES];
    int newer = 0;
    run_dir_checkpoints(dir, &iterations, &count, &err);
    for (size_t i = 0; keep && i < count; i++)
        if (iterations[i] <= saved && newer++ >= keep && iterations[i] != best)
            unlink(run_dir_checkpoint(dir, iterations[i], path));
    free(iterations);
}

/* --- Opening ----------------------------------------------------------------------------------------------------- */

bool run_dir_make(const char *path, struct error *err) {
    char part[PATH_BYTES];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            return error_set_errno(err, "%s: cannot be made", part);
        *slash = '/';
    }
    struct stat status;
    if (mkdir(part, 0777) && (errno != EEXIST || stat(part, &status) || !S_ISDIR(status.st_mode)))
        return error_set_errno(err, "%s: cannot be made", part);
    return true;
}

bool run_dir_make_for(const char *file, struct error *err) {
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", file);
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return true;
    *slash = '\0';
    return run_dir_make(folder, err);
}

/* Whether the file is there; a file that cannot be looked for is an error. */
static bool look_for(const struct run_dir *dir, const char *name, bool *found, struct error *err) {
    char path[PATH_BYTES];
    *found = access(run_dir_file(dir, name, path), F_OK) == 0;
    return *found || errno == ENOENT || errno == ENOTDIR || error_set_errno(err, "%s", path);
}

static bool look_for_run(const struct run_dir *dir, bool *found, struct error *err) {
    int64_t newest;
    if (!look_for(dir, "spec.yaml", found, err) || (!*found && !look_for(dir, "train.csv", found, err)))
        return false;
    if (*found)
        return true;
    bool good = find_newest(dir, &newest, err);
    *found = newest >= 0;
    return good;
}

static bool remove_file(const char *path, struct error *err) {
    return unlink(path) == 0 || errno == ENOENT || error_set_errno(err, "%s: cannot be removed", path);
}

/* Links first, then checkpoints from the newest on, then what they need to be resumed from, spec.yaml last: whatever a
 * kill leaves is a run that was interrupted earlier. What cannot be removed is an error, since an old checkpoint that
 * stayed would be resumed instead of the new run's. */
static bool remove_run(const struct run_dir *dir, struct error *err) {
    char path[PATH_BYTES], name[64];
    size_t count;
    int64_t *iterations;
    bool good = run_dir_checkpoints(dir, &iterations, &count, err);
    for (size_t i = 0; good && i < sizeof links / sizeof *links; i++) {
        snprintf(name, sizeof name, "checkpoints/%s", links[i]);
        good = remove_file(run_dir_file(dir, name, path), err);
    }
    for (size_t i = 0; good && i < count; i++)
        good = remove_file(run_dir_checkpoint(dir, iterations[i], path), err);
    for (size_t i = 0; good && i < sizeof run_files / sizeof *run_files; i++)
        good = remove_file(run_dir_file(dir, run_files[i], path), err);
    free(iterations);
    return good;
}

/* What a process that was killed has left half-written. Only for who holds the lock. */
static void remove_temporaries(const struct run_dir *dir) {
    char path[PATH_BYTES], name[256]; /* those that are made here are shorter */
    DIR *folder = opendir(run_dir_file(dir, "checkpoints", path));
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        const char *end = strrchr(entry->d_name, '.');
        snprintf(name, sizeof name, "checkpoints/%.240s", entry->d_name);
        if (end && !strcmp(end, ".tmp"))
            unlink(run_dir_file(dir, name, path));
    }
    if (folder)
        closedir(folder);
    unlink(run_dir_file(dir, "spec.yaml.tmp", path));
}

/* The lock goes with the process, however it ends. Some file systems have none, as Lustre unless it is mounted so. */
static bool lock(struct run_dir *dir, struct error *err) {
    dir->lock = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->lock >= 0 && flock(dir->lock, LOCK_EX | LOCK_NB) == 0)
        return true;
    dir->lockless = dir->lock >= 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOLCK);
    if (dir->lockless)
        return true;
    if (dir->lock >= 0 && errno == EWOULDBLOCK)
        error_set(err, "%s: another process is training in this folder", dir->path);
    else
        error_set_errno(err, "%s: cannot be locked", dir->path);
    run_dir_close(dir);
    return false;
}

void run_dir_close(struct run_dir *dir) {
    if (dir->lock >= 0)
        close(dir->lock);
    dir->lock = -1;
}

static bool check_mode(struct run_dir *dir, enum run_mode mode, struct error *err) {
    if (!look_for_run(dir, &dir->held, err))
        return false;
    if (dir->held && mode == RUN_NEW)
        return error_set(err,
                         "%s: there is a run already; --resume continues it, --overwrite replaces it, --run-dir and "
                         "--set name=... choose another place",
                         dir->path);
    if (!dir->held && mode == RUN_RESUME)
        return error_set(err,
                         "%s: there is no run to resume; leave --resume out to start one, or give --auto-resume, which "
                         "starts one where there is none",
                         dir->path);
    return true;
}

bool run_dir_look(struct run_dir *dir, const char *path, enum run_mode mode, struct error *err) {
    if (strlen(path) >= sizeof dir->path)
        return error_set(err, "the path of the run's folder is longer than %zu bytes", sizeof dir->path - 1);
    *dir = (struct run_dir){.lock = -1};
    strcpy(dir->path, path);
    return check_mode(dir, mode, err);
}

bool run_dir_open(struct run_dir *dir, const char *path, enum run_mode mode, struct error *err) {
    char checkpoints[PATH_BYTES];
    if (!run_dir_look(dir, path, mode, err) || !run_dir_make(run_dir_file(dir, "checkpoints", checkpoints), err) ||
        !lock(dir, err))
        return false;
    if (!check_mode(dir, mode, err)) { /* another process has begun and ended a run meanwhile */
        run_dir_close(dir);
        return false;
    }
    remove_temporaries(dir);
    if (mode == RUN_OVERWRITE && !remove_run(dir, err)) {
        run_dir_close(dir);
        return false;
    }
    return true;
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

bool run_dir_link(const struct run_dir *dir, const char *name, int64_t iteration, struct error *err) {
    char target[64], link[64], temporary[PATH_BYTES], path[PATH_BYTES];
    snprintf(target, sizeof target, CHECKPOINT_FORMAT, iteration);
    snprintf(link, sizeof link, "checkpoints/%s.safetensors.gz", name);
    run_dir_file(dir, link, path);
    run_dir_file(dir, "checkpoints/link.tmp", temporary);
    unlink(temporary);
    if (symlink(target, temporary) || rename(temporary, path)) {
        error_set_errno(err, "%s: cannot be made a link", path);
        unlink(temporary);
        unlink(path);
        return false;
    }
    return true; /* not flushed: a resume makes it again */
}

bool run_dir_write(const struct run_dir *dir, const char *name, const char *text, struct error *err) {
    char path[PATH_BYTES], temporary[PATH_BYTES + 8];
    run_dir_file(dir, name, path);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set_errno(err, "%s: cannot be written", path);
    if (!atomic_file_write(fd, text, strlen(text))) {
        error_set_errno(err, "%s: cannot be written", path);
        close(fd);
        unlink(temporary);
        return false;
    }
    return atomic_file_replace(fd, temporary, path) || error_set_errno(err, "%s: cannot be written", path);
}

bool run_dir_resolve(const char *path, char *checkpoint, struct error *err) {
    struct stat status;
    struct run_dir dir;
    if (stat(path, &status))
        return error_set(err, "%s: neither a run's folder nor a checkpoint: %s%s", path, strerror(errno),
                         errno == ENOENT ? path_origin(path) : "");
    if (!S_ISDIR(status.st_mode)) {
        snprintf(checkpoint, PATH_BYTES, "%s", path);
        return true;
    }
    snprintf(dir.path, sizeof dir.path, "%s", path);
    int64_t newest, newest_here;
    if (!find_newest(&dir, &newest, err) || !find_newest_in(path, &newest_here, err))
        return false;
    if (newest < 0 && newest_here >= 0) { /* the folder `checkpoints` itself */
        snprintf(checkpoint, PATH_BYTES, "%.3900s/" CHECKPOINT_FORMAT, path, newest_here);
        return true;
    }
    if (newest < 0)
        return error_set(err,
                         "%s: no checkpoint below this folder; give a checkpoint file, or a run's folder once the run "
                         "has made one",
                         path);
    run_dir_checkpoint(&dir, newest, checkpoint);
    return true;
}
