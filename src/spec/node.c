/* Trees of a spec, and the list of mistakes in it. */
#include "spec/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LISTED = 1000 };

struct node *node_empty_map(struct arena *arena, const char *source, int line) {
    struct node *node = arena_alloc(arena, sizeof *node);
    *node = (struct node){.type = NODE_MAP, .source = source, .line = line, .weight = 1};
    return node;
}

struct node *node_get(const struct node *map, const char *key) {
    for (int i = 0; map->type == NODE_MAP && i < map->count; i++)
        if (!strcmp(map->keys[i], key))
            return map->children[i];
    return NULL;
}

bool node_is_null(const struct node *node) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; node->type == NODE_SCALAR && !node->quoted && i < sizeof words / sizeof *words; i++)
        if (!strcmp(node->scalar, words[i]))
            return true;
    return false;
}

void node_add(struct arena *arena, struct node *parent, const char *key, int key_line, struct node *child) {
    parent->children = arena_grow(arena, parent->children, parent->count, sizeof *parent->children);
    if (parent->type == NODE_MAP) {
        parent->keys = arena_grow(arena, parent->keys, parent->count, sizeof *parent->keys);
        parent->key_lines = arena_grow(arena, parent->key_lines, parent->count, sizeof *parent->key_lines);
        parent->keys[parent->count] = key;
        parent->key_lines[parent->count] = key_line;
    }
    parent->children[parent->count++] = child;
    parent->weight += child->weight;
}

/* --- Mistakes ---------------------------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 5, 0)))
add_line(struct diagnostics *diags, const char *source, int line, const char *path, const char *format, va_list args) {
    char message[1024];
    vsnprintf(message, sizeof message, format, args);
    size_t start = diags->text.length;
    if (source)
        text_printf(&diags->text, "%s:", source);
    if (source && line)
        text_printf(&diags->text, "%d:", line);
    if (path && *path)
        text_printf(&diags->text, "%s%s:", source ? " " : "", path);
    text_printf(&diags->text, "%s%s\n", diags->text.length ? " " : "", message);
    text_defuse(diags->text.data + start);
}

void diagnose(struct diagnostics *diags, const char *source, int line, const char *path, const char *format, ...) {
    if (diags->count++ >= MAX_LISTED)
        return;
    va_list args;
    va_start(args, format);
    add_line(diags, source, line, path, format, args);
    va_end(args);
    if (diags->count == MAX_LISTED)
        text_printf(&diags->text, "more mistakes than these %d are not listed\n", MAX_LISTED);
}

bool diagnostics_full(const struct diagnostics *diags) {
    return diags->count >= MAX_LISTED;
}

struct node *node_given(const struct node *map, const char *key) {
    struct node *node = node_get(map, key);
    return node && node_is_null(node) ? NULL : node;
}
