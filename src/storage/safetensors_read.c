/* Reading safetensors files that may hold any bytes. */
#include "storage/safetensors.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"
#include "storage/gzip_reader.h"
#include "storage/json_memory.h"
#include "storage/safetensors_checksum.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they lie in memory");

enum { WIDEST = 8 /* bytes of a value */, PIECE_BYTES = TENSOR_PIECE * WIDEST };

struct dtype {
    const char *name;
    enum tensor_values values;
    int width; /* bytes of a value; of TENSOR_OTHERS not known: 1 */
    real (*value)(const unsigned char *bytes);
};

/* One tensor of the header, and where its data lies in the file, in bytes after the header. */
struct entry {
    struct tensor_info info;
    int position; /* in the header */
    const struct dtype *dtype;
    int64_t begin, end;
};

/* The names and texts point into the header. */
struct safetensors_reader {
    const char *path;
    struct error *err; /* of the call that is under way */
    struct gzip_reader *bytes;
    uint64_t header_bytes;
    json_t *header;
    struct entry *entries;
    int entry_count;
    int next; /* the entry whose data is read next; after the last: none */
};

/* --- Refusals ---------------------------------------------------------------------------------------------------- */

static bool refuse(const struct safetensors_reader *reader, enum error_code code, const char *kind, const char *format,
                   va_list args) __attribute__((format(printf, 4, 0)));
static bool damaged(const struct safetensors_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool unsupported(const struct safetensors_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Line ends, which a damaged file may bring into names, become "?" with all other control characters. */
static bool refuse(const struct safetensors_reader *reader, enum error_code code, const char *kind, const char *format,
                   va_list args) {
    char message[1024];
    vsnprintf(message, sizeof message, format, args);
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return error_set_code(reader->err, code, "%s: %s%s", reader->path, kind, message);
}

static bool damaged(const struct safetensors_reader *reader, const char *format, ...) {
    va_list args;
    va_start(args, format);
    refuse(reader, ERROR_DAMAGED, "damaged: ", format, args);
    va_end(args);
    return false;
}

static bool unsupported(const struct safetensors_reader *reader, const char *format, ...) {
    va_list args;
    va_start(args, format);
    refuse(reader, ERROR_OTHER, "", format, args);
    va_end(args);
    return false;
}

static bool damaged_tensor(const struct safetensors_reader *reader, const struct entry *entry, const char *what) {
    return damaged(reader, "tensor \"%.100s\": %s", entry->info.name, what);
}

static bool no_memory(const struct safetensors_reader *reader) {
    return error_set_code(reader->err, ERROR_NO_MEMORY, "%s: not enough memory to read it", reader->path);
}

/* --- The header's bytes ------------------------------------------------------------------------------------------ */

static bool read_bytes(const struct safetensors_reader *reader, void *into, size_t count, size_t *got) {
    return gzip_reader_read(reader->bytes, into, count, got, reader->err);
}

static bool read_header_length(const struct safetensors_reader *reader, uint64_t *length) {
    size_t got;
    if (!read_bytes(reader, length, sizeof *length, &got))
        return false;
    if (got < sizeof *length)
        return damaged(reader, "the file ends within the header length");
    if (*length > TENSOR_HEADER_MAX_BYTES)
        return damaged(reader, "a header length of %llu bytes, at most %d are allowed; is it a safetensors file?",
                       (unsigned long long)*length, TENSOR_HEADER_MAX_BYTES);
    return true;
}

static bool parse_header(struct safetensors_reader *reader, const char *json, size_t length) {
    json_error_t problem;
    if (!json_memory_suffices(length))
        return no_memory(reader);
    json_memory_use();
    reader->header = json_loadb(json, length, JSON_REJECT_DUPLICATES, &problem);
    if (!reader->header)
        return damaged(reader, "the header is not JSON: %s", problem.text);
    return json_is_object(reader->header) || damaged(reader, "the header is not a JSON object");
}

/* A length that lies takes no more memory than the file could fill. */
static bool read_header(struct safetensors_reader *reader) {
    static const char *const cut = "the file ends within the header";
    uint64_t length;
    size_t got;
    if (!read_header_length(reader, &length))
        return false;
    if (length > gzip_reader_most(reader->bytes))
        return damaged(reader, "%s", cut);
    char *json = mem_block(length);
    if (!json)
        return no_memory(reader);
    bool good = read_bytes(reader, json, length, &got) && (got == length || damaged(reader, "%s", cut)) &&
                parse_header(reader, json, length);
    free(json);
    reader->header_bytes = sizeof length + length;
    return good;
}

static json_t *metadata_of(const struct safetensors_reader *reader) {
    return json_object_get(reader->header, TENSOR_METADATA_KEY);
}

static bool check_texts(const struct safetensors_reader *reader) {
    json_t *metadata = metadata_of(reader), *value;
    const char *key;
    if (!metadata)
        return true;
    if (!json_is_object(metadata))
        return damaged(reader, TENSOR_METADATA_KEY " is not an object");
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return damaged(
        reader, TENSOR_METADATA_KEY " \"%.100s\" is not a text", key);
    return true;
}

/* --- Types of values --------------------------------------------------------------------------------------------- */

/* A function that reads a value of a type of C. */
#define VALUE_OF(NAME, TYPE)                                                                                           \
    static real NAME(const unsigned char *bytes) {                                                                     \
        TYPE value;                                                                                                    \
        memcpy(&value, bytes, sizeof value);                                                                           \
        return (real)value;                                                                                            \
    }
VALUE_OF(value_f64, double)
VALUE_OF(value_f32, float)
VALUE_OF(value_i64, int64_t)
VALUE_OF(value_i32, int32_t)
VALUE_OF(value_i16, int16_t)
VALUE_OF(value_i8, int8_t)
VALUE_OF(value_u64, uint64_t)
VALUE_OF(value_u32, uint32_t)
VALUE_OF(value_u16, uint16_t)
VALUE_OF(value_u8, uint8_t)

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The upper half of a float. */
static real value_bf16(const unsigned char *bytes) {
    uint16_t bits;
    memcpy(&bits, bytes, sizeof bits);
    return (real)float_of_bits((uint32_t)bits << 16);
}

/* A sign, 5 bits of exponent with a bias of 15, 10 of fraction (IEEE 754 binary16). A float has 8 with a bias of 127,
 * and 23; its largest exponent, too, is that of infinities and NaNs. Values below 2^-14 have no leading one. */
static real value_f16(const unsigned char *bytes) {
    uint16_t bits;
    memcpy(&bits, bytes, sizeof bits);
    uint32_t sign = (uint32_t)(bits >> 15) << 31, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    if (exponent == 0)
        return (real)ldexpf(sign ? -(float)fraction : (float)fraction, -24);
    uint32_t wider = exponent == 0x1f ? 0xff : exponent - 15 + 127;
    return (real)float_of_bits(sign | wider << 23 | fraction << 13);
}

/* The last one stands for all others. */
static const struct dtype dtypes[] = {
    {"F64", TENSOR_REALS, 8, value_f64},    {"F32", TENSOR_REALS, 4, value_f32},
    {"F16", TENSOR_REALS, 2, value_f16},    {"BF16", TENSOR_REALS, 2, value_bf16},
    {"I64", TENSOR_INTEGERS, 8, value_i64}, {"I32", TENSOR_INTEGERS, 4, value_i32},
    {"I16", TENSOR_INTEGERS, 2, value_i16}, {"I8", TENSOR_INTEGERS, 1, value_i8},
    {"U64", TENSOR_INTEGERS, 8, value_u64}, {"U32", TENSOR_INTEGERS, 4, value_u32},
    {"U16", TENSOR_INTEGERS, 2, value_u16}, {"U8", TENSOR_INTEGERS, 1, value_u8},
    {NULL, TENSOR_OTHERS, 1, NULL},
};

static const struct dtype *find_dtype(const char *name) {
    const struct dtype *dtype = dtypes;
    while (dtype->name && strcmp(dtype->name, name) != 0)
        dtype++;
    return dtype;
}

/* --- The header's entries ---------------------------------------------------------------------------------------- */

static bool parse_dtype(const struct safetensors_reader *reader, const json_t *object, struct entry *entry) {
    const char *dtype = json_string_value(json_object_get(object, "dtype"));
    if (!dtype)
        return damaged_tensor(reader, entry, "its dtype is missing or not a text");
    entry->dtype = find_dtype(dtype);
    entry->info.dtype = dtype;
    entry->info.values = entry->dtype->values;
    return true;
}

static bool parse_shape(const struct safetensors_reader *reader, const json_t *object, struct entry *entry) {
    const json_t *shape = json_object_get(object, "shape");
    if (!json_is_array(shape))
        return damaged_tensor(reader, entry, "its shape is missing or not a list");
    if (json_array_size(shape) > TENSOR_MAX_DIMS)
        return unsupported(reader, "tensor \"%.100s\": a shape of %zu dimensions is not supported, at most %d are",
                           entry->info.name, json_array_size(shape), TENSOR_MAX_DIMS);
    entry->info.dims = (int)json_array_size(shape);
    for (int d = 0; d < entry->info.dims; d++) {
        const json_t *extent = json_array_get(shape, (size_t)d);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return damaged_tensor(reader, entry, "its shape has an element that is not a whole number from 0 on");
        entry->info.shape[d] = json_integer_value(extent);
    }
    return true;
}

static bool parse_offsets(const struct safetensors_reader *reader, const json_t *object, struct entry *entry) {
    const json_t *offsets = json_object_get(object, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return damaged_tensor(reader, entry, "its data_offsets are missing or not two whole numbers");
    entry->begin = json_integer_value(begin);
    entry->end = json_integer_value(end);
    return (entry->begin >= 0 && entry->end >= entry->begin) ||
           damaged_tensor(reader, entry, "its data_offsets are negative or in the wrong order");
}

/* The bytes a shape needs. Also a shape with a 0 in it overflows when its other elements do, so that no later product
 * of some of its elements can. */
static bool shape_bytes(const struct entry *entry, int64_t *bytes) {
    int64_t product = entry->dtype->width;
    bool empty = false;
    for (int d = 0; d < entry->info.dims; d++) {
        int64_t extent = entry->info.shape[d];
        empty |= extent == 0;
        if (__builtin_mul_overflow(product, extent ? extent : 1, &product))
            return false;
    }
    *bytes = empty ? 0 : product;
    return true;
}

static bool check_size(const struct safetensors_reader *reader, const struct entry *entry) {
    int64_t needed, bytes = entry->end - entry->begin;
    if (!shape_bytes(entry, &needed))
        return damaged_tensor(reader, entry, "its shape is too large");
    return entry->dtype->values == TENSOR_OTHERS || needed == bytes ||
           damaged(reader, "tensor \"%.100s\": its shape needs %lld bytes, its data_offsets span %lld",
                   entry->info.name, (long long)needed, (long long)bytes);
}

static bool parse_entry(const struct safetensors_reader *reader, const json_t *object, struct entry *entry) {
    if (!json_is_object(object))
        return damaged_tensor(reader, entry, "its entry is not an object");
    return parse_dtype(reader, object, entry) && parse_shape(reader, object, entry) &&
           parse_offsets(reader, object, entry) && check_size(reader, entry);
}

/* Zeroed, and taken from the machine only as it is filled; to be freed. */
static void *room_for(size_t count, size_t element_bytes) {
    return calloc(count ? count : 1, element_bytes);
}

static bool parse_entries(struct safetensors_reader *reader) {
    const char *name;
    json_t *object;
    reader->entries = room_for(json_object_size(reader->header), sizeof *reader->entries);
    if (!reader->entries)
        return no_memory(reader);
    json_object_foreach(reader->header, name, object) {
        if (!strcmp(name, TENSOR_METADATA_KEY))
            continue;
        struct entry *entry = &reader->entries[reader->entry_count];
        entry->info.name = name;
        entry->position = reader->entry_count++;
        if (!parse_entry(reader, object, entry))
            return false;
    }
    return true;
}

/* By place in the file; empty tensors come before the one that begins where they lie. */
static int compare_places(const void *left, const void *right) {
    const struct entry *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return a->position - b->position;
}

/* Sorts the entries as their data lies in the file, which must have neither overlaps nor holes, and room for all. */
static bool order_entries(struct safetensors_reader *reader) {
    int64_t expected = 0;
    qsort(reader->entries, (size_t)reader->entry_count, sizeof *reader->entries, compare_places);
    for (int i = 0; i < reader->entry_count; i++) {
        const struct entry *entry = &reader->entries[i];
        if (entry->begin != expected)
            return damaged(reader, "tensor \"%.100s\": its data begins at %lld, but the data before it ends at %lld",
                           entry->info.name, (long long)entry->begin, (long long)expected);
        expected = entry->end;
    }
    for (int i = 0; i < reader->entry_count; i++)
        if ((uint64_t)reader->entries[i].end > gzip_reader_most(reader->bytes))
            return damaged_tensor(reader, &reader->entries[i], "the file ends within its data");
    return true;
}

/* --- The data ---------------------------------------------------------------------------------------------------- */

/* The next piece of the entry's data, of which it has `done` bytes already. Sets *bytes to its size. */
static bool read_piece(const struct safetensors_reader *reader, const struct entry *entry, size_t done,
                       unsigned char piece[PIECE_BYTES], size_t *bytes) {
    size_t got, left = (size_t)(entry->end - entry->begin) - done;
    *bytes = size_smaller(left, (size_t)TENSOR_PIECE * (size_t)entry->dtype->width);
    return read_bytes(reader, piece, *bytes, &got) &&
           (got == *bytes || damaged_tensor(reader, entry, "the file ends within its data"));
}

static size_t data_bytes(const struct entry *entry) {
    return (size_t)(entry->end - entry->begin);
}

static bool add_data(const struct safetensors_reader *reader, const struct content_checksum *sum) {
    unsigned char piece[PIECE_BYTES];
    for (int i = 0; i < reader->entry_count; i++) {
        const struct entry *entry = &reader->entries[i];
        content_checksum_tensor(sum, &entry->info);
        for (size_t done = 0, bytes; done < data_bytes(entry); done += bytes) {
            if (!read_piece(reader, entry, done, piece, &bytes))
                return false;
            content_checksum_bytes(sum, piece, bytes);
        }
    }
    return true;
}

static bool expect_end(const struct safetensors_reader *reader) {
    unsigned char extra;
    size_t got;
    if (!read_bytes(reader, &extra, 1, &got))
        return false;
    if (got > 0)
        return damaged(reader, "more bytes follow than its header tells of");
    return gzip_reader_expect_end(reader->bytes, reader->err);
}

/* The checksum says nothing of types, but it is with real numbers alone that it is written. */
static bool check_types(const struct safetensors_reader *reader) {
    for (int i = 0; i < reader->entry_count; i++)
        if (reader->entries[i].dtype->values != TENSOR_REALS)
            return damaged(reader, "tensor \"%.100s\" has the dtype %.20s beside a checksum",
                           reader->entries[i].info.name, reader->entries[i].info.dtype);
    return true;
}

/* Files of other programs have none. */
static bool check_sum(const struct safetensors_reader *reader, const struct content_checksum *sum) {
    json_t *metadata = metadata_of(reader), *value;
    const char *stored = json_string_value(json_object_get(metadata, CHECKSUM_KEY)), *key;
    if (!stored)
        return true;
    json_object_foreach(metadata, key, value) if (strcmp(key, CHECKSUM_KEY) != 0)
        content_checksum_text(sum, key, json_string_value(value));
    char digits[CHECKSUM_BYTES];
    content_checksum_print(digits, content_checksum_value(sum));
    if (!strcmp(digits, stored))
        return check_types(reader);
    return damaged(reader,
                   "its content has the checksum %s, but it was written with %.20s (if it was changed on purpose, take "
                   "\"" CHECKSUM_KEY "\" out of its metadata)",
                   digits, stored);
}

static bool check_data(const struct safetensors_reader *reader) {
    struct content_checksum sum;
    bool good = content_checksum_begin(&sum) ? add_data(reader, &sum) && expect_end(reader) && check_sum(reader, &sum)
                                             : no_memory(reader);
    content_checksum_free(&sum);
    return good;
}

/* --- Opening ----------------------------------------------------------------------------------------------------- */

static bool publish_tensors(struct safetensors *file, const struct safetensors_reader *reader) {
    file->tensors = room_for((size_t)reader->entry_count, sizeof *file->tensors);
    if (!file->tensors)
        return no_memory(reader);
    for (int i = 0; i < reader->entry_count; i++)
        file->tensors[file->tensor_count++] = reader->entries[i].info;
    return true;
}

static bool publish_texts(struct safetensors *file, const struct safetensors_reader *reader) {
    json_t *metadata = metadata_of(reader), *value;
    const char *key;
    file->texts = room_for(json_object_size(metadata), sizeof *file->texts);
    if (!file->texts)
        return no_memory(reader);
    json_object_foreach(metadata, key, value) if (strcmp(key, CHECKSUM_KEY) != 0) file->texts[file->text_count++] =
        (struct stored_text){key, json_string_value(value)};
    return true;
}

static bool read_all(struct safetensors_reader *reader) {
    reader->bytes = gzip_reader_open(reader->path, reader->err);
    return reader->bytes && read_header(reader) && check_texts(reader) && parse_entries(reader) &&
           order_entries(reader) && check_data(reader);
}

bool safetensors_open(struct safetensors *file, const char *path, struct error *err) {
    *file = (struct safetensors){.reader = room_for(1, sizeof *file->reader)};
    struct safetensors_reader *reader = file->reader;
    if (!reader)
        return no_memory(&(struct safetensors_reader){.path = path, .err = err});
    reader->path = path;
    reader->err = err;
    if (read_all(reader) && publish_tensors(file, reader) && publish_texts(file, reader)) {
        reader->next = reader->entry_count;
        return true;
    }
    safetensors_close(file);
    return false;
}

void safetensors_close(struct safetensors *file) {
    struct safetensors_reader *reader = file->reader;
    if (reader) {
        gzip_reader_close(reader->bytes);
        json_decref(reader->header);
        free(reader->entries);
    }
    free(reader);
    free(file->tensors);
    free(file->texts);
    *file = (struct safetensors){0};
}

int safetensors_find(const struct safetensors *file, const char *name) {
    for (int i = 0; i < file->tensor_count; i++)
        if (!strcmp(file->tensors[i].name, name))
            return i;
    return -1;
}

const char *safetensors_text(const struct safetensors *file, const char *key) {
    for (int i = 0; i < file->text_count; i++)
        if (!strcmp(file->texts[i].key, key))
            return file->texts[i].value;
    return NULL;
}

/* --- Values ------------------------------------------------------------------------------------------------------ */

static void convert(real *into, const unsigned char *bytes, size_t count, const struct dtype *dtype) {
    for (size_t i = 0; i < count; i++)
        into[i] = dtype->value(bytes + i * (size_t)dtype->width);
}

static bool skip(const struct safetensors_reader *reader, size_t count) {
    unsigned char piece[PIECE_BYTES];
    for (size_t part, got; count; count -= part) {
        part = size_smaller(count, sizeof piece);
        if (!read_bytes(reader, piece, part, &got))
            return false;
        if (got < part)
            return damaged(reader, "it has become shorter while it was read");
    }
    return true;
}

/* Goes to where the tensor's data begins. */
static bool go_to(struct safetensors_reader *reader, int tensor) {
    if (reader->next > tensor) {
        if (!gzip_reader_rewind(reader->bytes, reader->err) || !skip(reader, reader->header_bytes))
            return false;
        reader->next = 0;
    }
    return skip(reader, (size_t)(reader->entries[tensor].begin - reader->entries[reader->next].begin));
}

static bool take_data(const struct safetensors_reader *reader, const struct entry *entry, tensor_take *take,
                      void *context) {
    unsigned char piece[PIECE_BYTES];
    real values[TENSOR_PIECE];
    size_t width = (size_t)entry->dtype->width;
    assert(entry->dtype->value);
    for (size_t done = 0, bytes; done < data_bytes(entry); done += bytes) {
        if (!read_piece(reader, entry, done, piece, &bytes))
            return false;
        convert(values, piece, bytes / width, entry->dtype);
        take(context, done / width, bytes / width, values);
    }
    return true;
}

bool safetensors_read(struct safetensors *file, int tensor, tensor_take *take, void *context, struct error *err) {
    struct safetensors_reader *reader = file->reader;
    reader->err = err;
    bool good = go_to(reader, tensor) && take_data(reader, &reader->entries[tensor], take, context);
    reader->next = good ? tensor + 1 : reader->entry_count; /* after a failure from the beginning */
    return good;
}
