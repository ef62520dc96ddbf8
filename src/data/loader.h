/* Batches, prepared by background threads while the network computes.
 *
 * A batch is a pure function of (dataset, configuration, seed, iteration): epoch e visits the images in a permutation
 * drawn from (seed, e), and the augmentation of an image is drawn from (seed, position in the run). So resuming needs
 * no loader state but the iteration, and batches do not depend on the number of threads. Batches run on across the end
 * of an epoch; every image is used once an epoch. */
#ifndef SPHERENET_DATA_LOADER_H
#define SPHERENET_DATA_LOADER_H

#include <stdint.h>

#include "base/real.h"
#include "data/dataset.h"
#include "process/group.h"

struct batch {
    int count;             /* of those images that this process has */
    const real *images;    /* [count][height][width][channels], normalised */
    const int32_t *labels; /* [count] */
};

enum { LOADER_BATCHES = 3 }; /* one batch is with the caller, one is ready, one is being filled */

struct loader;

/* Both kinds of loader read the dataset until loader_close, so it must outlive them; the configuration is copied. All
 * memory is allocated here. NULL with an error when there is not enough of it, or when a thread cannot be started. */

/* Memory that a training and a testing loader take at the same time. */
size_t loader_bytes(const struct dataset *shape, int batch_size);

/* Training batches of `batch_size` from iteration `first` on (iterations count from 0), shuffled and augmented.
 * Never ends. A batch may be larger than the split; it then holds images more than once. */
struct loader *loader_train(const struct dataset *dataset, const struct data_config *config, uint64_t seed,
                            int batch_size, int64_t first, struct error *err);

/* The same of some of each batch's images: the others are not fetched. */
struct loader *loader_train_share(const struct dataset *dataset, const struct data_config *config, uint64_t seed,
                                  int batch_size, struct share share, int64_t first, struct error *err);
struct loader *loader_evaluate_share(const struct dataset *dataset, const struct data_config *config, int split,
                                     int batch_size, struct share share, struct error *err);

/* One split in file order, not augmented, once; the last batch may be smaller. */
struct loader *loader_evaluate(const struct dataset *dataset, const struct data_config *config, int split,
                               int batch_size, struct error *err);

/* The next batch, owned by the loader and valid until the following call. NULL after the last, and where an image of
 * the batch cannot be fetched. */
const struct batch *loader_next(struct loader *loader);

/* After loader_next: false, with the reason, if it returned NULL for an image that cannot be fetched. */
bool loader_good(struct loader *loader, struct error *err);

/* Stops the threads, whatever they are doing, and frees the loader and its batches; NULL is allowed. */
void loader_close(struct loader *loader);

#endif
