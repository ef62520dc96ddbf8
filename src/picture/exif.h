/* The one thing of EXIF that changes what is seen. */
#ifndef SPHERENET_PICTURE_EXIF_H
#define SPHERENET_PICTURE_EXIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "picture/picture.h"

/* The orientation, 1 to 8, that a block of EXIF says, with or without "Exif\0\0" before it; 1 where it says none that
 * can be understood. */
int exif_orientation(const uint8_t *bytes, size_t count);

/* Whether it makes rows of what is stored as columns. */
bool exif_swaps_sides(int orientation);

/* The pixels of a picture that is stored with this orientation as they are to be seen, [as seen], `turned` being as
 * large as its pixels. */
void exif_turn(uint8_t *turned, const struct picture *stored, int orientation);

#endif
