#include "cli/picture_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "data/image_reader.h"

struct picture_queue {
    const struct images_config *config;
    int batch, size; /* size: of the ring */
    uint8_t *pixels; /* [size][height][width][channels] */
    struct queued_picture *ring;
    int thread_count;
    pthread_t *threads;
    pthread_mutex_t naming; /* held by the thread that asks for a name, which may have to wait for it */
    struct picture_names *names;
    pthread_mutex_t lock; /* guards what follows, and the pictures' `done` */
    pthread_cond_t changed;
    int64_t named, released; /* pictures, since the beginning */
    bool ended;              /* no more are to be named */
    bool pauses;             /* the next name is being waited for */
};

static struct queued_picture *picture_at(const struct picture_queue *queue, int64_t position) {
    return &queue->ring[position % queue->size];
}

/* Waits for a free place; false when no more are wanted. */
static bool wait_for_place(struct picture_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    while (!queue->ended && queue->named == queue->released + queue->size)
        pthread_cond_wait(&queue->changed, &queue->lock);
    bool wanted = !queue->ended;
    pthread_mutex_unlock(&queue->lock);
    return wanted;
}

static void set_pausing(struct picture_queue *queue, bool pauses) {
    pthread_mutex_lock(&queue->lock);
    queue->pauses = pauses;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

/* What is named may go on to the network while the next name is not there. */
static bool take_name(struct picture_queue *queue, struct text *path) {
    if (picture_names_at_hand(queue->names))
        return picture_names_next(queue->names, path);
    set_pausing(queue, true);
    bool taken = picture_names_next(queue->names, path);
    set_pausing(queue, false);
    return taken;
}

/* The next picture, with its path; NULL when there is none. */
static struct queued_picture *name_next(struct picture_queue *queue) {
    struct queued_picture *picture = NULL;
    pthread_mutex_lock(&queue->naming);
    if (wait_for_place(queue)) {
        picture = picture_at(queue, queue->named);
        picture->done = false;
        if (!take_name(queue, &picture->path))
            picture = NULL;
        pthread_mutex_lock(&queue->lock);
        queue->named += picture != NULL;
        queue->ended = queue->ended || !picture;
        pthread_cond_broadcast(&queue->changed);
        pthread_mutex_unlock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->naming);
    return picture;
}

static void *decode(void *data) {
    struct picture_queue *queue = data;
    struct error err;
    for (struct queued_picture *picture; (picture = name_next(queue));) {
        picture->fault.length = 0;
        if (!image_read_file(queue->config, picture->path.data, picture->pixels, &err))
            text_printf(&picture->fault, "%s", err.text);
        pthread_mutex_lock(&queue->lock);
        picture->done = true;
        pthread_cond_broadcast(&queue->changed);
        pthread_mutex_unlock(&queue->lock);
    }
    return NULL;
}

static bool allocate(struct picture_queue *queue, struct error *err) {
    const struct images_config *config = queue->config;
    size_t bytes = (size_t)config->height * (size_t)config->width * (size_t)config->channels;
    queue->pixels = mem_block((size_t)queue->size * bytes);
    queue->ring = mem_block((size_t)queue->size * sizeof *queue->ring);
    if (!queue->pixels || !queue->ring)
        return error_set_code(err, ERROR_NO_MEMORY, "not enough memory for %d pictures", queue->size);
    for (int i = 0; i < queue->size; i++)
        queue->ring[i].pixels = queue->pixels + (size_t)i * bytes;
    return true;
}

static bool start(struct picture_queue *queue, int threads, struct error *err) {
    queue->threads = mem_alloc((size_t)threads * sizeof *queue->threads);
    while (queue->thread_count < threads && !pthread_create(&queue->threads[queue->thread_count], NULL, decode, queue))
        queue->thread_count++;
    return queue->thread_count > 0 || error_set(err, "no thread can be started that decodes pictures");
}

struct picture_queue *picture_queue_open(const struct images_config *config, struct picture_names *names, int batch,
                                         int threads, struct error *err) {
    struct picture_queue *queue = mem_alloc(sizeof *queue);
    *queue = (struct picture_queue){.config = config, .names = names, .batch = batch, .size = 2 * batch};
    pthread_mutex_init(&queue->naming, NULL);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    if (allocate(queue, err) && start(queue, threads, err))
        return queue;
    picture_queue_close(queue);
    return NULL;
}

/* Of the next ones, at most a batch, those that are named; -1 while more may come soon or are not decoded. */
static int ready(const struct picture_queue *queue) {
    int count = queue->named - queue->released < queue->batch ? (int)(queue->named - queue->released) : queue->batch;
    if (count < queue->batch && !queue->ended && !(queue->pauses && count))
        return -1;
    for (int i = 0; i < count; i++)
        if (!picture_at(queue, queue->released + i)->done)
            return -1;
    return count;
}

int picture_queue_wait(struct picture_queue *queue) {
    int count;
    pthread_mutex_lock(&queue->lock);
    while ((count = ready(queue)) < 0)
        pthread_cond_wait(&queue->changed, &queue->lock);
    pthread_mutex_unlock(&queue->lock);
    return count;
}

const struct queued_picture *picture_queue_get(const struct picture_queue *queue, int number) {
    return picture_at(queue, queue->released + number);
}

void picture_queue_release(struct picture_queue *queue, int count) {
    pthread_mutex_lock(&queue->lock);
    queue->released += count;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

void picture_queue_close(struct picture_queue *queue) {
    if (!queue)
        return;
    pthread_mutex_lock(&queue->lock);
    queue->ended = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    picture_names_stop(queue->names);
    for (int i = 0; i < queue->thread_count; i++)
        pthread_join(queue->threads[i], NULL);
    for (int i = 0; queue->ring && i < queue->size; i++) {
        text_free(&queue->ring[i].path);
        text_free(&queue->ring[i].fault);
    }
    free(queue->threads);
    free(queue->ring);
    free(queue->pixels);
    free(queue);
}
