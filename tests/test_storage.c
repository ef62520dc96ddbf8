/* Files as they are read and written below the formats: gzip, safetensors' values in any order, tables. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "runner.h"
#include "storage/csv.h"
#include "storage/gzip_reader.h"
#include "storage/gzip_writer.h"
#include "storage/json_memory.h"
#include "support/disk.h"
#include "support/tensor_file.h"

enum { BYTES = 200000 };

static char folder[64], path[128];
static unsigned char content[BYTES];
static struct error err;

static void make_folder(void) {
    struct rng rng = rng_stream(1, RNG_TEST, 0, 0);
    strcpy(folder, "/tmp/test_storage.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    for (int i = 0; i < BYTES; i++)
        content[i] = (unsigned char)rng_below(&rng, i < BYTES / 2 ? 4 : 256);
}

static void remove_folder(void) {
    disk_remove(folder);
}

/* Appends a member to the file. */
static void add_member(const unsigned char *bytes, size_t count) {
    gzFile file = gzopen(path, "ab");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(gzwrite(file, bytes, (unsigned)count), (int)count);
    ck_assert_int_eq(gzclose(file), Z_OK);
}

static void add_bytes(const char *bytes, size_t count) {
    FILE *file = fopen(path, "ab");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

static struct gzip_reader *open_reader(void) {
    struct gzip_reader *reader = gzip_reader_open(path, &err);
    ck_assert_msg(reader != NULL, "%s", err.text);
    return reader;
}

/* Reads all of the content in steps of that many bytes, and finds the end behind it. */
static void expect_content(struct gzip_reader *reader, size_t step) {
    static unsigned char bytes[BYTES + 1];
    size_t total = 0, got;
    do {
        size_t wanted = total + step < sizeof bytes ? step : sizeof bytes - total;
        ck_assert_msg(gzip_reader_read(reader, bytes + total, wanted, &got, &err), "%s", err.text);
        total += got;
        ck_assert(got == wanted || total == BYTES);
    } while (total < BYTES);
    ck_assert_uint_eq(total, BYTES);
    ck_assert_mem_eq(bytes, content, BYTES);
    ck_assert(gzip_reader_read(reader, bytes, 1, &got, &err));
    ck_assert_uint_eq(got, 0);
}

/* --- Reading ----------------------------------------------------------------------------------------------------- */

static const size_t steps[] = {1, 7, 4096, 65536, 65537, BYTES, BYTES + 1};

START_TEST(plain_and_gzipped_files_give_the_same_bytes) {
    for (int gzipped = 0; gzipped < 2; gzipped++) {
        if (gzipped) {
            unlink(path);
            add_member(content, BYTES);
        } else {
            disk_write(path, content, BYTES);
        }
        struct gzip_reader *reader = open_reader();
        ck_assert_int_eq(gzip_reader_is_gzipped(reader), gzipped);
        expect_content(reader, steps[_i]);
        ck_assert(gzip_reader_expect_end(reader, &err));
        ck_assert(gzip_reader_rewind(reader, &err));
        expect_content(reader, steps[_i]);
        gzip_reader_close(reader);
    }
}
END_TEST

START_TEST(a_reader_goes_back_from_anywhere) {
    unsigned char bytes[70000];
    size_t got;
    add_member(content, BYTES);
    struct gzip_reader *reader = open_reader();
    for (size_t count = 0; count <= sizeof bytes; count += 10000) {
        ck_assert(gzip_reader_read(reader, bytes, count, &got, &err));
        ck_assert(gzip_reader_rewind(reader, &err));
    }
    expect_content(reader, BYTES);
    gzip_reader_close(reader);
}
END_TEST

START_TEST(members_follow_each_other) {
    add_member(content, 1);
    add_member(content + 1, 0);
    add_member(content + 1, 100000);
    add_member(content + 100001, BYTES - 100001);
    struct gzip_reader *reader = open_reader();
    expect_content(reader, 1000);
    ck_assert(gzip_reader_expect_end(reader, &err));
    gzip_reader_close(reader);
}
END_TEST

static const struct {
    size_t count;
    const char *bytes;
} tails[] = {{1, "\x1f"}, {1, "\0"}, {3, "\x1f\x8a\x08"}, {512, (const char[512]){0}}};

/* Whoever is strict asks for the end; others read what there is. */
START_TEST(what_is_no_member_is_refused_where_the_end_is_asked_for) {
    add_member(content, BYTES);
    add_bytes(tails[_i].bytes, tails[_i].count);
    struct gzip_reader *reader = open_reader();
    expect_content(reader, 65536);
    ck_assert(!gzip_reader_expect_end(reader, &err));
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
    ck_assert_ptr_nonnull(strstr(err.text, "/file: damaged: bytes follow the gzip stream"));
    gzip_reader_close(reader);
}
END_TEST

START_TEST(a_stream_that_breaks_off_is_damaged) {
    static unsigned char bytes[BYTES];
    struct stat status;
    size_t got;
    add_member(content, BYTES);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(truncate(path, status.st_size - 1), 0);
    struct gzip_reader *reader = open_reader();
    bool good = gzip_reader_read(reader, bytes, BYTES, &got, &err) && gzip_reader_read(reader, bytes, 1, &got, &err);
    ck_assert(!good);
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
    ck_assert_ptr_nonnull(strstr(err.text, "/file: damaged: the gzip stream is cut short"));
    gzip_reader_close(reader);
}
END_TEST

START_TEST(a_file_cannot_hold_more_than_deflate_makes_of_it) {
    static const unsigned char zeros[1 << 20];
    add_member(zeros, sizeof zeros);
    struct gzip_reader *reader = open_reader();
    ck_assert_uint_ge(gzip_reader_most(reader), sizeof zeros);
    ck_assert_uint_lt(gzip_reader_most(reader), sizeof zeros * 11 / 10);
    gzip_reader_close(reader);
    disk_write(path, content, 1000);
    reader = open_reader();
    ck_assert_uint_eq(gzip_reader_most(reader), 1000);
    gzip_reader_close(reader);
}
END_TEST

START_TEST(what_is_no_file_is_not_opened) {
    ck_assert_ptr_null(gzip_reader_open(path, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/file: No such file or directory"));
    ck_assert_ptr_null(gzip_reader_open(folder, &err));
    ck_assert_ptr_nonnull(strstr(err.text, ": is a directory, not a file"));
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_ptr_null(gzip_reader_open(path, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/file: is not a regular file"));
}
END_TEST

/* --- Writing ----------------------------------------------------------------------------------------------------- */

START_TEST(what_was_written_in_pieces_is_one_stream) {
    struct gzip_writer writer;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert(gzip_writer_open(&writer, fd, path, &err));
    for (size_t at = 0; at < BYTES; at += steps[_i]) {
        size_t count = at + steps[_i] < BYTES ? steps[_i] : BYTES - at;
        ck_assert(gzip_writer_add(&writer, content + at, count, &err));
    }
    ck_assert(gzip_writer_finish(&writer, &err));
    gzip_writer_close(&writer);
    close(fd);
    struct gzip_reader *reader = open_reader();
    expect_content(reader, BYTES);
    ck_assert(gzip_reader_expect_end(reader, &err));
    gzip_reader_close(reader);
}
END_TEST

/* --- Tensors ----------------------------------------------------------------------------------------------------- */

struct taken {
    real *values;
    size_t next;
};

static void take(void *context, size_t first, size_t count, const real *values) {
    struct taken *taken = context;
    ck_assert_uint_eq(first, taken->next);
    ck_assert_uint_le(count, TENSOR_PIECE);
    memcpy(taken->values + first, values, count * sizeof *values);
    taken->next += count;
}

START_TEST(tensors_can_be_read_in_any_order) {
    enum { LARGE = 3 * TENSOR_PIECE + 1, SMALL = 5 };
    static real large[LARGE], found[LARGE];
    static const real small[] = {1, 2, 3, 4, 5};
    static const int order[] = {2, 2, 0, 1, 2, 1, 0, 0};
    for (int i = 0; i < LARGE; i++)
        large[i] = (real)(i % 1000);
    const struct stored_tensor tensors[] = {{"a", 1, {LARGE}, large}, {"none", 1, {0}, NULL}, {"b", 1, {SMALL}, small}};
    struct safetensors file;
    ck_assert(tensor_file_write(path, tensors, 3, NULL, 0, &err));
    ck_assert(safetensors_open(&file, path, &err));
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const struct stored_tensor *expected = &tensors[order[i]];
        struct taken taken = {found, 0};
        ck_assert_msg(safetensors_read(&file, order[i], take, &taken, &err), "%s", err.text);
        ck_assert_uint_eq(taken.next, (size_t)expected->shape[0]);
        if (taken.next)
            ck_assert_mem_eq(found, expected->data, taken.next * sizeof *found);
    }
    safetensors_close(&file);
}
END_TEST

START_TEST(json_larger_than_the_machine_is_not_read) {
    ck_assert(json_memory_suffices(1000));
    ck_assert(!json_memory_suffices(mem_available("") / 2));
}
END_TEST

/* --- Tables ------------------------------------------------------------------------------------------------------ */

/* The number of the standard input, where that is closed. */
START_TEST(descriptor_zero_is_a_table_like_any_other) {
    struct csv csv;
    close(STDIN_FILENO);
    ck_assert_msg(csv_open(&csv, path, "iteration,x", 0, &err), "%s", err.text);
    ck_assert_int_eq(csv.fd, STDIN_FILENO);
    ck_assert(csv_row(&csv, "1,2", &err));
    csv_close(&csv);
    ck_assert_int_eq(fcntl(STDIN_FILENO, F_GETFD), -1);
    csv_close(&csv);
    char *text = disk_read(path, NULL);
    ck_assert_str_eq(text, "iteration,x\n1,2\n");
    free(text);
}
END_TEST

Suite *test_suite(void) {
    enum { STEPS = sizeof steps / sizeof *steps, TAILS = sizeof tails / sizeof *tails };
    Suite *suite = suite_create("storage");
    TCase *group = tcase_create("files");
    tcase_set_timeout(group, 60);
    tcase_add_checked_fixture(group, make_folder, remove_folder);
    tcase_add_loop_test(group, plain_and_gzipped_files_give_the_same_bytes, 0, STEPS);
    tcase_add_test(group, a_reader_goes_back_from_anywhere);
    tcase_add_test(group, members_follow_each_other);
    tcase_add_loop_test(group, what_is_no_member_is_refused_where_the_end_is_asked_for, 0, TAILS);
    tcase_add_test(group, a_stream_that_breaks_off_is_damaged);
    tcase_add_test(group, a_file_cannot_hold_more_than_deflate_makes_of_it);
    tcase_add_test(group, what_is_no_file_is_not_opened);
    tcase_add_loop_test(group, what_was_written_in_pieces_is_one_stream, 0, STEPS);
    tcase_add_test(group, tensors_can_be_read_in_any_order);
    tcase_add_test(group, json_larger_than_the_machine_is_not_read);
    tcase_add_test(group, descriptor_zero_is_a_table_like_any_other);
    suite_add_tcase(suite, group);
    return suite;
}
