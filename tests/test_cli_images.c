/* Runs on pictures in files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/compare.h"
#include "support/png_file.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

enum { SIDE = 32, PIXELS = SIDE * SIDE, RECORD = 1 + 3 * PIXELS, FILES = 5, RECORDS = 7, CLASSES = 10 };

static const char *const classes[CLASSES] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                             "dog",      "frog",       "horse", "ship", "truck"};

/* --- The same images twice: as CIFAR-10's binary files, and as PNGs with a list of their order -------------------- */

static uint8_t value(int image, int pixel, int channel) {
    return (uint8_t)(image * 29 + pixel / SIDE * 5 + pixel % SIDE * 3 + channel * 71 + image * pixel % 13);
}

/* The record of an image of that number, which is also written as PNG and added to the list. */
static void write_image(uint8_t *record, int image, const char *split, struct text *list) {
    uint8_t pixels[3 * PIXELS];
    int label = image * 7 % CLASSES;
    const char *name = arena_printf(&arena, "%s/%s/%03d.png", split, classes[label], 999 - image);
    record[0] = (uint8_t)label;
    for (int i = 0; i < PIXELS; i++)
        for (int c = 0; c < 3; c++)
            record[1 + c * PIXELS + i] = pixels[3 * i + c] = value(image, i, c);
    png_write(arena_printf(&arena, "pictures/%s", name), pixels, SIDE, SIDE, 3);
    text_printf(list, "%s\t%s\t%s\n", name, classes[label], split);
}

static void write_twice(void) {
    struct text list = {0};
    uint8_t *records = arena_alloc(&arena, (size_t)RECORDS * RECORD);
    ck_assert_int_eq(mkdir("binary", 0777), 0);
    for (int f = 0; f <= FILES; f++) {
        const char *name =
            f < FILES ? arena_printf(&arena, "binary/data_batch_%d.bin", f + 1) : "binary/test_batch.bin";
        for (int i = 0; i < RECORDS; i++)
            write_image(records + i * RECORD, f * RECORDS + i, f < FILES ? "train" : "test", &list);
        disk_write(name, records, (size_t)RECORDS * RECORD);
    }
    disk_write_text("pictures/list.tsv", list.data);
    text_free(&list);
}

#define TRAIN                                                                                                          \
    "train spec.yaml --set schedule=constant --set network.layers[3].units=10 --set train.eval_every=2 "               \
    "--set train.iterations=6 --run-dir %s --set 'data={%s, flip: true, crop_padding: 2, standardize: true}'"
#define PICTURES "type: images, height: 32, width: 32"

/* Every tensor of both runs' last checkpoints, weights and optimizer's state, has the same bytes. */
static void expect_same_tensors(const char *run_dir, const char *other) {
    struct tensor_file a, b;
    read_tensors(&a, checkpoint(run_dir, 6));
    read_tensors(&b, checkpoint(other, 6));
    ck_assert_int_eq(a.tensor_count, b.tensor_count);
    ck_assert_int_gt(a.tensor_count, 5);
    for (int t = 0; t < a.tensor_count; t++) {
        size_t count = 1;
        for (int d = 0; d < a.tensors[t].dims; d++)
            count *= (size_t)a.tensors[t].shape[d];
        ck_assert_str_eq(a.tensors[t].name, b.tensors[t].name);
        ck_assert_mem_eq(a.tensors[t].data, b.tensors[t].data, count * sizeof(real));
    }
    tensor_file_free(&a);
    tensor_file_free(&b);
}

START_TEST(pictures_train_as_the_binary_files_of_the_same_images_do) {
    write_twice();
    run(0, TRAIN, "binary_run", "type: cifar10, path: binary");
    const char *const ways[] = {"cache: 0", "cache: 1G, loader_threads: 3", "cache: 20K, loader_threads: 2"};
    for (int i = 0; i < COUNT(ways); i++) {
        const char *run_dir = arena_printf(&arena, "picture_run%d", i);
        run(0, TRAIN, run_dir, arena_printf(&arena, PICTURES ", list: pictures/list.tsv, %s", ways[i]));
        expect_same_lines(without_times(in_run(run_dir, "train.csv")), without_times("binary_run/train.csv"),
                          "train.csv");
        expect_same_lines(without_times(in_run(run_dir, "eval.csv")), without_times("binary_run/eval.csv"), "eval.csv");
        expect_same_tensors(run_dir, "binary_run");
    }
}
END_TEST

/* --- Folders ----------------------------------------------------------------------------------------------------- */

/* Three classes of eight pictures, of other sizes than the network's. */
static void write_folders(const char *root) {
    for (int i = 0; i < 24; i++)
        png_write_plain(arena_printf(&arena, "%s/%c/%02d.png", root, "xyz"[i % 3], i), 9 + i % 4, 12 - i % 5,
                        i % 3 == 0 ? 200 - i : i, i % 3 == 1 ? 200 - i : i, i % 3 == 2 ? 200 - i : i);
}

#define SMALL                                                                                                          \
    "train spec.yaml --set schedule=constant --set network.layers[3].units=3 --set train.eval_every=3 "                \
    "--set train.batch_size=6 --set 'data={type: images, path: %s, height: 8, width: 8, crop_scale: 0.5%s}' "

START_TEST(a_run_is_resumed_where_its_pictures_have_moved) {
    write_folders("d");
    run(0, SMALL "--set train.iterations=8 --run-dir whole", "d", "");
    run(0, SMALL "--set train.iterations=4", "d", "");
    expect_output("data: 18 training and 6 test images of 8x8x3, 3 classes\n");
    ck_assert_int_eq(rename("d", "e"), 0);
    run(0, SMALL "--set train.iterations=8 --resume", "e", ", cache: 0, loader_threads: 2");
    expect_output("resumed at iteration 4\n");
    expect_same_lines(without_times("runs/tiny/train.csv"), without_times("whole/train.csv"), "train.csv");
    run(0, "eval runs/tiny --set data.path=e");
    ck_assert_int_eq(rename("e/x/00.png", "e/x/000.png"), 0);
    run(1, SMALL "--set train.iterations=9 --resume", "e", "");
    expect_error("the run trained on other data: it had 18 images, checksum ");
}
END_TEST

START_TEST(a_folder_of_validation_pictures_chooses_the_best) {
    write_folders("d/train");
    write_folders("d/test");
    write_folders("d/val");
    ck_assert_int_eq(shell("rm d/val/?/2?.png"), 0);
    run(0, SMALL "--set train.iterations=6", "d", "");
    expect_output("data: 24 training, 20 validation and 24 test images of 8x8x3, 3 classes\n");
    run(0, "eval runs/tiny --split validation");
    expect_output(", 20 validation images\n");
    run(2, SMALL, "d", ", validation: 0.1");
    expect_error("but this dataset has validation images of its own");
}
END_TEST

START_TEST(training_pictures_are_set_aside_for_validation) {
    write_folders("d");
    run(0, SMALL "--set train.iterations=6", "d", ", validation: 6");
    expect_output("data: 12 training, 6 validation and 6 test images of 8x8x3, 3 classes\n");
    run(0, "eval runs/tiny --split validation");
    expect_output(", 6 validation images\n");
    run(0, SMALL "--set train.iterations=8 --resume", "d", ", validation: 6");
}
END_TEST

START_TEST(the_resolved_spec_has_the_number_of_classes) {
    write_folders("d");
    run(0, "show spec.yaml --set network.layers[3].units=3 --set 'data={type: images, path: d, height: 8, width: 8}'");
    expect_output("  classes: 3\n");
}
END_TEST

START_TEST(a_damaged_picture_ends_a_run_with_its_name) {
    write_folders("d");
    ck_assert_int_eq(truncate("d/y/07.png", 60), 0);
    run(1, SMALL "--set train.iterations=9", "d", "");
    expect_error("d/y/07.png: ");
    expect_error("data.on_bad_image: skip");
}
END_TEST

START_TEST(damaged_pictures_are_replaced_and_each_is_told_of_once) {
    write_folders("d");
    ck_assert_int_eq(truncate("d/y/07.png", 60), 0);
    ck_assert_int_eq(truncate("d/z/08.png", 0), 0);
    int told = 0;
    for (int threads = 1; threads < 4; threads += 2) {
        run(0, SMALL "--set train.iterations=12 --run-dir run%d", "d",
            arena_printf(&arena, ", on_bad_image: skip, loader_threads: %d", threads), threads);
        const char *log = read_text(arena_printf(&arena, "run%d/run.log", threads));
        const char *y = strstr(log, "d/y/07.png: "), *z = strstr(log, "d/z/08.png: ");
        ck_assert(y && z && strstr(log, "; the next picture of its class takes its place\n"));
        ck_assert(!strstr(y + 1, "d/y/07.png: ") && !strstr(z + 1, "d/z/08.png: "));
    }
    expect_same_lines(without_times("run1/train.csv"), without_times("run3/train.csv"), "train.csv");
    for (int i = 0; i < 2; i++) {
        const char *const splits[] = {"train", "test"};
        run(0, "eval run1 --split %s 2>errors", splits[i]);
        const char *text = read_text("errors");
        told += !!strstr(text, "spherenet: warning: d/y/07.png: ") + !!strstr(text, "warning: d/z/08.png: ");
    }
    ck_assert_int_eq(told, 2);
}
END_TEST

START_TEST(memory_for_the_cache_counts_before_a_run_begins) {
    write_folders("d");
    run(1, SMALL, "d", ", cache: 900T");
    expect_error("batches of images and data.cache 98956");
    expect_error("Lower train.batch_size, data.cache or the widths");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("cli images");
    TCase *tcase = suite_group(suite, "runs", 120, program_set_up, program_tear_down);
    tcase_add_test(tcase, pictures_train_as_the_binary_files_of_the_same_images_do);
    tcase_add_test(tcase, a_run_is_resumed_where_its_pictures_have_moved);
    tcase_add_test(tcase, a_folder_of_validation_pictures_chooses_the_best);
    tcase_add_test(tcase, training_pictures_are_set_aside_for_validation);
    tcase_add_test(tcase, the_resolved_spec_has_the_number_of_classes);
    tcase_add_test(tcase, a_damaged_picture_ends_a_run_with_its_name);
    tcase_add_test(tcase, damaged_pictures_are_replaced_and_each_is_told_of_once);
    tcase_add_test(tcase, memory_for_the_cache_counts_before_a_run_begins);
    return suite;
}
