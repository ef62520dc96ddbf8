#include "storage/gzip_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/number.h"

enum {
    GZIP_WINDOW_BITS = 16 + 15, /* 16: a gzip header and nothing else */
    BUFFER_BYTES = 1 << 16,
    MOST_AT_ONCE = 1 << 24, /* zlib counts in unsigned ints */
    DEFLATE_MOST = 1032,    /* bytes that deflate can make of one */
    NINTH_BYTE = 8
};

struct gzip_reader {
    const char *path;
    int fd;
    size_t size;
    bool gzipped, member_ended; /* ended: its checksum was reached and is right */
    z_stream stream;            /* its next_in and avail_in are what of `buffer` is unread, gzipped or not */
    unsigned char buffer[BUFFER_BYTES];
};

/* Before opening: to open a directory or a pipe would fail late or wait for ever. */
static bool check_regular(const char *path, size_t *size, struct error *err) {
    struct stat status;
    if (stat(path, &status))
        return error_set_errno(err, "%s", path);
    if (S_ISDIR(status.st_mode))
        return error_set(err, "%s: is a directory, not a file", path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, "%s: is not a regular file", path);
    *size = (size_t)status.st_size;
    return true;
}

static bool no_memory(const char *path, struct error *err) {
    return error_set_code(err, ERROR_NO_MEMORY, "%s: not enough memory to read it", path);
}

/* As the file has them. *got < count: it ends there. */
static bool read_file(struct gzip_reader *reader, void *into, size_t count, size_t *got, struct error *err) {
    for (*got = 0; *got < count;) {
        ssize_t part = read(reader->fd, (char *)into + *got, count - *got);
        if (part < 0 && errno != EINTR)
            return error_set_errno(err, "%s", reader->path);
        if (part == 0)
            break;
        if (part > 0)
            *got += (size_t)part;
    }
    return true;
}

/* Moves what is unread to the front of the buffer, and fills the rest. */
static bool refill(struct gzip_reader *reader, struct error *err) {
    z_stream *stream = &reader->stream;
    size_t held = stream->avail_in, got;
    if (held)
        memmove(reader->buffer, stream->next_in, held);
    if (!read_file(reader, reader->buffer + held, BUFFER_BYTES - held, &got, err))
        return false;
    stream->next_in = reader->buffer;
    stream->avail_in = (uInt)(held + got);
    return true;
}

static bool has_magic(const z_stream *stream) {
    return stream->avail_in >= 2 && stream->next_in[0] == 0x1f && stream->next_in[1] == 0x8b;
}

/* The ninth byte of a gzip stream is a small number that tells the compression level. A plain safetensors file may
 * begin with gzip's two bytes by chance, but then its ninth byte begins the JSON header. */
static bool looks_gzipped(const z_stream *stream) {
    return has_magic(stream) && !(stream->avail_in > NINTH_BYTE && stream->next_in[NINTH_BYTE] == '{');
}

static bool begin(struct gzip_reader *reader, struct error *err) {
    if (!refill(reader, err))
        return false;
    reader->gzipped = looks_gzipped(&reader->stream);
    return !reader->gzipped || inflateInit2(&reader->stream, GZIP_WINDOW_BITS) == Z_OK || no_memory(reader->path, err);
}

struct gzip_reader *gzip_reader_open(const char *path, struct error *err) {
    size_t size = 0;
    if (!check_regular(path, &size, err))
        return NULL;
    struct gzip_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        no_memory(path, err);
        return NULL;
    }
    reader->path = path;
    reader->size = size;
    reader->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0)
        error_set_errno(err, "%s", path);
    else if (begin(reader, err))
        return reader;
    gzip_reader_close(reader);
    return NULL;
}

void gzip_reader_close(struct gzip_reader *reader) {
    if (!reader)
        return;
    if (reader->gzipped)
        inflateEnd(&reader->stream);
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader);
}

bool gzip_reader_is_gzipped(const struct gzip_reader *reader) {
    return reader->gzipped;
}

size_t gzip_reader_size(const struct gzip_reader *reader) {
    return reader->size;
}

size_t gzip_reader_most(const struct gzip_reader *reader) {
    if (!reader->gzipped)
        return reader->size;
    return reader->size < SIZE_MAX / DEFLATE_MOST ? reader->size * DEFLATE_MOST : SIZE_MAX;
}

/* What the buffer has, then straight from the file. */
static bool read_plain(struct gzip_reader *reader, char *into, size_t count, size_t *got, struct error *err) {
    z_stream *stream = &reader->stream;
    size_t held = size_smaller(count, stream->avail_in);
    if (held)
        memcpy(into, stream->next_in, held);
    stream->next_in += held;
    stream->avail_in -= (uInt)held;
    if (!read_file(reader, into + held, count - held, got, err))
        return false;
    *got += held;
    return true;
}

static bool damaged(const struct gzip_reader *reader, const char *what, struct error *err) {
    return error_set_code(err, ERROR_DAMAGED, "%s: damaged: %s", reader->path, what);
}

/* One call of inflate, which makes some progress or refuses the file. */
static bool inflate_some(struct gzip_reader *reader, struct error *err) {
    z_stream *stream = &reader->stream;
    if (stream->avail_in == 0 && !refill(reader, err))
        return false;
    if (stream->avail_in == 0)
        return damaged(reader, "the gzip stream is cut short", err);
    int code = inflate(stream, Z_NO_FLUSH);
    if (code == Z_MEM_ERROR)
        return no_memory(reader->path, err);
    if (code != Z_OK && code != Z_STREAM_END)
        return error_set_code(err, ERROR_DAMAGED, "%s: damaged: the gzip stream: %s", reader->path, stream->msg);
    reader->member_ended = code == Z_STREAM_END;
    return true;
}

/* After a member's end: begins the next one, if there is one. */
static bool next_member(struct gzip_reader *reader, struct error *err) {
    if (reader->stream.avail_in < 2 && !refill(reader, err))
        return false;
    if (has_magic(&reader->stream)) {
        inflateReset(&reader->stream);
        reader->member_ended = false;
    }
    return true;
}

static bool inflate_all(struct gzip_reader *reader, struct error *err) {
    while (reader->stream.avail_out > 0) {
        if (reader->member_ended && !next_member(reader, err))
            return false;
        if (reader->member_ended)
            break;
        if (!inflate_some(reader, err))
            return false;
    }
    return true;
}

static bool read_gzipped(struct gzip_reader *reader, unsigned char *into, size_t count, size_t *got,
                         struct error *err) {
    z_stream *stream = &reader->stream;
    *got = 0;
    do {
        size_t part = size_smaller(count - *got, MOST_AT_ONCE);
        stream->next_out = into + *got;
        stream->avail_out = (uInt)part;
        if (!inflate_all(reader, err))
            return false;
        *got += part - stream->avail_out;
    } while (*got < count && stream->avail_out == 0);
    return true;
}

bool gzip_reader_read(struct gzip_reader *reader, void *into, size_t count, size_t *got, struct error *err) {
    return reader->gzipped ? read_gzipped(reader, into, count, got, err) : read_plain(reader, into, count, got, err);
}

bool gzip_reader_rewind(struct gzip_reader *reader, struct error *err) {
    if (lseek(reader->fd, 0, SEEK_SET) != 0)
        return error_set_errno(err, "%s", reader->path);
    reader->stream.avail_in = 0;
    reader->member_ended = false;
    if (reader->gzipped)
        inflateReset(&reader->stream);
    return true;
}

bool gzip_reader_expect_end(struct gzip_reader *reader, struct error *err) {
    if (reader->stream.avail_in == 0 && !refill(reader, err))
        return false;
    return reader->stream.avail_in == 0 || damaged(reader, "bytes follow the gzip stream", err);
}
