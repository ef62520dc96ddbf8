/* Paths as users write them. */
#ifndef SPHERENET_BASE_PATH_H
#define SPHERENET_BASE_PATH_H

#include "base/error.h"
#include "base/mem.h"

/* The path with a "~" or "~/" at its start as $HOME, in the arena, as a shell does it in some places and not in others.
 * NULL, with an error, for what a shell would expand further: "~user", and "$NAME" where nothing of that very name is
 * there. */
const char *path_expand(struct arena *arena, const char *path, struct error *err);

/* What to say in the end of a path that leads nowhere: where it counts from, or "" for an absolute one. */
const char *path_origin(const char *path);

#endif
