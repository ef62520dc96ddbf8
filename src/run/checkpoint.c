#include "run/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/version.h"
#include "data/class_names.h"
#include "data/contents.h"
#include "run/stored_tensors.h"

#define LEFT_OUT_KEY "updates_left_out"
#define SINCE_KEY "tests_since_best"
#define TEST_ACCURACY_KEY "best_test_accuracy"

/* --- Saving ------------------------------------------------------------------------------------------------------ */

static void give(const void *context, int tensor, size_t first, size_t count, real *values) {
    const struct place *places = context;
    tensor_to_stored(values, places[tensor].tensor, places[tensor].memory, first, count);
}

/* A text that is left out where the number is 0. */
static const char *number_or_none(struct arena *arena, int64_t number) {
    return number ? arena_printf(arena, "%" PRId64, number) : "";
}

bool checkpoint_save(const char *path, const struct trainer *trainer, const struct dataset *dataset,
                     struct best_test best, struct error *err) {
    struct arena arena = {0};
    struct listing list = list_tensors(&arena, &trainer->model, trainer);
    struct text spec = {0}, classes = {0};
    experiment_emit(&spec, trainer->experiment);
    class_names_list(&classes, dataset);
    bool validated = dataset->splits[SPLIT_VALIDATION].count > 0;
    const struct stored_text possible[] = {
        {"version", SPHERENET_VERSION},
        {"iteration", arena_printf(&arena, "%" PRId64, trainer->iteration)},
        {"best_iteration", arena_printf(&arena, "%" PRId64, best.iteration)},
        {"best_accuracy", arena_printf(&arena, "%.17g", best.accuracy)},
        {TEST_ACCURACY_KEY, validated ? arena_printf(&arena, "%.17g", best.test_accuracy) : ""},
        {SINCE_KEY, number_or_none(&arena, best.since)},
        {"spec", spec.data},
        {"classes", classes.data ? classes.data : ""},
        {"data", contents_text(&arena, dataset)},
        {LEFT_OUT_KEY, number_or_none(&arena, trainer->left_out)},
    };
    struct stored_text texts[sizeof possible / sizeof *possible];
    int text_count = 0;
    for (size_t i = 0; i < sizeof possible / sizeof *possible; i++)
        if (*possible[i].value)
            texts[text_count++] = possible[i];
    struct tensor_contents contents = {list.infos, list.count, texts, text_count, give, list.places};
    bool good = safetensors_write(path, &contents, err);
    text_free(&spec);
    text_free(&classes);
    arena_free(&arena);
    return good;
}

/* --- Loading ----------------------------------------------------------------------------------------------------- */

static const char *need_text(const struct safetensors *file, const char *path, const char *key, struct error *err) {
    const char *text = safetensors_text(file, key);
    if (!text)
        error_set(err, "%s: not a spherenet checkpoint: its metadata has no \"%s\"", path, key);
    return text;
}

static bool is_missing_link(const char *operand, const char *name) {
    const char *slash = strrchr(operand, '/');
    return !strcmp(slash ? slash + 1 : operand, name) && access(operand, F_OK);
}

/* From the newest checkpoint, which knows of it, to the one with the best test. */
static bool find_best(const char *newest, char *path, struct error *err) {
    struct safetensors file;
    struct best_test best;
    int64_t iteration;
    if (!safetensors_open(&file, newest, err))
        return false;
    bool good = checkpoint_progress(&file, newest, &iteration, &best, err);
    safetensors_close(&file);
    if (good && best.iteration < 0)
        return error_set(err, "%s: no test until then was finite, so there is no best checkpoint", newest);
    if (good)
        run_dir_sibling(newest, best.iteration, path);
    return good;
}

/* As run_dir_resolve, and the links latest and best where they could not be made. */
static bool resolve(const char *operand, char *path, struct error *err) {
    char folder[PATH_BYTES], newest[PATH_BYTES];
    const char *slash = strrchr(operand, '/');
    bool best = is_missing_link(operand, "best.safetensors.gz");
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - operand) : 1, slash ? operand : ".");
    if ((!best && !is_missing_link(operand, "latest.safetensors.gz")) || access(folder, F_OK))
        return run_dir_resolve(operand, path, err);
    if (!best)
        return run_dir_resolve(folder, path, err);
    return run_dir_resolve(folder, newest, err) && find_best(newest, path, err);
}

bool checkpoint_open(const char *operand, char *path, struct safetensors *file, struct error *err) {
    if (!resolve(operand, path, err))
        return false;
    if (safetensors_open(file, path, err))
        return true;
    if (err->code != ERROR_DAMAGED || !strcmp(operand, path))
        return false;
    struct error why = *err;
    return error_set_code(err, why.code, "%s\n  give the path of an older checkpoint of the run, if it has kept one",
                          why.text);
}

const char *checkpoint_spec(const struct safetensors *file, const char *path, struct error *err) {
    return need_text(file, path, "spec", err);
}

const char *checkpoint_classes(const struct safetensors *file) {
    return safetensors_text(file, "classes");
}

bool checkpoint_classes_agree(const struct safetensors *file, const char *path, const struct dataset *dataset,
                              struct error *err) {
    const char *classes = checkpoint_classes(file);
    return !classes || class_names_agree(classes, path, dataset, err);
}

bool checkpoint_data_agree(const struct safetensors *file, const char *path, const struct dataset *dataset,
                           struct error *err) {
    return contents_agree(safetensors_text(file, "data"), path, dataset, err);
}

static bool read_integer(const struct safetensors *file, const char *path, const char *key, int64_t lowest,
                         int64_t *value, struct error *err) {
    const char *text = need_text(file, path, key, err);
    char *end;
    if (!text)
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return (*text && !*end && !errno && *value >= lowest) ||
           error_set_code(err, ERROR_DAMAGED, "%s: damaged: %s is \"%.40s\"", path, key, text);
}

static bool read_accuracy(const struct safetensors *file, const char *path, const char *key, double *accuracy,
                          struct error *err) {
    const char *text = need_text(file, path, key, err);
    char *end;
    if (!text)
        return false;
    *accuracy = strtod(text, &end);
    return (*text && !*end && *accuracy >= 0 && *accuracy <= 1) ||
           error_set_code(err, ERROR_DAMAGED, "%s: damaged: %s is \"%.40s\"", path, key, text);
}

bool checkpoint_progress(const struct safetensors *file, const char *path, int64_t *iteration, struct best_test *best,
                         struct error *err) {
    *best = (struct best_test)BEST_TEST_NONE;
    if (!read_accuracy(file, path, "best_accuracy", &best->accuracy, err) ||
        !read_integer(file, path, "iteration", 0, iteration, err) ||
        !read_integer(file, path, "best_iteration", -1, &best->iteration, err))
        return false;
    best->test_accuracy = best->accuracy;
    return (!safetensors_text(file, TEST_ACCURACY_KEY) ||
            read_accuracy(file, path, TEST_ACCURACY_KEY, &best->test_accuracy, err)) &&
           (!safetensors_text(file, SINCE_KEY) || read_integer(file, path, SINCE_KEY, 0, &best->since, err));
}

static bool check_tensors(struct arena *arena, const struct stored_tensors *stored, const struct listing *list,
                          struct error *err) {
    for (int i = 0; i < list->count; i++) {
        const char *different = stored_difference(arena, stored, list, i);
        if (different)
            return error_set(err, "%s: %s", stored->path, different);
    }
    return true;
}

/* Of a trainer that is not NULL, its optimizer's state, too. */
static bool load(struct safetensors *file, const char *path, struct model *model, const struct trainer *trainer,
                 struct error *err) {
    struct arena arena = {0};
    struct listing list = list_tensors(&arena, model, trainer);
    struct stored_tensors stored = stored_tensors_of(&arena, file, path);
    bool good = check_tensors(&arena, &stored, &list, err);
    if (good && trainer && file->tensor_count != list.count)
        good = error_set(err, "%s: has %d tensors, the network and its optimizer %d", path, file->tensor_count,
                         list.count);
    good = good && stored_read(&stored, &list, NULL, err);
    arena_free(&arena);
    return good;
}

/* Where the file does not tell, no update was left out, or older versions of the program have counted it. */
static bool read_left_out(const struct safetensors *file, const char *path, int64_t *left_out, struct error *err) {
    int64_t iteration;
    *left_out = 0;
    if (!safetensors_text(file, LEFT_OUT_KEY))
        return true;
    return read_integer(file, path, "iteration", 0, &iteration, err) &&
           read_integer(file, path, LEFT_OUT_KEY, 0, left_out, err) &&
           (*left_out <= iteration || error_set_code(err, ERROR_DAMAGED,
                                                     "%s: damaged: more updates were left out than "
                                                     "there were iterations",
                                                     path));
}

bool checkpoint_load(struct safetensors *file, const char *path, struct trainer *trainer, struct error *err) {
    int64_t left_out;
    if (!read_left_out(file, path, &left_out, err) || !load(file, path, &trainer->model, trainer, err))
        return false;
    trainer->left_out = left_out;
    return true;
}

bool checkpoint_load_weights(struct safetensors *file, const char *path, struct model *model, struct error *err) {
    return load(file, path, model, NULL, err);
}
