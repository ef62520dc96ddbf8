/* What was found in a large folder, remembered in a file until one of its folders changes:
 * $XDG_CACHE_HOME/spherenet/pictures-HASH, or ~/.cache/spherenet/..., with HASH of the folder's real path. A file that
 * is broken, of another program or of another version counts as none. */
#ifndef SPHERENET_DATA_IMAGE_STORE_H
#define SPHERENET_DATA_IMAGE_STORE_H

#include "data/image_index.h"

enum { IMAGE_STORE_LEAST = 10000 }; /* files; fewer are found again as quickly */

/* Fills an empty index with what is remembered of `root`, where every folder is as it was: same names, times and sizes.
 * False, with the index empty, otherwise. */
bool image_store_recall(struct image_index *index, const char *root, const struct image_layout *layout);

/* Remembers what was found. Nothing depends on it, so it tells of no failure. Folders that changed within the last
 * seconds are not remembered: they might change again and keep their times. */
void image_store_keep(const struct image_index *index, const struct image_layout *layout);

/* The same whatever its size and age. */
void image_store_write(const struct image_index *index, const struct image_layout *layout);

#endif
