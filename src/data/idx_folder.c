#include "data/idx_folder.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/folder.h"
#include "storage/gz_file.h"

/* What a name tells of a file. */
struct entry {
    const char *name, *prefix; /* name: without .gz */
    int split, kind;
};

struct listing {
    struct entry *entries; /* in the order of their names */
    int count;
};

static const char *const official_names[IDX_SPLITS][IDX_KINDS] = {
    [SPLIT_TRAIN] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
    [SPLIT_TEST] = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
};

/* Takes `end` off the first *length characters of the name, if they end so. */
static bool take_off(const char *name, size_t *length, const char *end) {
    size_t count = strlen(end);
    bool there = *length >= count && !memcmp(name + *length - count, end, count);
    *length -= there ? count : 0;
    return there;
}

static bool take_off_separator(const char *name, size_t *length) {
    bool there = *length > 0 && strchr("-._", name[*length - 1]);
    *length -= there;
    return there;
}

/* The index of the word in words that the name ends with, which is taken off; -1: none. */
static int take_off_one(const char *name, size_t *length, const char *const *words, int count) {
    for (int i = 0; i < count; i++)
        if (take_off(name, length, words[i]))
            return i;
    return -1;
}

/* Of a download that did not end, or of a file beside one, such as its checksum. */
static bool is_other(const char *name) {
    static const char *const ends[] = {".part", ".crdownload", ".tmp", ".md5"};
    size_t length = strlen(name);
    for (int i = 0; i < (int)(sizeof ends / sizeof *ends); i++)
        if (take_off(name, &length, ends[i]))
            return true;
    return strstr(name, ".gz.");
}

/* The last "idx" that digits or nothing follow; NULL: none. */
static const char *find_idx(const char *name) {
    const char *found = NULL;
    for (const char *at = name; (at = strstr(at, "idx")); at++)
        if (isdigit((unsigned char)at[3]) || at[3] == '\0')
            found = at;
    return found;
}

static bool parse(struct arena *arena, const char *name, struct entry *entry) {
    static const char *const kinds[] = {[IDX_IMAGES] = "images", [IDX_LABELS] = "labels"};
    static const char *const splits[] = {"train", "t10k", "test"};
    size_t length = strlen(name);
    take_off(name, &length, ".gz");
    entry->name = arena_printf(arena, "%.*s", (int)length, name);
    const char *idx = find_idx(entry->name);
    length = idx ? (size_t)(idx - entry->name) : 0;
    if (is_other(name) || !take_off_separator(entry->name, &length))
        return false;
    entry->kind = take_off_one(entry->name, &length, kinds, IDX_KINDS);
    if (entry->kind < 0 || !take_off_separator(entry->name, &length))
        return false;
    int split = take_off_one(entry->name, &length, splits, 3);
    entry->split = split == 0 ? SPLIT_TRAIN : SPLIT_TEST;
    entry->prefix = arena_printf(arena, "%.*s", (int)length, entry->name);
    return split >= 0;
}

/* Where a program that unpacks has put the file into a folder of its name, the file there. */
static void look_inside(struct arena *arena, const char *path, const char *found, struct entry *entry) {
    struct entry inner;
    int count;
    const char *const *names = folder_names(arena, arena_printf(arena, "%s/%s", path, found), &count);
    for (int i = count - 1; i >= 0; i--) /* of several, the first */
        if (parse(arena, names[i], &inner) && inner.split == entry->split && inner.kind == entry->kind)
            entry->name = arena_printf(arena, "%s/%s", found, inner.name);
}

static int compare(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static void list(struct listing *listing, struct arena *arena, const char *path) {
    int count;
    const char *const *names = folder_names(arena, path, &count);
    *listing = (struct listing){0};
    for (int i = 0; i < count; i++) {
        struct entry entry;
        if (!parse(arena, names[i], &entry))
            continue;
        look_inside(arena, path, names[i], &entry);
        listing->entries = arena_grow(arena, listing->entries, listing->count, sizeof entry);
        listing->entries[listing->count++] = entry;
    }
    if (listing->count)
        qsort(listing->entries, (size_t)listing->count, sizeof *listing->entries, compare);
}

/* The folder's own files, or those of the first folder below it that has some. */
static void search(struct idx_folder *folder, struct listing *listing, const char *path, const char *const *below) {
    folder->path = arena_string(&folder->memory, path);
    list(listing, &folder->memory, folder->path);
    for (; !listing->count && *below; below++) {
        const char *inner = arena_printf(&folder->memory, "%s/%s", path, *below);
        list(listing, &folder->memory, inner);
        if (listing->count)
            folder->path = inner;
    }
}

static bool has_prefix(const struct listing *listing, int count, const char *prefix) {
    for (int i = 0; i < count; i++)
        if (!strcmp(listing->entries[i].prefix, prefix))
            return true;
    return false;
}

static bool refuse_several(const struct idx_folder *folder, const struct listing *listing, struct error *err) {
    struct text prefixes = {0};
    for (int i = 0; i < listing->count; i++)
        if (!has_prefix(listing, i, listing->entries[i].prefix))
            text_printf(&prefixes, "%s%s", prefixes.length ? ", " : "", listing->entries[i].prefix);
    error_set(err, "%s: has files of several datasets; data.prefix says which to take: one of (%s)", folder->path,
              prefixes.data);
    text_free(&prefixes);
    return false;
}

static bool choose_prefix(struct idx_folder *folder, const struct listing *listing, const char *prefix,
                          struct error *err) {
    folder->prefix = "";
    if (prefix)
        folder->prefix = arena_string(&folder->memory, prefix);
    else if (listing->count && !has_prefix(listing, listing->count, ""))
        folder->prefix = listing->entries[0].prefix;
    else
        return true;
    for (int i = 0; !prefix && i < listing->count; i++)
        if (strcmp(listing->entries[i].prefix, folder->prefix))
            return refuse_several(folder, listing, err);
    return true;
}

bool idx_folder_find(struct idx_folder *folder, const char *path, const char *prefix, const char *const *below,
                     struct error *err) {
    struct listing listing;
    struct stat status;
    *folder = (struct idx_folder){.path = NULL};
    if (stat(path, &status) == 0 && S_ISREG(status.st_mode))
        return error_set(err, "%s: is a file; data.path is the folder of the four files", path);
    search(folder, &listing, path, below);
    if (!choose_prefix(folder, &listing, prefix, err)) {
        idx_folder_free(folder);
        return false;
    }
    for (int s = 0; s < IDX_SPLITS; s++)
        for (int k = 0; k < IDX_KINDS; k++)
            folder->names[s][k] = arena_printf(&folder->memory, "%s%s", folder->prefix, official_names[s][k]);
    for (int i = listing.count - 1; i >= 0; i--) { /* of two spellings, the one that comes first by its letters */
        const struct entry *entry = &listing.entries[i];
        if (!strcmp(entry->prefix, folder->prefix))
            folder->names[entry->split][entry->kind] = entry->name;
    }
    return true;
}

bool idx_folder_has(const struct idx_folder *folder, int split) {
    return file_exists(folder->path, folder->names[split][IDX_IMAGES]) &&
           file_exists(folder->path, folder->names[split][IDX_LABELS]);
}

void idx_folder_free(struct idx_folder *folder) {
    arena_free(&folder->memory);
    *folder = (struct idx_folder){.path = NULL};
}
