/* What the program says is said once, lines up, and leads to what there is. */
#include <string.h>
#include <unistd.h>

#include "support/program.h"
#include "support/suite.h"

static int count(const char *text, const char *part) {
    int found = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        found++;
    return found;
}

/* --- One mistake, one message ------------------------------------------------------------------------------------ */

static const struct {
    const char *assignment, *message; /* after "--set ASSIGNMENT: " */
} nowhere[] = {
    {"network.layers[0].filters=3", "layers[0]: no element 0 (there is no such list in the spec)"},
    {"network.operator.layers[0].filters=3", "layers[0]: no element 0 (there is no such list in the spec)"},
    {"elsewhere.deeper.layers[0]=3", "layers[0]: no element 0 (there is no such list in the spec)"},
    {"network.widths[3]=8", "widths[3]: no element 3 (the list is shorter)"},
};

START_TEST(an_override_that_leads_nowhere_is_one_mistake) {
    disk_write_text("plain.yaml", "data: {type: synthetic}\nnetwork: {type: plain, depth: 3, widths: [4, 4, 4]}\n"
                                  "train: {iterations: 1}\n");
    run(2, "show plain.yaml --set '%s'", nowhere[_i].assignment);
    ck_assert_str_eq(errors, arena_printf(&arena, "--set %s: %s\nplain.yaml: 1 mistake; nothing was started\n",
                                          nowhere[_i].assignment, nowhere[_i].message));
}
END_TEST

START_TEST(an_override_makes_the_sections_on_its_way) {
    run(0, "show spec.yaml --set regularizer.orthogonality=0.5 --set network.layers[3].operator.magnitude=linear");
    expect_output("orthogonality: 0.5");
    expect_output("magnitude: linear");
}
END_TEST

/* --- Help -------------------------------------------------------------------------------------------------------- */

/* Where the last column of a line begins: after the last two blanks. */
static int last_column(const char *line, const char *end) {
    int column = -1;
    for (const char *at = line + 3; at < end; at++)
        if (at[-1] == ' ' && at[-2] == ' ' && at[0] != ' ')
            column = (int)(at - line);
    return column;
}

/* Of the lines that begin with two blanks, but for those that lead elsewhere; returns how many there are. */
static int expect_columns_line_up(void) {
    int column = 0, rows = 0;
    for (const char *line = output, *end; (end = strchr(line, '\n')); line = end + 1) {
        if (strncmp(line, "  ", 2) != 0 || line[2] == ' ' || !strncmp(line, "  the keys of ", 14))
            continue;
        column = rows++ ? column : last_column(line, end);
        ck_assert_msg(last_column(line, end) == column, "a column that does not line up in\n%s", output);
    }
    return rows;
}

START_TEST(the_columns_of_help_line_up) {
    static const char *const pages[] = {"", "train", "eval", "features", "bench", "show", "help"};
    for (int i = 0; i < COUNT(pages); i++) {
        run(0, "help %s", pages[i]);
        ck_assert_int_ge(expect_columns_line_up(), 1);
    }
    run(0, "list");
    ck_assert_int_ge(expect_columns_line_up(), 30);
    run(0, "help spec");
    ck_assert_int_ge(expect_columns_line_up(), 30);
}
END_TEST

static const char *see_also(const char *options) {
    run(0, "help %s", options);
    const char *found = strstr(output, ".SH SEE ALSO\n");
    ck_assert_ptr_nonnull(found);
    return found;
}

START_TEST(manual_pages_name_all_others_of_their_kind) {
    static const char *const pages[] = {"spec (5)", "get\\-data (1)", "sweep (1)", "plot\\-curves (1)",
                                        "plot\\-features (1)"};
    const char *list = see_also("--man");
    for (int i = 0; i < COUNT(pages); i++)
        ck_assert_msg(strstr(list, arena_printf(&arena, "spherenet\\-%s", pages[i])) != NULL, "%s", list);
    ck_assert_int_eq(count(list, "\n.BR "), COUNT(pages));
    ck_assert_str_eq(see_also("spec --man"), ".SH SEE ALSO\n.BR spherenet (1)\n");
    ck_assert_int_eq(shell(arena_printf(&arena,
                                        "'%s/tools/man_page' '%s/tools/sweep' spherenet-sweep | tail -2 "
                                        ">page.txt",
                                        home, home)),
                     0);
    ck_assert_str_eq(read_text("page.txt"), ".BR spherenet (1),\n.BR spherenet\\-spec (5)\n");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("advice");
    TCase *overrides = suite_group(suite, "overrides", 60, program_set_up, program_tear_down);
    tcase_add_loop_test(overrides, an_override_that_leads_nowhere_is_one_mistake, 0, COUNT(nowhere));
    tcase_add_test(overrides, an_override_makes_the_sections_on_its_way);
    TCase *help = suite_group(suite, "help", 60, program_set_up, program_tear_down);
    tcase_add_test(help, the_columns_of_help_line_up);
    tcase_add_test(help, manual_pages_name_all_others_of_their_kind);
    return suite;
}
