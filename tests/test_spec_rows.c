/* Rows that a key of a section names, whose own keys stand in that section: what is read, written and said of them. */
#include <string.h>

#include "spec/bind.h"
#include "support/specs.h"
#include "support/suite.h"
#include "train/experiment.h"

/* --- A section that names two rows ------------------------------------------------------------------------------- */

struct wheel {
    double radius;
    int spokes;
};

static const struct param wheel_params[] = {
    REAL_KEY(struct wheel, radius, "radius", "1", 0, 9, "how large"),
    INT_KEY(struct wheel, spokes, "spokes", "8", 3, 99, "how many"),
    END_OF_KEYS,
};
static const struct param runner_params[] = {
    REAL_KEY(struct wheel, radius, "radius", "1", 0, 9, "how large"),
    END_OF_KEYS,
};
static const struct kind wheel = {"wheel", "rolls", wheel_params, sizeof(struct wheel)};
static const struct kind runner = {"runner", "slides", runner_params, sizeof(struct wheel)};
static const struct kind sail = {"sail", "flies", NULL, 0};
static const struct kind *const mover_rows[] = {&wheel, &runner, &sail, NULL};
static const struct registry movers = {"mover", mover_rows};

struct paint {
    const char *shade;
};

static const struct param paint_params[] = {
    TEXT_KEY(struct paint, shade, "shade", NULL, "of what colour"),
    END_OF_KEYS,
};
static const struct kind paint = {"paint", "opaque", paint_params, sizeof(struct paint)};
static const struct kind bare = {"bare", "as it is", NULL, 0};
static const struct kind *const finish_rows[] = {&paint, &bare, NULL};
static const struct registry finishes = {"finish", finish_rows};

struct cart {
    struct choice mover, finish;
    int load;
};

static const struct param cart_params[] = {
    ROW_KEY(struct cart, mover, "mover", "sail", &movers, "what moves it"),
    ROW_KEY(struct cart, finish, "finish", "bare", &finishes, "what it looks like"),
    INT_KEY(struct cart, load, "load", "5", 0, 10, "what it carries"),
    END_OF_KEYS,
};

static struct cart bind_with(const char *text, const char *override, bool stored) {
    struct cart cart = {0};
    struct node *root = read_good(text);
    if (override)
        ck_assert_msg(node_override(&arena, root, NULL, override, &diags), "%s", messages());
    if (stored)
        spec_bind_stored(&arena, &cart, cart_params, root, &diags);
    else
        spec_bind(&arena, &cart, cart_params, root, "", &diags);
    return cart;
}

static struct cart bind(const char *text) {
    return bind_with(text, NULL, false);
}

static const struct wheel *wheel_of(const struct cart *cart) {
    ck_assert_msg(!diags.count, "%s", messages());
    return cart->mover.config;
}

START_TEST(keys_of_the_named_rows_are_read) {
    struct cart cart = bind("{mover: wheel, spokes: 12, finish: paint, shade: red}");
    ck_assert_int_eq(wheel_of(&cart)->spokes, 12);
    ck_assert_double_eq(wheel_of(&cart)->radius, 1);
    ck_assert_str_eq(((const struct paint *)cart.finish.config)->shade, "red");
    ck_assert_ptr_eq(cart.mover.kind, &wheel);
    ck_assert_str_eq(cart.mover.path, "mover");
    cart = bind("{mover: runner, radius: 3}");
    ck_assert_double_eq(wheel_of(&cart)->radius, 3);
}
END_TEST

START_TEST(keys_may_stand_before_the_row) {
    struct cart cart = bind("{spokes: 12, mover: wheel}");
    ck_assert_int_eq(wheel_of(&cart)->spokes, 12);
}
END_TEST

START_TEST(a_row_by_default_has_its_defaults) {
    struct cart cart = bind("{mover: wheel}"), plain = bind("{}");
    ck_assert_int_eq(wheel_of(&cart)->spokes, 8);
    ck_assert_ptr_eq(plain.mover.kind, &sail);
    ck_assert_ptr_eq(plain.finish.kind, &bare);
}
END_TEST

START_TEST(overrides_reach_the_keys_of_a_row) {
    struct cart cart = bind_with("{mover: wheel}", "spokes=40", false);
    ck_assert_int_eq(wheel_of(&cart)->spokes, 40);
}
END_TEST

START_TEST(only_the_keys_of_the_named_rows_are_written) {
    struct text written = {0};
    struct cart cart = bind("{mover: wheel, radius: 2, load: 7}");
    spec_emit(&written, &cart, cart_params);
    ck_assert_str_eq(written.data, "mover: wheel\nradius: 2\nspokes: 8\nfinish: bare\nload: 7\n");
    struct cart again = bind(written.data);
    ck_assert_double_eq(wheel_of(&again)->radius, 2);
    text_free(&written);
}
END_TEST

static const struct {
    const char *text, *message;
} mistakes[] = {
    {"spokes: 5", "a key of the mover wheel, while mover is sail: \"spokes\"; expected one of (mover, finish, load)"},
    {"mover: runner\nspokes: 5",
     "a key of the mover wheel, while mover is runner: \"spokes\"; expected one of (mover, radius, finish, load)"},
    {"radius: 5",
     "a key of the movers wheel, runner, while mover is sail: \"radius\"; expected one of (mover, finish, load)"},
    {"mover: wheel\nspoke: 5", "unknown key \"spoke\"; did you mean \"spokes\"? (mover, radius, spokes, finish, load)"},
    {"mover: runner\nspoke: 5", "unknown key \"spoke\"; did you mean \"spokes\", a key of the mover wheel? (mover, "
                                "radius, finish, load)"},
    {"mover: wheel\nwidth: 5", "unknown key \"width\"; expected one of (mover, radius, spokes, finish, load)"},
    {"mover: wheel\nspokes: 2", "found \"2\"; expected a whole number from 3 to 99"},
    {"finish: paint", "missing; expected text (of what colour)"},
    /* A row that is a mistake leaves its keys alone. */
    {"mover: whel\nspokes: 2", "unknown value \"whel\"; did you mean \"wheel\"? (wheel, runner, sail)"},
    {"mover: [wheel]\nspokes: 2", "found a list; expected one of (wheel, runner, sail)"},
};

static const char *after_path(const char *message) {
    for (int i = 0; i < 2; i++)
        message = strstr(message, ": ") + 2;
    return message;
}

START_TEST(mistakes_with_rows) {
    bind(mistakes[_i].text);
    ck_assert_int_eq(diags.count, 1);
    ck_assert_str_eq(after_path(messages()), arena_printf(&arena, "%s\n", mistakes[_i].message));
}
END_TEST

/* --- What older programs have stored ------------------------------------------------------------------------------ */

START_TEST(a_stored_spec_may_have_keys_of_other_rows) {
    struct cart cart = bind_with("{mover: runner, radius: 3, spokes: 5, shade: red}", NULL, true);
    ck_assert_double_eq(wheel_of(&cart)->radius, 3);
    ck_assert_ptr_eq(cart.finish.kind, &bare);
}
END_TEST

START_TEST(a_stored_spec_may_have_no_unknown_keys) {
    bind_with("{mover: runner, spoke: 5}", NULL, true);
    ck_assert_int_eq(diags.count, 1);
}
END_TEST

START_TEST(the_command_line_over_a_stored_spec_is_checked) {
    bind_with("{mover: runner}", "spokes=5", true);
    ck_assert_str_eq(messages(), "--set spokes=5: spokes: a key of the mover wheel, while mover is runner: \"spokes\"; "
                                 "expected one of (mover, radius, finish, load)\n");
}
END_TEST

/* --- The registries ---------------------------------------------------------------------------------------------- */

enum { MOST = 200 };

struct seen {
    int count;
    const void *tables[MOST];
};

/* False: it was seen before. */
static bool see(struct seen *seen, const void *table) {
    for (int i = 0; i < seen->count; i++)
        if (seen->tables[i] == table)
            return false;
    ck_assert_int_lt(seen->count, MOST);
    seen->tables[seen->count++] = table;
    return true;
}

/* Keys with the registry whose rows have them; NULL: the section has them. */
struct keys {
    int count;
    const char *names[MOST];
    const struct registry *owners[MOST];
};

static void add_key(struct keys *keys, const char *name, const struct registry *owner, const char *where) {
    for (int i = 0; i < keys->count; i++)
        ck_assert_msg(strcmp(keys->names[i], name) || (owner && keys->owners[i] == owner),
                      "%s: two different keys \"%s\" may stand there", where, name);
    ck_assert_int_lt(keys->count, MOST);
    keys->names[keys->count] = name;
    keys->owners[keys->count++] = owner;
}

static void add_keys(struct keys *keys, const struct param *params, const struct registry *owner, const char *where) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        if (p->type == PARAM_INCLUDE) {
            add_keys(keys, p->params, owner, where);
            continue;
        }
        add_key(keys, p->key, owner, where);
        ck_assert_msg(p->type != PARAM_ROW || !owner, "%s: a row's own keys name rows", where);
        for (int i = 0; p->type == PARAM_ROW && p->registry->rows[i]; i++)
            add_keys(keys, p->registry->rows[i]->params, p->registry, p->registry->rows[i]->name);
    }
}

static void check_tables(const struct param *params, const char *where, struct seen *seen);

static void check_registry(const struct registry *registry, struct seen *seen) {
    if (!see(seen, registry))
        return;
    for (int i = 0; registry->rows[i]; i++) {
        struct keys keys = {1, {"type"}, {NULL}};
        add_keys(&keys, registry->rows[i]->params, NULL, registry->rows[i]->name);
        check_tables(registry->rows[i]->params, registry->rows[i]->name, seen);
    }
}

/* The sections and registries that the keys lead to. */
static void check_tables(const struct param *params, const char *where, struct seen *seen) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        if (p->type == PARAM_INCLUDE)
            check_tables(p->params, where, seen);
        else if (p->type == PARAM_KIND || p->type == PARAM_KINDS)
            check_registry(p->registry, seen);
        else if (p->type == PARAM_SECTION && see(seen, p->params)) {
            struct keys keys = {0};
            add_keys(&keys, p->params, NULL, p->key);
            check_tables(p->params, p->key, seen);
        }
    }
}

START_TEST(a_key_has_one_meaning_in_a_section) {
    struct seen seen = {0};
    struct keys keys = {0};
    add_keys(&keys, experiment_params, NULL, "spec");
    check_tables(experiment_params, "spec", &seen);
    ck_assert_int_gt(seen.count, 10);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("spec rows");
    TCase *tests = suite_group(suite, "rows with keys", 0, NULL, specs_tear_down);
    tcase_add_test(tests, keys_of_the_named_rows_are_read);
    tcase_add_test(tests, keys_may_stand_before_the_row);
    tcase_add_test(tests, a_row_by_default_has_its_defaults);
    tcase_add_test(tests, overrides_reach_the_keys_of_a_row);
    tcase_add_test(tests, only_the_keys_of_the_named_rows_are_written);
    tcase_add_loop_test(tests, mistakes_with_rows, 0, COUNT(mistakes));
    tcase_add_test(tests, a_stored_spec_may_have_keys_of_other_rows);
    tcase_add_test(tests, a_stored_spec_may_have_no_unknown_keys);
    tcase_add_test(tests, the_command_line_over_a_stored_spec_is_checked);
    tcase_add_test(tests, a_key_has_one_meaning_in_a_section);
    return suite;
}
