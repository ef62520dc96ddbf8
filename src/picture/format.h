/* What the decoders of the formats share. */
#ifndef SPHERENET_PICTURE_FORMAT_H
#define SPHERENET_PICTURE_FORMAT_H

#include "picture/picture.h"

/* The file that is decoded. */
struct picture_file {
    const uint8_t *bytes;
    size_t count;
    const char *name;
};

/* What its header tells. */
struct picture_header {
    int width, height; /* as stored */
    int orientation;   /* of EXIF, 1 to 8 */
};

bool jpeg_probe(struct picture_header *header, const struct picture_file *file, struct error *err);
bool png_probe(struct picture_header *header, const struct picture_file *file, struct error *err);

/* Decode into an empty picture, as stored: not turned, with want.channels or with 3 or 4 (CMYK, inverted) where the
 * file has those. On failure what the picture holds is the caller's to free. */
bool jpeg_decode(struct picture *picture, struct picture_header *header, const struct picture_file *file,
                 struct picture_want want, struct error *err);
bool png_decode(struct picture *picture, struct picture_header *header, const struct picture_file *file,
                struct picture_want want, struct error *err);

/* Whether a header's size may be decoded. */
bool picture_check_size(const struct picture_file *file, int width, int height, struct error *err);

/* Memory for the pixels of a picture whose other members are set; `beside`: bytes that a library is going to take. */
bool picture_allocate(struct picture *picture, size_t beside, const char *name, struct error *err);

#endif
