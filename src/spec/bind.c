/* From the YAML tree to C structs. Defaults are YAML text and are read as the user's values are. */
#include "spec/bind.h"

#include <assert.h>
#include <string.h>

#include "spec/value.h"

enum { MAX_KEYS = 64, MAX_CHOICES = 2000 };

const struct kind *registry_find(const struct registry *registry, const char *name) {
    for (const struct kind *const *row = registry->rows; *row; row++)
        if (!strcmp((*row)->name, name))
            return *row;
    return NULL;
}

static const char *join(struct binder *b, const char *path, const char *key) {
    return *path ? arena_printf(b->arena, "%s.%s", path, key) : key;
}

/* --- Mistakes ---------------------------------------------------------------------------------------------------- */

/* How a value that is no word looks. */
static const char *form_of(const struct node *node) {
    return node->type == NODE_MAP ? "found a section" : node->type == NODE_LIST ? "found a list" : "nothing is given";
}

void bind_complain(const struct reading *r, const char *message) {
    diagnose(r->b->diags, r->node->source, r->node->line, r->path, "%s", message);
}

/* "WHAT; did you mean NEAREST? (all, the, names)". nearest NULL: "WHAT; expected one of (all, the, names)". */
static void complain_names(const struct reading *r, const char *what, const char *nearest, const char *const *names,
                           size_t count) {
    struct text message = {0};
    text_printf(&message, "%s; ", what);
    if (nearest)
        text_printf(&message, "did you mean %s? (", nearest);
    else
        text_printf(&message, "expected one of (");
    for (size_t i = 0; i < count; i++)
        text_printf(&message, "%s%s", i ? ", " : "", names[i]);
    text_printf(&message, ")");
    bind_complain(r, message.data);
    text_free(&message);
}

void bind_complain_value(const struct reading *r, const char *const *names, size_t count) {
    if (r->node->type != NODE_SCALAR || !*r->node->scalar || node_is_null(r->node)) {
        complain_names(r, form_of(r->node), NULL, names, count);
        return;
    }
    struct arena *arena = r->b->arena;
    const char *nearest = text_nearest(r->node->scalar, names, count);
    complain_names(r, arena_printf(arena, "unknown value \"%.60s\"", r->node->scalar),
                   nearest ? arena_printf(arena, "\"%s\"", nearest) : NULL, names, count);
}

void bind_complain_type(const struct reading *r) {
    bind_complain_advice(r, "");
}

void bind_complain_advice(const struct reading *r, const char *advice) {
    struct text message = {0};
    if (r->node->type == NODE_SCALAR && !node_is_null(r->node))
        text_printf(&message, "found %s\"%.60s\"; expected ", r->node->quoted ? "the quoted text " : "",
                    r->node->scalar);
    else
        text_printf(&message, "%s; expected ", form_of(r->node));
    param_describe(&message, r->param);
    text_printf(&message, "%s", advice);
    bind_complain(r, message.data);
    text_free(&message);
}

/* --- Which keys a section may have ------------------------------------------------------------------------------- */

/* Those that it has with the rows that it names, then those that other rows would bring. */
struct key_set {
    size_t count, all;
    const char *names[MAX_KEYS];
    const struct param *row_keys[MAX_KEYS]; /* by whose rows the section has the key; NULL: it has it anyway */
};

/* The key's value; NULL: none is given. */
static struct node *given(const struct node *map, const char *key) {
    struct node *node = node_get(map, key);
    return node && node_is_null(node) ? NULL : node;
}

/* The row that the section's key, or its default, names; NULL: that is a mistake. */
static const struct kind *named_row(const struct param *row_key, const struct node *map) {
    const struct node *node = given(map, row_key->key);
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
    complain_names(r, what, NULL, set->names, set->count);
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
    complain_names(r, what, nearest_key(b, set, key), set->names, set->count);
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
    const struct reading r = {b, NULL, &place, join(b, path, key)};
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

/* registry: of the section's `type`; NULL: it has none. */
static void check_keys(struct binder *b, const struct param *params, const struct registry *registry,
                       const struct node *map, const char *path) {
    struct key_set set = {0};
    if (registry)
        add_key(&set, "type", NULL);
    add_keys(&set, params, NULL, map);
    set.count = set.all;
    add_keys(&set, params, NULL, NULL);
    for (int i = 0; i < map->count; i++)
        check_key(b, &set, registry, map, i, path);
}

/* --- Tables of keys ---------------------------------------------------------------------------------------------- */

static void bind_params(struct binder *b, void *section, const struct param *params, const struct node *map,
                        const char *path);

static struct node *fallback_node(struct binder *b, const struct param *param, const struct node *map) {
    if (param->type == PARAM_SECTION)
        return node_empty_map(b->arena, map->source, map->line);
    if (!param->fallback)
        return NULL;
    struct diagnostics none = {0};
    struct node *node = yaml_read(b->arena, map->source, param->fallback, strlen(param->fallback), &none);
    assert(node && !none.count);
    return node;
}

/* The own keys of a row, from the section that names it. */
static void bind_row_keys(struct binder *b, struct choice *choice, const struct node *map, const char *path) {
    if (!choice->kind)
        return;
    choice->config = arena_alloc(b->arena, choice->kind->config_size);
    bind_params(b, choice->config, choice->kind->params, map, path);
}

/* Specs that the program had written once had texts such as null without quotes. */
static struct node *given_value(const struct binder *b, const struct param *param, const struct node *map) {
    struct node *node = node_get(map, param->key);
    bool old_text = node && b->stored && node->line > 0 && (param->type == PARAM_STRING || param->type == PARAM_PATH);
    return old_text ? node : given(map, param->key);
}

static void complain_missing(const struct reading *r, const struct node *map) {
    struct text expected = {0};
    const struct node *null = node_get(map, r->param->key), *place = null ? null : map;
    param_describe(&expected, r->param);
    diagnose(r->b->diags, place->source, place->line, r->path, "missing; expected %s (%s)", expected.data,
             r->param->help);
    text_free(&expected);
}

static void bind_param(struct binder *b, void *value, const struct param *param, const struct node *map,
                       const char *path) {
    struct reading r = {b, param, given_value(b, param, map), join(b, path, param->key)};
    if (!r.node)
        r.node = fallback_node(b, param, map);
    if (!r.node) {
        complain_missing(&r, map);
        return;
    }
    value_types[param->type].read(value, &r);
    if (param->type == PARAM_ROW)
        bind_row_keys(b, value, map, path);
}

static void bind_params(struct binder *b, void *section, const struct param *params, const struct node *map,
                        const char *path) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        void *value = (char *)section + p->offset;
        if (p->type == PARAM_INCLUDE)
            bind_params(b, value, p->params, map, path);
        else
            bind_param(b, value, p, map, path);
    }
}

void bind_section(void *section, const struct reading *r) {
    if (r->node->type != NODE_MAP) {
        bind_complain_type(r);
        return;
    }
    check_keys(r->b, r->param->params, NULL, r->node, r->path);
    bind_params(r->b, section, r->param->params, r->node, r->path);
}

/* --- Rows -------------------------------------------------------------------------------------------------------- */

static size_t registry_names(const struct registry *registry, const char **names) {
    size_t count = 0;
    for (const struct kind *const *row = registry->rows; *row && count < MAX_KEYS; row++)
        names[count++] = (*row)->name;
    return count;
}

/* The row that the node names; NULL after a diagnostic. */
static const struct kind *find_row(const struct reading *r) {
    const char *names[MAX_KEYS];
    const struct registry *registry = r->param->registry;
    size_t count = registry_names(registry, names);
    const struct kind *kind = r->node->type == NODE_SCALAR ? registry_find(registry, r->node->scalar) : NULL;
    if (!kind)
        bind_complain_value(r, names, count);
    return kind;
}

static struct choice choice_at(const struct reading *r) {
    return (struct choice){
        .source = r->node->source, .line = r->node->line, .path = arena_string(r->b->arena, r->path)};
}

void bind_row(void *choice, const struct reading *r) {
    struct choice *row = choice;
    *row = choice_at(r);
    row->kind = find_row(r);
}

/* The row that the section names: under `type`, as a bare word, by a key of the same name (`layers: [...]`), or, naming
 * none, the default. */
static const struct kind *find_kind(const struct reading *r) {
    const struct registry *registry = r->param->registry;
    if (r->node->type == NODE_SCALAR)
        return find_row(r);
    struct reading type = {r->b, r->param, given(r->node, "type"), join(r->b, r->path, "type")};
    if (type.node)
        return find_row(&type);
    for (int i = 0; r->node->type == NODE_MAP && i < r->node->count; i++)
        if (registry_find(registry, r->node->keys[i]))
            return registry_find(registry, r->node->keys[i]);
    if (r->node->type == NODE_MAP && r->param->fallback)
        return registry_find(registry, r->param->fallback);
    const char *names[MAX_KEYS];
    size_t count = registry_names(registry, names);
    type.node = r->node;
    complain_names(&type, "missing", NULL, names, count);
    return NULL;
}

/* A choice with mistakes in it has no kind. */
void bind_kind(void *choice, const struct reading *r) {
    struct choice *row = choice;
    struct binder *b = r->b;
    int mistakes = b->diags->count;
    *row = choice_at(r);
    const struct kind *kind = find_kind(r);
    if (!kind)
        return;
    row->config = arena_alloc(b->arena, kind->config_size);
    const struct node *map =
        r->node->type == NODE_MAP ? r->node : node_empty_map(b->arena, r->node->source, r->node->line);
    check_keys(b, kind->params, r->param->registry, map, r->path);
    bind_params(b, row->config, kind->params, map, r->path);
    if (b->diags->count == mistakes)
        row->kind = kind;
}

void choice_list_add(struct arena *arena, struct choice_list *list, struct choice choice) {
    list->choices = arena_grow(arena, list->choices, list->count, sizeof choice);
    list->choices[list->count++] = choice;
}

void bind_kinds(void *list, const struct reading *r) {
    struct choice_list *choices = list;
    struct binder *b = r->b;
    struct param element = *r->param;
    *choices = (struct choice_list){0};
    element.fallback = NULL; /* the one there is is the list's */
    if (r->node->type != NODE_LIST) {
        bind_complain_type(r);
        return;
    }
    for (int i = 0; i < r->node->count; i++) {
        struct reading child = {b, &element, r->node->children[i], arena_printf(b->arena, "%s[%d]", r->path, i)};
        struct choice choice;
        if (b->choices++ == MAX_CHOICES)
            diagnose(b->diags, child.node->source, child.node->line, child.path, "more than %d %ss in all", MAX_CHOICES,
                     element.registry->noun);
        if (b->choices > MAX_CHOICES || diagnostics_full(b->diags))
            return;
        bind_kind(&choice, &child);
        choice_list_add(b->arena, choices, choice);
    }
}

/* --- Whole specs ------------------------------------------------------------------------------------------------- */

static void bind(struct binder *b, void *section, const struct param *params, const struct node *map,
                 const char *path) {
    const struct param root = {.key = "spec", .type = PARAM_SECTION, .params = params, .help = "the whole spec"};
    if (!map)
        map = node_empty_map(b->arena, "defaults", 0);
    bind_section(section, &(struct reading){b, &root, map, path});
}

void spec_bind(struct arena *arena, void *section, const struct param *params, const struct node *map, const char *path,
               struct diagnostics *diags) {
    bind(&(struct binder){.arena = arena, .diags = diags}, section, params, map, path);
}

void spec_bind_stored(struct arena *arena, void *section, const struct param *params, const struct node *map,
                      struct diagnostics *diags) {
    bind(&(struct binder){.arena = arena, .diags = diags, .stored = true}, section, params, map, "");
}

struct choice choice_default(struct arena *arena, const struct kind *kind) {
    struct choice choice = {.kind = kind, .config = arena_alloc(arena, kind->config_size)};
    struct diagnostics ignored = {0}; /* keys without a default are the caller's to set */
    struct binder b = {.arena = arena, .diags = &ignored};
    bind_params(&b, choice.config, kind->params, node_empty_map(arena, "defaults", 0), "");
    text_free(&ignored.text);
    return choice;
}
