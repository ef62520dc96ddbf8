/* A YAML document as a tree that remembers where each value stood. */
#ifndef SPHERENET_SPEC_NODE_H
#define SPHERENET_SPEC_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/text.h"

enum node_type { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
    enum node_type type;
    const char *source; /* file name, or "--set KEY=VALUE" */
    int line;           /* from 1; 0: the source has no lines */
    const char *scalar; /* NODE_SCALAR: its text */
    bool quoted;        /* NODE_SCALAR: written in quotes, so a string whatever it looks like */
    int count;          /* NODE_MAP, NODE_LIST */
    const char **keys;  /* NODE_MAP */
    int *key_lines;     /* NODE_MAP */
    struct node **children;
    size_t weight; /* nodes in this subtree, aliases counted each time */
};

/* The mistakes found in a spec, a line each: "FILE:LINE: KEY: what is wrong". */
struct diagnostics {
    struct text text;
    int count;
};

/* Adds "SOURCE:LINE: PATH: message" (parts that are empty are left out), without what a terminal would act on. Beyond
 * a thousand mistakes only their number grows; diagnostics_full then, and there is no use in looking for more. */
void diagnose(struct diagnostics *diags, const char *source, int line, const char *path, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
bool diagnostics_full(const struct diagnostics *diags);

/* Reads one YAML document. NULL, with a diagnostic, when the text is not YAML, is not a single document, nests too
 * deeply, or is (aliases expanded) too large. The tree lives in the arena. */
struct node *yaml_read(struct arena *arena, const char *source, const char *text, size_t length,
                       struct diagnostics *diags);
struct node *yaml_read_file(struct arena *arena, const char *path, struct diagnostics *diags);

/* Adds the text in quotes, so that YAML takes it as it stands. */
void yaml_quote(struct text *out, const char *text);

/* An empty map, as if written at that place. */
struct node *node_empty_map(struct arena *arena, const char *source, int line);

/* The child of that key, or NULL. */
struct node *node_get(const struct node *map, const char *key);
/* The same, but NULL too where the value is null, which is "not given". */
struct node *node_given(const struct node *map, const char *key);

/* Appends a child. key, key_line: in a map. */
void node_add(struct arena *arena, struct node *parent, const char *key, int key_line, struct node *child);

/* Whether the node says that nothing is given: null, ~ or nothing, unquoted. */
bool node_is_null(const struct node *node);

/* Puts the value of "path.to[3].key=VALUE" into the tree, making maps that are absent. VALUE is YAML, but where the
 * tables say that the key is a text or a path it is that text as it stands, unless it is quoted or null. */
struct param;
bool node_override(struct arena *arena, struct node *root, const struct param *params, const char *assignment,
                   struct diagnostics *diags);

#define OVERRIDE_SOURCE "--set " /* a source that starts so is a command line, which has no lines */

#endif
