/* What is in a folder. */
#ifndef SPHERENET_STORAGE_FOLDER_H
#define SPHERENET_STORAGE_FOLDER_H

#include "base/mem.h"

/* The names in it, in the order of their bytes, but those that begin with ".". Where it cannot be read, *count is -1 and
 * errno says why. The arena holds them. */
const char *const *folder_names(struct arena *arena, const char *path, int *count);

#endif
