#include "process/group.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "process/launcher.h"
#include "process/mpi_part.h"

/* --- Opening ----------------------------------------------------------------------------------------------------- */

#define PART "spherenet-mpi.so"

/* Beside the program, or in ../lib/spherenet from there. NULL, with the loader's reason, where it is in neither or
 * cannot be loaded. Its library's own parts look for the library's symbols among all. */
static void *load_part(char *why, size_t bytes) {
    static const char *const places[] = {"/" PART, "/../lib/spherenet/" PART};
    char program[PATH_MAX], path[PATH_MAX + sizeof "/../lib/spherenet/" PART];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length < 0 ? 0 : length] = '\0';
    char *slash = strrchr(program, '/');
    if (slash)
        *slash = '\0';
    snprintf(why, bytes, "there is no %s beside the program or in ../lib/spherenet", PART);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s%s", program, places[i]);
        if (access(path, F_OK))
            continue;
        void *part = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        if (part)
            return part;
        snprintf(why, bytes, "%s", dlerror());
    }
    return NULL;
}

bool group_open(const struct group **group, struct error *err) {
    struct launch launch = launch_of_environment();
    char why[1024];
    *group = NULL;
    if (launch.size == 1)
        return true;
    void *part = load_part(why, sizeof why);
    mpi_part_open *open = NULL;
    if (part)
        *(void **)&open = dlsym(part, MPI_PART_OPEN); /* as POSIX has it */
    if (!open)
        return error_set(err,
                         "%d processes were started, but what lets them work together is missing: %s. Install the "
                         "package spherenet-mpi, or libopenmpi-dev and build spherenet again; or start one process",
                         launch.size, part ? dlerror() : why);
    if (!open(group, why, sizeof why))
        return error_set(err, "%d processes were started, but MPI does not work: %s", launch.size, why);
    if ((*group)->size != launch.size)
        return error_set(err,
                         "%d processes were started, but MPI sees %d: the launcher is of another MPI than the one that "
                         "spherenet was built with",
                         launch.size, (*group)->size);
    return true;
}

void group_close(const struct group *group) {
    if (group)
        group->close();
}

/* --- Relays ------------------------------------------------------------------------------------------------------ */

void relay_take(const struct group *group, void *sums, size_t bytes) {
    if (group && group->rank > 0)
        group->receive(sums, bytes, group->rank - 1);
}

void relay_pass(const struct group *group, const void *sums, size_t bytes) {
    if (group && group->rank < group->size - 1)
        group->send(sums, bytes, group->rank + 1);
}

void relay_share(const struct group *group, void *sums, size_t bytes) {
    if (group)
        group->broadcast(sums, bytes, group->size - 1);
}

void relay_finish(const struct group *group, void *sums, size_t bytes) {
    relay_pass(group, sums, bytes);
    relay_share(group, sums, bytes);
}

double group_sum(const struct group *group, double own) {
    double sum = 0;
    relay_take(group, &sum, sizeof sum);
    sum += own;
    relay_finish(group, &sum, sizeof sum);
    return sum;
}

/* --- Agreeing ---------------------------------------------------------------------------------------------------- */

void group_broadcast(const struct group *group, void *data, size_t bytes) {
    if (group)
        group->broadcast(data, bytes, 0);
}

void group_largest(const struct group *group, int *values, int count) {
    if (group)
        group->largest(values, count);
}

void group_name_process(int rank, struct error *err) {
    char host[256] = "";
    struct error own = *err;
    gethostname(host, sizeof host - 1);
    error_set_code(err, own.code, "process %d on %s: %s", rank, host, own.text);
}

bool group_agree(const struct group *group, bool good, struct error *err) {
    int first_failed = group && !good ? group->size - group->rank : 0;
    if (!group)
        return good;
    group_largest(group, &first_failed, 1);
    if (!first_failed)
        return true;
    int rank = group->size - first_failed;
    if (rank == group->rank && rank > 0)
        group_name_process(rank, err);
    group->broadcast(err, sizeof *err, rank);
    return false;
}

bool group_same(const struct group *group, const char *what, const char *text, struct error *err) {
    size_t length = strlen(text) + 1;
    group_broadcast(group, &length, sizeof length);
    char *first = mem_alloc(length);
    if (group_is_first(group))
        memcpy(first, text, length);
    group_broadcast(group, first, length);
    bool same = !strcmp(first, text) || error_set(err, "%s differs from that of process 0, and so would results", what);
    free(first);
    return group_agree(group, same, err);
}

/* --- Shares ------------------------------------------------------------------------------------------------------ */

struct share group_share(const struct group *group, int parts) {
    if (!group)
        return (struct share){0, 1, 1};
    return (struct share){(int)((int64_t)group->rank * parts / group->size),
                          (int)((int64_t)(group->rank + 1) * parts / group->size), parts};
}

static int bound(int64_t part, int n, int of) {
    return (int)(part * n / of);
}

int share_first(struct share share, int n) {
    return share.of ? bound(share.first, n, share.of) : 0;
}

int share_count(struct share share, int n) {
    return share.of ? bound(share.end, n, share.of) - share_first(share, n) : n;
}
