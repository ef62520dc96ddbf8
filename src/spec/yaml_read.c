/* YAML text to a tree of nodes, by libyaml's event parser. Aliases share the anchored node; each subtree knows its size
 * with aliases expanded, so that a few lines cannot stand for billions of nodes. Keys and values are short, since each
 * alias of a long one would copy it into a message or into the resolved spec. */
#include "spec/node.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

enum { MAX_FILE_BYTES = 1 << 22, MAX_DEPTH = 64, MAX_NODES = 100000, MAX_KEYS = 1000, MAX_ANCHORS = 1000 };
enum { MAX_KEY_BYTES = 200, MAX_VALUE_BYTES = 4096, MAX_LISTED = 1000 };

#define OVERRIDE "--set " /* a source that starts so is a command line, which has no lines */

struct anchor {
    const char *name;
    struct node *node;
};

struct reader {
    yaml_parser_t parser;
    struct arena *arena;
    const char *source;
    struct diagnostics *diags;
    int anchor_count;
    struct anchor anchors[MAX_ANCHORS];
};

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

static int line_at(const struct reader *r, const yaml_mark_t *mark) {
    return strncmp(r->source, OVERRIDE, strlen(OVERRIDE)) ? (int)mark->line + 1 : 0;
}

static struct node *node_new(struct reader *r, enum node_type type, const yaml_mark_t *mark) {
    struct node *node = arena_alloc(r->arena, sizeof *node);
    node->type = type;
    node->source = r->source;
    node->line = line_at(r, mark);
    node->weight = 1;
    return node;
}

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

static void add_child(struct arena *arena, struct node *parent, const char *key, int key_line, struct node *child) {
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

/* --- Reading ----------------------------------------------------------------------------------------------------- */

static bool next_event(struct reader *r, yaml_event_t *event) {
    if (yaml_parser_parse(&r->parser, event))
        return true;
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        mem_exhausted();
    bool unreadable = p->error == YAML_READER_ERROR;
    int line = unreadable ? 0 : line_at(r, &p->problem_mark);
    diagnose(r->diags, r->source, line, NULL, "not valid YAML: %s%s%s", p->problem ? p->problem : "unreadable",
             p->context ? " " : "", p->context ? p->context : "");
    return false;
}

static struct node *read_event(struct reader *r, yaml_event_t *event, int depth);

static struct node *read_next(struct reader *r, int depth) {
    yaml_event_t event;
    if (!next_event(r, &event))
        return NULL;
    struct node *node = read_event(r, &event, depth);
    yaml_event_delete(&event);
    return node;
}

static bool remember_anchor(struct reader *r, const yaml_char_t *name, struct node *node) {
    if (!name)
        return true;
    if (r->anchor_count == MAX_ANCHORS) {
        diagnose(r->diags, r->source, node->line, NULL, "more than %d anchors", MAX_ANCHORS);
        return false;
    }
    r->anchors[r->anchor_count++] = (struct anchor){arena_string(r->arena, (const char *)name), node};
    return true;
}

static struct node *read_alias(struct reader *r, const yaml_event_t *event) {
    const char *name = (const char *)event->data.alias.anchor;
    for (int i = r->anchor_count - 1; i >= 0; i--)
        if (!strcmp(r->anchors[i].name, name))
            return r->anchors[i].node;
    diagnose(r->diags, r->source, line_at(r, &event->start_mark), NULL, "alias *%s has no anchor before it", name);
    return NULL;
}

static struct node *read_scalar(struct reader *r, const yaml_event_t *event) {
    struct node *node = node_new(r, NODE_SCALAR, &event->start_mark);
    const char *text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length) {
        diagnose(r->diags, r->source, node->line, NULL, "a value contains a NUL character");
        return NULL;
    }
    if (event->data.scalar.length > MAX_VALUE_BYTES) {
        diagnose(r->diags, r->source, node->line, NULL, "a value of more than %d bytes", MAX_VALUE_BYTES);
        return NULL;
    }
    node->scalar = arena_string(r->arena, text);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return node;
}

static bool read_key(struct reader *r, const yaml_event_t *event, const char **key) {
    if (event->type != YAML_SCALAR_EVENT) {
        diagnose(r->diags, r->source, line_at(r, &event->start_mark), NULL, "a key must be a plain word");
        return false;
    }
    if (event->data.scalar.length > MAX_KEY_BYTES) {
        diagnose(r->diags, r->source, line_at(r, &event->start_mark), NULL, "a key of more than %d bytes",
                 MAX_KEY_BYTES);
        return false;
    }
    *key = arena_string(r->arena, (const char *)event->data.scalar.value);
    if (strlen(*key) != event->data.scalar.length) {
        diagnose(r->diags, r->source, line_at(r, &event->start_mark), NULL, "a key contains a NUL character");
        return false;
    }
    return true;
}

/* Reads up to the end event of a map or list. */
static struct node *read_children(struct reader *r, struct node *node, int depth) {
    yaml_event_type_t end = node->type == NODE_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    if (depth > MAX_DEPTH) {
        diagnose(r->diags, r->source, node->line, NULL, "nested more than %d levels deep", MAX_DEPTH);
        return NULL;
    }
    for (;;) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return NULL;
        bool done = event.type == end, good = true;
        const char *key = NULL;
        int key_line = line_at(r, &event.start_mark);
        struct node *child = NULL;
        if (!done && node->type == NODE_MAP)
            good = read_key(r, &event, &key);
        else if (!done)
            child = read_event(r, &event, depth);
        yaml_event_delete(&event);
        if (done)
            return node;
        if (good && node->type == NODE_MAP)
            child = read_next(r, depth);
        if (!child)
            return NULL;
        add_child(r->arena, node, key, key_line, child);
        if (node->type == NODE_MAP && node->count > MAX_KEYS) {
            diagnose(r->diags, r->source, key_line, NULL, "more than %d keys in one section", MAX_KEYS);
            return NULL;
        }
        if (node->weight > MAX_NODES) {
            diagnose(r->diags, r->source, key_line, NULL, "more than %d values, aliases expanded", MAX_NODES);
            return NULL;
        }
    }
}

/* An anchor is remembered when its node is complete, so a node can never contain itself. */
static struct node *read_event(struct reader *r, yaml_event_t *event, int depth) {
    struct node *node = NULL;
    const yaml_char_t *anchor = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return read_alias(r, event);
    case YAML_SCALAR_EVENT:
        node = read_scalar(r, event);
        anchor = event->data.scalar.anchor;
        break;
    case YAML_MAPPING_START_EVENT:
        node = read_children(r, node_new(r, NODE_MAP, &event->start_mark), depth + 1);
        anchor = event->data.mapping_start.anchor;
        break;
    case YAML_SEQUENCE_START_EVENT:
        node = read_children(r, node_new(r, NODE_LIST, &event->start_mark), depth + 1);
        anchor = event->data.sequence_start.anchor;
        break;
    default:
        diagnose(r->diags, r->source, line_at(r, &event->start_mark), NULL, "a value is missing");
    }
    return node && remember_anchor(r, anchor, node) ? node : NULL;
}

static bool expect(struct reader *r, yaml_event_type_t type, const char *message) {
    yaml_event_t event;
    if (!next_event(r, &event))
        return false;
    bool found = event.type == type;
    if (!found)
        diagnose(r->diags, r->source, line_at(r, &event.start_mark), NULL, "%s", message);
    yaml_event_delete(&event);
    return found;
}

static struct node *read_document(struct reader *r) {
    if (!expect(r, YAML_STREAM_START_EVENT, "not a YAML stream") ||
        !expect(r, YAML_DOCUMENT_START_EVENT, "the document is empty"))
        return NULL;
    struct node *root = read_next(r, 0);
    if (!root || !expect(r, YAML_DOCUMENT_END_EVENT, "one document was expected") ||
        !expect(r, YAML_STREAM_END_EVENT, "a second document starts here; a spec is a single one"))
        return NULL;
    return root;
}

struct node *yaml_read(struct arena *arena, const char *source, const char *text, size_t length,
                       struct diagnostics *diags) {
    struct reader *r = mem_alloc(sizeof *r);
    r->arena = arena;
    r->source = arena_string(arena, source);
    r->diags = diags;
    if (!yaml_parser_initialize(&r->parser))
        mem_exhausted();
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, length);
    struct node *root = read_document(r);
    yaml_parser_delete(&r->parser);
    free(r);
    return root;
}

struct node *yaml_read_file(struct arena *arena, const char *path, struct diagnostics *diags) {
    struct stat status;
    FILE *file = fopen(path, "rb");
    if (!file && errno == ENOMEM)
        mem_exhausted();
    if (!file || fstat(fileno(file), &status)) {
        diagnose(diags, path, 0, NULL, "cannot open the spec: %s", strerror(errno));
        if (file)
            fclose(file);
        return NULL;
    }
    struct node *root = NULL;
    if (S_ISDIR(status.st_mode)) {
        diagnose(diags, path, 0, NULL, "is a directory; a spec is a YAML file");
    } else {
        char *text = mem_alloc(MAX_FILE_BYTES + 1);
        size_t length = fread(text, 1, MAX_FILE_BYTES + 1, file);
        if (ferror(file))
            diagnose(diags, path, 0, NULL, "cannot read the spec: %s", strerror(errno));
        else if (length > MAX_FILE_BYTES)
            diagnose(diags, path, 0, NULL, "larger than 4 MiB, which no spec is");
        else
            root = yaml_read(arena, path, text, length, diags);
        free(text);
    }
    fclose(file);
    return root;
}

/* --- Overrides --------------------------------------------------------------------------------------------------- */

static void set_child(struct arena *arena, struct node *map, const char *key, struct node *value) {
    for (int i = 0; i < map->count; i++) {
        if (!strcmp(map->keys[i], key)) {
            map->children[i] = value;
            return;
        }
    }
    add_child(arena, map, key, 0, value);
}

/* Splits "name[2][0]" into the name and its indices; false when it is neither. */
static bool parse_step(char *step, int *indices, int *count, int most) {
    *count = 0;
    char *bracket = strchr(step, '[');
    if (bracket == step || !*step)
        return false;
    while (bracket && *bracket) {
        char *end;
        long index = *bracket == '[' ? strtol(bracket + 1, &end, 10) : -1;
        if (index < 0 || index > MAX_NODES || end == bracket + 1 || *end != ']' || *count == most)
            return false;
        indices[(*count)++] = (int)index;
        *bracket = '\0';
        bracket = end + 1;
    }
    return true;
}

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
        add_child(arena, copy, shared->type == NODE_MAP ? shared->keys[i] : NULL,
                  shared->type == NODE_MAP ? shared->key_lines[i] : 0, shared->children[i]);
    *place = copy;
    return copy;
}

/* The place of one step below the node: a pointer to the child, made an empty map when absent; NULL with a diagnostic
 * when the path leads nowhere. */
static struct node **descend(struct arena *arena, struct node *node, char *step, const char *source,
                             struct diagnostics *diags) {
    int indices[4], count;
    const char *shown = arena_string(arena, step);
    if (!parse_step(step, indices, &count, 4)) {
        diagnose(diags, source, 0, NULL, "\"%s\" is not a key; write KEY.KEY=VALUE or KEY[INDEX].KEY=VALUE", shown);
        return NULL;
    }
    if (node->type != NODE_MAP) {
        diagnose(diags, source, 0, NULL, "there are no keys below the one before \"%s\"", shown);
        return NULL;
    }
    if (!node_get(node, step))
        set_child(arena, node, arena_string(arena, step), node_empty_map(arena, source, 0));
    struct node **place = NULL;
    for (int i = 0; i < node->count; i++)
        if (!strcmp(node->keys[i], step))
            place = &node->children[i];
    assert(place);
    for (int i = 0; i < count; i++) {
        if ((*place)->type != NODE_LIST || indices[i] >= (*place)->count) {
            diagnose(diags, source, 0, NULL, "%s: no element %d (%s)", shown, indices[i],
                     (*place)->type == NODE_LIST ? "the list is shorter" : "not a list");
            return NULL;
        }
        place = &own(arena, place)->children[indices[i]];
    }
    return place;
}

/* A kind may be written as its bare name (`optimizer: adam`); an override below it needs the long form. */
static void expand_shorthand(struct arena *arena, struct node **place) {
    struct node *node = *place;
    if (node->type != NODE_SCALAR)
        return;
    struct node *map = node_empty_map(arena, node->source, node->line);
    add_child(arena, map, "type", node->line, node);
    *place = map;
}

bool node_override(struct arena *arena, struct node *root, const char *assignment, struct diagnostics *diags) {
    const char *source = arena_printf(arena, OVERRIDE "%s", assignment);
    const char *equals = strchr(assignment, '=');
    if (!equals) {
        diagnose(diags, source, 0, NULL,
                 "no \"=\"; write --set KEY=VALUE, as in --set network.operator.angular=linear");
        return false;
    }
    if (!equals[1]) {
        diagnose(diags, source, 0, NULL, "no value after \"=\"; write '' for an empty text");
        return false;
    }
    struct node *value = yaml_read(arena, source, equals + 1, strlen(equals + 1), diags);
    if (!value)
        return false;
    char *path = arena_string(arena, assignment);
    path[equals - assignment] = '\0';
    struct node **place = &root;
    for (char *step = path, *next; step; step = next) {
        next = strchr(step, '.');
        if (next)
            *next++ = '\0';
        if (place != &root) {
            expand_shorthand(arena, place);
            own(arena, place);
        }
        place = descend(arena, *place, step, source, diags);
        if (!place)
            return false;
    }
    *place = value;
    return true;
}
