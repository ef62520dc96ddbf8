/* Error messages and their codes, lists of mistakes, and the end of a program that has no memory left. */
#include "base/error.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runner.h"

static struct error err;

/* --- Messages ---------------------------------------------------------------------------------------------------- */

START_TEST(a_plain_message_has_no_code_of_its_own) {
    err.code = ERROR_DAMAGED;
    ck_assert(!error_set(&err, "%s: %d", "file", 3));
    ck_assert_str_eq(err.text, "file: 3");
    ck_assert_int_eq(err.code, ERROR_OTHER);
}
END_TEST

START_TEST(a_code_does_not_show_in_the_message) {
    ck_assert(!error_set_code(&err, ERROR_DAMAGED, "x: damaged: %s", "cut short"));
    ck_assert_str_eq(err.text, "x: damaged: cut short");
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
}
END_TEST

START_TEST(reasons_of_the_system_end_a_message) {
    errno = ENOSPC;
    ck_assert(!error_set_errno(&err, "x: cannot be %s", "written"));
    ck_assert_str_eq(err.text, "x: cannot be written: No space left on device");
    ck_assert_int_eq(err.code, ERROR_OTHER);
    errno = ENOMEM;
    ck_assert(!error_set_errno(&err, "x"));
    ck_assert_str_eq(err.text, "x: Cannot allocate memory");
    ck_assert_int_eq(err.code, ERROR_NO_MEMORY);
}
END_TEST

START_TEST(control_characters_do_not_reach_the_terminal) {
    error_set(&err, "a\x1b[2J\n\t\x7f");
    ck_assert_str_eq(err.text, "a?[2J\n\t?");
}
END_TEST

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && !strcmp(text + length - end_length, end);
}

START_TEST(a_message_that_was_cut_says_so) {
    static char longest[ERROR_TEXT_BYTES], longer[ERROR_TEXT_BYTES + 1];
    memset(longest, 'x', sizeof longest - 1);
    memset(longer, 'x', sizeof longer - 1);
    error_set(&err, "%s", longest);
    ck_assert_str_eq(err.text, longest);
    error_set(&err, "%s", longer);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    ck_assert(ends_with(err.text, "xxx..."));
    errno = ENOSPC;
    error_set_errno(&err, "%s", longer);
    ck_assert(ends_with(err.text, "xxx...: No space left on device"));
}
END_TEST

/* --- Lists ------------------------------------------------------------------------------------------------------- */

START_TEST(an_empty_list_is_no_text) {
    struct error_list list = {0};
    ck_assert_str_eq(error_list_end(&list), "");
    error_list_free(&list);
}
END_TEST

START_TEST(a_short_list_is_complete) {
    struct error_list list = {0};
    error_list_add(&list, "no %s", "first");
    error_list_add(&list, "no second");
    ck_assert_str_eq(error_list_end(&list), "\n  no first\n  no second");
    error_list_free(&list);
}
END_TEST

/* Whole lines, in their order, and then the number of those that are missing. */
START_TEST(a_long_list_counts_what_it_leaves_out) {
    enum { LINES = 200 };
    struct error_list list = {0};
    struct text expected = {0};
    int shown = 0;
    for (int i = 0; i < LINES; i++)
        error_list_add(&list, i == 150 ? "%d" : "line number %d of the list", i);
    const char *text = error_list_end(&list);
    for (const char *line = text; (line = strchr(line, '\n')); line++)
        shown++;
    shown--; /* the last line is the count */
    for (int i = 0; i < shown; i++)
        text_printf(&expected, "\n  line number %d of the list", i);
    text_printf(&expected, "\n  and %d more", LINES - shown);
    ck_assert_str_eq(text, expected.data);
    ck_assert_int_gt(shown, ERROR_LIST_BYTES / 40);
    error_set(&err, "%s", text);
    ck_assert_str_eq(err.text, text);
    error_list_free(&list);
    text_free(&expected);
}
END_TEST

/* --- Without memory ---------------------------------------------------------------------------------------------- */

static void end_with_seven(void) {
    exit(7);
}

START_TEST(who_is_named_ends_the_program) {
    mem_on_exhaustion(end_with_seven);
    mem_exhausted();
}
END_TEST

START_TEST(without_a_name_the_program_aborts) {
    mem_exhausted();
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("errors");
    TCase *messages = tcase_create("messages"), *lists = tcase_create("lists"), *memory = tcase_create("memory");
    tcase_add_test(messages, a_plain_message_has_no_code_of_its_own);
    tcase_add_test(messages, a_code_does_not_show_in_the_message);
    tcase_add_test(messages, reasons_of_the_system_end_a_message);
    tcase_add_test(messages, control_characters_do_not_reach_the_terminal);
    tcase_add_test(messages, a_message_that_was_cut_says_so);
    tcase_add_test(lists, an_empty_list_is_no_text);
    tcase_add_test(lists, a_short_list_is_complete);
    tcase_add_test(lists, a_long_list_counts_what_it_leaves_out);
    tcase_add_exit_test(memory, who_is_named_ends_the_program, 7);
    tcase_add_test_raise_signal(memory, without_a_name_the_program_aborts, SIGABRT);
    suite_add_tcase(suite, messages);
    suite_add_tcase(suite, lists);
    suite_add_tcase(suite, memory);
    return suite;
}
