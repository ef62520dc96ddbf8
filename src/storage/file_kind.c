#include "storage/file_kind.h"

#include <string.h>
#include <strings.h>

#include "base/number.h"

#define PAGE "is a web page, not data: download it again, from an address that gives the file itself"

static const struct file_mark foreign[] = {
    {0, 9, "<!DOCTYPE", PAGE},
    {0, 5, "<html", PAGE},
    {0, 5, "<head", PAGE},
    {0, 4, "<!--", PAGE},
    {0, 5, "<?xml", "is an XML document, not data, such as a server's message: download it again"},
    {0, 19, "version https://git", "is a pointer of Git LFS, not the file itself: `git lfs pull` fetches that"},
    {0, 4, "PK\3\4", "is a zip archive: unpack it"},
    {0, 3, "BZh", "is compressed by bzip2: unpack it"},
    {0, 5,
     "\xfd"
     "7zXZ",
     "is compressed by xz: unpack it"},
    {0, 4, "\x28\xb5\x2f\xfd", "is compressed by zstd: unpack it"},
    {257, 5, "ustar", "is a tar archive: unpack it"},
};

const char *file_kind_find(const struct file_mark *marks, size_t mark_count, const uint8_t *bytes, size_t count) {
    size_t size = size_smaller(count, FILE_KIND_BYTES), blanks = 0;
    while (blanks < size && strchr(" \t\r\n", bytes[blanks]) && bytes[blanks])
        blanks++;
    for (const struct file_mark *mark = marks; mark < marks + mark_count; mark++) {
        if (size >= mark->at + mark->count && !memcmp(bytes + mark->at, mark->bytes, mark->count))
            return mark->what;
        if (mark->bytes[0] == '<' && size >= blanks + mark->count &&
            !strncasecmp((const char *)bytes + blanks, mark->bytes, mark->count))
            return mark->what;
    }
    return NULL;
}

const char *file_kind_foreign(const uint8_t *bytes, size_t count) {
    return file_kind_find(foreign, sizeof foreign / sizeof *foreign, bytes, count);
}
