/* Pictures on their way from files to the network: threads decode those that come next while the network computes. */
#ifndef SPHERENET_CLI_PICTURE_QUEUE_H
#define SPHERENET_CLI_PICTURE_QUEUE_H

#include "cli/picture_names.h"
#include "data/dataset_images.h"

struct queued_picture {
    struct text path;
    uint8_t *pixels;   /* [height][width][channels] */
    struct text fault; /* why there are none; of length 0: there are */
    bool done;
};

struct picture_queue;

/* Names and configuration are used until picture_queue_close, which stops the names. At most 2 * batch pictures wait,
 * and each thread decodes one. NULL with an error where memory or threads are not to be had. */
struct picture_queue *picture_queue_open(const struct images_config *config, struct picture_names *names, int batch,
                                         int threads, struct error *err);

/* Waits for the next `batch` pictures, or fewer at the end and where the next name has to be waited for; how many there
 * are, 0: the end. */
int picture_queue_wait(struct picture_queue *queue);

/* One of those, in the order of their names; valid until they are released. */
const struct queued_picture *picture_queue_get(const struct picture_queue *queue, int number);
void picture_queue_release(struct picture_queue *queue, int count);
void picture_queue_close(struct picture_queue *queue); /* NULL is allowed */

#endif
