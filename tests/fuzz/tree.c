#define _GNU_SOURCE /* nftw */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/mem.h"
#include "base/number.h"
#include "data/image_store.h"
#include "fuzz/fuzz.h"

enum { MOST_FOLDERS = 40, MOST_ENTRIES = 60, POKES = 4 };
/* Of the remembered index: it begins with what it is of, and the sum of what follows. */
enum { SUM_AT = 32, SUMMED_FROM = SUM_AT + 8 };

/* The input begins with one of these. */
struct plan {
    uint8_t is_list;  /* odd: the rest is the bytes of a list; else entries */
    uint8_t cut;      /* bytes that the remembered index loses */
    uint8_t unsealed; /* odd: its checksum is left as it was */
    struct {
        uint8_t at[2], value; /* at: from the checksum on; value: to be added; 0: nothing is done */
    } pokes[POKES];
};

/* Something in the tree; its name follows. */
struct entry {
    uint8_t kind;   /* enum sort, NAMED: the name is names[length] */
    uint8_t folder; /* in which it is: the root, or of those that were made before */
    uint8_t target; /* of a link: the root, or a folder */
    uint8_t length; /* of its name */
};

enum sort { A_FILE, A_FOLDER, A_LINK, A_LOOSE_LINK, A_PIPE, KINDS };
enum { KIND_MASK = 0x0f, NAMED = 0x80 };

static const char *const names[] = {"train", "test", "val", "validation", "a", "b", "1.png", "2.JPG", "README"};

/* Paths of the tree's folders, that count from its root. */
struct tree {
    char *folders[MOST_FOLDERS];
    int count;
};

/* --- Writing ----------------------------------------------------------------------------------------------------- */

/* A name that a file system takes, whatever the bytes; to be freed. */
static char *name_of(const struct entry *entry, const uint8_t *bytes, size_t length) {
    char *name = mem_alloc(length + 2);
    if (entry->kind & NAMED)
        return strcpy(mem_realloc(name, 16), names[entry->length % (sizeof names / sizeof *names)]);
    memcpy(name, bytes, length);
    for (size_t i = 0; i < length; i++)
        if (!name[i] || name[i] == '/')
            name[i] = '_';
    if (!length || !strcmp(name, ".") || !strcmp(name, ".."))
        strcpy(name, "_");
    return name;
}

static void make(struct tree *tree, const struct entry *entry, const char *name) {
    struct text path = {0};
    const char *target = tree->folders[entry->target % tree->count];
    text_printf(&path, "%s/%s", tree->folders[entry->folder % tree->count], name);
    switch ((entry->kind & KIND_MASK) % KINDS) {
    case A_FOLDER:
        if (tree->count < MOST_FOLDERS && mkdir(path.data, 0777) == 0)
            tree->folders[tree->count++] = strcpy(mem_alloc(path.length + 1), path.data);
        break;
    case A_LINK:
        (void)!symlink(target, path.data);
        break;
    case A_LOOSE_LINK:
        (void)!symlink(name, path.data);
        break;
    case A_PIPE:
        mkfifo(path.data, 0666);
        break;
    default:
        mknod(path.data, S_IFREG | 0666, 0);
        break;
    }
    text_free(&path);
}

static void make_tree(const char *root, const uint8_t *data, size_t size) {
    struct tree tree = {.count = 1};
    struct entry entry;
    fuzz_require(mkdir(root, 0777) == 0, "the tree can be made");
    tree.folders[0] = strcpy(mem_alloc(strlen(root) + 1), root);
    for (int i = 0; i < MOST_ENTRIES && size >= sizeof entry; i++) {
        memcpy(&entry, data, sizeof entry);
        data += sizeof entry;
        size -= sizeof entry;
        size_t length = entry.kind & NAMED ? 0 : size_smaller(entry.length, size);
        char *name = name_of(&entry, data, length);
        make(&tree, &entry, name);
        free(name);
        data += length;
        size -= length;
    }
    for (int i = 0; i < tree.count; i++)
        free(tree.folders[i]);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static void remove_tree(const char *root) {
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- What was found ---------------------------------------------------------------------------------------------- */

static const char *path_of(struct arena *arena, const struct image_index *index, int file) {
    struct text path = {0};
    image_index_path(&path, index, file);
    const char *copy = arena_string(arena, path.data);
    text_free(&path);
    return copy;
}

static void check_index(const struct image_index *index, const struct image_layout *layout) {
    for (int i = 0; i < index->count; i++) {
        const struct image_file *file = &index->files[i];
        struct arena arena = {0};
        fuzz_require(*path_of(&arena, index, i), "a file has a path");
        fuzz_require(file->label >= 0 && file->label < layout->class_count, "a label is a class");
        fuzz_require(file->split >= INDEX_ANY && file->split < SPLIT_COUNT, "a split is one");
        arena_free(&arena);
    }
    fuzz_require(!index->foreign || strlen(index->names + index->first_foreign) < index->name_bytes,
                 "what is passed over has a name");
}

static void divide(struct image_index *index, const struct image_layout *layout) {
    if (index->count && !layout->divided)
        image_index_divide(index, layout->class_count, 0.2, 1);
    check_index(index, layout);
}

/* A folder that is in no order of its own is always found in the same one. */
static void check_same(const struct image_index *a, const struct image_index *b) {
    fuzz_require(a->count == b->count && a->foreign == b->foreign, "as many files are recalled as were found");
    for (int i = 0; i < a->count; i++) {
        struct arena arena = {0};
        fuzz_require(!strcmp(path_of(&arena, a, i), path_of(&arena, b, i)), "a path is recalled");
        fuzz_require(a->files[i].label == b->files[i].label && a->files[i].split == b->files[i].split,
                     "a label and a split are recalled");
        arena_free(&arena);
    }
}

/* --- What is remembered ------------------------------------------------------------------------------------------ */

/* The only file of the cache; to be freed. */
static char *cache_path(void) {
    char folder[128];
    struct text path = {0};
    snprintf(folder, sizeof folder, "%s/cache/spherenet", fuzz_folder());
    DIR *cache = opendir(folder);
    for (struct dirent *entry; cache && (entry = readdir(cache));)
        if (*entry->d_name != '.')
            text_printf(&path, "%s/%s", folder, entry->d_name);
    if (cache)
        closedir(cache);
    fuzz_require(path.data, "what was found is remembered");
    return path.data;
}

static size_t damage(uint8_t *bytes, size_t size, const struct plan *plan) {
    for (int i = 0; i < POKES; i++) {
        size_t at = SUM_AT + ((size_t)plan->pokes[i].at[0] | (size_t)plan->pokes[i].at[1] << 8);
        if (at < size)
            bytes[at] = (uint8_t)(bytes[at] + plan->pokes[i].value);
    }
    size -= size_smaller(plan->cut, size);
    if (size > SUMMED_FROM && !(plan->unsealed & 1)) {
        uint64_t sum = XXH3_64bits(bytes + SUMMED_FROM, size - SUMMED_FROM);
        memcpy(bytes + SUM_AT, &sum, sizeof sum);
    }
    return size;
}

static void damage_file(const char *path, const struct plan *plan) {
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "r+");
    fuzz_require(file != NULL, "the remembered index can be opened");
    size_t size = fread(bytes, 1, sizeof bytes, file), left = damage(bytes, size, plan);
    rewind(file);
    fuzz_require(fwrite(bytes, 1, left, file) == left && !fflush(file) && !ftruncate(fileno(file), (off_t)left),
                 "the remembered index can be damaged");
    fclose(file);
}

static void recall(const struct image_index *found, const struct image_layout *layout, const struct plan *plan) {
    struct image_index recalled;
    image_store_write(found, layout);
    char *path = cache_path();
    fuzz_require(image_store_recall(&recalled, found->root, layout), "what is remembered is recalled");
    check_same(found, &recalled);
    image_index_free(&recalled);
    damage_file(path, plan);
    if (image_store_recall(&recalled, found->root, layout))
        divide(&recalled, layout);
    image_index_free(&recalled);
    fuzz_require(unlink(path) == 0, "the remembered index is a file");
    free(path);
}

/* --- Input ------------------------------------------------------------------------------------------------------- */

static void read_tree(const struct plan *plan, const uint8_t *data, size_t size) {
    struct arena arena = {0};
    struct image_layout layout;
    struct image_index index = {0};
    struct error err = {0};
    const char *root = arena_printf(&arena, "%s/tree", fuzz_folder());
    make_tree(root, data, size);
    bool good = image_layout_find(&layout, &arena, root, &err) && image_index_scan(&index, root, &layout, &err);
    fuzz_require(good || *err.text, "what is refused has a reason");
    if (good) {
        check_index(&index, &layout);
        recall(&index, &layout, plan);
        divide(&index, &layout);
    }
    image_index_free(&index);
    remove_tree(root);
    arena_free(&arena);
}

static void read_list(const uint8_t *data, size_t size) {
    struct arena arena = {0};
    struct image_layout layout;
    struct image_index index;
    struct error err = {0};
    fuzz_write("list.tsv", data, size);
    bool good =
        image_index_read_list(&index, &layout, &arena, arena_printf(&arena, "%s/list.tsv", fuzz_folder()), &err);
    fuzz_require(good || *err.text, "what is refused has a reason");
    if (good)
        divide(&index, &layout);
    image_index_free(&index);
    arena_free(&arena);
}

static void remove_cache(void) {
    struct arena arena = {0};
    remove_tree(arena_printf(&arena, "%s/cache", fuzz_folder()));
    arena_free(&arena);
}

/* Before fuzz_folder's own, which does not look into folders. */
static void take_cache(void) {
    static bool taken;
    struct arena arena = {0};
    const char *cache = arena_printf(&arena, "%s/cache", fuzz_folder());
    if (!taken) {
        setenv("XDG_CACHE_HOME", cache, 1);
        atexit(remove_cache);
    }
    taken = true;
    arena_free(&arena);
}

void fuzz_tree_input(const uint8_t *data, size_t size) {
    struct plan plan;
    if (size < sizeof plan)
        return;
    memcpy(&plan, data, sizeof plan);
    take_cache();
    if (plan.is_list & 1)
        read_list(data + sizeof plan, size - sizeof plan);
    else
        read_tree(&plan, data + sizeof plan, size - sizeof plan);
}

size_t fuzz_tree_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate) {
    (void)seed;
    return mutate(data, size, most);
}
