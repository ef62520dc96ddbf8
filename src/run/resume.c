#include "run/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Another spec ------------------------------------------------------------------------------------------------ */

/* What may change when a run is resumed: how long it goes on, and what it reports and keeps. */
static void copy_changeable(struct experiment *to, const struct experiment *from) {
    int batch_size = to->train.batch_size;
    to->train = from->train;
    to->train.batch_size = batch_size;
    to->name = from->name;
    ((struct data_config *)to->data.config)->loader_threads = experiment_data(from)->loader_threads;
}

static bool first_difference(const char *a, const char *b, char *line_a, char *line_b, int size) {
    while (*a || *b) {
        int length_a = (int)strcspn(a, "\n"), length_b = (int)strcspn(b, "\n");
        if (length_a != length_b || memcmp(a, b, (size_t)length_a)) {
            snprintf(line_a, (size_t)size, "%.*s", length_a, a);
            snprintf(line_b, (size_t)size, "%.*s", length_b, b);
            return true;
        }
        a += length_a + (a[length_a] == '\n');
        b += length_b + (b[length_b] == '\n');
    }
    return false;
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

/* The spec that a run began with and the one it is resumed with must train the same way. */
static bool check_same_spec(const struct experiment *now, const char *stored, const char *path, struct error *err) {
    struct experiment before;
    struct diagnostics diags = {0};
    struct text a = {0}, b = {0};
    char line_a[200], line_b[200];
    bool good = experiment_parse_stored(&before, path, stored, NULL, 0, &diags);
    if (!good) {
        error_set(err, "%s: its spec is not valid any more:\n%s", path, diags.text.data);
    } else {
        copy_changeable(&before, now);
        keep_measured(now, &before);
        experiment_emit(&a, &before);
        experiment_emit(&b, now);
        good = !first_difference(a.data, b.data, line_a, line_b, sizeof line_a);
        if (!good)
            error_set(err,
                      "%s: the run began with another spec: it had \"%s\", now \"%s\"; change it back, or start "
                      "another run with --set name=... or --run-dir",
                      path, line_a + strspn(line_a, " "), line_b + strspn(line_b, " "));
    }
    experiment_free(&before);
    text_free(&diags.text);
    text_free(&a);
    text_free(&b);
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
    if (spec && (!check_same_spec(trainer->experiment, spec, path, err) ||
                 !checkpoint_classes_agree(&file, path, dataset, err)))
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
