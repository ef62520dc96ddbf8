/* "path.to[3].key=VALUE" from the command line: the path is parsed first, then walked. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "spec/node.h"
#include "spec/param.h"

enum { MAX_INDICES = 4, MAX_INDEX = 100000 }; /* no list is longer */

/* A key, and places in the lists that its value is made of: "layers[2]". */
struct path_step {
    const char *text, *key;
    int count, indices[MAX_INDICES];
};

struct path {
    int count;
    struct path_step *steps;
};

struct override {
    struct arena *arena;
    struct diagnostics *diags;
    const char *source; /* "--set path.to[3].key=VALUE" */
};

/* --- Parsing ----------------------------------------------------------------------------------------------------- */

/* False: the text is no key with indices. */
static bool parse_step(struct arena *arena, const char *text, struct path_step *step) {
    char *key = arena_string(arena, text), *bracket = strchr(key, '[');
    *step = (struct path_step){.text = text, .key = key};
    if (bracket == key || !*key)
        return false;
    while (bracket && *bracket) {
        char *end;
        long index = *bracket == '[' ? strtol(bracket + 1, &end, 10) : -1;
        if (index < 0 || index > MAX_INDEX || end == bracket + 1 || *end != ']' || step->count == MAX_INDICES)
            return false;
        step->indices[step->count++] = (int)index;
        *bracket = '\0';
        bracket = end + 1;
    }
    return true;
}

static bool parse_path(const struct override *o, char *text, struct path *path) {
    for (char *next; text; text = next) {
        next = strchr(text, '.');
        if (next)
            *next++ = '\0';
        path->steps = arena_grow(o->arena, path->steps, path->count, sizeof *path->steps);
        if (!parse_step(o->arena, text, &path->steps[path->count++])) {
            diagnose(o->diags, o->source, 0, NULL, "\"%s\" is not a key; write KEY.KEY=VALUE or KEY[INDEX].KEY=VALUE",
                     text);
            return false;
        }
    }
    return true;
}

/* --- Walking ----------------------------------------------------------------------------------------------------- */

/* A node of one's own at that place: an alias shares its node with others, who must not see the change. */
static struct node *own(struct arena *arena, struct node **place) {
    struct node *shared = *place, *copy = arena_alloc(arena, sizeof *copy);
    *copy = *shared;
    copy->count = 0;
    copy->weight = 1;
    copy->children = NULL;
    copy->keys = NULL;
    copy->key_lines = NULL;
    for (int i = 0; i < shared->count; i++)
        node_add(arena, copy, shared->type == NODE_MAP ? shared->keys[i] : NULL,
                 shared->type == NODE_MAP ? shared->key_lines[i] : 0, shared->children[i]);
    *place = copy;
    return copy;
}

/* A kind may be written as its bare name (`optimizer: adam`); an override below it needs the long form. */
static void expand_shorthand(struct arena *arena, struct node **place) {
    struct node *node = *place;
    if (node->type != NODE_SCALAR)
        return;
    struct node *map = node_empty_map(arena, node->source, node->line);
    if (!node_is_null(node))
        node_add(arena, map, "type", node->line, node);
    *place = map;
}

/* The place of the key's value, made an empty map when it is absent. */
static struct node **place_of_key(const struct override *o, struct node *map, const char *key) {
    for (int i = 0; i < map->count; i++)
        if (!strcmp(map->keys[i], key))
            return &map->children[i];
    node_add(o->arena, map, key, 0, node_empty_map(o->arena, o->source, 0));
    return &map->children[map->count - 1];
}

/* The place of one step below the map; NULL with a diagnostic when it leads nowhere. */
static struct node **descend(const struct override *o, struct node *map, const struct path_step *step) {
    if (map->type != NODE_MAP) {
        diagnose(o->diags, o->source, 0, NULL, "there are no keys below the one before \"%s\"", step->text);
        return NULL;
    }
    bool absent = !node_get(map, step->key);
    struct node **place = place_of_key(o, map, step->key);
    for (int i = 0; i < step->count; i++) {
        assert(place);
        bool is_list = (*place)->type == NODE_LIST;
        if (!is_list || step->indices[i] >= (*place)->count) {
            diagnose(o->diags, o->source, 0, NULL, "%s: no element %d (%s)", step->text, step->indices[i],
                     is_list  ? "the list is shorter"
                     : absent ? "there is no such list in the spec"
                              : "not a list");
            return NULL;
        }
        place = &own(o->arena, place)->children[step->indices[i]];
    }
    return place;
}

/* What is on the way is changed in copies, so that a path that leads nowhere leaves no key behind. */
static bool put(const struct override *o, struct node *root, const struct path *path, struct node *value) {
    struct node *changed = root, **place = &changed;
    for (int i = 0; place && i < path->count; i++) {
        if (i > 0)
            expand_shorthand(o->arena, place);
        place = descend(o, own(o->arena, place), &path->steps[i]);
    }
    if (!place)
        return false;
    *place = value;
    *root = *changed;
    return true;
}

/* --- Values ------------------------------------------------------------------------------------------------------ */

static bool leads_to_text(const struct param *params, const struct path *path, int at);

static bool rows_lead_to_text(const struct registry *registry, const struct path *path, int at) {
    for (const struct kind *const *row = registry->rows; *row; row++)
        if (leads_to_text((*row)->params, path, at))
            return true;
    return false;
}

/* Whether the key of that step is this one, and those below it lead to a text. */
static bool param_leads_to_text(const struct param *param, const struct path *path, int at) {
    if (strcmp(param->key, path->steps[at].key))
        return false;
    if (at == path->count - 1)
        return param->type == PARAM_STRING || param->type == PARAM_PATH;
    if (param->type == PARAM_TEXTS)
        return at == path->count - 2;
    if (param->type == PARAM_KIND || param->type == PARAM_KINDS)
        return rows_lead_to_text(param->registry, path, at + 1);
    return leads_to_text(param->params, path, at + 1);
}

/* Whether the step's key, in a section of these keys and of all rows that it may name, is a text in the end. */
static bool leads_to_text(const struct param *params, const struct path *path, int at) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        bool found = p->type == PARAM_INCLUDE ? leads_to_text(p->params, path, at) : param_leads_to_text(p, path, at);
        if (found || (p->type == PARAM_ROW && rows_lead_to_text(p->registry, path, at)))
            return true;
    }
    return false;
}

/* Whether all of it is in one pair of quotes. */
static bool is_quoted(const char *value) {
    char quote = *value;
    size_t length = strlen(value);
    if ((quote != '\'' && quote != '"') || length < 2)
        return false;
    const char *c = value + 1, *end = value + length - 1;
    while (c < end) {
        bool pair = quote == '"' ? *c == '\\' : c[0] == quote && c[1] == quote;
        if (!pair && *c == quote)
            return false;
        c += pair ? 2 : 1;
    }
    return c == end; /* beyond it: the last quote is the second of a pair */
}

void yaml_quote(struct text *out, const char *text) {
    text_add(out, "\"", 1);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            text_printf(out, "\\%c", *c);
        } else if (*c < ' ' || *c == 0x7f) {
            text_printf(out, "\\x%02x", *c);
        } else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) { /* control characters, a line break among them */
            text_printf(out, "\\x%02x", *++c);
        } else if (*c == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9)) { /* two more line breaks */
            text_printf(out, "\\u20%02x", c[2] - 0x80);
            c += 2;
        } else {
            text_add(out, (const char *)c, 1);
        }
    }
    text_add(out, "\"", 1);
}

static struct node *read_text(const struct override *o, const char *value) {
    struct text quoted = {0};
    yaml_quote(&quoted, value);
    struct node *node = yaml_read(o->arena, o->source, quoted.data, quoted.length, o->diags);
    text_free(&quoted);
    return node;
}

static struct node *read_value(const struct override *o, const struct param *params, const struct path *path,
                               const char *value) {
    const struct node word = {.type = NODE_SCALAR, .scalar = value};
    if (leads_to_text(params, path, 0) && !is_quoted(value) && !node_is_null(&word))
        return read_text(o, value);
    return yaml_read(o->arena, o->source, value, strlen(value), o->diags);
}

bool node_override(struct arena *arena, struct node *root, const struct param *params, const char *assignment,
                   struct diagnostics *diags) {
    struct override o = {arena, diags, arena_printf(arena, OVERRIDE_SOURCE "%s", assignment)};
    const char *equals = strchr(assignment, '=');
    struct path path = {0};
    if (!equals) {
        diagnose(diags, o.source, 0, NULL,
                 "no \"=\"; write --set KEY=VALUE, as in --set network.operator.angular=linear");
        return false;
    }
    if (!equals[1]) {
        diagnose(diags, o.source, 0, NULL, "no value after \"=\"; write '' for an empty text, null for the default");
        return false;
    }
    char *text = arena_string(arena, assignment);
    text[equals - assignment] = '\0';
    if (!parse_path(&o, text, &path))
        return false;
    struct node *value = read_value(&o, params, &path, equals + 1);
    return value && put(&o, root, &path, value);
}
