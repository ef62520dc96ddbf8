/* EXIF 2.3, sections 4.5 and 4.6.4: the orientation is a tag in the first directory of a TIFF file. */
#include "picture/exif.h"

#include <string.h>

enum { TAG_ORIENTATION = 0x112, TYPE_SHORT = 3, TYPE_LONG = 4 };
enum { DIRECTORY_AT = 4, TIFF_BYTES = 8, ENTRY_BYTES = 12, VALUE_AT = 8 };

struct tiff {
    const uint8_t *bytes;
    size_t count;
    bool big_endian;
};

static uint32_t number(const struct tiff *tiff, size_t at, size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | tiff->bytes[at + (tiff->big_endian ? i : bytes - 1 - i)];
    return value;
}

static int orientation_of_entry(const struct tiff *tiff, size_t at) {
    uint32_t type = number(tiff, at + 2, 2), value = 1;
    if (type == TYPE_SHORT || type == TYPE_LONG)
        value = number(tiff, at + VALUE_AT, type == TYPE_SHORT ? 2 : 4);
    return value >= 1 && value <= 8 ? (int)value : 1;
}

static int orientation_of_directory(const struct tiff *tiff, size_t at) {
    if (at > tiff->count || tiff->count - at < 2)
        return 1;
    size_t entries = number(tiff, at, 2);
    at += 2;
    for (size_t i = 0; i < entries && tiff->count - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES)
        if (number(tiff, at, 2) == TAG_ORIENTATION)
            return orientation_of_entry(tiff, at);
    return 1;
}

int exif_orientation(const uint8_t *bytes, size_t count) {
    size_t before = count >= 6 && !memcmp(bytes, "Exif\0", 6) ? 6 : 0;
    struct tiff tiff = {bytes + before, count - before, false};
    if (tiff.count < TIFF_BYTES)
        return 1;
    tiff.big_endian = !memcmp(tiff.bytes, "MM\0*", 4);
    if (!tiff.big_endian && memcmp(tiff.bytes, "II*\0", 4) != 0)
        return 1;
    return orientation_of_directory(&tiff, number(&tiff, DIRECTORY_AT, 4));
}

bool exif_swaps_sides(int orientation) {
    return orientation >= 5;
}

/* Steps in bytes from one seen pixel to that on its right and to that below it. */
struct steps {
    ptrdiff_t right, down;
};

static inline void copy_pixels(uint8_t *turned, const uint8_t *corner, struct steps steps, int width, int height,
                               size_t pixel) {
    for (int y = 0; y < height; y++, corner += steps.down)
        for (int x = 0; x < width; x++, turned += pixel)
            memcpy(turned, corner + x * steps.right, pixel);
}

void exif_turn(uint8_t *turned, const struct picture *stored, int orientation) {
    /* Which corner of what is stored is seen at the top left. */
    bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    ptrdiff_t pixel = stored->channels, row = pixel * stored->width;
    const uint8_t *corner = stored->pixels + (from_right ? row - pixel : 0);
    int width = stored->width, height = stored->height;
    struct steps steps = {from_right ? -pixel : pixel, from_bottom ? -row : row};
    corner += from_bottom ? row * (height - 1) : 0;
    if (exif_swaps_sides(orientation)) {
        steps = (struct steps){steps.down, steps.right};
        width = stored->height;
        height = stored->width;
    }
    if (pixel == 3) /* told to the compiler, for which a constant is a move and not a call */
        copy_pixels(turned, corner, steps, width, height, 3);
    else
        copy_pixels(turned, corner, steps, width, height, 1);
}
