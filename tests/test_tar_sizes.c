/* How a tar header tells a member's size: octal digits, or a binary number as GNU tar has it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/tar_reader.h"
#include "support/folder.h"
#include "support/suite.h"

enum { BLOCK = 512, SIZE_AT = 124, SIZE_BYTES = 12 };

static struct error err;

static void set_up(void) {
    folder_enter(NULL, "tar");
}

/* An archive of "content" in a.bin and "end" in b.bin, whose size field is octal. */
static void write_archive(const char *size_of_first) {
    static char archive[6 * BLOCK];
    memset(archive, 0, sizeof archive);
    for (int member = 0; member < 2; member++) {
        char *header = archive + (ptrdiff_t)member * 2 * BLOCK;
        unsigned sum = 0;
        strcpy(header, member ? "b.bin" : "a.bin");
        memcpy(header + SIZE_AT, member ? "00000000003" : size_of_first, SIZE_BYTES);
        memset(header + 148, ' ', 8);
        header[156] = '0';
        for (int i = 0; i < BLOCK; i++)
            sum += (unsigned char)header[i];
        snprintf(header + 148, 8, "%06o", sum);
        strcpy(header + BLOCK, member ? "end" : "content");
    }
    disk_write("a.tar", archive, sizeof archive);
}

static const struct {
    char size[SIZE_BYTES + 1];
} good[] = {
    {"00000000007"},
    {"         7 "},
    {"\x80\0\0\0\0\0\0\0\0\0\0\7"},
};

START_TEST(a_size_is_read_in_octal_digits_and_as_a_binary_number) {
    struct tar_reader tar;
    bool found;
    write_archive(good[_i].size);
    ck_assert_msg(tar_open(&tar, "a.tar", &err), "%s", err.text);
    ck_assert_msg(tar_next(&tar, &found, &err) && found, "%s", err.text);
    ck_assert_uint_eq(tar.size, 7);
    uint8_t *bytes = tar_read(&tar, &err);
    ck_assert_mem_eq(bytes, "content", 7);
    free(bytes);
    ck_assert_msg(tar_next(&tar, &found, &err) && found, "%s", err.text);
    ck_assert_str_eq(tar.name, "b.bin");
    ck_assert(tar_next(&tar, &found, &err) && !found);
    tar_close(&tar);
}
END_TEST

START_TEST(a_binary_size_may_be_beyond_octal_digits) {
    struct tar_reader tar;
    bool found;
    write_archive("\x80\0\0\0\0\0\0\3\0\0\0\0"); /* 12 GB */
    ck_assert(tar_open(&tar, "a.tar", &err) && tar_next(&tar, &found, &err) && found);
    ck_assert_uint_eq(tar.size, UINT64_C(3) << 32);
    ck_assert(!tar_next(&tar, &found, &err)); /* which the file has not */
    ck_assert_str_eq(err.text, "a.tar: damaged: the archive is cut short");
    tar_close(&tar);
}
END_TEST

static const struct {
    char size[SIZE_BYTES + 1];
} bad[] = {
    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf9"}, /* -7 */
    {"\x80\0\0\1\0\0\0\0\0\0\0\7"},
    {"\x80\0\0\0\xff\0\0\0\0\0\0\7"},
    {"\x80\x7f\0\0\0\0\0\0\0\0\0\7"},
    {"\x81\0\0\0\0\0\0\0\0\0\0\7"},
};

START_TEST(a_size_that_no_file_has_is_damage) {
    struct tar_reader tar;
    bool found;
    write_archive(bad[_i].size);
    ck_assert(tar_open(&tar, "a.tar", &err));
    ck_assert(!tar_next(&tar, &found, &err));
    ck_assert_str_eq(err.text, "a.tar: is no tar archive");
    tar_close(&tar);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("tar sizes");
    TCase *sizes = suite_group(suite, "sizes", 30, set_up, folder_leave);
    tcase_add_loop_test(sizes, a_size_is_read_in_octal_digits_and_as_a_binary_number, 0, COUNT(good));
    tcase_add_test(sizes, a_binary_size_may_be_beyond_octal_digits);
    tcase_add_loop_test(sizes, a_size_that_no_file_has_is_damage, 0, COUNT(bad));
    return suite;
}
