#include "data/loader.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/augment.h"

/* One batch is with the caller, one is ready, one is being filled. */
enum { SLOTS = 3 };

struct slot {
    struct batch batch;
    real *images;
    int32_t *labels;
};

struct loader {
    /* Constant while the thread runs. */
    const struct split *split;
    size_t image_size; /* elements */
    struct augment augment;
    uint64_t seed;
    int batch_size;
    bool training;
    int64_t first, batches; /* iteration of batch 0; number of batches */

    /* The thread's own. */
    int *order; /* [split->count], the permutation of `epoch`; file order when evaluating */
    int64_t epoch;

    struct slot slots[SLOTS]; /* batch n is in slot n % SLOTS: the thread's until filled, then the caller's */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    int64_t filled, released; /* batches that the thread has filled, that the caller is done with */
    bool stop;

    bool lent; /* the caller's own: it holds batch `released` */
};

static void shuffle(struct loader *loader, int64_t epoch) {
    struct rng rng = rng_stream(loader->seed, RNG_SHUFFLE, (uint64_t)epoch, 0);
    int *order = loader->order;
    for (int i = 0; i < loader->split->count; i++)
        order[i] = i;
    for (int i = loader->split->count - 1; i > 0; i--) {
        int j = (int)rng_below(&rng, (uint32_t)i + 1);
        int image = order[i];
        order[i] = order[j];
        order[j] = image;
    }
    loader->epoch = epoch;
}

/* The image at a position of the run: the permutations of epochs 0, 1, ... one after the other. */
static int image_at(struct loader *loader, int64_t position) {
    int64_t epoch = position / loader->split->count;
    if (!loader->training)
        return (int)position;
    if (epoch != loader->epoch)
        shuffle(loader, epoch);
    return loader->order[position % loader->split->count];
}

static void fill_image(struct loader *loader, struct slot *slot, int i, int64_t position) {
    int image = image_at(loader, position);
    struct placement placement = {0};
    if (loader->training)
        placement = augment_draw(&loader->augment, loader->seed, position);
    augment_apply(&loader->augment, placement, loader->split->pixels + (size_t)image * loader->image_size,
                  slot->images + (size_t)i * loader->image_size);
    slot->labels[i] = loader->split->labels[image];
}

static void fill_slot(struct loader *loader, struct slot *slot, int64_t iteration) {
    int64_t start = iteration * loader->batch_size;
    int count = loader->batch_size;
    if (!loader->training && count > loader->split->count - start)
        count = (int)(loader->split->count - start);
    for (int i = 0; i < count; i++)
        fill_image(loader, slot, i, start + i);
    slot->batch.count = count;
}

/* Waits for a slot that the caller is done with; false when the loader is being closed. */
static bool wait_for_slot(struct loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    while (!loader->stop && loader->filled - loader->released == SLOTS)
        pthread_cond_wait(&loader->changed, &loader->mutex);
    bool go_on = !loader->stop;
    pthread_mutex_unlock(&loader->mutex);
    return go_on;
}

static void *fill_slots(void *argument) {
    struct loader *loader = argument;
    for (int64_t n = 0; n < loader->batches && wait_for_slot(loader); n++) {
        fill_slot(loader, &loader->slots[n % SLOTS], loader->first + n);
        pthread_mutex_lock(&loader->mutex);
        loader->filled++;
        pthread_cond_signal(&loader->changed);
        pthread_mutex_unlock(&loader->mutex);
    }
    return NULL;
}

size_t loader_bytes(const struct dataset *shape, int batch_size) {
    return 2 * SLOTS * (size_t)batch_size * dataset_image_bytes(shape) * sizeof(real);
}

static bool allocate(struct loader *loader) {
    bool ok = true;
    size_t batch_size = (size_t)loader->batch_size;
    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &loader->slots[i];
        slot->images = mem_block(batch_size * loader->image_size * sizeof *slot->images);
        slot->labels = mem_block(batch_size * sizeof *slot->labels);
        slot->batch = (struct batch){.images = slot->images, .labels = slot->labels};
        ok = ok && slot->images && slot->labels;
    }
    if (loader->training)
        loader->order = mem_block((size_t)loader->split->count * sizeof *loader->order);
    return ok && (loader->order || !loader->training);
}

static void release(struct loader *loader) {
    for (int i = 0; i < SLOTS; i++) {
        free(loader->slots[i].images);
        free(loader->slots[i].labels);
    }
    free(loader->order);
    free(loader);
}

/* The thread inherits a mask of all signals: it takes none. */
static int start_thread(struct loader *loader) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&loader->thread, NULL, fill_slots, loader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static bool start(struct loader *loader, struct error *err) {
    if (!allocate(loader))
        return error_set(err, "data: not enough memory for %d batches of %d images", SLOTS, loader->batch_size);
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->changed, NULL);
    errno = start_thread(loader);
    if (errno == 0)
        return true;
    error_set_errno(err, "data: cannot start a thread");
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->mutex);
    return false;
}

static struct loader *open_loader(struct loader settings, const struct dataset *dataset,
                                  const struct data_config *config, struct error *err) {
    struct loader *loader = mem_alloc(sizeof *loader);
    *loader = settings;
    loader->image_size = dataset_image_bytes(dataset);
    loader->augment = augment_make(dataset, config);
    loader->epoch = -1;
    if (start(loader, err))
        return loader;
    release(loader);
    return NULL;
}

struct loader *loader_train(const struct dataset *dataset, const struct data_config *config, uint64_t seed,
                            int batch_size, int64_t first, struct error *err) {
    struct loader settings = {
        .split = &dataset->splits[SPLIT_TRAIN],
        .seed = seed,
        .batch_size = batch_size,
        .training = true,
        .first = first,
        .batches = INT64_MAX,
    };
    return open_loader(settings, dataset, config, err);
}

struct loader *loader_evaluate(const struct dataset *dataset, const struct data_config *config, int split,
                               int batch_size, struct error *err) {
    const struct split *images = &dataset->splits[split];
    struct loader settings = {
        .split = images,
        .batch_size = batch_size,
        .batches = ((int64_t)images->count + batch_size - 1) / batch_size,
    };
    return open_loader(settings, dataset, config, err);
}

static void give_back(struct loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    loader->released++;
    pthread_cond_signal(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
    loader->lent = false;
}

const struct batch *loader_next(struct loader *loader) {
    if (loader->lent)
        give_back(loader);
    int64_t wanted = loader->released; /* written by this thread only */
    if (wanted == loader->batches)
        return NULL;
    pthread_mutex_lock(&loader->mutex);
    while (loader->filled == wanted)
        pthread_cond_wait(&loader->changed, &loader->mutex);
    pthread_mutex_unlock(&loader->mutex);
    loader->lent = true;
    return &loader->slots[wanted % SLOTS].batch;
}

void loader_close(struct loader *loader) {
    if (!loader)
        return;
    pthread_mutex_lock(&loader->mutex);
    loader->stop = true;
    pthread_cond_signal(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
    pthread_join(loader->thread, NULL);
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->mutex);
    release(loader);
}
