#include "data/idx_file.h"

#include <string.h>

#include "base/number.h"
#include "data/not_data.h"
#include "storage/gzip_reader.h"

static const struct {
    size_t bytes;
    const char *name;
} types[] = {
    [IDX_UINT8] = {1, "unsigned bytes"},  [IDX_INT8] = {1, "signed bytes"},   [IDX_INT16] = {2, "16-bit integers"},
    [IDX_INT32] = {4, "32-bit integers"}, [IDX_FLOAT] = {4, "32-bit floats"}, [IDX_DOUBLE] = {8, "64-bit floats"},
};

enum { TYPES = sizeof types / sizeof *types };

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

const char *idx_describe(struct text *text, int type, int dimensions) {
    text_printf(text, "%s in %d dimension%s", types[type].name, dimensions, dimensions == 1 ? "" : "s");
    return text->data;
}

/* --- The header -------------------------------------------------------------------------------------------------- */

static size_t header_bytes(int dimensions) {
    return 4 + 4 * (size_t)dimensions;
}

static bool too_short(const struct file *file, struct error *err) {
    return error_set(err, "%s: its %zu bytes are too few for an IDX header", file->path, file->size);
}

static bool is_magic(const uint8_t *bytes) {
    return bytes[0] == 0 && bytes[1] == 0 && bytes[2] < TYPES && types[bytes[2]].bytes > 0 && bytes[3] > 0 &&
           bytes[3] <= IDX_DIMENSIONS_MAX;
}

static bool refuse_magic(struct file *file, struct error *err) {
    error_set(err, "%s: begins with 0x%08x, which no IDX file of 1 to %d dimensions does", file->path,
              big_endian(file->bytes), IDX_DIMENSIONS_MAX);
    return not_data_explain(file, err);
}

/* The product, or UINT64_MAX. */
static uint64_t times(uint64_t a, uint64_t b) {
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static void take_sizes(struct idx_file *idx) {
    const uint8_t *at = idx->file.bytes;
    idx->type = at[2];
    idx->dimensions = at[3];
    idx->element_bytes = idx->record_bytes = types[idx->type].bytes;
    for (int i = 0; i < IDX_DIMENSIONS_MAX; i++)
        idx->sizes[i] = i < idx->dimensions ? big_endian(at + 4 + 4 * i) : 1;
    for (int i = 1; i < idx->dimensions; i++)
        idx->record_bytes = times(idx->record_bytes, idx->sizes[i]);
    idx->read = header_bytes(idx->dimensions);
    uint64_t records = times(idx->record_bytes, idx->sizes[0]);
    idx->bytes = records < UINT64_MAX - idx->read ? idx->read + records : UINT64_MAX;
}

static bool read_header(struct idx_file *idx, struct error *err) {
    struct file *file = &idx->file;
    if (!file_fill(file, 4, err))
        return false;
    if (file->size < 4)
        return too_short(file, err);
    if (!is_magic(file->bytes))
        return refuse_magic(file, err);
    size_t size = header_bytes(file->bytes[3]);
    if (!file_fill(file, size, err))
        return false;
    if (file->size < size)
        return too_short(file, err);
    take_sizes(idx);
    return true;
}

bool idx_open(struct idx_file *idx, const char *folder, const char *name, const char *advice, struct error *err) {
    *idx = (struct idx_file){.type = 0};
    if (!file_open(&idx->file, folder, name, advice, err))
        return false;
    if (read_header(idx, err))
        return true;
    idx_close(idx);
    return false;
}

void idx_close(struct idx_file *idx) {
    file_free(&idx->file);
}

/* --- Records ----------------------------------------------------------------------------------------------------- */

static bool refuse_size(const struct idx_file *idx, const char *found, uint64_t bytes, struct error *err) {
    return error_set(err, "%s: its header tells of %u records, which makes %llu bytes, but there are %s%llu%s",
                     idx->file.path, idx->sizes[0], (unsigned long long)idx->bytes, found, (unsigned long long)bytes,
                     bytes < idx->bytes ? "; it is cut short, so get it again" : "");
}

bool idx_begin(struct idx_file *idx, struct error *err) {
    const struct file *file = &idx->file;
    if (idx->sizes[0] == 0 || idx->record_bytes == 0)
        return error_set(err, "%s: holds no records", file->path);
    if (idx->bytes > file->most || (!file->compressed && idx->bytes < file->most))
        return refuse_size(idx, file->compressed ? "at most " : "", file->most, err);
    return true;
}

static bool read_bytes(struct idx_file *idx, uint8_t *bytes, size_t count, struct error *err) {
    size_t got;
    if (!gzip_reader_read(idx->file.reader, bytes, count, &got, err))
        return false;
    idx->read += got;
    return got == count || refuse_size(idx, "", idx->read, err);
}

bool idx_read(struct idx_file *idx, uint8_t *records, size_t count, struct error *err) {
    return read_bytes(idx, records, count * idx->record_bytes, err);
}

bool idx_end(struct idx_file *idx, struct error *err) {
    uint8_t rest[1 << 14];
    size_t got;
    if (!idx->file.compressed)
        return true;
    while (idx->read < idx->bytes) {
        uint64_t left = idx->bytes - idx->read;
        if (!read_bytes(idx, rest, left < sizeof rest ? (size_t)left : sizeof rest, err))
            return false;
    }
    if (!gzip_reader_read(idx->file.reader, rest, 1, &got, err)) /* which comes to the checksum */
        return false;
    return got == 0 || refuse_size(idx, "at least ", idx->bytes + 1, err);
}

/* --- Elements ---------------------------------------------------------------------------------------------------- */

double idx_value(int type, const uint8_t *element) {
    uint32_t high, low;
    uint64_t both;
    float real;
    double exact;
    switch (type) {
    case IDX_UINT8:
        return *element;
    case IDX_INT8:
        return (int8_t)*element;
    case IDX_INT16:
        return (int16_t)(element[0] << 8 | element[1]);
    case IDX_INT32:
        return (int32_t)big_endian(element);
    case IDX_FLOAT:
        high = big_endian(element);
        memcpy(&real, &high, sizeof real);
        return real;
    default:
        high = big_endian(element), low = big_endian(element + 4);
        both = (uint64_t)high << 32 | low;
        memcpy(&exact, &both, sizeof exact);
        return exact;
    }
}
