#include "storage/tar_reader.h"

#include <stdlib.h>
#include <string.h>

#include "storage/gzip_reader.h"

enum { BLOCK_BYTES = 512, FIRST_BYTES = 1 << 20 };

/* A header of POSIX.1-1988 (ustar), as far as it is needed. Numbers are octal digits; of GNU tar, and where they need
 * more digits than there are, they may be a byte 0x80 and a big-endian number in the other bytes. */
struct header {
    char name[100];
    char mode[8], owner[8], group[8];
    char size[12];
    char time[12];
    char checksum[8];
    char type;
    char rest[BLOCK_BYTES - 157];
};
_Static_assert(sizeof(struct header) == BLOCK_BYTES, "a header is a block");

bool tar_open(struct tar_reader *tar, const char *path, struct error *err) {
    *tar = (struct tar_reader){.path = path, .bytes = gzip_reader_open(path, err)};
    return tar->bytes;
}

void tar_close(struct tar_reader *tar) {
    gzip_reader_close(tar->bytes);
    *tar = (struct tar_reader){0};
}

static bool damaged(const struct tar_reader *tar, const char *what, struct error *err) {
    return error_set_code(err, ERROR_DAMAGED, "%s: damaged: %s", tar->path, what);
}

static bool cut(const struct tar_reader *tar, struct error *err) {
    return damaged(tar, "the archive is cut short", err);
}

static bool skip(struct tar_reader *tar, uint64_t count, struct error *err) {
    char rest[1 << 14];
    for (size_t part, got; count > 0; count -= part) {
        part = count < sizeof rest ? (size_t)count : sizeof rest;
        if (!gzip_reader_read(tar->bytes, rest, part, &got, err))
            return false;
        if (got < part)
            return cut(tar, err);
    }
    return true;
}

/* Octal digits among blanks; false where there is anything else. */
static bool read_octal(const char *digits, size_t count, uint64_t *value) {
    size_t i = 0;
    *value = 0;
    while (i < count && digits[i] == ' ')
        i++;
    for (; i < count && digits[i] >= '0' && digits[i] <= '7'; i++)
        *value = *value * 8 + (uint64_t)(digits[i] - '0');
    return i == count || digits[i] == ' ' || digits[i] == '\0';
}

static bool read_binary(const char *bytes, size_t count, uint64_t *value) {
    *value = 0;
    for (size_t i = 1; i < count; i++) {
        if (*value > INT64_MAX >> 8) /* so that what is left of the last block can be added */
            return false;
        *value = *value << 8 | (unsigned char)bytes[i];
    }
    return true;
}

static bool read_size(const struct header *header, uint64_t *size) {
    bool binary = (unsigned char)header->size[0] == 0x80;
    return (binary ? read_binary : read_octal)(header->size, sizeof header->size, size);
}

/* The sum of all bytes, with blanks in place of the sum itself. */
static bool sum_is_right(const struct header *header) {
    const unsigned char *bytes = (const unsigned char *)header;
    size_t first = offsetof(struct header, checksum), end = first + sizeof header->checksum;
    uint64_t sum = 0, expected;
    for (size_t i = 0; i < sizeof *header; i++)
        sum += i >= first && i < end ? ' ' : bytes[i];
    return read_octal(header->checksum, sizeof header->checksum, &expected) && sum == expected;
}

static bool is_zero(const struct header *header) {
    const char *bytes = (const char *)header;
    return bytes[0] == '\0' && !memcmp(bytes, bytes + 1, sizeof *header - 1);
}

static bool take_header(struct tar_reader *tar, const struct header *header, struct error *err) {
    if (!sum_is_right(header) || !read_size(header, &tar->size))
        return tar->begun ? damaged(tar, "a header in the archive is wrong", err)
                          : error_set(err, "%s: is no tar archive", tar->path);
    size_t length = strnlen(header->name, sizeof header->name), start = length;
    while (start > 0 && header->name[start - 1] != '/')
        start--;
    memcpy(tar->name, header->name + start, length - start);
    tar->name[length - start] = '\0';
    tar->left = tar->size;
    tar->padding = (BLOCK_BYTES - tar->size % BLOCK_BYTES) % BLOCK_BYTES;
    tar->begun = true;
    return true;
}

/* Zeros may follow the last member, to any length. */
static bool read_to_end(struct tar_reader *tar, struct error *err) {
    char rest[1 << 14];
    size_t got = sizeof rest;
    while (got == sizeof rest)
        if (!gzip_reader_read(tar->bytes, rest, sizeof rest, &got, err))
            return false;
    return true;
}

bool tar_next(struct tar_reader *tar, bool *found, struct error *err) {
    struct header header = {.type = 0};
    size_t got;
    do {
        *found = false;
        if (!skip(tar, tar->left + tar->padding, err))
            return false;
        tar->left = tar->padding = 0;
        if (!gzip_reader_read(tar->bytes, &header, sizeof header, &got, err))
            return false;
        if (got > 0 && got < sizeof header)
            return tar->begun ? cut(tar, err) : error_set(err, "%s: is no tar archive", tar->path);
        if (got == 0 || is_zero(&header))
            return tar->begun ? read_to_end(tar, err) : error_set(err, "%s: is no tar archive", tar->path);
        if (!take_header(tar, &header, err))
            return false;
        *found = header.type == '0' || header.type == '\0';
    } while (!*found);
    return true;
}

static bool grow(struct tar_reader *tar, uint8_t **bytes, size_t *room, struct error *err) {
    size_t wanted = *room ? 2 * *room : FIRST_BYTES;
    *room = tar->size < wanted ? (size_t)tar->size : wanted;
    uint8_t *moved = realloc(*bytes, *room + 1); /* an empty file has bytes, too */
    if (!moved)
        return error_set_code(err, ERROR_NO_MEMORY, "%s: not enough memory to read %s in it (%zu bytes)", tar->path,
                              tar->name, *room);
    *bytes = moved;
    return true;
}

uint8_t *tar_read(struct tar_reader *tar, struct error *err) {
    uint8_t *bytes = NULL;
    size_t room = 0, size = 0, got = 0;
    bool good = grow(tar, &bytes, &room, err);
    while (good && tar->left > 0) {
        good = (size < room || grow(tar, &bytes, &room, err)) &&
               gzip_reader_read(tar->bytes, bytes + size, room - size, &got, err) &&
               (got == room - size || cut(tar, err));
        size += got;
        tar->left -= got;
    }
    if (good)
        return bytes;
    free(bytes);
    return NULL;
}
