#include "picture/not_picture.h"

bool not_picture_explain(const char *name, const uint8_t *bytes, size_t count, struct error *err) {
    (void)bytes;
    if (count == 0)
        return error_set(err, "%s: the file is empty", name);
    return error_set(err, "%s: it is neither a JPEG nor a PNG picture", name);
}
