#include "spec/difference.h"

#include <assert.h>
#include <string.h>

#include "spec/node.h"

struct comparison {
    struct arena arena;
    struct error_list *differences;
    may_differ_function *may_differ;
    const void *context;
};

/* A value on one line. */
static void put_value(struct text *out, const struct node *node) {
    if (node->type == NODE_SCALAR) {
        text_printf(out, *node->scalar ? "%s" : "''", node->scalar);
        return;
    }
    bool map = node->type == NODE_MAP;
    text_printf(out, map ? "{" : "[");
    for (int i = 0; i < node->count; i++) {
        text_printf(out, i ? ", " : "");
        if (map)
            text_printf(out, "%s: ", node->keys[i]);
        put_value(out, node->children[i]);
    }
    text_printf(out, map ? "}" : "]");
}

/* NULL: the key is not there. */
static const char *value_text(struct comparison *c, const struct node *node) {
    struct text text = {0};
    if (!node)
        return "none";
    put_value(&text, node);
    const char *copy = arena_string(&c->arena, text.data);
    text_free(&text);
    return copy;
}

static void compare(struct comparison *c, const char *key, const struct node *a, const struct node *b);

/* Told whole: a scalar, or a list of them. */
static bool is_value(const struct node *node) {
    if (node->type == NODE_LIST)
        return node->count == 0 || node->children[0]->type == NODE_SCALAR;
    return node->type == NODE_SCALAR;
}

static const char *kind_of(const struct node *map) {
    const struct node *type = node_get(map, "type");
    return type && type->type == NODE_SCALAR ? type->scalar : "";
}

static void compare_maps(struct comparison *c, const char *key, const struct node *a, const struct node *b) {
    bool same_kind = !strcmp(kind_of(a), kind_of(b));
    const char *dot = *key ? "." : "";
    for (int i = 0; i < a->count; i++)
        if (same_kind || !strcmp(a->keys[i], "type"))
            compare(c, arena_printf(&c->arena, "%s%s%s", key, dot, a->keys[i]), a->children[i],
                    node_get(b, a->keys[i]));
    for (int i = 0; i < b->count; i++)
        if (same_kind && !node_get(a, b->keys[i]))
            compare(c, arena_printf(&c->arena, "%s%s%s", key, dot, b->keys[i]), NULL, b->children[i]);
}

static void compare_lists(struct comparison *c, const char *key, const struct node *a, const struct node *b) {
    for (int i = 0; i < a->count || i < b->count; i++)
        compare(c, arena_printf(&c->arena, "%s[%d]", key, i), i < a->count ? a->children[i] : NULL,
                i < b->count ? b->children[i] : NULL);
}

static void compare_values(struct comparison *c, const char *key, const struct node *a, const struct node *b) {
    const char *before = value_text(c, a), *now = value_text(c, b);
    if (strcmp(before, now) != 0 && !c->may_differ(c->context, key))
        error_list_add(c->differences, "%s: it had %s, now %s", key, before, now);
}

/* NULL: the key is not there. */
static void compare(struct comparison *c, const char *key, const struct node *a, const struct node *b) {
    if (!a || !b || a->type != b->type || (is_value(a) && is_value(b)))
        compare_values(c, key, a, b);
    else if (a->type == NODE_MAP)
        compare_maps(c, key, a, b);
    else
        compare_lists(c, key, a, b);
}

static const struct node *read_spec(struct comparison *c, const char *text) {
    struct diagnostics diags = {0};
    const struct node *root = yaml_read(&c->arena, "spec", text, strlen(text), &diags);
    assert(root && !diags.count); /* what is emitted can be read */
    text_free(&diags.text);
    return root;
}

void spec_differences(struct error_list *differences, const char *before, const char *now,
                      may_differ_function *may_differ, const void *context) {
    struct comparison c = {.differences = differences, .may_differ = may_differ, .context = context};
    const struct node *a = read_spec(&c, before), *b = read_spec(&c, now);
    compare(&c, "", a, b);
    arena_free(&c.arena);
}
