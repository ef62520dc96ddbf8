#include "support/idx_writer.h"

#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "support/folder.h"
#include "support/suite.h"

static void make_folders(const char *name) {
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/'))
        mkdir(in_folder(arena_printf(&arena, "%.*s", (int)(slash - name), name)), 0700);
}

void write_maybe_gzipped(const char *name, const void *bytes, size_t size) {
    const char *end = strrchr(name, '.');
    make_folders(name);
    gzFile stream = gzopen(in_folder(name), end && !strcmp(end, ".gz") ? "wb" : "wbT");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(gzwrite(stream, bytes, (unsigned)size), (int)size);
    ck_assert_int_eq(gzclose(stream), Z_OK);
}

static uint8_t *put(uint8_t *at, uint64_t bits, int bytes) {
    for (int i = bytes - 1; i >= 0; i--)
        *at++ = (uint8_t)(bits >> 8 * i);
    return at;
}

static uint8_t *put_value(uint8_t *at, int type, double value) {
    float real = (float)value;
    uint32_t bits;
    uint64_t both;
    memcpy(&bits, &real, sizeof bits);
    memcpy(&both, &value, sizeof both);
    switch (type) {
    case IDX_UINT8:
    case IDX_INT8:
        return put(at, (uint64_t)(int64_t)value, 1);
    case IDX_INT16:
        return put(at, (uint64_t)(int64_t)value, 2);
    case IDX_INT32:
        return put(at, (uint64_t)(int64_t)value, 4);
    case IDX_FLOAT:
        return put(at, bits, 4);
    default:
        return put(at, both, 8);
    }
}

void idx_write(const char *name, const struct idx_content *content) {
    size_t count = 1;
    for (int i = 0; i < content->dimensions; i++)
        count *= content->sizes[i];
    uint8_t *bytes = arena_alloc(&arena, 4 + 4 * IDX_DIMENSIONS_MAX + 8 * count);
    uint8_t *at = put(bytes, (uint64_t)(content->type << 8 | content->dimensions), 4);
    for (int i = 0; i < content->dimensions; i++)
        at = put(at, content->sizes[i], 4);
    for (size_t i = 0; i < count; i++)
        at = put_value(at, content->type, content->value(i));
    write_maybe_gzipped(name, bytes, (size_t)(at - bytes));
}
