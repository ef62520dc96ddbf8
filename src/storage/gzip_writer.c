#include "storage/gzip_writer.h"

#include <assert.h>
#include <limits.h>

#include "storage/atomic_file.h"

enum {
    GZIP_WINDOW_BITS = 16 + 15, /* 16: with a gzip header */
    LEVEL = 1,                  /* no matter which, with the strategy below */
    MEMORY_LEVEL = 8
};

/* Sequences repeat in weights by chance only, except for zeros: to look for runs of one byte and nothing else gives
 * files that are smaller by a few bytes in a thousand, and takes less than half the time of deflate's fastest level. */
bool gzip_writer_open(struct gzip_writer *writer, int fd, const char *path, struct error *err) {
    writer->path = path;
    writer->fd = fd;
    writer->stream = (z_stream){.next_out = writer->buffer, .avail_out = sizeof writer->buffer};
    if (deflateInit2(&writer->stream, LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, MEMORY_LEVEL, Z_RLE) == Z_OK)
        return true;
    return error_set_code(err, ERROR_NO_MEMORY, "%s: cannot be written: not enough memory to compress", path);
}

static bool flush(struct gzip_writer *writer, struct error *err) {
    size_t held = sizeof writer->buffer - writer->stream.avail_out;
    if (!atomic_file_write(writer->fd, writer->buffer, held))
        return error_set_errno(err, "%s: cannot be written", writer->path);
    writer->stream.next_out = writer->buffer;
    writer->stream.avail_out = sizeof writer->buffer;
    return true;
}

/* One call of deflate with room for its output. */
static bool deflate_some(struct gzip_writer *writer, int how, bool *ended, struct error *err) {
    if (writer->stream.avail_out == 0 && !flush(writer, err))
        return false;
    int code = deflate(&writer->stream, how);
    *ended = code == Z_STREAM_END;
    return *ended || code == Z_OK ||
           error_set(err, "%s: cannot be written: zlib did not compress all of it", writer->path);
}

bool gzip_writer_add(struct gzip_writer *writer, const void *bytes, size_t count, struct error *err) {
    bool ended;
    assert(count <= UINT_MAX);
    writer->stream.next_in = bytes;
    writer->stream.avail_in = (uInt)count;
    while (writer->stream.avail_in > 0)
        if (!deflate_some(writer, Z_NO_FLUSH, &ended, err))
            return false;
    return true;
}

bool gzip_writer_finish(struct gzip_writer *writer, struct error *err) {
    for (bool ended = false; !ended;)
        if (!deflate_some(writer, Z_FINISH, &ended, err))
            return false;
    return flush(writer, err);
}

void gzip_writer_close(struct gzip_writer *writer) {
    deflateEnd(&writer->stream);
}
