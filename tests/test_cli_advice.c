/* What the program says is said once, lines up, and leads to what there is. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/program.h"
#include "support/run_folder.h"
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
    static const char *const pages[] = {"spec (5)", "get\\-data (1)", "plot\\-curves (1)", "plot\\-features (1)"};
    const char *list = see_also("--man");
    for (int i = 0; i < COUNT(pages); i++)
        ck_assert_msg(strstr(list, arena_printf(&arena, "spherenet\\-%s", pages[i])) != NULL, "%s", list);
    ck_assert_int_eq(count(list, "\n.BR "), COUNT(pages));
    ck_assert_str_eq(see_also("spec --man"), ".SH SEE ALSO\n.BR spherenet (1)\n");
    ck_assert_int_eq(shell(arena_printf(&arena,
                                        "'%s/tools/man_page' '%s/tools/plot_curves' spherenet-plot-curves | tail -2 "
                                        ">page.txt",
                                        home, home)),
                     0);
    ck_assert_str_eq(read_text("page.txt"), ".BR spherenet (1),\n.BR spherenet\\-spec (5)\n");
}
END_TEST

/* --- A run's beginning and end ----------------------------------------------------------------------------------- */

static const char *const modes[] = {"", "--auto-resume", "--overwrite"};

START_TEST(a_run_that_cannot_begin_leaves_no_folder) {
    run(1, "train spec.yaml %s --set train.init_from=nowhere", modes[_i]);
    ck_assert(!disk_exists("runs"));
    run(1, "train spec.yaml %s --set schedule.start=3", modes[_i]);
    ck_assert(!disk_exists("runs"));
    run(0, "train spec.yaml --quiet");
    run(1,
        "train spec.yaml --set seed=2 --run-dir second %s --set train.init_from=runs/tiny --set 'train.init_map={a: "
        "b}'",
        modes[_i]);
    ck_assert(!disk_exists("second"));
}
END_TEST

START_TEST(a_repeated_command_begins_with_other_weights_and_resumes_without) {
    run(0, "train spec.yaml --quiet");
    ck_assert_int_eq(rename("runs/tiny", "first"), 0);
    run(0,
        "train spec.yaml --auto-resume --set train.iterations=6 --set train.init_from=first --set schedule=constant");
    expect_output("there was no run yet: begun\n");
    ck_assert_int_eq(rename("first", "elsewhere"), 0); /* what a run began with is not needed to go on */
    run(0,
        "train spec.yaml --auto-resume --set train.iterations=8 --set train.init_from=first --set schedule=constant");
    expect_output("resumed at iteration 6\n");
}
END_TEST

/* --- The best checkpoint ----------------------------------------------------------------------------------------- */

START_TEST(the_best_checkpoint_is_known_by_its_name_without_links) {
    run(0, "train spec.yaml --quiet --set train.keep=1");
    int best = best_iteration("runs/tiny");
    ck_assert_int_eq(shell("rm runs/tiny/checkpoints/best.* runs/tiny/checkpoints/latest.*"), 0);
    const char *line = arena_printf(&arena, "%s, iteration %d, ", checkpoint("runs/tiny", best), best);
    run(0, "eval runs/tiny/checkpoints/best.safetensors.gz");
    expect_output(line);
    run(0, "features runs/tiny/checkpoints/best.safetensors.gz");
    run(0, "eval runs/tiny/checkpoints/latest.safetensors.gz");
    expect_output(", iteration 24, ");
    run(0, "train spec.yaml --quiet --run-dir b --set train.init_from=runs/tiny/checkpoints/best.safetensors.gz");
    ck_assert_int_eq(chdir("runs/tiny/checkpoints"), 0);
    run(0, "eval best.safetensors.gz");
    expect_output(arena_printf(&arena, "./iteration-%08d.safetensors.gz, iteration %d, ", best, best));
}
END_TEST

START_TEST(a_best_checkpoint_that_is_not_there_is_an_error) {
    run(1, "eval runs/tiny/checkpoints/best.safetensors.gz");
    expect_error("runs/tiny/checkpoints/best.safetensors.gz: neither a run's folder nor a checkpoint: ");
    ck_assert_int_eq(mkdir("empty", 0777), 0);
    run(1, "eval empty/best.safetensors.gz");
    expect_error("empty: no checkpoint below this folder; ");
    run(0, "train spec.yaml --quiet --set train.keep=0");
    ck_assert_int_eq(shell("rm runs/tiny/checkpoints/best.* && cp runs/tiny/checkpoints/latest.* empty/"
                           "iteration-00000024.safetensors.gz"),
                     0);
    int best = best_iteration("runs/tiny");
    ck_assert_int_lt(best, 24);
    run(1, "eval empty/best.safetensors.gz");
    expect_error(arena_printf(&arena, "empty/iteration-%08d.safetensors.gz: No such file", best));
}
END_TEST

/* One image is right, and no test of more can be better. */
START_TEST(tests_of_other_images_do_not_compare) {
    static const char *const spec =
        "train spec.yaml --set schedule=constant --set train.keep=1 --set train.iterations=";
    run(0, "%s24 --set data.test_limit=1", spec);
    expect_output("done: best test accuracy 1.0000 ");
    run(0, "%s29 --set data.test_limit=20 --resume", spec);
    expect_output("tests before were of other images (data.test_limit): the next one is taken for the best\n");
    expect_link("runs/tiny", "best", 29);
    run(0, "%s31 --set data.test_limit=20 --resume", spec);
    ck_assert_ptr_null(strstr(output, "tests before were of other images"));
}
END_TEST

/* Of 29 in all. */
static const struct {
    int before, now;
    bool others;
} limits[] = {{0, 29, true /* there may be more */},
              {29, 0, false},
              {40, 0, false},
              {0, 40, false},
              {40, 35, false},
              {35, 40, false},
              {28, 0, true},
              {28, 29, true},
              {10, 28, true},
              {28, 10, true},
              {40, 10, true}};

START_TEST(limits_beyond_all_images_are_no_other_tests) {
    run(0, "train spec.yaml --quiet --set schedule=constant --set train.iterations=2 --set data.test_limit=%d",
        limits[_i].before);
    run(0, "train spec.yaml --set schedule=constant --set train.iterations=3 --set data.test_limit=%d --resume",
        limits[_i].now);
    ck_assert_int_eq(strstr(output, "tests before were of other images") != NULL, limits[_i].others);
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
    TCase *runs = suite_group(suite, "runs", 60, program_set_up, program_tear_down);
    tcase_add_loop_test(runs, a_run_that_cannot_begin_leaves_no_folder, 0, COUNT(modes));
    tcase_add_test(runs, a_repeated_command_begins_with_other_weights_and_resumes_without);
    tcase_add_test(runs, the_best_checkpoint_is_known_by_its_name_without_links);
    tcase_add_test(runs, a_best_checkpoint_that_is_not_there_is_an_error);
    tcase_add_test(runs, tests_of_other_images_do_not_compare);
    tcase_add_loop_test(runs, limits_beyond_all_images_are_no_other_tests, 0, COUNT(limits));
    return suite;
}
