/* Files of tensors that are damaged, or promise more than they hold, or hold more than they promise. */
#define _GNU_SOURCE /* memmem */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <xxhash.h>
#include <zlib.h>

#include "support/safetensors_file.h"
#include "support/suite.h"

/* --- Damage ------------------------------------------------------------------------------------------------------ */

static void expect_every_truncation_refused(const struct bytes *bytes) {
    for (size_t count = 0; count < bytes->count; count++) {
        disk_write(path, bytes->data, count);
        expect_refused();
        ck_assert_msg(strstr(file_error.text, ": damaged: "), "%zu bytes: %s", count, file_error.text);
    }
}

START_TEST(every_truncation_is_refused) {
    write_small();
    struct bytes zipped = load_bytes(path), plain = gunzipped(&zipped);
    expect_every_truncation_refused(&zipped);
    expect_every_truncation_refused(&plain);
}
END_TEST

START_TEST(messages_of_truncation) {
    struct bytes bytes = plain_file("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
    disk_write(path, bytes.data, bytes.count - 1);
    expect_refused();
    expect_message("damaged: tensor \"w\": the file ends within its data");
    disk_write(path, bytes.data, bytes.count - 9);
    expect_refused();
    expect_message("damaged: the file ends within the header");
    disk_write(path, bytes.data, 7);
    expect_refused();
    expect_message("damaged: the file ends within the header length");
    write_small();
    struct bytes zipped = load_bytes(path);
    disk_write(path, zipped.data, zipped.count - 1);
    expect_refused();
    expect_message("damaged: the gzip stream is cut short");
}
END_TEST

/* Saves the bytes with one bit changed, and tells whether that was refused. */
static bool flip_refused(struct bytes *bytes, size_t byte, int bit) {
    struct tensor_file file;
    bytes->data[byte] ^= (unsigned char)(1 << bit);
    disk_write(path, bytes->data, bytes->count);
    bytes->data[byte] ^= (unsigned char)(1 << bit);
    if (!tensor_file_read(&file, path, &file_error)) {
        ck_assert_msg(strncmp(file_error.text, path, strlen(path)) == 0, "no path in \"%s\"", file_error.text);
        return true;
    }
    tensor_file_free(&file);
    return false;
}

/* What is not refused must give the same content, but for the name of the checksum, which becomes another text's: one
 * escape in JSON has two forms. */
START_TEST(flips_in_a_plain_file) {
    write_small();
    struct bytes zipped = load_bytes(path), plain = gunzipped(&zipped);
    size_t name = (size_t)((unsigned char *)memmem(plain.data, plain.count, "xxh3_64", 7) - plain.data);
    int nameless = 0;
    for (size_t i = 0; i < plain.count; i++)
        for (int bit = 0; bit < 8; bit++) {
            if (flip_refused(&plain, i, bit))
                continue;
            if (i >= name && i < name + 7)
                nameless++;
            else
                expect_small();
        }
    ck_assert_int_ge(nameless, 30);
}
END_TEST

/* What is not refused must give the same content: some bits do not matter, such as the time in the gzip header and
 * those that fill up the last byte before the checksum. */
START_TEST(flips_in_a_gzipped_file) {
    write_small();
    struct bytes zipped = load_bytes(path);
    for (size_t i = 0; i < zipped.count; i++)
        for (int bit = 0; bit < 8; bit++) {
            bool refused = flip_refused(&zipped, i, bit);
            if (i < 3 || i >= zipped.count - 8) /* the magic number; the checksum and length */
                ck_assert(refused);
            if (!refused)
                expect_small();
        }
}
END_TEST

START_TEST(checksum_and_trailing_bytes) {
    write_small();
    struct bytes zipped = load_bytes(path), plain = gunzipped(&zipped);
    zipped.data[zipped.count - 8] ^= 1;
    disk_write(path, zipped.data, zipped.count);
    expect_refused();
    expect_message("damaged: the gzip stream: incorrect data check");
    zipped.data[zipped.count - 8] ^= 1;
    zipped.data[zipped.count] = 0;
    disk_write(path, zipped.data, zipped.count + 1);
    expect_refused();
    expect_message("damaged: bytes follow the gzip stream");
    plain.data[plain.count] = 0;
    disk_write(path, plain.data, plain.count + 1);
    expect_refused();
    expect_message("damaged: more bytes follow than its header tells of");
}
END_TEST

START_TEST(missing_file_and_folder) {
    struct tensor_file file;
    ck_assert(!tensor_file_read(&file, path, &file_error));
    expect_message("No such file or directory");
    strcpy(path, folder);
    ck_assert(!tensor_file_read(&file, path, &file_error));
    expect_message("is a directory, not a file");
}
END_TEST

/* --- Bad headers ------------------------------------------------------------------------------------------------- */

#define W "{\"w\":{\"dtype\":\"F32\","
#define DATA_W "damaged: tensor \"w\": "

/* Each header is followed by 8 bytes of data. A message that ends in '*' stands for its beginning, since the rest is
 * the JSON library's. */
static const struct {
    const char *header, *message;
} bad_headers[] = {
    {"", "damaged: the header is not JSON: *"},
    {"        ", "damaged: the header is not JSON: *"},
    {"not JSON", "damaged: the header is not JSON: *"},
    {"{\"w\":", "damaged: the header is not JSON: *"},
    {"{} {}", "damaged: the header is not JSON: *"},
    {"{\"\xff\":1}", "damaged: the header is not JSON: *"},
    {"{\"a\\u0000b\":1}", "damaged: the header is not JSON: *"},
    {"[]", "damaged: the header is not a JSON object"},
    {"{}", "damaged: more bytes follow than its header tells of"},
    {"{\"__metadata__\":[]}", "damaged: __metadata__ is not an object"},
    {"{\"__metadata__\":{\"a\":\"\",\"b\":1}}", "damaged: __metadata__ \"b\" is not a text"},
    {"{\"w\":3}", DATA_W "its entry is not an object"},
    {"{\"w\":{}}", DATA_W "its dtype is missing or not a text"},
    {"{\"w\":{\"dtype\":32}}", DATA_W "its dtype is missing or not a text"},
    {"{\"\\n\\u007f\":3}", "damaged: tensor \"??\": its entry is not an object"},
    {W "\"data_offsets\":[0,8]}}", DATA_W "its shape is missing or not a list"},
    {W "\"shape\":2}}", DATA_W "its shape is missing or not a list"},
    {W "\"shape\":[1,1,1,1,1,1,1,1,2]}}", "tensor \"w\": a shape of 9 dimensions is not supported, at most 8 are"},
    {W "\"shape\":[-2]}}", DATA_W "its shape has an element that is not a whole number from 0 on"},
    {W "\"shape\":[2.0]}}", DATA_W "its shape has an element that is not a whole number from 0 on"},
    {W "\"shape\":[\"2\"]}}", DATA_W "its shape has an element that is not a whole number from 0 on"},
    {W "\"shape\":[99999999999999999999]}}", "damaged: the header is not JSON: *"},
    {W "\"shape\":[2]}}", DATA_W "its data_offsets are missing or not two whole numbers"},
    {W "\"shape\":[2],\"data_offsets\":[0]}}", DATA_W "its data_offsets are missing or not two whole numbers"},
    {W "\"shape\":[2],\"data_offsets\":[0,8,8]}}", DATA_W "its data_offsets are missing or not two whole numbers"},
    {W "\"shape\":[2],\"data_offsets\":[0,8.0]}}", DATA_W "its data_offsets are missing or not two whole numbers"},
    {W "\"shape\":[2],\"data_offsets\":[-8,0]}}", DATA_W "its data_offsets are negative or in the wrong order"},
    {W "\"shape\":[2],\"data_offsets\":[8,0]}}", DATA_W "its data_offsets are negative or in the wrong order"},
    {W "\"shape\":[2],\"data_offsets\":[-9223372036854775808,9223372036854775807]}}",
     DATA_W "its data_offsets are negative or in the wrong order"},
    {W "\"shape\":[3],\"data_offsets\":[0,8]}}", DATA_W "its shape needs 12 bytes, its data_offsets span 8"},
    {W "\"shape\":[],\"data_offsets\":[0,8]}}", DATA_W "its shape needs 4 bytes, its data_offsets span 8"},
    {W "\"shape\":[0],\"data_offsets\":[0,8]}}", DATA_W "its shape needs 0 bytes, its data_offsets span 8"},
    {W "\"shape\":[4611686018427387906],\"data_offsets\":[0,8]}}", DATA_W "its shape is too large"},
    {W "\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", DATA_W "its shape is too large"},
    {W "\"shape\":[0,4294967296,4294967296],\"data_offsets\":[0,0]}}", DATA_W "its shape is too large"},
    {W "\"shape\":[4294967296,4294967296,0],\"data_offsets\":[0,0]}}", DATA_W "its shape is too large"},
    {W "\"shape\":[3],\"data_offsets\":[0,12]}}", DATA_W "the file ends within its data"},
    {W "\"shape\":[2000000000000000000],\"data_offsets\":[0,8000000000000000000]}}",
     DATA_W "the file ends within its data"},
    {W "\"shape\":[1],\"data_offsets\":[0,4]}}", "damaged: more bytes follow than its header tells of"},
    {W "\"shape\":[1],\"data_offsets\":[4,8]}}", DATA_W "its data begins at 4, but the data before it ends at 0"},
    {W "\"shape\":[1],\"data_offsets\":[0,4]},\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     "damaged: the header is not JSON: duplicate object key near '\"w\"'"},
    {W "\"shape\":[2],\"data_offsets\":[0,8]},\"v\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     "damaged: tensor \"v\": its data begins at 4, but the data before it ends at 8"},
    {W "\"shape\":[1],\"data_offsets\":[0,4]},\"v\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     "damaged: tensor \"v\": its data begins at 0, but the data before it ends at 4"},
    {W "\"shape\":[1],\"data_offsets\":[5,9]},\"v\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     DATA_W "its data begins at 5, but the data before it ends at 4"},
    {W "\"shape\":[2],\"data_offsets\":[0,8]},\"v\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}}",
     "damaged: tensor \"v\": its data begins at 4, but the data before it ends at 8"},
};

static void expect_message_or_beginning(const char *expected) {
    size_t length = strlen(expected);
    if (expected[length - 1] != '*') {
        expect_message(expected);
        return;
    }
    const char *message = file_error.text + strlen(path) + 2;
    ck_assert_msg(strncmp(message, expected, length - 1) == 0, "\"%s\" instead of \"%s\"", message, expected);
    ck_assert_uint_gt(strlen(message), length - 1);
}

START_TEST(bad_header) {
    struct bytes bytes = plain_file(bad_headers[_i].header, 8);
    disk_write(path, bytes.data, bytes.count);
    expect_refused();
    expect_message_or_beginning(bad_headers[_i].message);
}
END_TEST

START_TEST(deep_nesting) {
    enum { DEPTH = 1000000 };
    static unsigned char bytes[8 + DEPTH];
    uint64_t length = DEPTH;
    memset(bytes, '[', sizeof bytes);
    memcpy(bytes, &length, 8);
    disk_write(path, bytes, sizeof bytes);
    expect_refused();
    expect_message_or_beginning("damaged: the header is not JSON: maximum parsing depth reached*");
}
END_TEST

START_TEST(huge_header_length) {
    struct bytes bytes = plain_file("{}", 0);
    memset(bytes.data, 0xff, 8);
    disk_write(path, bytes.data, bytes.count);
    expect_refused();
    expect_message("damaged: a header length of 18446744073709551615 bytes, at most 16777216 are allowed; "
                   "is it a safetensors file?");
    memcpy(bytes.data, "\1\0\0\1\0\0\0\0", 8);
    disk_write(path, bytes.data, bytes.count);
    expect_refused();
    expect_message("damaged: a header length of 16777217 bytes, at most 16777216 are allowed; "
                   "is it a safetensors file?");
}
END_TEST

/* --- Sizes ------------------------------------------------------------------------------------------------------- */

static long peak_kilobytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Refused at once: with no more than 2 MB of memory and 0.05 s of processor time. */
static void expect_refused_cheaply(void) {
    long before = peak_kilobytes();
    clock_t start = clock();
    expect_refused();
    ck_assert_int_lt(clock() - start, CLOCKS_PER_SEC / 20);
    ck_assert_int_lt(peak_kilobytes() - before, 2048);
}

START_TEST(gzip_bomb) {
    static unsigned char zeros[MEGABYTE];
    struct bytes start = plain_file(W "\"shape\":[4],\"data_offsets\":[0,16]}}", 16);
    gzFile bomb = gzopen(path, "wb9");
    gzwrite(bomb, start.data, (unsigned)start.count);
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(gzwrite(bomb, zeros, sizeof zeros), sizeof zeros);
    ck_assert_int_eq(gzclose(bomb), Z_OK);
    expect_refused_cheaply();
    expect_message("damaged: more bytes follow than its header tells of");
}
END_TEST

START_TEST(lying_sizes_take_no_memory) {
    struct bytes bytes = plain_file(W "\"shape\":[300000000],\"data_offsets\":[0,1200000000]}}", 8);
    disk_write(path, bytes.data, bytes.count);
    expect_refused_cheaply();
    expect_message(DATA_W "the file ends within its data");
    bytes = plain_file("{}", 0);
    memcpy(bytes.data, "\0\0\0\1\0\0\0\0", 8);
    disk_write(path, bytes.data, bytes.count);
    expect_refused_cheaply();
    expect_message("damaged: the file ends within the header");
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("damaged safetensors");
    TCase *damage = suite_group(suite, "damage", 60, safetensors_set_up, safetensors_tear_down);
    tcase_add_test(damage, every_truncation_is_refused);
    tcase_add_test(damage, messages_of_truncation);
    tcase_add_test(damage, flips_in_a_plain_file);
    tcase_add_test(damage, flips_in_a_gzipped_file);
    tcase_add_test(damage, checksum_and_trailing_bytes);
    tcase_add_test(damage, missing_file_and_folder);
    tcase_add_test(damage, deep_nesting);
    tcase_add_test(damage, huge_header_length);
    tcase_add_test(damage, gzip_bomb);
    tcase_add_test(damage, lying_sizes_take_no_memory);
    tcase_add_loop_test(damage, bad_header, 0, COUNT(bad_headers));
    return suite;
}
