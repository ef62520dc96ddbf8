#include "sweep/sweep.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "spec/bind.h"
#include "sweep/search.h"
#include "sweep/setting.h"
#include "train/experiment.h"

enum { MOST_RUNS = 100000, NAME_BYTES = 200 };

/* What stands in the file. */
struct sweep_file {
    const char *spec;
    const struct node *rows, *columns, *seeds;
    struct search_config search;
};

static const struct param halving_params[] = {
    INT_KEY(struct halving_config, from, "from", "0", 0, 2e9,
            "iterations of all trials; 0: all are trained to their end"),
    INT_KEY(struct halving_config, factor, "factor", "3", 2, 100,
            "the best trials, one of so many, go on for so many times as many iterations"),
    END_OF_KEYS,
};

static const struct param search_params[] = {
    INT_KEY(struct search_config, trials, "trials", "0", 0, 10000, "rows that are drawn; 0: none are"),
    INT_KEY(struct search_config, seed, "seed", "1", 0, 2147483647, "of what is drawn"),
    NODE_KEY(struct search_config, ranges, "ranges", "keys of the spec, each with what its values are drawn from"),
    SECTION_KEY(struct search_config, halving, "halving", halving_params, "successive halving"),
    END_OF_KEYS,
};

static const struct param file_params[] = {
    PATH_KEY(struct sweep_file, spec, "spec", NULL, "the spec that all runs share"),
    NODE_KEY(struct sweep_file, rows, "rows", "names, each with the keys that it sets"),
    NODE_KEY(struct sweep_file, columns, "columns", "names, each with the keys that it sets"),
    NODE_KEY(struct sweep_file, seeds, "seeds", "a list of seeds"),
    SECTION_KEY(struct sweep_file, search, "search", search_params, "rows that are drawn"),
    END_OF_KEYS,
};

/* --- Settings ---------------------------------------------------------------------------------------------------- */

void settings_add(struct arena *arena, struct settings *settings, const char *text, int line) {
    settings->items = arena_grow(arena, settings->items, settings->count, sizeof *settings->items);
    settings->items[settings->count++] = (struct setting){text, line};
}

static void add_all(struct arena *arena, struct settings *settings, const struct settings *more) {
    for (int i = 0; i < more->count; i++)
        settings_add(arena, settings, more->items[i].text, more->items[i].line);
}

/* The sweep itself sets these. */
static bool is_own_key(const char *key, size_t length, const char *source, int line, struct diagnostics *diags) {
    bool seed = length == 4 && !strncmp(key, "seed", length), name = length == 4 && !strncmp(key, "name", length);
    if (seed)
        diagnose(diags, source, line, "seed", "seeds are listed under `seeds`, or given with --seeds");
    if (name)
        diagnose(diags, source, line, "name", "the sweep names its runs");
    return seed || name;
}

static void take_overrides(struct sweep *sweep, const struct sweep_request *request, struct diagnostics *diags) {
    for (int i = 0; i < request->override_count; i++) {
        const char *text = request->overrides[i];
        is_own_key(text, strcspn(text, "="), arena_printf(&sweep->arena, OVERRIDE_SOURCE "%s", text), 0, diags);
        settings_add(&sweep->arena, &sweep->common, text, 0);
    }
}

/* --- Rows and columns -------------------------------------------------------------------------------------------- */

static bool is_name(const char *name) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return *name && !strchr("._-", *name) && !name[strspn(name, allowed)];
}

static bool is_repeated(const struct node *map, int index) {
    for (int i = 0; i < index; i++)
        if (!strcmp(map->keys[i], map->keys[index]))
            return true;
    return false;
}

/* The path is that of the map; false after a diagnostic. */
static bool check_key(const struct node *map, int index, const char *path, struct diagnostics *diags) {
    if (is_repeated(map, index))
        diagnose(diags, map->source, map->key_lines[index], path, "\"%.60s\" was given before; keep one of the two",
                 map->keys[index]);
    return !is_repeated(map, index);
}

static void read_variant(struct sweep *sweep, struct variant *variant, const struct node *keys, const char *path,
                         struct diagnostics *diags) {
    if (keys->type != NODE_MAP) {
        diagnose(diags, keys->source, keys->line, path,
                 "expected the keys that it sets, as in {network.operator.angular: linear}, or {}");
        return;
    }
    for (int i = 0; i < keys->count; i++) {
        const char *key = keys->keys[i];
        if (check_key(keys, i, path, diags) && !is_own_key(key, strlen(key), keys->source, keys->key_lines[i], diags))
            settings_add(&sweep->arena, &variant->settings, setting_text(&sweep->arena, key, keys->children[i]),
                         keys->key_lines[i]);
    }
}

static void add_variant(struct sweep *sweep, struct axis *axis, struct variant variant) {
    axis->variants = arena_grow(&sweep->arena, axis->variants, axis->count, sizeof variant);
    axis->variants[axis->count++] = variant;
}

static void read_axis(struct sweep *sweep, struct axis *axis, const char *key, const struct node *map,
                      struct diagnostics *diags) {
    if (node_is_null(map)) {
        add_variant(sweep, axis, (struct variant){.name = ""});
        return;
    }
    if (map->type != NODE_MAP || !map->count) {
        diagnose(diags, map->source, map->line, key,
                 "expected names, each with the keys that it sets: NAME: {KEY: "
                 "VALUE}");
        return;
    }
    for (int i = 0; i < map->count; i++) {
        struct variant variant = {.name = map->keys[i]};
        if (!is_name(variant.name))
            diagnose(diags, map->source, map->key_lines[i], key,
                     "\"%.60s\": expected a name that begins with a letter or digit, of those, \".\", \"_\" and \"-\"",
                     variant.name);
        if (check_key(map, i, key, diags))
            read_variant(sweep, &variant, map->children[i], arena_printf(&sweep->arena, "%s.%s", key, variant.name),
                         diags);
        add_variant(sweep, axis, variant);
    }
}

/* --- Seeds ------------------------------------------------------------------------------------------------------- */

static bool has_seed(const struct sweep *sweep, int seed) {
    for (int i = 0; i < sweep->seed_count; i++)
        if (sweep->seeds[i] == seed)
            return true;
    return false;
}

static void read_seed(struct sweep *sweep, const struct node *node, struct diagnostics *diags) {
    const char *word = node->type == NODE_SCALAR ? node->scalar : "a list or a section";
    char *end;
    long seed = strtol(word, &end, 10);
    if (end == word || *end || seed < 0 || seed > INT_MAX || has_seed(sweep, (int)seed)) {
        diagnose(diags, node->source, node->line, "seeds", "%.60s: expected whole numbers from 0 to %d, each once",
                 word, INT_MAX);
        return;
    }
    sweep->seeds = arena_grow(&sweep->arena, sweep->seeds, sweep->seed_count, sizeof *sweep->seeds);
    sweep->seeds[sweep->seed_count++] = (int)seed;
}

static void read_seeds(struct sweep *sweep, const struct node *list, struct diagnostics *diags) {
    if (list->type != NODE_LIST || !list->count)
        diagnose(diags, list->source, list->line, "seeds", "expected a list, as in [1, 2, 3]");
    for (int i = 0; list->type == NODE_LIST && i < list->count; i++)
        read_seed(sweep, list->children[i], diags);
}

/* Those of the command line instead of the file's; 1 where there are none. */
static void choose_seeds(struct sweep *sweep, const struct node *from_file, const char *option,
                         struct diagnostics *diags) {
    struct node list = {.type = NODE_LIST, .source = "--seeds"};
    char *words = arena_string(&sweep->arena, option ? option : "1");
    if (!option && !node_is_null(from_file)) {
        read_seeds(sweep, from_file, diags);
        return;
    }
    for (char *word = words, *next; word; word = next) {
        next = strchr(word, ',');
        if (next)
            *next++ = '\0';
        struct node *node = arena_alloc(&sweep->arena, sizeof *node);
        *node = (struct node){.type = NODE_SCALAR, .source = list.source, .scalar = word};
        node_add(&sweep->arena, &list, NULL, 0, node);
    }
    read_seeds(sweep, &list, diags);
}

/* --- Runs -------------------------------------------------------------------------------------------------------- */

static void add_run(struct sweep *sweep, int row, int column, int seed) {
    struct arena *arena = &sweep->arena;
    const struct variant *of_row = &sweep->rows.variants[row], *of_column = &sweep->columns.variants[column];
    struct sweep_run run = {.row = row, .column = column, .seed = seed};
    run.name = arena_printf(arena, "%s%s%s%ss%d", of_row->name, *of_row->name ? "_" : "", of_column->name,
                            *of_column->name ? "_" : "", seed);
    run.folder = arena_printf(arena, "%s/%s", sweep->out, run.name);
    add_all(arena, &run.settings, &sweep->common);
    add_all(arena, &run.settings, &of_row->settings);
    add_all(arena, &run.settings, &of_column->settings);
    settings_add(arena, &run.settings, arena_printf(arena, "seed=%d", seed), 0);
    settings_add(arena, &run.settings, arena_printf(arena, "name=%s", run.name), 0);
    sweep->runs = arena_grow(arena, sweep->runs, sweep->run_count, sizeof run);
    sweep->runs[sweep->run_count++] = run;
}

static void make_runs(struct sweep *sweep, struct diagnostics *diags) {
    if ((double)sweep->seed_count * sweep->rows.count * sweep->columns.count > MOST_RUNS) {
        diagnose(diags, sweep->path, 0, NULL, "more than %d runs", MOST_RUNS);
        return;
    }
    for (int i = 0; i < sweep->seed_count; i++)
        for (int row = 0; row < sweep->rows.count; row++)
            for (int column = 0; column < sweep->columns.count; column++)
                add_run(sweep, row, column, sweep->seeds[i]);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_names(const struct sweep *sweep, struct diagnostics *diags) {
    size_t count = (size_t)sweep->run_count;
    const char **names = mem_alloc((count + 1) * sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = sweep->runs[i].name;
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && !strcmp(names[i - 1], names[i]))
            diagnose(diags, sweep->path, 0, NULL,
                     "%.60s: two runs have this folder; expected names that make "
                     "different folders ROW_COLUMN",
                     names[i]);
        if (strlen(names[i]) > NAME_BYTES)
            diagnose(diags, sweep->path, 0, NULL, "%.60s...: longer than %d bytes", names[i], NAME_BYTES);
    }
    free(names);
}

const char **sweep_overrides(struct sweep *sweep, const struct sweep_run *run) {
    const char **texts = arena_alloc(&sweep->arena, (size_t)run->settings.count * sizeof *texts);
    for (int i = 0; i < run->settings.count; i++)
        texts[i] = run->settings.items[i].text;
    return texts;
}

/* --- The runs' specs --------------------------------------------------------------------------------------------- */

/* Where the line's mistake stands: in the sweep's file where a setting of it was read. Returns what follows the place,
 * or NULL where the place is not the sweep's. */
static const char *find_place(const struct sweep_run *run, const char *line, int *number) {
    for (int i = run->settings.count - 1; i >= 0; i--) {
        const struct setting *setting = &run->settings.items[i];
        size_t length = strlen(setting->text);
        const char *text = line + strlen(OVERRIDE_SOURCE);
        *number = setting->line;
        if (setting->line && !strncmp(line, OVERRIDE_SOURCE, strlen(OVERRIDE_SOURCE)) &&
            !strncmp(text, setting->text, length) && text[length] == ':')
            return text + length + 1;
    }
    return NULL;
}

/* The mistakes in all runs' specs. */
struct check {
    struct sweep *sweep;
    struct text told; /* each mistake once, without the run's name */
    struct diagnostics *diags;
};

/* Adds the mistake, unless another run had it, too; with the run where the place does not tell. */
static void add_mistake(struct check *check, const struct sweep_run *run, const char *line) {
    int number;
    size_t before = check->told.length;
    const char *rest = find_place(run, line, &number);
    struct text mistake = {0};
    if (rest)
        text_printf(&mistake, "%s:%d:%s\n", check->sweep->path, number, rest);
    else
        text_printf(&mistake, "%s\n", line);
    bool names_place = rest || !strncmp(line, OVERRIDE_SOURCE, strlen(OVERRIDE_SOURCE));
    if (!before || !strstr(check->told.data, mistake.data)) {
        text_printf(&check->told, "%s", mistake.data);
        mistake.data[mistake.length - 1] = '\0';
        text_printf(&check->diags->text, "%s", mistake.data);
        if (names_place)
            text_printf(&check->diags->text, "\n");
        else
            text_printf(&check->diags->text, " (run %s)\n", run->name);
        check->diags->count++;
    }
    text_free(&mistake);
}

static void check_halving(const struct check *check, const struct train_config *train) {
    int from = check->sweep->search.halving.from;
    if (from && (from >= train->iterations || !train->eval_every || from % train->eval_every))
        diagnose(check->diags, check->sweep->path, 0, "search.halving.from",
                 "%d: expected a multiple of train.eval_every, which is %d, below train.iterations, which is %d", from,
                 train->eval_every, train->iterations);
}

/* Takes what the sweep wants to know of the run's spec. */
static void check_spec(struct check *check, struct sweep_run *run) {
    struct experiment experiment;
    struct sweep *sweep = check->sweep;
    struct diagnostics own = {0};
    bool good = experiment_read(&experiment, sweep->spec, sweep_overrides(sweep, run), run->settings.count, &own);
    for (char *line = own.text.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        add_mistake(check, run, line);
    }
    run->iterations = experiment.train.iterations;
    sweep->threads = larger(sweep->threads, experiment.train.threads);
    if (good && !check->diags->count)
        check_halving(check, &experiment.train);
    text_free(&own.text);
    experiment_free(&experiment);
}

/* Of the first seed: with another, nothing but the seed is other. */
static void check_specs(struct sweep *sweep, struct diagnostics *diags) {
    struct check check = {.sweep = sweep, .diags = diags};
    int cells = sweep->rows.count * sweep->columns.count;
    for (int i = 0; i < sweep->run_count && !diagnostics_full(diags); i++) {
        if (i < cells)
            check_spec(&check, &sweep->runs[i]);
        sweep->runs[i].iterations = sweep->runs[i % cells].iterations;
    }
    text_free(&check.told);
}

/* --- The file ---------------------------------------------------------------------------------------------------- */

/* "configs/a.sweep" gives "a". */
static const char *stem(struct arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    char *name = arena_string(arena, slash ? slash + 1 : path), *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = '\0';
    return name;
}

/* Beside the sweep's file, unless the path is absolute. */
static const char *beside(struct arena *arena, const char *file, const char *path) {
    const char *slash = strrchr(file, '/');
    return slash && *path != '/' ? arena_printf(arena, "%.*s/%s", (int)(slash - file), file, path) : path;
}

static void check_search(const struct sweep_file *file, const struct node *root, struct diagnostics *diags) {
    const struct node *search = node_get(root, "search");
    bool ranges = !node_is_null(file->search.ranges);
    int line = search ? search->line : 0;
    if (ranges != (file->search.trials > 0))
        diagnose(diags, root->source, line, "search", "expected both trials, at least 1, and ranges");
    if (ranges && !node_is_null(file->rows))
        diagnose(diags, root->source, line, "search", "its trials are the rows; expected no others under `rows`");
    if (!ranges && file->search.halving.from)
        diagnose(diags, root->source, line, "search.halving", "expected trials and ranges beside it");
}

static bool read_file(struct sweep *sweep, struct sweep_file *file, struct diagnostics *diags) {
    struct node *root = yaml_read_file(&sweep->arena, sweep->path, diags);
    if (root && root->type != NODE_MAP)
        diagnose(diags, root->source, root->line, NULL, "a sweep is a map of keys: spec, rows, columns, seeds, search");
    if (!root || diags->count)
        return false;
    spec_bind(&sweep->arena, file, file_params, root, "", diags);
    if (!diags->count)
        check_search(file, root, diags);
    return !diags->count;
}

bool sweep_read(struct sweep *sweep, const struct sweep_request *request, struct diagnostics *diags) {
    struct sweep_file file = {0};
    *sweep = (struct sweep){.path = request->path};
    if (!read_file(sweep, &file, diags))
        return false;
    sweep->name = stem(&sweep->arena, request->path);
    sweep->spec = beside(&sweep->arena, request->path, file.spec);
    sweep->out = request->out ? request->out : arena_printf(&sweep->arena, "runs/%s", sweep->name);
    sweep->search = file.search;
    take_overrides(sweep, request, diags);
    if (sweep->search.trials)
        search_draw(sweep, diags);
    else
        read_axis(sweep, &sweep->rows, "rows", file.rows, diags);
    read_axis(sweep, &sweep->columns, "columns", file.columns, diags);
    choose_seeds(sweep, file.seeds, request->seeds, diags);
    if (!diags->count)
        make_runs(sweep, diags);
    if (!diags->count)
        check_names(sweep, diags);
    if (!diags->count)
        check_specs(sweep, diags);
    return !diags->count;
}

void sweep_free(struct sweep *sweep) {
    arena_free(&sweep->arena);
}

static void add_option(struct text *out, const char *option, const char *value) {
    text_printf(out, " %s ", option);
    text_add_shell_word(out, value);
}

void sweep_command(struct text *out, const struct sweep *sweep, const struct sweep_run *run, const char *program) {
    text_add_shell_word(out, program);
    text_printf(out, " train --quiet --auto-resume");
    add_option(out, "--run-dir", run->folder);
    if (run->until)
        text_printf(out, " --until %d", run->until);
    for (int i = 0; i < run->settings.count; i++)
        add_option(out, "--set", run->settings.items[i].text);
    add_option(out, "--", sweep->spec);
}
