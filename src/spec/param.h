/* Tables that describe the keys of a spec.
 *
 * A section of the spec is a C struct and a table of `struct param`, one row a key: type, place in the struct, default,
 * range, help. One table drives reading, range checks, the resolved spec, `help spec`, `list` and docs/spec.md.
 *
 * A `struct kind` is one row of a registry (a layer, an optimizer, an activation ...): a name, a line of help, and a
 * table of keys of its own. A row is named in one of two ways: under `type` of a section that holds nothing but its
 * keys, or by a key of any section, whose own keys then stand beside it: `{magnitude: sphere, angular: sigmoid, k: 1}`.
 * So no two rows that one section may name, of different keys, have a key of one name. */
#ifndef SPHERENET_SPEC_PARAM_H
#define SPHERENET_SPEC_PARAM_H

#include <stdbool.h>
#include <stddef.h>

enum param_type {
    PARAM_END,     /* closes a table */
    PARAM_INT,     /* int */
    PARAM_REAL,    /* double */
    PARAM_BOOL,    /* bool */
    PARAM_STRING,  /* const char *, in the spec's arena */
    PARAM_PATH,    /* the same, of a file or folder: "~/" at its start is $HOME */
    PARAM_ENUM,    /* int: index into names */
    PARAM_FLAGS,   /* unsigned: one bit for each of names */
    PARAM_INTS,    /* struct int_list, min and max for each */
    PARAM_REALS,   /* struct real_list, min and max for each; one number stands for a list of one */
    PARAM_TEXTS,   /* struct text_map */
    PARAM_NODE,    /* const struct node *, in the arena: any value, which its owner reads; never written */
    PARAM_SECTION, /* a struct described by params */
    PARAM_INCLUDE, /* a struct described by params whose keys stand in the including section itself */
    PARAM_ROW,     /* struct choice: a row of registry, whose own keys stand in the same section */
    PARAM_KIND,    /* struct choice: a row of registry, a section of its own */
    PARAM_KINDS,   /* struct choice_list: a list of such sections */
    PARAM_TYPES
};

struct param {
    const char *key;
    enum param_type type;
    size_t offset;                   /* of the value in the section's struct */
    const char *fallback;            /* default, as one would write it in YAML; NULL: the key is required */
    double min, max;                 /* inclusive; for lists of each element; both 0: no limit */
    const char *const *names;        /* PARAM_ENUM, PARAM_FLAGS: NULL-terminated */
    const struct param *params;      /* PARAM_SECTION, PARAM_INCLUDE */
    const struct registry *registry; /* PARAM_ROW, PARAM_KIND, PARAM_KINDS */
    const char *help;                /* one line */
};

/* The rows of a table. STRUCT and MEMBER say where the value lies. */
#define KEY_AT(STRUCT, MEMBER, KEY, TYPE, HELP)                                                                        \
    .key = KEY, .type = TYPE, .offset = offsetof(STRUCT, MEMBER), .help = HELP
#define INT_KEY(STRUCT, MEMBER, KEY, FALLBACK, MIN, MAX, HELP)                                                         \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_INT, HELP), .fallback = FALLBACK, .min = MIN, .max = MAX }
#define REAL_KEY(STRUCT, MEMBER, KEY, FALLBACK, MIN, MAX, HELP)                                                        \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_REAL, HELP), .fallback = FALLBACK, .min = MIN, .max = MAX }
#define INTS_KEY(STRUCT, MEMBER, KEY, FALLBACK, MIN, MAX, HELP)                                                        \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_INTS, HELP), .fallback = FALLBACK, .min = MIN, .max = MAX }
#define REALS_KEY(STRUCT, MEMBER, KEY, FALLBACK, MIN, MAX, HELP)                                                       \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_REALS, HELP), .fallback = FALLBACK, .min = MIN, .max = MAX }
#define BOOL_KEY(STRUCT, MEMBER, KEY, FALLBACK, HELP)                                                                  \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_BOOL, HELP), .fallback = FALLBACK }
#define TEXT_KEY(STRUCT, MEMBER, KEY, FALLBACK, HELP)                                                                  \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_STRING, HELP), .fallback = FALLBACK }
#define PATH_KEY(STRUCT, MEMBER, KEY, FALLBACK, HELP)                                                                  \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_PATH, HELP), .fallback = FALLBACK }
#define TEXTS_KEY(STRUCT, MEMBER, KEY, FALLBACK, HELP)                                                                 \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_TEXTS, HELP), .fallback = FALLBACK }
#define NODE_KEY(STRUCT, MEMBER, KEY, HELP)                                                                            \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_NODE, HELP), .fallback = "null" }
#define ENUM_KEY(STRUCT, MEMBER, KEY, FALLBACK, NAMES, HELP)                                                           \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_ENUM, HELP), .fallback = FALLBACK, .names = NAMES }
#define FLAGS_KEY(STRUCT, MEMBER, KEY, FALLBACK, NAMES, HELP)                                                          \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_FLAGS, HELP), .fallback = FALLBACK, .names = NAMES }
#define SECTION_KEY(STRUCT, MEMBER, KEY, PARAMS, HELP)                                                                 \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_SECTION, HELP), .params = PARAMS }
#define ROW_KEY(STRUCT, MEMBER, KEY, FALLBACK, REGISTRY, HELP)                                                         \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_ROW, HELP), .fallback = FALLBACK, .registry = REGISTRY }
#define KIND_KEY(STRUCT, MEMBER, KEY, FALLBACK, REGISTRY, HELP)                                                        \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_KIND, HELP), .fallback = FALLBACK, .registry = REGISTRY }
#define KINDS_KEY(STRUCT, MEMBER, KEY, FALLBACK, REGISTRY, HELP)                                                       \
    { KEY_AT(STRUCT, MEMBER, KEY, PARAM_KINDS, HELP), .fallback = FALLBACK, .registry = REGISTRY }
#define INCLUDED_KEYS(STRUCT, MEMBER, PARAMS)                                                                          \
    { .type = PARAM_INCLUDE, .offset = offsetof(STRUCT, MEMBER), .params = PARAMS }
#define END_OF_KEYS                                                                                                    \
    { .type = PARAM_END }

enum { INT_LIST_MAX = 16, REAL_LIST_MAX = 16 };

struct int_list {
    int count;
    int values[INT_LIST_MAX];
};

struct real_list {
    int count; /* at least one */
    double values[REAL_LIST_MAX];
};

struct text_pair {
    const char *from, *to;
};

/* A map of texts, in the spec's arena. */
struct text_map {
    int count;
    struct text_pair *pairs;
};

/* First member of every registry row. */
struct kind {
    const char *name;
    const char *help;           /* one line */
    const struct param *params; /* its own keys; NULL: none */
    size_t config_size;         /* of the struct that params describe */
};

struct registry {
    const char *noun;               /* "layer", "optimizer" */
    const struct kind *const *rows; /* NULL-terminated */
};

struct choice {
    const struct kind *kind;
    void *config;       /* kind->config_size bytes in the spec's arena */
    const char *source; /* where it stood in the spec; NULL: nowhere */
    int line;
    const char *path; /* "network.layers[2]" */
};

struct choice_list {
    int count;
    struct choice *choices;
};

/* The row of that name, or NULL. */
const struct kind *registry_find(const struct registry *registry, const char *name);

#endif
