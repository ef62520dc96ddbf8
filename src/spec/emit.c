/* C structs back to YAML, through libyaml's emitter. */
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "spec/bind.h"
#include "spec/value.h"

struct writer {
    yaml_emitter_t emitter;
};

/* --- Events ------------------------------------------------------------------------------------------------------ */

/* Nothing but a lack of memory makes libyaml refuse what comes from a spec that it has read, or from a table of keys.
 */
static void emit(struct writer *writer, yaml_event_t *event, int initialized) {
    if (!initialized || !yaml_emitter_emit(&writer->emitter, event))
        mem_exhausted();
}

void write_word(struct writer *writer, const char *word) {
    yaml_event_t event;
    emit(writer, &event,
         yaml_scalar_event_initialize(&event, NULL, NULL, (yaml_char_t *)word, (int)strlen(word), 1, 1,
                                      YAML_ANY_SCALAR_STYLE));
}

void write_list_begin(struct writer *writer, bool one_line) {
    yaml_event_t event;
    emit(writer, &event,
         yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                              one_line ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE));
}

void write_list_end(struct writer *writer) {
    yaml_event_t event;
    emit(writer, &event, yaml_sequence_end_event_initialize(&event));
}

void write_map_begin(struct writer *writer, bool one_line) {
    yaml_event_t event;
    emit(writer, &event,
         yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                             one_line ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE));
}

void write_map_end(struct writer *writer) {
    yaml_event_t event;
    emit(writer, &event, yaml_mapping_end_event_initialize(&event));
}

/* --- Sections and rows ------------------------------------------------------------------------------------------- */

static void write_params(struct writer *writer, const void *section, const struct param *params) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++) {
        const void *value = (const char *)section + p->offset;
        if (p->type == PARAM_INCLUDE) {
            write_params(writer, value, p->params);
        } else {
            write_word(writer, p->key);
            value_types[p->type].write(writer, value, p);
        }
    }
}

void write_section(struct writer *writer, const void *section, const struct param *param) {
    write_map_begin(writer, false);
    write_params(writer, section, param->params);
    write_map_end(writer);
}

/* The row's own keys follow in the same section. */
void write_row(struct writer *writer, const void *choice, const struct param *param) {
    (void)param;
    const struct choice *row = choice;
    write_word(writer, row->kind->name);
    write_params(writer, row->config, row->kind->params);
}

static void write_choice(struct writer *writer, const struct choice *choice, bool one_line) {
    write_map_begin(writer, one_line);
    write_word(writer, "type");
    write_word(writer, choice->kind->name);
    write_params(writer, choice->config, choice->kind->params);
    write_map_end(writer);
}

void write_kind(struct writer *writer, const void *choice, const struct param *param) {
    (void)param;
    write_choice(writer, choice, false);
}

static bool has_lists(const struct param *params) {
    for (const struct param *p = params; p && p->type != PARAM_END; p++)
        if (p->type == PARAM_KINDS)
            return true;
    return false;
}

/* An element that holds no list itself takes one line. */
void write_kinds(struct writer *writer, const void *list, const struct param *param) {
    (void)param;
    const struct choice_list *choices = list;
    write_list_begin(writer, choices->count == 0);
    for (int i = 0; i < choices->count; i++)
        write_choice(writer, &choices->choices[i], !has_lists(choices->choices[i].kind->params));
    write_list_end(writer);
}

/* --- Whole specs ------------------------------------------------------------------------------------------------- */

static int append(void *out, unsigned char *bytes, size_t count) {
    text_add(out, (const char *)bytes, count);
    return 1;
}

void spec_emit(struct text *out, const void *section, const struct param *params) {
    struct writer writer;
    yaml_emitter_t *emitter = &writer.emitter;
    yaml_event_t event;
    if (!yaml_emitter_initialize(emitter))
        mem_exhausted();
    yaml_emitter_set_output(emitter, append, out);
    yaml_emitter_set_width(emitter, -1);
    yaml_emitter_set_unicode(emitter, 1);
    emit(&writer, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(&writer, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    write_map_begin(&writer, false);
    write_params(&writer, section, params);
    write_map_end(&writer);
    emit(&writer, &event, yaml_document_end_event_initialize(&event, 1));
    emit(&writer, &event, yaml_stream_end_event_initialize(&event));
    yaml_emitter_delete(emitter);
}
