/* Which keys a section may have, by its table and by the rows that it names; and what is said of all others. */
#include <assert.h>
#include <string.h>

#include "spec/value.h"

/* Those that it has with the rows that it names, then those that other rows would bring. */
struct key_set {
    size_t count, all;
    const char *names[MAX_KEYS];
    const struct param *row_keys[MAX_KEYS]; /* by whose rows the section has the key; NULL: it has it anyway */
};

/* The row that the section's key, or its default, names; NULL: that is a mistake. */
static const struct kind *named_row(const struct param *row_key, const struct node *map) {
    const struct node *node = node_given(map, row_key->key);
    const char *name = !node ? row_key->fallback : node->type == NODE_SCALAR ? node->scalar : NULL;
    return name ? registry_find(row_key->registry, name) : NULL;
}

static void add_key(struct key_set *set, const char *name, const struct param *row_key) {
    for (size_t i = 0; i < set->all; i++)
        if (!strcmp(set->names[i], name))
            return;
    assert(set->all < MAX_KEYS);
    set->names[set->all] = name;
    set->row_keys[set->all++] = row_key;
}

/* The keys of a table and of the rows that the map names; map NULL: of all rows. */
static void add_keys(struct key_set *set, const struct param *params, const struct param *row_key,
                     const struct node *map) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        if (p->type == PARAM_INCLUDE) {
            add_keys(set, p->params, row_key, map);
            continue;
        }
        add_key(set, p->key, row_key);
        const struct kind *named = p->type == PARAM_ROW && map ? named_row(p, map) : NULL;
        for (int i = 0; p->type == PARAM_ROW && p->registry->rows[i]; i++)
            if (!named || named == p->registry->rows[i])
                add_keys(set, p->registry->rows[i]->params, p, map);
    }
}

static bool has_key(const struct param *params, const char *key) {
    struct key_set set = {0};
    add_keys(&set, params, NULL, NULL);
    for (size_t i = 0; i < set.all; i++)
        if (!strcmp(set.names[i], key))
            return true;
    return false;
}

/* The rows that have the key: "sigmoid, learnable_sigmoid"; "": none has. */
static const char *rows_with(struct binder *b, const struct registry *registry, const char *key, int *count) {
    const char *rows = "";
    *count = 0;
    for (int i = 0; registry && registry->rows[i]; i++)
        if (has_key(registry->rows[i]->params, key))
            rows = arena_printf(b->arena, "%s%s%s", rows, (*count)++ ? ", " : "", registry->rows[i]->name);
    return rows;
}

/* "the angular activations sigmoid, learnable_sigmoid" */
static const char *owners_of(struct binder *b, const struct param *row_key, const char *key) {
    int count;
    const char *rows = rows_with(b, row_key->registry, key, &count);
    return arena_printf(b->arena, "the %s%s %s", row_key->registry->noun, count == 1 ? "" : "s", rows);
}

/* A key that only other rows than the named ones would bring. */
static void complain_row_key(const struct reading *r, const char *key, const struct param *row_key,
                             const struct key_set *set, const struct node *map) {
    const char *what = arena_printf(r->b->arena, "a key of %s, while %s is %s: \"%s\"", owners_of(r->b, row_key, key),
                                    row_key->key, named_row(row_key, map)->name, key);
    bind_complain_names(r, what, NULL, set->names, set->count);
}

/* The known key that a mistyped one may have been: "\"k\"", "\"k\", a key of the angular activation sigmoid", or NULL.
 */
static const char *nearest_key(struct binder *b, const struct key_set *set, const char *key) {
    const char *nearest = text_nearest(key, set->names, set->all);
    for (size_t i = 0; nearest && i < set->count; i++)
        if (!strcmp(set->names[i], nearest))
            return arena_printf(b->arena, "\"%s\"", nearest);
    for (size_t i = set->count; nearest && i < set->all; i++)
        if (!strcmp(set->names[i], nearest))
            return arena_printf(b->arena, "\"%s\", a key of %s", nearest, owners_of(b, set->row_keys[i], nearest));
    return NULL;
}

/* registry: of the section's `type`, other rows of which may have the key; NULL: it has none. */
static void complain_unknown_key(const struct reading *r, const char *key, const struct registry *registry,
                                 const struct key_set *set) {
    int count;
    struct binder *b = r->b;
    const char *rows = rows_with(b, registry, key, &count);
    const char *what = count ? arena_printf(b->arena, "a key of %s alone: \"%s\"", rows, key)
                             : arena_printf(b->arena, "unknown key \"%.60s\"", key);
    bind_complain_names(r, what, nearest_key(b, set, key), set->names, set->count);
}

/* Whether the section has had that key before its key `index`. */
static bool is_repeated(const struct node *map, int index) {
    for (int i = 0; i < index; i++)
        if (!strcmp(map->keys[i], map->keys[index]))
            return true;
    return false;
}

static void check_key(struct binder *b, const struct key_set *set, const struct registry *registry,
                      const struct node *map, int index, const char *path) {
    const char *key = map->keys[index];
    if (!*path && !strncmp(key, "x-", 2)) /* a place for anchors, as other programs' files have them */
        return;
    struct node place = {.source = map->source, .line = map->key_lines[index]};
    const struct reading r = {b, NULL, &place, bind_path(b, path, key)};
    bool from_document = place.line > 0;
    size_t i = 0;
    if (!from_document && map->children[index]->source)
        place.source = map->children[index]->source;
    while (i < set->all && strcmp(set->names[i], key))
        i++;
    if (i == set->all)
        complain_unknown_key(&r, key, registry, set);
    else if (i >= set->count && !(b->stored && from_document))
        complain_row_key(&r, key, set->row_keys[i], set, map);
    else if (is_repeated(map, index))
        bind_complain(&r, "this key was given before; keep one of the two");
}

void check_keys(struct binder *b, const struct param *params, const struct registry *registry, const struct node *map,
                const char *path) {
    struct key_set set = {0};
    if (registry)
        add_key(&set, "type", NULL);
    add_keys(&set, params, NULL, map);
    set.count = set.all;
    add_keys(&set, params, NULL, NULL);
    for (int i = 0; i < map->count; i++)
        check_key(b, &set, registry, map, i, path);
}
