/* The learning curves of a run: train.csv and eval.csv; and the run's clock. */
#ifndef SPHERENET_RUN_CURVES_H
#define SPHERENET_RUN_CURVES_H

#include "run/log.h"
#include "run/run_dir.h"
#include "storage/csv.h"
#include "train/evaluate.h"
#include "train/trainer.h"

struct curves {
    struct csv train, eval;
    bool row_waits;               /* the last row could not be written */
    int batch_size, train_images; /* by which epochs are counted */
    double start;                 /* clock at which second 0 of the run would have been */
    double window_start;          /* clock, and images trained on since then, for images per second */
    int64_t window_images;
    double images_per_second; /* over the last five seconds or less; 0: not known yet */
};

/* Neither file is open: what curves_close may be given before curves_open. */
#define CURVES_CLOSED                                                                                                  \
    { .train.fd = -1, .eval.fd = -1 }

/* Opens both files in the folder, cut back to their rows of at most `iteration` (storage/csv.h), and starts the clock
 * at the seconds of the last one. Close in either case. */
bool curves_open(struct curves *curves, const struct run_dir *dir, int64_t iteration, int batch_size, int train_images,
                 struct error *err);

/* Seconds of training and tests, those before a resume included. */
double curves_seconds(const struct curves *curves);

/* A step was made; the seconds that something else took do not count for images per second. */
void curves_count_step(struct curves *curves);
void curves_leave_out(struct curves *curves, double seconds);

/* Add a row. One that cannot be written waits for the next one, and the log is warned of the first that does. A NaN is
 * "nan" whatever its sign. */
void curves_add_step(struct curves *curves, int64_t iteration, const struct step_result *step, struct log *log);
void curves_add_test(struct curves *curves, int64_t iteration, int split, const struct evaluation *test,
                     struct log *log);

/* Puts all rows on the disk. No checkpoint is made before, so that nothing is lost when a row waits. */
bool curves_sync(struct curves *curves, struct error *err);
void curves_close(struct curves *curves);

#endif
