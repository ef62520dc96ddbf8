#include "data/image_index.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/number.h"
#include "base/rng.h"

bool is_picture_name(const char *name) {
    static const char *const ends[] = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (!strcasecmp(dot, ends[i]))
            return true;
    return false;
}

/* --- Adding ------------------------------------------------------------------------------------------------------ */

/* Room for `needed` elements in an array that grows; false without memory. */
static bool reserve(void *array_place, size_t needed, size_t *capacity, size_t element_bytes) {
    void **array = array_place;
    if (needed <= *capacity)
        return true;
    size_t larger_capacity = size_larger(needed, *capacity + *capacity / 2);
    void *moved = realloc(*array, larger_capacity * element_bytes);
    if (!moved)
        return false;
    *array = moved;
    *capacity = larger_capacity;
    return true;
}

bool image_index_add_name(struct image_index *index, const char *name, size_t length, size_t *at) {
    *at = index->name_bytes;
    if (!reserve(&index->names, index->name_bytes + length + 1, &index->name_capacity, 1))
        return false;
    memcpy(index->names + *at, name, length);
    index->names[*at + length] = '\0';
    index->name_bytes += length + 1;
    return true;
}

bool image_index_add_file(struct image_index *index, struct image_file file) {
    size_t capacity = (size_t)index->capacity;
    if (index->count == INT_MAX || !reserve(&index->files, (size_t)index->count + 1, &capacity, sizeof *index->files))
        return false;
    index->capacity = (int)size_smaller(capacity, INT_MAX);
    index->files[index->count++] = file;
    return true;
}

bool image_index_add_folder(struct image_index *index, const char *path) {
    size_t capacity = (size_t)index->folder_capacity, at;
    if (index->folder_count == INT_MAX ||
        !reserve(&index->folders, (size_t)index->folder_count + 1, &capacity, sizeof *index->folders) ||
        !image_index_add_name(index, path, strlen(path), &at))
        return false;
    index->folder_capacity = (int)size_smaller(capacity, INT_MAX);
    index->folders[index->folder_count++] = (struct image_folder){.path = at};
    return true;
}

struct folder_state folder_state_of(const struct stat *status) {
    return (struct folder_state){
        .device = (int64_t)status->st_dev,
        .inode = (int64_t)status->st_ino,
        .bytes = status->st_size,
        .modified = {status->st_mtim.tv_sec, status->st_mtim.tv_nsec},
        .changed = {status->st_ctim.tv_sec, status->st_ctim.tv_nsec},
    };
}

void image_index_free(struct image_index *index) {
    free(index->root);
    free(index->names);
    free(index->files);
    free(index->folders);
    *index = (struct image_index){0};
}

/* --- Paths ------------------------------------------------------------------------------------------------------- */

void image_index_path(struct text *path, const struct image_index *index, int file) {
    const struct image_file *picture = &index->files[file];
    const char *name = index->names + picture->name;
    const char *folder = index->names + index->folders[picture->folder].path;
    if (*name != '/')
        text_printf(path, "%s/%s%s", index->root, folder, *folder ? "/" : "");
    text_add(path, name, strlen(name));
}

void image_index_shown(struct text *path, const struct image_index *index, int file) {
    size_t before = path->length;
    image_index_path(path, index, file);
    text_defuse_line(path->data + before);
}

/* --- Dividing ---------------------------------------------------------------------------------------------------- */

/* A class that is being divided. */
struct share {
    struct rng rng;
    int left, tests_left; /* files to come, and how many of them are for tests */
};

void image_index_divide(struct image_index *index, int classes, double test_share, uint64_t seed) {
    struct share *shares = mem_alloc((size_t)classes * sizeof *shares);
    for (int i = 0; i < index->count; i++)
        shares[index->files[i].label].left++;
    for (int c = 0; c < classes; c++) {
        struct share *share = &shares[c];
        share->rng = rng_stream(seed, RNG_TEST_SHARE, (uint64_t)c, 0);
        share->tests_left = share->left < 2 ? 0 : clamp((int)lrint(test_share * share->left), 1, share->left - 1);
    }
    for (int i = 0; i < index->count; i++) { /* selection sampling: each subset of that size is as likely */
        struct share *share = &shares[index->files[i].label];
        bool is_test = rng_below(&share->rng, (uint32_t)share->left) < (uint32_t)share->tests_left;
        share->left--;
        share->tests_left -= is_test;
        index->files[i].split = is_test ? SPLIT_TEST : SPLIT_TRAIN;
    }
    free(shares);
}
