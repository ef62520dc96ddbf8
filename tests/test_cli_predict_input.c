/* The names that `spherenet predict` has from standard input, and names of any bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "support/png_file.h"
#include "support/program.h"
#include "support/suite.h"

static void set_up(void) {
    program_set_up();
    run(0, "train spec.yaml");
    for (int i = 0; i < 40; i++)
        png_write_plain(arena_printf(&arena, "p/%02d.png", i), 8, 8, 6 * i, 100, 250 - 6 * i);
}

/* A shell's script in which standard input stays open: whatever goes to descriptor 3 comes out of `input`. */
static int with_open_input(const char *script) {
    return shell(arena_printf(&arena, "mkfifo input && exec 3<>input && %s", script));
}

/* --- Streams ----------------------------------------------------------------------------------------------------- */

START_TEST(rows_come_as_names_do) {
    ck_assert_int_eq(with_open_input("{ timeout 60 \"$SPHERENET\" predict runs/tiny - <input >rows.csv 3>&- & }; "
                                     "for name in p/00.png p/01.png; do echo $name >&3; "
                                     "until grep -q ^$name rows.csv || ! kill -0 $!; do sleep .1; done; done; "
                                     "exec 3>&-; wait $!"),
                     0);
    run(0, "predict runs/tiny p/00.png p/01.png");
    ck_assert_str_eq(read_text("rows.csv"), output);
}
END_TEST

/* The reader goes at once, or after the first line. */
static const char *const readers[] = {"true", "head -1"};

START_TEST(it_ends_when_nobody_reads_on_though_names_may_come) {
    ck_assert_int_eq(with_open_input(arena_printf(&arena,
                                                  "ls p/*.png >&3; { timeout 60 \"$SPHERENET\" predict runs/tiny - "
                                                  "<input 3>&- 2>errors.txt; echo $? >status.txt; } | %s >row.txt",
                                                  readers[_i])),
                     0);
    ck_assert_str_eq(read_text("status.txt"), "0\n");
    ck_assert_str_eq(read_text("errors.txt"), "");
}
END_TEST

START_TEST(it_ends_when_rows_cannot_be_written_though_names_may_come) {
    ck_assert_int_eq(with_open_input("ls p/*.png >&3; timeout 60 \"$SPHERENET\" predict runs/tiny - <input 3>&- "
                                     ">/dev/full 2>errors.txt"),
                     1);
    ck_assert_str_eq(read_text("errors.txt"), "spherenet: standard output cannot be written\n");
}
END_TEST

START_TEST(rows_do_not_depend_on_batches) {
    run(0, "predict runs/tiny p --features --out a.csv --set train.batch_size=1");
    run(0, "predict runs/tiny p --features --out b.csv --set train.batch_size=64");
    ck_assert_str_eq(read_text("a.csv"), read_text("b.csv"));
}
END_TEST

/* --- Names ------------------------------------------------------------------------------------------------------- */

#define BYTES(TEXT) TEXT, sizeof(TEXT) - 1

START_TEST(names_may_end_in_a_byte_of_0) {
    png_write_plain("p/two\nlines.png", 8, 8, 1, 2, 3);
    run(0, "predict runs/tiny p/07.png 'p/two\nlines.png' p/08.png --out a.csv");
    disk_write("names", BYTES("p/07.png\0p/two\nlines.png\0\0p/08.png"));
    run(0, "predict runs/tiny - --null --out b.csv <names");
    ck_assert_str_eq(read_text("a.csv"), read_text("b.csv"));
    ck_assert_ptr_nonnull(strstr(read_text("a.csv"), "\n\"p/two\nlines.png\",,class "));
}
END_TEST

START_TEST(what_is_named_twice_has_two_rows) {
    run(0, "predict runs/tiny p/00.png p/00.png --format jsonl");
    const char *second = strchr(output, '\n') + 1;
    ck_assert_int_eq(strncmp(output, second, strlen(second)), 0);
}
END_TEST

START_TEST(odd_names_are_quoted_as_each_format_has_it) {
    png_write_plain("odd/say \"a, b\"\\\x1b\xff.png", 8, 8, 1, 2, 3);
    run(0, "predict runs/tiny odd --format csv");
    expect_output("\n\"odd/say \"\"a, b\"\"\\\x1b\xff.png\",,class ");
    run(0, "predict runs/tiny odd --format jsonl");
    expect_output("{\"file\":\"odd/say \\\"a, b\\\"\\\\\\u001b\\ufffd.png\",");
    run(0, "predict runs/tiny odd --format text");
    expect_output(" odd/say \"a, b\"\\?\xff.png\n");
}
END_TEST

static const struct {
    const char *bytes;
    size_t count;
    const char *options, *said;
} faults[] = {
    {BYTES("p/00.png\0p/01.png\0"), "", "standard input has a byte of 0; names that end so, as find -print0 writes"},
    {NULL, 70000, "", "standard input has a name of more than 65536 bytes; names are to end in a newline"},
    {NULL, 70000, "--null", "standard input has a name of more than 65536 bytes; names are to end in a byte of 0"},
};

START_TEST(what_cannot_be_names_is_said) {
    char *longest = mem_alloc(faults[_i].count);
    memset(longest, 'x', faults[_i].count);
    disk_write("names", faults[_i].bytes ? faults[_i].bytes : longest, faults[_i].count);
    free(longest);
    run(1, "predict runs/tiny - %s <names", faults[_i].options);
    expect_error(faults[_i].said);
    ck_assert_ptr_null(strstr(errors, "there is no picture"));
}
END_TEST

START_TEST(standard_input_that_cannot_be_read_is_said) {
    run(1, "predict runs/tiny - <p");
    expect_error("standard input cannot be read: Is a directory");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("names for predict");
    TCase *streams = suite_group(suite, "streams", 120, set_up, program_tear_down);
    tcase_add_test(streams, rows_come_as_names_do);
    tcase_add_loop_test(streams, it_ends_when_nobody_reads_on_though_names_may_come, 0, COUNT(readers));
    tcase_add_test(streams, it_ends_when_rows_cannot_be_written_though_names_may_come);
    tcase_add_test(streams, rows_do_not_depend_on_batches);

    TCase *names = suite_group(suite, "names", 60, set_up, program_tear_down);
    tcase_add_test(names, names_may_end_in_a_byte_of_0);
    tcase_add_test(names, what_is_named_twice_has_two_rows);
    tcase_add_test(names, odd_names_are_quoted_as_each_format_has_it);
    tcase_add_loop_test(names, what_cannot_be_names_is_said, 0, COUNT(faults));
    tcase_add_test(names, standard_input_that_cannot_be_read_is_said);
    return suite;
}
