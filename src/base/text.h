/* Growable text, and small helpers on names. A text of zeros is empty and ready. */
#ifndef SPHERENET_BASE_TEXT_H
#define SPHERENET_BASE_TEXT_H

#include <stddef.h>

struct text {
    char *data; /* NUL-terminated once anything was added, else NULL */
    size_t length, capacity;
};

void text_add(struct text *text, const char *bytes, size_t count);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *text);

/* Adds the word as a shell takes it, in quotes where it needs them. */
void text_add_shell_word(struct text *text, const char *word);

/* Puts question marks in place of control characters, which a hostile file may bring into a message and a terminal
 * would act on; lines and tabs stay. */
void text_defuse(char *text);

/* The same for what is to stay on one line, within which lines and tabs do not stay either. */
void text_defuse_line(char *text);

/* The name in names[0..count) that a typing error most likely meant, or NULL when none is near. */
const char *text_nearest(const char *word, const char *const *names, size_t count);

#endif
