/* A run's folder:
 *
 *     spec.yaml      the resolved spec       train.csv, eval.csv   the curves
 *     run.log        what ran, and where     checkpoints/          iteration-00000500.safetensors.gz ...
 *
 * In checkpoints/, latest.safetensors.gz and best.safetensors.gz are links to the newest checkpoint and to the one with
 * the best test accuracy so far, where the file system has symbolic links. The program itself never reads them. */
#ifndef SPHERENET_RUN_RUN_DIR_H
#define SPHERENET_RUN_RUN_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { PATH_BYTES = 4096 };

struct run_dir {
    char path[PATH_BYTES - 256]; /* leaves room for the names within */
    bool held;                   /* a run, before it was opened */
    int lock;                    /* descriptor of the folder, locked while the run is open; -1: closed */
    bool lockless;               /* the file system cannot lock it, so another process may train in it */
};

enum run_mode { RUN_NEW, RUN_RESUME, RUN_AUTO_RESUME, RUN_OVERWRITE };

/* Makes the folder (and those above it), or finds it again. RUN_NEW refuses a folder that holds a run; RUN_RESUME one
 * that does not; RUN_AUTO_RESUME neither; RUN_OVERWRITE removes the files of the run that was there. A folder that
 * another process has open is refused. */
bool run_dir_open(struct run_dir *dir, const char *path, enum run_mode mode, struct error *err);
/* Sets path and `held` and refuses as run_dir_open does, and makes nothing. */
bool run_dir_look(struct run_dir *dir, const char *path, enum run_mode mode, struct error *err);
void run_dir_close(struct run_dir *dir); /* a closed one is allowed */

/* Makes a folder, and those above it, where they are not there yet. */
bool run_dir_make(const char *path, struct error *err);

/* The same for the folder that the file is to be in. */
bool run_dir_make_for(const char *file, struct error *err);

/* PATH/NAME into `out`, PATH_BYTES long; returns out. */
const char *run_dir_file(const struct run_dir *dir, const char *name, char *out);

/* The path of the checkpoint of that iteration. */
const char *run_dir_checkpoint(const struct run_dir *dir, int64_t iteration, char *out);

/* The same in the folder where another checkpoint is. */
const char *run_dir_sibling(const char *checkpoint, int64_t iteration, char *out);

/* The iterations of all checkpoints, newest first, whether they can be read or not; to be freed. A folder that is not
 * there holds none; one that cannot be read is an error, or an old checkpoint would be taken for the newest one. */
bool run_dir_checkpoints(const struct run_dir *dir, int64_t **iterations, size_t *count, struct error *err);

/* Points latest (or best) at the checkpoint of that iteration. Where that fails, the link is no more: one to another
 * checkpoint would be wrong. */
bool run_dir_link(const struct run_dir *dir, const char *name, int64_t iteration, struct error *err);

/* Removes checkpoints of iterations up to `saved`, all but the `keep` newest and the best one. keep 0: removes none.
 * best -1: there is none. */
void run_dir_prune(const struct run_dir *dir, int64_t saved, int keep, int64_t best);

/* The checkpoint that a user means by PATH: the file itself, or the latest one of a run's folder or of its folder
 * `checkpoints`. */
bool run_dir_resolve(const char *path, char *checkpoint, struct error *err);

/* Writes a small text file whole: a temporary file, then a rename. */
bool run_dir_write(const struct run_dir *dir, const char *name, const char *text, struct error *err);

#endif
