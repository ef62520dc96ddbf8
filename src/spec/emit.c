/* C structs back to YAML, through libyaml's emitter; and types in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "spec/bind.h"

enum { NUMBER_BYTES = 40 };

/* --- Writing ----------------------------------------------------------------------------------------------------- */

/* Nothing but a lack of memory makes libyaml refuse what comes from a spec that it has read, or from a table of keys.
 */
static void emit(yaml_emitter_t *emitter, yaml_event_t *event, int initialized) {
    if (!initialized || !yaml_emitter_emit(emitter, event))
        mem_exhausted();
}

static void put_scalar(yaml_emitter_t *emitter, const char *text) {
    yaml_event_t event;
    emit(emitter, &event,
         yaml_scalar_event_initialize(&event, NULL, NULL, (yaml_char_t *)text, (int)strlen(text), 1, 1,
                                      YAML_ANY_SCALAR_STYLE));
}

static void open_map(yaml_emitter_t *emitter, bool flow) {
    yaml_event_t event;
    emit(emitter, &event,
         yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                             flow ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE));
}

static void close_map(yaml_emitter_t *emitter) {
    yaml_event_t event;
    emit(emitter, &event, yaml_mapping_end_event_initialize(&event));
}

static void open_list(yaml_emitter_t *emitter, bool flow) {
    yaml_event_t event;
    emit(emitter, &event,
         yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                              flow ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE));
}

static void close_list(yaml_emitter_t *emitter) {
    yaml_event_t event;
    emit(emitter, &event, yaml_sequence_end_event_initialize(&event));
}

static void put_int(yaml_emitter_t *emitter, int value) {
    char number[NUMBER_BYTES];
    snprintf(number, sizeof number, "%d", value);
    put_scalar(emitter, number);
}

/* The shortest decimal that reads back as the same double. */
static void put_real(yaml_emitter_t *emitter, double value) {
    char number[NUMBER_BYTES];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, value);
        if (strtod(number, NULL) == value)
            break;
    }
    put_scalar(emitter, number);
}

static void put_flags(yaml_emitter_t *emitter, const struct param *param, unsigned flags) {
    open_list(emitter, true);
    for (int i = 0; param->names[i]; i++)
        if (flags >> i & 1)
            put_scalar(emitter, param->names[i]);
    close_list(emitter);
}

static void put_ints(yaml_emitter_t *emitter, const struct int_list *list) {
    open_list(emitter, true);
    for (int i = 0; i < list->count; i++)
        put_int(emitter, list->values[i]);
    close_list(emitter);
}

static void put_reals(yaml_emitter_t *emitter, const struct real_list *list) {
    if (list->count != 1)
        open_list(emitter, true);
    for (int i = 0; i < list->count; i++)
        put_real(emitter, list->values[i]);
    if (list->count != 1)
        close_list(emitter);
}

static void put_params(yaml_emitter_t *emitter, const void *section, const struct param *params);

static bool has_lists(const struct param *params) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++)
        if (p->type == PARAM_KINDS)
            return true;
    return false;
}

static void put_kind(yaml_emitter_t *emitter, const struct choice *choice, bool flow) {
    open_map(emitter, flow);
    put_scalar(emitter, "type");
    put_scalar(emitter, choice->kind->name);
    put_params(emitter, choice->config, choice->kind->params);
    close_map(emitter);
}

/* An element that holds no list itself takes one line. */
static void put_kinds(yaml_emitter_t *emitter, const struct choice_list *list) {
    open_list(emitter, list->count == 0);
    for (int i = 0; i < list->count; i++)
        put_kind(emitter, &list->choices[i], !has_lists(list->choices[i].kind->params));
    close_list(emitter);
}

static void put_value(yaml_emitter_t *emitter, const void *value, const struct param *param) {
    switch (param->type) {
    case PARAM_INT:
        put_int(emitter, *(const int *)value);
        break;
    case PARAM_REAL:
        put_real(emitter, *(const double *)value);
        break;
    case PARAM_BOOL:
        put_scalar(emitter, *(const bool *)value ? "true" : "false");
        break;
    case PARAM_STRING:
        put_scalar(emitter, *(const char *const *)value);
        break;
    case PARAM_ENUM:
        put_scalar(emitter, param->names[*(const int *)value]);
        break;
    case PARAM_FLAGS:
        put_flags(emitter, param, *(const unsigned *)value);
        break;
    case PARAM_INTS:
        put_ints(emitter, value);
        break;
    case PARAM_REALS:
        put_reals(emitter, value);
        break;
    case PARAM_ROW:
        put_scalar(emitter, (*(const struct kind *const *)value)->name);
        break;
    case PARAM_KIND:
        put_kind(emitter, value, false);
        break;
    case PARAM_KINDS:
        put_kinds(emitter, value);
        break;
    case PARAM_SECTION:
        open_map(emitter, false);
        put_params(emitter, value, param->params);
        close_map(emitter);
        break;
    case PARAM_INCLUDE:
    case PARAM_END:
        break;
    }
}

static void put_params(yaml_emitter_t *emitter, const void *section, const struct param *params) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        const void *value = (const char *)section + p->offset;
        if (p->type == PARAM_INCLUDE) {
            put_params(emitter, value, p->params);
        } else {
            put_scalar(emitter, p->key);
            put_value(emitter, value, p);
        }
    }
}

static int append(void *out, unsigned char *bytes, size_t count) {
    text_add(out, (const char *)bytes, count);
    return 1;
}

void spec_emit(struct text *out, const void *section, const struct param *params) {
    yaml_emitter_t emitter;
    yaml_event_t event;
    if (!yaml_emitter_initialize(&emitter))
        mem_exhausted();
    yaml_emitter_set_output(&emitter, append, out);
    yaml_emitter_set_width(&emitter, -1);
    yaml_emitter_set_unicode(&emitter, 1);
    emit(&emitter, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(&emitter, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    open_map(&emitter, false);
    put_params(&emitter, section, params);
    close_map(&emitter);
    emit(&emitter, &event, yaml_document_end_event_initialize(&event, 1));
    emit(&emitter, &event, yaml_stream_end_event_initialize(&event));
    yaml_emitter_delete(&emitter);
}

/* --- Types in words ---------------------------------------------------------------------------------------------- */

static void describe_range(struct text *out, const struct param *param) {
    if (param->min != 0 || param->max != 0)
        text_printf(out, " from %.10g to %.10g", param->min, param->max);
}

static void describe_names(struct text *out, const struct param *param) {
    for (int i = 0; param->names[i]; i++)
        text_printf(out, "%s%s", i ? ", " : "", param->names[i]);
}

static void describe_rows(struct text *out, const struct registry *registry) {
    for (int i = 0; registry->rows[i]; i++)
        text_printf(out, "%s%s", i ? ", " : "", registry->rows[i]->name);
}

void param_describe(struct text *out, const struct param *param) {
    switch (param->type) {
    case PARAM_INT:
        text_printf(out, "a whole number");
        describe_range(out, param);
        break;
    case PARAM_REAL:
        text_printf(out, "a number");
        describe_range(out, param);
        break;
    case PARAM_BOOL:
        text_printf(out, "true or false");
        break;
    case PARAM_STRING:
        text_printf(out, "text");
        break;
    case PARAM_ENUM:
        text_printf(out, "one of ");
        describe_names(out, param);
        break;
    case PARAM_FLAGS:
        text_printf(out, "a list, [] or some of ");
        describe_names(out, param);
        break;
    case PARAM_INTS:
        text_printf(out, "a list of at most %d whole numbers", INT_LIST_MAX);
        describe_range(out, param);
        break;
    case PARAM_REALS:
        text_printf(out, "a number");
        describe_range(out, param);
        text_printf(out, ", or a list of at most %d of them", REAL_LIST_MAX);
        break;
    case PARAM_SECTION:
    case PARAM_INCLUDE:
        text_printf(out, "a section of keys");
        break;
    case PARAM_ROW:
        text_printf(out, "one of ");
        describe_rows(out, param->registry);
        break;
    case PARAM_KIND:
        text_printf(out, "a section whose type is one of ");
        describe_rows(out, param->registry);
        break;
    case PARAM_KINDS:
        text_printf(out, "a list of %ss", param->registry->noun);
        break;
    case PARAM_END:
        break;
    }
}
