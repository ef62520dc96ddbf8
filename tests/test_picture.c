/* Pictures: what tests/pictures/make.py has made, decoded and resized as Pillow does it; and files that are none, are
 * cut short or damaged. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/number.h"
#include "picture/exif.h"
#include "picture/picture.h"
#include "picture/resize.h"
#include "support/folder.h"
#include "support/suite.h"

enum { RGB = 3, GREY = 1 };

static struct error err;
static struct picture picture, expected;
static glob_t files; /* the pictures */

static void find(const char *pattern) {
    globfree(&files);
    ck_assert_msg(glob(pattern, 0, NULL, &files) == 0, "%s: no files", pattern);
}

static void set_up(void) {
    find("tests/pictures/*.[jp][pn]g");
    ck_assert_uint_gt(files.gl_pathc, 50);
}

static void tear_down(void) {
    globfree(&files);
    picture_free(&picture);
    picture_free(&expected);
    arena_free(&arena);
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

/* In memory of just its size, so that the sanitizer sees a byte too many. */
static uint8_t *read_file(const char *path, size_t *count) {
    char *bytes = disk_read(path, count);
    ck_assert_msg(bytes != NULL, "%s cannot be read", path);
    return realloc(bytes, *count);
}

static bool decode(struct picture *to, const uint8_t *bytes, size_t count, struct picture_want want) {
    picture_free(to);
    return picture_decode(to, bytes, count, "a.jpg", want, &err);
}

static void decode_file(struct picture *to, const char *path, struct picture_want want) {
    size_t count;
    uint8_t *bytes = read_file(path, &count);
    ck_assert_msg(decode(to, bytes, count, want), "%s: %s", path, err.text);
    free(bytes);
}

static const char *name_of(const char *path) {
    return strrchr(path, '/') + 1;
}

static void expect_of(const char *path, int channels) {
    decode_file(&expected, arena_printf(&arena, "tests/pictures/expected/%s.png", name_of(path)),
                (struct picture_want){.channels = channels});
}

static bool is_png(const char *path) {
    return strstr(path, "png") != NULL;
}

/* --- Colours ----------------------------------------------------------------------------------------------------- */

static size_t value_count(const struct picture *of) {
    return (size_t)of->width * (size_t)of->height * (size_t)of->channels;
}

static int largest_difference(const char *path) {
    int most = 0;
    ck_assert_msg(picture.width == expected.width && picture.height == expected.height &&
                      picture.channels == expected.channels,
                  "%s: %d × %d × %d, not %d × %d × %d", path, picture.width, picture.height, picture.channels,
                  expected.width, expected.height, expected.channels);
    for (size_t i = 0; i < value_count(&picture); i++)
        most = larger(most, abs(picture.pixels[i] - expected.pixels[i]));
    return most;
}

START_TEST(a_plain_png_has_the_colours_that_were_put_into_it) {
    size_t i = 0;
    decode_file(&picture, "tests/pictures/rgb_8.png", (struct picture_want){.channels = RGB});
    ck_assert(picture.width == 26 && picture.height == 17 && picture.channels == RGB && picture.reduction == 1);
    for (int y = 0; y < 17; y++)
        for (int x = 0; x < 26; x++, i += 3) {
            bool red = y >= 2 && y < 6 && x >= 3 && x < 11;
            const int colours[] = {red ? 240 : x * 9, red ? 20 : y * 14, red ? 30 : 255 - 6 * x - 5 * y};
            for (size_t c = 0; c < 3; c++)
                EXPECT(picture.pixels[i + c] == colours[c], "(%d, %d)", x, y);
        }
}
END_TEST

START_TEST(every_kind_has_the_colours_that_pillow_decodes) {
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *path = files.gl_pathv[i];
        decode_file(&picture, path, (struct picture_want){.channels = RGB});
        expect_of(path, RGB);
        int difference = largest_difference(path), most = is_png(path) ? 0 : 1;
        ck_assert_msg(difference <= most, "%s: a difference of %d", path, difference);
    }
}
END_TEST

START_TEST(grey_is_the_luma_of_colours) {
    for (size_t i = 0; i < files.gl_pathc; i++) {
        decode_file(&picture, files.gl_pathv[i], (struct picture_want){.channels = GREY});
        expect_of(files.gl_pathv[i], RGB);
        ck_assert_int_eq(picture.channels, GREY);
        ck_assert_uint_eq(value_count(&picture) * 3, value_count(&expected));
        for (size_t p = 0; p < value_count(&picture); p++) {
            const uint8_t *colours = expected.pixels + 3 * p;
            double luma = 0.299 * colours[0] + 0.587 * colours[1] + 0.114 * colours[2];
            double most = is_png(files.gl_pathv[i]) ? 0.51 : 1.6;
            EXPECT(fabs(picture.pixels[p] - luma) < most, "%s: %d, not %f", files.gl_pathv[i], picture.pixels[p], luma);
        }
    }
}
END_TEST

START_TEST(a_header_tells_the_size_that_will_be_seen) {
    struct picture_size size;
    size_t count;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *path = files.gl_pathv[i];
        uint8_t *bytes = read_file(path, &count);
        ck_assert_msg(picture_probe(&size, bytes, count, path, &err), "%s", err.text);
        expect_of(path, RGB);
        ck_assert_msg(size.width == expected.width && size.height == expected.height, "%s: %d × %d", path, size.width,
                      size.height);
        ck_assert_str_eq(size.format, is_png(path) ? "PNG" : "JPEG");
        free(bytes);
    }
}
END_TEST

START_TEST(a_header_is_enough_to_tell_a_size) {
    struct picture_size size;
    size_t count;
    uint8_t *bytes = read_file("tests/pictures/rgb_8.png", &count);
    ck_assert_msg(picture_probe(&size, bytes, 8 + 25 + 8, "a.png", &err), "%s", err.text); /* to IDAT */
    ck_assert(size.width == 26 && size.height == 17);
    ck_assert(!picture_probe(&size, bytes, 30, "a.png", &err));
    ck_assert_str_eq(err.text, "a.png: this PNG picture is cut off in its header");
    free(bytes);
}
END_TEST

/* --- Reduction --------------------------------------------------------------------------------------------------- */

START_TEST(a_jpeg_is_decoded_no_larger_than_it_needs_to_be) {
    static const struct {
        const char *name;
        int enough_width, enough_height, width, height, reduction;
    } cases[] = {
        {"grey.jpg", 0, 0, 26, 17, 1},
        {"grey.jpg", 14, 1, 26, 17, 1},
        {"grey.jpg", 1, 9, 26, 17, 1},
        {"grey.jpg", 13, 8, 13, 9, 2},
        {"grey.jpg", 6, 4, 7, 5, 4},
        {"ycbcr_420.jpg", 3, 2, 4, 3, 8},
        {"cmyk.jpg", 1, 1, 4, 3, 8},
        {"grey.jpg", 5, 0, 7, 5, 4},
        {"grey.jpg", 2147483647, 2147483647, 26, 17, 1},
        {"turned_6_big_endian.jpg", 4, 13, 5, 13, 2}, /* 9 × 26 as seen */
        {"turned_6_big_endian.jpg", 13, 4, 9, 26, 1},
        {"rgb_8.png", 3, 2, 26, 17, 1},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        decode_file(&picture, arena_printf(&arena, "tests/pictures/%s", cases[i].name),
                    (struct picture_want){RGB, cases[i].enough_width, cases[i].enough_height});
        ck_assert_msg(picture.width == cases[i].width && picture.height == cases[i].height &&
                          picture.reduction == cases[i].reduction,
                      "case %d: %d × %d, reduced by %d", i, picture.width, picture.height, picture.reduction);
    }
}
END_TEST

START_TEST(a_reduced_pixel_is_the_mean_of_those_it_stands_for) {
    decode_file(&expected, "tests/pictures/grey.jpg", (struct picture_want){.channels = GREY});
    decode_file(&picture, "tests/pictures/grey.jpg", (struct picture_want){GREY, 1, 1});
    ck_assert_int_eq(picture.reduction, 8);
    for (int y = 0; y < 16; y += 8)
        for (int x = 0; x < 24; x += 8) {
            double sum = 0;
            for (int i = 0; i < 64; i++)
                sum += expected.pixels[(y + i / 8) * expected.width + x + i % 8];
            ck_assert_double_eq_tol(picture.pixels[y / 8 * picture.width + x / 8], sum / 64, 1.0);
        }
}
END_TEST

/* --- Orientation ------------------------------------------------------------------------------------------------- */

START_TEST(an_orientation_that_makes_no_sense_is_none) {
#define BLOCK(TEXT) TEXT, sizeof(TEXT) - 1
#define LITTLE "II*\0\10\0\0\0"
    static const struct {
        const char *bytes;
        size_t count;
        int orientation;
    } cases[] = {
        {BLOCK(LITTLE "\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"), 6},
        {BLOCK("Exif\0\0" LITTLE "\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"), 6},
        {BLOCK("MM\0*\0\0\0\10\0\1\1\x12\0\3\0\0\0\1\0\10\0\0"), 8},
        {BLOCK(LITTLE "\1\0\x12\1\4\0\1\0\0\0\3\0\0\0"), 3},                           /* a LONG */
        {BLOCK(LITTLE "\2\0\x0f\1\2\0\1\0\0\0\5\0\0\0\x12\1\3\0\1\0\0\0\6\0\0\0"), 6}, /* the second entry */
        {BLOCK(LITTLE "\xff\xff\x12\1\3\0\1\0\0\0\6\0\0\0"), 6},                       /* of more than there are */
        {BLOCK(LITTLE "\xff\xff\x13\1\3\0\1\0\0\0\6\0\0\0"), 1},
        {BLOCK(LITTLE "\1\0\x12\1\3\0\1\0\0\0\0\0\0\0"), 1},
        {BLOCK(LITTLE "\1\0\x12\1\3\0\1\0\0\0\11\0\0\0"), 1},
        {BLOCK(LITTLE "\1\0\x12\1\4\0\1\0\0\0\6\0\0\x80"), 1},
        {BLOCK(LITTLE "\1\0\x12\1\2\0\1\0\0\0\6\0\0\0"), 1}, /* a text */
        {BLOCK(LITTLE "\1\0\x12\1\3\0\1\0\0\0\6"), 1},
        {BLOCK(LITTLE "\1"), 1},
        {BLOCK(LITTLE), 1},
        {BLOCK("II*\0\xff\xff\xff\xff\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"), 1},
        {BLOCK("II*\0\x17\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"), 1},
        {BLOCK("IM*\0\10\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"), 1},
        {BLOCK("Exif\0\0"), 1},
        {BLOCK(""), 1},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        uint8_t *bytes = malloc(cases[i].count + 1);
        memcpy(bytes + 1, cases[i].bytes, cases[i].count);
        int orientation = exif_orientation(bytes + 1, cases[i].count);
        ck_assert_msg(orientation == cases[i].orientation, "case %d: %d", i, orientation);
        free(bytes);
    }
}
END_TEST

/* --- Damage ------------------------------------------------------------------------------------------------------ */

START_TEST(a_file_that_is_cut_off_anywhere_is_refused) {
    size_t count;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        uint8_t *bytes = read_file(files.gl_pathv[i], &count);
        for (size_t cut = 0; cut < count; cut++) {
            uint8_t *part = malloc(cut + 1);
            memcpy(part + 1, bytes, cut);
            EXPECT(!decode(&picture, part + 1, cut, (struct picture_want){.channels = RGB}),
                   "%s: %zu bytes of %zu were enough", files.gl_pathv[i], cut, count);
            EXPECT(cut < 4 || strstr(err.text, "cut off"), "%s: %zu bytes: %s", files.gl_pathv[i], cut, err.text);
            EXPECT(cut < 4 || err.code == ERROR_DAMAGED, "%s: code %d", files.gl_pathv[i], (int)err.code);
            EXPECT(!picture.pixels, "%s: a picture is left", files.gl_pathv[i]);
            free(part);
        }
        free(bytes);
    }
}
END_TEST

START_TEST(a_file_that_is_cut_off_says_after_which_row) {
    static const struct {
        const char *path, *words;
        size_t left_out;
    } cases[] = {
        {"tests/pictures/grey.jpg", "after row 0 of 17", 60},
        {"tests/pictures/grey.jpg", "after row 8 of 17", 10},
        {"tests/pictures/grey.jpg", "after row 16 of 17", 1},
        {"tests/pictures/rgb_8.png", "after row 0 of 17", 400},
        {"tests/pictures/rgb_8.png", "after row 17 of 17", 4},
        {"tests/pictures/interlaced.png", "in pass 7 of 7", 1},
        {"tests/pictures/progressive.jpg", "in its scan 1", 400},
    };
    size_t count;
    for (int i = 0; i < COUNT(cases); i++) {
        uint8_t *bytes = read_file(cases[i].path, &count);
        ck_assert(!decode(&picture, bytes, count - cases[i].left_out, (struct picture_want){.channels = RGB}));
        ck_assert_msg(strstr(err.text, cases[i].words) != NULL, "%s: %s", cases[i].path, err.text);
        free(bytes);
    }
}
END_TEST

START_TEST(a_file_with_any_byte_changed_is_refused_or_decoded) {
    size_t count;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        uint8_t *bytes = read_file(files.gl_pathv[i], &count);
        for (size_t at = 0; at < count; at++) {
            for (int bit = at % 2; bit < 8; bit += 2) {
                bytes[at] ^= (uint8_t)(1 << bit);
                *err.text = '\0';
                bool good = decode(&picture, bytes, count, (struct picture_want){RGB, 4, 4});
                EXPECT(good ? picture.pixels != NULL : *err.text && !picture.pixels, "%s: byte %zu", files.gl_pathv[i],
                       at);
                bytes[at] ^= (uint8_t)(1 << bit);
            }
        }
        free(bytes);
    }
}
END_TEST

START_TEST(damaged_pixels_are_not_taken) {
    size_t count;
    uint8_t *bytes = read_file("tests/pictures/restarts.jpg", &count);
    for (size_t at = 0; at + 1 < count; at++)
        if (bytes[at] == 0xff && bytes[at + 1] == 0xd1) /* the second restart marker */
            bytes[at + 1] = 0xd5;
    ck_assert(!decode(&picture, bytes, count, (struct picture_want){.channels = RGB}));
    ck_assert_msg(strstr(err.text, "Corrupt JPEG data") != NULL, "%s", err.text);
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
    free(bytes);
}
END_TEST

static void set_number(uint8_t *bytes, uint32_t value, int count) {
    for (int i = 0; i < count; i++)
        bytes[i] = (uint8_t)(value >> 8 * (count - 1 - i));
}

static void check_bomb(const uint8_t *bytes, size_t count, const char *words) {
    struct picture_size size;
    ck_assert(!picture_probe(&size, bytes, count, "bomb", &err));
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
    ck_assert(!decode(&picture, bytes, count, (struct picture_want){.channels = RGB}));
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
}

START_TEST(a_picture_of_too_many_pixels_is_refused_by_its_header) {
    size_t count;
    uint8_t *bytes = read_file("tests/pictures/rgb_8.png", &count);
    set_number(bytes + 16, 65535, 4);
    set_number(bytes + 20, 65535, 4);
    set_number(bytes + 29, (uint32_t)crc32(0, bytes + 12, 17), 4);
    check_bomb(bytes, count, "it is 65535 × 65535 pixels, and at most 178956970 are taken");
    set_number(bytes + 16, 0x7fffffff, 4);
    set_number(bytes + 20, 0x7fffffff, 4);
    set_number(bytes + 29, (uint32_t)crc32(0, bytes + 12, 17), 4);
    check_bomb(bytes, count, "2147483647 × 2147483647 pixels");
    free(bytes);
    bytes = read_file("tests/pictures/grey.jpg", &count);
    for (size_t at = 0; at + 9 < count; at++)
        if (bytes[at] == 0xff && bytes[at + 1] == 0xc0)
            memset(bytes + at + 5, 0xfe, 4);
    check_bomb(bytes, count, "it is 65278 × 65278 pixels");
    free(bytes);
}
END_TEST

START_TEST(a_picture_of_endless_scans_is_refused) {
    size_t count, at = 0;
    uint8_t *bytes = read_file("tests/pictures/progressive_grey.jpg", &count);
    struct text text = {0};
    while (bytes[at] != 0xff || bytes[at + 1] != 0xda)
        at++;
    size_t end = at + 2;
    while (bytes[end] != 0xff || !bytes[end + 1])
        end++;
    text_add(&text, (const char *)bytes, end);
    for (int scan = 0; scan < 600; scan++)
        text_add(&text, (const char *)bytes + at, end - at);
    text_add(&text, (const char *)bytes + end, count - end);
    ck_assert(!decode(&picture, (const uint8_t *)text.data, text.length, (struct picture_want){.channels = RGB}));
    ck_assert_str_eq(err.text, "a.jpg: this JPEG picture has more than 500 scans");
    text_free(&text);
    free(bytes);
}
END_TEST

/* --- Other files ------------------------------------------------------------------------------------------------- */

START_TEST(another_format_is_named) {
    static const struct {
        const char *bytes;
        size_t count;
        const char *words;
    } cases[] = {
        {BLOCK(""), "is an empty file"},
        {BLOCK("GIF89a\1\0\1\0"), "is a GIF picture, which is not read: convert it to PNG or JPEG"},
        {BLOCK("RIFF\x24\0\0\0WEBPVP8 "), "is a WebP picture"},
        {BLOCK("BM\x36\0\0\0\0\0"), "is a BMP picture"},
        {BLOCK("II*\0\10\0\0\0"), "is a TIFF picture"},
        {BLOCK("MM\0*\0\0\0\10"), "is a TIFF picture"},
        {BLOCK("\0\0\0\x18"
               "ftypheic\0\0\0\0"),
         "is a HEIC picture"},
        {BLOCK("\0\0\0\x18"
               "ftypavif\0\0\0\0"),
         "is an AVIF picture"},
        {BLOCK("\0\0\0\x18"
               "ftypisom\0\0\0\0"),
         "is a video"},
        {BLOCK("\0\0\0\x0cjP  \r\n\x87\n"), "is a JPEG 2000 picture"},
        {BLOCK("<svg xmlns='http://www.w3.org/2000/svg'/>"), "is an SVG drawing"},
        {BLOCK("<?xml version='1.0'?>\n<!-- drawn -->\n<svg/>"), "is an SVG drawing"},
        {BLOCK("<?xml version='1.0'?>\n<Error/>"), "is an XML document"},
        {BLOCK("\n <!doctype html><html>"), "is a web page"},
        {BLOCK("version https://git-lfs.github.com/spec/v1\noid sha256:00\n"), "is a pointer of Git LFS"},
        {BLOCK("\x1f\x8b\10\0"), "is compressed by gzip"},
        {BLOCK("PK\3\4\24\0"), "is a zip archive"},
        {BLOCK("\0\5\x16\7\0\2\0\0"), "AppleDouble"},
        {BLOCK("\0\0\0\0\0\0\0\0\0\0"), "begins with zeros"},
        {BLOCK("\x89PNG\n\n"), "this PNG picture is cut off"},
        {BLOCK("a picture"), "is neither a JPEG nor a PNG picture"},
    };
    struct picture_size size;
    for (int i = 0; i < COUNT(cases); i++) {
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        ck_assert(!picture_probe(&size, bytes, cases[i].count, "a.jpg", &err));
        ck_assert_msg(strstr(err.text, cases[i].words) != NULL, "case %d: %s", i, err.text);
        ck_assert(!decode(&picture, bytes, cases[i].count, (struct picture_want){.channels = RGB}));
        ck_assert_msg(strstr(err.text, cases[i].words) != NULL, "case %d: %s", i, err.text);
    }
}
END_TEST

START_TEST(a_name_in_a_message_controls_no_terminal) {
    struct picture_size size;
    ck_assert(!picture_probe(&size, (const uint8_t *)"x", 1, "a\x1b[31m\x7f.jpg", &err));
    ck_assert_str_eq(err.text, "a?[31m?.jpg: is neither a JPEG nor a PNG picture");
}
END_TEST

/* --- Threads ----------------------------------------------------------------------------------------------------- */

START_TEST(threads_decode_at_once_what_one_does) {
    int wrong = 0;
    struct picture *alone = calloc(files.gl_pathc, sizeof *alone);
    for (size_t i = 0; i < files.gl_pathc; i++)
        decode_file(&alone[i], files.gl_pathv[i], (struct picture_want){.channels = RGB});
#pragma omp parallel for num_threads(4) schedule(dynamic) reduction(+ : wrong)
    for (size_t j = 0; j < 8 * files.gl_pathc; j++) {
        size_t i = j % files.gl_pathc, count = 0;
        struct picture own;
        struct error own_err;
        char *bytes = disk_read(files.gl_pathv[i], &count);
        wrong += !picture_decode(&own, (const uint8_t *)bytes, count, "a", (struct picture_want){.channels = RGB},
                                 &own_err) ||
                 memcmp(own.pixels, alone[i].pixels, value_count(&alone[i])) != 0;
        picture_free(&own);
        free(bytes);
    }
    ck_assert_int_eq(wrong, 0);
    for (size_t i = 0; i < files.gl_pathc; i++)
        picture_free(&alone[i]);
    free(alone);
}
END_TEST

/* --- Resizing ---------------------------------------------------------------------------------------------------- */

static struct resize_scratch scratch;

static void drop_scratch(void) {
    resize_scratch_free(&scratch);
    tear_down();
}

/* tests/pictures/resized/KIND_FILTER_WIDTHxHEIGHT_LEFT_TOP_RIGHT_BOTTOM.png, of KIND.png */
START_TEST(resized_pictures_are_those_of_pillow) {
    find("tests/pictures/resized/*x*.png");
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *path = files.gl_pathv[i];
        char kind[8], filter[16];
        double left, top, right, bottom;
        int width, height;
        ck_assert_int_eq(sscanf(name_of(path), "%7[a-z]_%15[a-z]_%dx%d_%lf_%lf_%lf_%lf", kind, filter, &width, &height,
                                &left, &top, &right, &bottom),
                         8);
        const struct picture_want want = {.channels = !strcmp(kind, "rgb") ? RGB : GREY};
        decode_file(&picture, arena_printf(&arena, "tests/pictures/resized/%s.png", kind), want);
        decode_file(&expected, path, want);
        uint8_t *out = malloc(value_count(&expected));
        ck_assert(picture_resize(out, width, height, &picture,
                                 (struct picture_box){left, top, right - left, bottom - top},
                                 !strcmp(filter, "bicubic") ? PICTURE_BICUBIC : PICTURE_BILINEAR, &scratch, &err));
        ck_assert_msg(!memcmp(out, expected.pixels, value_count(&expected)), "%s", path);
        free(out);
    }
}
END_TEST

START_TEST(a_box_of_the_same_size_is_copied) {
    uint8_t out[5 * 4 * 3];
    decode_file(&picture, "tests/pictures/rgb_8.png", (struct picture_want){.channels = RGB});
    for (enum picture_filter filter = PICTURE_BILINEAR; filter <= PICTURE_BICUBIC; filter++) {
        ck_assert(picture_resize(out, 5, 4, &picture, (struct picture_box){21, 13, 5, 4}, filter, &scratch, &err));
        for (int y = 0; y < 4; y++)
            ck_assert_mem_eq(out + y * 5 * 3, picture.pixels + ((13 + y) * 26 + 21) * 3, 5 * 3);
    }
}
END_TEST

START_TEST(one_colour_stays_one_colour) {
    enum { LARGE = 301, MOST = 40 };
    static uint8_t pixels[LARGE * LARGE], out[MOST * MOST];
    const struct picture grey = {LARGE, LARGE, GREY, 1, pixels};
    memset(pixels, 255, sizeof pixels);
    for (int size = 1; size <= MOST; size++) {
        ck_assert(picture_resize(out, size, size, &grey, (struct picture_box){0.3, 0.7, 300.1, 300.2}, PICTURE_BICUBIC,
                                 &scratch, &err));
        for (int i = 0; i < size * size; i++)
            EXPECT(out[i] >= 254, "%d of %d × %d: %d", i, size, size, out[i]);
    }
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("picture");
    TCase *colours = suite_group(suite, "colours", 60, set_up, tear_down);
    tcase_add_test(colours, a_plain_png_has_the_colours_that_were_put_into_it);
    tcase_add_test(colours, every_kind_has_the_colours_that_pillow_decodes);
    tcase_add_test(colours, grey_is_the_luma_of_colours);
    tcase_add_test(colours, a_header_tells_the_size_that_will_be_seen);
    tcase_add_test(colours, a_header_is_enough_to_tell_a_size);
    tcase_add_test(colours, a_jpeg_is_decoded_no_larger_than_it_needs_to_be);
    tcase_add_test(colours, a_reduced_pixel_is_the_mean_of_those_it_stands_for);
    tcase_add_test(colours, an_orientation_that_makes_no_sense_is_none);
    tcase_add_test(colours, threads_decode_at_once_what_one_does);
    TCase *damage = suite_group(suite, "damage", 300, set_up, tear_down);
    tcase_add_test(damage, a_file_that_is_cut_off_anywhere_is_refused);
    tcase_add_test(damage, a_file_that_is_cut_off_says_after_which_row);
    tcase_add_test(damage, a_file_with_any_byte_changed_is_refused_or_decoded);
    tcase_add_test(damage, damaged_pixels_are_not_taken);
    tcase_add_test(damage, a_picture_of_too_many_pixels_is_refused_by_its_header);
    tcase_add_test(damage, a_picture_of_endless_scans_is_refused);
    tcase_add_test(damage, another_format_is_named);
    tcase_add_test(damage, a_name_in_a_message_controls_no_terminal);
    TCase *resizing = suite_group(suite, "resizing", 60, set_up, drop_scratch);
    tcase_add_test(resizing, resized_pictures_are_those_of_pillow);
    tcase_add_test(resizing, a_box_of_the_same_size_is_copied);
    tcase_add_test(resizing, one_colour_stays_one_colour);
    return suite;
}
