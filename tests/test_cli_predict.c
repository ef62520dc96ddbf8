/* `spherenet predict`: the classes of pictures in files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/compare.h"
#include "support/png_file.h"
#include "support/program.h"
#include "support/suite.h"

/* A trained network, and folders of pictures of three sizes with one that is damaged and one file that is none. */
static void prepare(void) {
    make_folders("p/a");
    run(0, "train spec.yaml");
    png_write_plain("p/b.png", 8, 8, 200, 10, 10);
    png_write_plain("p/a/z.png", 30, 20, 10, 200, 10);
    png_write_plain("p/c, d.png", 300, 500, 10, 10, 200);
    disk_write_text("p/notes.txt", "");
}

START_TEST(folders_are_walked_in_the_order_of_bytes_and_other_files_are_counted) {
    prepare();
    run(0, "predict runs/tiny p");
    expect_output("file,error,class,probability,angle\np/a/z.png,,class ");
    expect_output("\np/b.png,,class ");
    expect_output("\n\"p/c, d.png\",,class ");
    expect_error("1 file was passed over");
}
END_TEST

START_TEST(a_damaged_picture_gets_a_row_that_says_so_and_the_others_go_on) {
    prepare();
    disk_write_text("p/bad.png", "no picture");
    run(1, "predict runs/tiny p/bad.png p/b.png p/absent.png");
    expect_output("p/bad.png,");
    expect_output("\np/b.png,,class ");
    expect_output("p/absent.png: cannot be read: No such file or directory,,,\n");
    expect_error("2 of 3 pictures without prediction");
    run(1, "predict runs/tiny --format jsonl p/bad.png");
    expect_output("{\"file\":\"p/bad.png\",\"error\":\"p/bad.png: ");
}
END_TEST

/* --- As eval and features see them ------------------------------------------------------------------------------- */

/* Pictures of three classes, of other sizes than the network's, and a network that half knows them. */
static void train_on_pictures(const char *data_keys) {
    for (int i = 0; i < 24; i++)
        for (int test = 0; test < 2; test++)
            png_write_plain(arena_printf(&arena, "d/%s/%c/%02d.png", test ? "test" : "train", "xyz"[i % 3], i),
                            9 + i % 4, 12 - i % 5, i % 3 == 0 ? 220 - 9 * i : 9 * i, i % 2 == 1 ? 200 - i : i, 5 * i);
    run(0,
        "train spec.yaml --set schedule=constant --set network.layers[3].units=3 --set train.iterations=6 "
        "--set train.batch_size=5 --set 'data={type: images, path: d, height: 8, width: 8%s}'",
        data_keys);
}

/* Field number `field` of each line but the first, one after the other with a blank behind each. */
static const char *column(const char *path, int field) {
    shell(arena_printf(&arena, "tail -n +2 %s | cut -d, -f%d | tr '\\n' ' ' >column.txt", path, field));
    return arena_string(&arena, read_text("column.txt"));
}

static const char *last_column(const char *path) {
    shell(arena_printf(&arena, "tail -n +2 %s | sed 's/.*,//' | tr '\\n' ' ' >column.txt", path));
    return arena_string(&arena, read_text("column.txt"));
}

static const char *const fits[] = {"", ", fit: pad, filter: bicubic", ", fit: stretch", ", channels: 1"};

START_TEST(predictions_are_those_that_features_has_of_the_same_pictures) {
    train_on_pictures(fits[_i]);
    run(0, "features runs/tiny --out features.csv --logits");
    run(0, "predict runs/tiny d/test --features --out predictions.csv");
    ck_assert_str_eq(column("predictions.csv", 3), last_column("features.csv"));
    ck_assert_str_eq(column("predictions.csv", 6), column("features.csv", 3));
    ck_assert_ptr_nonnull(strchr(column("predictions.csv", 3), 'x'));
}
END_TEST

/* The share of rows whose class is that of the picture's folder, as eval prints it. */
static const char *accuracy_of(const char *path) {
    shell(arena_printf(&arena,
                       "tail -n +2 %s | awk -F, '{ split($1, part, \"/\"); good += part[3] == $3 } "
                       "END { printf \"accuracy %%.4f \", good / NR }' >accuracy.txt",
                       path));
    return arena_string(&arena, read_text("accuracy.txt"));
}

START_TEST(predictions_are_as_accurate_as_eval_says) {
    train_on_pictures(fits[_i]);
    run(0, "predict runs/tiny d/test --out predictions.csv");
    const char *accuracy = accuracy_of("predictions.csv");
    ck_assert_str_ne(accuracy, "accuracy 0.0000 ");
    run(0, "eval runs/tiny");
    expect_output(accuracy);
}
END_TEST

START_TEST(rows_do_not_depend_on_threads) {
    train_on_pictures("");
    run(0, "predict runs/tiny d/test --top 3 --features --out a.csv --set train.threads=1");
    run(0, "predict runs/tiny d/test --top 3 --features --out b.csv --set train.threads=3");
    expect_same_lines(read_text("b.csv"), read_text("a.csv"), "b.csv");
}
END_TEST

START_TEST(names_come_from_standard_input_as_they_are) {
    prepare();
    run(0, "predict runs/tiny p/b.png 'p/c, d.png' p/a/z.png --out a.csv");
    run(0, "predict runs/tiny - --out b.csv <<'END'\np/b.png\np/c, d.png\np/a/z.png\nEND\n");
    ck_assert_str_eq(read_text("b.csv"), read_text("a.csv"));
}
END_TEST

START_TEST(probabilities_of_all_classes_add_up_to_one) {
    prepare();
    run(0, "predict runs/tiny p/b.png --top 4 --format jsonl");
    double sum = 0;
    const char *at = output;
    while ((at = strstr(at, "\"probability\":"))) {
        at += strlen("\"probability\":");
        sum += atof(at);
    }
    ck_assert_double_eq_tol(sum, 1, 1e-4);
}
END_TEST

/* --- Text -------------------------------------------------------------------------------------------------------- */

/* How many characters, of UTF-8, come before the part of the line; -1: it has none. */
static int column_in(const char *line, const char *part) {
    const char *found = strstr(line, part);
    int column = found ? 0 : -1;
    for (const char *at = line; found && at < found; at++)
        column += (*at & 0xc0) != 0x80;
    return column;
}

START_TEST(columns_of_text_are_aligned_whatever_the_names_of_classes) {
    for (int i = 0; i < 8; i++)
        png_write_plain(arena_printf(&arena, "d/%s/%d.png", i % 2 ? "\xc3\xa9t\xc3\xa9" : "winter", i), 8, 8, 30 * i, 9,
                        9);
    run(0, "train spec.yaml --set network.layers[3].units=2 --set 'data={type: images, path: d, height: 8, width: 8}'");
    run(1, "predict runs/tiny d spec.yaml --format text --top 2");
    int lines = 0;
    for (char *line = strtok(output, "\n"); line; line = strtok(NULL, "\n"), lines++)
        ck_assert_int_eq(column_in(line, lines < 8 ? "d/" : "spec.yaml: is neither"),
                         2 * strlen("winter 0.1234  12.3 deg "));
    ck_assert_int_eq(lines, 9);
}
END_TEST

/* A step at the largest rate makes each of many layers in a row multiply by so much that the next pass overflows. */
static void train_to_overflow(void) {
    struct text spec = {0};
    text_printf(&spec, "name: tiny\n"
                       "data: {type: synthetic, height: 8, width: 8, classes: 4, train_images: 64, test_images: 29}\n"
                       "optimizer: {type: sgd, learning_rate: 100}\n"
                       "train: {iterations: 1, batch_size: 16, on_divergence: skip}\n"
                       "network:\n  layers:\n");
    for (int i = 0; i < 60; i++)
        text_printf(&spec, "    - {type: dense, units: 16}\n");
    text_printf(&spec, "    - {type: dense, units: 4}\n");
    disk_write_text("spec.yaml", spec.data);
    text_free(&spec);
    run(0, "train spec.yaml");
}

static const char *const formats[] = {"text", "csv", "jsonl"};

START_TEST(a_picture_whose_output_is_not_finite_is_named) {
    train_to_overflow();
    png_write_plain("p/b.png", 8, 8, 200, 10, 10);
    run(1, "predict runs/tiny p --format %s", formats[_i]);
    expect_output("p/b.png: the network's output is not finite");
    expect_error("1 of 1 pictures without prediction");
}
END_TEST

/* --- Mistakes ---------------------------------------------------------------------------------------------------- */

START_TEST(mistakes_in_options_are_named) {
    prepare();
    run(2, "predict runs/tiny p --top 0");
    expect_error("--top is \"0\"");
    run(2, "predict runs/tiny p --format xml");
    expect_error("no format \"xml\"; there are csv, jsonl and text");
    run(2, "predict runs/tiny p --format text --features");
    expect_error("--features is for csv and jsonl");
    run(2, "predict runs/tiny");
    make_folders("empty/x");
    run(1, "predict runs/tiny empty");
    expect_error("there is no picture");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("cli predict");
    TCase *tcase = suite_group(suite, "predict", 120, program_set_up, program_tear_down);
    tcase_add_test(tcase, folders_are_walked_in_the_order_of_bytes_and_other_files_are_counted);
    tcase_add_test(tcase, a_damaged_picture_gets_a_row_that_says_so_and_the_others_go_on);
    tcase_add_loop_test(tcase, predictions_are_those_that_features_has_of_the_same_pictures, 0, COUNT(fits));
    tcase_add_loop_test(tcase, predictions_are_as_accurate_as_eval_says, 0, COUNT(fits));
    tcase_add_test(tcase, rows_do_not_depend_on_threads);
    tcase_add_test(tcase, names_come_from_standard_input_as_they_are);
    tcase_add_test(tcase, probabilities_of_all_classes_add_up_to_one);
    tcase_add_test(tcase, columns_of_text_are_aligned_whatever_the_names_of_classes);
    tcase_add_loop_test(tcase, a_picture_whose_output_is_not_finite_is_named, 0, COUNT(formats));
    tcase_add_test(tcase, mistakes_in_options_are_named);
    return suite;
}
