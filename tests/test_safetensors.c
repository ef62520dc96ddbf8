/* Files of tensors: what is written can be read, decoded without the reader too; files by others; writing that fails.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <jansson.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>

#include "base/rng.h"
#include "support/compare.h"
#include "support/safetensors_file.h"
#include "support/suite.h"

enum { UNPRIVILEGED_USER = 65534 };

/* What zlib's deflate does wrong. */
static enum { NOTHING, AN_ERROR, INPUT_LEFT } mistake;

/* Stands before zlib's own, in this program. */
int deflate(z_stream *stream, int flush) {
    int (*own)(z_stream *, int);
    *(void **)&own = dlsym(RTLD_NEXT, "deflate");
    unsigned left = mistake == INPUT_LEFT;
    if (mistake == AN_ERROR)
        return Z_STREAM_ERROR;
    stream->avail_in -= left;
    int result = own(stream, flush);
    stream->avail_in += left;
    return result;
}

/* --- What is written can be read --------------------------------------------------------------------------------- */

START_TEST(round_trip) {
    write_small();
    expect_small();
    ck_assert(!disk_exists(temporary));
}
END_TEST

START_TEST(round_trip_without_anything) {
    struct tensor_file file;
    ck_assert(tensor_file_write(path, NULL, 0, NULL, 0, &file_error));
    ck_assert_msg(tensor_file_read(&file, path, &file_error), "%s", file_error.text);
    ck_assert_int_eq(file.tensor_count, 0);
    ck_assert_int_eq(file.text_count, 0);
    tensor_file_free(&file);
}
END_TEST

START_TEST(round_trip_without_texts) {
    struct tensor_file file;
    ck_assert(tensor_file_write(path, tensors, SMALL_TENSORS, NULL, 0, &file_error));
    ck_assert(tensor_file_read(&file, path, &file_error));
    ck_assert_int_eq(file.tensor_count, SMALL_TENSORS);
    ck_assert_int_eq(file.text_count, 0);
    tensor_file_free(&file);
}
END_TEST

/* Larger than the buffers, with sizes that no buffer's size divides. */
START_TEST(round_trip_of_megabytes) {
    enum { FIRST = 700001, SECOND = 99991 };
    real *values = malloc((FIRST + SECOND) * sizeof *values);
    struct rng rng = rng_stream(1, RNG_TEST, 0, 0);
    for (int i = 0; i < FIRST + SECOND; i++)
        values[i] = (real)rng_normal(&rng);
    struct stored_tensor large[] = {{"a", 1, {FIRST}, values}, {"b", 1, {SECOND}, values + FIRST}};
    struct tensor_file file;
    ck_assert(tensor_file_write(path, large, 2, NULL, 0, &file_error));
    ck_assert_msg(tensor_file_read(&file, path, &file_error), "%s", file_error.text);
    expect_tensor(&file.tensors[0], &large[0]);
    expect_tensor(&file.tensors[1], &large[1]);
    tensor_file_free(&file);
    free(values);
}
END_TEST

START_TEST(zeros_take_no_room) {
    enum { VALUES = 1500000 };
    real *values = calloc(VALUES, sizeof *values);
    struct rng rng = rng_stream(1, RNG_TEST, 0, 0);
    for (int i = 0; i < VALUES / 2; i++)
        values[i] = (real)rng_normal(&rng);
    struct stored_tensor large = {"large", 1, {VALUES}, values};
    struct stat status;
    ck_assert(tensor_file_write(path, &large, 1, NULL, 0, &file_error));
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_lt(status.st_size, VALUES / 2 * (int)sizeof *values);
    free(values);
}
END_TEST

START_TEST(plain_file_is_read_too) {
    write_small();
    struct bytes zipped = load_bytes(path), plain = gunzipped(&zipped);
    disk_write(path, plain.data, plain.count);
    expect_small();
}
END_TEST

START_TEST(same_content_same_bytes) {
    write_small();
    struct bytes first = load_bytes(path);
    strcpy(path, in_folder("another_name.gz"));
    write_small();
    struct bytes second = load_bytes(path);
    ck_assert_uint_eq(first.count, second.count);
    ck_assert_mem_eq(first.data, second.data, first.count);
}
END_TEST

START_TEST(old_file_is_replaced) {
    disk_write(path, "old", 3);
    disk_write(temporary, "left by a crash", 15);
    write_small();
    expect_small();
    ck_assert(!disk_exists(temporary));
}
END_TEST

/* --- What is written, decoded without the reader ----------------------------------------------------------------- */

static void expect_entry(const json_t *header, const unsigned char *data, const struct stored_tensor *tensor,
                         json_int_t *begin) {
    const json_t *entry = json_object_get(header, tensor->name), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t bytes = value_count(tensor) * sizeof(real);
    ck_assert_str_eq(json_string_value(json_object_get(entry, "dtype")), REAL_NAME);
    ck_assert_int_eq((int)json_array_size(shape), tensor->dims);
    for (int d = 0; d < tensor->dims; d++)
        ck_assert_int_eq(json_integer_value(json_array_get(shape, (size_t)d)), tensor->shape[d]);
    ck_assert_int_eq(json_integer_value(json_array_get(offsets, 0)), *begin);
    ck_assert_int_eq(json_integer_value(json_array_get(offsets, 1)), *begin + (json_int_t)bytes);
    if (bytes > 0)
        ck_assert_mem_eq(data + *begin, tensor->data, bytes);
    *begin += (json_int_t)bytes;
}

START_TEST(written_header_and_data) {
    write_small();
    struct bytes zipped = load_bytes(path), plain = gunzipped(&zipped);
    uint64_t length = 0;
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)plain.data[i] << (8 * i);
    ck_assert_uint_eq(length % 8, 0);
    ck_assert_mem_eq(plain.data + 8, "{\"__metadata__\":{\"spec\":", 24);

    json_t *header = json_loadb((const char *)plain.data + 8, length, JSON_REJECT_DUPLICATES, NULL);
    json_t *metadata = json_object_get(header, "__metadata__");
    ck_assert_uint_eq(json_object_size(header), SMALL_TENSORS + 1);
    for (int i = 0; i < SMALL_TEXTS; i++)
        ck_assert_str_eq(json_string_value(json_object_get(metadata, texts[i].key)), texts[i].value);
    json_int_t begin = 0;
    for (int i = 0; i < SMALL_TENSORS; i++)
        expect_entry(header, plain.data + 8 + length, &tensors[i], &begin);
    ck_assert_uint_eq(plain.count, 8 + length + (uint64_t)begin);
    json_decref(header);
}
END_TEST

/* Every byte, so that a change of the format does not go unnoticed. */
START_TEST(written_bytes) {
    const float values[] = {1.0f, -2.0f};
    const real as_real[] = {1, -2};
    struct stored_tensor tensor = {"w", 1, {2}, as_real};
    struct stored_text text = {"k", "v\n"};
    ck_assert(tensor_file_write(path, &tensor, 1, &text, 1, &file_error));
    struct bytes zipped = load_bytes(path), plain = gunzipped(&zipped);
    static const char summed[] = "w\0\2\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\xc0k\0v\n"; /* its last NUL counts */
    char header[256];
    int length = snprintf(header, sizeof header,
                          "{\"__metadata__\":{\"k\":\"v\\n\",\"xxh3_64\":\"%016llx\"},"
                          "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                          (unsigned long long)XXH3_64bits(summed, sizeof summed));
    while (length % 8)
        header[length++] = ' ';
    header[length] = '\0';
    static const unsigned char gzip_header[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3};
    static const unsigned char data[] = {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0};
    ck_assert_mem_eq(zipped.data, gzip_header, sizeof gzip_header);
    ck_assert_uint_eq(plain.count, 8 + strlen(header) + sizeof values);
    ck_assert_uint_eq(plain.data[0], strlen(header));
    ck_assert_mem_eq(plain.data + 1, "\0\0\0\0\0\0\0", 7);
    ck_assert_mem_eq(plain.data + 8, header, strlen(header));
    ck_assert_mem_eq(plain.data + 8 + strlen(header), data, sizeof data);
}
END_TEST

/* --- Files by others --------------------------------------------------------------------------------------------- */

START_TEST(other_order_and_types) {
    static const char header[] = " {\"b\": {\"data_offsets\": [4, 12], \"dtype\": \"F64\", \"shape\": [1]},\n"
                                 "\"none\": {\"data_offsets\": [4, 4], \"dtype\": \"F64\", \"shape\": [3, 0]},\n"
                                 "\"a\": {\"data_offsets\": [0, 4], \"dtype\": \"F32\", \"shape\": [], \"more\": 1}}";
    struct bytes bytes = plain_file(header, 12);
    struct tensor_file file;
    float first = 1.5f;
    double second = -0.375;
    memcpy(bytes.data + bytes.count - 12, &first, sizeof first);
    memcpy(bytes.data + bytes.count - 8, &second, sizeof second);
    disk_write(path, bytes.data, bytes.count);
    ck_assert_msg(tensor_file_read(&file, path, &file_error), "%s", file_error.text);
    ck_assert_int_eq(file.tensor_count, 3);
    ck_assert_double_eq((double)*tensor_file_find(&file, "a")->data, 1.5);
    ck_assert_double_eq((double)*tensor_file_find(&file, "b")->data, -0.375);
    ck_assert_int_eq(tensor_file_find(&file, "none")->shape[0], 3);
    tensor_file_free(&file);
}
END_TEST

/* The header length 0x8b1f makes a plain file begin like a gzip stream. */
START_TEST(plain_file_that_begins_like_gzip) {
    enum { LENGTH = 0x8b1f };
    static unsigned char bytes[8 + LENGTH] = {0x1f, 0x8b};
    struct tensor_file file;
    memset(bytes + 8, ' ', LENGTH);
    memcpy(bytes + 8, "{}", 2);
    disk_write(path, bytes, sizeof bytes);
    ck_assert_msg(tensor_file_read(&file, path, &file_error), "%s", file_error.text);
    tensor_file_free(&file);
}
END_TEST

/* --- Writing that fails ------------------------------------------------------------------------------------------ */

static bool try_write(void) {
    return tensor_file_write(path, tensors, SMALL_TENSORS, texts, SMALL_TEXTS, &file_error);
}

static void expect_untouched(void) {
    struct bytes bytes = load_bytes(path);
    ck_assert_uint_eq(bytes.count, 3);
    ck_assert_mem_eq(bytes.data, "old", 3);
    ck_assert(!disk_exists(temporary));
}

START_TEST(write_into_missing_folder) {
    strcpy(path, in_folder("missing/x.gz"));
    ck_assert(!try_write());
    expect_message("cannot be written: No such file or directory");
}
END_TEST

START_TEST(write_into_read_only_folder) {
    disk_write(path, "old", 3);
    ck_assert_int_eq(chmod(folder, 0555), 0);
    bool privileged = geteuid() == 0; /* a privileged user may write everywhere */
    ck_assert_int_eq(privileged ? seteuid(UNPRIVILEGED_USER) : 0, 0);
    bool good = try_write();
    ck_assert_int_eq(privileged ? seteuid(0) : 0, 0);
    ck_assert_int_eq(chmod(folder, 0755), 0);
    ck_assert(!good);
    expect_message("cannot be written: Permission denied");
    expect_untouched();
}
END_TEST

START_TEST(write_over_a_folder) {
    ck_assert_int_eq(mkdir(path, 0755), 0);
    ck_assert(!try_write());
    expect_message("cannot be written: Is a directory");
    ck_assert(disk_exists(path));
    ck_assert(!disk_exists(temporary));
}
END_TEST

START_TEST(write_to_a_full_disk) {
    disk_write(path, "old", 3);
    ck_assert_int_eq(symlink("/dev/full", temporary), 0);
    ck_assert(!try_write());
    expect_message("cannot be written: No space left on device");
    expect_untouched();
}
END_TEST

/* The limit on a file's size lets the first buffers through, as a disk does that fills up meanwhile. */
START_TEST(write_past_the_size_limit) {
    enum { VALUES = 1 << 19 };
    struct rlimit old_limit, limit;
    real *values = malloc(VALUES * sizeof *values);
    struct rng rng = rng_stream(1, RNG_TEST, 0, 0);
    for (int i = 0; i < VALUES; i++)
        values[i] = (real)rng_normal(&rng);
    struct stored_tensor large = {"large", 1, {VALUES}, values};
    disk_write(path, "old", 3);
    getrlimit(RLIMIT_FSIZE, &old_limit);
    limit = old_limit;
    limit.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    bool good = tensor_file_write(path, &large, 1, NULL, 0, &file_error);
    setrlimit(RLIMIT_FSIZE, &old_limit);
    free(values);
    ck_assert(!good);
    expect_message("cannot be written: File too large");
    expect_untouched();
}
END_TEST

START_TEST(what_zlib_does_not_take_is_not_written) {
    disk_write(path, "old", 3);
    for (mistake = AN_ERROR; mistake <= INPUT_LEFT; mistake++) {
        ck_assert(!try_write());
        expect_message("cannot be written: zlib did not compress all of it");
        expect_untouched();
    }
}
END_TEST

/* Nothing helps with random bytes, which are more than any buffer. */
START_TEST(what_cannot_be_compressed_is_written) {
    enum { BYTES = 3 * MEGABYTE / 2 };
    unsigned char *bytes = malloc(BYTES);
    struct rng rng = rng_stream(1, RNG_TEST, 0, 0);
    for (int i = 0; i < BYTES; i++)
        bytes[i] = (unsigned char)rng_below(&rng, 256);
    struct stored_tensor random = {"random", 1, {BYTES / sizeof(real)}, (const real *)(const void *)bytes};
    struct tensor_file file;
    ck_assert_msg(tensor_file_write(path, &random, 1, NULL, 0, &file_error), "%s", file_error.text);
    ck_assert_msg(tensor_file_read(&file, path, &file_error), "%s", file_error.text);
    expect_tensor(&file.tensors[0], &random);
    tensor_file_free(&file);
    free(bytes);
}
END_TEST

START_TEST(names_that_cannot_be_written) {
    const struct stored_tensor same[] = {{"w", 0, {0}, weights}, {"w", 0, {0}, weights}};
    const struct stored_tensor metadata = {"__metadata__", 0, {0}, weights}, broken = {"\xff", 0, {0}, weights};
    const struct stored_text same_texts[] = {{"k", "a"}, {"k", "b"}}, broken_text = {"k", "\xc3"};
    disk_write(path, "old", 3);
    ck_assert(!tensor_file_write(path, same, 2, NULL, 0, &file_error));
    expect_message("cannot be written: two tensors are named \"w\"");
    ck_assert(!tensor_file_write(path, &metadata, 1, NULL, 0, &file_error));
    expect_message("cannot be written: no tensor may be named \"__metadata__\"");
    ck_assert(!tensor_file_write(path, &broken, 1, NULL, 0, &file_error));
    expect_message("cannot be written: the tensor name \"\xff\" is not valid UTF-8");
    ck_assert(!tensor_file_write(path, NULL, 0, same_texts, 2, &file_error));
    expect_message("cannot be written: two texts are named \"k\"");
    ck_assert(!tensor_file_write(path, NULL, 0, &broken_text, 1, &file_error));
    expect_message("cannot be written: the text \"k\" is not valid UTF-8");
    expect_untouched();
}
END_TEST

/* What could not be read again is not written. */
START_TEST(header_too_long_to_write) {
    enum { LENGTH = 16 * MEGABYTE };
    char *value = malloc(LENGTH + 1);
    memset(value, 'x', LENGTH);
    value[LENGTH] = '\0';
    const struct stored_text text = {"k", value};
    disk_write(path, "old", 3);
    ck_assert(!tensor_file_write(path, NULL, 0, &text, 1, &file_error));
    free(value);
    expect_message("cannot be written: its names and texts need more than 16777216 bytes");
    expect_untouched();
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

static void set_up(void) {
    mistake = NOTHING;
    safetensors_set_up();
}

Suite *test_suite(void) {
    Suite *suite = suite_create("safetensors");
    TCase *files = suite_group(suite, "files", 60, set_up, safetensors_tear_down);
    tcase_add_test(files, round_trip);
    tcase_add_test(files, round_trip_without_anything);
    tcase_add_test(files, round_trip_without_texts);
    tcase_add_test(files, round_trip_of_megabytes);
    tcase_add_test(files, zeros_take_no_room);
    tcase_add_test(files, plain_file_is_read_too);
    tcase_add_test(files, same_content_same_bytes);
    tcase_add_test(files, old_file_is_replaced);
    tcase_add_test(files, written_header_and_data);
    tcase_add_test(files, written_bytes);
    tcase_add_test(files, other_order_and_types);
    tcase_add_test(files, plain_file_that_begins_like_gzip);
    TCase *failures = suite_group(suite, "writing that fails", 60, set_up, safetensors_tear_down);
    tcase_add_test(failures, write_into_missing_folder);
    tcase_add_test(failures, write_into_read_only_folder);
    tcase_add_test(failures, write_over_a_folder);
    tcase_add_test(failures, write_to_a_full_disk);
    tcase_add_test(failures, write_past_the_size_limit);
    tcase_add_test(failures, what_zlib_does_not_take_is_not_written);
    tcase_add_test(failures, what_cannot_be_compressed_is_written);
    tcase_add_test(failures, names_that_cannot_be_written);
    tcase_add_test(failures, header_too_long_to_write);
    return suite;
}
