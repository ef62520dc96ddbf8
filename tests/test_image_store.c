/* What was found in a large folder is remembered, until the folder changes. */
#include "data/image_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/folder.h"
#include "support/png_file.h"
#include "support/suite.h"

enum { FILES = IMAGE_STORE_LEAST + 1 };

static struct error err;
static struct image_layout layout;
static struct image_index scanned, recalled;

/* Times of folders that nobody has touched for long. */
static void settle(void) {
    const char *const folders[] = {"d", "d/train", "d/train/a", "d/train/b", "d/test", "d/test/a", "d/test/b"};
    const struct timespec times[2] = {{1000, 0}, {1000, 0}};
    for (int i = 0; i < COUNT(folders); i++)
        ck_assert_int_eq(utimensat(AT_FDCWD, folders[i], times, 0), 0);
}

/* Many files, by one name: links take no time. */
static void set_up(void) {
    folder_enter(NULL, "store");
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", in_folder("cache"), 1), 0);
    make_folders("d/train/a/x");
    make_folders("d/train/b/x");
    make_folders("d/test/a/x");
    make_folders("d/test/b/x");
    disk_write("d/train/b/0.png", "", 0);
    disk_write("d/train/b/README", "", 0);
    disk_write("d/test/b/1.png", "", 0);
    disk_write("d/train/a/first.png", "", 0);
    for (int i = 0; i < FILES; i++)
        ck_assert_int_eq(link("d/train/a/first.png", arena_printf(&arena, "d/train/a/%05d.png", i)), 0);
    settle();
}

static void tear_down(void) {
    image_index_free(&scanned);
    image_index_free(&recalled);
    folder_leave();
}

static bool recall(void) {
    image_index_free(&recalled);
    ck_assert_msg(image_layout_find(&layout, &arena, "d", &err), "%s", err.text);
    return image_store_recall(&recalled, "d", &layout);
}

static void scan_and_keep(void) {
    image_index_free(&scanned);
    ck_assert_msg(image_layout_find(&layout, &arena, "d", &err), "%s", err.text);
    ck_assert_msg(image_index_scan(&scanned, "d", &layout, &err), "%s", err.text);
    image_store_keep(&scanned, &layout);
}

/* The only file in the cache; NULL: there is none. */
static char *stored(void) {
    char *path = NULL;
    DIR *cache = opendir("cache/spherenet");
    for (struct dirent *entry; cache && (entry = readdir(cache));)
        if (*entry->d_name != '.') {
            ck_assert_ptr_null(path);
            path = arena_printf(&arena, "cache/spherenet/%s", entry->d_name);
        }
    if (cache)
        closedir(cache);
    return path;
}

START_TEST(what_is_recalled_is_what_was_found) {
    ck_assert(!recall());
    scan_and_keep();
    ck_assert_ptr_nonnull(stored());
    ck_assert(recall());
    ck_assert_int_eq(recalled.count, FILES + 3);
    ck_assert_int_eq(recalled.foreign, 1);
    ck_assert_str_eq(recalled.names + recalled.first_foreign, "train/b/README");
    for (int i = 0; i < recalled.count; i++) {
        struct text a = {0}, b = {0};
        image_index_path(&a, &scanned, i);
        image_index_path(&b, &recalled, i);
        ck_assert_str_eq(a.data, b.data);
        ck_assert_int_eq(scanned.files[i].label, recalled.files[i].label);
        ck_assert_int_eq(scanned.files[i].split, recalled.files[i].split);
        text_free(&a);
        text_free(&b);
    }
}
END_TEST

START_TEST(a_folder_that_changed_is_looked_at_again) {
    const char *const added[] = {"d/train/a/new.png", "d/test/b/new.png", "d/train/new", "d/test/a/deep"};
    for (int i = 0; i < COUNT(added); i++) {
        scan_and_keep();
        ck_assert(recall());
        if (i == 2 || i == 3)
            make_folders(arena_printf(&arena, "%s/x", added[i]));
        else
            disk_write(added[i], "", 0);
        settle(); /* with the times that it had: that they were changed shows all the same */
        ck_assert_msg(!recall(), "%s", added[i]);
        disk_remove(added[i]);
        settle();
    }
    ck_assert_int_eq(rename("d/train/a/first.png", "d/train/a/last.png"), 0);
    settle();
    ck_assert(!recall());
}
END_TEST

START_TEST(another_layout_of_the_same_folder_is_not_taken_for_it) {
    scan_and_keep();
    ck_assert(recall());
    ck_assert_int_eq(rename("d/test", "d/val"), 0);
    ck_assert(!recall());
}
END_TEST

START_TEST(folders_that_changed_a_moment_ago_and_small_ones_are_not_remembered) {
    disk_write("d/test/a/now.png", "", 0);
    scan_and_keep();
    ck_assert_ptr_null(stored());
    disk_remove("d/train/a");
    make_folders("d/train/a/x");
    disk_write("d/train/a/1.png", "", 0);
    settle();
    scan_and_keep();
    ck_assert_ptr_null(stored());
}
END_TEST

/* Whatever the file holds, it is not taken; a new one takes its place. */
START_TEST(a_damaged_or_foreign_file_is_no_memory) {
    size_t size;
    scan_and_keep();
    const char *path = stored();
    char *bytes = disk_read(path, &size);
    for (size_t at = 0; at < size; at += at < 200 ? 1 : size / 97) {
        bytes[at] ^= 4;
        disk_write(path, bytes, size);
        ck_assert_msg(!recall(), "byte %zu", at);
        bytes[at] ^= 4;
    }
    for (size_t length = 0; length < size; length += 1 + size / 50) {
        disk_write(path, bytes, length);
        ck_assert_msg(!recall(), "%zu bytes", length);
    }
    disk_write(path, "foreign", 7);
    ck_assert(!recall());
    scan_and_keep();
    ck_assert(recall());
    free(bytes);
}
END_TEST

START_TEST(a_cache_that_cannot_be_written_harms_nothing) {
    disk_write("cache", "a file", 6);
    scan_and_keep();
    ck_assert(!recall());
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", "relative", 1), 0);
    ck_assert_int_eq(unsetenv("HOME"), 0);
    scan_and_keep();
    ck_assert(!recall() && !disk_exists("relative"));
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("image store");
    TCase *tcase = suite_group(suite, "memory", 120, set_up, tear_down);
    tcase_add_test(tcase, what_is_recalled_is_what_was_found);
    tcase_add_test(tcase, a_folder_that_changed_is_looked_at_again);
    tcase_add_test(tcase, another_layout_of_the_same_folder_is_not_taken_for_it);
    tcase_add_test(tcase, folders_that_changed_a_moment_ago_and_small_ones_are_not_remembered);
    tcase_add_test(tcase, a_damaged_or_foreign_file_is_no_memory);
    tcase_add_test(tcase, a_cache_that_cannot_be_written_harms_nothing);
    return suite;
}
