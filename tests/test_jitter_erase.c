/* Random changes of pixels: brightness, contrast, saturation, and rectangles that are erased. */
#include <math.h>
#include <string.h>

#include "data/normalize.h"
#include "support/suite.h"

enum { SIDE = 12, WIDE = 20, PIXELS = SIDE * WIDE };

static struct augment_context context_of(uint64_t seed, int64_t position, int channels) {
    return (struct augment_context){seed, position, SIDE, WIDE, channels};
}

static void make_pixels(uint8_t *pixels, int count) {
    for (int i = 0; i < count; i++)
        pixels[i] = (uint8_t)((i * 37 + i / 7 * 11) % 256);
}

static void paint(uint8_t *pixels, struct augment_config config, uint64_t seed, int64_t position) {
    struct augment_context context = context_of(seed, position, 3);
    make_pixels(pixels, 3 * PIXELS);
    augment_paint(&config, &context, pixels);
}

START_TEST(without_their_keys_no_pixel_changes_and_nothing_is_erased) {
    uint8_t pixels[3 * PIXELS], before[3 * PIXELS];
    struct augment_context context = context_of(1, 5, 3);
    make_pixels(before, 3 * PIXELS);
    paint(pixels, (struct augment_config){.flip = true, .crop_padding = 2}, 1, 5);
    ck_assert_mem_eq(pixels, before, sizeof before);
    struct placement placement = augment_draw(&(struct augment_config){.flip = true}, &context);
    ck_assert(placement.erased.height == 0 && placement.erased.width == 0);
}
END_TEST

START_TEST(colours_follow_from_seed_and_position) {
    const struct augment_config config = {.brightness = 0.4, .contrast = 0.4, .saturation = 0.4};
    uint8_t a[3 * PIXELS], again[3 * PIXELS], next[3 * PIXELS], other[3 * PIXELS];
    paint(a, config, 3, 100);
    paint(again, config, 3, 100);
    paint(next, config, 3, 101);
    paint(other, config, 4, 100);
    ck_assert_mem_eq(a, again, sizeof a);
    ck_assert_mem_ne(a, next, sizeof a);
    ck_assert_mem_ne(a, other, sizeof a);
}
END_TEST

static float limited(double value) {
    return (float)fmin(fmax(value, 0), 255);
}

/* Each draw of the stream is one of [-1, 1): the first is for brightness, then contrast and saturation. */
static double factor(struct rng *rng, double most) {
    return 1 + most * (2 * rng_uniform(rng) - 1);
}

static double grey_of(const double *p) {
    return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

/* As torchvision's ColorJitter in the order brightness, contrast, saturation, on real numbers. */
static void reference(double *to, const uint8_t *from, struct augment_config config,
                      const struct augment_context *context) {
    struct rng rng = augment_rng(context, STREAM_JITTER);
    double bright = factor(&rng, config.brightness), contrast = factor(&rng, config.contrast),
           saturate = factor(&rng, config.saturation), mean = 0;
    for (int i = 0; i < 3 * PIXELS; i++)
        to[i] = limited(bright * from[i]);
    for (int i = 0; i < PIXELS; i++)
        mean += grey_of(to + 3 * i) / PIXELS;
    for (int i = 0; i < 3 * PIXELS; i++)
        to[i] = limited(mean + contrast * (to[i] - mean));
    for (int i = 0; i < PIXELS; i++) {
        double grey = grey_of(to + 3 * i);
        for (int c = 0; c < 3; c++)
            to[3 * i + c] = limited(grey + saturate * (to[3 * i + c] - grey));
    }
}

START_TEST(colours_equal_the_reference) {
    const struct augment_config config = {.brightness = 0.5, .contrast = 0.7, .saturation = 1};
    uint8_t pixels[3 * PIXELS], before[3 * PIXELS];
    double expected[3 * PIXELS];
    make_pixels(before, 3 * PIXELS);
    for (int i = 0; i < 50; i++) {
        struct augment_context context = context_of(7, i, 3);
        paint(pixels, config, 7, i);
        reference(expected, before, config, &context);
        for (int p = 0; p < 3 * PIXELS; p++)
            ck_assert_double_eq_tol(pixels[p], expected[p], 0.51);
    }
}
END_TEST

START_TEST(one_key_does_not_change_what_another_draws) {
    uint8_t both[3 * PIXELS], alone[3 * PIXELS];
    int same = 0;
    for (int i = 0; i < 20; i++) { /* grey pixels have no saturation */
        struct augment_context context = context_of(7, i, 3);
        for (int p = 0; p < 3 * PIXELS; p++)
            both[p] = alone[p] = (uint8_t)(p / 3 % 256);
        augment_paint(&(struct augment_config){.contrast = 0.5}, &context, alone);
        augment_paint(&(struct augment_config){.contrast = 0.5, .saturation = 0.5}, &context, both);
        same += !memcmp(both, alone, sizeof both);
    }
    ck_assert_int_eq(same, 20);
}
END_TEST

START_TEST(grey_images_have_brightness_and_contrast) {
    uint8_t pixels[PIXELS], before[PIXELS];
    struct augment_context context = context_of(2, 3, 1);
    make_pixels(before, PIXELS);
    memcpy(pixels, before, sizeof before);
    augment_paint(&(struct augment_config){.saturation = 1}, &context, pixels);
    ck_assert_mem_eq(pixels, before, sizeof before);
    augment_paint(&(struct augment_config){.brightness = 0.5}, &context, pixels);
    ck_assert_mem_ne(pixels, before, sizeof before);
}
END_TEST

static struct placement draw(struct augment_config config, int64_t position) {
    struct augment_context context = context_of(9, position, 3);
    return augment_draw(&config, &context);
}

START_TEST(rectangles_lie_within_the_image_and_have_their_share_of_it) {
    const struct augment_config config = {.erase = 0.5, .erase_most = 0.4};
    int erased = 0;
    for (int i = 0; i < 2000; i++) {
        struct placement p = draw(config, i), again = draw(config, i);
        ck_assert_mem_eq(&p.erased, &again.erased, sizeof p.erased);
        erased += p.erased.height > 0;
        ck_assert(p.erased.top >= 0 && p.erased.top + p.erased.height <= SIDE);
        ck_assert(p.erased.left >= 0 && p.erased.left + p.erased.width <= WIDE);
        ck_assert_double_le(p.erased.height * p.erased.width, 0.45 * PIXELS);
    }
    ck_assert_int_gt(erased, 900); /* of 2000, half; five deviations are 112 */
    ck_assert_int_lt(erased, 1112);
}
END_TEST

START_TEST(erasing_moves_neither_flips_nor_crops) {
    for (int i = 0; i < 200; i++) {
        struct augment_config config = {.flip = true, .crop_padding = 3};
        struct placement without = draw(config, i);
        config.erase = config.erase_most = 1;
        struct placement with = draw(config, i);
        ck_assert(with.flipped == without.flipped && with.down == without.down && with.right == without.right);
    }
}
END_TEST

START_TEST(what_is_erased_is_zero_network_input_and_nothing_else_is) {
    const struct dataset dataset = {.height = SIDE, .width = WIDE, .channels = 3};
    const struct data_config config = {.pixel_mean = {1, {300}}, .pixel_scale = {1, {1}}}; /* no pixel becomes zero */
    struct normalizer normalizer = normalizer_make(&dataset, &config);
    struct placement placement = {.flipped = true, .erased = {3, 5, 4, 15}};
    uint8_t pixels[3 * PIXELS];
    real input[3 * PIXELS];
    make_pixels(pixels, 3 * PIXELS);
    normalize_image(&normalizer, placement, pixels, input);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < WIDE; x++)
            for (int c = 0; c < 3; c++)
                ck_assert_int_eq(input[(y * WIDE + x) * 3 + c] == 0, y >= 3 && y < 7 && x >= 5);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("jitter and erase");
    TCase *tcase = suite_group(suite, "pixels", 60, NULL, NULL);
    tcase_add_test(tcase, without_their_keys_no_pixel_changes_and_nothing_is_erased);
    tcase_add_test(tcase, colours_follow_from_seed_and_position);
    tcase_add_test(tcase, colours_equal_the_reference);
    tcase_add_test(tcase, one_key_does_not_change_what_another_draws);
    tcase_add_test(tcase, grey_images_have_brightness_and_contrast);
    tcase_add_test(tcase, rectangles_lie_within_the_image_and_have_their_share_of_it);
    tcase_add_test(tcase, erasing_moves_neither_flips_nor_crops);
    tcase_add_test(tcase, what_is_erased_is_zero_network_input_and_nothing_else_is);
    return suite;
}
