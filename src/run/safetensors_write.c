/* Writing safetensors files: header, gzip stream, and the change from the old file to the new one. */
#define ZLIB_CONST
#include "run/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are written as they lie in memory");

enum {
    GZIP_LEVEL = 1,             /* random weights hardly compress; more effort costs time and saves nothing */
    GZIP_WINDOW_BITS = 16 + 15, /* 16 asks zlib for a gzip header, which it fills with zeros: no time, no name */
    GZIP_MEMORY_LEVEL = 8,
    SINK_BUFFER_BYTES = 64 * 1024,
    SINK_STEP_BYTES = 1 << 30, /* zlib counts input in an unsigned int */
    HEADER_ALIGNMENT = 8
};

/* ---- The header ---- */

static int64_t tensor_bytes(const struct stored_tensor *tensor) {
    int64_t bytes = sizeof(real);
    for (int d = 0; d < tensor->dims; d++)
        bytes *= tensor->shape[d];
    return bytes;
}

/* {"dtype", "shape", "data_offsets"} of the tensor whose data begins at byte `begin` after the header. */
static json_t *tensor_entry(const struct stored_tensor *tensor, int64_t begin) {
    assert(tensor->dims >= 0 && tensor->dims <= TENSOR_MAX_DIMS);
    json_t *shape = json_array();
    for (int d = 0; d < tensor->dims; d++)
        json_array_append_new(shape, json_integer(tensor->shape[d]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", REAL_NAME, "shape", shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)(begin + tensor_bytes(tensor)));
}

static bool add_texts(json_t *header, const char *path, const struct stored_text *texts, int count, struct error *err) {
    if (count == 0)
        return true;
    json_t *metadata = json_object();
    json_object_set_new(header, TENSOR_METADATA_KEY, metadata);
    for (int i = 0; i < count; i++) {
        if (json_object_get(metadata, texts[i].key))
            return error_set(err, "%s: cannot be written: two texts are named \"%s\"", path, texts[i].key);
        if (json_object_set_new(metadata, texts[i].key, json_string(texts[i].value)) != 0)
            return error_set(err, "%s: cannot be written: the text \"%s\" is not valid UTF-8", path, texts[i].key);
    }
    return true;
}

static bool add_entries(json_t *header, const char *path, const struct stored_tensor *tensors, int count,
                        struct error *err) {
    int64_t begin = 0;
    for (int i = 0; i < count; i++) {
        const char *name = tensors[i].name;
        if (strcmp(name, TENSOR_METADATA_KEY) == 0)
            return error_set(err, "%s: cannot be written: no tensor may be named \"%s\"", path, name);
        if (json_object_get(header, name))
            return error_set(err, "%s: cannot be written: two tensors are named \"%s\"", path, name);
        if (json_object_set_new(header, name, tensor_entry(&tensors[i], begin)) != 0)
            return error_set(err, "%s: cannot be written: the tensor name \"%s\" is not valid UTF-8", path, name);
        begin += tensor_bytes(&tensors[i]);
    }
    return true;
}

/* Appends the 8 bytes of length and the JSON, padded with spaces so that the tensors begin aligned. */
static void add_encoded(struct text *bytes, const json_t *header) {
    char *json = json_dumps(header, JSON_COMPACT);
    assert(json); /* every string was checked when it was added */
    uint64_t length = strlen(json), padded = (length + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    text_add(bytes, (const char *)&padded, sizeof padded);
    text_printf(bytes, "%-*s", (int)padded, json);
    free(json);
}

/* Puts everything that comes before the tensors into `bytes`. */
static bool encode_header(struct text *bytes, const char *path, const struct stored_tensor *tensors, int tensor_count,
                          const struct stored_text *texts, int text_count, struct error *err) {
    json_t *header = json_object();
    bool good =
        add_texts(header, path, texts, text_count, err) && add_entries(header, path, tensors, tensor_count, err);
    if (good)
        add_encoded(bytes, header);
    json_decref(header);
    if (good && bytes->length - sizeof(uint64_t) > TENSOR_HEADER_MAX_BYTES)
        return error_set(err, "%s: cannot be written: its names and texts need more than %d bytes", path,
                         TENSOR_HEADER_MAX_BYTES);
    return good;
}

/* ---- The gzip stream ---- */

struct sink {
    int fd;
    const char *path; /* for messages */
    struct error *err;
    z_stream deflate;
    unsigned char buffer[SINK_BUFFER_BYTES];
};

static bool write_failed(const char *path, struct error *err) {
    return error_set_errno(err, "%s: cannot be written", path);
}

static void empty_buffer(struct sink *sink) {
    sink->deflate.next_out = sink->buffer;
    sink->deflate.avail_out = sizeof sink->buffer;
}

static bool write_buffer(struct sink *sink) {
    const unsigned char *bytes = sink->buffer, *end = sink->deflate.next_out;
    while (bytes < end) {
        ssize_t written = write(sink->fd, bytes, (size_t)(end - bytes));
        if (written < 0 && errno != EINTR)
            return write_failed(sink->path, sink->err);
        if (written > 0)
            bytes += written;
    }
    empty_buffer(sink);
    return true;
}

static bool sink_add(struct sink *sink, const void *data, size_t bytes) {
    sink->deflate.next_in = data;
    while (bytes > 0) {
        sink->deflate.avail_in = bytes < SINK_STEP_BYTES ? (uInt)bytes : SINK_STEP_BYTES;
        bytes -= sink->deflate.avail_in;
        while (sink->deflate.avail_in > 0) {
            deflate(&sink->deflate, Z_NO_FLUSH);
            if (sink->deflate.avail_out == 0 && !write_buffer(sink))
                return false;
        }
    }
    return true;
}

static bool sink_finish(struct sink *sink) {
    int code;
    do {
        code = deflate(&sink->deflate, Z_FINISH);
        if (!write_buffer(sink))
            return false;
    } while (code != Z_STREAM_END);
    return true;
}

static bool add_tensors(struct sink *sink, const struct stored_tensor *tensors, int count) {
    for (int i = 0; i < count; i++)
        if (!sink_add(sink, tensors[i].data, (size_t)tensor_bytes(&tensors[i])))
            return false;
    return true;
}

/* Writes the whole gzip stream to fd; the caller closes it. */
static bool write_stream(int fd, const char *path, const struct text *header, const struct stored_tensor *tensors,
                         int tensor_count, struct error *err) {
    struct sink sink = {.fd = fd, .path = path, .err = err};
    if (deflateInit2(&sink.deflate, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return error_set(err, "%s: cannot be written: not enough memory to compress", path);
    empty_buffer(&sink);
    bool good = sink_add(&sink, header->data, header->length) && add_tensors(&sink, tensors, tensor_count) &&
                sink_finish(&sink);
    deflateEnd(&sink.deflate);
    return good;
}

/* ---- From the old file to the new ---- */

/* Makes the rename itself last through a power failure. File systems that cannot do this say EINVAL. */
static bool flush_folder(const char *path, struct error *err) {
    char *folder = mem_string(path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);
    if (!good)
        error_set_errno(err, "%s: was written, but its folder could not be flushed to the disk", path);
    if (fd >= 0)
        close(fd);
    free(folder);
    return good;
}

/* Takes fd, open on `temporary`, to the disk and to `path`. Closes fd in any case. */
static bool move_into_place(int fd, const char *temporary, const char *path, struct error *err) {
    bool good = fsync(fd) == 0 || write_failed(path, err);
    if (close(fd) != 0 && good)
        good = write_failed(path, err);
    return good && (rename(temporary, path) == 0 || write_failed(path, err));
}

static bool write_file(const char *path, const struct text *header, const struct stored_tensor *tensors,
                       int tensor_count, struct error *err) {
    struct text temporary = {0};
    text_printf(&temporary, "%s.tmp", path);
    int fd = open(temporary.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = fd >= 0 || write_failed(path, err);
    if (good) {
        good = write_stream(fd, path, header, tensors, tensor_count, err);
        if (good)
            good = move_into_place(fd, temporary.data, path, err);
        else
            close(fd);
        if (!good)
            unlink(temporary.data);
    }
    text_free(&temporary);
    return good && flush_folder(path, err);
}

bool tensor_file_write(const char *path, const struct stored_tensor *tensors, int tensor_count,
                       const struct stored_text *texts, int text_count, struct error *err) {
    struct text header = {0};
    bool good = encode_header(&header, path, tensors, tensor_count, texts, text_count, err) &&
                write_file(path, &header, tensors, tensor_count, err);
    text_free(&header);
    return good;
}
