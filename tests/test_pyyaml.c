/* Specs that the program writes are read by PyYAML, which reads YAML 1.1, as they are by the program: every key of
 * every row, with numbers and texts that the two versions of YAML tell apart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/compare.h"
#include "support/program.h"
#include "support/specs.h"
#include "support/suite.h"
#include "train/experiment.h"

/* --- Values of all kinds ----------------------------------------------------------------------------------------- */

static const double numbers[] = {1e-8, 1e22, 1, 0.1, 1e5, 123456789, 1e-3, 6.02e23, 1.0 / 3, 5e-324, 1e16, 0};

static const char *const texts[] = {
    "cifar10",
    "no",
    "No",
    "on",
    "OFF",
    "y",
    "N",
    "yes",
    "true",
    "False",
    "null",
    "~",
    "",
    "1e3",
    "1.0e-08",
    "1:30",
    "0x10",
    "0b1",
    "0o17",
    "017",
    "1_000",
    ".inf",
    "-.5",
    ".nan",
    ".5",
    "2001-01-01",
    "=",
    "<<",
    "-",
    "a: b",
    "a #b",
    " a ",
    "'",
    "\"",
    "*a",
    "&a",
    "!!str a",
    "@a",
    "%a",
    "{a}",
    "[a]",
    "|",
    "a\nb",
    "\x1b[31m",
    "é 漢 😀",
    "\xc2\x85",
    "./a",
    "../a",
    "/a/b",
    "_a",
    "a\\b",
    "a\tb",
    "?",
    "? a",
    "- a",
    "+1",
    "12e03",
    "685.230_15e+03",
    "190:20:30.15",
    "Null",
    "NULL",
    "\xef\xbb\xbf",
    "\xe2\x80\xa8",
};

enum { VARIATIONS = COUNT(texts), MOST_DEPTH = 3 };

static void vary(void *section, const struct param *params, int variation, int depth);

static struct choice vary_row(const struct kind *row, int variation, int depth) {
    struct choice choice = choice_default(&arena, row);
    vary(choice.config, choice.kind->params, variation, depth);
    return choice;
}

/* Every row once; none below MOST_DEPTH lists within lists. */
static struct choice_list vary_rows(const struct registry *registry, int variation, int depth) {
    struct choice_list list = {0};
    for (int i = 0; registry && depth < MOST_DEPTH && registry->rows[i]; i++)
        choice_list_add(&arena, &list, vary_row(registry->rows[i], variation, depth + 1));
    return list;
}

static int count_names(const struct param *param) {
    int names = 0;
    while (param->names && param->names[names])
        names++;
    ck_assert_int_gt(names, 0);
    return names;
}

static const struct kind *row_of(const struct param *param, int variation) {
    int rows = 0;
    while (param->registry && param->registry->rows[rows])
        rows++;
    ck_assert_int_gt(rows, 0);
    return rows > 0 ? param->registry->rows[variation % rows] : NULL;
}

static struct text_map vary_texts(int variation) {
    struct text_map map = {2, arena_alloc(&arena, 2 * sizeof *map.pairs)};
    map.pairs[0] = (struct text_pair){texts[variation % COUNT(texts)], texts[(variation + 1) % COUNT(texts)]};
    map.pairs[1] = (struct text_pair){"another", "one"};
    return map;
}

static void vary_lists(void *value, const struct param *p, int variation) {
    if (p->type == PARAM_FLAGS)
        *(unsigned *)value = (1u << count_names(p)) - 1;
    else if (p->type == PARAM_INTS)
        *(struct int_list *)value = (struct int_list){2, {variation, 7}};
    else if (p->type == PARAM_REALS)
        *(struct real_list *)value = (struct real_list){1 + variation % 2, {numbers[variation % COUNT(numbers)], 1e-7}};
    else
        *(struct text_map *)value = vary_texts(variation);
}

static void vary_word(void *value, const struct param *p, int variation) {
    if (p->type == PARAM_INT)
        *(int *)value = variation * 1000003;
    else if (p->type == PARAM_REAL)
        *(double *)value = numbers[variation % COUNT(numbers)];
    else if (p->type == PARAM_BOOL)
        *(bool *)value = variation % 2;
    else if (p->type == PARAM_ENUM)
        *(int *)value = variation % count_names(p);
    else
        *(const char **)value = texts[variation % COUNT(texts)];
}

static void vary_value(void *value, const struct param *p, int variation, int depth) {
    switch (p->type) {
    case PARAM_INT:
    case PARAM_REAL:
    case PARAM_BOOL:
    case PARAM_ENUM:
    case PARAM_STRING:
    case PARAM_PATH:
        vary_word(value, p, variation);
        break;
    case PARAM_FLAGS:
    case PARAM_INTS:
    case PARAM_REALS:
    case PARAM_TEXTS:
        vary_lists(value, p, variation);
        break;
    case PARAM_SECTION:
    case PARAM_INCLUDE:
        vary(value, p->params, variation, depth);
        break;
    case PARAM_ROW:
    case PARAM_KIND:
        *(struct choice *)value = vary_row(row_of(p, variation), variation, depth);
        break;
    case PARAM_KINDS:
        *(struct choice_list *)value = vary_rows(p->registry, variation, depth);
        break;
    case PARAM_NODE: /* in no spec */
    case PARAM_END:
    case PARAM_TYPES:
        ck_abort_msg("not a type of values");
    }
}

static void vary(void *section, const struct param *params, int variation, int depth) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++)
        vary_value((char *)section + p->offset, p, variation, depth);
}

/* --- What each reader takes them for ----------------------------------------------------------------------------- */

static void put_hex(struct text *out, const char *what, const char *text) {
    text_printf(out, "%s ", what);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        text_printf(out, "%02x", *c);
    text_printf(out, "\n");
}

static void put_scalar(struct text *out, const struct node *node) {
    char *end;
    double number = strtod(node->scalar, &end);
    if (!node->quoted && (!strcmp(node->scalar, "true") || !strcmp(node->scalar, "false")))
        text_printf(out, "truth %s\n", node->scalar);
    else if (!node->quoted && *node->scalar && !*end)
        text_printf(out, "number %.17g\n", number);
    else
        put_hex(out, "text", node->scalar);
}

static void put_node(struct text *out, const struct node *node) {
    if (node->type == NODE_SCALAR) {
        put_scalar(out, node);
        return;
    }
    text_printf(out, "%s of %d\n", node->type == NODE_MAP ? "map" : "list", node->count);
    for (int i = 0; i < node->count; i++) {
        if (node->type == NODE_MAP)
            put_hex(out, "key", node->keys[i]);
        put_node(out, node->children[i]);
    }
}

static const char *const reader = "import sys, yaml\n"
                                  "def put(value):\n"
                                  "    if isinstance(value, (dict, list)):\n"
                                  "        print('map' if isinstance(value, dict) else 'list', 'of', len(value))\n"
                                  "        for item in value:\n"
                                  "            if isinstance(value, dict):\n"
                                  "                print('key', item.encode().hex())\n"
                                  "            put(value[item] if isinstance(value, dict) else item)\n"
                                  "    elif isinstance(value, bool):\n"
                                  "        print('truth', 'true' if value else 'false')\n"
                                  "    elif isinstance(value, (int, float)):\n"
                                  "        print('number', '%.17g' % value)\n"
                                  "    elif isinstance(value, str):\n"
                                  "        print('text', value.encode().hex())\n"
                                  "    else:\n"
                                  "        print('other', repr(value))\n"
                                  "for path in sys.argv[1:]:\n"
                                  "    sys.stdout = open(path + '.python', 'w')\n"
                                  "    put(yaml.safe_load(open(path, 'rb')))\n"
                                  "    sys.stdout.close()\n";

static const char *file_of(int variation) {
    return arena_printf(&arena, "%d.yaml", variation);
}

/* Writes the spec, and gives what our own reader makes of it. */
static struct text written(int variation) {
    struct experiment experiment = {0};
    struct text spec = {0}, ours = {0};
    vary(&experiment, experiment_params, variation, 0);
    experiment_emit(&spec, &experiment);
    disk_write_text(file_of(variation), spec.data);
    struct node *root = yaml_read(&arena, file_of(variation), spec.data, spec.length, &diags);
    ck_assert_msg(root != NULL, "%s", messages());
    put_node(&ours, root);
    text_free(&spec);
    return ours;
}

START_TEST(both_versions_of_yaml_read_every_key_alike) {
    SKIP_IF(!disk_exists("/usr/bin/python3"), "there is no /usr/bin/python3");
    SKIP_IF(shell("/usr/bin/python3 -c 'import yaml' 2>/dev/null"), "python3-yaml is not installed");
    struct text ours[VARIATIONS];
    for (int i = 0; i < VARIATIONS; i++)
        ours[i] = written(i);
    disk_write_text("read.py", reader);
    ck_assert_int_eq(shell("/usr/bin/python3 read.py *.yaml"), 0);
    for (int i = 0; i < VARIATIONS; i++) {
        expect_same_lines(ours[i].data, read_text(arena_printf(&arena, "%s.python", file_of(i))), file_of(i));
        text_free(&ours[i]);
    }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("PyYAML");
    TCase *readers = suite_group(suite, "readers", 120, program_set_up, program_tear_down);
    tcase_add_test(readers, both_versions_of_yaml_read_every_key_alike);
    return suite;
}
