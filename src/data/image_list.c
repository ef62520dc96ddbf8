/* Files of pictures that a list names, with their labels. */
#define _GNU_SOURCE /* qsort_r */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"
#include "data/image_index.h"
#include "storage/gz_file.h"

#define LIST_MAX_BYTES ((size_t)1 << 32)
#define LINE_FORM "a line is PATH<tab>LABEL or PATH<tab>LABEL<tab>SPLIT"

enum { FIELDS = 3 };

struct reading {
    struct image_index *index;
    const char *path; /* of the list */
    size_t *labels;   /* of each file: where its label's name begins in the index's names */
    size_t room;      /* for labels */
    int64_t line;
    int fields; /* of the lines before; 0: this is the first */
    struct error *err;
};

struct field {
    const char *bytes;
    size_t length;
};

/* Cuts [at, end) at its tabs; how many fields there are, at most FIELDS + 1. */
static int cut(const char *at, const char *end, struct field fields[FIELDS]) {
    for (int count = 0; count < FIELDS; count++) {
        const char *tab = memchr(at, '\t', (size_t)(end - at));
        fields[count] = (struct field){at, (size_t)((tab ? tab : end) - at)};
        if (!tab)
            return count + 1;
        at = tab + 1;
    }
    return FIELDS + 1;
}

static int find_split(struct field field) {
    static const char *const names[] = {"train", "test", "validation", "val"};
    static const int splits[] = {SPLIT_TRAIN, SPLIT_TEST, SPLIT_VALIDATION, SPLIT_VALIDATION};
    for (int i = 0; i < 4; i++)
        if (strlen(names[i]) == field.length && !memcmp(names[i], field.bytes, field.length))
            return splits[i];
    return INDEX_ANY;
}

static bool without_memory(struct reading *reading) {
    return error_set_code(reading->err, ERROR_NO_MEMORY, "%s: not enough memory for the names of %d files",
                          reading->path, reading->index->count);
}

/* The label's name; where the line before has the same one, that. */
static bool add_label(struct reading *reading, struct field field, size_t *at) {
    const struct image_index *index = reading->index;
    const char *last = index->count ? index->names + reading->labels[index->count - 1] : NULL;
    if (last && strlen(last) == field.length && !memcmp(last, field.bytes, field.length)) {
        *at = reading->labels[index->count - 1];
        return true;
    }
    return image_index_add_name(reading->index, field.bytes, field.length, at);
}

static bool add_file(struct reading *reading, const struct field *fields, int split) {
    struct image_file file = {.split = split};
    size_t number = (size_t)reading->index->count, label;
    if (number == reading->room) {
        size_t room = number + number / 2 + 1024;
        size_t *labels = realloc(reading->labels, room * sizeof *labels);
        if (!labels)
            return without_memory(reading);
        reading->labels = labels;
        reading->room = room;
    }
    if (!add_label(reading, fields[1], &label) ||
        !image_index_add_name(reading->index, fields[0].bytes, fields[0].length, &file.name) ||
        !image_index_add_file(reading->index, file))
        return without_memory(reading);
    reading->labels[number] = label;
    return true;
}

static bool take_line(struct reading *reading, const char *at, const char *end) {
    struct field fields[FIELDS] = {0};
    int count = cut(at, end, fields), split = INDEX_ANY;
    if (memchr(at, '\0', (size_t)(end - at)) || count < 2 || count > FIELDS || !fields[0].length || !fields[1].length)
        return error_set(reading->err, "%s:%" PRId64 ": " LINE_FORM, reading->path, reading->line);
    if (reading->fields && count != reading->fields)
        return error_set(reading->err, "%s:%" PRId64 ": has %s split, the lines before %s", reading->path,
                         reading->line, count == FIELDS ? "a" : "no", count == FIELDS ? "none" : "one");
    if (count == FIELDS && (split = find_split(fields[2])) == INDEX_ANY)
        return error_set(reading->err, "%s:%" PRId64 ": no split \"%.*s\"; there are train, test and validation",
                         reading->path, reading->line, (int)size_smaller(fields[2].length, 60), fields[2].bytes);
    reading->fields = count;
    return add_file(reading, fields, split);
}

static bool take_lines(struct reading *reading, const char *at, const char *end) {
    bool good = true;
    for (const char *next; good && at < end; at = next) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        next = stop ? stop + 1 : end;
        stop = stop ? stop : end;
        reading->line++;
        if (stop > at && stop[-1] == '\r')
            stop--;
        good = stop == at || take_line(reading, at, stop);
    }
    return good;
}

/* --- Classes ----------------------------------------------------------------------------------------------------- */

static int by_label(const void *a, const void *b, void *context) {
    const struct reading *reading = context;
    size_t x = reading->labels[*(const int *)a], y = reading->labels[*(const int *)b];
    return x == y ? 0 : strcmp(reading->index->names + x, reading->index->names + y);
}

/* Numbers the labels in the order of their bytes. */
static void number_labels(struct reading *reading, struct image_layout *layout, struct arena *arena) {
    struct image_index *index = reading->index;
    int *order = mem_alloc((size_t)index->count * sizeof *order);
    const char **classes = NULL;
    layout->class_count = 0;
    for (int i = 0; i < index->count; i++)
        order[i] = i;
    qsort_r(order, (size_t)index->count, sizeof *order, by_label, reading);
    for (int i = 0; i < index->count; i++) {
        if (i == 0 || by_label(&order[i - 1], &order[i], reading)) {
            classes = arena_grow(arena, classes, layout->class_count, sizeof *classes);
            classes[layout->class_count++] = arena_string(arena, index->names + reading->labels[order[i]]);
        }
        index->files[order[i]].label = layout->class_count - 1;
    }
    layout->classes = classes;
    free(order);
}

static bool read_lines(struct reading *reading, const char *folder, const char *name) {
    struct file file;
    if (!file_read(&file, folder, name, LIST_MAX_BYTES, "", reading->err))
        return false;
    const char *bytes = (const char *)file.bytes;
    bool good = image_index_add_folder(reading->index, "") || without_memory(reading);
    good = good && (!file.size || take_lines(reading, bytes, bytes + file.size));
    file_free(&file);
    return good;
}

bool image_index_read_list(struct image_index *index, struct image_layout *layout, struct arena *arena,
                           const char *list, struct error *err) {
    const char *slash = strrchr(list, '/');
    char *root = slash ? arena_printf(arena, "%.*s", (int)(slash - list), list) : arena_string(arena, ".");
    struct reading reading = {.index = index, .path = list, .err = err};
    *index = (struct image_index){0};
    *layout = (struct image_layout){0};
    index->root = strcpy(mem_alloc(strlen(root) + 1), root);
    bool good = read_lines(&reading, slash == list ? "/" : root, slash ? slash + 1 : list);
    if (good)
        number_labels(&reading, layout, arena);
    layout->divided = reading.fields == FIELDS;
    for (int i = 0; i < index->count; i++)
        layout->has_validation |= index->files[i].split == SPLIT_VALIDATION;
    free(reading.labels);
    if (good && layout->class_count < 2)
        return error_set(err, "%s: names %d class%s; there must be two or more", list, layout->class_count,
                         layout->class_count == 1 ? "" : "es");
    return good;
}
