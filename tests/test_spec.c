/* From YAML text to a checked experiment, and the messages of everything that is wrong on the way. */
#include "runner.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/model.h"
#include "spec/bind.h"
#include "train/experiment.h"

static struct arena arena;
static struct diagnostics diags;

static void nothing(void) {
}

static void release(void) {
    text_free(&diags.text);
    diags.count = 0;
    arena_free(&arena);
}

static const char *messages(void) {
    return diags.text.data ? diags.text.data : "";
}

/* Check cannot print long texts; this names the first line that differs. */
static void expect_same_lines(const char *text, const char *other, const char *what) {
    size_t same = 0, line = 0;
    for (; text[same] && text[same] == other[same]; same++)
        line = text[same] == '\n' ? same + 1 : line;
    ck_assert_msg(text[same] == other[same], "%s: \"%.*s\" differs from \"%.*s\"", what,
                  (int)strcspn(text + line, "\n"), text + line, (int)strcspn(other + line, "\n"), other + line);
}

static struct node *read_text(const char *text) {
    return yaml_read(&arena, "a.yaml", text, strlen(text), &diags);
}

static struct node *read_good(const char *text) {
    struct node *root = read_text(text);
    ck_assert_msg(root != NULL, "%s", messages());
    ck_assert_int_eq(diags.count, 0);
    return root;
}

/* --- YAML -------------------------------------------------------------------------------------------------------- */

START_TEST(nodes_know_what_and_where_they_are) {
    struct node *root = read_good("a: 1\n\nb: 'two'\nc:\n  - x\n  - {d: \"\"}\n");
    ck_assert(root->type == NODE_MAP && root->count == 3 && root->line == 1);
    ck_assert_str_eq(root->keys[2], "c");
    ck_assert_int_eq(root->key_lines[2], 4);
    const struct node *a = node_get(root, "a"), *b = node_get(root, "b"), *c = node_get(root, "c");
    ck_assert(a->type == NODE_SCALAR && !a->quoted && a->line == 1);
    ck_assert_str_eq(a->scalar, "1");
    ck_assert_str_eq(a->source, "a.yaml");
    ck_assert(b->quoted && b->line == 3);
    ck_assert(c->type == NODE_LIST && c->count == 2);
    ck_assert_int_eq(c->children[1]->line, 6);
    ck_assert(node_get(c->children[1], "d")->quoted);
    ck_assert_ptr_null(node_get(root, "e"));
    ck_assert_ptr_null(node_get(c, "d"));
}
END_TEST

START_TEST(line_ends_and_byte_order_marks) {
    static const char *const texts[] = {"a: 1\r\nb: x y\r\n",
                                        ("\xef\xbb\xbf"
                                         "a: 1\nb: x y"),
                                        "---\na: 1\nb: x y\n...\n", "# comment\na: 1 # comment\nb: x\n  y\n"};
    struct node *root = read_good(texts[_i]);
    ck_assert_str_eq(node_get(root, "a")->scalar, "1");
    ck_assert_str_eq(node_get(root, "b")->scalar, "x y");
}
END_TEST

START_TEST(aliases_stand_for_their_anchors) {
    struct node *root = read_good("a: &x {b: [1, 2]}\nc: *x\nd: &x 3\ne: *x\n");
    ck_assert_str_eq(node_get(node_get(root, "c"), "b")->children[1]->scalar, "2");
    ck_assert_str_eq(node_get(root, "e")->scalar, "3");
}
END_TEST

struct bad_yaml {
    const char *text;
    size_t length; /* 0: up to the NUL */
    const char *message;
};

static const struct bad_yaml bad_yamls[] = {
    {"", 0, "a.yaml:1: the document is empty\n"},
    {"# only a comment\n", 0, "a.yaml:2: the document is empty\n"},
    {"a: 1\n---\nb: 2\n", 0, "a.yaml:2: a second document starts here; a spec is a single one\n"},
    {"a: 1\n...\n...\n---\nb: 2\n", 0, "a.yaml:4: a second document starts here; a spec is a single one\n"},
    {"a: x\n\tb: 1\n", 0,
     "a.yaml:2: not valid YAML: found a tab character that violates indentation while scanning a plain scalar\n"},
    {"a: 1\0\n", 6, "a.yaml: not valid YAML: control characters are not allowed\n"},
    {"a: \"x\\0y\"\n", 0, "a.yaml:1: a value contains a NUL character\n"},
    {"a: \xff\xfe\n", 0, "a.yaml: not valid YAML: invalid leading UTF-8 octet\n"},
    {"a: \xe2\x82", 0, "a.yaml: not valid YAML: incomplete UTF-8 octet sequence\n"},
    {"a: [1\n", 0, "a.yaml:2: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence\n"},
    {"a: 'x\n", 0, "a.yaml:2: not valid YAML: found unexpected end of stream while scanning a quoted scalar\n"},
    {"a: b: c\n", 0, "a.yaml:1: not valid YAML: mapping values are not allowed in this context\n"},
    {"- a\nb: c\n", 0,
     "a.yaml:2: not valid YAML: did not find expected '-' indicator while parsing a block collection\n"},
    {"? [a]\n: b\n", 0, "a.yaml:1: a key must be a plain word\n"},
    {"{a: b}: c\n", 0, "a.yaml:1: a key must be a plain word\n"},
    {"a: 1\nb: *x\n", 0, "a.yaml:2: alias *x has no anchor before it\n"},
    {"a: &x [*x]\n", 0, "a.yaml:1: alias *x has no anchor before it\n"},
};

START_TEST(what_is_not_yaml_gets_a_line) {
    const struct bad_yaml *bad = &bad_yamls[_i];
    size_t length = bad->length ? bad->length : strlen(bad->text);
    ck_assert_ptr_null(yaml_read(&arena, "a.yaml", bad->text, length, &diags));
    ck_assert_str_eq(messages(), bad->message);
    ck_assert_int_eq(diags.count, 1);
}
END_TEST

/* Not cut at the NUL, which would make another key of it. */
START_TEST(a_nul_in_a_key_is_refused) {
    ck_assert_ptr_null(read_text("\"seed\\0x\": 1\n"));
    ck_assert_int_eq(diags.count, 1);
}
END_TEST

static char *repeated(const char *part, int count) {
    struct text text = {0};
    text_add(&text, "", 0);
    for (int i = 0; i < count; i++)
        text_printf(&text, "%s", part);
    char *copy = arena_string(&arena, text.data);
    text_free(&text);
    return copy;
}

START_TEST(nesting_has_a_bound) {
    read_good(arena_printf(&arena, "%s%s", repeated("[", 64), repeated("]", 64)));
    ck_assert_ptr_null(read_text(arena_printf(&arena, "%s%s", repeated("[", 65), repeated("]", 65))));
    ck_assert_str_eq(messages(), "a.yaml:1: nested more than 64 levels deep\n");
    ck_assert_ptr_null(read_text(repeated("[", 200000)));
    ck_assert_ptr_null(read_text(repeated("{a: ", 200000)));
}
END_TEST

/* Ten times the nodes with each line. */
START_TEST(an_alias_bomb_is_defused) {
    struct text bomb = {0};
    text_printf(&bomb, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 20; i++) {
        text_printf(&bomb, "a%d: &a%d [*a%d", i, i, i - 1);
        for (int k = 1; k < 10; k++)
            text_printf(&bomb, ", *a%d", i - 1);
        text_printf(&bomb, "]\n");
    }
    ck_assert_ptr_null(read_text(bomb.data));
    ck_assert_str_eq(messages(), "a.yaml:5: more than 100000 values, aliases expanded\n");
    text_free(&bomb);
}
END_TEST

START_TEST(too_many_anchors) {
    struct text text = {0};
    for (int i = 0; i <= 1000; i++)
        text_printf(&text, "- &a%d x\n", i);
    ck_assert_ptr_null(read_text(text.data));
    ck_assert_str_eq(messages(), "a.yaml:1001: more than 1000 anchors\n");
    text_free(&text);
}
END_TEST

static char *temporary_file(const char *bytes, size_t count) {
    char *path = arena_string(&arena, "/tmp/spherenet-test-spec-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, count), (ssize_t)count);
    close(fd);
    return path;
}

/* Short, since aliases repeat them in messages and in the resolved spec. */
START_TEST(keys_and_values_have_a_length) {
    read_good(arena_printf(&arena, "? %s\n: %s", repeated("k", 200), repeated("v", 4096)));
    ck_assert_ptr_null(read_text(arena_printf(&arena, "? %s\n: 1", repeated("k", 201))));
    ck_assert_ptr_null(read_text(arena_printf(&arena, "a: %s", repeated("v", 4097))));
    ck_assert_str_eq(messages(), "a.yaml:1: a key of more than 200 bytes\n"
                                 "a.yaml:1: a value of more than 4096 bytes\n");
}
END_TEST

START_TEST(files_that_are_no_specs) {
    ck_assert_ptr_null(yaml_read_file(&arena, "no/such/file.yaml", &diags));
    ck_assert_ptr_null(yaml_read_file(&arena, ".", &diags));
    ck_assert_str_eq(messages(), "no/such/file.yaml: cannot open the spec: No such file or directory\n"
                                 ".: is a directory; a spec is a YAML file\n");
    size_t most = 4 << 20;
    char *large = arena_alloc(&arena, most + 1);
    memset(large, '#', most + 1);
    char *path = temporary_file(large, most + 1);
    ck_assert_ptr_null(yaml_read_file(&arena, path, &diags));
    ck_assert_ptr_nonnull(strstr(messages(), ": larger than 4 MiB, which no spec is\n"));
    unlink(path);
    path = temporary_file(large, most);
    ck_assert_ptr_null(yaml_read_file(&arena, path, &diags));
    ck_assert_ptr_nonnull(strstr(messages(), ":2: the document is empty\n"));
    unlink(path);
}
END_TEST

/* --- Overrides --------------------------------------------------------------------------------------------------- */

static const char *const tree = "seed: 1\n"
                                "optimizer: adam\n"
                                "network:\n"
                                "  layers: [relu, {type: conv, filters: 4}, [[x, y]]]\n";

static const struct node *child(const struct node *node, const char *key) {
    const struct node *found = node_get(node, key);
    ck_assert_msg(found != NULL, "no key %s", key);
    return found;
}

START_TEST(overrides_reach_every_place) {
    static const char *const assignments[] = {
        "seed=2",          "optimizer.learning_rate=3e-4",   "network.layers[1].filters=8",    "new.a.b=[1]",
        "optimizer.x=a=b", "network.layers[0].name='first'", "network.layers[2][0][1]={z: 1}",
    };
    struct node *root = read_good(tree);
    for (size_t i = 0; i < sizeof assignments / sizeof *assignments; i++)
        ck_assert_msg(node_override(&arena, root, assignments[i], &diags), "%s", messages());
    ck_assert_str_eq(child(root, "seed")->scalar, "2");
    const struct node *optimizer = child(root, "optimizer"), *layers = child(child(root, "network"), "layers");
    ck_assert_str_eq(child(optimizer, "type")->scalar, "adam");
    ck_assert_str_eq(child(optimizer, "learning_rate")->scalar, "3e-4");
    ck_assert_str_eq(child(optimizer, "x")->scalar, "a=b");
    ck_assert_str_eq(child(layers->children[1], "filters")->scalar, "8");
    ck_assert_str_eq(child(layers->children[1], "type")->scalar, "conv");
    ck_assert_str_eq(child(layers->children[0], "type")->scalar, "relu");
    ck_assert(child(layers->children[0], "name")->quoted);
    ck_assert_str_eq(child(layers->children[2]->children[0]->children[1], "z")->scalar, "1");
    ck_assert_str_eq(child(child(child(root, "new"), "a"), "b")->children[0]->scalar, "1");
    ck_assert_str_eq(child(root, "seed")->source, "--set seed=2");
    ck_assert_int_eq(child(root, "seed")->line, 0);
    ck_assert_int_eq(diags.count, 0);
}
END_TEST

/* Only the place that is named changes, not the other places that share its anchor. */
START_TEST(an_override_spares_aliases) {
    struct node *root = read_good("a: &x {b: 1}\nc: *x\n");
    ck_assert(node_override(&arena, root, "a.b=2", &diags));
    ck_assert_str_eq(child(child(root, "a"), "b")->scalar, "2");
    ck_assert_str_eq(child(child(root, "c"), "b")->scalar, "1");
}
END_TEST

#define NO_KEY "is not a key; write KEY.KEY=VALUE or KEY[INDEX].KEY=VALUE\n"

static const struct {
    const char *assignment, *message; /* after "--set ASSIGNMENT:" */
} bad_overrides[] = {
    {"seed", " no \"=\"; write --set KEY=VALUE, as in --set network.operator.angular=linear\n"},
    {"", " no \"=\"; write --set KEY=VALUE, as in --set network.operator.angular=linear\n"},
    {"=1", " \"\" " NO_KEY},
    {".seed=1", " \"\" " NO_KEY},
    {"network..layers=1", " \"\" " NO_KEY},
    {"network.=1", " \"\" " NO_KEY},
    {"[0]=1", " \"[0]\" " NO_KEY},
    {"network.layers[=1", " \"layers[\" " NO_KEY},
    {"network.layers[]=1", " \"layers[]\" " NO_KEY},
    {"network.layers[-1]=1", " \"layers[-1]\" " NO_KEY},
    {"network.layers[0]x=1", " \"layers[0]x\" " NO_KEY},
    {"network.layers[99999999999999999999]=1", " \"layers[99999999999999999999]\" " NO_KEY},
    {"network.layers[0][0][0][0][0]=1", " \"layers[0][0][0][0][0]\" " NO_KEY},
    {"network.layers[3]=1", " layers[3]: no element 3 (the list is shorter)\n"},
    {"network.layers[0][0]=1", " layers[0][0]: no element 0 (not a list)\n"},
    {"seed[0]=1", " seed[0]: no element 0 (not a list)\n"},
    {"network.layers.x=1", " there are no keys below the one before \"x\"\n"},
    {"seed=[", " not valid YAML: did not find expected node content while parsing a flow node\n"},
};

START_TEST(overrides_that_lead_nowhere) {
    struct node *root = read_good(tree);
    ck_assert(!node_override(&arena, root, bad_overrides[_i].assignment, &diags));
    ck_assert_str_eq(messages(),
                     arena_printf(&arena, "--set %s:%s", bad_overrides[_i].assignment, bad_overrides[_i].message));
}
END_TEST

/* --- Binding ----------------------------------------------------------------------------------------------------- */

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
    ck_assert_int_eq(s.section.depth, 7);
    ck_assert_int_eq(s.included.depth, 7);
    ck_assert_ptr_eq(s.row.kind, &point);
    ck_assert_ptr_eq(s.shape.kind, &point);
    ck_assert_int_eq(s.shapes.count, 0);
}
END_TEST

static const char *const full = "whole: -5\nfraction: 1e-3\nflag: false\ntext: 'true'\ncolour: blue\n"
                                "colours: [blue, red]\nlist: [0, 100, 7]\nsection: {depth: 9}\ndepth: 1\n"
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
    ck_assert_int_eq(s.shapes.choices[1].line, 13);
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
                     "colour, colours, list, section, depth, row, shape, shapes)\n"
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

/* --- Experiments ------------------------------------------------------------------------------------------------- */

static bool parse(const char *text, const char *const *overrides, int override_count) {
    struct experiment experiment;
    bool good = experiment_parse(&experiment, "a.yaml", text, overrides, override_count, &diags);
    ck_assert_int_eq(good, diags.count == 0);
    experiment_free(&experiment);
    return good;
}

static char *emitted(const struct experiment *experiment) {
    struct text text = {0};
    experiment_emit(&text, experiment);
    char *copy = arena_string(&arena, text.data);
    text_free(&text);
    return copy;
}

/* What is written reads back as the same experiment, which is written in the same way. */
static void check_round_trip(const struct experiment *experiment) {
    struct experiment again;
    const char *written = emitted(experiment);
    ck_assert_msg(experiment_parse(&again, "again.yaml", written, NULL, 0, &diags), "%s", messages());
    expect_same_lines(emitted(&again), written, experiment->name);
    experiment_free(&again);
}

START_TEST(shipped_configs_are_good) {
    glob_t configs;
    ck_assert_int_eq(glob("configs/*.yaml", 0, NULL, &configs), 0);
    for (size_t i = 0; i < configs.gl_pathc; i++) {
        struct experiment experiment;
        struct model net;
        ck_assert_msg(experiment_read(&experiment, configs.gl_pathv[i], NULL, 0, &diags), "%s", messages());
        ck_assert_msg(experiment_plan(&experiment, &net, &diags), "%s", messages());
        ck_assert_int_gt(net.tensor_count, 0);
        model_free(&net);
        check_round_trip(&experiment);
        experiment_free(&experiment);
    }
    globfree(&configs);
}
END_TEST

#define DATA "data: {type: synthetic, height: 8, width: 8, classes: 4}\n"
#define TRAIN "train: {iterations: 1}\n"
#define LAYERS(TEXT) DATA TRAIN "network:\n  layers:\n" TEXT

static const char *const good_networks[] = {
    LAYERS("  - {type: dense, units: 4}\n"),
    LAYERS("  - {type: conv, filters: 2, kernel: 8}\n  - relu\n  - {type: dense, units: 4}\n"),
    LAYERS("  - {type: residual, body: [{type: conv, filters: 5, padding: 1}], shortcut: [{type: conv, filters: 5, "
           "kernel: 1}]}\n  - {type: avg_pool, global: true}\n  - {type: dense, units: 4}\n"),
    LAYERS("  - {type: dense, units: 4, name: 'true'}\n  - {type: batch_norm, name: \"a: b\\n- c\"}\n"),
    DATA TRAIN "network: {type: plain, depth: 3, widths: [1, 2, 3], features: 0}\n",
    DATA TRAIN "network: {type: resnet, depth: 8, widths: [1, 2, 3], operator: {angular: learnable_sigmoid}}\n",
    TRAIN "data: {type: cifar10, path: '#odd: path '}\nnetwork: {type: plain, depth: 9}\n",
    DATA TRAIN "network: {type: plain, depth: 3}\nregularizer: {weight_decay: 1e-4, weight_decay_on: []}\n"
               "schedule: {type: step, milestones: []}\noptimizer: {type: sgd, nesterov: true}\n",
};

START_TEST(good_specs_round_trip) {
    struct experiment experiment;
    ck_assert_msg(experiment_parse(&experiment, "a.yaml", good_networks[_i], NULL, 0, &diags), "%s", messages());
    check_round_trip(&experiment);
    experiment_free(&experiment);
}
END_TEST

#define ONE "  - {type: conv, filters: 4, padding: 1}\n"
#define LAST "  - {type: dense, units: 4}\n"

static const struct {
    const char *text, *message;
} bad_networks[] = {
    {DATA TRAIN "network: {type: plain, depth: 10}\n",
     "a.yaml:3: network: depth 10 is not a multiple of 3, one third for each stage; 9 and 12 are\n"},
    {DATA TRAIN "network: {type: plain, depth: 10, widths: [1, 2]}\n",
     "a.yaml:3: network: depth 10 is not a multiple of 3, one third for each stage; 9 and 12 are\n"
     "a.yaml:3: network: widths has 2 entries, but there are three stages\n"},
    {DATA TRAIN "network: {type: plain, depth: 3, widths: [1, 2, 3, 4]}\n",
     "a.yaml:3: network: widths has 4 entries, but there are three stages\n"},
    {DATA TRAIN "network: {type: plain, depth: 2}\n",
     "a.yaml:3: network.depth: found \"2\"; expected a whole number from 3 to 300\n"},
    {DATA TRAIN "network: {type: resnet, depth: 33}\n",
     "a.yaml:3: network: depth 33 is not 6n + 2; 8, 14, 20, 26, 32, 44, 56 and 110 are\n"},
    {DATA TRAIN "network: {type: resnet, widths: []}\n",
     "a.yaml:3: network: widths has 0 entries, but there are three stages\n"},
    {LAYERS("  - {type: dense, units: 5}\n"), "a.yaml:5: network.layers[0]: dense dense_1: the last layer puts out "
                                              "1x1x5 values, but the dataset has 4 classes\n"},
    {LAYERS(ONE),
     "a.yaml:5: network.layers[0]: conv conv_1: the last layer puts out 8x8x4 values, but the dataset has 4 classes\n"},
    {LAYERS("  - {type: conv, name: big, filters: 4, kernel: 9}\n" LAST),
     "a.yaml:5: network.layers[0]: conv big: a 9x9 kernel does not fit its input of 8x8 with padding 0\n"},
    {LAYERS("  - {type: sphere_conv, filters: 4, kernel: 3, padding: 3}\n" LAST),
     "a.yaml:5: network.layers[0]: sphere_conv sphere_conv_1: padding 3 must be smaller than the kernel, 3\n"},
    {LAYERS("  - max_pool\n  - max_pool\n  - max_pool\n  - max_pool\n" LAST),
     "a.yaml:8: network.layers[3]: max_pool max_pool_4: a 2x2 window does not fit its input of 1x1: too many pools, or "
     "the "
     "images are too small\n"},
    {LAYERS("  - {type: max_pool, kernel: 3, padding: 2}\n" LAST),
     "a.yaml:5: network.layers[0]: max_pool max_pool_1: padding 2 is more than half the window, 3\n"},
    {LAYERS("  - flatten\n" ONE LAST),
     "a.yaml:6: network.layers[1]: conv conv_2: needs an image, but the layers before it made a flat vector\n"},
    {LAYERS("  - {type: dense, units: 9}\n  - avg_pool\n" LAST),
     "a.yaml:6: network.layers[1]: avg_pool avg_pool_2: needs an image, but the layers before it made a flat vector\n"},
    {LAYERS("  - {type: residual, body: [{type: conv, filters: 4, padding: 1}]}\n" LAST),
     "a.yaml:5: network.layers[0]: residual residual_1: the body's output is 8x8x4, the shortcut's 8x8x3; they are to "
     "be "
     "added\n"},
    {LAYERS("  - {type: residual, body: [max_pool], shortcut: [{type: conv, filters: 3, kernel: 1}]}\n" LAST),
     "a.yaml:5: network.layers[0]: residual residual_1: the body's output is 4x4x3, the shortcut's 8x8x3; they are to "
     "be "
     "added\n"},
    {LAYERS("  - {type: residual, body: []}\n" LAST),
     "a.yaml:5: network.layers[0]: residual residual_1: the body has no layers\n"},
    {LAYERS("  - type: residual\n    body:\n      - relu\n      - {type: conv, filters: 4, kernel: 20}\n" LAST),
     "a.yaml:8: network.layers[0].body[1]: conv conv_3: a 20x20 kernel does not fit its input of 8x8 with padding 0\n"},
};

START_TEST(networks_that_cannot_be) {
    ck_assert(!parse(bad_networks[_i].text, NULL, 0));
    ck_assert_str_eq(messages(), bad_networks[_i].message);
}
END_TEST

START_TEST(two_layers_of_one_name) {
    ck_assert(
        !parse(LAYERS("  - {type: conv, name: a, filters: 4}\n  - {type: conv, name: a, filters: 4}\n" LAST), NULL, 0));
    ck_assert_int_eq(diags.count, 1);
    ck_assert_ptr_nonnull(strstr(messages(), "two layers make a tensor named \"a.weight\"; layer names must differ\n"));
}
END_TEST

/* Aliases make a million layers of a page, and a gigabyte of a long name. */
START_TEST(networks_have_an_end) {
    static const char format[] = DATA TRAIN "network: {layers: [%s{type: dense, units: 4}]}\n";
    ck_assert_msg(parse(arena_printf(&arena, format, repeated("relu, ", 1998)), NULL, 0), "%s", messages());
    ck_assert(!parse(arena_printf(&arena, format, repeated("relu, ", 90000)), NULL, 0));
    ck_assert_str_eq(messages(), "a.yaml:3: network.layers[2000]: more than 2000 layers in all\n");
    text_free(&diags.text);
    diags.count = 0;
    ck_assert(!parse(arena_printf(&arena, format, arena_printf(&arena, "{type: relu, name: %s}, ", repeated("n", 201))),
                     NULL, 0));
    ck_assert_ptr_nonnull(strstr(messages(), ": a name of more than 200 bytes\n"));
}
END_TEST

/* Every message tells where: a network without layers too. */
START_TEST(no_layers) {
    ck_assert(!parse(DATA TRAIN "network: {layers: []}\n", NULL, 0));
    ck_assert_str_eq(messages(), "a.yaml:3: network: a network needs at least one layer\n");
}
END_TEST

static const struct {
    const char *text, *message;
} bad_roots[] = {
    {"- a\n", "a.yaml:1: a spec is a map of keys: data, network, train and so on\n"},
    {"just words\n", "a.yaml:1: a spec is a map of keys: data, network, train and so on\n"},
    {"name: ../up\n" DATA TRAIN "network: {type: plain, depth: 3}\n",
     "a.yaml:1: name: \"../up\" cannot name a folder; use letters, digits, \".\", \"_\" and \"-\"\n"},
    {DATA "network: {type: plain, depth: 3}\n" TRAIN TRAIN,
     "a.yaml:4: train: this key was given before; keep one of the two\n"},
    {DATA "network: {type: plain, depth: 3}\n",
     "a.yaml:1: train.iterations: missing; expected a whole number from 1 to 2000000000 (batches to train on)\n"},
};

START_TEST(specs_that_are_wrong_at_the_top) {
    ck_assert(!parse(bad_roots[_i].text, NULL, 0));
    ck_assert_str_eq(messages(), bad_roots[_i].message);
}
END_TEST

START_TEST(overrides_are_checked_as_the_spec_is) {
    const char *const overrides[] = {"network.layers[0].units=0", "train.batch_sise=3", "optimizer={type: sgd}"};
    ck_assert(!parse(LAYERS(LAST), overrides, 3));
    ck_assert_str_eq(
        messages(),
        "--set network.layers[0].units=0: network.layers[0].units: found \"0\"; expected a whole number from 1 to "
        "65536\n"
        "--set train.batch_sise=3: train.batch_sise: unknown key \"batch_sise\"; did you mean \"batch_size\"? "
        "(iterations, batch_size, eval_every, checkpoint_every, log_every, keep, on_divergence, threads, "
        "openblas_core, "
        "init_from, "
        "init_classifier)\n");
}
END_TEST

START_TEST(overrides_change_the_experiment) {
    struct experiment experiment;
    const char *const overrides[] = {"seed=9", "train.iterations=77", "train.iterations=78", "name=other"};
    ck_assert(experiment_parse(&experiment, "a.yaml", LAYERS(LAST), overrides, 4, &diags));
    ck_assert_int_eq(experiment.seed, 9);
    ck_assert_int_eq(experiment.train.iterations, 78);
    ck_assert_str_eq(experiment.name, "other");
    experiment_free(&experiment);
}
END_TEST

START_TEST(the_name_comes_from_the_file) {
    struct experiment experiment;
    ck_assert(experiment_parse(&experiment, "some/where/a.b.yaml", LAYERS(LAST), NULL, 0, &diags));
    ck_assert_str_eq(experiment.name, "a.b");
    experiment_free(&experiment);
}
END_TEST

/* --- docs/spec.md ------------------------------------------------------------------------------------------------ */

static char *read_stream(FILE *stream) {
    struct text text = {0};
    text_add(&text, "", 0);
    for (int c; (c = getc(stream)) != EOF;)
        text_add(&text, &(char){(char)c}, 1);
    char *copy = arena_string(&arena, text.data);
    text_free(&text);
    return copy;
}

/* `make docs` writes the page; before that there is nothing to compare. */
START_TEST(the_page_of_keys_is_up_to_date) {
    FILE *page = fopen("docs/spec.md", "r");
    if (!page)
        return;
    const char *program = getenv("SPHERENET");
    FILE *help =
        popen(arena_printf(&arena, "'%s' help spec --markdown", program ? program : "build/release/spherenet"), "r");
    ck_assert_ptr_nonnull(help);
    expect_same_lines(read_stream(page), read_stream(help), "docs/spec.md");
    ck_assert_int_eq(pclose(help), 0);
    fclose(page);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

#define COUNT(ARRAY) (int)(sizeof(ARRAY) / sizeof *(ARRAY))

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, nothing, release);
    tcase_set_timeout(tests, 30);
    suite_add_tcase(suite, tests);
    return tests;
}

Suite *test_suite(void) {
    Suite *suite = suite_create("spec");

    TCase *yaml = add_case(suite, "yaml");
    tcase_add_test(yaml, nodes_know_what_and_where_they_are);
    tcase_add_loop_test(yaml, line_ends_and_byte_order_marks, 0, 4);
    tcase_add_test(yaml, aliases_stand_for_their_anchors);
    tcase_add_loop_test(yaml, what_is_not_yaml_gets_a_line, 0, COUNT(bad_yamls));
    tcase_add_test(yaml, a_nul_in_a_key_is_refused);
    tcase_add_test(yaml, keys_and_values_have_a_length);
    tcase_add_test(yaml, nesting_has_a_bound);
    tcase_add_test(yaml, an_alias_bomb_is_defused);
    tcase_add_test(yaml, too_many_anchors);
    tcase_add_test(yaml, files_that_are_no_specs);

    TCase *overrides = add_case(suite, "overrides");
    tcase_add_test(overrides, overrides_reach_every_place);
    tcase_add_test(overrides, an_override_spares_aliases);
    tcase_add_loop_test(overrides, overrides_that_lead_nowhere, 0, COUNT(bad_overrides));

    TCase *binding = add_case(suite, "binding");
    tcase_add_test(binding, defaults_are_bound);
    tcase_add_test(binding, every_type_is_bound_and_written_back);
    tcase_add_loop_test(binding, values_that_do_not_fit, 0, COUNT(bad_values));
    tcase_add_test(binding, every_mistake_is_reported_with_its_line);
    tcase_add_test(binding, long_values_are_cut_in_messages);
    tcase_add_test(binding, control_characters_stay_out_of_messages);
    tcase_add_test(binding, mistakes_without_end);
    tcase_add_loop_test(binding, odd_texts_survive_writing, 0, COUNT(odd_texts));
    tcase_add_loop_test(binding, numbers_survive_writing, 0, 9);

    TCase *experiments = add_case(suite, "experiments");
    tcase_add_test(experiments, shipped_configs_are_good);
    tcase_add_loop_test(experiments, good_specs_round_trip, 0, COUNT(good_networks));
    tcase_add_loop_test(experiments, networks_that_cannot_be, 0, COUNT(bad_networks));
    tcase_add_test(experiments, two_layers_of_one_name);
    tcase_add_test(experiments, networks_have_an_end);
    tcase_add_test(experiments, no_layers);
    tcase_add_loop_test(experiments, specs_that_are_wrong_at_the_top, 0, COUNT(bad_roots));
    tcase_add_test(experiments, overrides_are_checked_as_the_spec_is);
    tcase_add_test(experiments, overrides_change_the_experiment);
    tcase_add_test(experiments, the_name_comes_from_the_file);
    tcase_add_test(experiments, the_page_of_keys_is_up_to_date);
    return suite;
}
