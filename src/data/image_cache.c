#include "data/image_cache.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

bool image_cache_parse(const char *text, size_t *bytes) {
    static const char units[] = "KMGT";
    char *end;
    if (!strcmp(text, "auto")) {
        *bytes = IMAGE_CACHE_AUTO;
        return true;
    }
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    double number = strtod(text, &end);
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    for (int i = 0; unit && i <= unit - units; i++)
        number *= 1024;
    bool good = !errno && (unit ? !end[1] : !*end) && number < (double)(SIZE_MAX / 2);
    if (good)
        *bytes = (size_t)number;
    return good;
}

bool image_cache_open(struct image_cache *cache, int images, size_t budget) {
    cache->count = images;
    atomic_init(&cache->budget, budget);
    atomic_init(&cache->used, 0);
    cache->places = budget ? mem_block((size_t)images * sizeof *cache->places) : NULL;
    return cache->places || !budget;
}

void image_cache_free(struct image_cache *cache) {
    for (int i = 0; cache->places && i < cache->count; i++)
        free(atomic_load(&cache->places[i]));
    free(cache->places);
    cache->places = NULL;
}

const struct kept *image_cache_find(const struct image_cache *cache, int image) {
    return cache->places ? atomic_load_explicit(&cache->places[image], memory_order_acquire) : NULL;
}

/* The network's memory has been taken when the first image is fetched; of what is left, half. Threads that come at the
 * same time may find different numbers, of which the first one stays. */
static size_t budget_of(struct image_cache *cache) {
    size_t budget = atomic_load(&cache->budget);
    if (budget != IMAGE_CACHE_AUTO)
        return budget;
    size_t half = mem_available("") / 2;
    return atomic_compare_exchange_strong(&cache->budget, &budget, half) ? half : budget;
}

void image_cache_keep(struct image_cache *cache, int image, const uint8_t *bytes, size_t size) {
    size_t taken = sizeof(struct kept) + size;
    struct kept *none = NULL;
    if (!cache->places || atomic_load(&cache->used) + taken > budget_of(cache))
        return;
    if (atomic_fetch_add(&cache->used, taken) + taken > budget_of(cache)) {
        atomic_fetch_sub(&cache->used, taken);
        return;
    }
    struct kept *kept = malloc(taken);
    if (kept) {
        kept->size = size;
        memcpy(kept->bytes, bytes, size);
    }
    if (kept && atomic_compare_exchange_strong(&cache->places[image], &none, kept))
        return;
    free(kept);
    atomic_fetch_sub(&cache->used, taken);
}
