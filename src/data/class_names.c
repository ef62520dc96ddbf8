#include "data/class_names.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/gz_file.h"
#include "storage/json_memory.h"

enum { LIST_MAX_BYTES = 1 << 24, NAME_MAX_BYTES = 200 };

static bool is_utf8(const char *bytes, size_t count) {
    json_memory_use(); /* so that NULL means nothing else */
    json_t *string = json_stringn(bytes, count);
    json_decref(string);
    return string;
}

static bool is_printable(const char *bytes, size_t count) {
    const unsigned char *c = (const unsigned char *)bytes;
    for (size_t i = 0; i < count; i++)
        if (c[i] < ' ' || c[i] == 0x7f || (c[i] == 0xc2 && i + 1 < count && c[i + 1] < 0xa0)) /* control characters */
            return false;
    return count > 0 && count <= NAME_MAX_BYTES && is_utf8(bytes, count);
}

/* The end of the line at `at`, without the carriage return that some systems write. */
static size_t line_length(const char *at, const char *end, const char **next) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    *next = stop ? stop + 1 : end;
    size_t length = (size_t)((stop ? stop : end) - at);
    return length && at[length - 1] == '\r' ? length - 1 : length;
}

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool check_distinct(const char *path, const char *const *names, int count, struct error *err) {
    size_t bytes = (size_t)count * sizeof *names;
    const char **sorted = mem_alloc(bytes);
    const char *twice = NULL;
    memcpy(sorted, names, bytes);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    for (int i = 1; i < count; i++)
        if (!strcmp(sorted[i - 1], sorted[i]))
            twice = sorted[i];
    free(sorted);
    return !twice || error_set(err, "%s: two classes are named \"%s\"", path, twice);
}

/* Bytes [at, end) to names. */
static bool split(struct dataset *dataset, const char *path, const char *at, const char *end, struct error *err) {
    int count = 0;
    const char **names = arena_alloc(&dataset->memory, (size_t)dataset->classes * sizeof *names);
    for (const char *next; at < end; at = next, count++) {
        size_t length = line_length(at, end, &next);
        if (!is_printable(at, length))
            return error_set(err, "%s: line %d is no name of a class: 1 to %d bytes of printable UTF-8 are one", path,
                             count + 1, NAME_MAX_BYTES);
        if (count < dataset->classes)
            names[count] = arena_printf(&dataset->memory, "%.*s", (int)length, at);
    }
    if (count != dataset->classes)
        return error_set(err, "%s: has %d names, but there are %d classes", path, count, dataset->classes);
    dataset->class_names = names;
    return check_distinct(path, names, count, err);
}

bool class_names_take(struct dataset *dataset, const char *path, const uint8_t *bytes, size_t size, struct error *err) {
    const char *at = (const char *)bytes;
    while (size && (at[size - 1] == '\n' || at[size - 1] == '\r'))
        size--;
    return split(dataset, path, at, size ? at + size : at, err);
}

bool class_names_read(struct dataset *dataset, const char *folder, const char *name, struct error *err) {
    struct file file;
    if (!file_exists(folder, name))
        return true;
    if (!file_read(&file, folder, name, LIST_MAX_BYTES, "", err))
        return false;
    bool good = class_names_take(dataset, file.path, file.bytes, file.size, err);
    file_free(&file);
    return good;
}

/* Adds the name of one line "label code ..." to the list. */
static bool add_mapped(struct text *list, const char *path, const char *line, int64_t label, struct error *err) {
    char *end;
    long found = strtol(line, &end, 10);
    bool good = end != line && found == label;
    for (const char *at = end; good && *at; at = end) {
        long code = strtol(at, &end, 10);
        char character = (char)code;
        good = end != at && code > ' ' && code < 0x7f;
        text_add(list, &character, 1);
    }
    if (!good)
        return error_set(err, "%s: expected a line of the label %" PRId64 " and the ASCII codes of its characters",
                         path, label);
    text_add(list, "\n", 1);
    return true;
}

/* Lines of a mapping to lines of names. */
static bool map(struct text *list, const struct file *file, int first_label, struct error *err) {
    const char *at = (const char *)file->bytes, *end = at + file->size, *next;
    bool good = true;
    for (int64_t label = first_label; good && at < end; at = next, label++) {
        char line[NAME_MAX_BYTES];
        size_t length = line_length(at, end, &next);
        while (length && at[length - 1] == ' ')
            length--;
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        good = length ? add_mapped(list, file->path, line, label, err) : true;
    }
    return good;
}

bool class_names_read_mapping(struct dataset *dataset, const char *folder, const char *name, int first_label,
                              struct error *err) {
    struct file file;
    struct text list = {0};
    if (!file_exists(folder, name))
        return true;
    if (!file_read(&file, folder, name, LIST_MAX_BYTES, "", err))
        return false;
    text_add(&list, "", 0);
    bool good = map(&list, &file, first_label, err) &&
                class_names_take(dataset, file.path, (const uint8_t *)list.data, list.length, err);
    text_free(&list);
    file_free(&file);
    return good;
}

const char *class_names_shown(struct arena *arena, const char *bytes) {
    struct text name = {0};
    if (is_printable(bytes, strlen(bytes)))
        return arena_string(arena, bytes);
    for (const char *c = bytes; *c && name.length < NAME_MAX_BYTES; c++)
        text_printf(&name, *c < ' ' || *c == 0x7f || *c == '\\' ? "\\x%02x" : "%c", (unsigned char)*c);
    const char *kept = arena_string(arena, name.data);
    text_free(&name);
    return kept;
}

void class_names_list(struct text *list, const struct dataset *dataset) {
    if (dataset->class_names)
        for (int i = 0; i < dataset->classes; i++)
            text_printf(list, "%s\n", dataset->class_names[i]);
}

bool class_names_agree(const char *list, const char *path, const struct dataset *dataset, struct error *err) {
    const char *end = list + strlen(list), *next;
    int i = 0;
    if (!dataset->class_names || list == end)
        return true;
    for (; list < end; list = next, i++) {
        int length = (int)line_length(list, end, &next);
        const char *name = i < dataset->classes ? dataset->class_names[i] : "";
        if (strlen(name) != (size_t)length || memcmp(name, list, (size_t)length))
            return error_set(err, "%s: its class %d is \"%.*s\", that of the dataset \"%s\"", path, i, length, list,
                             name);
    }
    return i == dataset->classes ||
           error_set(err, "%s: has names of %d classes, the dataset of %d", path, i, dataset->classes);
}
