/* Pictures made smaller or larger, antialiased: the results of Pillow's Image.resize(size, BILINEAR | BICUBIC, box),
 * bit for bit. */
#ifndef SPHERENET_PICTURE_RESIZE_H
#define SPHERENET_PICTURE_RESIZE_H

#include "picture/picture.h"

enum picture_filter { PICTURE_BILINEAR, PICTURE_BICUBIC /* a = -1/2 */ };

/* A part of a picture in its pixels, whose edges may lie within them; width, height > 0. */
struct picture_box {
    double left, top, width, height;
};

/* Memory that is used again from one call to the next; one of zeros is empty and ready. One for each thread. */
struct resize_scratch {
    void *memory;
    size_t bytes;
};

void resize_scratch_free(struct resize_scratch *scratch); /* leaves it empty and ready */

/* out: uint8 [height][width][from->channels] of the box, which lies within the picture. Each output pixel is a weighted
 * mean of the picture's pixels that are nearer than the filter's support (1 or 2) times the factor of reduction, or 1
 * where that is an enlargement; first in each row, rounded, then in each column. Fails for memory alone. */
bool picture_resize(uint8_t *out, int width, int height, const struct picture *from, struct picture_box box,
                    enum picture_filter filter, struct resize_scratch *scratch, struct error *err);

#endif
