#include "spec/value.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "spec/bind.h"

enum { NUMBER_BYTES = 40 };

static bool is_bare_word(const struct node *node) {
    return node->type == NODE_SCALAR && !node->quoted && *node->scalar;
}

static bool in_range(const struct param *param, double value) {
    return (param->min == 0 && param->max == 0) || (value >= param->min && value <= param->max);
}

static void describe_range(struct text *out, const struct param *param) {
    if (param->min != 0 || param->max != 0)
        text_printf(out, " from %.10g to %.10g", param->min, param->max);
}

/* --- Numbers ----------------------------------------------------------------------------------------------------- */

static bool parse_int(const struct param *param, const struct node *node, int *value) {
    if (!is_bare_word(node))
        return false;
    char *end;
    errno = 0;
    long number = strtol(node->scalar, &end, 10);
    if (*end || errno || number < INT_MIN || number > INT_MAX || !in_range(param, (double)number))
        return false;
    *value = (int)number;
    return true;
}

/* The number that 1e3, 64_000 or 4.0 means; false: it means none, or none that is allowed. */
static bool parse_as_meant(const struct reading *r, double *number) {
    char plain[NUMBER_BYTES], *end = plain;
    if (!is_bare_word(r->node) || strlen(r->node->scalar) >= sizeof plain)
        return false;
    for (const char *c = r->node->scalar; *c; c++)
        if (*c != '_')
            *end++ = *c;
    *end = '\0';
    *number = strtod(plain, &end);
    return *plain && !*end && isfinite(*number) && in_range(r->param, *number);
}

static void complain_int(const struct reading *r) {
    double number;
    bool whole = parse_as_meant(r, &number) && number == rint(number) && fabs(number) <= INT_MAX;
    bind_complain_advice(r, whole ? arena_printf(r->b->arena, "; write %.0f", number) : "");
}

static void read_int(void *value, const struct reading *r) {
    if (!parse_int(r->param, r->node, value))
        complain_int(r);
}

static void write_int(struct writer *writer, const void *value, const struct param *param) {
    (void)param;
    char number[NUMBER_BYTES];
    snprintf(number, sizeof number, "%d", *(const int *)value);
    write_word(writer, number);
}

static void describe_int(struct text *out, const struct param *param) {
    text_printf(out, "a whole number");
    describe_range(out, param);
}

static void complain_real(const struct reading *r, bool vanished) {
    double number;
    const char *advice = vanished                     ? "; so small a one would become 0"
                         : parse_as_meant(r, &number) ? arena_printf(r->b->arena, "; write %.10g", number)
                                                      : "";
    bind_complain_advice(r, advice);
}

static void read_real(void *value, const struct reading *r) {
    char *end = NULL;
    errno = 0;
    double number = is_bare_word(r->node) ? strtod(r->node->scalar, &end) : 0;
    bool vanished = errno == ERANGE && number == 0;
    if (!end || *end || !isfinite(number) || vanished || !in_range(r->param, number))
        complain_real(r, vanished);
    else
        *(double *)value = number;
}

/* "1e-08" is a text for readers of YAML 1.1; "1.0e-08" is a number for all. */
static void put_point(char *number) {
    char *exponent = strchr(number, 'e');
    if (!exponent || strchr(number, '.'))
        return;
    memmove(exponent + 2, exponent, strlen(exponent) + 1);
    exponent[0] = '.';
    exponent[1] = '0';
}

/* The shortest decimal that reads back as the same double. */
static void write_real(struct writer *writer, const void *value, const struct param *param) {
    (void)param;
    char number[NUMBER_BYTES];
    double real = *(const double *)value;
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, real);
        if (strtod(number, NULL) == real)
            break;
    }
    put_point(number);
    write_word(writer, number);
}

static void describe_real(struct text *out, const struct param *param) {
    text_printf(out, "a number");
    describe_range(out, param);
}

static void read_ints(void *value, const struct reading *r) {
    struct int_list *list = value;
    *list = (struct int_list){0};
    if (r->node->type != NODE_LIST || r->node->count > INT_LIST_MAX) {
        bind_complain_type(r);
        return;
    }
    const struct param element = {.type = PARAM_INT, .min = r->param->min, .max = r->param->max};
    for (int i = 0; i < r->node->count; i++) {
        const char *path = arena_printf(r->b->arena, "%s[%d]", r->path, i);
        read_int(&list->values[list->count++], &(struct reading){r->b, &element, r->node->children[i], path});
    }
}

static void write_ints(struct writer *writer, const void *value, const struct param *param) {
    const struct int_list *list = value;
    write_list_begin(writer, true);
    for (int i = 0; i < list->count; i++)
        write_int(writer, &list->values[i], param);
    write_list_end(writer);
}

static void describe_ints(struct text *out, const struct param *param) {
    text_printf(out, "a list of at most %d whole numbers", INT_LIST_MAX);
    describe_range(out, param);
}

/* A number alone stands for a list of one. */
static void read_reals(void *value, const struct reading *r) {
    struct real_list *list = value;
    *list = (struct real_list){.count = 1};
    if (r->node->type != NODE_LIST || r->node->count == 0 || r->node->count > REAL_LIST_MAX) {
        read_real(&list->values[0], r);
        return;
    }
    const struct param element = {.type = PARAM_REAL, .min = r->param->min, .max = r->param->max};
    list->count = r->node->count;
    for (int i = 0; i < list->count; i++) {
        const char *path = arena_printf(r->b->arena, "%s[%d]", r->path, i);
        read_real(&list->values[i], &(struct reading){r->b, &element, r->node->children[i], path});
    }
}

static void write_reals(struct writer *writer, const void *value, const struct param *param) {
    const struct real_list *list = value;
    if (list->count != 1)
        write_list_begin(writer, true);
    for (int i = 0; i < list->count; i++)
        write_real(writer, &list->values[i], param);
    if (list->count != 1)
        write_list_end(writer);
}

static void describe_reals(struct text *out, const struct param *param) {
    describe_real(out, param);
    text_printf(out, ", or a list of at most %d of them", REAL_LIST_MAX);
}

/* --- Truth and text ---------------------------------------------------------------------------------------------- */

/* The three spellings of YAML 1.2. */
static bool is_truth(const char *word, const char *lower, const char *capital, const char *upper) {
    return !strcmp(word, lower) || !strcmp(word, capital) || !strcmp(word, upper);
}

static void read_bool(void *value, const struct reading *r) {
    const char *word = is_bare_word(r->node) ? r->node->scalar : "";
    *(bool *)value = is_truth(word, "true", "True", "TRUE");
    if (!*(bool *)value && !is_truth(word, "false", "False", "FALSE"))
        bind_complain_type(r);
}

static void write_bool(struct writer *writer, const void *value, const struct param *param) {
    (void)param;
    write_word(writer, *(const bool *)value ? "true" : "false");
}

static void describe_bool(struct text *out, const struct param *param) {
    (void)param;
    text_printf(out, "true or false");
}

static void read_string(void *value, const struct reading *r) {
    *(const char **)value = r->node->type == NODE_SCALAR ? r->node->scalar : "";
    if (r->node->type != NODE_SCALAR)
        bind_complain_type(r);
}

static void write_string(struct writer *writer, const void *value, const struct param *param) {
    (void)param;
    write_text(writer, *(const char *const *)value);
}

static void describe_string(struct text *out, const struct param *param) {
    (void)param;
    text_printf(out, "text");
}

/* What the program has written stays as it is: it was expanded when it was read first. */
static void read_path(void *value, const struct reading *r) {
    read_string(value, r);
    if (r->b->stored && r->node->line > 0)
        return;
    struct error err;
    const char *path = path_expand(r->b->arena, *(const char **)value, &err);
    if (path)
        *(const char **)value = path;
    else
        bind_complain(r, err.text);
}

static void describe_path(struct text *out, const struct param *param) {
    (void)param;
    text_printf(out, "a path");
}

static bool is_repeated(const struct text_map *map, const char *from) {
    for (int i = 0; i < map->count; i++)
        if (!strcmp(map->pairs[i].from, from))
            return true;
    return false;
}

static void add_pair(struct text_map *map, const char *from, const struct reading *r) {
    struct text_pair pair = {.from = from, .to = ""};
    if (!node_is_null(r->node))
        read_string(&pair.to, r);
    if (is_repeated(map, from))
        bind_complain(r, "this key was given before; keep one of the two");
    map->pairs = arena_grow(r->b->arena, map->pairs, map->count, sizeof pair);
    map->pairs[map->count++] = pair;
}

static void read_texts(void *value, const struct reading *r) {
    static const struct param text = {.type = PARAM_STRING};
    struct text_map *map = value;
    *map = (struct text_map){0};
    if (r->node->type != NODE_MAP)
        bind_complain_type(r);
    for (int i = 0; r->node->type == NODE_MAP && i < r->node->count; i++) {
        const char *path = arena_printf(r->b->arena, "%s.%s", r->path, r->node->keys[i]);
        add_pair(map, r->node->keys[i], &(struct reading){r->b, &text, r->node->children[i], path});
    }
}

static void write_texts(struct writer *writer, const void *value, const struct param *param) {
    (void)param;
    const struct text_map *map = value;
    write_map_begin(writer, map->count == 0);
    for (int i = 0; i < map->count; i++) {
        write_text(writer, map->pairs[i].from);
        write_text(writer, map->pairs[i].to);
    }
    write_map_end(writer);
}

static void describe_texts(struct text *out, const struct param *param) {
    (void)param;
    text_printf(out, "a map of texts to texts");
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

/* The index of the name, or -1 after a diagnostic. */
static int find_name(const struct reading *r) {
    const char *const *names = r->param->names;
    size_t count = 0;
    while (names[count])
        count++;
    for (size_t i = 0; r->node->type == NODE_SCALAR && i < count; i++)
        if (!strcmp(names[i], r->node->scalar))
            return (int)i;
    bind_complain_value(r, names, count);
    return -1;
}

static void describe_names(struct text *out, const struct param *param) {
    for (int i = 0; param->names[i]; i++)
        text_printf(out, "%s%s", i ? ", " : "", param->names[i]);
}

static void read_enum(void *value, const struct reading *r) {
    int index = find_name(r);
    *(int *)value = index < 0 ? 0 : index;
}

static void write_enum(struct writer *writer, const void *value, const struct param *param) {
    write_word(writer, param->names[*(const int *)value]);
}

static void describe_enum(struct text *out, const struct param *param) {
    text_printf(out, "one of ");
    describe_names(out, param);
}

static void read_flags(void *value, const struct reading *r) {
    unsigned *flags = value;
    *flags = 0;
    if (r->node->type != NODE_LIST)
        bind_complain_type(r);
    for (int i = 0; r->node->type == NODE_LIST && i < r->node->count; i++) {
        int bit = find_name(&(struct reading){r->b, r->param, r->node->children[i], r->path});
        if (bit >= 0)
            *flags |= 1u << bit;
    }
}

static void write_flags(struct writer *writer, const void *value, const struct param *param) {
    write_list_begin(writer, true);
    for (int i = 0; param->names[i]; i++)
        if (*(const unsigned *)value >> i & 1)
            write_word(writer, param->names[i]);
    write_list_end(writer);
}

static void describe_flags(struct text *out, const struct param *param) {
    text_printf(out, "a list, [] or some of ");
    describe_names(out, param);
}

/* --- Any value --------------------------------------------------------------------------------------------------- */

static void read_node(void *value, const struct reading *r) {
    *(const struct node **)value = r->node;
}

static void describe_node(struct text *out, const struct param *param) {
    (void)param;
    text_printf(out, "a value");
}

/* --- Sections and rows: read in bind.c, written in emit.c ----------------------------------------------------------
 */

static void describe_section(struct text *out, const struct param *param) {
    (void)param;
    text_printf(out, "a section of keys");
}

static void describe_row(struct text *out, const struct param *param) {
    text_printf(out, "one of ");
    for (int i = 0; param->registry->rows[i]; i++)
        text_printf(out, "%s%s", i ? ", " : "", param->registry->rows[i]->name);
}

static void describe_kind(struct text *out, const struct param *param) {
    text_printf(out, "a section whose type is ");
    describe_row(out, param);
}

static void describe_kinds(struct text *out, const struct param *param) {
    text_printf(out, "a list of %ss", param->registry->noun);
}

const struct value_type value_types[PARAM_TYPES] = {
    [PARAM_INT] = {read_int, write_int, describe_int},
    [PARAM_REAL] = {read_real, write_real, describe_real},
    [PARAM_BOOL] = {read_bool, write_bool, describe_bool},
    [PARAM_STRING] = {read_string, write_string, describe_string},
    [PARAM_PATH] = {read_path, write_string, describe_path},
    [PARAM_ENUM] = {read_enum, write_enum, describe_enum},
    [PARAM_FLAGS] = {read_flags, write_flags, describe_flags},
    [PARAM_INTS] = {read_ints, write_ints, describe_ints},
    [PARAM_REALS] = {read_reals, write_reals, describe_reals},
    [PARAM_TEXTS] = {read_texts, write_texts, describe_texts},
    [PARAM_NODE] = {read_node, NULL, describe_node},
    [PARAM_SECTION] = {bind_section, write_section, describe_section},
    [PARAM_ROW] = {bind_row, write_row, describe_row},
    [PARAM_KIND] = {bind_kind, write_kind, describe_kind},
    [PARAM_KINDS] = {bind_kinds, write_kinds, describe_kinds},
};

void param_describe(struct text *out, const struct param *param) {
    value_types[param->type].describe(out, param);
}
