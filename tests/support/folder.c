#include "support/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/suite.h"

char home[PATH_MAX], folder[PATH_MAX];
struct arena arena;

void folder_make(const char *parent, const char *suite) {
    const char *temporary = getenv("TMPDIR");
    if (!parent)
        parent = temporary ? temporary : "/tmp";
    snprintf(folder, sizeof folder, "%s/spherenet-test-%s-XXXXXX", parent, suite);
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

void folder_remove(void) {
    disk_remove(folder);
    arena_free(&arena);
}

void folder_enter(const char *parent, const char *suite) {
    ck_assert_ptr_nonnull(getcwd(home, sizeof home));
    folder_make(parent, suite);
    ck_assert_int_eq(chdir(folder), 0);
}

void folder_leave(void) {
    ck_assert_int_eq(chdir(home), 0);
    folder_remove();
}

char *in_folder(const char *name) {
    return arena_printf(&arena, "%s/%s", folder, name);
}

char *read_text(const char *path) {
    char *text = disk_read(path, NULL);
    ck_assert_msg(text != NULL, "%s cannot be opened", path);
    char *copy = arena_string(&arena, text);
    free(text);
    return copy;
}

char *program_path(void) {
    const char *named = getenv("SPHERENET");
    char *absolute = realpath(named ? named : "build/release/spherenet", NULL);
    ck_assert_msg(absolute != NULL, "no program to test; SPHERENET names it");
    char *copy = arena_string(&arena, absolute);
    free(absolute);
    return copy;
}
