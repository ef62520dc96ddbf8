/* YAML text to a tree of nodes, by libyaml's event parser. Aliases share the anchored node; each subtree knows its size
 * with aliases expanded, so that a few lines cannot stand for billions of nodes. Keys and values are short, since each
 * alias of a long one would copy it into a message or into the resolved spec. */
#include "spec/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

enum { MAX_FILE_BYTES = 1 << 22, MAX_DEPTH = 64, MAX_NODES = 100000, MAX_KEYS = 1000, MAX_ANCHORS = 1000 };
enum { MAX_KEY_BYTES = 200, MAX_VALUE_BYTES = 4096 };

struct anchor {
    const char *name;
    struct node *node;
};

struct reader {
    yaml_parser_t parser;
    struct arena *arena;
    const char *source, *text;
    size_t length; /* of the text */
    struct diagnostics *diags;
    int anchor_count;
    struct anchor anchors[MAX_ANCHORS];
};

static int line_at(const struct reader *r, const yaml_mark_t *mark) {
    return strncmp(r->source, OVERRIDE_SOURCE, strlen(OVERRIDE_SOURCE)) ? (int)mark->line + 1 : 0;
}

static struct node *node_new(struct reader *r, enum node_type type, const yaml_mark_t *mark) {
    struct node *node = arena_alloc(r->arena, sizeof *node);
    node->type = type;
    node->source = r->source;
    node->line = line_at(r, mark);
    node->weight = 1;
    return node;
}

/* --- Reading ----------------------------------------------------------------------------------------------------- */

/* The line of a byte, which libyaml tells instead where bytes are no characters. */
static yaml_mark_t mark_of_byte(const struct reader *r, size_t byte) {
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < byte && i < r->length; i++)
        mark.line += r->text[i] == '\n';
    return mark;
}

static const char *encoding_advice(const yaml_parser_t *parser) {
    return parser->problem_value == 0 ? "; with bytes of 0 it may be UTF-16 without a mark, where UTF-8 is expected"
           : parser->problem && strstr(parser->problem, "UTF-8") ? "; it may be Latin-1, where UTF-8 is expected"
                                                                 : "";
}

/* Whether a tab is among the blanks that the line begins with. */
static bool begins_with_tab(const struct reader *r, size_t line) {
    const char *at = r->text, *end = r->text + r->length;
    for (size_t i = 0; at && i < line; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    while (at && at < end && *at == ' ')
        at++;
    return at && at < end && *at == '\t';
}

static void complain_yaml(const struct reader *r) {
    const yaml_parser_t *p = &r->parser;
    bool unreadable = p->error == YAML_READER_ERROR;
    yaml_mark_t mark = unreadable ? mark_of_byte(r, p->problem_offset) : p->problem_mark;
    const char *advice = unreadable                      ? encoding_advice(p)
                         : begins_with_tab(r, mark.line) ? "; the line begins with a tab: indent with blanks"
                                                         : "";
    diagnose(r->diags, r->source, line_at(r, &mark), NULL, "not valid YAML: %s%s%s%s",
             p->problem ? p->problem : "unreadable", p->context ? " " : "", p->context ? p->context : "", advice);
}

static bool next_event(struct reader *r, yaml_event_t *event) {
    if (yaml_parser_parse(&r->parser, event))
        return true;
    if (r->parser.error == YAML_MEMORY_ERROR)
        mem_exhausted();
    complain_yaml(r);
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

/* A child of a map or list, unless that makes it too large. */
static bool add_child(struct reader *r, struct node *parent, const char *key, int line, struct node *child) {
    node_add(r->arena, parent, key, line, child);
    if (parent->type == NODE_MAP && parent->count > MAX_KEYS)
        diagnose(r->diags, r->source, line, NULL, "more than %d keys in one section", MAX_KEYS);
    else if (parent->weight > MAX_NODES)
        diagnose(r->diags, r->source, line, NULL, "more than %d values, aliases expanded", MAX_NODES);
    else
        return true;
    return false;
}

/* Adds the keys of `from` that the map does not have yet. */
static bool merge_map(struct reader *r, struct node *map, const struct node *from, int line) {
    if (from->type != NODE_MAP) {
        diagnose(r->diags, r->source, line, NULL, "\"<<\" merges a section, or a list of sections");
        return false;
    }
    for (int i = 0; i < from->count; i++)
        if (!node_get(map, from->keys[i]) && !add_child(r, map, from->keys[i], from->key_lines[i], from->children[i]))
            return false;
    return true;
}

/* The value of a key "<<" (YAML 1.1's merge): one section, or several, the first of which counts most. */
static bool merge(struct reader *r, struct node *map, const struct node *value) {
    map->weight += value->weight; /* to look through it is work, too */
    if (value->type != NODE_LIST)
        return merge_map(r, map, value, value->line);
    for (int i = 0; i < value->count; i++)
        if (!merge_map(r, map, value->children[i], value->line))
            return false;
    return true;
}

static bool is_merge_key(const yaml_event_t *event) {
    return event->type == YAML_SCALAR_EVENT && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           !strcmp((const char *)event->data.scalar.value, "<<");
}

/* The map's own keys count before merged ones, wherever these stand. */
static struct node *read_map(struct reader *r, struct node *map, int depth) {
    yaml_event_t event;
    const struct node *merged = NULL;
    while (next_event(r, &event)) {
        const char *key = NULL;
        int line = line_at(r, &event.start_mark);
        bool end = event.type == YAML_MAPPING_END_EVENT, good = !end && read_key(r, &event, &key);
        bool merging = is_merge_key(&event) && !merged;
        yaml_event_delete(&event);
        if (end)
            return !merged || merge(r, map, merged) ? map : NULL;
        struct node *child = good ? read_next(r, depth) : NULL;
        if (!child || (!merging && !add_child(r, map, key, line, child)))
            return NULL;
        merged = merging ? child : merged;
    }
    return NULL;
}

static struct node *read_list(struct reader *r, struct node *list, int depth) {
    yaml_event_t event;
    while (next_event(r, &event)) {
        int line = line_at(r, &event.start_mark);
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        struct node *child = end ? NULL : read_event(r, &event, depth);
        yaml_event_delete(&event);
        if (end)
            return list;
        if (!child || !add_child(r, list, NULL, line, child))
            return NULL;
    }
    return NULL;
}

/* The map or list that the event opens. */
static struct node *read_children(struct reader *r, const yaml_event_t *event, int depth) {
    bool map = event->type == YAML_MAPPING_START_EVENT;
    struct node *node = node_new(r, map ? NODE_MAP : NODE_LIST, &event->start_mark);
    if (depth > MAX_DEPTH) {
        diagnose(r->diags, r->source, node->line, NULL, "nested more than %d levels deep", MAX_DEPTH);
        return NULL;
    }
    return map ? read_map(r, node, depth) : read_list(r, node, depth);
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
        node = read_children(r, event, depth + 1);
        anchor = event->data.mapping_start.anchor;
        break;
    case YAML_SEQUENCE_START_EVENT:
        node = read_children(r, event, depth + 1);
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
    r->text = text;
    r->length = length;
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
