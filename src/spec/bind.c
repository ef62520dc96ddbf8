/* From the YAML tree to C structs. Defaults are YAML text and take the same way as the user's values. */
#include "spec/bind.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEYS = 64, MAX_CHOICES = 2000 };

struct binder {
    struct arena *arena;
    struct diagnostics *diags;
    int choices; /* elements of all lists of kinds so far, aliases counted each time */
};

const struct kind *registry_find(const struct registry *registry, const char *name) {
    for (const struct kind *const *row = registry->rows; *row; row++)
        if (!strcmp((*row)->name, name))
            return *row;
    return NULL;
}

static void complain(struct binder *b, const struct node *node, const char *path, const char *message) {
    diagnose(b->diags, node->source, node->line, path, "%s", message);
}

/* How a value that is no word looks. */
static const char *form_of(const struct node *node) {
    return node->type == NODE_MAP ? "found a section" : node->type == NODE_LIST ? "found a list" : "nothing is given";
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

/* "WHAT "word"; did you mean "nearest"? (all, the, names)" */
static void complain_name(struct binder *b, const struct node *node, const char *path, const char *what,
                          const char *word, const char *const *names, size_t count) {
    struct text message = {0};
    text_printf(&message, "%s", what);
    if (word)
        text_printf(&message, " \"%.60s\"", word);
    const char *nearest = word ? text_nearest(word, names, count) : NULL;
    text_printf(&message, nearest ? "; did you mean \"%s\"? (" : "; expected one of (", nearest);
    for (size_t i = 0; i < count; i++)
        text_printf(&message, "%s%s", i ? ", " : "", names[i]);
    text_printf(&message, ")");
    complain(b, node, path, message.data);
    text_free(&message);
}

/* The value is none of the names. */
static void complain_value(struct binder *b, const struct node *node, const char *path, const char *const *names,
                           size_t count) {
    if (node->type == NODE_SCALAR && *node->scalar)
        complain_name(b, node, path, "unknown value", node->scalar, names, count);
    else
        complain_name(b, node, path, form_of(node), NULL, names, count);
}

static size_t registry_names(const struct registry *registry, const char **names) {
    size_t count = 0;
    for (const struct kind *const *row = registry->rows; *row && count < MAX_KEYS; row++)
        names[count++] = (*row)->name;
    return count;
}

static const struct kind *bind_row(struct binder *b, const struct registry *registry, const struct node *node,
                                   const char *path) {
    const char *names[MAX_KEYS];
    size_t count = registry_names(registry, names);
    const struct kind *kind = node->type == NODE_SCALAR ? registry_find(registry, node->scalar) : NULL;
    if (!kind)
        complain_value(b, node, path, names, count);
    return kind;
}

static int bind_name(struct binder *b, const struct param *param, const struct node *node, const char *path) {
    size_t count = 0;
    while (param->names[count])
        count++;
    for (size_t i = 0; node->type == NODE_SCALAR && i < count; i++)
        if (!strcmp(param->names[i], node->scalar))
            return (int)i;
    complain_value(b, node, path, param->names, count);
    return -1;
}

/* --- Scalars ----------------------------------------------------------------------------------------------------- */

static void complain_type(struct binder *b, const struct param *param, const struct node *node, const char *path) {
    struct text expected = {0};
    param_describe(&expected, param);
    if (node->type == NODE_SCALAR && (*node->scalar || node->quoted))
        diagnose(b->diags, node->source, node->line, path, "found %s\"%.60s\"; expected %s",
                 node->quoted ? "the quoted text " : "", node->scalar, expected.data);
    else
        diagnose(b->diags, node->source, node->line, path, "%s; expected %s", form_of(node), expected.data);
    text_free(&expected);
}

static bool in_range(const struct param *param, double value) {
    return (param->min == 0 && param->max == 0) || (value >= param->min && value <= param->max);
}

static bool read_int(const struct param *param, const struct node *node, int *value) {
    if (node->type != NODE_SCALAR || node->quoted || !*node->scalar)
        return false;
    char *end;
    errno = 0;
    long number = strtol(node->scalar, &end, 10);
    if (*end || errno || number < INT_MIN || number > INT_MAX || !in_range(param, (double)number))
        return false;
    *value = (int)number;
    return true;
}

static bool read_real(const struct param *param, const struct node *node, double *value) {
    if (node->type != NODE_SCALAR || node->quoted || !*node->scalar)
        return false;
    char *end;
    double number = strtod(node->scalar, &end);
    if (*end || !isfinite(number) || !in_range(param, number))
        return false;
    *value = number;
    return true;
}

static bool read_bool(const struct node *node, bool *value) {
    if (node->type != NODE_SCALAR || node->quoted)
        return false;
    *value = !strcmp(node->scalar, "true");
    return *value || !strcmp(node->scalar, "false");
}

static void bind_ints(struct binder *b, const struct param *param, const struct node *node, const char *path,
                      struct int_list *list) {
    *list = (struct int_list){0};
    if (node->type != NODE_LIST || node->count > INT_LIST_MAX) {
        complain_type(b, param, node, path);
        return;
    }
    const struct param element = {.type = PARAM_INT, .min = param->min, .max = param->max};
    for (int i = 0; i < node->count; i++)
        if (!read_int(&element, node->children[i], &list->values[list->count++]))
            complain_type(b, &element, node->children[i], arena_printf(b->arena, "%s[%d]", path, i));
}

static void bind_reals(struct binder *b, const struct param *param, const struct node *node, const char *path,
                       struct real_list *list) {
    const struct param element = {.type = PARAM_REAL, .min = param->min, .max = param->max};
    *list = (struct real_list){.count = 1};
    if (node->type != NODE_LIST || node->count == 0 || node->count > REAL_LIST_MAX) {
        if (!read_real(&element, node, &list->values[0]))
            complain_type(b, param, node, path);
        return;
    }
    list->count = node->count;
    for (int i = 0; i < node->count; i++)
        if (!read_real(&element, node->children[i], &list->values[i]))
            complain_type(b, &element, node->children[i], arena_printf(b->arena, "%s[%d]", path, i));
}

static void bind_flags(struct binder *b, const struct param *param, const struct node *node, const char *path,
                       unsigned *flags) {
    *flags = 0;
    if (node->type != NODE_LIST) {
        complain_type(b, param, node, path);
        return;
    }
    for (int i = 0; i < node->count; i++) {
        int bit = bind_name(b, param, node->children[i], path);
        if (bit >= 0)
            *flags |= 1u << bit;
    }
}

/* --- Sections ---------------------------------------------------------------------------------------------------- */

static const char *join(struct binder *b, const char *path, const char *key) {
    return *path ? arena_printf(b->arena, "%s.%s", path, key) : key;
}

static void collect_keys(const struct param *params, const char **keys, size_t *count) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        if (p->type == PARAM_INCLUDE)
            collect_keys(p->params, keys, count);
        else if (*count < MAX_KEYS)
            keys[(*count)++] = p->key;
    }
}

static bool has_key(const struct param *params, const char *key) {
    const char *keys[MAX_KEYS];
    size_t count = 0;
    collect_keys(params, keys, &count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(keys[i], key))
            return true;
    return false;
}

/* What a key is that the section does not have; other rows of its registry may have it. */
static const char *describe_unknown(struct binder *b, const struct registry *registry, const char *key) {
    const char *rows = "";
    for (int i = 0; registry && registry->rows[i]; i++)
        if (has_key(registry->rows[i]->params, key))
            rows = arena_printf(b->arena, "%s%s%s", rows, *rows ? ", " : "", registry->rows[i]->name);
    return *rows ? arena_printf(b->arena, "a key of %s alone:", rows) : "unknown key";
}

/* registry: of the section's `type`; NULL: it has none. */
static void check_keys(struct binder *b, const struct param *params, const struct registry *registry,
                       const struct node *map, const char *path) {
    const char *keys[MAX_KEYS] = {"type"};
    size_t count = registry != NULL;
    collect_keys(params, keys, &count);
    for (int i = 0; i < map->count; i++) {
        struct node place = {.source = map->source, .line = map->key_lines[i]};
        if (!place.line && map->children[i]->source)
            place.source = map->children[i]->source;
        const char *key_path = join(b, path, map->keys[i]);
        bool known = false, earlier = false;
        for (size_t k = 0; k < count; k++)
            known |= !strcmp(keys[k], map->keys[i]);
        for (int k = 0; k < i; k++)
            earlier |= !strcmp(map->keys[k], map->keys[i]);
        if (!known)
            complain_name(b, &place, key_path, describe_unknown(b, registry, map->keys[i]), map->keys[i], keys, count);
        else if (earlier)
            complain(b, &place, key_path, "this key was given before; keep one of the two");
    }
}

static void bind_params(struct binder *b, void *section, const struct param *params, const struct node *map,
                        const char *path);

/* The row that the section names: under `type`, as a bare word, by a key of the same name (`layers: [...]`), or, naming
 * none, the default. */
static const struct kind *find_kind(struct binder *b, const struct registry *registry, const struct node *node,
                                    const char *fallback, const char *path) {
    if (node->type == NODE_SCALAR)
        return bind_row(b, registry, node, path);
    const struct node *type = node_get(node, "type");
    if (type)
        return bind_row(b, registry, type, join(b, path, "type"));
    for (int i = 0; node->type == NODE_MAP && i < node->count; i++)
        if (registry_find(registry, node->keys[i]))
            return registry_find(registry, node->keys[i]);
    if (node->type == NODE_MAP && fallback)
        return registry_find(registry, fallback);
    const char *names[MAX_KEYS];
    size_t count = registry_names(registry, names);
    complain_name(b, node, join(b, path, "type"), "missing", NULL, names, count);
    return NULL;
}

/* fallback: the row's name when the section has none, or NULL. A choice with mistakes in it has no kind. */
static struct choice bind_kind(struct binder *b, const struct registry *registry, const struct node *node,
                               const char *fallback, const char *path) {
    struct choice choice = {.source = node->source, .line = node->line, .path = arena_string(b->arena, path)};
    int mistakes = b->diags->count;
    choice.kind = find_kind(b, registry, node, fallback, path);
    if (!choice.kind)
        return choice;
    choice.config = arena_alloc(b->arena, choice.kind->config_size);
    const struct node *map = node->type == NODE_MAP ? node : node_empty_map(b->arena, node->source, node->line);
    check_keys(b, choice.kind->params, registry, map, path);
    bind_params(b, choice.config, choice.kind->params, map, path);
    if (b->diags->count > mistakes)
        choice.kind = NULL;
    return choice;
}

void choice_list_add(struct arena *arena, struct choice_list *list, struct choice choice) {
    list->choices = arena_grow(arena, list->choices, list->count, sizeof choice);
    list->choices[list->count++] = choice;
}

static void bind_kinds(struct binder *b, const struct param *param, const struct node *node, const char *path,
                       struct choice_list *list) {
    *list = (struct choice_list){0};
    if (node->type != NODE_LIST) {
        complain_type(b, param, node, path);
        return;
    }
    for (int i = 0; i < node->count; i++) {
        const char *element = arena_printf(b->arena, "%s[%d]", path, i);
        if (b->choices++ == MAX_CHOICES)
            diagnose(b->diags, node->source, node->line, element, "more than %d %ss in all", MAX_CHOICES,
                     param->registry->noun);
        if (b->choices > MAX_CHOICES || diagnostics_full(b->diags))
            return;
        choice_list_add(b->arena, list, bind_kind(b, param->registry, node->children[i], NULL, element));
    }
}

static void bind_section(struct binder *b, void *section, const struct param *param, const struct node *node,
                         const char *path) {
    if (node->type != NODE_MAP) {
        complain_type(b, param, node, path);
        return;
    }
    check_keys(b, param->params, NULL, node, path);
    bind_params(b, section, param->params, node, path);
}

static void bind_value(struct binder *b, void *value, const struct param *param, const struct node *node,
                       const char *path) {
    bool good = true;
    int index;
    switch (param->type) {
    case PARAM_INT:
        good = read_int(param, node, value);
        break;
    case PARAM_REAL:
        good = read_real(param, node, value);
        break;
    case PARAM_BOOL:
        good = read_bool(node, value);
        break;
    case PARAM_STRING:
        good = node->type == NODE_SCALAR;
        *(const char **)value = good ? node->scalar : "";
        break;
    case PARAM_INTS:
        bind_ints(b, param, node, path, value);
        break;
    case PARAM_REALS:
        bind_reals(b, param, node, path, value);
        break;
    case PARAM_ENUM:
        index = bind_name(b, param, node, path);
        *(int *)value = index < 0 ? 0 : index;
        break;
    case PARAM_FLAGS:
        bind_flags(b, param, node, path, value);
        break;
    case PARAM_ROW:
        *(const struct kind **)value = bind_row(b, param->registry, node, path);
        break;
    case PARAM_KIND:
        *(struct choice *)value = bind_kind(b, param->registry, node, param->fallback, path);
        break;
    case PARAM_KINDS:
        bind_kinds(b, param, node, path, value);
        break;
    case PARAM_SECTION:
        bind_section(b, value, param, node, path);
        break;
    case PARAM_INCLUDE:
    case PARAM_END:
        assert(false && "not a key");
    }
    if (!good)
        complain_type(b, param, node, path);
}

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

static void bind_params(struct binder *b, void *section, const struct param *params, const struct node *map,
                        const char *path) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        void *value = (char *)section + p->offset;
        if (p->type == PARAM_INCLUDE) {
            bind_params(b, value, p->params, map, path);
            continue;
        }
        const struct node *node = node_get(map, p->key);
        if (!node)
            node = fallback_node(b, p, map);
        if (node) {
            bind_value(b, value, p, node, join(b, path, p->key));
        } else {
            struct text expected = {0};
            param_describe(&expected, p);
            diagnose(b->diags, map->source, map->line, join(b, path, p->key), "missing; expected %s (%s)",
                     expected.data, p->help);
            text_free(&expected);
        }
    }
}

void spec_bind(struct arena *arena, void *section, const struct param *params, const struct node *map, const char *path,
               struct diagnostics *diags) {
    struct binder b = {.arena = arena, .diags = diags};
    struct node *empty = node_empty_map(arena, "defaults", 0);
    const struct param root = {.key = "spec", .type = PARAM_SECTION, .params = params, .help = "the whole spec"};
    bind_section(&b, section, &root, map ? map : empty, path);
}

struct choice choice_default(struct arena *arena, const struct kind *kind) {
    struct choice choice = {.kind = kind, .config = arena_alloc(arena, kind->config_size)};
    struct diagnostics ignored = {0}; /* keys without a default are the caller's to set */
    struct binder b = {.arena = arena, .diags = &ignored};
    bind_params(&b, choice.config, kind->params, node_empty_map(arena, "defaults", 0), "");
    text_free(&ignored.text);
    return choice;
}
