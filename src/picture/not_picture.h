/* What a file is that is neither JPEG nor PNG. */
#ifndef SPHERENET_PICTURE_NOT_PICTURE_H
#define SPHERENET_PICTURE_NOT_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Says what its first bytes tell it to be, and what to do; returns false. */
bool not_picture_explain(const char *name, const uint8_t *bytes, size_t count, struct error *err);

#endif
