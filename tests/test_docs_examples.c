/* docs/bad-specs.md is true: each command on it prints what is below it. */
#include <string.h>

#include "base/text.h"
#include "support/program.h"
#include "support/suite.h"

/* The page holds blocks of YAML, which are written to bad.yaml, and blocks of `$ COMMAND` lines with what they print:
 * standard output and error as they come, and an exit status other than 0 in parentheses. */
struct example {
    struct text command, expected;
    int count;
};

static void check_example(struct example *example) {
    if (!example->command.data)
        return;
    struct text script = {0};
    text_printf(&script, "spherenet() { \"$SPHERENET\" \"$@\"; }\n%s\n", example->command.data);
    disk_write_text("script.sh", script.data);
    text_free(&script);
    int status = shell("sh script.sh >printed.txt 2>&1");
    const char *got = read_text("printed.txt");
    if (status)
        got = arena_printf(&arena, "%s(exit status %d)\n", got, status);
    const char *expected = example->expected.data ? example->expected.data : "";
    ck_assert_msg(!strcmp(got, expected), "docs/bad-specs.md: $ %s\nprints\n%s\ninstead of\n%s", example->command.data,
                  got, expected);
    text_free(&example->command);
    text_free(&example->expected);
    example->count++;
}

START_TEST(the_page_of_bad_specs_is_true) {
    char *page = read_text(arena_printf(&arena, "%s/docs/bad-specs.md", home));
    struct text yaml = {0};
    struct example example = {0};
    enum { PROSE, YAML, CONSOLE } block = PROSE;
    for (char *line = page, *next; (next = strchr(line, '\n')); line = next + 1) {
        *next = '\0';
        if (!strncmp(line, "```", 3)) {
            check_example(&example);
            if (block == YAML)
                disk_write_text("bad.yaml", yaml.data);
            text_free(&yaml);
            block = !strcmp(line, "```yaml") ? YAML : !strcmp(line, "```console") ? CONSOLE : PROSE;
        } else if (block == YAML) {
            text_printf(&yaml, "%s\n", line);
        } else if (block == CONSOLE && !strncmp(line, "$ ", 2)) {
            check_example(&example);
            text_printf(&example.command, "%s", line + 2);
        } else if (block == CONSOLE) {
            text_printf(&example.expected, "%s\n", line);
        }
    }
    ck_assert_int_ge(example.count, 40);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("examples");
    TCase *pages = suite_group(suite, "pages", 120, program_set_up, program_tear_down);
    tcase_add_test(pages, the_page_of_bad_specs_is_true);
    return suite;
}
