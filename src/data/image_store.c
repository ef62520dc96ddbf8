#include "data/image_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/mem.h"
#include "storage/atomic_file.h"
#include "storage/gz_file.h"

enum { SETTLED_SECONDS = 2 };

static const char mark[16] = "spherenet index";

/* The file: this, the key, the names, the files and the folders. */
struct header {
    char mark[sizeof mark];
    uint32_t version, file_bytes, folder_bytes, classes; /* the two: of the structs, as this machine has them */
    uint64_t checksum;                                   /* XXH3 of all that follows it */
    uint64_t key_bytes, name_bytes, count, folder_count, foreign, first_foreign;
};
enum { VERSION = 1 };

/* --- Where ------------------------------------------------------------------------------------------------------- */

/* The real path, and which of its folders are the splits'; NULL where it cannot be found. */
static const char *key_of(struct arena *arena, const char *root, const struct image_layout *layout) {
    char *real = realpath(root, NULL);
    const char *key = NULL;
    if (real) {
        const char *tests = layout->splits[SPLIT_TEST], *validation = layout->splits[SPLIT_VALIDATION];
        key = arena_printf(arena, "%s\n%s\n%s\n%s", real, layout->splits[SPLIT_TRAIN], tests ? tests : "",
                           validation ? validation : "");
    }
    free(real);
    return key;
}

/* $XDG_CACHE_HOME/spherenet or ~/.cache/spherenet; NULL: neither variable is set. */
static const char *cache_folder(struct arena *arena) {
    const char *cache = getenv("XDG_CACHE_HOME"), *user = getenv("HOME");
    if (cache && *cache == '/')
        return arena_printf(arena, "%s/spherenet", cache);
    return user && *user == '/' ? arena_printf(arena, "%s/.cache/spherenet", user) : NULL;
}

static const char *file_name(struct arena *arena, const char *key) {
    return arena_printf(arena, "pictures-%016" PRIx64, (uint64_t)XXH3_64bits(key, strlen(key)));
}

/* --- Reading ----------------------------------------------------------------------------------------------------- */

/* Where the parts begin in the bytes of a file. */
struct parts {
    struct header header;
    const uint8_t *key, *names, *files, *folders;
};

static uint64_t checksum(const uint8_t *bytes, size_t size) {
    size_t from = offsetof(struct header, checksum) + sizeof(uint64_t);
    return XXH3_64bits(bytes + from, size - from);
}

/* Whether the bytes are of this program, this machine and this key, and whole. */
static bool find_parts(struct parts *parts, const struct file *file, const char *key) {
    const struct header *h = &parts->header;
    if (file->size < sizeof *h)
        return false;
    memcpy(&parts->header, file->bytes, sizeof *h);
    if (memcmp(h->mark, mark, sizeof mark) || h->version != VERSION || h->file_bytes != sizeof(struct image_file) ||
        h->folder_bytes != sizeof(struct image_folder) || h->key_bytes != strlen(key) + 1 || h->count > INT32_MAX ||
        h->folder_count > INT32_MAX || h->name_bytes > file->size || h->foreign > INT32_MAX)
        return false;
    size_t files = h->count * sizeof(struct image_file), folders = h->folder_count * sizeof(struct image_folder);
    if (file->size != sizeof *h + h->key_bytes + h->name_bytes + files + folders ||
        h->checksum != checksum(file->bytes, file->size))
        return false;
    parts->key = file->bytes + sizeof *h;
    parts->names = parts->key + h->key_bytes;
    parts->files = parts->names + h->name_bytes;
    parts->folders = parts->files + files;
    return !memcmp(parts->key, key, h->key_bytes);
}

/* NULL where there is no memory; a copy of nothing is something. */
static void *copy_of(const void *bytes, size_t size) {
    void *copy = malloc(size + 1);
    return copy ? memcpy(copy, bytes, size) : NULL;
}

static bool copy_parts(struct image_index *index, const struct parts *parts) {
    const struct header *h = &parts->header;
    index->count = index->capacity = (int)h->count;
    index->folder_count = index->folder_capacity = (int)h->folder_count;
    index->name_bytes = index->name_capacity = h->name_bytes;
    index->foreign = (int)h->foreign;
    index->first_foreign = h->first_foreign;
    index->names = copy_of(parts->names, h->name_bytes);
    index->files = copy_of(parts->files, h->count * sizeof *index->files);
    index->folders = copy_of(parts->folders, h->folder_count * sizeof *index->folders);
    return index->names && index->files && index->folders;
}

/* Whether every number leads to something. */
static bool is_sound(const struct image_index *index, int classes) {
    bool good = index->name_bytes > 0 && !index->names[index->name_bytes - 1] &&
                (!index->foreign || index->first_foreign < index->name_bytes);
    for (int i = 0; good && i < index->count; i++) {
        const struct image_file *f = &index->files[i];
        good = f->name < index->name_bytes && f->folder >= 0 && f->folder < index->folder_count && f->label >= 0 &&
               f->label < classes && f->split >= INDEX_ANY && f->split < SPLIT_COUNT;
    }
    for (int i = 0; good && i < index->folder_count; i++)
        good = index->folders[i].path < index->name_bytes;
    return good;
}

/* Whether every folder is as it was. */
static bool is_current(const struct image_index *index) {
    struct text path = {0};
    bool same = true;
    for (int i = 0; same && i < index->folder_count; i++) {
        struct stat status;
        path.length = 0;
        text_printf(&path, "%s/%s", index->root, index->names + index->folders[i].path);
        same = stat(path.data, &status) == 0;
        struct folder_state state = folder_state_of(&status);
        same = same && !memcmp(&state, &index->folders[i].state, sizeof state);
    }
    text_free(&path);
    return same;
}

bool image_store_recall(struct image_index *index, const char *root, const struct image_layout *layout) {
    struct arena arena = {0};
    struct file file = {0};
    struct parts parts;
    struct error ignored;
    const char *key = key_of(&arena, root, layout), *folder = cache_folder(&arena);
    bool good = key && folder && file_read(&file, folder, file_name(&arena, key), SIZE_MAX / 4, "", &ignored);
    *index = (struct image_index){0};
    good = good && find_parts(&parts, &file, key) && (int)parts.header.classes == layout->class_count &&
           copy_parts(index, &parts);
    file_free(&file);
    if (good)
        index->root = strcpy(mem_alloc(strlen(root) + 1), root);
    good = good && is_sound(index, layout->class_count) && is_current(index);
    if (!good)
        image_index_free(index);
    arena_free(&arena);
    return good;
}

/* --- Writing ----------------------------------------------------------------------------------------------------- */

static bool is_settled(const struct image_index *index) {
    int64_t now = (int64_t)time(NULL);
    for (int i = 0; i < index->folder_count; i++)
        if (index->folders[i].state.modified[0] > now - SETTLED_SECONDS)
            return false;
    return true;
}

/* The whole file in memory, to be freed; NULL without memory. */
static uint8_t *compose(const struct image_index *index, const struct image_layout *layout, const char *key,
                        size_t *size) {
    struct header header = {
        .version = VERSION,
        .file_bytes = sizeof *index->files,
        .folder_bytes = sizeof *index->folders,
        .classes = (uint32_t)layout->class_count,
        .key_bytes = strlen(key) + 1,
        .name_bytes = index->name_bytes,
        .count = (uint64_t)index->count,
        .folder_count = (uint64_t)index->folder_count,
        .foreign = (uint64_t)index->foreign,
        .first_foreign = index->first_foreign,
    };
    size_t files = (size_t)index->count * sizeof *index->files;
    size_t folders = (size_t)index->folder_count * sizeof *index->folders;
    *size = sizeof header + header.key_bytes + index->name_bytes + files + folders;
    uint8_t *bytes = malloc(*size), *at = bytes;
    if (!bytes)
        return NULL;
    memcpy(header.mark, mark, sizeof mark);
    at += sizeof header;
    at = (uint8_t *)memcpy(at, key, header.key_bytes) + header.key_bytes;
    at = (uint8_t *)memcpy(at, index->names, index->name_bytes) + index->name_bytes;
    at = (uint8_t *)memcpy(at, index->files, files) + files;
    memcpy(at, index->folders, folders);
    memcpy(bytes, &header, sizeof header);
    header.checksum = checksum(bytes, *size);
    memcpy(bytes, &header, sizeof header);
    return bytes;
}

static void write_file(const char *path, const uint8_t *bytes, size_t size) {
    char *temporary = mem_alloc(strlen(path) + sizeof ".XXXXXX");
    sprintf(temporary, "%s.XXXXXX", path);
    int fd = mkstemp(temporary);
    if (fd >= 0 && !atomic_file_write(fd, bytes, size)) {
        close(fd);
        unlink(temporary);
    } else if (fd >= 0) {
        atomic_file_replace(fd, temporary, path);
    }
    free(temporary);
}

static void make_folder(struct arena *arena, const char *folder) {
    char *above = arena_string(arena, folder);
    *strrchr(above, '/') = '\0';
    mkdir(above, 0700);
    mkdir(folder, 0700);
}

void image_store_keep(const struct image_index *index, const struct image_layout *layout) {
    if (index->count >= IMAGE_STORE_LEAST && is_settled(index))
        image_store_write(index, layout);
}

void image_store_write(const struct image_index *index, const struct image_layout *layout) {
    struct arena arena = {0};
    size_t size;
    const char *key = key_of(&arena, index->root, layout), *folder = cache_folder(&arena);
    if (key && folder) {
        uint8_t *bytes = compose(index, layout, key, &size);
        make_folder(&arena, folder);
        if (bytes)
            write_file(arena_printf(&arena, "%s/%s", folder, file_name(&arena, key)), bytes, size);
        free(bytes);
    }
    arena_free(&arena);
}
