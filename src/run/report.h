/* What a run tells beside its progress: how it begins, what goes wrong and what may help, how it was ended. */
#ifndef SPHERENET_RUN_REPORT_H
#define SPHERENET_RUN_REPORT_H

#include "run/log.h"
#include "run/resume.h"
#include "train/evaluate.h"

/* Program, machine, data, network and folder. initialised: the weights are those of train.init_from. */
void report_opening(struct log *log, const struct trainer *trainer, const struct dataset *dataset, bool initialised,
                    const char *folder);

/* Where it begins, if it may go on from before: resumed at `iteration`, or as the mode found no checkpoint, or no run
 * (`held` false). */
void report_place(struct log *log, const struct resume_point *point, int64_t iteration, enum run_mode mode, bool held);

/* A warning for each line, which ends with a line end; NULL: there is none. Changes the text. */
void report_skipped(struct log *log, char *lines);

/* A warning that accuracy stays at chance under the margin of the experiment's loss. */
void report_chance(struct log *log, const struct trainer *trainer, double lambda);

/* A warning that tests lag behind: the accuracy of one batch in training, and as a test sees it. */
void report_lag(struct log *log, int64_t iteration, double training, double test);

/* The latest update was left out since something was not finite (`what`, of train/divergence.h): a warning where
 * training goes on, an error where it does not. too_many: though updates may be left out. saved: iteration of the last
 * checkpoint; -1: there is none. */
void report_left_out(struct log *log, int64_t iteration, const char *what);
void report_diverged(struct error *err, int64_t iteration, const char *what, bool too_many, int64_t saved);

/* A test that is finite, and whether it is the best so far. validation: NULL where there are no such images. */
void report_test(struct log *log, int64_t iteration, const struct evaluation *validation, const struct evaluation *test,
                 bool is_best);

/* The loss of a test on that split was not finite (`what` likewise): a warning where training goes on, an error where
 * it does not. */
void report_failed_test(struct log *log, int64_t iteration, int split, const char *what);
void report_failed_last_test(struct error *err, int64_t iteration, int split, const char *what, int64_t saved);

/* The run has ended before train.iterations, since so many tests were no better than the best one. */
void report_out_of_patience(struct log *log, int64_t iteration, const struct best_test *best);

/* A run that is resumed has come to its end already. */
void report_nothing_to_do(struct log *log, int64_t iteration, int iterations, const struct best_test *best);

/* The run is done: its best test, which the validation images have chosen where `validated`. */
void report_done(struct log *log, const struct best_test *best, bool validated, double seconds, const char *folder);

/* For run/interrupt.h, while an iteration is computed: it was given up. Returns text. */
const char *report_given_up(char *text, size_t bytes, int64_t saved);

/* The signal ended the run. */
void report_ended(struct log *log, int64_t iteration, int signal, int64_t saved);

#endif
