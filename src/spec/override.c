/* "path.to[3].key=VALUE" from the command line: the path is parsed first, then walked. */
#include <stdlib.h>
#include <string.h>

#include "spec/node.h"

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
    struct node **place = place_of_key(o, map, step->key);
    for (int i = 0; i < step->count; i++) {
        bool is_list = (*place)->type == NODE_LIST;
        if (!is_list || step->indices[i] >= (*place)->count) {
            diagnose(o->diags, o->source, 0, NULL, "%s: no element %d (%s)", step->text, step->indices[i],
                     is_list ? "the list is shorter" : "not a list");
            return NULL;
        }
        place = &own(o->arena, place)->children[step->indices[i]];
    }
    return place;
}

static bool put(const struct override *o, struct node *root, const struct path *path, struct node *value) {
    struct node **place = &root;
    for (int i = 0; place && i < path->count; i++) {
        if (i > 0) {
            expand_shorthand(o->arena, place);
            own(o->arena, place);
        }
        place = descend(o, *place, &path->steps[i]);
    }
    if (place)
        *place = value;
    return place != NULL;
}

bool node_override(struct arena *arena, struct node *root, const char *assignment, struct diagnostics *diags) {
    struct override o = {arena, diags, arena_printf(arena, OVERRIDE_SOURCE "%s", assignment)};
    const char *equals = strchr(assignment, '=');
    struct path path = {0};
    if (!equals) {
        diagnose(diags, o.source, 0, NULL,
                 "no \"=\"; write --set KEY=VALUE, as in --set network.operator.angular=linear");
        return false;
    }
    if (!equals[1]) {
        diagnose(diags, o.source, 0, NULL, "no value after \"=\"; write '' for an empty text");
        return false;
    }
    struct node *value = yaml_read(arena, o.source, equals + 1, strlen(equals + 1), diags);
    char *text = arena_string(arena, assignment);
    text[equals - assignment] = '\0';
    return value && parse_path(&o, text, &path) && put(&o, root, &path, value);
}
