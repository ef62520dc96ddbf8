#define _GNU_SOURCE /* nftw */
#include "support/disk.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "runner.h"

char *disk_read(const char *path, size_t *size) {
    struct text text = {0};
    char bytes[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    text_add(&text, "", 0);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, file));)
        text_add(&text, bytes, got);
    fclose(file);
    if (size)
        *size = text.length;
    return text.data;
}

void disk_write(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    ck_assert_msg(file != NULL, "%s cannot be made", path);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

void disk_write_text(const char *path, const char *text) {
    disk_write(path, text, strlen(text));
}

bool disk_exists(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status, (void)type, (void)place;
    return remove(path);
}

void disk_remove(const char *path) {
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
