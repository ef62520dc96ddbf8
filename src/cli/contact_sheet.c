#include "cli/contact_sheet.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "cli/loaded_run.h"
#include "data/loader.h"

enum { COLUMNS = 8, ROWS = 8, GAP = 2, LEAST_SIDE = 64, WHITE = 255 }; /* in pixels of the sheet */

struct sheet {
    const struct dataset *dataset;
    const struct data_config *config;
    int colours, scale; /* bytes of a pixel; pixels of the sheet for one of an image, each way */
    int height, width;
    uint8_t *pixels; /* [height][width][colours] */
};

static double of_channel(const struct real_list *list, int channel) {
    return list->values[list->count > 1 ? channel : 0];
}

/* The pixel that was normalised to that. */
static uint8_t pixel_of(const struct sheet *sheet, real input, int channel) {
    double value = (double)input * of_channel(&sheet->config->pixel_scale, channel) +
                   of_channel(&sheet->config->pixel_mean, channel);
    return (uint8_t)lrint(fmin(fmax(value, 0), WHITE));
}

/* An image whose upper left corner is there. */
static void put_image(const struct sheet *sheet, int top, int left, const real *image) {
    const struct dataset *dataset = sheet->dataset;
    for (int y = 0; y < dataset->height * sheet->scale; y++)
        for (int x = 0; x < dataset->width * sheet->scale; x++) {
            const real *from = image + (y / sheet->scale * dataset->width + x / sheet->scale) * dataset->channels;
            uint8_t *to = sheet->pixels +
                          ((size_t)(top + y) * (size_t)sheet->width + (size_t)(left + x)) * (size_t)sheet->colours;
            for (int c = 0; c < sheet->colours; c++)
                to[c] = pixel_of(sheet, from[c], c);
        }
}

static bool fill(const struct sheet *sheet, uint64_t seed, struct error *err) {
    int step_down = sheet->dataset->height * sheet->scale + GAP,
        step_right = sheet->dataset->width * sheet->scale + GAP;
    struct loader *loader = loader_train(sheet->dataset, sheet->config, seed, COLUMNS * ROWS, 0, err);
    const struct batch *batch = loader ? loader_next(loader) : NULL;
    for (int i = 0; batch && i < COLUMNS * ROWS; i++)
        put_image(sheet, GAP + i / COLUMNS * step_down, GAP + i % COLUMNS * step_right,
                  batch->images + (size_t)i * dataset_image_bytes(sheet->dataset));
    bool good = batch || (loader && loader_good(loader, err));
    loader_close(loader);
    return good;
}

/* The sheet as PNG, in memory; to be freed. */
static void *encode(const struct sheet *sheet, png_alloc_size_t *size, const char *path, struct error *err) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)sheet->width,
                       .height = (png_uint_32)sheet->height,
                       .format = sheet->colours == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY};
    void *bytes = NULL;
    if (png_image_write_to_memory(&image, NULL, size, 0, sheet->pixels, 0, NULL)) {
        bytes = mem_alloc(*size);
        if (png_image_write_to_memory(&image, bytes, size, 0, sheet->pixels, 0, NULL))
            return bytes;
    }
    free(bytes);
    error_set(err, "%s: %s", path, image.message);
    return NULL;
}

static bool write_png(const struct sheet *sheet, const char *path, struct error *err) {
    png_alloc_size_t size;
    void *bytes = encode(sheet, &size, path, err);
    struct atomic_stream file;
    bool good = bytes && table_open(&file, path, err);
    if (good)
        (void)fwrite(bytes, 1, size, file.file); /* table_close finds what went wrong */
    free(bytes);
    return good && table_close(&file, path, err);
}

bool contact_sheet_write(const char *path, const struct dataset *dataset, const struct data_config *config,
                         uint64_t seed, struct error *err) {
    int side = larger(dataset->height, dataset->width);
    struct sheet sheet = {dataset, config, dataset->channels >= 3 ? 3 : 1, side < LEAST_SIDE ? LEAST_SIDE / side : 1, 0,
                          0,       NULL};
    sheet.height = ROWS * (dataset->height * sheet.scale + GAP) + GAP;
    sheet.width = COLUMNS * (dataset->width * sheet.scale + GAP) + GAP;
    size_t bytes = (size_t)sheet.height * (size_t)sheet.width * (size_t)sheet.colours;
    sheet.pixels = mem_block(bytes);
    if (!sheet.pixels)
        return error_set_code(err, ERROR_NO_MEMORY, "%s: not enough memory for %zu bytes", path, bytes);
    for (size_t i = 0; i < bytes; i++)
        sheet.pixels[i] = WHITE;
    bool good = fill(&sheet, seed, err) && write_png(&sheet, path, err);
    free(sheet.pixels);
    return good;
}
