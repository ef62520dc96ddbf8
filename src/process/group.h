/* The processes that share a run, and what they tell each other.
 *
 * Each has some images of every batch, and all have the same weights. What is summed over images is summed in the
 * images' order, as one process does it: in a relay, process 0 adds its terms and passes the running sum on to process
 * 1, which adds its own, and so on; the last one shares the result with all. So the result does not depend on the
 * number of processes, and a function that sums is the same for one and for many:
 *
 *     relay_take(group, sums, bytes);    running sums of the images before
 *     ... add the terms of this process's images ...
 *     relay_finish(group, sums, bytes);  all have the sums over the batch
 *
 * A group of NULL is one process, for which all of this does nothing. All processes make the same calls in the same
 * order, from their main threads. A call that fails ends the program, with a message. */
#ifndef SPHERENET_PROCESS_GROUP_H
#define SPHERENET_PROCESS_GROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct group {
    int rank, size;
    void (*send)(const void *data, size_t bytes, int to);
    void (*receive)(void *data, size_t bytes, int from);
    void (*broadcast)(void *data, size_t bytes, int from);
    void (*largest)(int *values, int count);
    void (*close)(void);
};

/* The group of the processes that a launcher has started (process/launcher.h), in *group; NULL where there is one. To
 * be called once, by a program that does not start over any more. False with an error where they cannot work together.
 */
bool group_open(const struct group **group, struct error *err);
void group_close(const struct group *group);

/* Whether this is process 0, which alone writes files and messages. */
static inline bool group_is_first(const struct group *group) {
    return !group || group->rank == 0;
}

static inline int group_size(const struct group *group) {
    return group ? group->size : 1;
}

/* Running sums: those of the processes before this one, if there are any; those for the next one; the last one's for
 * all. */
void relay_take(const struct group *group, void *sums, size_t bytes);
void relay_pass(const struct group *group, const void *sums, size_t bytes);
void relay_share(const struct group *group, void *sums, size_t bytes);

/* Whether this process has the sums over the batch after its own terms. */
static inline bool relay_ends_here(const struct group *group) {
    return !group || group->rank == group->size - 1;
}

/* relay_pass, and then relay_share. */
void relay_finish(const struct group *group, void *sums, size_t bytes);

/* The same of one sum of whole numbers or of few, whose order does not matter: the sum over all processes. */
double group_sum(const struct group *group, double own);

/* All get what process 0 has. */
void group_broadcast(const struct group *group, void *data, size_t bytes);

/* values[count] become the largest of all processes. */
void group_largest(const struct group *group, int *values, int count);

/* "process 2 on HOST: " before an error's text. */
void group_name_process(int rank, struct error *err);

/* Whether all processes are good. Where one is not, all get the error of the first such process, with its number and
 * host where it is not process 0. */
bool group_agree(const struct group *group, bool good, struct error *err);

/* Whether text is the same on all processes; else an error that names what it is. */
bool group_same(const struct group *group, const char *what, const char *text, struct error *err);

/* --- Shares ------------------------------------------------------------------------------------------------------ */

/* What one process has of every batch: of `of` equal parts those from `first` up to `end`. of 0: all. */
struct share {
    int first, end, of;
};

/* The share of a process of the group, of that many parts. */
struct share group_share(const struct group *group, int parts);

/* The first image of a batch of n that is within it, and how many are. */
int share_first(struct share share, int n);
int share_count(struct share share, int n);

/* The images of a batch that are computed here, among those of the whole batch. Zeros: all. */
struct batch_part {
    const struct group *group;
    int first, whole;
};

/* Images of the whole batch, of which n are computed here. */
static inline int part_whole(const struct batch_part *part, int n) {
    return part->group ? part->whole : n;
}

#endif
