/* Bytes of images, kept in memory while they fit a budget; what is kept stays. Threads may use it at the same time. */
#ifndef SPHERENET_DATA_IMAGE_CACHE_H
#define SPHERENET_DATA_IMAGE_CACHE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct kept {
    size_t size;
    uint8_t bytes[];
};

struct image_cache {
    _Atomic(struct kept *) *places; /* [count] */
    int count;
    atomic_size_t budget; /* bytes; IMAGE_CACHE_AUTO until the first ones are to be kept */
    atomic_size_t used;
};

#define IMAGE_CACHE_AUTO SIZE_MAX

/* "auto", or a number with K, M, G or T (of 1024) or without: bytes. False for other texts. */
bool image_cache_parse(const char *text, size_t *bytes);

/* budget: bytes, or IMAGE_CACHE_AUTO: half of the memory that is free when the first image is kept. False without
 * memory. Free with image_cache_free. */
bool image_cache_open(struct image_cache *cache, int images, size_t budget);
void image_cache_free(struct image_cache *cache); /* one of zeros is allowed */

/* NULL: nothing is kept of that image. */
const struct kept *image_cache_find(const struct image_cache *cache, int image);

/* Keeps a copy where it fits. */
void image_cache_keep(struct image_cache *cache, int image, const uint8_t *bytes, size_t size);

#endif
