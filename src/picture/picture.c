#include "picture/picture.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "picture/exif.h"
#include "picture/format.h"
#include "picture/not_picture.h"

enum { LARGE_BYTES = 1 << 24 }; /* worth asking the system for */

void picture_free(struct picture *picture) {
    free(picture->pixels);
    *picture = (struct picture){0};
}

/* --- Formats ----------------------------------------------------------------------------------------------------- */

static const struct format {
    const char *name, *mark;
    bool (*probe)(struct picture_header *header, const struct picture_file *file, struct error *err);
    bool (*decode)(struct picture *picture, struct picture_header *header, const struct picture_file *file,
                   struct picture_want want, struct error *err);
} formats[] = {
    {"JPEG", "\xff\xd8\xff", jpeg_probe, jpeg_decode},
    {"PNG", "\x89PNG", png_probe, png_decode},
};

/* NULL, with an error, for another. */
static const struct format *format_of(const struct picture_file *file, struct error *err) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (file->count >= strlen(formats[i].mark) && !memcmp(file->bytes, formats[i].mark, strlen(formats[i].mark)))
            return &formats[i];
    not_picture_explain(file->name, file->bytes, file->count, err);
    return NULL;
}

bool picture_check_size(const struct picture_file *file, int width, int height, struct error *err) {
    if ((int64_t)width * height <= PICTURE_MOST_PIXELS)
        return true;
    return error_set(err, "%s: it is %d × %d pixels, and at most %d are taken: make it smaller", file->name, width,
                     height, PICTURE_MOST_PIXELS);
}

bool picture_allocate(struct picture *picture, size_t beside, const char *name, struct error *err) {
    size_t bytes = (size_t)picture->width * (size_t)picture->height * (size_t)picture->channels;
    bool fits = bytes + beside < LARGE_BYTES || bytes + beside <= mem_available("");
    picture->pixels = fits ? malloc(bytes) : NULL;
    if (picture->pixels)
        return true;
    return error_set_code(err, ERROR_NO_MEMORY, "%s: there is no memory for %d × %d pixels", name, picture->width,
                          picture->height);
}

bool picture_probe(struct picture_size *size, const uint8_t *bytes, size_t count, const char *name, struct error *err) {
    struct picture_header header;
    const struct picture_file file = {bytes, count, name};
    const struct format *format = format_of(&file, err);
    if (!format || !format->probe(&header, &file, err) || !picture_check_size(&file, header.width, header.height, err))
        return false;
    *size = (struct picture_size){header.width, header.height, format->name};
    if (exif_swaps_sides(header.orientation))
        *size = (struct picture_size){header.height, header.width, format->name};
    return true;
}

/* --- Channels ---------------------------------------------------------------------------------------------------- */

/* a · b / 255, rounded */
static int product_of_parts(int a, int b) {
    int product = a * b + 128;
    return (product + (product >> 8)) >> 8;
}

/* In place, from inverted CMYK to RGB, as Pillow has it. */
static void cmyk_to_rgb(struct picture *picture, size_t count) {
    uint8_t *to = picture->pixels;
    for (const uint8_t *from = to; count; count--, from += 4, to += 3)
        for (int c = 0; c < 3; c++) {
            int light = from[3];
            to[c] = (uint8_t)(light - product_of_parts(255 - from[c], light));
        }
    picture->channels = 3;
}

/* In place; ITU-R 601-2's luma in 16 bits of fraction, as Pillow has it. */
static void rgb_to_grey(struct picture *picture, size_t count) {
    uint8_t *to = picture->pixels;
    for (const uint8_t *from = to; count; count--, from += 3)
        *to++ = (uint8_t)((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + (1 << 15)) >> 16);
    picture->channels = 1;
}

static void take_channels(struct picture *picture, int channels) {
    size_t count = (size_t)picture->width * (size_t)picture->height;
    if (picture->channels == 4)
        cmyk_to_rgb(picture, count);
    if (picture->channels == 3 && channels == 1)
        rgb_to_grey(picture, count);
}

/* --- Decoding ---------------------------------------------------------------------------------------------------- */

static bool turn(struct picture *picture, int orientation, const char *name, struct error *err) {
    struct picture turned = *picture;
    if (orientation == 1)
        return true;
    if (exif_swaps_sides(orientation)) {
        turned.width = picture->height;
        turned.height = picture->width;
    }
    if (!picture_allocate(&turned, 0, name, err))
        return false;
    exif_turn(turned.pixels, picture, orientation);
    picture_free(picture);
    *picture = turned;
    return true;
}

bool picture_decode(struct picture *picture, const uint8_t *bytes, size_t count, const char *name,
                    struct picture_want want, struct error *err) {
    struct picture_header header;
    const struct picture_file file = {bytes, count, name};
    const struct format *format = format_of(&file, err);
    *picture = (struct picture){0};
    if (format && format->decode(picture, &header, &file, want, err)) {
        take_channels(picture, want.channels);
        if (turn(picture, header.orientation, name, err))
            return true;
    }
    picture_free(picture);
    return false;
}
