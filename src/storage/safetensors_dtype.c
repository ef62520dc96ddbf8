#include "storage/safetensors_dtype.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they lie in memory");

/* A function that reads a value of a type of C. */
#define VALUE_OF(NAME, TYPE)                                                                                           \
    static real NAME(const unsigned char *bytes) {                                                                     \
        TYPE value;                                                                                                    \
        memcpy(&value, bytes, sizeof value);                                                                           \
        return (real)value;                                                                                            \
    }
VALUE_OF(value_f64, double)
VALUE_OF(value_f32, float)
VALUE_OF(value_i64, int64_t)
VALUE_OF(value_i32, int32_t)
VALUE_OF(value_i16, int16_t)
VALUE_OF(value_i8, int8_t)
VALUE_OF(value_u64, uint64_t)
VALUE_OF(value_u32, uint32_t)
VALUE_OF(value_u16, uint16_t)
VALUE_OF(value_u8, uint8_t)

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The upper half of a float. */
static real value_bf16(const unsigned char *bytes) {
    uint16_t bits;
    memcpy(&bits, bytes, sizeof bits);
    return (real)float_of_bits((uint32_t)bits << 16);
}

/* A sign, 5 bits of exponent with a bias of 15, 10 of fraction (IEEE 754 binary16). A float has 8 with a bias of 127,
 * and 23; its largest exponent, too, is that of infinities and NaNs. Values below 2^-14 have no leading one. */
static real value_f16(const unsigned char *bytes) {
    uint16_t bits;
    memcpy(&bits, bytes, sizeof bits);
    uint32_t sign = (uint32_t)(bits >> 15) << 31, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    if (exponent == 0)
        return (real)ldexpf(sign ? -(float)fraction : (float)fraction, -24);
    uint32_t wider = exponent == 0x1f ? 0xff : exponent - 15 + 127;
    return (real)float_of_bits(sign | wider << 23 | fraction << 13);
}

/* The last one stands for all others. */
static const struct dtype dtypes[] = {
    {"F64", TENSOR_REALS, 8, value_f64},    {"F32", TENSOR_REALS, 4, value_f32},
    {"F16", TENSOR_REALS, 2, value_f16},    {"BF16", TENSOR_REALS, 2, value_bf16},
    {"I64", TENSOR_INTEGERS, 8, value_i64}, {"I32", TENSOR_INTEGERS, 4, value_i32},
    {"I16", TENSOR_INTEGERS, 2, value_i16}, {"I8", TENSOR_INTEGERS, 1, value_i8},
    {"U64", TENSOR_INTEGERS, 8, value_u64}, {"U32", TENSOR_INTEGERS, 4, value_u32},
    {"U16", TENSOR_INTEGERS, 2, value_u16}, {"U8", TENSOR_INTEGERS, 1, value_u8},
    {NULL, TENSOR_OTHERS, 1, NULL},
};

const struct dtype *dtype_find(const char *name) {
    const struct dtype *dtype = dtypes;
    while (dtype->name && strcmp(dtype->name, name) != 0)
        dtype++;
    return dtype;
}
