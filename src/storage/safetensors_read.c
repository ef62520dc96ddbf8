/* Reading safetensors files that may hold any bytes. */
#include "storage/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "storage/safetensors_checksum.h"
#include "storage/safetensors_source.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they lie in memory");

/* One tensor of the header: where its data lies in the file, in bytes after the header, and what it is to become. */
struct entry {
    struct stored_tensor tensor;
    int position;       /* in the header */
    int width;          /* bytes of a value in the file */
    int64_t begin, end; /* bytes */
};

/* A file half read. The names point into the header. */
struct reader {
    struct byte_source source;
    json_t *header;
    struct entry *entries; /* malloc'ed */
    int entry_count;
    real *values; /* malloc'ed; the data of all entries, one after the other */
    struct content_checksum sum;
};

/* What a tensor_file's pointers point into. */
struct tensor_memory {
    json_t *header;
    real *values;
};

/* ---- The header's bytes ---- */

static bool read_header_length(struct reader *reader, uint64_t *length) {
    size_t got;
    if (!byte_source_read(&reader->source, length, sizeof *length, &got))
        return false;
    if (got < sizeof *length)
        return byte_source_refuse(&reader->source, "damaged: the file ends within the header length");
    if (*length > TENSOR_HEADER_MAX_BYTES)
        return byte_source_refuse(&reader->source,
                                  "damaged: a header length of %llu bytes, at most %d are allowed; "
                                  "is it a safetensors file?",
                                  (unsigned long long)*length, TENSOR_HEADER_MAX_BYTES);
    return true;
}

/* Adds piece by piece, so that a length that lies asks for no more memory than the file has bytes. */
static bool read_header_text(struct reader *reader, uint64_t length, struct text *text) {
    char piece[SOURCE_BUFFER_BYTES];
    text_add(text, "", 0);
    while (text->length < length) {
        size_t left = length - text->length, got;
        size_t wanted = left < sizeof piece ? left : sizeof piece;
        if (!byte_source_read(&reader->source, piece, wanted, &got))
            return false;
        if (got < wanted)
            return byte_source_refuse(&reader->source, "damaged: the file ends within the header");
        text_add(text, piece, got);
    }
    return true;
}

static bool parse_header(struct reader *reader, const struct text *text) {
    json_error_t problem;
    json_set_alloc_funcs(mem_alloc, free); /* so that a file is not called damaged for want of memory */
    reader->header = json_loadb(text->data, text->length, JSON_REJECT_DUPLICATES, &problem);
    if (!reader->header)
        return byte_source_refuse(&reader->source, "damaged: the header is not JSON: %s", problem.text);
    if (!json_is_object(reader->header))
        return byte_source_refuse(&reader->source, "damaged: the header is not a JSON object");
    return true;
}

static bool read_header(struct reader *reader) {
    uint64_t length;
    struct text text = {0};
    bool good =
        read_header_length(reader, &length) && read_header_text(reader, length, &text) && parse_header(reader, &text);
    text_free(&text);
    return good;
}

static bool check_texts(struct reader *reader) {
    json_t *metadata = json_object_get(reader->header, TENSOR_METADATA_KEY), *value;
    const char *key;
    if (!metadata)
        return true;
    if (!json_is_object(metadata))
        return byte_source_refuse(&reader->source, "damaged: " TENSOR_METADATA_KEY " is not an object");
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return byte_source_refuse(
        &reader->source, "damaged: " TENSOR_METADATA_KEY " \"%.100s\" is not a text", key);
    return true;
}

/* ---- The header's entries ---- */

static bool refuse_entry(struct reader *reader, const struct entry *entry, const char *what) {
    return byte_source_refuse(&reader->source, "damaged: tensor \"%.100s\": %s", entry->tensor.name, what);
}

static bool parse_dtype(struct reader *reader, const json_t *object, struct entry *entry) {
    const char *dtype = json_string_value(json_object_get(object, "dtype"));
    if (!dtype)
        return refuse_entry(reader, entry, "its dtype is missing or not a text");
    entry->width = strcmp(dtype, "F32") == 0 ? 4 : strcmp(dtype, "F64") == 0 ? 8 : 0;
    if (entry->width == 0)
        return byte_source_refuse(&reader->source,
                                  "tensor \"%.100s\": dtype %.20s is not supported, only F32 and F64 are",
                                  entry->tensor.name, dtype);
    return true;
}

static bool parse_shape(struct reader *reader, const json_t *object, struct entry *entry) {
    struct stored_tensor *tensor = &entry->tensor;
    const json_t *shape = json_object_get(object, "shape");
    if (!json_is_array(shape))
        return refuse_entry(reader, entry, "its shape is missing or not a list");
    if (json_array_size(shape) > TENSOR_MAX_DIMS)
        return byte_source_refuse(&reader->source,
                                  "tensor \"%.100s\": a shape of %zu dimensions is not supported, at most %d are",
                                  tensor->name, json_array_size(shape), TENSOR_MAX_DIMS);
    tensor->dims = (int)json_array_size(shape);
    for (int d = 0; d < tensor->dims; d++) {
        const json_t *extent = json_array_get(shape, (size_t)d);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return refuse_entry(reader, entry, "its shape has an element that is not a whole number from 0 on");
        tensor->shape[d] = json_integer_value(extent);
    }
    return true;
}

static bool parse_offsets(struct reader *reader, const json_t *object, struct entry *entry) {
    const json_t *offsets = json_object_get(object, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return refuse_entry(reader, entry, "its data_offsets are missing or not two whole numbers");
    entry->begin = json_integer_value(begin);
    entry->end = json_integer_value(end);
    if (entry->begin < 0 || entry->end < entry->begin)
        return refuse_entry(reader, entry, "its data_offsets are negative or in the wrong order");
    return true;
}

/* The bytes a shape needs. Also a shape with a 0 in it overflows when its other elements do, so that no later product
 * of some of its elements can. */
static bool shape_bytes(const struct entry *entry, int64_t *bytes) {
    int64_t product = entry->width;
    bool empty = false;
    for (int d = 0; d < entry->tensor.dims; d++) {
        int64_t extent = entry->tensor.shape[d];
        empty |= extent == 0;
        if (__builtin_mul_overflow(product, extent ? extent : 1, &product))
            return false;
    }
    *bytes = empty ? 0 : product;
    return true;
}

static bool check_size(struct reader *reader, const struct entry *entry) {
    int64_t needed;
    if (!shape_bytes(entry, &needed))
        return refuse_entry(reader, entry, "its shape is too large");
    if (needed != entry->end - entry->begin)
        return byte_source_refuse(&reader->source,
                                  "damaged: tensor \"%.100s\": its shape needs %lld bytes, its data_offsets span %lld",
                                  entry->tensor.name, (long long)needed, (long long)(entry->end - entry->begin));
    return true;
}

static bool parse_entry(struct reader *reader, const json_t *object, struct entry *entry) {
    if (!json_is_object(object))
        return refuse_entry(reader, entry, "its entry is not an object");
    return parse_dtype(reader, object, entry) && parse_shape(reader, object, entry) &&
           parse_offsets(reader, object, entry) && check_size(reader, entry);
}

static bool parse_entries(struct reader *reader) {
    const char *name;
    json_t *object;
    reader->entries = mem_alloc(json_object_size(reader->header) * sizeof *reader->entries);
    json_object_foreach(reader->header, name, object) {
        if (strcmp(name, TENSOR_METADATA_KEY) == 0)
            continue;
        struct entry *entry = &reader->entries[reader->entry_count];
        entry->tensor.name = name;
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

/* Sorts the entries as their data lies in the file, which must have neither overlaps nor holes. */
static bool order_entries(struct reader *reader) {
    int64_t expected = 0;
    qsort(reader->entries, (size_t)reader->entry_count, sizeof *reader->entries, compare_places);
    for (int i = 0; i < reader->entry_count; i++) {
        const struct entry *entry = &reader->entries[i];
        if (entry->begin != expected)
            return byte_source_refuse(
                &reader->source,
                "damaged: tensor \"%.100s\": its data begins at %lld, but the data before it ends at %lld",
                entry->tensor.name, (long long)entry->begin, (long long)expected);
        expected = entry->end;
    }
    return true;
}

/* ---- The data ---- */

static void convert_floats(real *into, const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        into[i] = (real)value;
    }
}

static void convert_doubles(real *into, const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        into[i] = (real)value;
    }
}

static bool read_tensor(struct reader *reader, const struct entry *entry, real *into) {
    unsigned char piece[SOURCE_BUFFER_BYTES]; /* a multiple of both widths */
    for (int64_t left = entry->end - entry->begin; left > 0;) {
        size_t wanted = left < SOURCE_BUFFER_BYTES ? (size_t)left : sizeof piece, got;
        if (!byte_source_read(&reader->source, piece, wanted, &got))
            return false;
        if (got < wanted)
            return refuse_entry(reader, entry, "the file ends within its data");
        content_checksum_bytes(&reader->sum, piece, got);
        size_t count = got / (size_t)entry->width;
        if (entry->width == sizeof(float))
            convert_floats(into, piece, count);
        else
            convert_doubles(into, piece, count);
        into += count;
        left -= (int64_t)got;
    }
    return true;
}

static size_t value_count(const struct entry *entry) {
    return (size_t)(entry->end - entry->begin) / (size_t)entry->width;
}

/* Room for all values, when the file is large enough to hold them. */
static bool reserve_values(struct reader *reader) {
    size_t count = 0;
    for (int i = 0; i < reader->entry_count; i++) {
        if (reader->entries[i].end > reader->source.most)
            return refuse_entry(reader, &reader->entries[i], "the file ends within its data");
        count += value_count(&reader->entries[i]);
    }
    reader->values = mem_block(count * sizeof *reader->values);
    return reader->values || byte_source_refuse(&reader->source, "not enough memory for its data");
}

static bool read_data(struct reader *reader) {
    if (!reserve_values(reader))
        return false;
    if (!content_checksum_begin(&reader->sum))
        return byte_source_refuse(&reader->source, "not enough memory to read it");
    real *into = reader->values;
    for (int i = 0; i < reader->entry_count; i++) {
        content_checksum_tensor(&reader->sum, &reader->entries[i].tensor);
        if (!read_tensor(reader, &reader->entries[i], into))
            return false;
        into += value_count(&reader->entries[i]);
    }
    return byte_source_expect_end(&reader->source);
}

/* Files of other programs have none. */
static bool check_sum(struct reader *reader) {
    json_t *metadata = json_object_get(reader->header, TENSOR_METADATA_KEY), *value;
    const char *stored = json_string_value(json_object_get(metadata, CHECKSUM_KEY)), *key;
    if (!stored)
        return true;
    json_object_foreach(metadata, key, value) if (strcmp(key, CHECKSUM_KEY) != 0)
        content_checksum_text(&reader->sum, key, json_string_value(value));
    char digits[CHECKSUM_BYTES];
    content_checksum_print(digits, content_checksum_value(&reader->sum));
    return !strcmp(digits, stored) ||
           byte_source_refuse(&reader->source,
                              "damaged: its content has the checksum %s, but it was written with %.20s (if it was "
                              "changed on purpose, take \"" CHECKSUM_KEY "\" out of its metadata)",
                              digits, stored);
}

/* ---- The result ---- */

static void publish_tensors(struct tensor_file *file, const struct reader *reader) {
    const real *data = reader->values;
    file->tensor_count = reader->entry_count;
    file->tensors = mem_alloc((size_t)file->tensor_count * sizeof *file->tensors);
    for (int i = 0; i < file->tensor_count; i++) {
        const struct entry *entry = &reader->entries[i];
        file->tensors[i] = entry->tensor;
        file->tensors[i].data = data;
        data += value_count(entry);
    }
}

static void publish_texts(struct tensor_file *file, const struct reader *reader) {
    json_t *metadata = json_object_get(reader->header, TENSOR_METADATA_KEY), *value;
    const char *key;
    file->texts = mem_alloc(json_object_size(metadata) * sizeof *file->texts);
    json_object_foreach(metadata, key, value) if (strcmp(key, CHECKSUM_KEY) != 0) file->texts[file->text_count++] =
        (struct stored_text){key, json_string_value(value)};
}

/* Moves what was read into `file`; the reader keeps nothing of it. */
static void publish(struct tensor_file *file, struct reader *reader) {
    struct tensor_memory *memory = mem_alloc(sizeof *memory);
    publish_tensors(file, reader);
    publish_texts(file, reader);
    *memory = (struct tensor_memory){reader->header, reader->values};
    file->memory = memory;
    reader->header = NULL;
    reader->values = NULL;
}

bool tensor_file_read(struct tensor_file *file, const char *path, struct error *err) {
    struct reader reader = {0};
    *file = (struct tensor_file){0};
    if (!byte_source_open(&reader.source, path, err))
        return false;
    bool good = read_header(&reader) && check_texts(&reader) && parse_entries(&reader) && order_entries(&reader) &&
                read_data(&reader) && check_sum(&reader);
    byte_source_close(&reader.source);
    content_checksum_free(&reader.sum);
    if (good)
        publish(file, &reader);
    json_decref(reader.header);
    free(reader.values);
    free(reader.entries);
    return good;
}

void tensor_file_free(struct tensor_file *file) {
    struct tensor_memory *memory = file->memory;
    if (memory) {
        json_decref(memory->header);
        free(memory->values);
    }
    free(memory);
    free(file->tensors);
    free(file->texts);
    *file = (struct tensor_file){0};
}

const struct stored_tensor *tensor_file_find(const struct tensor_file *file, const char *name) {
    for (int i = 0; i < file->tensor_count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *tensor_file_text(const struct tensor_file *file, const char *key) {
    for (int i = 0; i < file->text_count; i++)
        if (strcmp(file->texts[i].key, key) == 0)
            return file->texts[i].value;
    return NULL;
}
