/* Pictures from files: JPEG (libjpeg-turbo) and PNG (libpng), each decoded as Pillow decodes it. All functions may run
 * in several threads at once. */
#ifndef SPHERENET_PICTURE_PICTURE_H
#define SPHERENET_PICTURE_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A picture of more pixels is refused by its header, before memory is taken: Pillow's limit. */
enum { PICTURE_MOST_PIXELS = 178956970 };

struct picture {
    int width, height, channels; /* channels: 1 (grey) or 3 (red, green, blue) */
    int reduction;               /* a pixel stands for reduction × reduction ones of the file: 1, 2, 4 or 8 */
    uint8_t *pixels;             /* [height][width][channels], from malloc; NULL in an empty picture */
};

void picture_free(struct picture *picture); /* leaves it empty */

/* What a file holds, as it will be seen: after the turn that its EXIF orientation asks for. */
struct picture_size {
    int width, height;
    const char *format; /* "JPEG" or "PNG", by the bytes */
};

/* From a file's first `count` bytes, of which only those before the pixels are looked at; most files need less than
 * 64 KiB, those with large colour profiles or previews more. `name` is for messages. An eXIf chunk that comes after a
 * PNG's pixels is seen only where the bytes reach that far. */
bool picture_probe(struct picture_size *size, const uint8_t *bytes, size_t count, const char *name, struct error *err);

struct picture_want {
    int channels; /* 1 or 3, whatever the file has */
    /* Of the whole picture as it will be seen: a JPEG may be decoded at 1/2, 1/4 or 1/8 (the scale of its DCT), as long
     * as it is still at least this size; 0: at full size. */
    int enough_width, enough_height;
};

/* The whole file. Turned as its EXIF orientation says. 16 bits are cut to their high 8; alpha and transparent colours
 * are dropped, as Pillow's convert("RGB") does, so what lies under them is seen; grey of colours is Pillow's
 * convert("L"); CMYK and YCCK are taken to be inverted, as Adobe writes them. Colour profiles and gamma are ignored.
 *
 * Whatever is missing or damaged in what makes up the pixels is an error (ERROR_DAMAGED), even the file's last byte;
 * bytes between a JPEG's segments, which some cameras leave, are not. On failure the picture is empty. */
bool picture_decode(struct picture *picture, const uint8_t *bytes, size_t count, const char *name,
                    struct picture_want want, struct error *err);

#endif
