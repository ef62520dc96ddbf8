/* What the control groups of this process, version 1 or 2, leave it. */
#ifndef SPHERENET_BASE_CGROUP_H
#define SPHERENET_BASE_CGROUP_H

#include <stdbool.h>

/* The limit that one group sets, from the files of its folder; INFINITY when it sets none. unified: version 2. */
typedef double cgroup_limit_of(const char *folder, bool unified);

/* The smallest limit of this process's groups of that controller ("cpu", "memory") and of all above them. `root` goes
 * before every path that is read: "" for the system itself. */
double cgroup_limit(const char *root, const char *controller, cgroup_limit_of *limit_of);

/* Reads at most two numbers from the file `name` of a folder; how many there were. */
int cgroup_read(const char *folder, const char *name, double *a, double *b);

#endif
