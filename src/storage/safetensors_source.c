#include "storage/safetensors_source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/gz_file.h"

enum { GZIP_WINDOW_BITS = 16 + 15 /* 16: a gzip header and nothing else */, NINTH_BYTE = 8 };

bool byte_source_refuse(struct byte_source *source, const char *format, ...) {
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return error_set(source->err, "%s: %s", source->path, message);
}

/* Fills the buffer, all of which was used; less than all of it only at the end of the file. */
static bool refill(struct byte_source *source) {
    size_t held = 0;
    while (held < sizeof source->buffer) {
        ssize_t got = read(source->fd, source->buffer + held, sizeof source->buffer - held);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(source->err, "%s", source->path);
        if (got == 0)
            break;
        held += (size_t)got;
    }
    source->stream.next_in = source->buffer;
    source->stream.avail_in = (uInt)held;
    return true;
}

/* A plain file may begin with gzip's two bytes by chance, but then its ninth byte begins the JSON header. The ninth
 * byte of a gzip stream is a small number that tells the compression level. */
static bool looks_gzipped(const unsigned char *bytes, size_t count) {
    bool magic = count >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
    return magic && !(count > NINTH_BYTE && bytes[NINTH_BYTE] == '{');
}

static int64_t most_bytes(const struct byte_source *source) {
    struct stat status;
    if (fstat(source->fd, &status) || !S_ISREG(status.st_mode))
        return INT64_MAX;
    int64_t size = status.st_size;
    return !source->gzipped ? size : size < INT64_MAX / DEFLATE_MOST ? size * DEFLATE_MOST : INT64_MAX;
}

static bool open_stream(struct byte_source *source) {
    if (!refill(source))
        return false;
    source->gzipped = looks_gzipped(source->buffer, source->stream.avail_in);
    source->most = most_bytes(source);
    if (source->gzipped && inflateInit2(&source->stream, GZIP_WINDOW_BITS) != Z_OK)
        return byte_source_refuse(source, "not enough memory to read it");
    return true;
}

bool byte_source_open(struct byte_source *source, const char *path, struct error *err) {
    source->path = path;
    source->err = err;
    source->stream_ended = false;
    source->stream = (z_stream){0};
    source->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0)
        return error_set_errno(err, "%s", path);
    if (open_stream(source))
        return true;
    close(source->fd);
    return false;
}

void byte_source_close(struct byte_source *source) {
    if (source->gzipped)
        inflateEnd(&source->stream);
    close(source->fd);
}

static bool read_plain(struct byte_source *source, unsigned char *into, size_t count, size_t *got) {
    z_stream *stream = &source->stream;
    for (*got = 0; *got < count;) {
        if (stream->avail_in == 0 && !refill(source))
            return false;
        if (stream->avail_in == 0)
            break;
        size_t part = count - *got < stream->avail_in ? count - *got : stream->avail_in;
        memcpy(into + *got, stream->next_in, part);
        stream->next_in += part;
        stream->avail_in -= (uInt)part;
        *got += part;
    }
    return true;
}

/* One call of inflate, which makes some progress or refuses the file. */
static bool inflate_some(struct byte_source *source) {
    if (source->stream.avail_in == 0 && !refill(source))
        return false;
    if (source->stream.avail_in == 0)
        return byte_source_refuse(source, "damaged: the gzip stream is cut short");
    int code = inflate(&source->stream, Z_NO_FLUSH);
    if (code == Z_MEM_ERROR)
        return byte_source_refuse(source, "not enough memory to read it");
    if (code != Z_OK && code != Z_STREAM_END)
        return byte_source_refuse(source, "damaged: the gzip stream: %s", source->stream.msg);
    source->stream_ended = code == Z_STREAM_END;
    return true;
}

static bool read_gzipped(struct byte_source *source, unsigned char *into, size_t count, size_t *got) {
    source->stream.next_out = into;
    source->stream.avail_out = (uInt)count;
    while (source->stream.avail_out > 0 && !source->stream_ended)
        if (!inflate_some(source))
            return false;
    *got = count - source->stream.avail_out;
    return true;
}

bool byte_source_read(struct byte_source *source, void *into, size_t count, size_t *got) {
    assert(count <= SOURCE_BUFFER_BYTES);
    return source->gzipped ? read_gzipped(source, into, count, got) : read_plain(source, into, count, got);
}

bool byte_source_expect_end(struct byte_source *source) {
    unsigned char extra;
    size_t got;
    if (!byte_source_read(source, &extra, 1, &got))
        return false;
    if (got > 0)
        return byte_source_refuse(source, "damaged: more bytes follow than its header tells of");
    if (!source->gzipped)
        return true;
    if (!read_plain(source, &extra, 1, &got))
        return false;
    return got == 0 || byte_source_refuse(source, "damaged: bytes follow the gzip stream");
}
