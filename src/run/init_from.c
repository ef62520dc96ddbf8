#include "run/init_from.h"

#include <string.h>

#include "run/stored_tensors.h"

/* Without a counter, running averages are taken for those of so many batches that none of them counts any more: the
 * weight of the first is decay^batches. A float holds it, and the next ones. */
#define SETTLED_BATCHES 10000000

struct start {
    struct arena arena;
    struct stored_tensors stored;
    struct listing list;
    const char *drawn;
};

static bool is_wanted(const struct start *start, int stored) {
    const char *name = start->stored.names[stored];
    return listing_find(&start->list, name) && !is_drawn(name, start->drawn);
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

/* The beginning of names, empty or up to a dot, rather than a whole name. */
static bool is_beginning(const char *from) {
    size_t length = strlen(from);
    return length == 0 || from[length - 1] == '.';
}

static bool matches(const char *from, const char *name) {
    return is_beginning(from) ? !strncmp(name, from, strlen(from)) : !strcmp(name, from);
}

/* The whole name, else the longest beginning; NULL: the file's own name stays. */
static const struct text_pair *rule_of(const struct text_map *map, const char *name) {
    const struct text_pair *best = NULL;
    for (int i = 0; i < map->count; i++) {
        const struct text_pair *pair = &map->pairs[i];
        if (!matches(pair->from, name))
            continue;
        if (!is_beginning(pair->from))
            return pair;
        if (!best || strlen(pair->from) > strlen(best->from))
            best = pair;
    }
    return best;
}

static void rename_tensors(struct start *start, const struct text_map *map) {
    for (int i = 0; i < start->stored.file->tensor_count; i++) {
        const char *name = start->stored.file->tensors[i].name;
        const struct text_pair *rule = rule_of(map, name);
        if (rule)
            start->stored.names[i] = is_beginning(rule->from)
                                         ? arena_printf(&start->arena, "%s%s", rule->to, name + strlen(rule->from))
                                         : rule->to;
    }
}

/* As much of the name as has as many dots as `from`; all of it where `from` is a whole name. */
static const char *comparable(struct arena *arena, const char *name, const char *from) {
    const char *end = name;
    for (const char *dot = from; is_beginning(from) && *dot; dot++)
        if (*dot == '.') {
            end = strchr(end, '.');
            if (!end)
                return name;
            end++;
        }
    return is_beginning(from) ? arena_printf(arena, "%.*s", (int)(end - name), name) : name;
}

/* "; did you mean "conv1."?", or "" where no name of the file is near. */
static const char *advise(struct start *start, const char *from) {
    const struct safetensors *file = start->stored.file;
    const char **names = arena_alloc(&start->arena, (size_t)file->tensor_count * sizeof *names);
    for (int i = 0; i < file->tensor_count; i++)
        names[i] = comparable(&start->arena, file->tensors[i].name, from);
    const char *nearest = text_nearest(from, names, (size_t)file->tensor_count);
    return nearest ? arena_printf(&start->arena, "; did you mean \"%s\"?", nearest) : "";
}

/* The same of a name that the network should have. */
static const char *advise_wanted(struct start *start, const char *to) {
    const struct listing *list = &start->list;
    const char **names = arena_alloc(&start->arena, (size_t)list->count * sizeof *names);
    for (int i = 0; i < list->count; i++)
        names[i] = list->infos[i].name;
    const char *nearest = text_nearest(to, names, (size_t)list->count);
    return nearest ? arena_printf(&start->arena, "; did you mean \"%s\"?", nearest) : "";
}

/* That the rule renames something, and comes to something that the network has. */
static void check_rule(struct start *start, const struct text_map *map, const struct text_pair *rule,
                       struct error_list *mistakes) {
    const struct safetensors *file = start->stored.file;
    int matching = 0, renamed = -1;
    for (int i = 0; i < file->tensor_count; i++) {
        matching += matches(rule->from, file->tensors[i].name);
        if (rule_of(map, file->tensors[i].name) != rule)
            continue;
        if (listing_find(&start->list, start->stored.names[i]))
            return;
        renamed = renamed < 0 ? i : renamed;
    }
    if (!matching)
        error_list_add(mistakes, "no tensor's name %s \"%.200s\"%s", is_beginning(rule->from) ? "begins with" : "is",
                       rule->from, advise(start, rule->from));
    else if (renamed < 0)
        error_list_add(mistakes, "\"%.200s\" renames nothing, since longer names of the map do", rule->from);
    else
        error_list_add(mistakes, "\"%.200s\" becomes \"%.200s\", which the network has not%s",
                       file->tensors[renamed].name, start->stored.names[renamed],
                       advise_wanted(start, start->stored.names[renamed]));
}

static void check_double(const struct start *start, int stored, struct error_list *mistakes) {
    const struct stored_tensors *all = &start->stored;
    if (!is_wanted(start, stored))
        return;
    int first = stored_find(all, all->names[stored]);
    if (first < stored)
        error_list_add(mistakes, "both \"%.200s\" and \"%.200s\" would be \"%.200s\"", all->file->tensors[first].name,
                       all->file->tensors[stored].name, all->names[stored]);
}

static bool check_map(struct start *start, const struct text_map *map, struct error *err) {
    struct error_list mistakes = {0};
    for (int i = 0; i < map->count; i++)
        check_rule(start, map, &map->pairs[i], &mistakes);
    for (int i = 0; map->count && i < start->stored.file->tensor_count; i++)
        check_double(start, i, &mistakes);
    const char *text = error_list_end(&mistakes);
    bool good = !*text;
    if (!good)
        error_set(err, "%s: train.init_map does not fit it:%s", start->stored.path, text);
    error_list_free(&mistakes);
    return good;
}

/* A tensor's name for a line of its own: none that it begins or ends itself. */
static const char *in_line(struct arena *arena, const char *name) {
    char *line = arena_printf(arena, "%.200s", name);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = '?';
    return line;
}

/* --- A beginning of all names that differs ----------------------------------------------------------------------- */

/* What one name begins with where another has something else: "module." and "". */
struct prefix {
    const char *from, *to;
};

static bool is_needed(const struct start *start, int index) {
    return start->list.places[index].tensor->role != ROLE_COUNTER &&
           !is_drawn(start->list.infos[index].name, start->drawn);
}

/* Whether the file has the tensor under the other beginning. */
static bool has_under(const struct start *start, const char *wanted, const struct prefix *prefix) {
    size_t from = strlen(prefix->from), to = strlen(prefix->to);
    const struct safetensors *file = start->stored.file;
    for (int i = 0; !strncmp(wanted, prefix->to, to) && i < file->tensor_count; i++)
        if (!strncmp(file->tensors[i].name, prefix->from, from) && !strcmp(file->tensors[i].name + from, wanted + to))
            return true;
    return false;
}

static bool has_all_under(const struct start *start, const struct prefix *prefix) {
    for (int i = 0; i < start->list.count; i++)
        if (is_needed(start, i) && !has_under(start, start->list.infos[i].name, prefix))
            return false;
    return true;
}

static bool ends_there(const char *name, size_t rest) {
    return rest == 0 || name[rest - 1] == '.';
}

/* Up to the longest end, after a dot, that both names have. False: they have none, or are the same. */
static bool find_prefix(struct arena *arena, const char *stored, const char *wanted, struct prefix *prefix) {
    size_t from = strlen(stored), to = strlen(wanted), shared = 0, whole = 0;
    while (shared < from && shared < to && stored[from - shared - 1] == wanted[to - shared - 1]) {
        shared++;
        if (ends_there(stored, from - shared) && ends_there(wanted, to - shared))
            whole = shared;
    }
    prefix->from = arena_printf(arena, "%.*s", (int)(from - whole), stored);
    prefix->to = arena_printf(arena, "%.*s", (int)(to - whole), wanted);
    return whole > 0 && (from > whole || to > whole);
}

/* Needs no quotes in a map of YAML, nor in a shell's double ones. */
static bool is_plain(const char *name) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return !name[strspn(name, allowed)] && *name != '-' && *name != '.';
}

static const char *or_quotes(const char *name) {
    return *name ? name : "''";
}

/* The error, and true, where all that is needed is there but for one beginning of the names. */
static bool advise_prefix(struct start *start, struct error *err) {
    struct prefix prefix;
    int first = 0;
    while (first < start->list.count && !is_needed(start, first))
        first++;
    for (int i = 0; first < start->list.count && i < start->stored.file->tensor_count; i++) {
        if (!find_prefix(&start->arena, start->stored.file->tensors[i].name, start->list.infos[first].name, &prefix) ||
            !is_plain(prefix.from) || !is_plain(prefix.to) || !has_all_under(start, &prefix))
            continue;
        error_set(err,
                  "%s: has the network's tensors under other names; --set \"train.init_map={%s: %s}\" makes them the "
                  "network's",
                  start->stored.path, or_quotes(prefix.from), or_quotes(prefix.to));
        return true;
    }
    return false;
}

/* --- Differences ------------------------------------------------------------------------------------------------- */

static bool is_missing_counter(const struct start *start, int index) {
    return start->list.places[index].tensor->role == ROLE_COUNTER &&
           stored_find(&start->stored, start->list.infos[index].name) < 0 &&
           !is_drawn(start->list.infos[index].name, start->drawn);
}

/* Left in the file: neither wanted, nor an optimizer's state, nor of the layer that is drawn. */
static bool is_left(const struct start *start, int stored) {
    return !listing_find(&start->list, start->stored.names[stored]) &&
           strncmp(start->stored.file->tensors[stored].name, "optimizer.", 10) != 0 &&
           !is_drawn(start->stored.names[stored], start->drawn);
}

/* A line for each. */
static void list_differences(struct error_list *differences, struct start *start) {
    for (int i = 0; i < start->list.count; i++) {
        const char *different = stored_difference(&start->arena, &start->stored, &start->list, i);
        if (different && !is_missing_counter(start, i) && !is_drawn(start->list.infos[i].name, start->drawn))
            error_list_add(differences, "%s", different);
    }
}

/* Where something is missing, what is left may be it under another name. */
static void list_left(struct error_list *differences, struct start *start) {
    for (int i = 0; i < start->stored.file->tensor_count; i++)
        if (is_left(start, i))
            error_list_add(differences, "has a tensor \"%s\", which the network has not",
                           in_line(&start->arena, start->stored.names[i]));
}

static bool check_same_network(struct start *start, bool named, struct error *err) {
    struct error_list differences = {0};
    list_differences(&differences, start);
    bool same = !differences.text.length;
    if (!same && (named || !advise_prefix(start, err))) {
        list_left(&differences, start);
        error_set(err,
                  "%s: cannot be started from, since its network is another; give the spec the same layers, or "
                  "train.init_map where names alone differ%s:%s",
                  start->stored.path,
                  start->drawn ? "" : ", or train.init_classifier: draw where the last layer alone does",
                  error_list_end(&differences));
    }
    error_list_free(&differences);
    return same;
}

/* --- Starting ---------------------------------------------------------------------------------------------------- */

static void add_note(struct text *notes, const char *what, struct error_list *lines) {
    const char *text = error_list_end(lines);
    if (*text)
        text_printf(notes, "%s%s:%s", notes->length ? "\n" : "", what, text);
    error_list_free(lines);
}

static void note_left(struct start *start, struct text *notes) {
    struct error_list lines = {0};
    for (int i = 0; i < start->stored.file->tensor_count; i++) {
        const struct tensor_info *tensor = &start->stored.file->tensors[i];
        if (is_left(start, i))
            error_list_add(&lines, "\"%s\" %.20s %s", in_line(&start->arena, tensor->name), tensor->dtype,
                           shape_text(&start->arena, tensor));
    }
    add_note(notes, "weights: left in the file, since the network has no such tensors", &lines);
}

static bool is_counter_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return !strcmp(dot ? dot + 1 : name, "num_batches_tracked");
}

/* Whether it is the bias of a layer that has none. */
static bool is_lacking_bias(struct start *start, const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && !strcmp(dot, ".bias") &&
           listing_find(&start->list, arena_printf(&start->arena, "%.*s.weight", (int)(dot - name), name));
}

enum { UNUSED_NAMED = 8 };

/* A line of its own, since a network that lacks what was trained is another one. */
static void note_unused(struct start *start, struct text *unused) {
    struct text names = {0};
    int count = 0, biases = 0;
    for (int i = 0; i < start->stored.file->tensor_count; i++) {
        const char *name = start->stored.names[i];
        if (!is_left(start, i) || is_counter_name(name))
            continue;
        if (count++ < UNUSED_NAMED)
            text_printf(&names, "%s\"%s\"", names.length ? ", " : "",
                        in_line(&start->arena, start->stored.file->tensors[i].name));
        biases += is_lacking_bias(start, name);
    }
    if (count > UNUSED_NAMED)
        text_printf(&names, " and %d more", count - UNUSED_NAMED);
    if (count)
        text_printf(unused, "%d tensor%s of train.init_from %s not used: %s; the network has none of that name%s",
                    count, count == 1 ? "" : "s", count == 1 ? "is" : "are", names.data,
                    biases ? "; `bias: true` gives a layer the bias that it lacks" : "");
    text_free(&names);
}

static void settle_averages(struct start *start, struct text *notes) {
    struct error_list lines = {0};
    for (int i = 0; i < start->list.count; i++)
        if (is_missing_counter(start, i)) {
            start->list.places[i].memory[0] = SETTLED_BATCHES;
            error_list_add(&lines, "\"%.200s\"", start->list.infos[i].name);
        }
    add_note(notes, "weights: counters that the file has not; its running averages are taken for those of many batches",
             &lines);
}

bool init_from_file(struct safetensors *file, const char *path, const struct init_request *request, struct model *model,
                    struct init_notes *notes, struct error *err) {
    struct start start = {.drawn = request->drawn};
    start.list = list_tensors(&start.arena, model, NULL);
    start.stored = stored_tensors_of(&start.arena, file, path);
    rename_tensors(&start, request->names);
    bool good = check_map(&start, request->names, err) && check_same_network(&start, request->names->count > 0, err) &&
                stored_read(&start.stored, &start.list, start.drawn, err);
    if (good) {
        note_unused(&start, &notes->unused);
        note_left(&start, &notes->lines);
        settle_averages(&start, &notes->lines);
    }
    if (notes->lines.data)
        text_defuse(notes->lines.data);
    arena_free(&start.arena);
    return good;
}

void init_notes_free(struct init_notes *notes) {
    text_free(&notes->unused);
    text_free(&notes->lines);
}
