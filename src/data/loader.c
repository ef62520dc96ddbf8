#include "data/loader.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/number.h"
#include "base/rng.h"
#include "data/normalize.h"

enum { CHUNK = 16 }; /* images that a thread takes at a time */

struct slot {
    struct batch batch;
    real *images;
    int32_t *labels;
    int left;      /* images still to be filled */
    int failed_at; /* the first image that could not be fetched, and why; batch.count: none */
    struct error error;
};

struct worker {
    struct loader *loader;
    pthread_t thread;
    uint8_t *pixels; /* of the image that it works on */
};

struct loader {
    /* Constant while threads run. */
    const struct dataset *dataset;
    int split, images;
    size_t image_size; /* elements */
    struct augment_config augment;
    struct normalizer normalizer;
    uint64_t seed;
    int batch_size;
    struct share share; /* of each batch's images, which are fetched */
    bool training;
    int64_t first, batches; /* iteration of batch 0; number of batches */
    int worker_count;
    struct worker *workers;

    pthread_mutex_t taking; /* guards what is to be done next: */
    int64_t next_batch;
    int next_image; /* of the batch */
    int *order;     /* [images], the permutation of `epoch`; NULL when evaluating: file order */
    int64_t epoch;

    pthread_mutex_t mutex; /* guards what follows; taken after `taking` where both are */
    pthread_cond_t changed;
    struct slot
        slots[LOADER_BATCHES]; /* batch n is in slot n % LOADER_BATCHES: the threads' until filled, then the caller's */
    int64_t opened, released;  /* batches that threads have begun to fill, that the caller is done with */
    bool stop;

    bool lent; /* the caller's own: it holds batch `released` */
};

/* --- The threads ------------------------------------------------------------------------------------------------- */

/* Images of one batch that a thread has taken upon itself. */
struct chunk {
    struct slot *slot;
    int first, count;
    int64_t position;   /* of the first, in the run */
    int indices[CHUNK]; /* in the split */
};

static void shuffle(struct loader *loader, int64_t epoch) {
    struct rng rng = rng_stream(loader->seed, RNG_SHUFFLE, (uint64_t)epoch, 0);
    int *order = loader->order;
    for (int i = 0; i < loader->images; i++)
        order[i] = i;
    for (int i = loader->images - 1; i > 0; i--) {
        int j = (int)rng_below(&rng, (uint32_t)i + 1);
        int image = order[i];
        order[i] = order[j];
        order[j] = image;
    }
    loader->epoch = epoch;
}

/* The image at a position of the run: the permutations of epochs 0, 1, ... one after the other. */
static int image_at(struct loader *loader, int64_t position) {
    int64_t epoch = position / loader->images;
    if (!loader->training)
        return (int)position;
    if (epoch != loader->epoch)
        shuffle(loader, epoch);
    return loader->order[position % loader->images];
}

/* Images in a whole batch: the last one of an evaluation may be smaller. */
static int whole_count(const struct loader *loader, int64_t batch) {
    int64_t left = loader->images - (loader->first + batch) * loader->batch_size;
    return loader->training || left > loader->batch_size ? loader->batch_size : (int)left;
}

/* Of those to be fetched. */
static int64_t first_position(const struct loader *loader, int64_t batch) {
    return (loader->first + batch) * loader->batch_size + share_first(loader->share, whole_count(loader, batch));
}

static int batch_count(const struct loader *loader, int64_t batch) {
    return share_count(loader->share, whole_count(loader, batch));
}

/* Where the next batch begins, waits for a slot that the caller is done with. False when the loader is being closed. */
static bool open_slot(struct loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    bool begins = loader->next_image == 0;
    while (!loader->stop && begins && loader->next_batch - loader->released == LOADER_BATCHES)
        pthread_cond_wait(&loader->changed, &loader->mutex);
    if (begins && !loader->stop) {
        struct slot *slot = &loader->slots[loader->next_batch % LOADER_BATCHES];
        slot->batch.count = slot->left = slot->failed_at = batch_count(loader, loader->next_batch);
        loader->opened++;
    }
    bool go_on = !loader->stop;
    pthread_mutex_unlock(&loader->mutex);
    return go_on;
}

/* False when there is nothing more to do. */
static bool take_chunk(struct loader *loader, struct chunk *chunk) {
    pthread_mutex_lock(&loader->taking);
    bool taken = loader->next_batch < loader->batches && open_slot(loader);
    if (taken) {
        int in_batch = batch_count(loader, loader->next_batch);
        chunk->slot = &loader->slots[loader->next_batch % LOADER_BATCHES];
        chunk->first = loader->next_image;
        chunk->count = smaller(CHUNK, in_batch - chunk->first);
        chunk->position = first_position(loader, loader->next_batch) + chunk->first;
        for (int i = 0; i < chunk->count; i++)
            chunk->indices[i] = image_at(loader, chunk->position + i);
        loader->next_image += chunk->count;
        if (loader->next_image == in_batch) {
            loader->next_batch++;
            loader->next_image = 0;
        }
    }
    pthread_mutex_unlock(&loader->taking);
    return taken;
}

/* failed_at: an image of the batch that could not be fetched, or the batch's count. */
static void give_chunk(struct loader *loader, const struct chunk *chunk, int failed_at, const struct error *error) {
    struct slot *slot = chunk->slot;
    pthread_mutex_lock(&loader->mutex);
    if (failed_at < slot->failed_at) {
        slot->failed_at = failed_at;
        slot->error = *error;
    }
    slot->left -= chunk->count;
    if (slot->left == 0)
        pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
}

static bool fill_image(const struct worker *worker, const struct chunk *chunk, int i, struct error *err) {
    const struct loader *loader = worker->loader;
    const struct dataset *dataset = loader->dataset;
    const struct augment_context context = {loader->seed, chunk->position + i, dataset->height, dataset->width,
                                            dataset->channels};
    struct placement placement = {0};
    int index = chunk->indices[i], in_batch = chunk->first + i;
    if (!dataset_fetch(dataset, loader->split, index, loader->training ? &context : NULL, worker->pixels, err))
        return false;
    if (loader->training) {
        augment_paint(&loader->augment, &context, worker->pixels);
        placement = augment_draw(&loader->augment, &context);
    }
    normalize_image(&loader->normalizer, placement, worker->pixels,
                    chunk->slot->images + (size_t)in_batch * loader->image_size);
    chunk->slot->labels[in_batch] = dataset->splits[loader->split].labels[index];
    return true;
}

static void *work(void *argument) {
    const struct worker *worker = argument;
    struct chunk chunk;
    struct error err;
    while (take_chunk(worker->loader, &chunk)) {
        int filled = 0;
        while (filled < chunk.count && fill_image(worker, &chunk, filled, &err))
            filled++;
        give_chunk(worker->loader, &chunk, filled < chunk.count ? chunk.first + filled : chunk.slot->batch.count, &err);
    }
    return NULL;
}

/* --- Opening ----------------------------------------------------------------------------------------------------- */

size_t loader_bytes(const struct dataset *shape, int batch_size) {
    return 2 * LOADER_BATCHES * (size_t)batch_size * dataset_image_bytes(shape) * sizeof(real);
}

static bool allocate(struct loader *loader) {
    bool ok = true;
    size_t batch_size = (size_t)loader->batch_size;
    for (int i = 0; i < LOADER_BATCHES; i++) {
        struct slot *slot = &loader->slots[i];
        slot->images = mem_block(batch_size * loader->image_size * sizeof *slot->images);
        slot->labels = mem_block(batch_size * sizeof *slot->labels);
        slot->batch = (struct batch){.images = slot->images, .labels = slot->labels};
        ok = ok && slot->images && slot->labels;
    }
    for (int i = 0; i < loader->worker_count; i++) {
        struct worker *worker = &loader->workers[i];
        *worker = (struct worker){.loader = loader, .pixels = mem_block(loader->image_size)};
        ok = ok && worker->pixels;
    }
    if (loader->training)
        loader->order = mem_block((size_t)loader->images * sizeof *loader->order);
    return ok && (loader->order || !loader->training);
}

static void release(struct loader *loader) {
    for (int i = 0; i < LOADER_BATCHES; i++) {
        free(loader->slots[i].images);
        free(loader->slots[i].labels);
    }
    for (int i = 0; i < loader->worker_count; i++)
        free(loader->workers[i].pixels);
    free(loader->workers);
    free(loader->order);
    free(loader);
}

/* Threads inherit a mask of all signals: they take none. Returns how many have started; where not all, errno says why.
 */
static int start_threads(struct loader *loader) {
    int started = 0;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = 0;
    while (started < loader->worker_count && errno == 0) {
        struct worker *worker = &loader->workers[started];
        errno = pthread_create(&worker->thread, NULL, work, worker);
        started += errno == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void stop_threads(struct loader *loader, int started) {
    pthread_mutex_lock(&loader->mutex);
    loader->stop = true;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
    for (int i = 0; i < started; i++)
        pthread_join(loader->workers[i].thread, NULL);
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->mutex);
    pthread_mutex_destroy(&loader->taking);
}

static bool start(struct loader *loader, struct error *err) {
    if (!allocate(loader))
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory for %d batches of %d images",
                              LOADER_BATCHES, loader->batch_size);
    pthread_mutex_init(&loader->taking, NULL);
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->changed, NULL);
    int started = start_threads(loader);
    if (started == loader->worker_count)
        return true;
    error_set_errno(err, "data: cannot start a thread");
    stop_threads(loader, started);
    return false;
}

static struct loader *open_loader(struct loader settings, const struct dataset *dataset,
                                  const struct data_config *config, struct error *err) {
    struct loader *loader = mem_alloc(sizeof *loader);
    *loader = settings;
    loader->dataset = dataset;
    loader->images = dataset->splits[loader->split].count;
    loader->image_size = dataset_image_bytes(dataset);
    loader->augment = config->augment;
    loader->normalizer = normalizer_make(dataset, config);
    loader->epoch = -1;
    if (!loader->training)
        loader->batches = ((int64_t)loader->images + loader->batch_size - 1) / loader->batch_size;
    loader->worker_count = config->loader_threads;
    loader->workers = mem_alloc((size_t)loader->worker_count * sizeof *loader->workers);
    if (start(loader, err))
        return loader;
    release(loader);
    return NULL;
}

struct loader *loader_train(const struct dataset *dataset, const struct data_config *config, uint64_t seed,
                            int batch_size, int64_t first, struct error *err) {
    return loader_train_share(dataset, config, seed, batch_size, (struct share){0}, first, err);
}

struct loader *loader_evaluate(const struct dataset *dataset, const struct data_config *config, int split,
                               int batch_size, struct error *err) {
    return loader_evaluate_share(dataset, config, split, batch_size, (struct share){0}, err);
}

struct loader *loader_train_share(const struct dataset *dataset, const struct data_config *config, uint64_t seed,
                                  int batch_size, struct share share, int64_t first, struct error *err) {
    struct loader settings = {
        .split = SPLIT_TRAIN,
        .seed = seed,
        .batch_size = batch_size,
        .share = share,
        .training = true,
        .first = first,
        .batches = INT64_MAX,
    };
    return open_loader(settings, dataset, config, err);
}

struct loader *loader_evaluate_share(const struct dataset *dataset, const struct data_config *config, int split,
                                     int batch_size, struct share share, struct error *err) {
    struct loader settings = {.split = split, .batch_size = batch_size, .share = share};
    return open_loader(settings, dataset, config, err);
}

/* --- The caller -------------------------------------------------------------------------------------------------- */

static void give_back(struct loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    loader->released++;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
    loader->lent = false;
}

/* The slot of the batch that the caller is to have next, once it is filled. */
static const struct slot *wait_for_batch(struct loader *loader) {
    int64_t wanted = loader->released; /* written by this thread only */
    const struct slot *slot = &loader->slots[wanted % LOADER_BATCHES];
    pthread_mutex_lock(&loader->mutex);
    while (loader->opened <= wanted || slot->left > 0)
        pthread_cond_wait(&loader->changed, &loader->mutex);
    pthread_mutex_unlock(&loader->mutex);
    return slot;
}

const struct batch *loader_next(struct loader *loader) {
    if (loader->lent)
        give_back(loader);
    if (loader->released == loader->batches)
        return NULL;
    const struct slot *slot = wait_for_batch(loader);
    loader->lent = slot->failed_at == slot->batch.count;
    return loader->lent ? &slot->batch : NULL;
}

bool loader_good(struct loader *loader, struct error *err) {
    if (loader->lent || loader->released == loader->batches)
        return true;
    *err = wait_for_batch(loader)->error;
    return false;
}

void loader_close(struct loader *loader) {
    if (!loader)
        return;
    stop_threads(loader, loader->worker_count);
    release(loader);
}
