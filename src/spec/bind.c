/* From the YAML tree to C structs. Defaults are YAML text and are read as the user's values are. */
#include "spec/bind.h"

#include <assert.h>
#include <string.h>

#include "spec/value.h"

enum { MAX_CHOICES = 2000 };

const struct kind *registry_find(const struct registry *registry, const char *name) {
    for (const struct kind *const *row = registry->rows; *row; row++)
        if (!strcmp((*row)->name, name))
            return *row;
    return NULL;
}

const char *bind_path(struct binder *b, const char *path, const char *key) {
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

void bind_complain_names(const struct reading *r, const char *what, const char *nearest, const char *const *names,
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
        bind_complain_names(r, form_of(r->node), NULL, names, count);
        return;
    }
    struct arena *arena = r->b->arena;
    const char *nearest = text_nearest(r->node->scalar, names, count);
    bind_complain_names(r, arena_printf(arena, "unknown value \"%.60s\"", r->node->scalar),
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
    return old_text ? node : node_given(map, param->key);
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
    struct reading r = {b, param, given_value(b, param, map), bind_path(b, path, param->key)};
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
    struct reading type = {r->b, r->param, node_given(r->node, "type"), bind_path(r->b, r->path, "type")};
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
    bind_complain_names(&type, "missing", NULL, names, count);
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
