#include "cli/picture_names.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
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

/* --- Standard input ---------------------------------------------------------------------------------------------- */

enum { PIECE_BYTES = 4096, NAME_MAX_BYTES = 1 << 16 };

static bool has_ended(const struct pollfd *output) {
    return output->revents & (POLLERR | POLLHUP);
}

/* For so many milliseconds, -1: for ever. False when there is nothing, or nothing is wanted any more. */
static bool wait_for_input(const struct picture_names *names, int milliseconds) {
    struct pollfd places[] = {
        {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = names->stop, .events = POLLIN}, {.fd = names->output}};
    int ready;
    do
        ready = poll(places, 3, milliseconds);
    while (ready < 0 && errno == EINTR);
    return ready != 0 && !(places[1].revents & POLLIN) && !has_ended(&places[2]);
}

/* Adds what comes next to what was read. False at the end. */
static bool read_piece(struct picture_names *names) {
    char piece[PIECE_BYTES];
    ssize_t got = -1;
    errno = EINTR;
    while (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        if (!wait_for_input(names, -1))
            return false;
        got = read(STDIN_FILENO, piece, sizeof piece);
    }
    if (got > 0)
        text_add(&names->input, piece, (size_t)got);
    names->failed = got < 0 && !error_set_errno(&names->err, "standard input cannot be read");
    return got > 0;
}

/* Of what was read and not used. NULL: it is not there yet. */
static const char *end_of_name(const struct picture_names *names) {
    size_t unused = names->input.length - names->input_used;
    return unused ? memchr(names->input.data + names->input_used, names->end, unused) : NULL;
}

static void drop_used_input(struct picture_names *names) {
    names->input.length -= names->input_used;
    if (names->input_used)
        memmove(names->input.data, names->input.data + names->input_used, names->input.length + 1);
    names->input_used = 0;
}

static bool check_name(struct picture_names *names, size_t length) {
    if (length > NAME_MAX_BYTES)
        return error_set(&names->err, "standard input has a name of more than %d bytes; names are to end in a %s",
                         NAME_MAX_BYTES, names->end ? "newline" : "byte of 0");
    return !length || !memchr(names->input.data, '\0', length) ||
           error_set(&names->err, "standard input has a byte of 0; names that end so, as find -print0 writes them, "
                                  "need --null");
}

/* False at the end of standard input. */
static bool take_input(struct picture_names *names) {
    drop_used_input(names);
    while (!end_of_name(names) && names->input.length <= NAME_MAX_BYTES && read_piece(names))
        ;
    const char *end = end_of_name(names);
    size_t length = end ? (size_t)(end - names->input.data) : names->input.length;
    names->failed = names->failed || !check_name(names, length);
    if (names->failed || !(end || length))
        return false;
    names->input.data[length] = '\0';
    names->input_used = length + (end != NULL);
    if (length)
        take_path(names, names->input.data);
    return true;
}

/* --- Names in turn ----------------------------------------------------------------------------------------------- */

void picture_names_open(struct picture_names *names, const char *const *operands, int count, char end) {
    *names = (struct picture_names){.operands = operands, .operand_count = count, .end = end, .output = -1};
    names->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* -1 is never ready */
}

static bool is_input(const struct picture_names *names, int operand) {
    return operand < names->operand_count && !strcmp(names->operands[operand], "-");
}

bool picture_names_at_hand(const struct picture_names *names) {
    bool reads_next = names->reads_input || is_input(names, names->next_operand);
    return names->next_found < names->found_count || !reads_next || end_of_name(names) || wait_for_input(names, 0);
}

bool picture_names_next(struct picture_names *names, struct text *path) {
    while (names->next_found == names->found_count) {
        if (names->reads_input)
            names->reads_input = take_input(names);
        else if (names->failed || names->next_operand == names->operand_count)
            return false;
        else if (is_input(names, names->next_operand++))
            names->reads_input = true;
        else
            take_path(names, names->operands[names->next_operand - 1]);
    }
    path->length = 0;
    text_printf(path, "%s", names->found[names->next_found++]);
    return true;
}

void picture_names_stop(const struct picture_names *names) {
    if (names->stop >= 0)
        eventfd_write(names->stop, 1);
}

void picture_names_close(struct picture_names *names) {
    arena_free(&names->memory);
    text_free(&names->input);
    if (names->stop >= 0)
        close(names->stop);
}
