#include "data/image_arrays.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

bool image_arrays_reserve(struct dataset *dataset, int split, int images, struct error *err) {
    if (!dataset->images)
        dataset->images = mem_alloc(sizeof(struct image_arrays));
    struct image_arrays *arrays = dataset->images;
    struct split *old = &dataset->splits[split];
    size_t image_bytes = dataset_image_bytes(dataset), pixel_bytes = (size_t)images * image_bytes;
    if (images <= arrays->splits[split].capacity)
        return true;
    uint8_t *pixels = mem_block(pixel_bytes);
    int32_t *labels = mem_block((size_t)images * sizeof *labels);
    if (!pixels || !labels) {
        free(pixels);
        free(labels);
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory for %d %s images (%zu bytes)", images,
                              split_names[split], pixel_bytes);
    }
    if (old->count) {
        memcpy(pixels, arrays->splits[split].pixels, (size_t)old->count * image_bytes);
        memcpy(labels, old->labels, (size_t)old->count * sizeof *labels);
    }
    free(arrays->splits[split].pixels);
    free(old->labels);
    arrays->splits[split].pixels = pixels;
    arrays->splits[split].capacity = images;
    old->labels = labels;
    return true;
}

bool image_arrays_fetch(const struct dataset *dataset, int split, int index, const struct augment_context *context,
                        uint8_t *pixels, struct error *err) {
    (void)context, (void)err;
    size_t bytes = dataset_image_bytes(dataset);
    memcpy(pixels, image_arrays_pixels(dataset, split) + (size_t)index * bytes, bytes);
    return true;
}

void image_arrays_release(struct dataset *dataset) {
    struct image_arrays *arrays = dataset->images;
    for (int s = 0; arrays && s < SPLIT_COUNT; s++)
        free(arrays->splits[s].pixels);
    free(arrays);
}
