/* Checkpoints: all that training needs to go on, in a gzipped safetensors file.
 *
 * Tensors: every tensor of the network under its own name, in the order other frameworks expect, and the optimizer's
 * state as "optimizer.SLOT.NAME". Metadata: "spec" (resolved), "iteration", "version", the best test so far
 * ("best_iteration", "best_accuracy" and, where the validation images have chosen it, "best_test_accuracy"), "classes",
 * their names line by line, where they have names, "data", what was trained on, where that came from files, and
 * "tests_since_best" and "updates_left_out", where there are such. */
#ifndef SPHERENET_RUN_CHECKPOINT_H
#define SPHERENET_RUN_CHECKPOINT_H

#include "run/run_dir.h"
#include "storage/safetensors.h"
#include "train/trainer.h"

/* The best test so far; iteration -1: none yet. */
struct best_test {
    int64_t iteration;
    double accuracy;      /* of the validation images; where there are none, of the test images */
    double test_accuracy; /* at that iteration */
    int64_t since;        /* tests that came after it, or all where there is none yet */
};
#define BEST_TEST_NONE                                                                                                 \
    { .iteration = -1 }

/* Takes no memory that grows with the tensors. dataset: that was trained on. */
bool checkpoint_save(const char *path, const struct trainer *trainer, const struct dataset *dataset,
                     struct best_test best, struct error *err);

/* Opens the checkpoint that a user means by `operand`: a file, or the latest one of a run's folder; the latest and the
 * best one by the names of their links even where a file system has none. path: PATH_BYTES that become its path, and
 * stay while the file is open. An error names it; where it is damaged and the user named the folder, it says what else
 * can be done. */
bool checkpoint_open(const char *operand, char *path, struct safetensors *file, struct error *err);

/* The metadata of an opened checkpoint; an error names the file and what is missing. */
const char *checkpoint_spec(const struct safetensors *file, const char *path, struct error *err);
bool checkpoint_progress(const struct safetensors *file, const char *path, int64_t *iteration, struct best_test *best,
                         struct error *err);

/* The names of the classes line by line; NULL: the file has none. */
const char *checkpoint_classes(const struct safetensors *file);

/* Whether what the file's network calls its classes is what the dataset calls them. Where either has no names, it is.
 */
bool checkpoint_classes_agree(const struct safetensors *file, const char *path, const struct dataset *dataset,
                              struct error *err);

/* Whether the file's network was trained on the images that the dataset has, if both can be told. */
bool checkpoint_data_agree(const struct safetensors *file, const char *path, const struct dataset *dataset,
                           struct error *err);

/* Reads the file's tensors straight to their places: into the network and its optimizer with the count of updates, or
 * into a network alone. Names and shapes must agree; the first difference is the error, and then nothing is changed. */
bool checkpoint_load(struct safetensors *file, const char *path, struct trainer *trainer, struct error *err);
bool checkpoint_load_weights(struct safetensors *file, const char *path, struct model *model, struct error *err);

#endif
