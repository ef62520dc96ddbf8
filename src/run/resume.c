#include "run/resume.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "spec/difference.h"

/* --- Another spec ------------------------------------------------------------------------------------------------ */

static int schedule_start(const struct experiment *experiment) {
    return ((const struct schedule_config *)experiment->schedule.config)->start;
}

static bool is_one_of(const char *key, const char *const *keys) {
    while (*keys && strcmp(*keys, key) != 0)
        keys++;
    return *keys;
}

static bool begins_with(const char *key, const char *beginning) {
    return !strncmp(key, beginning, strlen(beginning));
}

/* What may change when a run is resumed: how long it goes on, what it reports and keeps, where the data lie, as long as
 * they are the same, and the rate where a new schedule begins. */
static bool may_change(const void *context, const char *key) {
    static const char *const keys[] = {
        "name", "data.path", "data.prefix", "data.test_limit", "data.loader_threads", "data.list", "data.cache", NULL};
    const bool *new_schedule = context;
    if (*new_schedule && (begins_with(key, "schedule.") || !strcmp(key, "optimizer.learning_rate")))
        return true;
    static const char *const fixed[] = {"train.batch_size", "train.gradient_sums", NULL};
    return is_one_of(key, keys) || (begins_with(key, "train.") && !is_one_of(key, fixed));
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

bool resume_is_same(const struct experiment *now, const struct experiment *before, const char *path,
                    struct error *err) {
    keep_measured(now, before);
    bool new_schedule = schedule_start(now) != schedule_start(before);
    struct text a = {0}, b = {0};
    struct error_list differences = {0};
    experiment_emit(&a, before);
    experiment_emit(&b, now);
    spec_differences(&differences, a.data, b.data, may_change, &new_schedule);
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

static double rate(const struct experiment *experiment, int64_t iteration) {
    const struct optimizer_config *optimizer = experiment->optimizer.config;
    return optimizer->learning_rate * schedule_factor(experiment->schedule, iteration, experiment->train.iterations);
}

static bool refuse_other_length(const struct experiment *now, const struct experiment *before, int64_t iteration,
                                const char *path, struct error *err) {
    const char *schedule = now->schedule.kind->name;
    return error_set(
        err,
        "%s: the schedule %s spans the whole run, which was to have %d iterations and now has %d: the learning rate "
        "would go from %.2g at iteration %" PRId64 " to %.2g at the next one. Say how it is to go on:\n"
        "  with a rate that stays: --set 'schedule={type: constant, start: %" PRId64
        "}' --set optimizer.learning_rate=...\n"
        "  with a new %s from here: --set schedule.start=%" PRId64 ", and another optimizer.learning_rate if need be\n"
        "  or start another run from these weights: --set train.init_from=%s --set name=..., without --resume",
        path, schedule, before->train.iterations, now->train.iterations, rate(before, iteration), iteration,
        rate(now, iteration + 1), iteration, schedule, iteration, path);
}

/* A schedule goes on as it began, or a new one begins here. */
static bool check_schedule(const struct experiment *now, const struct experiment *before, int64_t iteration,
                           const char *path, struct error *err) {
    int start = schedule_start(now);
    bool same_length = now->train.iterations == before->train.iterations;
    if (start != schedule_start(before))
        return start == iteration ||
               error_set(err,
                         "%s: schedule.start is %d, but a new schedule begins where the run goes on, at iteration "
                         "%" PRId64,
                         path, start, iteration);
    return same_length || iteration >= now->train.iterations || !schedule_type_of(now->schedule)->spans_run ||
           refuse_other_length(now, before, iteration, path, err);
}

/* Whether the tests that choose the best are of other images than before: of the test images all may have been fewer
 * than either limit, and validation images are the same. */
static bool has_other_tests(const struct experiment *now, const struct experiment *before,
                            const struct dataset *dataset) {
    int limit = data_config_limit(experiment_data(now), SPLIT_TEST);
    int old_limit = data_config_limit(experiment_data(before), SPLIT_TEST);
    int images = dataset->splits[SPLIT_TEST].count; /* the fewer of all and of the limit now */
    if (dataset->splits[SPLIT_VALIDATION].count)
        return false;
    return old_limit < limit ? old_limit < images : limit < old_limit && images == limit;
}

/* The spec that a run began with and the one it is resumed with must train the same way. */
static bool check_same_spec(const struct experiment *now, const char *stored, int64_t iteration, const char *path,
                            const struct dataset *dataset, bool *other_tests, struct error *err) {
    struct experiment before;
    struct diagnostics diags = {0};
    bool good = experiment_parse_stored(&before, path, stored, NULL, 0, &diags);
    if (good) {
        good = resume_is_same(now, &before, path, err) && check_schedule(now, &before, iteration, path, err);
        *other_tests = good && has_other_tests(now, &before, dataset);
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
                                  struct resume_point *point, struct error *err) {
    struct safetensors file;
    enum found found = FOUND_DAMAGED;
    if (!safetensors_open(&file, path, err))
        return err->code == ERROR_NO_MEMORY ? FOUND_OTHER : FOUND_DAMAGED;
    const char *spec = checkpoint_spec(&file, path, err);
    if (spec && checkpoint_progress(&file, path, &trainer->iteration, &point->best, err)) {
        if (!check_same_spec(trainer->experiment, spec, trainer->iteration, path, dataset, &point->other_tests, err) ||
            !checkpoint_classes_agree(&file, path, dataset, err) || !checkpoint_data_agree(&file, path, dataset, err))
            found = FOUND_OTHER;
        else if (checkpoint_load(&file, path, trainer, err))
            found = FOUND_GOOD;
        if (point->other_tests)
            point->best.accuracy = 0;
    }
    safetensors_close(&file);
    return found;
}

bool resume_nothing(const struct experiment *experiment, struct error *err) {
    int start = schedule_start(experiment);
    return start == 0 ||
           error_set(err,
                     "schedule.start is %d, but the run begins at 0; it is for a run that is resumed at that iteration "
                     "with a new schedule",
                     start);
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
        found = load_checkpoint(run_dir_checkpoint(dir, iterations[i], path), dataset, trainer, point, err);
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
