#include "sweep/search.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/rng.h"
#include "sweep/setting.h"

/* --- What is drawn ----------------------------------------------------------------------------------------------- */

enum distribution { UNIFORM, LOG_UNIFORM, CHOICES };

static const char *const distributions[] = {"uniform", "log_uniform", "choices"};

struct range {
    const char *key;
    int line; /* of the sweep's file */
    enum distribution distribution;
    double low, high;           /* of the first two */
    const struct node *choices; /* of the last */
};

static bool read_number(const struct node *node, double *number) {
    char *end = NULL;
    *number = node->type == NODE_SCALAR && !node->quoted ? strtod(node->scalar, &end) : NAN;
    return end && end != node->scalar && !*end && isfinite(*number);
}

/* [LOW, HIGH] */
static bool read_bounds(const struct node *list, struct range *range) {
    return list->type == NODE_LIST && list->count == 2 && read_number(list->children[0], &range->low) &&
           read_number(list->children[1], &range->high) && range->low < range->high &&
           (range->distribution == UNIFORM || range->low > 0);
}

static bool read_range(const struct node *node, struct range *range) {
    for (int i = 0; node->type == NODE_MAP && node->count == 1 && i <= CHOICES; i++) {
        if (strcmp(node->keys[0], distributions[i]))
            continue;
        range->distribution = (enum distribution)i;
        range->choices = node->children[0];
        return i == CHOICES ? range->choices->type == NODE_LIST && range->choices->count
                            : read_bounds(node->children[0], range);
    }
    return false;
}

static const char *draw(struct arena *arena, const struct range *range, struct rng rng) {
    if (range->distribution == CHOICES)
        return setting_text(arena, range->key,
                            range->choices->children[rng_below(&rng, (uint32_t)range->choices->count)]);
    double u = rng_uniform(&rng), low = range->low, high = range->high;
    double value = range->distribution == UNIFORM ? low + (high - low) * u : low * pow(high / low, u);
    return arena_printf(arena, "%s=%.6g", range->key, value);
}

/* The number of the range that a key of the map gives; false after a diagnostic. */
static bool take_range(const struct node *map, int index, struct range *range, struct diagnostics *diags) {
    const char *key = map->keys[index];
    *range = (struct range){.key = key, .line = map->key_lines[index]};
    bool own = !strcmp(key, "seed") || !strcmp(key, "name"), good = !own && read_range(map->children[index], range);
    if (own)
        diagnose(diags, map->source, map->key_lines[index], "search.ranges", "the sweep itself sets %s", key);
    else if (!good)
        diagnose(diags, map->source, map->key_lines[index], "search.ranges",
                 "%.60s: expected {log_uniform: [LOW, HIGH]} with 0 < LOW < HIGH, {uniform: [LOW, HIGH]} with LOW < "
                 "HIGH, or {choices: [VALUE, ...]}",
                 key);
    return good;
}

static void draw_trial(struct sweep *sweep, int trial, const struct range *ranges, int count) {
    struct arena *arena = &sweep->arena;
    struct variant variant = {.name = arena_printf(arena, "t%d", trial)};
    for (int i = 0; i < count; i++) {
        struct rng rng = rng_stream((uint64_t)sweep->search.seed, RNG_SEARCH, (uint64_t)trial, (uint64_t)i);
        settings_add(arena, &variant.settings, draw(arena, &ranges[i], rng), ranges[i].line);
    }
    sweep->rows.variants = arena_grow(arena, sweep->rows.variants, sweep->rows.count, sizeof variant);
    sweep->rows.variants[sweep->rows.count++] = variant;
}

void search_draw(struct sweep *sweep, struct diagnostics *diags) {
    const struct node *map = sweep->search.ranges;
    if (map->type != NODE_MAP || !map->count) {
        diagnose(diags, map->source, map->line, "search.ranges",
                 "expected keys of the spec, as in {optimizer.learning_rate: {log_uniform: [1e-4, 1e-1]}}");
        return;
    }
    struct range *ranges = arena_alloc(&sweep->arena, (size_t)map->count * sizeof *ranges);
    bool good = true;
    for (int i = 0; i < map->count; i++)
        good = take_range(map, i, &ranges[i], diags) && good;
    for (int trial = 1; good && trial <= sweep->search.trials; trial++)
        draw_trial(sweep, trial, ranges, map->count);
}

/* --- Successive halving ------------------------------------------------------------------------------------------ */

/* The trials of one column that are still in. */
struct contest {
    struct sweep *sweep;
    const struct progress *progress;
    int column, count;
    struct entrant {
        int row;
        double score;
    } * entrants;
};

static struct sweep_run *run_of(const struct contest *contest, int row, int seed) {
    const struct sweep *sweep = contest->sweep;
    return &sweep->runs[(seed * sweep->rows.count + row) * sweep->columns.count + contest->column];
}

static const struct progress *progress_of(const struct contest *contest, const struct sweep_run *run) {
    return &contest->progress[run - contest->sweep->runs];
}

/* Mean over the seeds; a run that failed, or of which no test was finite, counts less than any other. */
static double score(const struct contest *contest, int row, int until) {
    double sum = 0;
    for (int i = 0; i < contest->sweep->seed_count; i++) {
        const struct progress *progress = progress_of(contest, run_of(contest, row, i));
        int best = progress->state == RUN_OTHER ? -1 : progress_best(progress, until);
        sum += best < 0 || progress->state == RUN_FAILED ? -1 : progress->tests[best].score;
    }
    return sum / contest->sweep->seed_count;
}

/* Sends all that are in to that iteration; whether all have come there. */
static bool send(const struct contest *contest, int until) {
    bool all = true;
    for (int i = 0; i < contest->count; i++)
        for (int seed = 0; seed < contest->sweep->seed_count; seed++) {
            struct sweep_run *run = run_of(contest, contest->entrants[i].row, seed);
            run->until = until;
            all = progress_reached(progress_of(contest, run), until) && all;
        }
    return all;
}

static int best_first(const void *a, const void *b) {
    const struct entrant *x = a, *y = b;
    return x->score == y->score ? x->row - y->row : x->score < y->score ? 1 : -1;
}

/* Leaves the best one of `factor`, at least one. */
static void drop_others(struct contest *contest, int until) {
    int kept = larger(1, contest->count / contest->sweep->search.halving.factor);
    for (int i = 0; i < contest->count; i++)
        contest->entrants[i].score = score(contest, contest->entrants[i].row, until);
    qsort(contest->entrants, (size_t)contest->count, sizeof *contest->entrants, best_first);
    for (int i = kept; i < contest->count; i++)
        for (int seed = 0; seed < contest->sweep->seed_count; seed++)
            run_of(contest, contest->entrants[i].row, seed)->dropped = true;
    contest->count = kept;
}

/* Trials of one search have runs of one length, unless that is drawn, too: the shortest counts. */
static int length(const struct contest *contest) {
    int iterations = run_of(contest, 0, 0)->iterations;
    for (int i = 1; i < contest->sweep->rows.count; i++)
        iterations = smaller(iterations, run_of(contest, i, 0)->iterations);
    return iterations;
}

static void hold(struct contest *contest) {
    const struct halving_config *halving = &contest->sweep->search.halving;
    int64_t until = halving->from;
    for (; until < length(contest) && contest->count > 1; until *= halving->factor) {
        if (!send(contest, (int)until))
            return;
        drop_others(contest, (int)until);
    }
    send(contest, 0);
}

void search_plan(struct sweep *sweep, const struct progress *progress) {
    int rows = sweep->rows.count;
    for (int column = 0; sweep->search.halving.from && column < sweep->columns.count; column++) {
        struct contest contest = {sweep, progress, column, rows, mem_alloc((size_t)rows * sizeof(struct entrant))};
        for (int row = 0; row < rows; row++)
            contest.entrants[row].row = row;
        hold(&contest);
        free(contest.entrants);
    }
}
