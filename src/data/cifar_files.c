#include "data/cifar_files.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/number.h"
#include "base/text.h"
#include "data/class_names.h"
#include "data/image_arrays.h"
#include "data/not_data.h"
#include "storage/gz_file.h"
#include "storage/gzip_reader.h"
#include "storage/tar_reader.h"

enum { PLANE = CIFAR_SIDE * CIFAR_SIDE, IMAGE_BYTES = CIFAR_CHANNELS * PLANE };
enum { FILE_MAX_BYTES = 512 << 20 }; /* the largest official file has 154 MB */

/* From planes to [row][column][channel]. */
static void interleave(uint8_t *pixels, const uint8_t *planes) {
    for (int i = 0; i < PLANE; i++)
        for (int c = 0; c < CIFAR_CHANNELS; c++)
            pixels[i * CIFAR_CHANNELS + c] = planes[c * PLANE + i];
}

static size_t record_size(const struct cifar_layout *layout) {
    return (size_t)layout->label_bytes + IMAGE_BYTES;
}

/* How many records to make room for in the files `names`, of which none is read yet, after one of so many records: as
 * many in each, since the official files are all alike, but no more than the files can hold. */
static int expected_records(const struct cifar_layout *layout, const char *folder, const char *const *names,
                            int records) {
    size_t most = 0, files = 0;
    for (; names[files]; files++)
        most += file_most(folder, names[files]) / record_size(layout);
    return smaller((int)files * records, most < INT_MAX ? (int)most : INT_MAX);
}

/* Of a file that has been found wrong: says what it is where that can be told. */
static bool explain(const struct file *file, struct error *err) {
    const char *what = not_data_kind(file->bytes, size_smaller(file->size, NOT_DATA_BYTES));
    return what ? error_set(err, "%s: %s", file->path, what) : false;
}

static bool check_size(const struct file *file, size_t record_bytes, struct error *err) {
    return (file->size > 0 && file->size % record_bytes == 0) ||
           error_set(err,
                     "%s: its size of %zu bytes is not a multiple of the record size, %zu bytes; it is cut short, or "
                     "another file",
                     file->path, file->size, record_bytes);
}

/* Appends the file's records to a split until that has `limit` images. `expected`: records in the files after it. */
static bool append_records(struct dataset *dataset, int split, const struct file *file,
                           const struct cifar_layout *layout, int limit, int expected, struct error *err) {
    size_t record_bytes = record_size(layout);
    if (!check_size(file, record_bytes, err))
        return explain(file, err);
    struct split *images = &dataset->splits[split];
    int records = (int)(file->size / record_bytes), start = images->count;
    int count = smaller(records, limit - start);
    int room = count < limit - start ? records + expected : count;
    if (!image_arrays_reserve(dataset, split, start + smaller(room, limit - start), err))
        return false;
    uint8_t *pixels = image_arrays_pixels(dataset, split) + (size_t)start * IMAGE_BYTES;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < count; i++) {
        const uint8_t *record = file->bytes + (size_t)i * record_bytes;
        images->labels[start + i] = record[layout->label_offset];
        interleave(pixels + (size_t)i * IMAGE_BYTES, record + layout->label_bytes);
    }
    images->count += count;
    return dataset_check_labels(file->path, images->labels + start, count, layout->classes, err) || explain(file, err);
}

/* --- A folder ---------------------------------------------------------------------------------------------------- */

static bool load_file(struct dataset *dataset, int split, const struct cifar_layout *layout, const char *folder,
                      int limit, const char *const *names, const char *advice, struct error *err) {
    struct file file;
    if (!file_read(&file, folder, *names, FILE_MAX_BYTES, advice, err))
        return false;
    int expected = expected_records(layout, folder, names + 1, (int)(file.size / record_size(layout)));
    bool good = append_records(dataset, split, &file, layout, limit, expected, err);
    file_free(&file);
    return good;
}

static bool load_folder(struct dataset *dataset, int split, const struct cifar_layout *layout, const char *folder,
                        int limit, struct error *err) {
    struct text advice = {0};
    bool good = class_names_read(dataset, folder, layout->names_file, err);
    text_printf(&advice, "%s", layout->advice);
    not_data_remark(&advice, folder);
    for (const char *const *names = layout->files[split]; good && *names && dataset->splits[split].count < limit;
         names++)
        good = load_file(dataset, split, layout, folder, limit, names, advice.data, err);
    text_free(&advice);
    return good;
}

/* --- An archive -------------------------------------------------------------------------------------------------- */

/* Members come in any order, and are appended in that of the dataset as soon as those before them were. */
struct archive {
    struct tar_reader tar;
    struct file members[CIFAR_FILES_MAX]; /* of the split: those that wait */
    int next;                             /* the first that has not been appended */
    bool for_python;                      /* there are members of that version */
};

static void free_members(struct archive *archive) {
    for (int i = 0; i < CIFAR_FILES_MAX; i++)
        file_free(&archive->members[i]);
}

/* Bytes of the members that wait. */
static size_t waiting_bytes(const struct archive *archive) {
    size_t bytes = 0;
    for (int i = 0; i < CIFAR_FILES_MAX; i++)
        bytes += archive->members[i].size;
    return bytes;
}

static bool read_member(struct archive *archive, struct file *file, struct error *err) {
    struct text path = {0};
    text_printf(&path, "%s: %s", archive->tar.path, archive->tar.name);
    file->path = path.data;
    if (archive->tar.size > FILE_MAX_BYTES - waiting_bytes(archive))
        return error_set(err, "%s: with those before it holds more than %d bytes, the most that are read", file->path,
                         FILE_MAX_BYTES);
    file->size = (size_t)archive->tar.size;
    file->bytes = tar_read(&archive->tar, err);
    return file->bytes;
}

static int find_member(const char *const *names, const char *name) {
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

/* A file's records for each of those after it, but no more than the archive can hold. */
static int expected_in_archive(const struct archive *archive, const struct cifar_layout *layout, int split,
                               size_t size) {
    int after = 0;
    while (layout->files[split][archive->next + 1 + after])
        after++;
    size_t wanted = (size_t)after * (size / record_size(layout));
    return (int)size_smaller(size_smaller(wanted, gzip_reader_most(archive->tar.bytes) / record_size(layout)),
                             INT_MAX / 2);
}

static bool append_waiting(struct dataset *dataset, int split, struct archive *archive,
                           const struct cifar_layout *layout, int limit, struct error *err) {
    bool good = true;
    for (; good && archive->next < CIFAR_FILES_MAX && archive->members[archive->next].bytes; archive->next++) {
        struct file *file = &archive->members[archive->next];
        int expected = expected_in_archive(archive, layout, split, file->size);
        good =
            dataset->splits[split].count >= limit || append_records(dataset, split, file, layout, limit, expected, err);
        file_free(file);
    }
    return good;
}

static bool take_names(struct dataset *dataset, struct archive *archive, struct error *err) {
    struct file file = {0};
    bool good = read_member(archive, &file, err) && class_names_take(dataset, file.path, file.bytes, file.size, err);
    file_free(&file);
    return good;
}

static bool take_member(struct dataset *dataset, int split, struct archive *archive, const struct cifar_layout *layout,
                        int limit, struct error *err) {
    const char *name = archive->tar.name;
    int index = find_member(layout->files[split], name);
    archive->for_python = archive->for_python || !strcmp(name, "data_batch_1") || !strcmp(name, "train");
    if (!strcmp(name, layout->names_file))
        return take_names(dataset, archive, err);
    if (index < archive->next || archive->members[index].bytes || dataset->splits[split].count >= limit)
        return true;
    return read_member(archive, &archive->members[index], err) &&
           append_waiting(dataset, split, archive, layout, limit, err);
}

static bool check_members(const struct dataset *dataset, int split, const struct archive *archive,
                          const struct cifar_layout *layout, int limit, struct error *err) {
    const char *missing = layout->files[split][archive->next];
    if (!missing || dataset->splits[split].count >= limit)
        return true;
    return error_set(err, "%s: has no %s%s; %s", archive->tar.path, missing,
                     archive->for_python ? ", since it is the version for Python" : "", layout->advice);
}

static bool load_archive(struct dataset *dataset, int split, const struct cifar_layout *layout, const char *path,
                         int limit, struct error *err) {
    struct archive archive = {.next = 0};
    bool found = true;
    if (!tar_open(&archive.tar, path, err))
        return false;
    bool good = true;
    while (good && found) {
        good = tar_next(&archive.tar, &found, err);
        if (good && found)
            good = take_member(dataset, split, &archive, layout, limit, err);
    }
    if (!archive.tar.begun)
        not_data_explain_path(path, err);
    good = good && check_members(dataset, split, &archive, layout, limit, err);
    free_members(&archive);
    tar_close(&archive.tar);
    return good;
}

/* --- Either ------------------------------------------------------------------------------------------------------ */

static bool is_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static const char *join(struct arena *arena, const char *folder, const char *name, const char *end) {
    return arena_printf(arena, "%s/%s%s", folder, name, end);
}

/* Where the data are: the files in the path or its subfolder, or the archive that it is or that is in it. *archive: it
 * is one. */
static const char *locate(struct arena *arena, bool *archive, const struct cifar_layout *layout, const char *path) {
    const char *first = layout->files[SPLIT_TRAIN][0], *subfolder = join(arena, path, layout->subfolder, "");
    const char *archives[] = {join(arena, path, layout->archive, ".gz"), join(arena, path, layout->archive, "")};
    *archive = is_file(path);
    if (*archive || file_exists(path, first))
        return path;
    if (file_exists(subfolder, first))
        return subfolder;
    for (int i = 0; i < 2 && !*archive; i++) {
        *archive = is_file(archives[i]);
        path = *archive ? archives[i] : path;
    }
    return path;
}

bool cifar_load(struct dataset *dataset, int split, const struct cifar_layout *layout, const char *path, int limit,
                struct error *err) {
    struct arena arena = {0};
    bool archive;
    const char *place = locate(&arena, &archive, layout, path);
    bool good = archive ? load_archive(dataset, split, layout, place, limit, err)
                        : load_folder(dataset, split, layout, place, limit, err);
    arena_free(&arena);
    return good;
}
