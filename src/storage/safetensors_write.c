/* Writing safetensors files: checksum, header and data, and the change from the old file to the new one. */
#include "storage/safetensors.h"

#include <assert.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "base/text.h"
#include "storage/atomic_file.h"
#include "storage/gzip_writer.h"
#include "storage/json_memory.h"
#include "storage/safetensors_checksum.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are written as they lie in memory");

enum { HEADER_ALIGNMENT = 8 };

static bool no_memory(const char *path, struct error *err) {
    return error_set_code(err, ERROR_NO_MEMORY, "%s: cannot be written: not enough memory", path);
}

static size_t value_count(const struct tensor_info *tensor) {
    size_t count = 1;
    for (int d = 0; d < tensor->dims; d++)
        count *= (size_t)tensor->shape[d];
    return count;
}

/* The next piece of a tensor's values, from number `first` on. Returns how many; 0: there are no more. */
static size_t give_piece(const struct tensor_contents *contents, int tensor, size_t first, real *piece) {
    size_t count = size_smaller(value_count(&contents->tensors[tensor]) - first, TENSOR_PIECE);
    if (count)
        contents->give(contents->context, tensor, first, count, piece);
    return count;
}

/* --- The header -------------------------------------------------------------------------------------------------- */

struct header {
    char *json;              /* to be freed */
    uint64_t length, padded; /* bytes; with spaces behind it, the tensors begin aligned */
};

/* Of all that is to be written, as CHECKSUM_KEY's text. */
static bool checksum(char digits[CHECKSUM_BYTES], const struct tensor_contents *contents) {
    struct content_checksum sum;
    real piece[TENSOR_PIECE];
    if (!content_checksum_begin(&sum))
        return false;
    for (int i = 0; i < contents->tensor_count; i++) {
        content_checksum_tensor(&sum, &contents->tensors[i]);
        for (size_t first = 0, count; (count = give_piece(contents, i, first, piece)); first += count)
            content_checksum_bytes(&sum, piece, count * sizeof *piece);
    }
    for (int i = 0; i < contents->text_count; i++)
        content_checksum_text(&sum, contents->texts[i].key, contents->texts[i].value);
    content_checksum_print(digits, content_checksum_value(&sum));
    content_checksum_free(&sum);
    return true;
}

static bool add_texts(json_t *header, const char *path, const struct tensor_contents *contents, const char *digits,
                      struct error *err) {
    json_t *metadata = json_object();
    json_object_set_new(header, TENSOR_METADATA_KEY, metadata);
    for (int i = 0; i < contents->text_count; i++) {
        const struct stored_text *text = &contents->texts[i];
        if (json_object_get(metadata, text->key) || !strcmp(text->key, CHECKSUM_KEY))
            return error_set(err, "%s: cannot be written: two texts are named \"%s\"", path, text->key);
        if (json_object_set_new(metadata, text->key, json_string(text->value)))
            return error_set(err, "%s: cannot be written: the text \"%s\" is not valid UTF-8", path, text->key);
    }
    json_object_set_new(metadata, CHECKSUM_KEY, json_string(digits));
    return true;
}

/* {"dtype", "shape", "data_offsets"} of the tensor whose data is the bytes [begin, end) after the header. */
static json_t *tensor_entry(const struct tensor_info *tensor, size_t begin, size_t end) {
    assert(tensor->dims >= 0 && tensor->dims <= TENSOR_MAX_DIMS);
    json_t *shape = json_array();
    for (int d = 0; d < tensor->dims; d++)
        json_array_append_new(shape, json_integer(tensor->shape[d]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", REAL_NAME, "shape", shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)end);
}

static bool add_entries(json_t *header, const char *path, const struct tensor_contents *contents, struct error *err) {
    size_t begin = 0;
    for (int i = 0; i < contents->tensor_count; i++) {
        const struct tensor_info *tensor = &contents->tensors[i];
        size_t end = begin + value_count(tensor) * sizeof(real);
        if (!strcmp(tensor->name, TENSOR_METADATA_KEY))
            return error_set(err, "%s: cannot be written: no tensor may be named \"%s\"", path, tensor->name);
        if (json_object_get(header, tensor->name))
            return error_set(err, "%s: cannot be written: two tensors are named \"%s\"", path, tensor->name);
        if (json_object_set_new(header, tensor->name, tensor_entry(tensor, begin, end)))
            return error_set(err, "%s: cannot be written: the tensor name \"%s\" is not valid UTF-8", path,
                             tensor->name);
        begin = end;
    }
    return true;
}

static bool encode(struct header *header, const json_t *object, const char *path, struct error *err) {
    header->json = json_dumps(object, JSON_COMPACT);
    assert(header->json); /* every string was checked when it was added */
    header->length = strlen(header->json);
    header->padded = (header->length + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    return header->padded <= TENSOR_HEADER_MAX_BYTES ||
           error_set(err, "%s: cannot be written: its names and texts need more than %d bytes", path,
                     TENSOR_HEADER_MAX_BYTES);
}

static bool make_header(struct header *header, const char *path, const struct tensor_contents *contents,
                        struct error *err) {
    char digits[CHECKSUM_BYTES];
    if (!checksum(digits, contents))
        return no_memory(path, err);
    json_memory_use(); /* so that NULL means text that is not UTF-8, and nothing is left out */
    json_t *object = json_object();
    bool good = add_texts(object, path, contents, digits, err) && add_entries(object, path, contents, err) &&
                encode(header, object, path, err);
    json_decref(object);
    return good;
}

/* --- The file ---------------------------------------------------------------------------------------------------- */

static bool write_header(struct gzip_writer *writer, const struct header *header, struct error *err) {
    static const char spaces[HEADER_ALIGNMENT] = "        ";
    return gzip_writer_add(writer, &header->padded, sizeof header->padded, err) &&
           gzip_writer_add(writer, header->json, header->length, err) &&
           gzip_writer_add(writer, spaces, header->padded - header->length, err);
}

static bool write_data(struct gzip_writer *writer, const struct tensor_contents *contents, struct error *err) {
    real piece[TENSOR_PIECE];
    for (int i = 0; i < contents->tensor_count; i++)
        for (size_t first = 0, count; (count = give_piece(contents, i, first, piece)); first += count)
            if (!gzip_writer_add(writer, piece, count * sizeof *piece, err))
                return false;
    return true;
}

/* The whole gzip stream; the caller closes fd. */
static bool write_stream(int fd, const char *path, const struct header *header, const struct tensor_contents *contents,
                         struct error *err) {
    struct gzip_writer writer;
    if (!gzip_writer_open(&writer, fd, path, err))
        return false;
    bool good =
        write_header(&writer, header, err) && write_data(&writer, contents, err) && gzip_writer_finish(&writer, err);
    gzip_writer_close(&writer);
    return good;
}

static bool write_failed(const char *path, struct error *err) {
    return error_set_errno(err, "%s: cannot be written", path);
}

static bool write_file(const char *path, const struct header *header, const struct tensor_contents *contents,
                       struct error *err) {
    struct text temporary = {0};
    text_printf(&temporary, "%s.tmp", path);
    int fd = open(temporary.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = fd >= 0 || write_failed(path, err);
    if (good && !write_stream(fd, path, header, contents, err)) {
        close(fd);
        unlink(temporary.data);
        good = false;
    } else if (good) {
        good = atomic_file_replace(fd, temporary.data, path) || write_failed(path, err);
    }
    text_free(&temporary);
    return good;
}

bool safetensors_write(const char *path, const struct tensor_contents *contents, struct error *err) {
    struct header header = {0};
    bool good = make_header(&header, path, contents, err) && write_file(path, &header, contents, err);
    free(header.json);
    return good;
}
