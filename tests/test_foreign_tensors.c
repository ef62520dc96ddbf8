/* Files of tensors as other programs write them: types of values, and gzip streams of several members. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "support/safetensors_file.h"
#include "support/suite.h"

enum { MOST_BYTES = 1 << 18, HALVES = 1 << 16 };

static struct safetensors file;
static struct error err;

/* One tensor "w" of that type and shape, not gzipped, at `path`. */
static void write_tensor(const char *dtype, const char *shape, const void *data, size_t bytes) {
    static unsigned char whole[MOST_BYTES];
    const char *header =
        arena_printf(&arena, "{\"w\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[0,%zu]}}", dtype, shape, bytes);
    uint64_t length = strlen(header);
    memcpy(whole, &length, sizeof length);
    memcpy(whole + sizeof length, header, length);
    memcpy(whole + sizeof length + length, data, bytes);
    disk_write(path, whole, sizeof length + length + bytes);
}

static void take(void *context, size_t first, size_t count, const real *values) {
    memcpy((real *)context + first, values, count * sizeof *values);
}

static void read_values(real *values) {
    ck_assert_msg(safetensors_open(&file, path, &err), "%s", err.text);
    ck_assert_msg(safetensors_read(&file, 0, take, values, &err), "%s", err.text);
}

/* --- Types of values --------------------------------------------------------------------------------------------- */

/* 100 and the type's lowest value, little-endian. */
static const struct {
    const char *dtype;
    enum tensor_values values;
    size_t bytes;
    unsigned char data[16];
    double lowest;
} types[] = {
    {"U8", TENSOR_INTEGERS, 2, {100, 0}, 0},
    {"I8", TENSOR_INTEGERS, 2, {100, 0x80}, -128},
    {"U16", TENSOR_INTEGERS, 4, {100}, 0},
    {"I16", TENSOR_INTEGERS, 4, {100, 0, 0, 0x80}, -32768},
    {"U32", TENSOR_INTEGERS, 8, {100}, 0},
    {"I32", TENSOR_INTEGERS, 8, {100, 0, 0, 0, 0, 0, 0, 0x80}, -2147483648.0},
    {"U64", TENSOR_INTEGERS, 16, {100}, 0},
    {"I64", TENSOR_INTEGERS, 16, {100, [15] = 0x80}, -9223372036854775808.0},
    {"BF16", TENSOR_REALS, 4, {0xc8, 0x42, 0x80, 0xff}, -INFINITY},
    {"F16", TENSOR_REALS, 4, {0x40, 0x56, 0x00, 0xfc}, -INFINITY},
    {"F32", TENSOR_REALS, 8, {0, 0, 0xc8, 0x42, 0, 0, 0x80, 0xff}, -INFINITY},
    {"F64", TENSOR_REALS, 16, {0, 0, 0, 0, 0, 0, 0x59, 0x40, [14] = 0xf0, 0xff}, -INFINITY},
};

START_TEST(numbers_of_every_type_are_read) {
    real values[2];
    write_tensor(types[_i].dtype, "[2]", types[_i].data, types[_i].bytes);
    read_values(values);
    ck_assert_int_eq(file.tensors[0].values, types[_i].values);
    ck_assert_str_eq(file.tensors[0].dtype, types[_i].dtype);
    ck_assert_double_eq((double)values[0], 100);
    ck_assert_double_eq((double)values[1], types[_i].lowest);
    safetensors_close(&file);
}
END_TEST

/* (-1)^s 2^(e - 15) (1 + f / 1024), below 2^-14 without the 1 (IEEE 754, table 3.5). */
static double half(int bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent ? ldexp(1 + fraction / 1024.0, exponent - 15) : ldexp(fraction / 1024.0, -14);
    if (exponent == 31)
        size = fraction ? NAN : INFINITY;
    return bits >> 15 ? -size : size;
}

START_TEST(all_half_precision_numbers_are_exact) {
    static uint16_t bits[HALVES];
    static real values[HALVES];
    for (int i = 0; i < HALVES; i++)
        bits[i] = (uint16_t)i;
    write_tensor("F16", "[65536]", bits, sizeof bits);
    read_values(values);
    for (int i = 0; i < HALVES; i++) {
        double wanted = half(i), got = (double)values[i];
        EXPECT(isnan(wanted) ? isnan(got) : wanted == got && !signbit(wanted) == !signbit(got), "%04x: %g", (unsigned)i,
               got);
    }
    safetensors_close(&file);
}
END_TEST

START_TEST(all_bfloat_numbers_are_the_upper_half_of_a_float) {
    static uint16_t bits[HALVES];
    static real values[HALVES];
    for (int i = 0; i < HALVES; i++)
        bits[i] = (uint16_t)i;
    write_tensor("BF16", "[65536]", bits, sizeof bits);
    read_values(values);
    for (int i = 0; i < HALVES; i++) {
        uint32_t whole = (uint32_t)i << 16;
        float wanted;
        memcpy(&wanted, &whole, sizeof wanted);
        EXPECT(isnan(wanted) ? isnan(values[i]) : (real)wanted == values[i], "%04x", (unsigned)i);
    }
    safetensors_close(&file);
}
END_TEST

/* Their width is not known, so that any size is as good as another. */
START_TEST(tensors_of_other_types_are_told_of) {
    static const char *const others[] = {"BOOL", "F8_E4M3", "C64", "F4", "unheard of"};
    for (int i = 0; i < COUNT(others); i++) {
        write_tensor(others[i], "[3, 2]", "abcdefghijkl", 12);
        ck_assert_msg(safetensors_open(&file, path, &err), "%s", err.text);
        ck_assert_int_eq(file.tensors[0].values, TENSOR_OTHERS);
        ck_assert_str_eq(file.tensors[0].dtype, others[i]);
        ck_assert_int_eq(file.tensors[0].shape[0], 3);
        safetensors_close(&file);
    }
}
END_TEST

START_TEST(sizes_of_known_types_are_checked) {
    write_tensor("F16", "[2]", "abcdefgh", 8);
    ck_assert(!safetensors_open(&file, path, &err));
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
    ck_assert_ptr_nonnull(strstr(err.text, "its shape needs 4 bytes, its data_offsets span 8"));
    write_tensor("F4", "[4611686018427387904, 8]", "ab", 2);
    ck_assert(!safetensors_open(&file, path, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "its shape is too large"));
}
END_TEST

/* --- Several members of gzip (RFC 1952, section 2.2) ------------------------------------------------------------- */

static void add_member(struct bytes *to, const unsigned char *data, size_t count) {
    z_stream stream = {.next_in = (unsigned char *)(uintptr_t)data, .avail_in = (uInt)count};
    ck_assert_int_eq(deflateInit2(&stream, 6, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_out = to->data + to->count;
    stream.avail_out = (uInt)(sizeof to->data - to->count);
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    to->count += stream.total_out;
    deflateEnd(&stream);
}

/* The small file, cut in two wherever that is, and an empty member at the beginning, between the two and at the end. */
START_TEST(members_follow_each_other) {
    write_small();
    struct bytes zipped = load_bytes(path), plain = gunzipped(&zipped);
    for (size_t cut = 0; cut <= plain.count; cut += 7)
        for (int empty = 0; empty < 4; empty++) {
            struct bytes members = {.count = 0};
            if (empty == 1)
                add_member(&members, plain.data, 0);
            add_member(&members, plain.data, cut);
            if (empty == 2)
                add_member(&members, plain.data, 0);
            add_member(&members, plain.data + cut, plain.count - cut);
            if (empty == 3)
                add_member(&members, plain.data, 0);
            disk_write(path, members.data, members.count);
            expect_small();
        }
}
END_TEST

START_TEST(a_cut_second_member_is_damage) {
    write_small();
    struct bytes zipped = load_bytes(path), plain = gunzipped(&zipped), members = {.count = 0};
    add_member(&members, plain.data, plain.count - 5);
    size_t first = members.count;
    add_member(&members, plain.data + plain.count - 5, 5);
    for (size_t left = first; left < members.count; left++) {
        disk_write(path, members.data, left);
        ck_assert(!safetensors_open(&file, path, &err));
        ck_assert_int_eq(err.code, ERROR_DAMAGED);
    }
    members.data[first + 12] ^= 0x20;
    disk_write(path, members.data, members.count);
    ck_assert(!safetensors_open(&file, path, &err));
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("foreign tensors");
    TCase *types_group = suite_group(suite, "types", 30, safetensors_set_up, safetensors_tear_down);
    tcase_add_loop_test(types_group, numbers_of_every_type_are_read, 0, COUNT(types));
    tcase_add_test(types_group, all_half_precision_numbers_are_exact);
    tcase_add_test(types_group, all_bfloat_numbers_are_the_upper_half_of_a_float);
    tcase_add_test(types_group, tensors_of_other_types_are_told_of);
    tcase_add_test(types_group, sizes_of_known_types_are_checked);
    TCase *members = suite_group(suite, "members", 30, safetensors_set_up, safetensors_tear_down);
    tcase_add_test(members, members_follow_each_other);
    tcase_add_test(members, a_cut_second_member_is_damage);
    return suite;
}
