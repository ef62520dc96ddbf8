#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"

enum { LONGEST_NAME = 64 };

static void text_reserve(struct text *text, size_t extra) {
    size_t need = text->length + extra + 1;
    if (need <= text->capacity)
        return;
    while (text->capacity < need)
        text->capacity = text->capacity ? 2 * text->capacity : 256;
    text->data = mem_realloc(text->data, text->capacity);
}

void text_add(struct text *text, const char *bytes, size_t count) {
    text_reserve(text, count);
    memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = '\0';
}

void text_printf(struct text *text, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t length = (size_t)vsnprintf(NULL, 0, format, args);
    va_end(args);
    text_reserve(text, length);
    vsnprintf(text->data + text->length, length + 1, format, again);
    va_end(again);
    text->length += length;
}

void text_free(struct text *text) {
    free(text->data);
    *text = (struct text){0};
}

/* Bytes of the control character that is there: 1, 2 for the second set of them in UTF-8, 0 for another character. */
static size_t control_length(const unsigned char *c) {
    if (*c < ' ' || *c == 0x7f)
        return 1;
    return *c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0 ? 2 : 0;
}

void text_defuse(char *text) {
    for (char *c = text; *c; c++)
        if (*c != '\n' && *c != '\t')
            memset(c, '?', control_length((const unsigned char *)c));
}

void text_defuse_line(char *text) {
    for (char *c = text; *c; c++)
        memset(c, '?', control_length((const unsigned char *)c));
}

/* Levenshtein distance, one row of the table at a time; b is at most LONGEST_NAME long. */
static size_t edit_distance(const char *a, const char *b) {
    size_t row[LONGEST_NAME + 1];
    size_t columns = strlen(b);
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 1; j <= columns; j++) {
            size_t above = row[j];
            row[j] = size_smaller(diagonal + (a[i] != b[j - 1]), 1 + size_smaller(above, row[j - 1]));
            diagonal = above;
        }
    }
    return row[columns];
}

const char *text_nearest(const char *word, const char *const *names, size_t count) {
    const char *nearest = NULL;
    size_t length = strlen(word);
    if (length > LONGEST_NAME)
        return NULL;
    size_t limit = length / 3 + 1; /* a change in every third letter is still a typing error */
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) > LONGEST_NAME)
            continue;
        size_t distance = edit_distance(word, names[i]);
        if (distance <= limit) {
            limit = distance ? distance - 1 : 0;
            nearest = names[i];
            if (distance == 0)
                break;
        }
    }
    return nearest;
}

void text_add_shell_word(struct text *text, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=:,+-@%";
    if (*word && !word[strspn(word, plain)]) {
        text_printf(text, "%s", word);
        return;
    }
    text_add(text, "'", 1);
    for (; *word; word++)
        text_printf(text, *word == '\'' ? "'\\''" : "%c", *word);
    text_add(text, "'", 1);
}
