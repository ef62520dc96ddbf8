#include "sweep/setting.h"

#include <string.h>

/* In a list or a map in one line, where commas and colons end a word. */
static bool is_plain(const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-~";
    return *word && !word[strspn(word, plain)];
}

static void add_value(struct text *out, const struct node *node, bool within) {
    bool map = node->type == NODE_MAP;
    if (node->type == NODE_SCALAR) {
        if (node_is_null(node))
            text_printf(out, "null");
        else if (node->quoted || (within && !is_plain(node->scalar)))
            yaml_quote(out, node->scalar);
        else
            text_printf(out, "%s", node->scalar);
        return;
    }
    text_printf(out, "%s", map ? "{" : "[");
    for (int i = 0; i < node->count; i++) {
        text_printf(out, "%s", i ? ", " : "");
        if (map && is_plain(node->keys[i]))
            text_printf(out, "%s: ", node->keys[i]);
        else if (map) {
            yaml_quote(out, node->keys[i]);
            text_printf(out, ": ");
        }
        add_value(out, node->children[i], true);
    }
    text_printf(out, "%s", map ? "}" : "]");
}

const char *setting_text(struct arena *arena, const char *key, const struct node *value) {
    struct text text = {0};
    text_printf(&text, "%s=", key);
    add_value(&text, value, false);
    const char *kept = arena_string(arena, text.data);
    text_free(&text);
    return kept;
}
