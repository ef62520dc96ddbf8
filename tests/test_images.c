/* Pictures in files as a dataset: what the network sees of them, and what depends on it. */
#include "data/dataset_images.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/contents.h"
#include "data/image_cut.h"
#include "data/loader.h"
#include "support/datasets.h"
#include "support/png_file.h"
#include "support/suite.h"

enum { SIDE = 6, PIXEL = 3, IMAGE = SIDE * SIDE * PIXEL };

/* The test's folder as images of SIDE x SIDE. */
static struct choice choose_images(void) {
    struct choice data = choose("images");
    set_int(data, "height", SIDE);
    set_int(data, "width", SIDE);
    return data;
}

static struct images_config *config_of(struct choice data) {
    return data.config;
}

/* Pixels that differ in every direction and between pictures. */
static void write_varied(const char *name, int id, int height, int width) {
    uint8_t *pixels = arena_alloc(&arena, (size_t)(height * width * PIXEL));
    for (int i = 0; i < height * width * PIXEL; i++)
        pixels[i] = (uint8_t)(id * 53 + i / PIXEL / width * 11 + i / PIXEL % width * 7 + i % PIXEL * 40);
    png_write(in_folder(name), pixels, height, width, PIXEL);
}

/* Twelve training and four test pictures of two classes. */
static void write_pictures(int height, int width) {
    for (int i = 0; i < 16; i++)
        write_varied(arena_printf(&arena, "%s/%s/%02d.png", i < 12 ? "train" : "test", i % 2 ? "dog" : "cat", i), i,
                     height, width);
}

static const uint8_t *fetched(int split, int index, const struct augment_context *context) {
    static uint8_t pixels[IMAGE];
    ck_assert_msg(dataset_fetch(&dataset, split, index, context, pixels, &err), "%s", err.text);
    return pixels;
}

/* --- What is described and loaded -------------------------------------------------------------------------------- */

START_TEST(a_dataset_is_described_from_folders_alone) {
    struct choice data = choose_images();
    make_folders(in_folder("train/zebra/x"));
    make_folders(in_folder("train/\xff"
                           "ant/x"));
    make_folders(in_folder("test/zebra/x"));
    ck_assert_msg(dataset_describe(&dataset, data, &err), "%s", err.text);
    check_shape(SIDE, SIDE, 3, 2);
    ck_assert_str_eq(dataset.class_names[0], "zebra");
    ck_assert_str_eq(dataset.class_names[1], "\\xffant"); /* bytes that are no UTF-8 can be written all the same */
    ck_assert_int_eq(config_of(data)->classes, 2);
    ck_assert_ptr_null(dataset.images);
}
END_TEST

START_TEST(without_its_files_a_stored_spec_tells_the_number_of_classes) {
    struct choice data = choose_images();
    config_of(data)->path = in_folder("gone");
    ck_assert(!dataset_describe(&dataset, data, &err));
    config_of(data)->classes = 7;
    ck_assert_msg(dataset_describe(&dataset, data, &err), "%s", err.text);
    check_shape(SIDE, SIDE, 3, 7);
    ck_assert(!dataset_load(&dataset, data, 1, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/gone: No such file or directory"));
}
END_TEST

static void expect_refusal(struct choice data, const char *part) {
    ck_assert(!dataset_describe(&dataset, data, &err));
    ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
}

START_TEST(keys_that_do_not_fit_are_refused) {
    struct choice data = choose_images();
    struct images_config good = *config_of(data);
    write_pictures(SIDE, SIDE);
    config_of(data)->channels = 2;
    expect_refusal(data, "data.channels is 2; pictures have 1 (grey) or 3");
    *config_of(data) = good;
    config_of(data)->classes = 3;
    expect_refusal(data, "data.classes is 3, but there are 2");
    *config_of(data) = good;
    config_of(data)->list = in_folder("list");
    expect_refusal(data,
                   "one of data.path (a folder of pictures) and data.list (a file that lists them) is needed, not "
                   "both");
    config_of(data)->path = config_of(data)->list = "";
    expect_refusal(data, "is needed, and neither is given");
    const char *const wrong[] = {"", "2X", "many", "-1", "2GB", "1e400", "nan"};
    for (int i = 0; i < COUNT(wrong); i++) {
        *config_of(data) = good;
        config_of(data)->cache = wrong[i];
        expect_refusal(data, "it is a size such as 500M or 2G, 0 for none, or auto");
    }
}
END_TEST

START_TEST(sizes_of_the_cache_have_units) {
    static const struct {
        const char *text;
        size_t bytes;
    } cases[] = {{"0", 0}, {"123", 123}, {"2K", 2048}, {"1.5M", 3 << 19}, {"2g", (size_t)2 << 30}, {"auto", SIZE_MAX}};
    for (int i = 0; i < COUNT(cases); i++) {
        size_t bytes = 1;
        ck_assert(image_cache_parse(cases[i].text, &bytes));
        ck_assert_uint_eq(bytes, cases[i].bytes);
    }
}
END_TEST

START_TEST(a_limit_takes_as_many_of_each_class) {
    struct choice data = choose_images();
    const int counts[] = {1, 5, 9};
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < counts[c]; i++) {
            write_varied(arena_printf(&arena, "train/%d/%d.png", c, i), i, SIDE, SIDE);
            write_varied(arena_printf(&arena, "test/%d/%d.png", c, i), i, SIDE, SIDE);
        }
    set_int(data, "train_limit", 8);
    load(data);
    check_counts(8, 15);
    const int32_t expected[] = {0, 1, 1, 1, 1, 2, 2, 2};
    ck_assert_mem_eq(dataset.splits[SPLIT_TRAIN].labels, expected, sizeof expected);
    set_int(data, "train_limit", 2);
    load(data);
    ck_assert_mem_eq(dataset.splits[SPLIT_TRAIN].labels, ((int32_t[]){0, 1}), 2 * sizeof(int32_t));
    set_int(data, "train_limit", 100);
    load(data);
    check_counts(15, 15);
}
END_TEST

START_TEST(foreign_files_are_told_of) {
    write_pictures(SIDE, SIDE);
    load(choose_images());
    ck_assert_ptr_null(dataset.remark);
    disk_write_text(in_folder("train/cat/README.txt"), "");
    disk_write_text(in_folder("test/dog/Thumbs.db"), "");
    load(choose_images());
    ck_assert_str_eq(dataset.remark,
                     "2 files were passed over whose names are no pictures', the first: train/cat/README.txt");
}
END_TEST

/* --- Fitting ----------------------------------------------------------------------------------------------------- */

START_TEST(a_picture_of_the_same_size_keeps_its_bytes) {
    const int fits[] = {FIT_CROP, FIT_STRETCH, FIT_PAD};
    write_pictures(SIDE, SIDE);
    for (int filter = 0; filter < 2; filter++)
        for (int f = 0; f < 3; f++) {
            struct choice data = choose_images();
            config_of(data)->fit = fits[f];
            config_of(data)->filter = filter;
            load(data);
            const uint8_t *pixels = fetched(SPLIT_TEST, 1, NULL); /* picture 14 */
            for (int i = 0; i < IMAGE; i++)
                ck_assert_int_eq(pixels[i],
                                 (uint8_t)(14 * 53 + i / PIXEL / SIDE * 11 + i / PIXEL % SIDE * 7 + i % PIXEL * 40));
        }
}
END_TEST

/* A picture three times as wide as it is high: red, green and blue squares. */
static void write_squares(const char *name) {
    enum { HIGH = 12, WIDE = 36 };
    uint8_t pixels[HIGH * WIDE * PIXEL] = {0};
    for (int i = 0; i < HIGH * WIDE; i++)
        pixels[i * PIXEL + i % WIDE / HIGH] = 200;
    png_write(in_folder(name), pixels, HIGH, WIDE, PIXEL);
}

/* The picture of squares, fitted. */
static const uint8_t *squares(int fit) {
    struct choice data = choose_images();
    config_of(data)->fit = fit;
    load(data);
    return fetched(SPLIT_TRAIN, 0, NULL);
}

static void check_pixel(const uint8_t *pixels, int y, int x, int red, int green, int blue) {
    const uint8_t *pixel = pixels + (y * SIDE + x) * PIXEL;
    ck_assert_msg(pixel[0] == red && pixel[1] == green && pixel[2] == blue, "(%d, %d) is %d %d %d", y, x, pixel[0],
                  pixel[1], pixel[2]);
}

START_TEST(crop_takes_the_middle_stretch_all_and_pad_all_with_grey_around) {
    write_squares("train/a/1.png");
    write_squares("train/b/1.png");
    write_squares("test/a/1.png");
    make_folders(in_folder("test/b/x"));
    const uint8_t *pixels = squares(FIT_CROP);
    for (int y = 0; y < SIDE; y++)
        for (int x = 1; x < SIDE - 1; x++) /* the outermost see their neighbours */
            check_pixel(pixels, y, x, 0, 200, 0);
    pixels = squares(FIT_PAD);
    for (int x = 0; x < SIDE; x++)
        for (int y = 0; y < SIDE; y++)
            if (y < 2 || y >= 4)
                check_pixel(pixels, y, x, 128, 128, 128);
    check_pixel(pixels, 2, 0, 200, 0, 0);
    check_pixel(pixels, 3, 5, 0, 0, 200);
    pixels = squares(FIT_STRETCH);
    for (int y = 0; y < SIDE; y++) {
        check_pixel(pixels, y, 0, 200, 0, 0);
        check_pixel(pixels, y, 5, 0, 0, 200);
    }
}
END_TEST

START_TEST(one_channel_is_grey) {
    struct choice data = choose_images();
    write_pictures(SIDE, SIDE);
    png_write_plain(in_folder("train/cat/00.png"), SIDE, SIDE, 100, 150, 200);
    set_int(data, "channels", 1);
    load(data);
    const uint8_t *pixels = fetched(SPLIT_TRAIN, 0, NULL);
    for (int i = 0; i < SIDE * SIDE; i++)
        ck_assert_int_eq(pixels[i], 141); /* 0.299 R + 0.587 G + 0.114 B */
}
END_TEST

/* --- Random parts ------------------------------------------------------------------------------------------------ */

START_TEST(random_parts_lie_within_the_picture_and_keep_their_bounds) {
    const struct images_config config = {.height = 5, .width = 9, .crop_scale = 0.2, .crop_aspect = 0.5};
    int wide = 0, small = 0;
    for (int i = 0; i < 3000; i++) {
        struct augment_context context = {.seed = 3, .position = i};
        struct image_cut cut = image_cut(&config, 60, 90, &context);
        double share = cut.height * cut.width / (60 * 90), aspect = cut.width / cut.height;
        ck_assert(cut.top >= 0 && cut.left >= 0 && cut.top + cut.height <= 60 && cut.left + cut.width <= 90);
        ck_assert(share > 0.18 && share <= 1 && aspect > 0.47 && aspect < 2.13); /* rounded to pixels */
        ck_assert(cut.to_height == 5 && cut.to_width == 9 && cut.to_top == 0 && cut.to_left == 0);
        wide += aspect > 1;
        small += share < 0.6;
    }
    ck_assert(wide > 1000 && wide < 2400);
    ck_assert(small > 1300 && small < 2200);
}
END_TEST

START_TEST(without_crop_scale_training_sees_what_tests_see) {
    const struct augment_context context = {.seed = 1, .position = 9};
    uint8_t tested[IMAGE];
    write_pictures(20, 31);
    load(choose_images());
    memcpy(tested, fetched(SPLIT_TRAIN, 3, NULL), IMAGE);
    ck_assert_mem_eq(fetched(SPLIT_TRAIN, 3, &context), tested, IMAGE);
    struct choice data = choose_images();
    config_of(data)->crop_scale = 0.3;
    load(data);
    ck_assert_mem_eq(fetched(SPLIT_TRAIN, 3, NULL), tested, IMAGE);
    ck_assert_mem_ne(fetched(SPLIT_TRAIN, 3, &context), tested, IMAGE);
}
END_TEST

/* --- Cache and threads ------------------------------------------------------------------------------------------- */

enum { BATCH = 5, BATCHES = 9 };

/* Batches of a run, one after the other; of the arena. */
static real *batches(struct choice data, const char *cache, int threads) {
    real *all = arena_alloc(&arena, (size_t)(BATCHES * BATCH * IMAGE) * sizeof *all);
    config_of(data)->cache = cache;
    set_int(data, "loader_threads", threads);
    load(data);
    struct loader *loader = loader_train(&dataset, data.config, 4, BATCH, 0, &err);
    for (int i = 0; i < BATCHES; i++) {
        const struct batch *batch = loader_next(loader);
        ck_assert_msg(batch != NULL, "no batch");
        memcpy(all + i * BATCH * IMAGE, batch->images, (size_t)(BATCH * IMAGE) * sizeof *all);
    }
    loader_close(loader);
    return all;
}

START_TEST(batches_depend_neither_on_the_cache_nor_on_threads) {
    const char *const caches[] = {"0", "500", "auto", "1G"};
    write_pictures(20, 31);
    for (int random = 0; random < 2; random++) {
        struct choice data = choose_images();
        config_of(data)->crop_scale = random ? 0.3 : 0;
        config_of(data)->common.augment = (struct augment_config){
            .flip = true, .crop_padding = 1, .brightness = 0.4, .saturation = 0.4, .erase = 0.5, .erase_most = 0.3};
        const real *expected = batches(data, "0", 1);
        for (int i = 0; i < COUNT(caches); i++)
            for (int threads = 1; threads < 4; threads += 2)
                ck_assert_mem_eq(batches(data, caches[i], threads), expected,
                                 (size_t)(BATCHES * BATCH * IMAGE) * sizeof *expected);
    }
}
END_TEST

START_TEST(what_is_kept_is_read_once_and_stays_within_the_budget) {
    struct choice data = choose_images();
    uint8_t before[IMAGE];
    write_pictures(20, 31);
    config_of(data)->cache = arena_printf(&arena, "%zu", 2 * (IMAGE + sizeof(struct kept)));
    load(data);
    memcpy(before, fetched(SPLIT_TRAIN, 0, NULL), IMAGE);
    fetched(SPLIT_TRAIN, 1, NULL);
    fetched(SPLIT_TRAIN, 2, NULL);
    disk_remove(in_folder("train"));
    ck_assert_mem_eq(fetched(SPLIT_TRAIN, 0, NULL), before, IMAGE);
    fetched(SPLIT_TRAIN, 1, NULL);
    ck_assert(!dataset_fetch(&dataset, SPLIT_TRAIN, 2, NULL, before, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "train/cat/04.png: cannot be read: No such file or directory"));
}
END_TEST

/* --- Bad pictures ------------------------------------------------------------------------------------------------ */

static void write_bad(const char *name) {
    disk_write_text(in_folder(name), "no picture\n");
}

START_TEST(a_bad_picture_is_named) {
    uint8_t pixels[IMAGE];
    write_pictures(SIDE, SIDE);
    write_bad("train/cat/04.png");
    load(choose_images());
    ck_assert(!dataset_fetch(&dataset, SPLIT_TRAIN, 2, NULL, pixels, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/train/cat/04.png: "));
    ck_assert_ptr_eq(strstr(err.text, folder), err.text);
}
END_TEST

START_TEST(the_next_good_picture_of_its_class_takes_the_place_of_a_bad_one) {
    struct choice data = choose_images();
    uint8_t next[IMAGE], first[IMAGE];
    write_pictures(SIDE, SIDE);
    write_bad("train/cat/04.png");
    write_bad("train/cat/06.png");
    write_bad("train/dog/11.png");
    config_of(data)->on_bad_image = BAD_IMAGE_SKIP;
    load(data);
    memcpy(next, fetched(SPLIT_TRAIN, 4, NULL), IMAGE); /* 08.png */
    ck_assert_mem_eq(fetched(SPLIT_TRAIN, 2, NULL), next, IMAGE);
    ck_assert_mem_eq(fetched(SPLIT_TRAIN, 3, NULL), next, IMAGE);
    memcpy(first, fetched(SPLIT_TRAIN, 6, NULL), IMAGE); /* 01.png, the first dog */
    ck_assert_mem_eq(fetched(SPLIT_TRAIN, 11, NULL), first, IMAGE);
}
END_TEST

/* Whatever is set aside, no image of validation trains in place of a bad one, and none of training validates. */
START_TEST(a_bad_picture_is_replaced_within_what_is_set_aside_or_left) {
    const int splits[] = {SPLIT_TRAIN, SPLIT_VALIDATION};
    struct choice data = choose_images();
    config_of(data)->on_bad_image = BAD_IMAGE_SKIP;
    config_of(data)->common.validation = 4;
    write_pictures(SIDE, SIDE);
    for (int bad = 0; bad < 12; bad++) {
        const char *name = arena_printf(&arena, "train/%s/%02d.png", bad % 2 ? "dog" : "cat", bad);
        write_bad(name);
        load(data);
        ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].count + dataset.splits[SPLIT_VALIDATION].count, 12);
        for (int s = 0; s < 2; s++)
            for (int i = 0; i < dataset.splits[splits[s]].count; i++) {
                const int *files = ((struct images *)dataset.images)->files[SPLIT_TRAIN];
                const struct image_index *index = &((struct images *)dataset.images)->index;
                int own = dataset.splits[splits[s]].stored[i], first = fetched(splits[s], i, NULL)[0], found = 0;
                for (int j = 0; j < dataset.splits[splits[s]].count; j++) { /* whose pixels are they? */
                    int other = dataset.splits[splits[s]].stored[j];
                    int id = atoi(index->names + index->files[files[other]].name);
                    found += (uint8_t)(id * 53) == first && id != bad &&
                             index->files[files[other]].label == index->files[files[own]].label;
                }
                ck_assert_int_eq(found, 1);
            }
        write_varied(name, bad, SIDE, SIDE);
    }
}
END_TEST

START_TEST(a_class_of_bad_pictures_ends_the_run_all_the_same) {
    struct choice data = choose_images();
    uint8_t pixels[IMAGE];
    write_pictures(SIDE, SIDE);
    write_bad("test/dog/13.png");
    write_bad("test/dog/15.png");
    config_of(data)->on_bad_image = BAD_IMAGE_SKIP;
    load(data);
    ck_assert(!dataset_fetch(&dataset, SPLIT_TEST, 2, NULL, pixels, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/test/dog/13.png: "));
}
END_TEST

/* --- The checksum ------------------------------------------------------------------------------------------------ */

static uint64_t checksum(const char *path) {
    struct choice data = choose_images();
    config_of(data)->path = in_folder(path);
    load(data);
    ck_assert_msg(contents_measure(&dataset, &err), "%s", err.text);
    ck_assert(dataset.checksum != 0);
    return dataset.checksum;
}

START_TEST(the_checksum_is_of_names_sizes_and_labels_wherever_the_folder_is) {
    for (int i = 0; i < 8; i++)
        write_varied(arena_printf(&arena, "d/%s/%s/%d.png", i < 4 ? "train" : "test", i % 2 ? "b" : "a", i), i, 4, 5);
    uint64_t first = checksum("d");
    ck_assert_int_eq(rename(in_folder("d"), in_folder("e")), 0);
    ck_assert_uint_eq(checksum("e"), first);
    ck_assert_int_eq(rename(in_folder("e/train/a/0.png"), in_folder("e/train/a/1.png")), 0);
    uint64_t renamed = checksum("e");
    ck_assert_uint_ne(renamed, first);
    ck_assert_int_eq(rename(in_folder("e/train/a/1.png"), in_folder("e/train/b/0.png")), 0);
    ck_assert_uint_ne(checksum("e"), renamed);
    ck_assert_int_eq(rename(in_folder("e/train/b/0.png"), in_folder("e/train/a/0.png")), 0);
    ck_assert_uint_eq(checksum("e"), first);
    write_varied("e/train/a/0.png", 0, 40, 50);
    ck_assert_uint_ne(checksum("e"), first);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("images");
    TCase *tcase = suite_group(suite, "pictures", 60, dataset_set_up, dataset_tear_down);
    tcase_add_test(tcase, a_dataset_is_described_from_folders_alone);
    tcase_add_test(tcase, without_its_files_a_stored_spec_tells_the_number_of_classes);
    tcase_add_test(tcase, keys_that_do_not_fit_are_refused);
    tcase_add_test(tcase, sizes_of_the_cache_have_units);
    tcase_add_test(tcase, a_limit_takes_as_many_of_each_class);
    tcase_add_test(tcase, foreign_files_are_told_of);
    tcase_add_test(tcase, a_picture_of_the_same_size_keeps_its_bytes);
    tcase_add_test(tcase, crop_takes_the_middle_stretch_all_and_pad_all_with_grey_around);
    tcase_add_test(tcase, one_channel_is_grey);
    tcase_add_test(tcase, random_parts_lie_within_the_picture_and_keep_their_bounds);
    tcase_add_test(tcase, without_crop_scale_training_sees_what_tests_see);
    tcase_add_test(tcase, batches_depend_neither_on_the_cache_nor_on_threads);
    tcase_add_test(tcase, what_is_kept_is_read_once_and_stays_within_the_budget);
    tcase_add_test(tcase, a_bad_picture_is_named);
    tcase_add_test(tcase, the_next_good_picture_of_its_class_takes_the_place_of_a_bad_one);
    tcase_add_test(tcase, a_bad_picture_is_replaced_within_what_is_set_aside_or_left);
    tcase_add_test(tcase, a_class_of_bad_pictures_ends_the_run_all_the_same);
    tcase_add_test(tcase, the_checksum_is_of_names_sizes_and_labels_wherever_the_folder_is);
    return suite;
}
