/* Things with the names of pictures that are none, folders that change while they are used, and machines that fail. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "data/dataset_images.h"
#include "data/image_index.h"
#include "support/datasets.h"
#include "support/png_file.h"
#include "support/suite.h"

enum { SIDE = 6, IMAGE = SIDE * SIDE * 3 };

static uint8_t pixels[IMAGE];

static struct choice choose_images(void) {
    struct choice data = choose("images");
    set_int(data, "height", SIDE);
    set_int(data, "width", SIDE);
    return data;
}

static struct images_config *config_of(struct choice data) {
    return data.config;
}

/* Four training and two test pictures of two classes. */
static void write_pictures(void) {
    for (int i = 0; i < 6; i++)
        png_write_plain(in_folder(arena_printf(&arena, "%s/%c/%d.png", i < 4 ? "train" : "test", "ab"[i % 2], i)), 8, 9,
                        40 * i, 0, 0);
}

static bool fetch(int index) {
    return dataset_fetch(&dataset, SPLIT_TRAIN, index, NULL, pixels, &err);
}

static void expect_bad(int index, const char *part) {
    ck_assert(!fetch(index));
    ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
}

static void make_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

/* --- What is no file --------------------------------------------------------------------------------------------- */

static void make_odd_things(void) {
    ck_assert_int_eq(mkfifo(in_folder("train/a/pipe.png"), 0666), 0);
    make_socket(in_folder("train/a/socket.png"));
    ck_assert_int_eq(symlink("/dev/zero", in_folder("train/a/device.png")), 0);
    ck_assert_int_eq(symlink("loop.png", in_folder("train/a/loop.png")), 0);
    ck_assert_int_eq(symlink("nowhere", in_folder("train/a/nowhere.png")), 0);
    make_folders(in_folder("train/a/folder.png/x"));
}

START_TEST(what_is_no_file_is_passed_over_in_folders) {
    write_pictures();
    make_odd_things();
    load(choose_images());
    check_counts(4, 2);
    ck_assert_ptr_nonnull(strstr(dataset.remark, "5 files were passed over"));
    for (int i = 0; i < 4; i++)
        ck_assert_msg(fetch(i), "%s", err.text);
}
END_TEST

START_TEST(what_is_no_file_is_told_of_in_lists_and_does_not_hang) {
    static const struct {
        const char *name, *why;
    } things[] = {
        {"train/a/pipe.png", "pipe.png: is no picture: no file"},
        {"train/a/socket.png", "socket.png: cannot be read: No such device or address"},
        {"train/a/device.png", "device.png: is no picture: no file"},
        {"train/a/loop.png", "loop.png: cannot be read: Too many levels of symbolic links"},
        {"train/a/nowhere.png", "nowhere.png: cannot be read: No such file or directory"},
        {"train/a/folder.png", "folder.png: is no picture: it is a folder"},
        {"/proc/self/status", "/proc/self/status: is an empty file"},
    };
    struct choice data = choose_images();
    struct text list = {0};
    write_pictures();
    make_odd_things();
    for (int i = 0; i < COUNT(things); i++)
        text_printf(&list, "%s\ta\ttrain\n", things[i].name);
    text_printf(&list, "test/b/5.png\tb\ttest\n");
    disk_write_text(in_folder("list.tsv"), list.data);
    text_free(&list);
    config_of(data)->path = "";
    config_of(data)->list = in_folder("list.tsv");
    load(data);
    for (int i = 0; i < COUNT(things); i++)
        expect_bad(i, things[i].why);
}
END_TEST

/* --- Names ------------------------------------------------------------------------------------------------------- */

START_TEST(the_longest_name_of_bytes_that_are_no_utf8_is_a_name) {
    char name[256] = "";
    write_pictures();
    memset(name, 0xfe, 251);
    strcpy(name + 251, ".png");
    ck_assert_int_eq(rename(in_folder("train/a/0.png"), in_folder(arena_printf(&arena, "train/a/%s", name))), 0);
    load(choose_images());
    check_counts(4, 2);
    ck_assert(fetch(0) && fetch(1));
    disk_write_text(in_folder(arena_printf(&arena, "train/a/%s", name)), "");
    load(choose_images());
    expect_bad(1, ".png: is an empty file");
}
END_TEST

START_TEST(a_long_split_in_a_list_is_cut_in_the_message) {
    struct choice data = choose_images();
    char *line = arena_alloc(&arena, 100000);
    memset(line, 'x', 99998);
    memcpy(line, "a\tb\t", 4);
    line[99998] = '\n';
    disk_write_text(in_folder("list.tsv"), line);
    config_of(data)->path = "";
    config_of(data)->list = in_folder("list.tsv");
    ck_assert(!dataset_load(&dataset, data, 1, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "list.tsv:1: no split \"xxxx"));
    ck_assert_ptr_nonnull(strstr(err.text, "xxxx\"; there are train, test and validation"));
}
END_TEST

/* --- Folders that change ----------------------------------------------------------------------------------------- */

START_TEST(a_file_that_goes_or_is_cut_after_the_scan_is_told_of) {
    write_pictures();
    load(choose_images());
    ck_assert_int_eq(unlink(in_folder("train/a/0.png")), 0);
    ck_assert_int_eq(truncate(in_folder("train/a/2.png"), 50), 0);
    expect_bad(0, "train/a/0.png: cannot be read: No such file or directory");
    expect_bad(1, "train/a/2.png: this PNG picture is cut off");
    ck_assert(fetch(2));
}
END_TEST

START_TEST(a_file_that_another_takes_the_place_of_is_read_as_it_is) {
    struct choice data = choose_images();
    write_pictures();
    load(data);
    for (int i = 0; i < 2; i++) {
        png_write_plain(in_folder("train/a/0.png"), i ? 300 : 1, i ? 2 : 500, 7, 8, 9);
        config_of(data)->cache = "0";
        load(data);
        png_write_plain(in_folder("train/a/0.png"), i ? 1 : 400, i ? 1 : 400, 1, 2, 3);
        ck_assert_msg(fetch(0), "%s", err.text);
        ck_assert_mem_eq(pixels, "\1\2\3", 3);
    }
    ck_assert_int_eq(unlink(in_folder("train/a/0.png")), 0);
    ck_assert_int_eq(mkfifo(in_folder("train/a/0.png"), 0666), 0);
    expect_bad(0, "0.png: is no picture: no file");
}
END_TEST

START_TEST(a_folder_that_goes_after_it_was_described_is_told_of) {
    struct choice data = choose_images();
    write_pictures();
    ck_assert_msg(dataset_describe(&dataset, data, &err), "%s", err.text);
    dataset_free(&dataset);
    disk_remove(in_folder("train/b"));
    ck_assert(!dataset_load(&dataset, data, 1, &err));
    ck_assert_msg(strstr(err.text, "has one folder alone") != NULL, "%s", err.text);
}
END_TEST

/* --- The machine ------------------------------------------------------------------------------------------------- */

/* Whom permissions hold back, as long as the test goes on. */
static void become_nobody(void) {
    ck_assert_int_eq(chmod(folder, 0777), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
}

START_TEST(a_folder_without_permission_is_named_and_not_left_out) {
    static const char *const folders[] = {"train", "train/a", "train/a/deep", "test", "test/b"};
    write_pictures();
    make_folders(in_folder("train/a/deep/x"));
    for (int i = 0; i < COUNT(folders); i++) {
        uid_t user = geteuid();
        const char *path = in_folder(folders[i]);
        ck_assert_int_eq(chmod(path, 0), 0);
        become_nobody();
        bool good = dataset_load(&dataset, choose_images(), 1, &err);
        ck_assert_int_eq(seteuid(user), 0);
        ck_assert_int_eq(chmod(path, 0777), 0);
        ck_assert_msg(!good, "%s", folders[i]);
        ck_assert_msg(strstr(err.text, arena_printf(&arena, "%s", path)) && strstr(err.text, "Permission denied"),
                      "%s: %s", folders[i], err.text);
    }
}
END_TEST

/* No file can be opened until this is undone. */
static rlim_t take_descriptors(rlim_t most) {
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = most;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

START_TEST(too_many_open_files_make_no_picture_bad) {
    struct choice data = choose_images();
    struct text told = {0};
    write_pictures();
    config_of(data)->on_bad_image = BAD_IMAGE_SKIP;
    load(data);
    rlim_t before = take_descriptors(0);
    bool good = fetch(0);
    take_descriptors(before);
    ck_assert(!good && err.code == ERROR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(err.text, "train/a/0.png: cannot be read: Too many open files"));
    ck_assert(fetch(0));
    dataset_tell_bad(&dataset, &told);
    ck_assert_uint_eq(told.length, 0);
    before = take_descriptors(0);
    good = dataset_describe(&(struct dataset){0}, data, &err);
    take_descriptors(before);
    ck_assert_msg(!good, "a folder that cannot be looked at now is not one that is not there");
    text_free(&told);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("odd pictures");
    TCase *tcase = suite_group(suite, "odd", 60, dataset_set_up, dataset_tear_down);
    tcase_add_test(tcase, what_is_no_file_is_passed_over_in_folders);
    tcase_add_test(tcase, what_is_no_file_is_told_of_in_lists_and_does_not_hang);
    tcase_add_test(tcase, the_longest_name_of_bytes_that_are_no_utf8_is_a_name);
    tcase_add_test(tcase, a_long_split_in_a_list_is_cut_in_the_message);
    tcase_add_test(tcase, a_file_that_goes_or_is_cut_after_the_scan_is_told_of);
    tcase_add_test(tcase, a_file_that_another_takes_the_place_of_is_read_as_it_is);
    tcase_add_test(tcase, a_folder_that_goes_after_it_was_described_is_told_of);
    tcase_add_test(tcase, a_folder_without_permission_is_named_and_not_left_out);
    tcase_add_test(tcase, too_many_open_files_make_no_picture_bad);
    return suite;
}
