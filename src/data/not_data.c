#include "data/not_data.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "storage/file_kind.h"
#include "storage/folder.h"
#include "storage/gzip_reader.h"

/* --- Files ------------------------------------------------------------------------------------------------------- */

#define PICKLE "is a Python pickle, which is not read: get the binary version of the dataset"

enum { MARK_BYTES = 64 }; /* from a file's beginning, in which all marks but that of tar archives are */

static const struct file_mark marks[] = {
    {0, 2, "\x1f\x8b", "is gzipped twice: gunzip it once"},
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

bool not_data_explain_bytes(const char *path, const uint8_t *bytes, size_t size, struct error *err) {
    const char *what = file_kind_find(marks, sizeof marks / sizeof *marks, bytes, size);
    if (!what)
        what = file_kind_foreign(bytes, size);
    return what ? error_set(err, "%s: %s", path, what) : false;
}

bool not_data_explain(struct file *file, struct error *err) {
    struct error ignored;
    file_fill(file, FILE_KIND_BYTES, &ignored);
    return not_data_explain_bytes(file->path, file->bytes, file->size, err);
}

bool not_data_explain_path(const char *path, struct error *err) {
    struct error ignored;
    uint8_t bytes[MARK_BYTES];
    size_t size = 0;
    struct gzip_reader *reader = gzip_reader_open(path, &ignored);
    bool is_read = reader && gzip_reader_read(reader, bytes, sizeof bytes, &size, &ignored);
    gzip_reader_close(reader);
    return is_read ? not_data_explain_bytes(path, bytes, size, err) : false;
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

static void remark_on_things(struct text *text, const char *const *names, int count) {
    for (size_t i = 0; i < sizeof things / sizeof *things; i++)
        for (int n = 0; n < count; n++)
            if (ends_with(names[n], things[i].end)) {
                text_printf(text, "; there is %s, %s", names[n], things[i].what);
                return;
            }
}

void not_data_remark(struct text *text, const char *folder) {
    static const char *const splits[] = {"train", "test"};
    struct arena arena = {0};
    int count;
    for (int i = 0; i < 2; i++)
        if (has_folder(folder, splits[i])) {
            text_printf(text, "; there is the folder %s: pictures in folders are data of type images", splits[i]);
            return;
        }
    const char *const *names = folder_names(&arena, folder, &count);
    remark_on_things(text, names, count);
    arena_free(&arena);
}
