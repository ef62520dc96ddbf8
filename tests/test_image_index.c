/* Which files are the pictures of a dataset: folders of classes, lists, and what lies between them that is none. */
#include "data/image_index.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "support/folder.h"
#include "support/suite.h"

static struct error err;
static struct image_layout layout;
static struct image_index index_;

static void set_up(void) {
    folder_enter(NULL, "index");
}

static void tear_down(void) {
    image_index_free(&index_);
    folder_leave();
}

/* An empty file, and the folders that it is in. */
static void touch(const char *path) {
    char *copy = arena_string(&arena, path);
    for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(copy, 0777);
        *slash = '/';
    }
    disk_write(path, "", 0);
}

static void touch_all(const char *const *paths, int count) {
    for (int i = 0; i < count; i++)
        touch(paths[i]);
}
#define TOUCH(...)                                                                                                     \
    touch_all((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static bool scan(const char *root) {
    image_index_free(&index_);
    return image_layout_find(&layout, &arena, root, &err) && image_index_scan(&index_, root, &layout, &err);
}

static void scan_good(const char *root) {
    ck_assert_msg(scan(root), "%s", err.text);
}

/* All files in their order, a line "PATH label split" each. */
static const char *listed(void) {
    struct text text = {0};
    text_add(&text, "", 0);
    for (int i = 0; i < index_.count; i++) {
        image_index_path(&text, &index_, i);
        text_printf(&text, " %d %d\n", index_.files[i].label, index_.files[i].split);
    }
    const char *all = arena_string(&arena, text.data);
    text_free(&text);
    return all;
}

/* --- Folders ----------------------------------------------------------------------------------------------------- */

START_TEST(files_lie_at_any_depth_and_come_in_the_order_of_torchvision) {
    TOUCH("d/train/b/1.png", "d/train/a/x/2.jpg", "d/train/a/3.JPEG", "d/train/a-b/4.jpg", "d/train/a/x-y/5.png",
          "d/train/a/x/deep/6.png", "d/train/a/10.png", "d/train/a/9.png", "d/test/a/7.png", "d/test/b/8.png",
          "d/test/a-b/8.png");
    scan_good("d");
    ck_assert_str_eq(listed(), "d/train/a/10.png 0 0\nd/train/a/3.JPEG 0 0\nd/train/a/9.png 0 0\n"
                               "d/train/a/x/2.jpg 0 0\nd/train/a/x-y/5.png 0 0\nd/train/a/x/deep/6.png 0 0\n"
                               "d/train/a-b/4.jpg 1 0\nd/train/b/1.png 2 0\n"
                               "d/test/a/7.png 0 1\nd/test/a-b/8.png 1 1\nd/test/b/8.png 2 1\n");
}
END_TEST

START_TEST(validation_is_its_own_split_where_there_are_tests_and_the_tests_where_there_are_none) {
    const char *const names[] = {"validation", "val"};
    for (int i = 0; i < 2; i++) {
        const char *root = arena_printf(&arena, "d%d", i);
        TOUCH(arena_printf(&arena, "%s/train/a/1.png", root), arena_printf(&arena, "%s/train/b/1.png", root),
              arena_printf(&arena, "%s/%s/a/2.png", root, names[i]),
              arena_printf(&arena, "%s/%s/b/2.png", root, names[i]));
        scan_good(root);
        ck_assert_int_eq(index_.files[2].split, SPLIT_TEST);
        TOUCH(arena_printf(&arena, "%s/test/3.png", root)); /* without labels, as ImageNet has it */
        scan_good(root);
        ck_assert_int_eq(index_.count, 4);
        ck_assert_int_eq(index_.files[2].split, SPLIT_TEST);
        TOUCH(arena_printf(&arena, "%s/test/a/3.png", root), arena_printf(&arena, "%s/test/b/3.png", root));
        scan_good(root);
        ck_assert_int_eq(index_.files[2].split, SPLIT_TEST);
        ck_assert_int_eq(index_.files[4].split, SPLIT_VALIDATION);
        ck_assert_int_eq(index_.count, 6);
    }
}
END_TEST

START_TEST(hidden_files_are_left_out_and_foreign_ones_counted) {
    TOUCH("d/a/1.png", "d/a/.2.png", "d/.b/3.png", "d/a/README", "d/a/Thumbs.db", "d/b/1.jpg.txt", "d/b/1.jpeg",
          "d/b/png", "d/4.png", "d/b/.x/1.png");
    scan_good("d");
    ck_assert_str_eq(listed(), "d/a/1.png 0 -1\nd/b/1.jpeg 1 -1\n");
    ck_assert_int_eq(index_.foreign, 5);
    ck_assert_str_eq(index_.names + index_.first_foreign, "4.png");
}
END_TEST

START_TEST(links_are_followed_and_no_folder_is_entered_twice) {
    TOUCH("elsewhere/1.png", "elsewhere/more/2.png", "d/b/1.png", "file.png");
    ck_assert_int_eq(symlink("../elsewhere", "d/a"), 0);
    ck_assert_int_eq(symlink(".", "elsewhere/self"), 0);
    ck_assert_int_eq(symlink("more", "elsewhere/again"), 0);
    ck_assert_int_eq(symlink("../../d", "elsewhere/more/up"), 0);
    ck_assert_int_eq(symlink("nowhere.png", "d/b/broken.png"), 0);
    ck_assert_int_eq(symlink("../../file.png", "d/b/link.png"), 0);
    ck_assert_int_eq(mkfifo("d/b/pipe.png", 0666), 0);
    scan_good("d");
    /* More than one path leads to a folder; the first of the shortest is taken. */
    ck_assert_str_eq(listed(), "d/a/1.png 0 -1\nd/a/again/2.png 0 -1\nd/a/again/up/b/1.png 0 -1\n"
                               "d/a/again/up/b/link.png 0 -1\nd/b/1.png 1 -1\nd/b/link.png 1 -1\n");
    ck_assert_int_eq(index_.foreign, 4);
}
END_TEST

START_TEST(names_are_any_bytes_and_none_of_them_acts_on_a_terminal) {
    TOUCH("d/a\x1b[2J/\xff\xfe\n.png", "d/b/1.png");
    scan_good("d");
    struct text path = {0}, shown = {0};
    image_index_path(&path, &index_, 0);
    image_index_shown(&shown, &index_, 0);
    ck_assert_str_eq(path.data, "d/a\x1b[2J/\xff\xfe\n.png");
    ck_assert_int_eq(access(path.data, F_OK), 0);
    ck_assert_str_eq(shown.data, "d/a?[2J/\xff\xfe?.png");
    text_free(&path);
    text_free(&shown);
}
END_TEST

static void expect_failure(const char *root, const char *message) {
    ck_assert(!scan(root));
    ck_assert_str_eq(err.text, message);
}

START_TEST(a_class_without_training_pictures_is_named) {
    TOUCH("d/train/a/1.png", "d/train/b/x/y/README", "d/test/a/1.png", "d/test/b/1.png");
    expect_failure("d", "d/train/b: there is no picture of this class; pictures are .jpg, .jpeg and .png files");
    TOUCH("d/train/b/1.png");
    ck_assert_int_eq(unlink("d/test/b/1.png"), 0);
    scan_good("d"); /* tests may be without a class */
    ck_assert_int_eq(index_.count, 3);
}
END_TEST

START_TEST(classes_that_differ_between_splits_are_named) {
    TOUCH("d/train/a/1.png", "d/train/b/1.png", "d/test/a/1.png", "d/test/c/1.png");
    expect_failure("d", "d/test: its classes are not those of train/:\n  b: is not there\n  c: is no class of train/");
}
END_TEST

START_TEST(what_is_no_folder_of_classes_is_refused) {
    TOUCH("one/a/1.png", "flat/1.png", "file", "d/train/a/1.png", "d/test/a/1.png");
    expect_failure("one", "one: has one folder alone; there must be a folder of pictures for each of two classes or "
                          "more, or train/ and test/ with such folders in them");
    ck_assert(!scan("flat"));
    ck_assert_ptr_nonnull(strstr(err.text, "flat: has no folders; there must be"));
    ck_assert(!scan("d"));
    ck_assert_ptr_nonnull(strstr(err.text, "d/train: has one folder alone; there must be"));
    expect_failure("file", "file: is no folder; data.list takes a file of paths and labels");
    expect_failure("none", "none; relative paths count from the current folder: No such file or directory");
}
END_TEST

START_TEST(a_folder_that_cannot_be_read_is_named) {
    if (geteuid() == 0) /* reads all */
        return;
    TOUCH("d/a/1.png", "d/b/x/1.png");
    ck_assert_int_eq(chmod("d/b/x", 0), 0);
    expect_failure("d", "d/b/x: cannot be read: Permission denied");
    chmod("d/b/x", 0777);
}
END_TEST

/* --- Dividing ---------------------------------------------------------------------------------------------------- */

START_TEST(each_class_gives_its_share_of_tests) {
    const int counts[] = {1, 2, 10, 100};
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < counts[c]; i++)
            touch(arena_printf(&arena, "d/%d/%03d.png", c, i));
    scan_good("d");
    int tests[4] = {0}, moved = 0;
    image_index_divide(&index_, 4, 0.25, 1);
    char *before = arena_string(&arena, listed());
    for (int i = 0; i < index_.count; i++)
        tests[index_.files[i].label] += index_.files[i].split == SPLIT_TEST;
    ck_assert(tests[0] == 0 && tests[1] == 1 && tests[2] == 2 && tests[3] == 25);
    image_index_divide(&index_, 4, 0.25, 1);
    ck_assert_str_eq(listed(), before);
    image_index_divide(&index_, 4, 0.25, 2);
    for (int i = 0, at = 0; i < index_.count; i++, at++)
        moved += index_.files[i].split == SPLIT_TEST && i > 60;
    ck_assert_str_ne(listed(), before);
    ck_assert_int_gt(moved, 0); /* not the first ones alone */
}
END_TEST

/* --- Lists ------------------------------------------------------------------------------------------------------- */

static bool read_list(const char *text, size_t length) {
    image_index_free(&index_);
    mkdir("l", 0777);
    disk_write("l/list.tsv", text, length);
    return image_index_read_list(&index_, &layout, &arena, "l/list.tsv", &err);
}

START_TEST(a_list_says_order_labels_and_splits) {
    const char *text = "x/1.png\tdog\ttrain\r\n\n/abs/2.jpg\tcat\ttest\nx/1.png\tdog\tval\n3\tzebra fish\tvalidation";
    ck_assert_msg(read_list(text, strlen(text)), "%s", err.text);
    ck_assert_str_eq(listed(), "l/x/1.png 1 0\n/abs/2.jpg 0 1\nl/x/1.png 1 2\nl/3 2 2\n");
    ck_assert_int_eq(layout.class_count, 3);
    ck_assert_str_eq(layout.classes[2], "zebra fish");
    ck_assert(layout.divided);
    ck_assert(read_list("a\tx\nb\ty\n", 8));
    ck_assert(!layout.divided && index_.files[0].split == INDEX_ANY);
}
END_TEST

START_TEST(lines_that_are_wrong_are_named) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a\tx\nb y\n", "l/list.tsv:2: a line is PATH<tab>LABEL or PATH<tab>LABEL<tab>SPLIT"},
        {"a\tx\ttest\tmore\n", "l/list.tsv:1: a line is PATH<tab>LABEL or PATH<tab>LABEL<tab>SPLIT"},
        {"\tx\n", "l/list.tsv:1: a line is PATH<tab>LABEL or PATH<tab>LABEL<tab>SPLIT"},
        {"a\t\n", "l/list.tsv:1: a line is PATH<tab>LABEL or PATH<tab>LABEL<tab>SPLIT"},
        {"a\tx\ttest\nb\ty\n", "l/list.tsv:2: has no split, the lines before one"},
        {"a\tx\nb\ty\ttest\n", "l/list.tsv:2: has a split, the lines before none"},
        {"a\tx\ttest\nb\ty\tTrain\x1b\n", "l/list.tsv:2: no split \"Train?\"; there are train, test and validation"},
        {"a\tx\nb\tx\n", "l/list.tsv: names 1 class; there must be two or more"},
        {"", "l/list.tsv: names 0 classes; there must be two or more"},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        ck_assert(!read_list(cases[i].text, strlen(cases[i].text)));
        ck_assert_str_eq(err.text, cases[i].message);
    }
    ck_assert(!read_list("a\tx\nb\0\ty\n", 9));
    ck_assert_str_eq(err.text, cases[0].message);
}
END_TEST

/* Mutated lists: whatever is accepted has files with labels and splits that are there. */
START_TEST(any_bytes_are_a_list_or_are_refused) {
    static const char good[] = "a/1.png\tcat\ttrain\nb/2.jpg\tdog\ttest\r\n\nc\tcat\tval\n";
    static const char special[] = "\t\n\r\0/ \xff"
                                  "a";
    int accepted = 0;
    for (int i = 0; i < 3000; i++) {
        struct rng rng = rng_stream(1, RNG_TEST, (uint64_t)i, 0);
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        for (int m = 0; m < 1 + i % 4; m++)
            text[rng_below(&rng, sizeof good - 1)] = special[rng_below(&rng, sizeof special - 1)];
        if (!read_list(text, rng_below(&rng, 4) ? sizeof good - 1 : rng_below(&rng, sizeof good)))
            continue;
        accepted++;
        for (int f = 0; f < index_.count; f++) {
            const struct image_file *file = &index_.files[f];
            EXPECT(file->label >= 0 && file->label < layout.class_count, "label %d", file->label);
            EXPECT(file->split >= INDEX_ANY && file->split < SPLIT_COUNT, "split %d", file->split);
            EXPECT(file->name < index_.name_bytes && index_.names[file->name], "a name is not empty");
        }
    }
    ck_assert(accepted > 100 && accepted < 2900);
}
END_TEST

/* --- Many files -------------------------------------------------------------------------------------------------- */

START_TEST(a_file_takes_less_than_128_bytes_beside_its_name) {
    enum { FILES = 3000, NAME = sizeof "0000.png" };
    for (int i = 0; i < FILES; i++)
        touch(arena_printf(&arena, "d/%d/%04d.png", i % 2, i));
    scan_good("d");
    ck_assert_int_eq(index_.count, FILES);
    size_t taken = (size_t)index_.capacity * sizeof *index_.files + index_.name_capacity;
    ck_assert_uint_lt(taken, FILES * (NAME + 128));
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("image index");
    TCase *tcase = suite_group(suite, "files", 60, set_up, tear_down);
    tcase_add_test(tcase, files_lie_at_any_depth_and_come_in_the_order_of_torchvision);
    tcase_add_test(tcase, validation_is_its_own_split_where_there_are_tests_and_the_tests_where_there_are_none);
    tcase_add_test(tcase, hidden_files_are_left_out_and_foreign_ones_counted);
    tcase_add_test(tcase, links_are_followed_and_no_folder_is_entered_twice);
    tcase_add_test(tcase, names_are_any_bytes_and_none_of_them_acts_on_a_terminal);
    tcase_add_test(tcase, a_class_without_training_pictures_is_named);
    tcase_add_test(tcase, classes_that_differ_between_splits_are_named);
    tcase_add_test(tcase, what_is_no_folder_of_classes_is_refused);
    tcase_add_test(tcase, a_folder_that_cannot_be_read_is_named);
    tcase_add_test(tcase, each_class_gives_its_share_of_tests);
    tcase_add_test(tcase, a_list_says_order_labels_and_splits);
    tcase_add_test(tcase, lines_that_are_wrong_are_named);
    tcase_add_test(tcase, any_bytes_are_a_list_or_are_refused);
    tcase_add_test(tcase, a_file_takes_less_than_128_bytes_beside_its_name);
    return suite;
}
