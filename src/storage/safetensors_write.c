/* Writing safetensors files: header, gzip stream, and the change from the old file to the new one. */
#define ZLIB_CONST /* zlib reads its input only */
#include "storage/safetensors.h"

#include <assert.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "storage/atomic_file.h"
#include "storage/safetensors_checksum.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are written as they lie in memory");

enum {
    RAW_WINDOW_BITS = -15, /* negative: a deflate stream without gzip's header and checksum */
    DEFLATE_LEVEL = 1,     /* no matter which, with the strategy below */
    DEFLATE_MEMORY_LEVEL = 8,
    PIECE_BYTES = 1 << 20,
    FLUSH_BYTES = 16, /* deflateBound is for streams that end; a flush adds an empty block, of 5 or 6 bytes */
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

static bool no_memory(const char *path, struct error *err) {
    return error_set(err, "%s: cannot be written: not enough memory", path);
}

/* Of all that is to be written, as CHECKSUM_KEY's text. */
static bool checksum(char digits[CHECKSUM_BYTES], const struct stored_tensor *tensors, int tensor_count,
                     const struct stored_text *texts, int text_count) {
    struct content_checksum sum;
    if (!content_checksum_begin(&sum))
        return false;
    for (int i = 0; i < tensor_count; i++) {
        content_checksum_tensor(&sum, &tensors[i]);
        content_checksum_bytes(&sum, tensors[i].data, (size_t)tensor_bytes(&tensors[i]));
    }
    for (int i = 0; i < text_count; i++)
        content_checksum_text(&sum, texts[i].key, texts[i].value);
    content_checksum_print(digits, content_checksum_value(&sum));
    content_checksum_free(&sum);
    return true;
}

static bool add_texts(json_t *header, const char *path, const struct stored_text *texts, int count,
                      const char *checksum, struct error *err) {
    json_t *metadata = json_object();
    json_object_set_new(header, TENSOR_METADATA_KEY, metadata);
    for (int i = 0; i < count; i++) {
        if (json_object_get(metadata, texts[i].key) || !strcmp(texts[i].key, CHECKSUM_KEY))
            return error_set(err, "%s: cannot be written: two texts are named \"%s\"", path, texts[i].key);
        if (json_object_set_new(metadata, texts[i].key, json_string(texts[i].value)) != 0)
            return error_set(err, "%s: cannot be written: the text \"%s\" is not valid UTF-8", path, texts[i].key);
    }
    return json_object_set_new(metadata, CHECKSUM_KEY, json_string(checksum)) == 0 || no_memory(path, err);
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
    char digits[CHECKSUM_BYTES];
    if (!checksum(digits, tensors, tensor_count, texts, text_count))
        return no_memory(path, err);
    json_set_alloc_funcs(mem_alloc, free); /* so that NULL means text that is not UTF-8, and nothing is left out */
    json_t *header = json_object();
    bool good = add_texts(header, path, texts, text_count, digits, err) &&
                add_entries(header, path, tensors, tensor_count, err);
    if (good)
        add_encoded(bytes, header);
    json_decref(header);
    if (good && bytes->length - sizeof(uint64_t) > TENSOR_HEADER_MAX_BYTES)
        return error_set(err, "%s: cannot be written: its names and texts need more than %d bytes", path,
                         TENSOR_HEADER_MAX_BYTES);
    return good;
}

/* ---- The gzip stream ---- */

/* The stream is made of pieces that all threads deflate at the same time, each on its own and to whole bytes, so that
 * they can be put one after the other. No tensor shares a piece with another one. */
struct piece {
    const unsigned char *data;
    size_t bytes;
};

struct sink {
    int fd;
    const char *path; /* for messages */
    struct error *err;
    bool good;
    uLong checksum; /* of what was added, before deflation */
    uint32_t bytes; /* modulo 2^32, as gzip wants it */
};

static bool write_failed(const char *path, struct error *err) {
    return error_set_errno(err, "%s: cannot be written", path);
}

static bool write_bytes(const struct sink *sink, const void *bytes, size_t count) {
    return atomic_file_write(sink->fd, bytes, count) || write_failed(sink->path, sink->err);
}

/* Appends the pieces of `data` to the list, and returns its new length. */
static int cut(struct piece *pieces, int count, const void *data, size_t bytes) {
    for (size_t at = 0; at < bytes; at += PIECE_BYTES)
        pieces[count++] =
            (struct piece){(const unsigned char *)data + at, bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES};
    return count;
}

/* What became of a piece. */
struct deflated {
    unsigned char *bytes; /* to be freed */
    size_t count;
    const char *mistake; /* NULL: none */
};

/* Sequences repeat in weights by chance only, except for zeros: to look for runs of one byte and nothing else gives
 * files that are smaller by a few bytes in a thousand, and takes less than half the time of deflate's fastest level. */
static bool begin_deflate(z_stream *stream) {
    return deflateInit2(stream, DEFLATE_LEVEL, Z_DEFLATED, RAW_WINDOW_BITS, DEFLATE_MEMORY_LEVEL, Z_RLE) == Z_OK;
}

/* With room left, the flush is known to be complete. */
static bool deflate_all(z_stream *stream) {
    return deflate(stream, Z_SYNC_FLUSH) == Z_OK && stream->avail_in == 0 && stream->avail_out > 0;
}

static struct deflated deflate_piece(const struct piece *piece) {
    static const char *const no_memory = "not enough memory to compress";
    struct deflated result = {NULL, 0, NULL};
    z_stream stream = {.next_in = piece->data, .avail_in = (uInt)piece->bytes};
    if (!begin_deflate(&stream))
        return (struct deflated){.mistake = no_memory};
    stream.avail_out = (uInt)deflateBound(&stream, (uLong)piece->bytes) + FLUSH_BYTES;
    result.bytes = stream.next_out = malloc(stream.avail_out);
    if (!result.bytes)
        result.mistake = no_memory;
    else if (!deflate_all(&stream))
        result.mistake = "zlib did not compress all of it";
    result.count = stream.total_out;
    deflateEnd(&stream);
    return result;
}

static void sink_add(struct sink *sink, const struct piece *piece, uLong checksum, const struct deflated *deflated) {
    if (!sink->good)
        return;
    sink->good = deflated->mistake ? error_set(sink->err, "%s: cannot be written: %s", sink->path, deflated->mistake)
                                   : write_bytes(sink, deflated->bytes, deflated->count);
    sink->checksum = crc32_combine(sink->checksum, checksum, (z_off_t)piece->bytes);
    sink->bytes += (uint32_t)piece->bytes;
}

static void add_pieces(struct sink *sink, const struct piece *pieces, int count) {
#pragma omp parallel for ordered schedule(dynamic)
    for (int i = 0; i < count; i++) {
        struct deflated deflated = deflate_piece(&pieces[i]);
        uLong checksum = crc32(0, pieces[i].data, (uInt)pieces[i].bytes);
#pragma omp ordered
        sink_add(sink, &pieces[i], checksum, &deflated);
        free(deflated.bytes);
    }
}

/* Ends the deflate stream with an empty block, and the gzip stream with checksum and length, little-endian. */
static bool sink_finish(struct sink *sink) {
    uint32_t sums[] = {(uint32_t)sink->checksum, sink->bytes};
    unsigned char end[2 + sizeof sums] = {3, 0};
    memcpy(end + 2, sums, sizeof sums);
    return sink->good && write_bytes(sink, end, sizeof end);
}

/* Writes the whole gzip stream to fd; the caller closes it. */
static bool write_stream(int fd, const char *path, const struct text *header, const struct stored_tensor *tensors,
                         int tensor_count, struct error *err) {
    /* Deflate, no name, no time, the fastest compression, Unix. */
    static const unsigned char gzip_header[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3};
    struct sink sink = {.fd = fd, .path = path, .err = err};
    size_t most = header->length / PIECE_BYTES + 1;
    for (int i = 0; i < tensor_count; i++)
        most += (size_t)tensor_bytes(&tensors[i]) / PIECE_BYTES + 1;
    struct piece *pieces = malloc(most * sizeof *pieces); /* not mem_alloc, which would leave the file half-written */
    if (!pieces)
        return no_memory(path, err);
    int count = cut(pieces, 0, header->data, header->length);
    for (int i = 0; i < tensor_count; i++)
        count = cut(pieces, count, tensors[i].data, (size_t)tensor_bytes(&tensors[i]));
    sink.good = write_bytes(&sink, gzip_header, sizeof gzip_header);
    add_pieces(&sink, pieces, count);
    free(pieces);
    return sink_finish(&sink);
}

/* ---- From the old file to the new ---- */

static bool write_file(const char *path, const struct text *header, const struct stored_tensor *tensors,
                       int tensor_count, struct error *err) {
    struct text temporary = {0};
    text_printf(&temporary, "%s.tmp", path);
    int fd = open(temporary.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = fd >= 0 || write_failed(path, err);
    if (good && !write_stream(fd, path, header, tensors, tensor_count, err)) {
        close(fd);
        unlink(temporary.data);
        good = false;
    } else if (good) {
        good = atomic_file_replace(fd, temporary.data, path) || write_failed(path, err);
    }
    text_free(&temporary);
    return good;
}

bool tensor_file_write(const char *path, const struct stored_tensor *tensors, int tensor_count,
                       const struct stored_text *texts, int text_count, struct error *err) {
    struct text header = {0};
    bool good = encode_header(&header, path, tensors, tensor_count, texts, text_count, err) &&
                write_file(path, &header, tensors, tensor_count, err);
    text_free(&header);
    return good;
}
