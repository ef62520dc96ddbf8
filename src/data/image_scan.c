/* Finding the files of a folder of classes. */
#define _GNU_SOURCE /* qsort_r */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/path.h"
#include "data/image_index.h"
#include "storage/folder.h"

/* --- Layout ------------------------------------------------------------------------------------------------------ */

enum entry { ENTRY_FILE, ENTRY_FOLDER, ENTRY_OTHER, ENTRY_UNKNOWN };

/* What a path leads to, that counts from an open folder. Links are what they lead to; one that leads nowhere is
 * something else. ENTRY_UNKNOWN, with errno set, where that cannot be told. */
static enum entry look_at(int folder, const char *path) {
    struct stat status;
    if (fstatat(folder, path, &status, 0))
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? ENTRY_OTHER : ENTRY_UNKNOWN;
    return S_ISREG(status.st_mode) ? ENTRY_FILE : S_ISDIR(status.st_mode) ? ENTRY_FOLDER : ENTRY_OTHER;
}

/* A name as people may see it; of the arena. */
static const char *shown(struct arena *arena, const char *name) {
    char *copy = arena_string(arena, name);
    text_defuse_line(copy);
    return copy;
}

static bool cannot_be_read(const char *path, struct error *err) {
    struct arena arena = {0};
    int code = errno;
    const char *name = shown(&arena, path);
    errno = code;
    error_set_errno(err, "%s: cannot be read", name);
    arena_free(&arena);
    return false;
}

/* Whether ROOT/NAME is a folder. */
static bool find_folder(bool *found, struct arena *arena, const char *root, const char *name, struct error *err) {
    const char *path = arena_printf(arena, "%s/%s", root, name);
    enum entry kind = look_at(AT_FDCWD, path);
    *found = kind == ENTRY_FOLDER;
    return kind != ENTRY_UNKNOWN || cannot_be_read(path, err);
}

/* The folders in ROOT/FOLDER, by their bytes; NULL where they cannot be found. */
static const char *const *list_classes(struct arena *arena, const char *root, const char *folder, int *count,
                                       struct error *err) {
    const char *path = *folder ? arena_printf(arena, "%s/%s", root, folder) : root;
    int names_count;
    const char *const *names = folder_names(arena, path, &names_count);
    bool good = names_count >= 0 || cannot_be_read(path, err), found;
    const char **classes = arena_alloc(arena, ((size_t)names_count + 1) * sizeof *classes);
    *count = 0;
    for (int i = 0; good && i < names_count; i++) {
        good = find_folder(&found, arena, path, names[i], err);
        if (found)
            classes[(*count)++] = names[i];
    }
    return good ? classes : NULL;
}

/* Pictures for tests that nobody has labels of, as ImageNet has them, lie in a folder without classes. */
static bool find_splits(struct image_layout *layout, struct arena *arena, const char *root, struct error *err) {
    bool train, tests, long_name, short_name;
    int test_classes = 0;
    if (!find_folder(&train, arena, root, "train", err) || !find_folder(&tests, arena, root, "test", err) ||
        !find_folder(&long_name, arena, root, "validation", err) ||
        !find_folder(&short_name, arena, root, "val", err) ||
        (tests && !list_classes(arena, root, "test", &test_classes, err)))
        return false;
    const char *validation = long_name ? "validation" : short_name ? "val" : NULL;
    tests = tests && (test_classes || !validation);
    layout->divided = train && (tests || validation);
    layout->splits[SPLIT_TRAIN] = layout->divided ? "train" : "";
    if (layout->divided) {
        layout->splits[SPLIT_TEST] = tests ? "test" : validation;
        layout->splits[SPLIT_VALIDATION] = tests ? validation : NULL;
        layout->has_validation = layout->splits[SPLIT_VALIDATION];
    }
    return true;
}

bool image_layout_find(struct image_layout *layout, struct arena *arena, const char *root, struct error *err) {
    struct stat status;
    *layout = (struct image_layout){0};
    if (stat(root, &status))
        return error_set_errno(err, "%s%s", shown(arena, root), path_origin(root));
    if (!S_ISDIR(status.st_mode))
        return error_set(err, "%s: is no folder; data.list takes a file of paths and labels", shown(arena, root));
    if (!find_splits(layout, arena, root, err))
        return false;
    layout->classes = list_classes(arena, root, layout->splits[SPLIT_TRAIN], &layout->class_count, err);
    if (!layout->classes || layout->class_count >= 2)
        return layout->classes;
    return error_set(err,
                     "%s%s%s: %s; there must be a folder of pictures for each of two classes or more, or train/ and "
                     "test/ with such folders in them",
                     shown(arena, root), layout->divided ? "/" : "", layout->splits[SPLIT_TRAIN],
                     layout->class_count ? "has one folder alone" : "has no folders");
}

/* --- Folders that were entered ----------------------------------------------------------------------------------- */

/* A set of folders by their identity: a table with free places, at most half full. */
struct folder_set {
    struct identity {
        dev_t device;
        ino_t inode;
        bool taken;
    } * places;
    size_t count, size; /* size: 0 or a power of two */
};

/* The place of that identity, or the free one where it belongs. */
static struct identity *find_place(const struct folder_set *set, const struct stat *status) {
    size_t at = ((size_t)status->st_ino * 0x9e3779b97f4a7c15u >> 20) + (size_t)status->st_dev;
    struct identity *place = &set->places[at & (set->size - 1)];
    while (place->taken && (place->inode != status->st_ino || place->device != status->st_dev))
        place = &set->places[++at & (set->size - 1)];
    return place;
}

static void enlarge(struct folder_set *set) {
    struct folder_set larger = {.count = set->count, .size = set->size ? 2 * set->size : 64};
    larger.places = mem_alloc(larger.size * sizeof *larger.places);
    for (size_t i = 0; i < set->size; i++)
        if (set->places[i].taken) {
            struct stat status = {.st_dev = set->places[i].device, .st_ino = set->places[i].inode};
            *find_place(&larger, &status) = set->places[i];
        }
    free(set->places);
    *set = larger;
}

/* False when it was there before. */
static bool enter(struct folder_set *set, const struct stat *status) {
    if (2 * (set->count + 1) > set->size)
        enlarge(set);
    struct identity *place = find_place(set, status);
    if (place->taken)
        return false;
    *place = (struct identity){status->st_dev, status->st_ino, true};
    set->count++;
    return true;
}

/* --- Files of one folder ----------------------------------------------------------------------------------------- */

struct scan {
    struct image_index *index;
    struct folder_set entered; /* for the class */
    int split, label;
    struct text path; /* of the folder that is being read, with the root */
    struct error *err;
};

static bool without_memory(struct scan *scan) {
    return error_set_code(scan->err, ERROR_NO_MEMORY, "data: not enough memory for the names of %d files",
                          scan->index->count);
}

static enum entry kind_of(DIR *folder, const struct dirent *entry) {
    if (entry->d_type == DT_REG)
        return ENTRY_FILE;
    if (entry->d_type == DT_DIR)
        return ENTRY_FOLDER;
    return entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN ? look_at(dirfd(folder), entry->d_name) : ENTRY_OTHER;
}

/* The path of NAME in a folder of the index, that counts from the root; to be freed. */
static struct text path_in(const struct image_index *index, int folder, const char *name) {
    struct text path = {0};
    const char *parent = index->names + index->folders[folder].path;
    text_printf(&path, "%s%s%s", parent, *parent ? "/" : "", name);
    return path;
}

static bool count_foreign(struct scan *scan, int folder, const char *name) {
    struct image_index *index = scan->index;
    bool good = true;
    if (index->foreign++ == 0) {
        struct text path = path_in(index, folder, name);
        good = image_index_add_name(index, path.data, path.length, &index->first_foreign);
        text_free(&path);
    }
    return good || without_memory(scan);
}

static bool add_folder(struct scan *scan, int parent, const char *name) {
    struct text path = path_in(scan->index, parent, name);
    bool good = image_index_add_folder(scan->index, path.data);
    text_free(&path);
    return good || without_memory(scan);
}

static bool add_file(struct scan *scan, int folder, const char *name) {
    size_t at;
    return (image_index_add_name(scan->index, name, strlen(name), &at) &&
            image_index_add_file(scan->index, (struct image_file){at, folder, scan->label, scan->split})) ||
           without_memory(scan);
}

static bool add_entry(struct scan *scan, int number, const char *name, enum entry kind) {
    if (kind == ENTRY_UNKNOWN)
        return error_set_errno(scan->err, "%s: what is in it cannot be read", scan->path.data);
    if (kind == ENTRY_FOLDER)
        return add_folder(scan, number, name);
    return kind == ENTRY_FILE && is_picture_name(name) ? add_file(scan, number, name)
                                                       : count_foreign(scan, number, name);
}

static int by_name(const void *a, const void *b, void *names) {
    const struct image_file *x = a, *y = b;
    return strcmp((const char *)names + x->name, (const char *)names + y->name);
}

static int by_path(const void *a, const void *b, void *names) {
    const struct image_folder *x = a, *y = b;
    return strcmp((const char *)names + x->path, (const char *)names + y->path);
}

/* All entries of an open folder; what it holds is then in order. */
static bool read_entries(struct scan *scan, DIR *folder, int number) {
    struct image_index *index = scan->index;
    int files = index->count, folders = index->folder_count;
    struct dirent *entry;
    for (errno = 0; (entry = readdir(folder)); errno = 0)
        if (*entry->d_name != '.' && !add_entry(scan, number, entry->d_name, kind_of(folder, entry)))
            return false;
    if (errno)
        return error_set_errno(scan->err, "%s: cannot be read", scan->path.data);
    index->folders[number].first = files;
    index->folders[number].count = index->count - files;
    if (index->count > files)
        qsort_r(index->files + files, (size_t)(index->count - files), sizeof *index->files, by_name, index->names);
    if (index->folder_count > folders)
        qsort_r(index->folders + folders, (size_t)(index->folder_count - folders), sizeof *index->folders, by_path,
                index->names);
    return true;
}

/* Folder `number` of the index; the folders that it holds are added at its end. */
static bool read_folder(struct scan *scan, int number) {
    struct image_index *index = scan->index;
    struct stat status;
    scan->path.length = 0;
    text_printf(&scan->path, "%s/%s", index->root, index->names + index->folders[number].path);
    DIR *folder = opendir(scan->path.data);
    bool good = folder && fstat(dirfd(folder), &status) == 0;
    text_defuse_line(scan->path.data); /* for messages from here on */
    if (!good) {
        error_set_errno(scan->err, "%s: cannot be read", scan->path.data);
    } else {
        index->folders[number].state = folder_state_of(&status);
        good = !enter(&scan->entered, &status) || read_entries(scan, folder, number);
    }
    if (folder)
        closedir(folder);
    return good;
}

/* --- Classes ----------------------------------------------------------------------------------------------------- */

struct block {
    size_t path;
    int first, count;
};

static int by_block_path(const void *a, const void *b, void *names) {
    const struct block *x = a, *y = b;
    return strcmp((const char *)names + x->path, (const char *)names + y->path);
}

/* Brings the files of folders [first, folder_count), which are the last ones, into the order of the folders' paths. */
static void sort_blocks(struct image_index *index, int first) {
    int count = index->folder_count - first, start = index->folders[first].first, at = 0;
    size_t bytes = (size_t)(index->count - start) * sizeof *index->files;
    struct block *blocks = mem_alloc((size_t)count * sizeof *blocks);
    struct image_file *files = mem_alloc(bytes);
    for (int i = 0; i < count; i++) {
        const struct image_folder *folder = &index->folders[first + i];
        blocks[i] = (struct block){folder->path, folder->first, folder->count};
    }
    qsort_r(blocks, (size_t)count, sizeof *blocks, by_block_path, index->names);
    for (int i = 0; i < count; at += blocks[i++].count)
        memcpy(files + at, index->files + blocks[i].first, (size_t)blocks[i].count * sizeof *files);
    memcpy(index->files + start, files, bytes);
    free(files);
    free(blocks);
}

static bool complain_of_empty(struct scan *scan, int folder) {
    struct arena arena = {0};
    const struct image_index *index = scan->index;
    error_set(scan->err, "%s/%s: there is no picture of this class; pictures are .jpg, .jpeg and .png files",
              shown(&arena, index->root), shown(&arena, index->names + index->folders[folder].path));
    arena_free(&arena);
    return false;
}

static bool scan_class(struct scan *scan, int parent, const char *name) {
    struct image_index *index = scan->index;
    int first = index->folder_count, files = index->count;
    bool good = add_folder(scan, parent, name);
    for (int i = first; good && i < index->folder_count; i++)
        good = read_folder(scan, i);
    free(scan->entered.places);
    scan->entered = (struct folder_set){0};
    if (good && index->folder_count > first + 1 && index->count > files)
        sort_blocks(index, first);
    bool may_be_empty = scan->split == SPLIT_TEST || scan->split == SPLIT_VALIDATION;
    return good && (may_be_empty || index->count > files || complain_of_empty(scan, first));
}

static bool is_among(const char *name, const char *const *names, int count) {
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

/* Names of `a` that `b` does not have. */
static void list_missing(struct error_list *list, const char *what, const char *const *a, int a_count,
                         const char *const *b, int b_count) {
    for (int i = 0; i < a_count; i++)
        if (!is_among(a[i], b, b_count)) {
            struct text name = {0};
            text_printf(&name, "%s", a[i]);
            text_defuse_line(name.data);
            error_list_add(list, "%s%s", name.data, what);
            text_free(&name);
        }
}

/* The folder of a split has the classes of the layout and no others. */
static bool check_classes(const struct image_layout *layout, const char *root, int split, struct error *err) {
    struct arena arena = {0};
    struct error_list differences = {0};
    const char *folder = layout->splits[split];
    int count;
    const char *const *classes = list_classes(&arena, root, folder, &count, err);
    if (classes) {
        list_missing(&differences, ": is not there", layout->classes, layout->class_count, classes, count);
        list_missing(&differences, ": is no class of train/", classes, count, layout->classes, layout->class_count);
    }
    const char *list = error_list_end(&differences);
    if (*list)
        error_set(err, "%s/%s: its classes are not those of train/:%s", shown(&arena, root), folder, list);
    bool same = classes && !*list;
    error_list_free(&differences);
    arena_free(&arena);
    return same;
}

/* Files that lie beside the classes are of none. */
static bool count_beside(struct scan *scan, int number) {
    struct image_index *index = scan->index;
    struct arena arena = {0};
    int count;
    const char *path = arena_printf(&arena, "%s/%s", index->root, index->names + index->folders[number].path);
    const char *const *names = folder_names(&arena, path, &count);
    bool good = count >= 0 || cannot_be_read(path, scan->err), is_class;
    for (int i = 0; good && i < count; i++)
        good = find_folder(&is_class, &arena, path, names[i], scan->err) &&
               (is_class || count_foreign(scan, number, names[i]));
    struct stat status;
    if (stat(path, &status) == 0)
        index->folders[number].state = folder_state_of(&status);
    arena_free(&arena);
    return good;
}

static bool scan_split(struct scan *scan, const struct image_layout *layout, int split) {
    struct image_index *index = scan->index;
    int number = index->folder_count;
    scan->split = layout->divided ? split : INDEX_ANY;
    if (split != SPLIT_TRAIN && !check_classes(layout, index->root, split, scan->err))
        return false;
    if (!image_index_add_folder(index, layout->splits[split]))
        return without_memory(scan);
    bool good = count_beside(scan, number);
    for (int c = 0; good && c < layout->class_count; c++) {
        scan->label = c;
        good = scan_class(scan, number, layout->classes[c]);
    }
    return good;
}

bool image_index_scan(struct image_index *index, const char *root, const struct image_layout *layout,
                      struct error *err) {
    struct scan scan = {.index = index, .err = err};
    bool good = true;
    *index = (struct image_index){0};
    index->root = strcpy(mem_alloc(strlen(root) + 1), root);
    for (int split = 0; good && split < SPLIT_COUNT; split++)
        good = !layout->splits[split] || scan_split(&scan, layout, split);
    text_free(&scan.path);
    return good;
}
