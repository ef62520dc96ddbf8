/* From YAML tree to C structs and back, by tables of `struct param`. */
#ifndef SPHERENET_SPEC_BIND_H
#define SPHERENET_SPEC_BIND_H

#include "spec/node.h"
#include "spec/param.h"

/* Fills *section from the map (NULL: from defaults alone). Every mistake adds a diagnostic: unknown, duplicate and
 * missing keys, keys of rows that are not chosen, wrong types, values out of range. `path` is the section's own key
 * path, "" for the root. */
void spec_bind(struct arena *arena, void *section, const struct param *params, const struct node *map, const char *path,
               struct diagnostics *diags);

/* The same of a whole spec that the program has written: such specs used to hold the keys of all rows, so those of rows
 * that are not chosen are passed over, unless they come from the command line. */
void spec_bind_stored(struct arena *arena, void *section, const struct param *params, const struct node *map,
                      struct diagnostics *diags);

/* A row of the registry with the defaults of its keys. */
struct choice choice_default(struct arena *arena, const struct kind *kind);
void choice_list_add(struct arena *arena, struct choice_list *list, struct choice choice);

/* Writes the section as YAML, every key with its value, so that spec_bind reads the same struct back. */
void spec_emit(struct text *out, const void *section, const struct param *params);

/* What values are allowed: "a whole number from 1 to 64". */
void param_describe(struct text *out, const struct param *param);

#endif
