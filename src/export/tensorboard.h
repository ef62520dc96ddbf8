/* The curves of a run as a file of events that TensorBoard reads.
 *
 * Each column but the iteration is a scalar, "train/NAME" of train.csv and "SPLIT/NAME" of eval.csv, at the step of its
 * iteration. Values are float, as TensorBoard's scalars are. */
#ifndef SPHERENET_EXPORT_TENSORBOARD_H
#define SPHERENET_EXPORT_TENSORBOARD_H

#include "base/error.h"

/* A name that TensorBoard looks for; the same each time, so that one export replaces the one before. */
#define TENSORBOARD_FILE "events.out.tfevents.spherenet"

/* run: the run's folder. Writes FOLDER/TENSORBOARD_FILE, which is whole or not there, and makes the folder. */
bool tensorboard_write(const char *folder, const char *run, struct error *err);

#endif
