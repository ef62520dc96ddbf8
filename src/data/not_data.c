#include "data/not_data.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/number.h"
#include "storage/gzip_reader.h"

/* --- Files ------------------------------------------------------------------------------------------------------- */

#define PAGE "is a web page, not data: download it again, from an address that gives the file itself"
#define PICKLE "is a Python pickle, which is not read: get the binary version of the dataset"

enum { MARK_BYTES = 64 }; /* from the beginning, in which all marks but that of tar archives are */

static const struct {
    size_t at, count;
    const char *bytes, *what;
} beginnings[] = {
    {0, 9, "<!DOCTYPE", PAGE},
    {0, 5, "<html", PAGE},
    {0, 5, "<head", PAGE},
    {0, 4, "<!--", PAGE},
    {0, 5, "<?xml", "is an XML document, not data, such as a server's message: download it again"},
    {0, 19, "version https://git", "is a pointer of Git LFS, not the file itself: `git lfs pull` fetches that"},
    {0, 2, "\x1f\x8b", "is gzipped twice: gunzip it once"},
    {0, 4, "PK\3\4", "is a zip archive: unpack it"},
    {0, 3, "BZh", "is compressed by bzip2: unpack it"},
    {0, 5,
     "\xfd"
     "7zXZ",
     "is compressed by xz: unpack it"},
    {0, 4, "\x28\xb5\x2f\xfd", "is compressed by zstd: unpack it"},
    {257, 5, "ustar", "is a tar archive: unpack it"},
    {0, 2, "\x80\2", PICKLE},
    {0, 2, "\x80\3", PICKLE},
    {0, 2, "\x80\4", PICKLE},
    {0, 2, "\x80\5", PICKLE},
    {0, 3, "(dp", PICKLE},
    {0, 6, "\x93NUMPY", "is an array of NumPy, which is not read: write it as an IDX file"},
    {0, 4, "\x89HDF", "is an HDF5 file, which is not read: write its arrays as IDX files"},
    {0, 4, "\x89PNG", "is a PNG picture, not a file of many images"},
    {0, 3, "\xff\xd8\xff", "is a JPEG picture, not a file of many images"},
};

const char *not_data_kind(const uint8_t *bytes, size_t size) {
    size_t blanks = 0;
    while (blanks < size && strchr(" \t\r\n", bytes[blanks]) && bytes[blanks])
        blanks++;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        size_t at = beginnings[i].at, count = beginnings[i].count;
        if (size >= at + count && !memcmp(bytes + at, beginnings[i].bytes, count))
            return beginnings[i].what;
        if (beginnings[i].bytes[0] == '<' && size >= blanks + count && /* web pages, in any case of letters */
            !strncasecmp((const char *)bytes + blanks, beginnings[i].bytes, count))
            return beginnings[i].what;
    }
    return NULL;
}

bool not_data_explain(struct file *file, struct error *err) {
    struct error ignored;
    file_fill(file, NOT_DATA_BYTES, &ignored);
    const char *what = not_data_kind(file->bytes, size_smaller(file->size, NOT_DATA_BYTES));
    return what ? error_set(err, "%s: %s", file->path, what) : false;
}

bool not_data_explain_path(const char *path, struct error *err) {
    struct error ignored;
    uint8_t bytes[MARK_BYTES];
    size_t size = 0;
    struct gzip_reader *reader = gzip_reader_open(path, &ignored);
    const char *what =
        reader && gzip_reader_read(reader, bytes, sizeof bytes, &size, &ignored) ? not_data_kind(bytes, size) : NULL;
    gzip_reader_close(reader);
    return what ? error_set(err, "%s: %s", path, what) : false;
}

/* --- Folders ----------------------------------------------------------------------------------------------------- */

/* Ends of names; the first in this order that is there is told of. */
static const struct {
    const char *end, *what;
} things[] = {
    {"-python.tar.gz", "the version for Python, which is not read"},
    {"-batches-py", "the version for Python, which is not read"},
    {"-100-python", "the version for Python, which is not read"},
    {"data_batch_1", "a Python pickle, which is not read"},
    {"-matlab.tar.gz", "the version for Matlab, which is not read"},
    {"data_batch_1.mat", "the version for Matlab, which is not read"},
    {".npz", "arrays of NumPy, which are not read: write them as IDX files"},
    {".npy", "an array of NumPy, which is not read: write it as an IDX file"},
    {".zip", "an archive: unpack it"},
    {".tar.gz", "an archive: unpack it"},
    {".tgz", "an archive: unpack it"},
    {".tar", "an archive: unpack it"},
    {".7z", "an archive: unpack it"},
    {".tar.xz", "an archive: unpack it"},
    {".mat", "a file of Matlab, which is not read"},
    {".pt", "a file of PyTorch, which is not read"},
    {".pkl", "a Python pickle, which is not read"},
    {".csv", "a table of text, which is not read: write IDX files"},
    {".h5", "an HDF5 file, which is not read"},
    {".parquet", "a Parquet file, which is not read"},
    {".tfrecord", "a file of TensorFlow, which is not read"},
    {".crdownload", "a download that did not end"},
    {".part", "a download that did not end"},
};

struct listing {
    struct arena memory;
    const char **names;
    size_t count;
};

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In the order of the names. */
static void list(struct listing *listing, const char *folder) {
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (*entry->d_name == '.')
            continue;
        listing->names = arena_grow(&listing->memory, listing->names, (int)listing->count, sizeof *listing->names);
        listing->names[listing->count++] = arena_string(&listing->memory, entry->d_name);
    }
    if (entries)
        closedir(entries);
    if (listing->count)
        qsort(listing->names, listing->count, sizeof *listing->names, compare);
}

static bool ends_with(const char *name, const char *end) {
    size_t length = strlen(name), count = strlen(end);
    return length >= count && !strcasecmp(name + length - count, end);
}

static bool has_folder(const char *folder, const char *name) {
    struct text path = {0};
    struct stat status;
    text_printf(&path, "%s/%s", folder, name);
    bool found = stat(path.data, &status) == 0 && S_ISDIR(status.st_mode);
    text_free(&path);
    return found;
}

static void remark_on_things(struct text *text, const struct listing *listing) {
    for (size_t i = 0; i < sizeof things / sizeof *things; i++)
        for (size_t n = 0; n < listing->count; n++)
            if (ends_with(listing->names[n], things[i].end)) {
                text_printf(text, "; there is %s, %s", listing->names[n], things[i].what);
                return;
            }
}

void not_data_remark(struct text *text, const char *folder) {
    static const char *const splits[] = {"train", "test"};
    struct listing listing = {0};
    for (int i = 0; i < 2; i++)
        if (has_folder(folder, splits[i])) {
            text_printf(text, "; there is the folder %s: pictures in folders are not read", splits[i]);
            return;
        }
    list(&listing, folder);
    remark_on_things(text, &listing);
    arena_free(&listing.memory);
}
