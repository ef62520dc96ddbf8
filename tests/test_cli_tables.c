/* The tables that commands write: whole, or as before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/png_file.h"
#include "support/program.h"
#include "support/suite.h"

enum { PICTURES = 60 };

static void prepare(void) {
    run(0, "train spec.yaml");
    for (int i = 0; i < PICTURES; i++)
        png_write_plain(arena_printf(&arena, "p/a_picture_with_a_long_name_%02d.png", i), 8, 8, 4 * i, 9, 9);
}

static const char *const commands[] = {"predict runs/tiny p", "features runs/tiny", "predict runs/tiny p --features"};

/* As by ulimit -f: no file may have more than 1024 bytes. */
START_TEST(a_table_that_cannot_be_written_leaves_the_one_of_before) {
    prepare();
    disk_write_text("table.csv", "before\n");
    ck_assert_int_ne(
        shell(arena_printf(&arena, "(trap '' XFSZ; ulimit -f 1; \"$SPHERENET\" %s --out table.csv) 2>errors",
                           commands[_i])),
        0);
    ck_assert_ptr_nonnull(strstr(read_text("errors"), "table.csv: cannot be written: File too large"));
    ck_assert_str_eq(read_text("table.csv"), "before\n");
    disk_remove("table.csv");
    shell(
        arena_printf(&arena, "(trap '' XFSZ; ulimit -f 1; \"$SPHERENET\" %s --out table.csv) 2>errors", commands[_i]));
    ck_assert(!disk_exists("table.csv") && !disk_exists("table.csv.tmp"));
}
END_TEST

START_TEST(a_table_keeps_the_mode_of_the_one_whose_place_it_takes) {
    struct stat status;
    prepare();
    disk_write_text("table.csv", "before\n");
    ck_assert_int_eq(chmod("table.csv", 0640), 0);
    run(0, "%s --out table.csv", commands[_i]);
    ck_assert_int_eq(stat("table.csv", &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0640);
    ck_assert_ptr_null(strstr(read_text("table.csv"), "before"));
}
END_TEST

START_TEST(links_and_pipes_are_written_themselves) {
    struct stat status;
    prepare();
    disk_write_text("elsewhere.csv", "before\n");
    ck_assert_int_eq(symlink("elsewhere.csv", "table.csv"), 0);
    run(0, "%s --out table.csv", commands[_i]);
    run(0, "%s --out whole.csv", commands[_i]);
    run(0, "%s --out /dev/stderr 2>piped.csv", commands[_i]);
    ck_assert(lstat("table.csv", &status) == 0 && S_ISLNK(status.st_mode));
    ck_assert_str_eq(read_text("elsewhere.csv"), read_text("whole.csv"));
    ck_assert_str_eq(read_text("piped.csv"), read_text("whole.csv"));
}
END_TEST

/* A folder can be opened but not read. */
START_TEST(names_that_cannot_be_read_are_a_failure) {
    prepare();
    run(1, "predict runs/tiny p - <p");
    expect_error("standard input cannot be read: Is a directory");
    expect_output("p/a_picture_with_a_long_name_59.png,,class");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("cli tables");
    TCase *tcase = suite_group(suite, "tables", 120, program_set_up, program_tear_down);
    tcase_add_loop_test(tcase, a_table_keeps_the_mode_of_the_one_whose_place_it_takes, 0, COUNT(commands));
    tcase_add_loop_test(tcase, links_and_pipes_are_written_themselves, 0, COUNT(commands));
    tcase_add_test(tcase, names_that_cannot_be_read_are_a_failure);

    TCase *limited = suite_group(suite, "file-limit", 120, program_set_up, program_tear_down);
    tcase_set_tags(limited, "file-limit"); /* ThreadSanitizer's OpenMP library stops where files may not grow */
    tcase_add_loop_test(limited, a_table_that_cannot_be_written_leaves_the_one_of_before, 0, COUNT(commands));
    return suite;
}
