/* Each allocation of decoding and resizing fails once: the picture comes out as it would have, or the error is that
 * there is no memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "picture/picture.h"
#include "picture/resize.h"
#include "support/disk.h"
#include "support/suite.h"

/* --- Allocation -------------------------------------------------------------------------------------------------- */

/* What stands before the functions of the C library, or of AddressSanitizer where that is, and these. */
void *malloc_or_fail(size_t bytes) __asm__("malloc");
int memalign_or_fail(void **memory, size_t alignment, size_t bytes) __asm__("posix_memalign");
void *libc_malloc(size_t bytes) __asm__("__libc_malloc");
void *libc_memalign(size_t alignment, size_t bytes) __asm__("__libc_memalign");
__attribute__((weak)) void *sanitizer_malloc(size_t bytes) __asm__("__interceptor_malloc");
__attribute__((weak)) int sanitizer_memalign(void **memory, size_t alignment,
                                             size_t bytes) __asm__("__interceptor_posix_memalign");

static long until_failure; /* allocations, the failing one included; 0: none fails */
static bool has_failed;

static bool fails(void) {
    if (until_failure == 0 || --until_failure > 0)
        return false;
    has_failed = true;
    return true;
}

void *malloc_or_fail(size_t bytes) {
    if (fails())
        return NULL;
    return sanitizer_malloc ? sanitizer_malloc(bytes) : libc_malloc(bytes);
}

int memalign_or_fail(void **memory, size_t alignment, size_t bytes) {
    if (fails())
        return ENOMEM;
    if (sanitizer_memalign)
        return sanitizer_memalign(memory, alignment, bytes);
    *memory = libc_memalign(alignment, bytes);
    return *memory ? 0 : ENOMEM;
}

/* --- Decoding ---------------------------------------------------------------------------------------------------- */

static const char *const paths[] = {
    "tests/pictures/ycbcr_420.jpg",
    "tests/pictures/progressive.jpg",
    "tests/pictures/ycck.jpg",
    "tests/pictures/turned_6_big_endian.jpg",
    "tests/pictures/rgb_alpha_16.png",
    "tests/pictures/palette_transparent.png",
    "tests/pictures/interlaced_palette.png",
    "tests/pictures/turned_after.png",
};

/* Whether the allocation was reached. */
static bool check_decoding(const struct picture *whole, const char *bytes, size_t count, long failing) {
    struct picture picture;
    struct error err;
    until_failure = failing;
    has_failed = false;
    bool good =
        picture_decode(&picture, (const uint8_t *)bytes, count, "a.jpg", (struct picture_want){.channels = 3}, &err);
    until_failure = 0;
    size_t size = (size_t)whole->width * (size_t)whole->height * 3;
    ck_assert_msg(good || err.code == ERROR_NO_MEMORY, "allocation %ld: %s", failing, err.text);
    ck_assert(good ? !memcmp(picture.pixels, whole->pixels, size) : !picture.pixels);
    picture_free(&picture);
    return has_failed;
}

START_TEST(a_picture_that_lacks_memory_says_so) {
    size_t count;
    struct picture whole;
    struct error err;
    char *bytes = disk_read(paths[_i], &count);
    long failing = 1;
    ck_assert(picture_decode(&whole, (uint8_t *)bytes, count, paths[_i], (struct picture_want){.channels = 3}, &err));
    while (check_decoding(&whole, bytes, count, failing))
        failing++;
    ck_assert_int_gt(failing, 4);
    picture_free(&whole);
    free(bytes);
}
END_TEST

START_TEST(a_header_that_lacks_memory_says_so) {
    size_t count;
    struct picture_size size;
    struct error err;
    char *bytes = disk_read(paths[_i], &count);
    has_failed = true;
    for (long failing = 1; has_failed; failing++) {
        has_failed = false;
        until_failure = failing;
        bool good = picture_probe(&size, (const uint8_t *)bytes, count, "a.jpg", &err);
        until_failure = 0;
        ck_assert_msg(good || err.code == ERROR_NO_MEMORY, "allocation %ld: %s", failing, err.text);
    }
    free(bytes);
}
END_TEST

START_TEST(resizing_that_lacks_memory_says_so) {
    static uint8_t pixels[9 * 9], out[9];
    const struct picture grey = {9, 9, 1, 1, pixels};
    struct resize_scratch scratch = {0};
    struct error err;
    until_failure = 1;
    ck_assert(!picture_resize(out, 3, 3, &grey, (struct picture_box){0, 0, 9, 9}, PICTURE_BILINEAR, &scratch, &err));
    ck_assert_int_eq(err.code, ERROR_NO_MEMORY);
    ck_assert_ptr_null(scratch.memory);
    until_failure = 0;
    ck_assert(picture_resize(out, 3, 3, &grey, (struct picture_box){0, 0, 9, 9}, PICTURE_BILINEAR, &scratch, &err));
    resize_scratch_free(&scratch);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("picture_faults");
    TCase *tcase = suite_group(suite, "allocations", 120, NULL, NULL);
    tcase_add_loop_test(tcase, a_picture_that_lacks_memory_says_so, 0, COUNT(paths));
    tcase_add_loop_test(tcase, a_header_that_lacks_memory_says_so, 0, COUNT(paths));
    tcase_add_test(tcase, resizing_that_lacks_memory_says_so);
    return suite;
}
