#include "support/specs.h"

#include <string.h>

#include "base/text.h"
#include "support/suite.h"

struct diagnostics diags;

void specs_tear_down(void) {
    text_free(&diags.text);
    diags.count = 0;
    arena_free(&arena);
}

const char *messages(void) {
    return diags.text.data ? diags.text.data : "";
}

struct node *read_yaml(const char *text) {
    return yaml_read(&arena, "a.yaml", text, strlen(text), &diags);
}

struct node *read_good(const char *text) {
    struct node *root = read_yaml(text);
    ck_assert_msg(root != NULL, "%s", messages());
    ck_assert_int_eq(diags.count, 0);
    return root;
}

char *repeated(const char *part, int count) {
    struct text text = {0};
    text_add(&text, "", 0);
    for (int i = 0; i < count; i++)
        text_printf(&text, "%s", part);
    char *copy = arena_string(&arena, text.data);
    text_free(&text);
    return copy;
}
