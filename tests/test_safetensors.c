#define _GNU_SOURCE /* RTLD_NEXT */

#include "runner.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>

#include "base/rng.h"
#include "support/disk.h"
#include "support/tensor_file.h"

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

enum { MEGABYTE = 1 << 20, UNPRIVILEGED_USER = 65534 };

/* Every test has a folder of its own, removed after it. */
static char folder[64], path[128], temporary[136];
static struct error err;

/* The bytes of a small file. */
struct bytes {
    unsigned char data[4096];
    size_t count;
};

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

static void make_folder(void) {
    mistake = NOTHING;
    strcpy(folder, "/tmp/test_safetensors.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.safetensors.gz", folder);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    err.text[0] = '\0';
}

static void remove_folder(void) {
    disk_remove(folder);
}

static struct bytes load(const char *name) {
    struct bytes bytes;
    FILE *file = fopen(name, "rb");
    ck_assert_ptr_nonnull(file);
    bytes.count = fread(bytes.data, 1, sizeof bytes.data, file);
    ck_assert_uint_lt(bytes.count, sizeof bytes.data);
    fclose(file);
    return bytes;
}

static struct bytes gunzipped(const struct bytes *zipped) {
    struct bytes plain;
    z_stream stream = {.next_in = (unsigned char *)(uintptr_t)zipped->data, .avail_in = (uInt)zipped->count};
    stream.next_out = plain.data;
    stream.avail_out = sizeof plain.data;
    ck_assert_int_eq(inflateInit2(&stream, 16 + 15), Z_OK);
    ck_assert_int_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    ck_assert_uint_eq(stream.avail_in, 0);
    plain.count = stream.total_out;
    inflateEnd(&stream);
    return plain;
}

/* A plain file: header length, header, and `data_count` bytes 0, 1, 2, ... of data. */
static struct bytes plain_file(const char *header, size_t data_count) {
    struct bytes bytes;
    uint64_t length = strlen(header);
    memcpy(bytes.data, &length, 8);
    memcpy(bytes.data + 8, header, length);
    for (size_t i = 0; i < data_count; i++)
        bytes.data[8 + length + i] = (unsigned char)i;
    bytes.count = 8 + length + data_count;
    return bytes;
}

static void expect_message(const char *expected) {
    char whole[2048];
    snprintf(whole, sizeof whole, "%s: %s", path, expected);
    ck_assert_str_eq(err.text, whole);
}

/* Reads `path`, which must be refused with a message that names it and leave nothing behind. */
static void expect_refused(void) {
    struct tensor_file file;
    err.text[0] = '\0';
    ck_assert_msg(!tensor_file_read(&file, path, &err), "it was read");
    ck_assert_msg(strncmp(err.text, path, strlen(path)) == 0, "no path in \"%s\"", err.text);
    ck_assert_uint_gt(strlen(err.text), strlen(path) + 2);
    ck_assert_ptr_null(file.tensors);
    ck_assert_ptr_null(file.file.reader);
    ck_assert_int_eq(file.tensor_count, 0);
}

/* ---- What the small files of the tests hold ---- */

static const real weights[] = {1, -2.5f, 0.1f, 1e-40f, 3e38f, -0.0f, 7, 8};

static const struct stored_tensor tensors[] = {
    {"scalar", 0, {0}, weights + 6}, {"conv1.weight", 4, {1, 2, 1, 3}, weights},  {"vector", 1, {8}, weights},
    {"empty", 2, {5, 0}, NULL},      {"matrix \"\xc3\xa9\"", 2, {2, 2}, weights}, {"cube", 3, {1, 2, 3}, weights + 1},
};

static const struct stored_text texts[] = {
    {"spec", "layers:\n  - conv: {name: \"a\\b\"}\n\ttab\r\n"},
    {"accents \xe2\x82\xac", "na\xc3\xafve \xf0\x9f\x90\x88"},
    {"control", "\x01\x02\x1b[31m\x7f"},
    {"", ""},
};

static void write_small(void) {
    ck_assert_msg(tensor_file_write(path, tensors, COUNT(tensors), texts, COUNT(texts), &err), "%s", err.text);
}

static size_t value_count(const struct stored_tensor *tensor) {
    size_t count = 1;
    for (int d = 0; d < tensor->dims; d++)
        count *= (size_t)tensor->shape[d];
    return count;
}

static void expect_tensor(const struct stored_tensor *got, const struct stored_tensor *wanted) {
    ck_assert_str_eq(got->name, wanted->name);
    ck_assert_int_eq(got->dims, wanted->dims);
    for (int d = 0; d < wanted->dims; d++)
        ck_assert_int_eq(got->shape[d], wanted->shape[d]);
    ck_assert_ptr_nonnull(got->data);
    if (value_count(wanted) > 0)
        ck_assert_mem_eq(got->data, wanted->data, value_count(wanted) * sizeof(real));
}

static void expect_small(void) {
    struct tensor_file file;
    ck_assert_msg(tensor_file_read(&file, path, &err), "%s", err.text);
    ck_assert_int_eq(file.tensor_count, COUNT(tensors));
    ck_assert_int_eq(file.text_count, COUNT(texts));
    for (int i = 0; i < COUNT(tensors); i++) {
        expect_tensor(&file.tensors[i], &tensors[i]);
        ck_assert_ptr_eq(tensor_file_find(&file, tensors[i].name), &file.tensors[i]);
    }
    for (int i = 0; i < COUNT(texts); i++)
        ck_assert_str_eq(tensor_file_text(&file, texts[i].key), texts[i].value);
    ck_assert_ptr_null(tensor_file_find(&file, "conv1"));
    ck_assert_ptr_null(tensor_file_text(&file, "Spec"));
    tensor_file_free(&file);
    ck_assert_int_eq(file.tensor_count, 0);
    tensor_file_free(&file);
}

/* ---- What is written can be read ---- */

START_TEST(round_trip) {
    write_small();
    expect_small();
    ck_assert(!disk_exists(temporary));
}
END_TEST

START_TEST(round_trip_without_anything) {
    struct tensor_file file;
    ck_assert(tensor_file_write(path, NULL, 0, NULL, 0, &err));
    ck_assert_msg(tensor_file_read(&file, path, &err), "%s", err.text);
    ck_assert_int_eq(file.tensor_count, 0);
    ck_assert_int_eq(file.text_count, 0);
    tensor_file_free(&file);
}
END_TEST

START_TEST(round_trip_without_texts) {
    struct tensor_file file;
    ck_assert(tensor_file_write(path, tensors, COUNT(tensors), NULL, 0, &err));
    ck_assert(tensor_file_read(&file, path, &err));
    ck_assert_int_eq(file.tensor_count, COUNT(tensors));
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
    ck_assert(tensor_file_write(path, large, 2, NULL, 0, &err));
    ck_assert_msg(tensor_file_read(&file, path, &err), "%s", err.text);
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
    ck_assert(tensor_file_write(path, &large, 1, NULL, 0, &err));
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_lt(status.st_size, VALUES / 2 * (int)sizeof *values);
    free(values);
}
END_TEST

START_TEST(plain_file_is_read_too) {
    write_small();
    struct bytes zipped = load(path), plain = gunzipped(&zipped);
    disk_write(path, plain.data, plain.count);
    expect_small();
}
END_TEST

START_TEST(same_content_same_bytes) {
    write_small();
    struct bytes first = load(path);
    snprintf(path, sizeof path, "%s/another_name.gz", folder);
    write_small();
    struct bytes second = load(path);
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

/* ---- What is written, decoded without the reader ---- */

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
    struct bytes zipped = load(path), plain = gunzipped(&zipped);
    uint64_t length = 0;
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)plain.data[i] << (8 * i);
    ck_assert_uint_eq(length % 8, 0);
    ck_assert_mem_eq(plain.data + 8, "{\"__metadata__\":{\"spec\":", 24);

    json_t *header = json_loadb((const char *)plain.data + 8, length, JSON_REJECT_DUPLICATES, NULL);
    json_t *metadata = json_object_get(header, "__metadata__");
    ck_assert_uint_eq(json_object_size(header), COUNT(tensors) + 1);
    for (int i = 0; i < COUNT(texts); i++)
        ck_assert_str_eq(json_string_value(json_object_get(metadata, texts[i].key)), texts[i].value);
    json_int_t begin = 0;
    for (int i = 0; i < COUNT(tensors); i++)
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
    ck_assert(tensor_file_write(path, &tensor, 1, &text, 1, &err));
    struct bytes zipped = load(path), plain = gunzipped(&zipped);
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

/* ---- Files by others ---- */

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
    ck_assert_msg(tensor_file_read(&file, path, &err), "%s", err.text);
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
    ck_assert_msg(tensor_file_read(&file, path, &err), "%s", err.text);
    tensor_file_free(&file);
}
END_TEST

/* ---- Damage ---- */

static void expect_every_truncation_refused(const struct bytes *bytes) {
    for (size_t count = 0; count < bytes->count; count++) {
        disk_write(path, bytes->data, count);
        expect_refused();
        ck_assert_msg(strstr(err.text, ": damaged: "), "%zu bytes: %s", count, err.text);
    }
}

START_TEST(every_truncation_is_refused) {
    write_small();
    struct bytes zipped = load(path), plain = gunzipped(&zipped);
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
    struct bytes zipped = load(path);
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
    if (!tensor_file_read(&file, path, &err)) {
        ck_assert_msg(strncmp(err.text, path, strlen(path)) == 0, "no path in \"%s\"", err.text);
        return true;
    }
    tensor_file_free(&file);
    return false;
}

/* What is not refused must give the same content, but for the name of the checksum, which becomes another text's: one
 * escape in JSON has two forms. */
START_TEST(flips_in_a_plain_file) {
    write_small();
    struct bytes zipped = load(path), plain = gunzipped(&zipped);
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
    struct bytes zipped = load(path);
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
    struct bytes zipped = load(path), plain = gunzipped(&zipped);
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
    ck_assert(!tensor_file_read(&file, path, &err));
    expect_message("No such file or directory");
    strcpy(path, folder);
    ck_assert(!tensor_file_read(&file, path, &err));
    expect_message("is a directory, not a file");
}
END_TEST

/* ---- Bad headers ---- */

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
    {"{\"w\":{\"dtype\":\"BF16\"}}", "tensor \"w\": dtype BF16 is not supported, only F32 and F64 are"},
    {"{\"w\":{\"dtype\":\"\\u001b[2J\"}}", "tensor \"w\": dtype ?[2J is not supported, only F32 and F64 are"},
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
    const char *message = err.text + strlen(path) + 2;
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

/* ---- Files that promise more than they hold, or hold more than they promise ---- */

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

/* ---- Writing that fails ---- */

static bool try_write(void) {
    return tensor_file_write(path, tensors, COUNT(tensors), texts, COUNT(texts), &err);
}

static void expect_untouched(void) {
    struct bytes bytes = load(path);
    ck_assert_uint_eq(bytes.count, 3);
    ck_assert_mem_eq(bytes.data, "old", 3);
    ck_assert(!disk_exists(temporary));
}

START_TEST(write_into_missing_folder) {
    snprintf(path, sizeof path, "%s/missing/x.gz", folder);
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
    bool good = tensor_file_write(path, &large, 1, NULL, 0, &err);
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
    ck_assert_msg(tensor_file_write(path, &random, 1, NULL, 0, &err), "%s", err.text);
    ck_assert_msg(tensor_file_read(&file, path, &err), "%s", err.text);
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
    ck_assert(!tensor_file_write(path, same, 2, NULL, 0, &err));
    expect_message("cannot be written: two tensors are named \"w\"");
    ck_assert(!tensor_file_write(path, &metadata, 1, NULL, 0, &err));
    expect_message("cannot be written: no tensor may be named \"__metadata__\"");
    ck_assert(!tensor_file_write(path, &broken, 1, NULL, 0, &err));
    expect_message("cannot be written: the tensor name \"\xff\" is not valid UTF-8");
    ck_assert(!tensor_file_write(path, NULL, 0, same_texts, 2, &err));
    expect_message("cannot be written: two texts are named \"k\"");
    ck_assert(!tensor_file_write(path, NULL, 0, &broken_text, 1, &err));
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
    ck_assert(!tensor_file_write(path, NULL, 0, &text, 1, &err));
    free(value);
    expect_message("cannot be written: its names and texts need more than 16777216 bytes");
    expect_untouched();
}
END_TEST

Suite *test_suite(void) {
    const TTest *const plain_tests[] = {
        round_trip,
        round_trip_without_anything,
        round_trip_without_texts,
        round_trip_of_megabytes,
        zeros_take_no_room,
        plain_file_is_read_too,
        same_content_same_bytes,
        old_file_is_replaced,
        written_header_and_data,
        written_bytes,
        other_order_and_types,
        plain_file_that_begins_like_gzip,
        every_truncation_is_refused,
        messages_of_truncation,
        flips_in_a_plain_file,
        flips_in_a_gzipped_file,
        checksum_and_trailing_bytes,
        missing_file_and_folder,
        deep_nesting,
        huge_header_length,
        gzip_bomb,
        lying_sizes_take_no_memory,
        write_into_missing_folder,
        write_into_read_only_folder,
        write_over_a_folder,
        write_to_a_full_disk,
        write_past_the_size_limit,
        what_zlib_does_not_take_is_not_written,
        what_cannot_be_compressed_is_written,
        names_that_cannot_be_written,
        header_too_long_to_write,
    };
    Suite *suite = suite_create("safetensors");
    TCase *group = tcase_create("safetensors");
    tcase_set_timeout(group, 60);
    tcase_add_checked_fixture(group, make_folder, remove_folder);
    for (int i = 0; i < COUNT(plain_tests); i++)
        tcase_add_test(group, plain_tests[i]);
    tcase_add_loop_test(group, bad_header, 0, COUNT(bad_headers));
    suite_add_tcase(suite, group);
    return suite;
}
