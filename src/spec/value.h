/* Types of values: how each is read from a node, written as YAML and described. Private to spec/. */
#ifndef SPHERENET_SPEC_VALUE_H
#define SPHERENET_SPEC_VALUE_H

#include "spec/node.h"
#include "spec/param.h"

/* Of one reading of a spec. */
struct binder {
    struct arena *arena;
    struct diagnostics *diags;
    bool stored; /* keys of rows that are not chosen are passed over */
    int choices; /* elements of all lists of kinds so far, aliases counted each time */
};

/* One value to be read. */
struct reading {
    struct binder *b;
    const struct param *param;
    const struct node *node;
    const char *path;
};

struct writer;

struct value_type {
    /* A mistake adds a diagnostic, and leaves a value that is of no use. */
    void (*read)(void *value, const struct reading *r);
    void (*write)(struct writer *writer, const void *value, const struct param *param);
    void (*describe)(struct text *out, const struct param *param);
};

extern const struct value_type value_types[PARAM_TYPES]; /* by enum param_type; PARAM_END and PARAM_INCLUDE are none */

/* --- Reading ----------------------------------------------------------------------------------------------------- */

/* "PLACE: MESSAGE" */
void bind_complain(const struct reading *r, const char *message);
/* The value is none of the names. */
void bind_complain_value(const struct reading *r, const char *const *names, size_t count);
/* The value is none of the parameter's type. */
void bind_complain_type(const struct reading *r);

/* Those of the types below, in bind.c. */
void bind_section(void *section, const struct reading *r);
void bind_row(void *choice, const struct reading *r);
void bind_kind(void *choice, const struct reading *r);
void bind_kinds(void *list, const struct reading *r);

/* --- Writing, in emit.c ------------------------------------------------------------------------------------------ */

void write_word(struct writer *writer, const char *word);
void write_list_begin(struct writer *writer, bool one_line);
void write_list_end(struct writer *writer);
void write_map_begin(struct writer *writer, bool one_line);
void write_map_end(struct writer *writer);

void write_section(struct writer *writer, const void *section, const struct param *param);
void write_row(struct writer *writer, const void *choice, const struct param *param);
void write_kind(struct writer *writer, const void *choice, const struct param *param);
void write_kinds(struct writer *writer, const void *list, const struct param *param);

#endif
