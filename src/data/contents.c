#include "data/contents.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/number.h"

static bool comes_from_files(const struct dataset *dataset) {
    const struct param *p = dataset->type->kind.params;
    while (p->type != PARAM_END && (p->type == PARAM_INCLUDE || strcmp(p->key, "path")))
        p++;
    return p->type != PARAM_END;
}

/* Of an image's label, and of its pixels or what else identifies it. */
static bool measure_image(const struct dataset *dataset, int i, uint8_t *pixels, uint64_t *sum, struct error *err) {
    const struct dataset_type *type = dataset->type;
    uint64_t label = (uint64_t)dataset->splits[SPLIT_TRAIN].labels[i], number;
    struct stored_image image = dataset_stored(dataset, SPLIT_TRAIN, i);
    bool good = type->identify ? type->identify(dataset, image.split, image.index, &number, err)
                               : dataset_fetch(dataset, SPLIT_TRAIN, i, NULL, pixels, err);
    if (good)
        *sum = type->identify ? XXH3_64bits_withSeed(&number, sizeof number, label)
                              : XXH3_64bits_withSeed(pixels, dataset_image_bytes(dataset), label);
    return good;
}

/* A number for each of the images [first, end). */
static bool measure_images(const struct dataset *dataset, int first, int end, uint64_t *sums, struct error *err) {
    uint8_t *pixels = mem_block(dataset_image_bytes(dataset));
    bool good = pixels || error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory to look at an image");
    for (int i = first; good && i < end; i++)
        good = measure_image(dataset, i, pixels, &sums[i], err);
    free(pixels);
    return good;
}

enum { BLOCK = 256 }; /* images that a thread takes at a time */

/* The error is that of the first block that has one. */
static bool measure_all(const struct dataset *dataset, uint64_t *sums, struct error *err) {
    int images = dataset->splits[SPLIT_TRAIN].count, blocks = ceil_div(images, BLOCK), failed = blocks;
#pragma omp parallel for schedule(dynamic)
    for (int block = 0; block < blocks; block++) {
        struct error why;
        int first = block * BLOCK;
        if (measure_images(dataset, first, first + smaller(BLOCK, images - first), sums, &why))
            continue;
#pragma omp critical
        if (block < failed) {
            failed = block;
            *err = why;
        }
    }
    return failed == blocks;
}

bool contents_measure(struct dataset *dataset, struct error *err) {
    int images = dataset->splits[SPLIT_TRAIN].count;
    const int shape[] = {dataset->height, dataset->width, dataset->channels, dataset->classes};
    if (!comes_from_files(dataset))
        return true;
    uint64_t *sums = mem_block(((size_t)images + 1) * sizeof *sums);
    if (!sums)
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory for checksums of %d images", images);
    bool good = measure_all(dataset, sums, err);
    sums[images] = XXH3_64bits(shape, sizeof shape);
    if (good)
        dataset->checksum = XXH3_64bits(sums, ((size_t)images + 1) * sizeof *sums);
    free(sums);
    return good;
}

const char *contents_text(struct arena *arena, const struct dataset *dataset) {
    if (!dataset->checksum)
        return "";
    return arena_printf(arena, "%d images, checksum %016" PRIx64, dataset->splits[SPLIT_TRAIN].count,
                        dataset->checksum);
}

bool contents_agree(const char *text, const char *path, const struct dataset *dataset, struct error *err) {
    struct arena arena = {0};
    const char *now = contents_text(&arena, dataset);
    bool agree = !text || !*now || !strcmp(text, now);
    if (!agree)
        error_set(err,
                  "%s: the run trained on other data: it had %.100s, now there are %s; give data.path the folder where "
                  "the run's own data are, or start another run from its weights with train.init_from",
                  path, text, now);
    arena_free(&arena);
    return agree;
}
