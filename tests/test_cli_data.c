/* `spherenet data`: what a spec's data are. */
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/png_file.h"
#include "support/program.h"
#include "support/suite.h"

#define IMAGES "spec.yaml --set network.layers[3].units=3 --set 'data={type: images, path: d, height: 8, width: 8%s}' "

/* Of class i of three, whose colour is red, green or blue. */
static void write_plain(const char *split, int class, int number, int height, int width) {
    png_write_plain(arena_printf(&arena, "d/%s/%s/%d.png", split,
                                 class == 0   ? "x"
                                 : class == 1 ? "y"
                                              : "z",
                                 number),
                    height, width, class == 0 ? 90 : 0, class == 1 ? 90 : 0, class == 2 ? 90 : 0);
}

/* Three of each class to train, of growing size, and of class y and z two and one to test. */
static void write_folders(void) {
    for (int i = 0; i < 9; i++)
        write_plain("train", i % 3, i, 8 + i, 10 + i);
    write_plain("test", 1, 1, 100, 200);
    write_plain("test", 1, 2, 8, 9);
    write_plain("test", 2, 3, 8, 10);
    make_folders("d/test/x/x");
}

START_TEST(counts_sizes_and_pixels_are_those_of_the_files) {
    write_folders();
    disk_write_text("d/train/x/notes.txt", "");
    for (int threads = 1; threads < 4; threads += 2) {
        run(0, "data " IMAGES "--set train.threads=%d", "", threads);
        expect_output("images: images of 8x8x3, 3 classes\n"
                      "class                             train       test\n"
                      "x                                     3          0\n"
                      "y                                     3          2\n"
                      "z                                     3          1\n"
                      "all                                   9          3\n"
                      "pictures: height x width from 8x9 by 11x13 (the median) to 100x200\n"
                      "training pixels: mean 30.000 30.000 30.000, deviation 42.426 42.426 42.426\n"
                      "1 file was passed over whose names are no pictures', the first: train/x/notes.txt\n");
    }
}
END_TEST

START_TEST(damaged_files_are_listed_with_their_reasons_whatever_becomes_of_them_in_training) {
    const char *const ways[] = {"stop", "skip"};
    write_folders();
    ck_assert_int_eq(truncate("d/train/y/4.png", 60), 0);
    disk_write_text("d/test/z/3.png", "no picture");
    for (int i = 0; i < 2; i++) {
        run(1, "data " IMAGES, arena_printf(&arena, ", on_bad_image: %s", ways[i]));
        expect_output("2 damaged:\n  d/train/y/4.png: ");
        expect_output("\n  d/test/z/3.png: ");
        expect_output("training pixels: mean 33.750 22.500 33.750"); /* of the eight that are good */
        expect_output("to 100x200\n");
    }
}
END_TEST

START_TEST(data_in_no_picture_files_are_looked_at_likewise) {
    run(0, "data spec.yaml");
    expect_output("synthetic: images of 8x8x3, 4 classes\n");
    expect_output("class 3                              16          7\n");
    expect_output("all                                  64         29\n");
    expect_output("from 8x8 by 8x8 (the median) to 8x8\n");
}
END_TEST

/* --- Sheets ------------------------------------------------------------------------------------------------------ */

static uint8_t *sheet;
static int sheet_height, sheet_width;

static void read_sheet(const char *path) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    ck_assert_msg(png_image_begin_read_from_file(&image, path), "%s", image.message);
    image.format = PNG_FORMAT_RGB;
    sheet_height = (int)image.height;
    sheet_width = (int)image.width;
    sheet = arena_alloc(&arena, PNG_IMAGE_SIZE(image));
    ck_assert_msg(png_image_finish_read(&image, NULL, sheet, 0, NULL), "%s", image.message);
}

static const uint8_t *pixel(int y, int x) {
    return sheet + (y * sheet_width + x) * 3;
}

/* Pixels of that colour, give or take one, on the whole sheet. */
static int count(int red, int green, int blue) {
    int found = 0;
    for (int i = 0; i < sheet_height * sheet_width; i++) {
        const uint8_t *p = pixel(0, i);
        found += abs(p[0] - red) < 2 && abs(p[1] - green) < 2 && abs(p[2] - blue) < 2;
    }
    return found;
}

enum { CELL = 64 + 2, SHEET = 8 * CELL + 2 };

START_TEST(a_sheet_shows_images_as_the_network_sees_them) {
    write_folders();
    run(0, "data " IMAGES "--sheet a.png", "");
    expect_output("a.png\n");
    read_sheet("a.png");
    ck_assert(sheet_height == SHEET && sheet_width == SHEET);
    ck_assert(pixel(0, 0)[0] == 255 && pixel(CELL, CELL)[1] == 255); /* between images */
    ck_assert_int_eq(count(90, 0, 0) + count(0, 90, 0) + count(0, 0, 90), 64 * 64 * 64);
    for (int class = 0; class < 3; class ++) /* 64 draws of nine images, seven times each and one more of one */
        ck_assert_int_ge(count(class == 0 ? 90 : 0, class == 1 ? 90 : 0, class == 2 ? 90 : 0), 21 * 64 * 64);
}
END_TEST

START_TEST(a_sheet_shows_augmentation_with_the_mean_where_there_is_nothing) {
    const char *const keys[] = {", crop_padding: 4", ", erase: 1", ", brightness: 0.9"};
    write_folders();
    for (int i = 0; i < COUNT(keys); i++) {
        run(0, "data " IMAGES "--sheet a.png", arena_printf(&arena, ", pixel_mean: [10, 20, 250]%s", keys[i]));
        read_sheet("a.png");
        ck_assert_int_lt(count(90, 0, 0) + count(0, 90, 0) + count(0, 0, 90), 60 * 64 * 64);
        ck_assert((count(10, 20, 250) > 1000) == (i < 2));
    }
}
END_TEST

START_TEST(a_sheet_of_grey_images_is_grey) {
    run(0, "data spec.yaml --set data.channels=1 --sheet a.png");
    read_sheet("a.png");
    for (int i = 0; i < sheet_height * sheet_width; i++)
        ck_assert(pixel(0, i)[0] == pixel(0, i)[1] && pixel(0, i)[1] == pixel(0, i)[2]);
}
END_TEST

START_TEST(a_sheet_that_cannot_be_written_is_an_error) {
    write_folders();
    run(1, "data " IMAGES "--sheet none/a.png", "");
    expect_error("none/a.png: cannot be written: No such file or directory");
    run(1, "data " IMAGES "--sheet /dev/full", "");
    expect_error("/dev/full: cannot be written");
    ck_assert(disk_exists("/dev/full"));
    ck_assert_int_eq(truncate("d/train/y/4.png", 60), 0);
    run(1, "data " IMAGES "--sheet a.png", "");
    expect_error("d/train/y/4.png: ");
    ck_assert(!disk_exists("a.png"));
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("cli data");
    TCase *tcase = suite_group(suite, "data", 120, program_set_up, program_tear_down);
    tcase_add_test(tcase, counts_sizes_and_pixels_are_those_of_the_files);
    tcase_add_test(tcase, damaged_files_are_listed_with_their_reasons_whatever_becomes_of_them_in_training);
    tcase_add_test(tcase, data_in_no_picture_files_are_looked_at_likewise);
    tcase_add_test(tcase, a_sheet_shows_images_as_the_network_sees_them);
    tcase_add_test(tcase, a_sheet_shows_augmentation_with_the_mean_where_there_is_nothing);
    tcase_add_test(tcase, a_sheet_of_grey_images_is_grey);
    tcase_add_test(tcase, a_sheet_that_cannot_be_written_is_an_error);
    return suite;
}
