/* `spherenet predict`: the classes of pictures in files. */
#include <stdio.h>
#include <string.h>

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
    tcase_add_test(tcase, mistakes_in_options_are_named);
    return suite;
}
