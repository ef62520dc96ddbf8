#include "run/resume.h"

#include <stdlib.h>
#include <string.h>

#include "spec/difference.h"

/* --- Another spec ------------------------------------------------------------------------------------------------ */

/* What may change when a run is resumed: how long it goes on, what it reports and keeps, and where the data lie, as
 * long as they are the same. */
static bool may_change(const void *context, const char *key) {
    static const char *const keys[] = {"name", "data.path", "data.test_limit", "data.loader_threads"};
    (void)context;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i]))
            return true;
    return !strncmp(key, "train.", 6) && strcmp(key, "train.batch_size") != 0;
}

/* Mean and deviation of the pixels stay those that were measured when the run began. */
static void keep_measured(const struct experiment *now, const struct experiment *before) {
    struct data_config *config = now->data.config;
    const struct data_config *measured = experiment_data(before);
    if (config->standardize && measured->standardize) {
        config->pixel_mean = measured->pixel_mean;
        config->pixel_scale = measured->pixel_scale;
    }
}

static bool check_differences(const struct experiment *now, const struct experiment *before, const char *path,
                              struct error *err) {
    struct text a = {0}, b = {0};
    struct error_list differences = {0};
    experiment_emit(&a, before);
    experiment_emit(&b, now);
    spec_differences(&differences, a.data, b.data, may_change, NULL);
    const char *list = error_list_end(&differences);
    bool same = !*list;
    if (!same)
        error_set(err,
                  "%s: the run began with another spec; change it back, or start another run with --set name=... or "
                  "--run-dir:%s",
                  path, list);
    error_list_free(&differences);
    text_free(&a);
    text_free(&b);
    return same;
}

/* The spec that a run began with and the one it is resumed with must train the same way. */
static bool check_same_spec(const struct experiment *now, const char *stored, const char *path, struct error *err) {
    struct experiment before;
    struct diagnostics diags = {0};
    bool good = experiment_parse_stored(&before, path, stored, NULL, 0, &diags);
    if (good) {
        keep_measured(now, &before);
        good = check_differences(now, &before, path, err);
    } else {
        error_set(err, "%s: its spec is not valid any more:\n%s", path, diags.text.data);
    }
    experiment_free(&before);
    text_free(&diags.text);
    return good;
}

/* --- The checkpoint ---------------------------------------------------------------------------------------------- */

enum found { FOUND_GOOD, FOUND_DAMAGED, FOUND_OTHER };

/* Loads the checkpoint at path. FOUND_OTHER: an older one would do no better, since this one is whole but of another
 * spec, or since memory is short. */
static enum found load_checkpoint(const char *path, const struct dataset *dataset, struct trainer *trainer,
                                  struct best_test *best, struct error *err) {
    struct safetensors file;
    enum found found = FOUND_DAMAGED;
    if (!safetensors_open(&file, path, err))
        return err->code == ERROR_NO_MEMORY ? FOUND_OTHER : FOUND_DAMAGED;
    const char *spec = checkpoint_spec(&file, path, err);
    if (spec &&
        (!check_same_spec(trainer->experiment, spec, path, err) ||
         !checkpoint_classes_agree(&file, path, dataset, err) || !checkpoint_data_agree(&file, path, dataset, err)))
        found = FOUND_OTHER;
    else if (spec && checkpoint_progress(&file, path, &trainer->iteration, best, err) &&
             checkpoint_load(&file, path, trainer, err))
        found = FOUND_GOOD;
    safetensors_close(&file);
    return found;
}

bool resume_load(const struct run_dir *dir, const struct dataset *dataset, struct trainer *trainer,
                 struct resume_point *point, struct text *skipped, struct error *err) {
    char path[PATH_BYTES];
    int64_t *iterations;
    size_t count;
    struct error_list damaged = {0};
    enum found found = FOUND_DAMAGED;
    if (!run_dir_checkpoints(dir, &iterations, &count, err))
        return false;
    for (size_t i = 0; i < count && found == FOUND_DAMAGED; i++) {
        found = load_checkpoint(run_dir_checkpoint(dir, iterations[i], path), dataset, trainer, &point->best, err);
        if (found == FOUND_GOOD)
            point->saved = iterations[i];
        if (found == FOUND_DAMAGED) {
            text_printf(skipped, "%s; skipped\n", err->text);
            error_list_add(&damaged, "%s", err->text);
        }
    }
    if (count > 0 && found == FOUND_DAMAGED)
        error_set(err, "%s: none of the run's checkpoints can be read:%s\n--overwrite begins the run again", dir->path,
                  error_list_end(&damaged));
    error_list_free(&damaged);
    free(iterations);
    return count == 0 || found == FOUND_GOOD;
}
