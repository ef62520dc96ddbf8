/* From nodes to structs by tables of keys, and back: every type, every mistake. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "support/compare.h"
#include "support/specs.h"
#include "support/suite.h"

struct shape_config {
    double size;
};

static const struct param circle_params[] = {
    {.key = "size", .type = PARAM_REAL, .offset = offsetof(struct shape_config, size), .help = "its diameter"},
    {.type = PARAM_END},
};
static const struct kind circle = {"circle", "round", circle_params, sizeof(struct shape_config)};
static const struct kind point = {"point", "without a size", NULL, 0};
static const struct kind *const shape_rows[] = {&circle, &point, NULL};
static const struct registry shapes = {"shape", shape_rows};
static const char *const colours[] = {"red", "green", "blue", NULL};

struct inner {
    int depth;
};

static const struct param inner_params[] = {
    {.key = "depth",
     .type = PARAM_INT,
     .offset = offsetof(struct inner, depth),
     .fallback = "7",
     .min = 1,
     .max = 9,
     .help = "how deep"},
    {.type = PARAM_END},
};

struct sample {
    int whole;
    double fraction;
    bool flag;
    const char *text;
    int colour;
    unsigned colours;
    struct int_list list;
    struct text_map texts;
    struct inner section, included;
    struct choice row;
    struct choice shape;
    struct choice_list shapes;
};

#define PLACE(MEMBER) .offset = offsetof(struct sample, MEMBER), .help = "help of " #MEMBER

static const struct param sample_params[] = {
    {.key = "whole", .type = PARAM_INT, PLACE(whole), .min = -5, .max = 50},
    {.key = "fraction", .type = PARAM_REAL, PLACE(fraction), .fallback = "0.5", .min = 0, .max = 1},
    {.key = "flag", .type = PARAM_BOOL, PLACE(flag), .fallback = "true"},
    {.key = "text", .type = PARAM_STRING, PLACE(text), .fallback = "''"},
    {.key = "colour", .type = PARAM_ENUM, PLACE(colour), .fallback = "green", .names = colours},
    {.key = "colours", .type = PARAM_FLAGS, PLACE(colours), .fallback = "[]", .names = colours},
    {.key = "list", .type = PARAM_INTS, PLACE(list), .fallback = "[1, 2]", .min = 0, .max = 100},
    {.key = "texts", .type = PARAM_TEXTS, PLACE(texts), .fallback = "{}"},
    {.key = "section", .type = PARAM_SECTION, PLACE(section), .params = inner_params},
    {.type = PARAM_INCLUDE, PLACE(included), .params = inner_params},
    {.key = "row", .type = PARAM_ROW, PLACE(row), .fallback = "point", .registry = &shapes},
    {.key = "shape", .type = PARAM_KIND, PLACE(shape), .fallback = "point", .registry = &shapes},
    {.key = "shapes", .type = PARAM_KINDS, PLACE(shapes), .fallback = "[]", .registry = &shapes},
    {.type = PARAM_END},
};

static struct sample bind(const char *text) {
    struct sample sample = {0};
    spec_bind(&arena, &sample, sample_params, read_good(text), "", &diags);
    return sample;
}

START_TEST(defaults_are_bound) {
    struct sample s = bind("whole: 3");
    ck_assert_int_eq(diags.count, 0);
    ck_assert_int_eq(s.whole, 3);
    ck_assert_double_eq(s.fraction, 0.5);
    ck_assert(s.flag);
    ck_assert_str_eq(s.text, "");
    ck_assert_int_eq(s.colour, 1);
    ck_assert_uint_eq(s.colours, 0);
    ck_assert(s.list.count == 2 && s.list.values[0] == 1 && s.list.values[1] == 2);
    ck_assert_int_eq(s.texts.count, 0);
    ck_assert_int_eq(s.section.depth, 7);
    ck_assert_int_eq(s.included.depth, 7);
    ck_assert_ptr_eq(s.row.kind, &point);
    ck_assert_ptr_eq(s.shape.kind, &point);
    ck_assert_int_eq(s.shapes.count, 0);
}
END_TEST

static const char *const full = "whole: -5\nfraction: 1e-3\nflag: false\ntext: 'true'\ncolour: blue\n"
                                "colours: [blue, red]\nlist: [0, 100, 7]\ntexts: {a.b: 'true', '': \"x: y\"}\nsection: {depth: 9}\ndepth: 1\n"
                                "row: circle\nsize: 4\nshape: {type: circle, size: 0x1p3}\n"
                                "shapes: [point, {type: circle, size: -2.5}, {type: point}]\n";

static void check_full(const struct sample *s) {
    ck_assert_msg(diags.count == 0, "%s", messages());
    ck_assert_int_eq(s->whole, -5);
    ck_assert_double_eq(s->fraction, 1e-3);
    ck_assert(!s->flag);
    ck_assert_str_eq(s->text, "true");
    ck_assert_int_eq(s->colour, 2);
    ck_assert_uint_eq(s->colours, 5);
    ck_assert(s->list.count == 3 && s->list.values[1] == 100 && s->list.values[2] == 7);
    ck_assert_int_eq(s->texts.count, 2);
    ck_assert_str_eq(s->texts.pairs[0].from, "a.b");
    ck_assert_str_eq(s->texts.pairs[0].to, "true");
    ck_assert_str_eq(s->texts.pairs[1].from, "");
    ck_assert_str_eq(s->texts.pairs[1].to, "x: y");
    ck_assert_int_eq(s->section.depth, 9);
    ck_assert_int_eq(s->included.depth, 1);
    ck_assert_ptr_eq(s->row.kind, &circle);
    ck_assert_double_eq(((struct shape_config *)s->row.config)->size, 4);
    ck_assert_ptr_eq(s->shape.kind, &circle);
    ck_assert_double_eq(((struct shape_config *)s->shape.config)->size, 8);
    ck_assert_int_eq(s->shapes.count, 3);
    ck_assert_ptr_eq(s->shapes.choices[2].kind, &point);
    ck_assert_double_eq(((struct shape_config *)s->shapes.choices[1].config)->size, -2.5);
}

START_TEST(every_type_is_bound_and_written_back) {
    struct sample s = bind(full);
    check_full(&s);
    ck_assert_int_eq(s.shapes.choices[1].line, 14);
    struct text written = {0};
    spec_emit(&written, &s, sample_params);
    struct sample again = bind(written.data);
    check_full(&again);
    text_free(&written);
}
END_TEST

#define WHOLE "expected a whole number from -5 to 50\n"
#define FRACTION "expected a number from 0 to 1\n"
#define LIST "expected a list of at most 16 whole numbers from 0 to 100\n"

/* One mistake each. `whole` is added where it is not given. */
static const struct {
    const char *text, *message;
} bad_values[] = {
    {"whole: 51", "a.yaml:1: whole: found \"51\"; " WHOLE},
    {"whole: -6", "a.yaml:1: whole: found \"-6\"; " WHOLE},
    {"whole: 1.0", "a.yaml:1: whole: found \"1.0\"; " WHOLE},
    {"whole: 1e1", "a.yaml:1: whole: found \"1e1\"; " WHOLE},
    {"whole: 0x1", "a.yaml:1: whole: found \"0x1\"; " WHOLE},
    {"whole: 99999999999999999999", "a.yaml:1: whole: found \"99999999999999999999\"; " WHOLE},
    {"whole: 4294967297", "a.yaml:1: whole: found \"4294967297\"; " WHOLE},
    {"whole: '3'", "a.yaml:1: whole: found the quoted text \"3\"; " WHOLE},
    {"whole: many", "a.yaml:1: whole: found \"many\"; " WHOLE},
    {"whole: [3]", "a.yaml:1: whole: found a list; " WHOLE},
    {"whole: {a: 3}", "a.yaml:1: whole: found a section; " WHOLE},
    {"fraction: 1.0001", "a.yaml:1: fraction: found \"1.0001\"; " FRACTION},
    {"fraction: -1e-9", "a.yaml:1: fraction: found \"-1e-9\"; " FRACTION},
    {"fraction: nan", "a.yaml:1: fraction: found \"nan\"; " FRACTION},
    {"fraction: .inf", "a.yaml:1: fraction: found \".inf\"; " FRACTION},
    {"fraction: 1e999", "a.yaml:1: fraction: found \"1e999\"; " FRACTION},
    {"fraction: 0.5s", "a.yaml:1: fraction: found \"0.5s\"; " FRACTION},
    {"fraction: 0,5", "a.yaml:1: fraction: found \"0,5\"; " FRACTION},
    {"flag: yes", "a.yaml:1: flag: found \"yes\"; expected true or false\n"},
    {"flag: 'true'", "a.yaml:1: flag: found the quoted text \"true\"; expected true or false\n"},
    {"text: [a]", "a.yaml:1: text: found a list; expected text\n"},
    {"text: {a: b}", "a.yaml:1: text: found a section; expected text\n"},
    {"colour: gren", "a.yaml:1: colour: unknown value \"gren\"; did you mean \"green\"? (red, green, blue)\n"},
    {"colour: black", "a.yaml:1: colour: unknown value \"black\"; expected one of (red, green, blue)\n"},
    {"colours: red", "a.yaml:1: colours: found \"red\"; expected a list, [] or some of red, green, blue\n"},
    {"colours: [red, bleu]", "a.yaml:1: colours: unknown value \"bleu\"; did you mean \"blue\"? (red, green, blue)\n"},
    {"list: 3", "a.yaml:1: list: found \"3\"; " LIST},
    {"section: 3", "a.yaml:1: section: found \"3\"; expected a section of keys\n"},
    {"section: [3]", "a.yaml:1: section: found a list; expected a section of keys\n"},
    {"section: {depth: 10}", "a.yaml:1: section.depth: found \"10\"; expected a whole number from 1 to 9\n"},
    {"section: {dept: 1}", "a.yaml:1: section.dept: unknown key \"dept\"; did you mean \"depth\"? (depth)\n"},
    {"depth: 0", "a.yaml:1: depth: found \"0\"; expected a whole number from 1 to 9\n"},
    {"row: circel", "a.yaml:1: row: unknown value \"circel\"; did you mean \"circle\"? (circle, point)\n"},
    {"shape: square", "a.yaml:1: shape: unknown value \"square\"; expected one of (circle, point)\n"},
    {"shape: circle", "a.yaml:1: shape.size: missing; expected a number (its diameter)\n"},
    {"shape: {size: 3}", "a.yaml:1: shape.size: a key of circle alone: \"size\"; expected one of (type)\n"},
    {"shape: {type: poin}", "a.yaml:1: shape.type: unknown value \"poin\"; did you mean \"point\"? (circle, point)\n"},
    {"shape: {type: point, size: 3}",
     "a.yaml:1: shape.size: a key of circle alone: \"size\"; expected one of (type)\n"},
    {"shapes: point", "a.yaml:1: shapes: found \"point\"; expected a list of shapes\n"},
    {"shapes: [point, {type: circle}]", "a.yaml:1: shapes[1].size: missing; expected a number (its diameter)\n"},
    {"shapes: [point,\n  pont]",
     "a.yaml:2: shapes[1]: unknown value \"pont\"; did you mean \"point\"? (circle, point)\n"},
};

START_TEST(values_that_do_not_fit) {
    const char *text = bad_values[_i].text;
    bind(strncmp(text, "whole", 5) ? arena_printf(&arena, "%s\nwhole: 1\n", text) : text);
    ck_assert_str_eq(messages(), bad_values[_i].message);
    ck_assert_int_eq(diags.count, 1);
}
END_TEST

START_TEST(every_mistake_is_reported_with_its_line) {
    bind("fraction: 2\nflag: maybe\nwhle: 1\ntext: a\ntext: b\nsection:\n  depth: 0\n  width: 3\n"
         "shapes:\n  - circle\n  - {type: circle, size: big, colour: red}\n");
    ck_assert_str_eq(messages(),
                     "a.yaml:3: whle: unknown key \"whle\"; did you mean \"whole\"? (whole, fraction, flag, text, "
                     "colour, colours, list, texts, section, depth, row, shape, shapes)\n"
                     "a.yaml:5: text: this key was given before; keep one of the two\n"
                     "a.yaml:1: whole: missing; expected a whole number from -5 to 50 (help of whole)\n"
                     "a.yaml:1: fraction: found \"2\"; " FRACTION
                     "a.yaml:2: flag: found \"maybe\"; expected true or false\n"
                     "a.yaml:8: section.width: unknown key \"width\"; expected one of (depth)\n"
                     "a.yaml:7: section.depth: found \"0\"; expected a whole number from 1 to 9\n"
                     "a.yaml:10: shapes[0].size: missing; expected a number (its diameter)\n"
                     "a.yaml:11: shapes[1].colour: unknown key \"colour\"; expected one of (type, size)\n"
                     "a.yaml:11: shapes[1].size: found \"big\"; expected a number\n");
    ck_assert_int_eq(diags.count, 10);
}
END_TEST

START_TEST(long_values_are_cut_in_messages) {
    bind(arena_printf(&arena, "whole: 1\ncolour: %s", repeated("x", 4000)));
    ck_assert_uint_lt(strlen(messages()), 200);
    ck_assert_int_eq(diags.count, 1);
}
END_TEST

/* A terminal would act on them. */
START_TEST(control_characters_stay_out_of_messages) {
    bind("whole: \"\\e[2J \\x9b\\t|\"");
    ck_assert_ptr_nonnull(strstr(messages(), "\"?[2J ??\t|\""));
}
END_TEST

/* A thousand are listed, and soon no more are looked for. */
START_TEST(mistakes_without_end) {
    bind(arena_printf(&arena, "whole: 1\ncolour: red\nshapes: [&a {type: x}, %s]", repeated("*a, ", 1800)));
    ck_assert_int_lt(diags.count, 1010);
    int lines = 0;
    for (const char *c = messages(); (c = strchr(c, '\n')); c++)
        lines++;
    ck_assert_int_eq(lines, 1001);
    ck_assert_ptr_nonnull(strstr(messages(), "\nmore mistakes than these 1000 are not listed\n"));
}
END_TEST

static const char *const odd_texts[] = {
    "",
    " ",
    "  both  ",
    "true",
    "null",
    "~",
    "1e3",
    "- a",
    "a: b",
    "#no comment",
    "'",
    "\"",
    "a\nb",
    "a\n\n",
    "\n",
    "\t",
    "tab\there",
    "\\n",
    "\x07\x1b[0m\x7f",
    "%TAG",
    "*alias",
    "&anchor",
    "!tag",
    "|",
    ">",
    "[",
    "{a: b}",
    "?",
    "é ü 漢字 😀",
    "\xc2\x85\xe2\x80\xa8",
    "---",
    "...",
    "a # b",
    "a:",
    ":",
    "@x `y`",
    "=",
    "<<",
    "\r\n",
    "\xef\xbb\xbf",
};

START_TEST(odd_texts_survive_writing) {
    struct sample sample = bind("whole: 1"), again;
    sample.text = odd_texts[_i];
    struct text written = {0};
    spec_emit(&written, &sample, sample_params);
    again = bind(written.data);
    ck_assert_msg(diags.count == 0, "%s", messages());
    ck_assert_str_eq(again.text, odd_texts[_i]);
    text_free(&written);
}
END_TEST

START_TEST(numbers_survive_writing) {
    static const double numbers[] = {0, 1, 0.1, 1.0 / 3, 1e-300, 5e-324, 0.999999, 6.02214076e-23, 1 - 1e-16};
    struct sample sample = bind("whole: 1");
    sample.fraction = numbers[_i];
    struct text written = {0};
    spec_emit(&written, &sample, sample_params);
    ck_assert_double_eq(bind(written.data).fraction, numbers[_i]);
    text_free(&written);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("binding");
    TCase *binding = suite_group(suite, "binding", 30, NULL, specs_tear_down);
    tcase_add_test(binding, defaults_are_bound);
    tcase_add_test(binding, every_type_is_bound_and_written_back);
    tcase_add_loop_test(binding, values_that_do_not_fit, 0, COUNT(bad_values));
    tcase_add_test(binding, every_mistake_is_reported_with_its_line);
    tcase_add_test(binding, long_values_are_cut_in_messages);
    tcase_add_test(binding, control_characters_stay_out_of_messages);
    tcase_add_test(binding, mistakes_without_end);
    tcase_add_loop_test(binding, odd_texts_survive_writing, 0, COUNT(odd_texts));
    tcase_add_loop_test(binding, numbers_survive_writing, 0, 9);
    return suite;
}
