#include "support/safetensors_file.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "support/suite.h"

char path[PATH_MAX], temporary[PATH_MAX];
struct error file_error;

void safetensors_set_up(void) {
    folder_make(NULL, "safetensors");
    strcpy(path, in_folder("x.safetensors.gz"));
    strcpy(temporary, in_folder("x.safetensors.gz.tmp"));
    file_error.text[0] = '\0';
}

void safetensors_tear_down(void) {
    folder_remove();
}

struct bytes load_bytes(const char *name) {
    struct bytes bytes;
    FILE *file = fopen(name, "rb");
    ck_assert_ptr_nonnull(file);
    bytes.count = fread(bytes.data, 1, sizeof bytes.data, file);
    ck_assert_uint_lt(bytes.count, sizeof bytes.data);
    fclose(file);
    return bytes;
}

struct bytes gunzipped(const struct bytes *zipped) {
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

struct bytes plain_file(const char *header, size_t data_count) {
    struct bytes bytes;
    uint64_t length = strlen(header);
    memcpy(bytes.data, &length, 8);
    memcpy(bytes.data + 8, header, length);
    for (size_t i = 0; i < data_count; i++)
        bytes.data[8 + length + i] = (unsigned char)i;
    bytes.count = 8 + length + data_count;
    return bytes;
}

const real weights[8] = {1, -2.5f, 0.1f, 1e-40f, 3e38f, -0.0f, 7, 8};

const struct stored_tensor tensors[SMALL_TENSORS] = {
    {"scalar", 0, {0}, weights + 6}, {"conv1.weight", 4, {1, 2, 1, 3}, weights},  {"vector", 1, {8}, weights},
    {"empty", 2, {5, 0}, NULL},      {"matrix \"\xc3\xa9\"", 2, {2, 2}, weights}, {"cube", 3, {1, 2, 3}, weights + 1},
};

const struct stored_text texts[SMALL_TEXTS] = {
    {"spec", "layers:\n  - conv: {name: \"a\\b\"}\n\ttab\r\n"},
    {"accents \xe2\x82\xac", "na\xc3\xafve \xf0\x9f\x90\x88"},
    {"control", "\x01\x02\x1b[31m\x7f"},
    {"", ""},
};

void write_small(void) {
    ck_assert_msg(tensor_file_write(path, tensors, SMALL_TENSORS, texts, SMALL_TEXTS, &file_error), "%s",
                  file_error.text);
}

size_t value_count(const struct stored_tensor *tensor) {
    size_t count = 1;
    for (int d = 0; d < tensor->dims; d++)
        count *= (size_t)tensor->shape[d];
    return count;
}

void expect_tensor(const struct stored_tensor *got, const struct stored_tensor *wanted) {
    ck_assert_str_eq(got->name, wanted->name);
    ck_assert_int_eq(got->dims, wanted->dims);
    for (int d = 0; d < wanted->dims; d++)
        ck_assert_int_eq(got->shape[d], wanted->shape[d]);
    ck_assert_ptr_nonnull(got->data);
    if (value_count(wanted) > 0)
        ck_assert_mem_eq(got->data, wanted->data, value_count(wanted) * sizeof(real));
}

void expect_small(void) {
    struct tensor_file file;
    ck_assert_msg(tensor_file_read(&file, path, &file_error), "%s", file_error.text);
    ck_assert_int_eq(file.tensor_count, SMALL_TENSORS);
    ck_assert_int_eq(file.text_count, SMALL_TEXTS);
    for (int i = 0; i < SMALL_TENSORS; i++) {
        expect_tensor(&file.tensors[i], &tensors[i]);
        ck_assert_ptr_eq(tensor_file_find(&file, tensors[i].name), &file.tensors[i]);
    }
    for (int i = 0; i < SMALL_TEXTS; i++)
        ck_assert_str_eq(tensor_file_text(&file, texts[i].key), texts[i].value);
    ck_assert_ptr_null(tensor_file_find(&file, "conv1"));
    ck_assert_ptr_null(tensor_file_text(&file, "Spec"));
    tensor_file_free(&file);
    ck_assert_int_eq(file.tensor_count, 0);
    tensor_file_free(&file);
}

void expect_message(const char *expected) {
    ck_assert_str_eq(file_error.text, arena_printf(&arena, "%s: %s", path, expected));
}

void expect_refused(void) {
    struct tensor_file file;
    file_error.text[0] = '\0';
    ck_assert_msg(!tensor_file_read(&file, path, &file_error), "it was read");
    ck_assert_msg(strncmp(file_error.text, path, strlen(path)) == 0, "no path in \"%s\"", file_error.text);
    ck_assert_uint_gt(strlen(file_error.text), strlen(path) + 2);
    ck_assert_ptr_null(file.tensors);
    ck_assert_ptr_null(file.file.reader);
    ck_assert_int_eq(file.tensor_count, 0);
}
