/* What is in a folder. */
#ifndef SPHERENET_STORAGE_FOLDER_H
#define SPHERENET_STORAGE_FOLDER_H

#include "base/mem.h"

/* The names in it, in the order of their bytes, but those that begin with "."; none where it cannot be read. The arena
 * holds them. */
const char *const *folder_names(struct arena *arena, const char *path, int *count);

#endif
