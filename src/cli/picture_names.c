#define _GNU_SOURCE /* getline */
#include "cli/picture_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/image_index.h"
#include "storage/folder.h"

/* A folder that is being walked, and the one that it was met in. */
struct walked {
    const struct walked *parent;
    struct stat status;
};

static bool is_within(const struct walked *parent, const struct stat *status) {
    while (parent && (parent->status.st_ino != status->st_ino || parent->status.st_dev != status->st_dev))
        parent = parent->parent;
    return parent != NULL;
}

static void add_found(struct picture_names *names, const char *path) {
    names->found = arena_grow(&names->memory, names->found, names->found_count, sizeof *names->found);
    names->found[names->found_count++] = path;
}

static void walk(struct picture_names *names, const char *folder, const struct walked *walked);

/* What cannot be looked at is met again when it is read, and told of there, unless it is a link that leads nowhere. */
static bool may_be_picture(const char *name, bool there, int failure) {
    return is_picture_name(name) || !(there || failure == ENOENT || failure == ENOTDIR || failure == ELOOP);
}

static void take_entry(struct picture_names *names, const char *folder, const char *name, const struct walked *parent) {
    const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
    const char *path = arena_printf(&names->memory, "%s%s%s", folder, slash, name);
    struct walked walked = {.parent = parent};
    bool there = stat(path, &walked.status) == 0;
    int failure = errno;
    if (there && S_ISDIR(walked.status.st_mode)) {
        if (!is_within(parent, &walked.status))
            walk(names, path, &walked);
    } else if (may_be_picture(name, there, failure)) {
        add_found(names, path);
    } else {
        names->foreign++;
    }
}

static void walk(struct picture_names *names, const char *folder, const struct walked *walked) {
    int count;
    const char *const *entries = folder_names(&names->memory, folder, &count);
    if (count < 0 || access(folder, X_OK))
        add_found(names, folder);
    for (int i = 0; i < count; i++)
        take_entry(names, folder, entries[i], walked);
}

/* A path that was named: itself, unless it is a folder. */
static void take_path(struct picture_names *names, const char *path) {
    struct walked walked = {0};
    arena_free(&names->memory);
    names->found = NULL;
    names->found_count = names->next_found = 0;
    if (stat(path, &walked.status) == 0 && S_ISDIR(walked.status.st_mode))
        walk(names, arena_string(&names->memory, path), &walked);
    else
        add_found(names, arena_string(&names->memory, path));
}

/* False at the end of standard input. */
static bool take_line(struct picture_names *names) {
    ssize_t length = getline(&names->line, &names->line_bytes, stdin);
    if (length > 0 && names->line[length - 1] == '\n')
        names->line[--length] = '\0';
    if (length > 0)
        take_path(names, names->line);
    if (length < 0 && !feof(stdin))
        names->failure = errno;
    return length >= 0;
}

bool picture_names_next(struct picture_names *names, struct text *path) {
    while (names->next_found == names->found_count) {
        if (names->reads_lines)
            names->reads_lines = take_line(names);
        else if (names->next_operand == names->operand_count)
            return false;
        else if (!strcmp(names->operands[names->next_operand++], "-"))
            names->reads_lines = true;
        else
            take_path(names, names->operands[names->next_operand - 1]);
    }
    path->length = 0;
    text_printf(path, "%s", names->found[names->next_found++]);
    return true;
}

void picture_names_free(struct picture_names *names) {
    arena_free(&names->memory);
    free(names->line);
}
