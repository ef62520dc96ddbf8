/* From which checkpoint a run is resumed, and what of its spec may be another then. */
#ifndef SPHERENET_RUN_RESUME_H
#define SPHERENET_RUN_RESUME_H

#include "run/checkpoint.h"

/* Where a resume would begin. */
struct resume_point {
    int64_t saved;         /* iteration of the newest checkpoint that is good; -1: there is none */
    struct best_test best; /* of the run so far */
    bool other_tests;      /* those so far were of other images: the best one's accuracy is 0, which the next exceeds */
};

/* A run's beginning. */
#define RESUME_NOTHING                                                                                                 \
    { .saved = -1, .best = BEST_TEST_NONE }

/* Loads the newest checkpoint of the run's folder that is whole into the trainer, its optimizer's state included, and
 * gives the trainer's spec the pixels' mean and deviation that were measured when the run began. Leaves the point as it
 * is where the folder has no checkpoint. skipped: gets a line for each damaged one that was passed over.
 *
 * Errors: no checkpoint is whole; or the newest that is belongs to a spec that differs in more than its name, its
 * `train` section without batch_size and gradient_sums, where the data lie, how many test images there are, and the number of loader
 * threads; or to other training images, or to classes of other names; or the run has another length, which its schedule
 * spans. A schedule that starts at the checkpoint's iteration, and its learning rate, may be new. */
bool resume_load(const struct run_dir *dir, const struct dataset *dataset, struct trainer *trainer,
                 struct resume_point *point, struct text *skipped, struct error *err);

/* Whether a run that began with one spec may go on with the other, the length of its schedule apart; else an error with
 * every key that differs. `now` gets the pixels' mean and deviation that were measured before. */
bool resume_is_same(const struct experiment *now, const struct experiment *before, const char *path, struct error *err);

/* Whether the experiment can begin without a checkpoint: its schedule starts at 0. */
bool resume_nothing(const struct experiment *experiment, struct error *err);

#endif
