#define ZLIB_CONST /* zlib reads its input only */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { GZIP_WINDOW_BITS = 16 + 9, MEMORY_LEVEL = 1 }; /* the smallest, since it is for small inputs and often */

void fuzz_require(bool holds, const char *promise) {
    if (holds)
        return;
    fprintf(stderr, "fuzz: broken promise: %s\n", promise);
    abort();
}

static char folder[64];

static void remove_folder(void) {
    char path[sizeof folder + 256];
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        snprintf(path, sizeof path, "%s/%.250s", folder, entry->d_name);
        if (*entry->d_name != '.')
            unlink(path);
    }
    if (entries)
        closedir(entries);
    rmdir(folder);
}

const char *fuzz_folder(void) {
    if (*folder)
        return folder;
    strcpy(folder, "/dev/shm/spherenet-fuzz-XXXXXX");
    if (!mkdtemp(folder)) {
        strcpy(folder, "/tmp/spherenet-fuzz-XXXXXX");
        fuzz_require(mkdtemp(folder) != NULL, "there is room for a folder");
    }
    atexit(remove_folder);
    return folder;
}

void fuzz_write(const char *name, const void *bytes, size_t size) {
    char path[sizeof folder + 256];
    snprintf(path, sizeof path, "%s/%.250s", fuzz_folder(), name);
    FILE *file = fopen(path, "wb");
    fuzz_require(file && fwrite(bytes, 1, size, file) == size && !fclose(file), "the input's file can be written");
}

uint8_t *fuzz_gzip(const uint8_t *bytes, size_t size, size_t *gzipped_size) {
    z_stream stream = {.next_in = bytes, .avail_in = (uInt)size};
    fuzz_require(deflateInit2(&stream, 1, Z_DEFLATED, GZIP_WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK,
                 "zlib starts");
    stream.avail_out = (uInt)deflateBound(&stream, (uLong)size);
    uint8_t *gzipped = stream.next_out = malloc(stream.avail_out);
    fuzz_require(gzipped && deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib compresses");
    *gzipped_size = stream.total_out;
    deflateEnd(&stream);
    return gzipped;
}
