/* Words of a spec and of the command line as other programs and YAML's two versions take them: null, texts, numbers,
 * truth values, merged sections. */
#include <stdlib.h>
#include <string.h>

#include "support/specs.h"
#include "support/suite.h"
#include "train/experiment.h"

#define DATA "data: {type: synthetic, height: 8, width: 8, classes: 4}\n"
#define NETWORK "network: {layers: [{type: dense, units: 4}]}\n"
#define BASE DATA NETWORK "train: {iterations: 5}\n"

static struct experiment experiment;

static void tear_down(void) {
    experiment_free(&experiment);
    specs_tear_down();
}

static bool parse(const char *text, const char *override) {
    return experiment_parse(&experiment, "a.yaml", text, &override, override ? 1 : 0, &diags);
}

static void expect_good(const char *text, const char *override) {
    ck_assert_msg(parse(text, override), "%s: %s", override ? override : text, messages());
}

/* --- Texts on the command line ----------------------------------------------------------------------------------- */

static const char *const exact_texts[] = {
    "d #2", " a ", "\ta\t", "&x",   "!x",  "|",      ">",      "a: b",      "@x",  "%x",          "`x`",
    "*x",   "{x}", "[x",    "- a",  "?",   "'",      "\"",     "'a' # 'b'", "a'b", "\"a\" \"b\"", "\\",
    "a\nb", "\r",  "\x1b[", "true", "1e3", "0x1",    "#",      "é 漢",      ":",   "\xc2\x85",    "\xe2\x80\xa8",
    "no",   "=",   "a=b",   "<<",   "---", "%TAG a", "\"\\\"", "'''",
};

START_TEST(a_text_given_with_set_is_that_text) {
    expect_good(BASE, arena_printf(&arena, "train.init_from=%s", exact_texts[_i]));
    ck_assert_str_eq(experiment.train.init_from, exact_texts[_i]);
}
END_TEST

START_TEST(a_quoted_text_given_with_set_is_what_is_in_the_quotes) {
    expect_good(BASE, "train.init_from='a''b #c'");
    ck_assert_str_eq(experiment.train.init_from, "a'b #c");
    experiment_free(&experiment);
    expect_good(BASE, "train.init_from=\"a\\tb\"");
    ck_assert_str_eq(experiment.train.init_from, "a\tb");
    experiment_free(&experiment);
    expect_good(BASE, "train.init_from=''");
    ck_assert_str_eq(experiment.train.init_from, "");
}
END_TEST

START_TEST(texts_below_rows_and_lists_are_exact_too) {
    expect_good(BASE, "network.layers[0].name=a #b");
    ck_assert_str_eq(experiment.layers.choices[0].path, "network.layers[0]");
    ck_assert_str_eq(((const struct layer_config *)experiment.layers.choices[0].config)->name, "a #b");
}
END_TEST

START_TEST(a_text_that_is_no_utf_8_is_refused) {
    ck_assert(!parse(BASE, "train.init_from=\xff"));
    ck_assert_ptr_nonnull(strstr(messages(), ": not valid YAML: invalid leading UTF-8 octet"));
}
END_TEST

START_TEST(other_values_given_with_set_are_yaml) {
    expect_good(BASE, "data.height=9 # more");
    ck_assert_int_eq(experiment.shape.height, 9);
}
END_TEST

/* --- Nothing given ----------------------------------------------------------------------------------------------- */

static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

START_TEST(null_is_the_default_of_every_type) {
    const char *null = nulls[_i];
    const char *text = arena_printf(&arena,
                                    DATA NETWORK "name: %s\nseed: %s\noptimizer: %s\nschedule: {type: %s}\n"
                                                 "regularizer: %s\nloss:\n  type: softmax\n  label_smoothing: %s\n"
                                                 "train: {iterations: 5, init_from: %s, on_divergence: %s}\n",
                                    null, null, null, null, null, null, null, null);
    expect_good(text, NULL);
    ck_assert_str_eq(experiment.name, "a");
    ck_assert_int_eq(experiment.seed, 1);
    ck_assert_str_eq(experiment.optimizer.kind->name, "adam");
    ck_assert_str_eq(experiment.schedule.kind->name, "constant");
    ck_assert_str_eq(experiment.train.init_from, "");
}
END_TEST

START_TEST(null_for_a_key_without_default_is_missing) {
    ck_assert(!parse(DATA NETWORK "train:\n  iterations: null\n", NULL));
    ck_assert_str_eq(messages(), "a.yaml:4: train.iterations: missing; expected a whole number from 1 to 2000000000 "
                                 "(batches to train on)\n");
}
END_TEST

START_TEST(null_given_with_set_is_the_default_of_a_text_too) {
    expect_good("name: b\n" BASE, "name=null");
    ck_assert_str_eq(experiment.name, "a");
}
END_TEST

START_TEST(a_key_set_below_null_makes_a_section) {
    expect_good(DATA NETWORK "train:\n", "train.iterations=5");
    ck_assert_int_eq(experiment.train.iterations, 5);
    experiment_free(&experiment);
    expect_good(BASE "optimizer:\n", "optimizer.learning_rate=0.5");
    ck_assert_str_eq(experiment.optimizer.kind->name, "adam");
}
END_TEST

START_TEST(a_quoted_null_is_a_text) {
    expect_good("name: 'null'\n" BASE, NULL);
    ck_assert_str_eq(experiment.name, "null");
}
END_TEST

/* Specs in checkpoints of earlier versions have it without quotes. */
START_TEST(a_stored_null_is_the_text_that_was_meant) {
    ck_assert_msg(experiment_parse_stored(&experiment, "a.yaml", "name: null\n" BASE, NULL, 0, &diags), "%s",
                  messages());
    ck_assert_str_eq(experiment.name, "null");
}
END_TEST

/* --- Paths ------------------------------------------------------------------------------------------------------- */

START_TEST(a_tilde_is_the_home_folder) {
    setenv("HOME", "/home/me", 1);
    expect_good(BASE, "train.init_from=~/runs/a");
    ck_assert_str_eq(experiment.train.init_from, "/home/me/runs/a");
    experiment_free(&experiment);
    expect_good("data: {type: mnist, path: ~/mnist}\nnetwork: {layers: [{type: dense, units: 10}]}\n"
                "train: {iterations: 5, init_from: ./~, openblas_core: auto}\n",
                NULL);
    ck_assert_str_eq(experiment.train.init_from, "./~");
    struct text text = {0};
    experiment_emit(&text, &experiment);
    ck_assert_ptr_nonnull(strstr(text.data, "path: /home/me/mnist\n"));
    text_free(&text);
}
END_TEST

static const struct {
    const char *path, *message;
} bad_paths[] = {
    {"~root/a", "\"~root/a\": a user's name after ~ is not expanded; write the folder out, or ./~root/a for a file of "
                "that name\n"},
    {"$HOME/a", "\"$HOME/a\": variables such as $HOME are not expanded; write the value out\n"},
    {"/no/${such}x/a", "\"/no/${such}x/a\": variables such as ${such}x are not expanded; write the value out\n"},
};

START_TEST(what_a_shell_would_expand_further_is_refused) {
    const char *override = arena_printf(&arena, "train.init_from=%s", bad_paths[_i].path);
    ck_assert(!parse(BASE, override));
    ck_assert_str_eq(messages(),
                     arena_printf(&arena, "--set %s: train.init_from: %s", override, bad_paths[_i].message));
}
END_TEST

START_TEST(a_tilde_without_home_is_refused) {
    unsetenv("HOME");
    ck_assert(!parse(BASE, "train.init_from=~/a"));
    ck_assert_ptr_nonnull(strstr(messages(), "~ stands for $HOME, which is not set"));
}
END_TEST

START_TEST(a_dollar_that_is_no_variable_stays) {
    expect_good(BASE, "train.init_from=a$/5$");
    ck_assert_str_eq(experiment.train.init_from, "a$/5$");
}
END_TEST

/* --- Numbers and truth values ------------------------------------------------------------------------------------ */

static const struct {
    const char *override, *message;
} numbers[] = {
    {"train.iterations=1e3", "; write 1000\n"},
    {"train.iterations=64_000", "; write 64000\n"},
    {"train.iterations=4.0", "; write 4\n"},
    {"train.iterations=1e10", " from 1 to 2000000000\n"},
    {"train.iterations=4.5", " from 1 to 2000000000\n"},
    {"train.iterations=_", " from 1 to 2000000000\n"},
    {"optimizer.learning_rate=1_0.5e-3", "; write 0.0105\n"},
    {"optimizer.learning_rate=1e-400", "; so small a one would become 0\n"},
    {"optimizer.learning_rate=1e400", " from 0 to 100\n"},
    {"data.flip=yes", "expected true or false\n"},
};

START_TEST(a_number_of_another_form_is_refused_with_what_to_write) {
    ck_assert(!parse(BASE, numbers[_i].override));
    size_t length = strlen(messages()), tail = strlen(numbers[_i].message);
    ck_assert_uint_gt(length, tail);
    ck_assert_str_eq(messages() + length - tail, numbers[_i].message);
}
END_TEST

START_TEST(true_and_false_have_the_three_spellings_of_yaml_1_2) {
    static const char *const words[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
    for (int i = 0; i < 6; i++) {
        expect_good(BASE, arena_printf(&arena, "data.standardize=%s", words[i]));
        ck_assert(experiment_data(&experiment)->standardize == (i < 3));
        experiment_free(&experiment);
    }
    experiment = (struct experiment){0};
}
END_TEST

/* --- Merged sections --------------------------------------------------------------------------------------------- */

START_TEST(sections_are_merged_by_their_anchors) {
    expect_good(
        "x-defaults: &d {iterations: 7, batch_size: 3, keep: 9}\nx-more: &m {keep: 2, log_every: 4}\n" DATA NETWORK
        "train: {batch_size: 5, <<: [*m, *d]}\n",
        NULL);
    const struct train_config *train = &experiment.train;
    ck_assert(train->iterations == 7 && train->batch_size == 5 && train->keep == 2 && train->log_every == 4);
}
END_TEST

START_TEST(a_mistake_in_a_merged_section_has_its_line) {
    ck_assert(!parse("x-defaults: &d\n  iteration: 7\n" DATA NETWORK "train:\n  iterations: 5\n  <<: *d\n", NULL));
    ck_assert_ptr_nonnull(strstr(messages(), "a.yaml:2: train.iteration: unknown key \"iteration\"; did you mean"));
}
END_TEST

START_TEST(what_is_no_section_is_not_merged) {
    ck_assert_ptr_null(read_yaml("a: &a 3\nb:\n  <<: *a\n"));
    ck_assert_ptr_null(read_yaml("a: {<<: [{b: 1}, 3]}\n"));
    ck_assert_str_eq(messages(), "a.yaml:1: \"<<\" merges a section, or a list of sections\n"
                                 "a.yaml:1: \"<<\" merges a section, or a list of sections\n");
}
END_TEST

START_TEST(a_quoted_merge_key_is_a_key) {
    ck_assert_ptr_nonnull(node_get(read_good("a: {'<<': {b: 1}}\n")->children[0], "<<"));
}
END_TEST

START_TEST(merging_without_end_is_defused) {
    struct text text = {0};
    text_printf(&text, "a: &a {b: [%s]}\nc: &c [%s]\nd:\n", repeated("x, ", 900), repeated("*a, ", 90));
    for (int i = 0; i < 100; i++)
        text_printf(&text, "  - {<<: *c}\n");
    ck_assert_ptr_null(read_yaml(text.data));
    ck_assert_ptr_nonnull(strstr(messages(), "more than 100000 values, aliases expanded"));
    text_free(&text);
}
END_TEST

START_TEST(keys_that_begin_with_x_are_for_the_top_alone) {
    ck_assert(!parse(DATA NETWORK "train: {iterations: 5, x-a: 1}\n", NULL));
    ck_assert_ptr_nonnull(strstr(messages(), "train.x-a: unknown key \"x-a\""));
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("words");
    TCase *words = suite_group(suite, "words", 30, NULL, tear_down);
    tcase_add_loop_test(words, a_text_given_with_set_is_that_text, 0, COUNT(exact_texts));
    tcase_add_test(words, a_quoted_text_given_with_set_is_what_is_in_the_quotes);
    tcase_add_test(words, texts_below_rows_and_lists_are_exact_too);
    tcase_add_test(words, a_text_that_is_no_utf_8_is_refused);
    tcase_add_test(words, other_values_given_with_set_are_yaml);
    tcase_add_loop_test(words, null_is_the_default_of_every_type, 0, COUNT(nulls));
    tcase_add_test(words, null_for_a_key_without_default_is_missing);
    tcase_add_test(words, null_given_with_set_is_the_default_of_a_text_too);
    tcase_add_test(words, a_key_set_below_null_makes_a_section);
    tcase_add_test(words, a_quoted_null_is_a_text);
    tcase_add_test(words, a_stored_null_is_the_text_that_was_meant);
    tcase_add_test(words, a_tilde_is_the_home_folder);
    tcase_add_loop_test(words, what_a_shell_would_expand_further_is_refused, 0, COUNT(bad_paths));
    tcase_add_test(words, a_tilde_without_home_is_refused);
    tcase_add_test(words, a_dollar_that_is_no_variable_stays);
    tcase_add_loop_test(words, a_number_of_another_form_is_refused_with_what_to_write, 0, COUNT(numbers));
    tcase_add_test(words, true_and_false_have_the_three_spellings_of_yaml_1_2);
    tcase_add_test(words, sections_are_merged_by_their_anchors);
    tcase_add_test(words, a_mistake_in_a_merged_section_has_its_line);
    tcase_add_test(words, what_is_no_section_is_not_merged);
    tcase_add_test(words, a_quoted_merge_key_is_a_key);
    tcase_add_test(words, merging_without_end_is_defused);
    tcase_add_test(words, keys_that_begin_with_x_are_for_the_top_alone);
    return suite;
}
