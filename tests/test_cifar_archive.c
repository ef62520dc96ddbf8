/* CIFAR from the official archive as it was downloaded, and what is there instead where it is not. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/datasets.h"
#include "support/idx_writer.h"
#include "support/suite.h"

enum { BLOCK = 512, PIXELS = 3 * 32 * 32, RECORD = 1 + PIXELS, RECORDS = 2 };

/* --- Archives ---------------------------------------------------------------------------------------------------- */

static struct text archive;

static void set_up(void) {
    dataset_set_up();
    archive.length = 0;
}

static void tear_down(void) {
    text_free(&archive);
    dataset_tear_down();
}

static void add_member(const char *name, char type, const void *bytes, size_t size) {
    static const char zeros[BLOCK];
    char header[BLOCK] = {0};
    unsigned sum = 0;
    snprintf(header, 100, "%s", name);
    snprintf(header + 124, 12, "%011o", (unsigned)size);
    memset(header + 148, ' ', 8);
    header[156] = type;
    memcpy(header + 257, "ustar", 6);
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    text_add(&archive, header, BLOCK);
    text_add(&archive, bytes, size);
    text_add(&archive, zeros, (BLOCK - size % BLOCK) % BLOCK);
}

static void add_end(void) {
    static const char zeros[20 * BLOCK];
    text_add(&archive, zeros, sizeof zeros);
}

/* Two records; their labels and first pixels are `first` and the number after it. */
static void add_records(const char *name, int label_bytes, int first) {
    size_t record = (size_t)label_bytes + PIXELS;
    char *bytes = arena_alloc(&arena, RECORDS * record);
    for (int r = 0; r < RECORDS; r++)
        memset(bytes + (size_t)r * record, first + r, (size_t)label_bytes + 1);
    add_member(name, '0', bytes, RECORDS * record);
}

#define FOLDER "cifar-10-batches-bin/"
static const char *const ten = "aa\nbb\ncc\ndd\nee\nff\ngg\nhh\nii\njj\n\n";

/* The members in the order of the official archive, which is not that of the batches. */
static void add_cifar10(void) {
    add_member(FOLDER, '5', "", 0);
    add_records(FOLDER "data_batch_1.bin", 1, 0);
    add_member(FOLDER "batches.meta.txt", '0', ten, strlen(ten));
    add_records(FOLDER "data_batch_3.bin", 1, 4);
    add_records(FOLDER "data_batch_4.bin", 1, 6);
    add_records(FOLDER "test_batch.bin", 1, 5);
    add_member(FOLDER "readme.html", '0', "<html>", 6);
    add_records(FOLDER "data_batch_5.bin", 1, 8);
    add_records(FOLDER "data_batch_2.bin", 1, 2);
    add_end();
}

static void write_archive(const char *name) {
    write_maybe_gzipped(name, archive.data, archive.length);
}

static void set_path(struct choice data, const char *path) {
    *(const char **)value_of(data, "path") = path;
}

static void check_labels(int count) {
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].count, count);
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].labels[i], i);
        ck_assert_int_eq(image_of(SPLIT_TRAIN, i)[0], i);
        ck_assert_int_eq(image_of(SPLIT_TRAIN, i)[1], 0);
    }
}

static void check_refused(struct choice data, const char *part) {
    dataset_free(&dataset);
    ck_assert(!dataset_load(&dataset, data, 1, &err));
    ck_assert_msg(strstr(err.text, part) != NULL, "\"%s\" is not in \"%s\"", part, err.text);
}

/* --- Good ones --------------------------------------------------------------------------------------------------- */

START_TEST(cifar10_is_read_from_its_archive) {
    static const char *const names[] = {"cifar-10-binary.tar.gz", "cifar-10-binary.tar"};
    char buffer[CLASS_NAME_BYTES];
    struct choice data = choose("cifar10");
    add_cifar10();
    write_archive(names[_i]);
    for (int i = 0; i < 2; i++) { /* in the folder; named itself */
        load(data);
        check_counts(10, 2);
        check_labels(10);
        ck_assert_int_eq(dataset.splits[SPLIT_TEST].labels[1], 6);
        ck_assert_str_eq(dataset_class_name(&dataset, 3, buffer), "dd");
        set_path(data, in_folder(names[_i]));
    }
}
END_TEST

START_TEST(cifar100_is_read_from_its_archive) {
    struct choice data = choose("cifar100");
    add_records("cifar-100-binary/test.bin", 2, 7);
    add_records("./cifar-100-binary/train.bin", 2, 18);
    add_end();
    write_archive("cifar-100-binary.tar.gz");
    load(data);
    check_shape(32, 32, 3, 100);
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].labels[1], 19);
    ck_assert_int_eq(dataset.splits[SPLIT_TEST].labels[0], 7);
    set_int(data, "labels", 1);
    load(data);
    ck_assert_int_eq(dataset.classes, 20);
}
END_TEST

START_TEST(files_come_before_the_archive) {
    struct choice data = choose("cifar100");
    char record[2 + PIXELS] = {11, 11};
    add_records("cifar-100-binary/test.bin", 2, 7);
    add_records("cifar-100-binary/train.bin", 2, 18);
    write_archive("cifar-100-binary.tar.gz");
    write_maybe_gzipped("cifar-100-binary/train.bin", record, sizeof record);
    write_maybe_gzipped("cifar-100-binary/test.bin", record, sizeof record);
    load(data);
    check_counts(1, 1);
}
END_TEST

START_TEST(a_limit_needs_no_more_members_than_it_fills) {
    struct choice data = choose("cifar10");
    set_int(data, "train_limit", 3);
    add_records("data_batch_2.bin", 1, 2);
    add_records("data_batch_1.bin", 1, 0);
    add_records("test_batch.bin", 1, 0);
    add_end();
    write_archive("cifar-10-binary.tar.gz");
    load(data);
    check_labels(3);
    set_int(data, "train_limit", 5);
    check_refused(data, "cifar-10-binary.tar.gz: has no data_batch_3.bin; get the binary version");
}
END_TEST

/* --- Bad ones ---------------------------------------------------------------------------------------------------- */

START_TEST(an_archive_cut_anywhere_is_refused) {
    struct choice data = choose("cifar10");
    add_cifar10();
    size_t ends[] = {0, 100, BLOCK, BLOCK + 100, 2 * BLOCK + RECORD, archive.length - 30 * BLOCK};
    disk_write(in_folder("cifar-10-binary.tar"), archive.data, ends[_i]);
    static const char *const messages[] = {"is no tar archive",
                                           "is no tar archive",
                                           "has no data_batch_1.bin",
                                           "damaged: the archive is cut short",
                                           "damaged: the archive is cut short",
                                           "damaged: the archive is cut short"};
    check_refused(data, messages[_i]);
}
END_TEST

START_TEST(damage_behind_the_last_member_is_found) {
    struct choice data = choose("cifar10");
    struct stat status;
    add_cifar10();
    write_archive("cifar-10-binary.tar.gz");
    ck_assert_int_eq(stat(in_folder("cifar-10-binary.tar.gz"), &status), 0);
    ck_assert_int_eq(truncate(in_folder("cifar-10-binary.tar.gz"), status.st_size - 4), 0);
    check_refused(data, "cifar-10-binary.tar.gz: damaged: the gzip stream is cut short");
}
END_TEST

START_TEST(a_damaged_header_is_refused) {
    add_cifar10();
    archive.data[2 * BLOCK + (RECORDS * RECORD + BLOCK - 1) / BLOCK * BLOCK + 5] ^= 1;
    write_archive("cifar-10-binary.tar.gz");
    check_refused(choose("cifar10"), "damaged: a header in the archive is wrong");
}
END_TEST

/* Puts the size into the header of the archive's first member. */
static void claim(const char *digits) {
    unsigned sum = 0;
    memcpy(archive.data + 124, digits, 12);
    memset(archive.data + 148, ' ', 8);
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)archive.data[i];
    snprintf(archive.data + 148, 8, "%06o", sum);
}

/* Base 256, which only members beyond 8 GB need. */
START_TEST(sizes_that_are_no_digits_are_refused) {
    add_records("data_batch_1.bin", 1, 0);
    claim("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    write_archive("cifar-10-binary.tar");
    check_refused(choose("cifar10"), "is no tar archive");
}
END_TEST

START_TEST(a_member_that_claims_more_than_there_is_takes_no_memory) {
    static const char *const sizes[] = {"03777777777", "04000000001"}; /* 512 MiB - 1, 512 MiB + 1 */
    static const char *const messages[] = {"damaged: the archive is cut short",
                                           "data_batch_1.bin: with those before it holds more than 536870912 bytes"};
    add_records("data_batch_1.bin", 1, 0);
    claim(sizes[_i]);
    write_archive("cifar-10-binary.tar.gz");
    long before = peak_kilobytes();
    check_refused(choose("cifar10"), messages[_i]);
    ck_assert_int_lt(peak_kilobytes() - before, 8192);
}
END_TEST

START_TEST(a_wrong_member_is_named) {
    add_cifar10();
    archive.data[2 * BLOCK] = 77; /* a label */
    write_archive("cifar-10-binary.tar.gz");
    check_refused(choose("cifar10"), "cifar-10-binary.tar.gz: data_batch_1.bin: record 0: label 77 is not below 10");
    archive.length = 0;
    add_member("data_batch_1.bin", '0', "<!DOCTYPE html>", 15);
    add_end();
    write_archive("cifar-10-binary.tar.gz");
    check_refused(choose("cifar10"), "cifar-10-binary.tar.gz: data_batch_1.bin: is a web page, not data");
}
END_TEST

START_TEST(the_version_for_python_is_named) {
    struct choice data = choose("cifar10");
    add_member("cifar-10-batches-py/data_batch_1", '0', "\x80\2}", 3);
    add_end();
    write_archive("cifar-10-python.tar.gz");
    check_refused(data, "there is cifar-10-python.tar.gz, the version for Python, which is not read");
    set_path(data, in_folder("cifar-10-python.tar.gz"));
    check_refused(data, "cifar-10-python.tar.gz: has no data_batch_1.bin, since it is the version for Python; get the "
                        "binary version");
}
END_TEST

/* --- What else is there ------------------------------------------------------------------------------------------ */

static const struct {
    const char *bytes, *message;
} wrong_files[] = {
    {"<!DOCTYPE html><html>", "is a web page, not data: download it again, from an address that gives the file itself"},
    {"\r\n <HTML><body>404</body>", "is a web page, not data"},
    {"<?xml version='1.0'?><Error>", "is an XML document, not data, such as a server's message"},
    {"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS, not the file itself: `git lfs pull`"},
    {"\x1f\x8b\x08 and more", "is gzipped twice: gunzip it once"},
    {"PK\3\4 and more", "is a zip archive: unpack it"},
    {"\x80\2}q\1(U\4data", "is a Python pickle, which is not read: get the binary version"},
    {"(dp1\nS'data'", "is a Python pickle"},
    {"\x93NUMPY\1\2 and more", "is an array of NumPy, which is not read: write it as an IDX file"},
    {"\x89PNG\r\n\x1a\n and more", "is a PNG picture, not a file of many images"},
};

START_TEST(a_file_that_is_something_else_says_what_it_is) {
    static const char *const datasets[] = {"cifar10", "mnist", "idx"};
    static const char *const names[] = {"data_batch_1.bin.gz", "train-images-idx3-ubyte.gz",
                                        "train-images-idx3-ubyte.gz"};
    const char *bytes = wrong_files[_i].bytes;
    for (int i = 0; i < COUNT(datasets); i++) {
        write_maybe_gzipped(names[i], bytes, strlen(bytes));
        check_refused(choose(datasets[i]), arena_printf(&arena, "%s: %s", names[i], wrong_files[_i].message));
    }
    write_maybe_gzipped("cifar-10-binary.tar.gz", bytes, strlen(bytes));
    ck_assert_int_eq(unlink(in_folder("data_batch_1.bin.gz")), 0);
    check_refused(choose("cifar10"), arena_printf(&arena, "cifar-10-binary.tar.gz: %s", wrong_files[_i].message));
}
END_TEST

static const struct {
    const char *dataset, *name, *message;
} instead[] = {
    {"cifar10", "cifar-10-batches-py/", "; there is cifar-10-batches-py, the version for Python, which is not read"},
    {"cifar10", "data_batch_1", "; there is data_batch_1, a Python pickle, which is not read"},
    {"cifar10", "train/", "; there is the folder train: pictures in folders are data of type images"},
    {"cifar100", "cifar-100-matlab.tar.gz",
     "; there is cifar-100-matlab.tar.gz, the version for Matlab, which is not read"},
    {"mnist", "archive.zip", "; there is archive.zip, an archive: unpack it"},
    {"mnist", "test/", "; there is the folder test: pictures in folders are data of type images"},
    {"idx", "k49-train-imgs.npz",
     "; there is k49-train-imgs.npz, arrays of NumPy, which are not read: write them as IDX files"},
    {"fashion_mnist", "x.part", "; there is x.part, a download that did not end"},
};

START_TEST(a_folder_without_the_files_says_what_is_there_instead) {
    const char *name = instead[_i].name;
    if (name[strlen(name) - 1] == '/')
        ck_assert_int_eq(mkdir(in_folder(name), 0700), 0);
    else
        disk_write_text(in_folder(name), "something");
    check_refused(choose(instead[_i].dataset), instead[_i].message);
}
END_TEST

/* A page that has as many bytes as records do. */
START_TEST(a_page_of_the_right_size_is_a_page) {
    char *bytes = arena_alloc(&arena, RECORD);
    memcpy(bytes, "<html>", 6);
    write_maybe_gzipped("data_batch_1.bin", bytes, RECORD);
    check_refused(choose("cifar10"), "data_batch_1.bin: is a web page, not data");
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("cifar archive");
    TCase *archives = suite_group(suite, "archives", 60, set_up, tear_down);
    tcase_add_loop_test(archives, cifar10_is_read_from_its_archive, 0, 2);
    tcase_add_test(archives, cifar100_is_read_from_its_archive);
    tcase_add_test(archives, files_come_before_the_archive);
    tcase_add_test(archives, a_limit_needs_no_more_members_than_it_fills);
    tcase_add_loop_test(archives, an_archive_cut_anywhere_is_refused, 0, 6);
    tcase_add_test(archives, damage_behind_the_last_member_is_found);
    tcase_add_test(archives, a_damaged_header_is_refused);
    tcase_add_test(archives, sizes_that_are_no_digits_are_refused);
    tcase_add_test(archives, a_wrong_member_is_named);
    tcase_add_test(archives, the_version_for_python_is_named);
    TCase *memory = suite_group(suite, "memory", 60, set_up, tear_down);
    tcase_set_tags(memory, "memory");
    tcase_add_loop_test(memory, a_member_that_claims_more_than_there_is_takes_no_memory, 0, 2);
    TCase *others = suite_group(suite, "others", 60, set_up, tear_down);
    tcase_add_loop_test(others, a_file_that_is_something_else_says_what_it_is, 0, COUNT(wrong_files));
    tcase_add_test(others, a_page_of_the_right_size_is_a_page);
    tcase_add_loop_test(others, a_folder_without_the_files_says_what_is_there_instead, 0, COUNT(instead));
    return suite;
}
