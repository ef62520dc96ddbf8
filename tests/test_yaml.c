/* From YAML text to nodes, and --set on them: places, bounds, and the messages of everything that is no YAML. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "support/specs.h"
#include "support/suite.h"

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
     "a.yaml:2: not valid YAML: found a tab character that violates indentation while scanning a plain scalar; the "
     "line "
     "begins with a tab: indent with blanks\n"},
    {"a: 1\0\n", 6,
     "a.yaml:1: not valid YAML: control characters are not allowed; with bytes of 0 it may be UTF-16 without a mark, "
     "where UTF-8 is expected\n"},
    {"a: \"x\\0y\"\n", 0, "a.yaml:1: a value contains a NUL character\n"},
    {"a: \xff\xfe\n", 0,
     "a.yaml:1: not valid YAML: invalid leading UTF-8 octet; it may be Latin-1, where UTF-8 is expected\n"},
    {"a: 1\nb: caf\xe9 x\n", 0,
     "a.yaml:2: not valid YAML: invalid trailing UTF-8 octet; it may be Latin-1, where UTF-8 is expected\n"},
    {"a: 1\nb:\n \tc: 1\n", 0,
     "a.yaml:3: not valid YAML: found character that cannot start any token while scanning for the next token; the "
     "line "
     "begins with a tab: indent with blanks\n"},
    {"a: \xe2\x82", 0,
     "a.yaml:1: not valid YAML: incomplete UTF-8 octet sequence; it may be Latin-1, where "
     "UTF-8 is expected\n"},
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
    ck_assert_ptr_null(read_yaml("\"seed\\0x\": 1\n"));
    ck_assert_int_eq(diags.count, 1);
}
END_TEST

START_TEST(nesting_has_a_bound) {
    read_good(arena_printf(&arena, "%s%s", repeated("[", 64), repeated("]", 64)));
    ck_assert_ptr_null(read_yaml(arena_printf(&arena, "%s%s", repeated("[", 65), repeated("]", 65))));
    ck_assert_str_eq(messages(), "a.yaml:1: nested more than 64 levels deep\n");
    ck_assert_ptr_null(read_yaml(repeated("[", 200000)));
    ck_assert_ptr_null(read_yaml(repeated("{a: ", 200000)));
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
    ck_assert_ptr_null(read_yaml(bomb.data));
    ck_assert_str_eq(messages(), "a.yaml:5: more than 100000 values, aliases expanded\n");
    text_free(&bomb);
}
END_TEST

START_TEST(too_many_anchors) {
    struct text text = {0};
    for (int i = 0; i <= 1000; i++)
        text_printf(&text, "- &a%d x\n", i);
    ck_assert_ptr_null(read_yaml(text.data));
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
    ck_assert_ptr_null(read_yaml(arena_printf(&arena, "? %s\n: 1", repeated("k", 201))));
    ck_assert_ptr_null(read_yaml(arena_printf(&arena, "a: %s", repeated("v", 4097))));
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
        ck_assert_msg(node_override(&arena, root, NULL, assignments[i], &diags), "%s", messages());
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
    ck_assert(node_override(&arena, root, NULL, "a.b=2", &diags));
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
    ck_assert(!node_override(&arena, root, NULL, bad_overrides[_i].assignment, &diags));
    ck_assert_str_eq(messages(),
                     arena_printf(&arena, "--set %s:%s", bad_overrides[_i].assignment, bad_overrides[_i].message));
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("yaml");
    TCase *yaml = suite_group(suite, "yaml", 30, NULL, specs_tear_down);
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
    TCase *overrides = suite_group(suite, "overrides", 30, NULL, specs_tear_down);
    tcase_add_test(overrides, overrides_reach_every_place);
    tcase_add_test(overrides, an_override_spares_aliases);
    tcase_add_loop_test(overrides, overrides_that_lead_nowhere, 0, COUNT(bad_overrides));
    return suite;
}
