#include "run/session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/version.h"
#include "data/standardize.h"
#include "loss/loss.h"
#include "machine/cpu.h"
#include "machine/openblas.h"
#include "run/checkpoint.h"
#include "run/init_from.h"
#include "run/interrupt.h"
#include "run/log.h"
#include "storage/csv.h"
#include "train/divergence.h"
#include "train/evaluate.h"
#include "train/plateau.h"

#define TRAIN_HEADER                                                                                                   \
    "iteration,epoch,learning_rate,loss,fit,weight_decay,orthogonality,accuracy,lambda,gradient_norm,"                 \
    "images_per_second,seconds"
#define EVAL_HEADER "iteration,epoch,split,loss,accuracy,seconds"

struct session {
    const struct experiment *experiment;
    struct dataset dataset;
    struct trainer trainer;
    struct run_dir dir;
    struct log log;
    struct csv train, eval;
    struct best_test best;
    int64_t saved;          /* iteration of the checkpoint that a resume would begin with; -1: none */
    struct text init_notes; /* lines on the weights of train.init_from */
    struct text skipped;    /* a line for each damaged checkpoint that was passed over */
    double start;           /* clock at which second 0 of the run would have been */
    double window_start;    /* clock, and images since, for images per second */
    int64_t window_images;
    double images_per_second;
    struct plateau chance;
    bool rows_wait; /* the last row of a curve could not be written */
    int skips;      /* updates left out, one after the other */
};

enum { MOST_SKIPS = 20 }; /* more in a row, and nothing will change any more */

/* --- Opening ----------------------------------------------------------------------------------------------------- */

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
static bool check_same_spec(const struct session *s, const char *stored, const char *path, struct error *err) {
    struct experiment before;
    struct diagnostics diags = {0};
    struct text a = {0}, b = {0};
    char line_a[200], line_b[200];
    bool good = experiment_parse_stored(&before, path, stored, NULL, 0, &diags);
    if (!good) {
        error_set(err, "%s: its spec is not valid any more:\n%s", path, diags.text.data);
    } else {
        copy_changeable(&before, s->experiment);
        keep_measured(s->experiment, &before);
        experiment_emit(&a, &before);
        experiment_emit(&b, s->experiment);
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

/* Points `latest` and `best` to where they belong. */
static bool link_checkpoints(const struct session *s, struct error *err) {
    return run_dir_link(&s->dir, "latest", s->saved, err) &&
           (s->best.iteration < 0 || run_dir_link(&s->dir, "best", s->best.iteration, err));
}

static void prune(const struct session *s) {
    run_dir_prune(&s->dir, s->saved, s->experiment->train.keep, s->best.iteration);
}

/* Starts a new run from the weights of train.init_from. */
static bool initialise(struct session *s, struct error *err) {
    const struct train_config *train = &s->experiment->train;
    const struct chain *chain = &s->trainer.model.chain;
    const char *drawn = train->init_classifier == INIT_DRAW ? chain->layers[chain->count - 1].name : NULL;
    char path[PATH_BYTES];
    struct safetensors file;
    if (!*train->init_from)
        return true;
    if (!checkpoint_open(train->init_from, path, &file, err))
        return false;
    bool good = init_from_file(&file, path, &(struct init_request){&train->init_map, drawn}, &s->trainer.model,
                               &s->init_notes, err);
    safetensors_close(&file);
    return good;
}

enum found { FOUND_GOOD, FOUND_DAMAGED, FOUND_OTHER };

/* Loads the checkpoint of that iteration. FOUND_OTHER: an older one would do no better, since this one is whole but of
 * another spec, or since memory is short. */
static enum found load_checkpoint(struct session *s, int64_t iteration, struct error *err) {
    char path[PATH_BYTES];
    struct safetensors file;
    enum found found = FOUND_DAMAGED;
    if (!safetensors_open(&file, run_dir_checkpoint(&s->dir, iteration, path), err))
        return err->code == ERROR_NO_MEMORY ? FOUND_OTHER : found;
    const char *spec = checkpoint_spec(&file, path, err);
    if (spec && (!check_same_spec(s, spec, path, err) || !checkpoint_classes_agree(&file, path, &s->dataset, err)))
        found = FOUND_OTHER;
    else if (spec && checkpoint_progress(&file, path, &s->trainer.iteration, &s->best, err) &&
             checkpoint_load(&file, path, &s->trainer, err))
        found = FOUND_GOOD;
    safetensors_close(&file);
    return found;
}

/* The first of the checkpoints that is whole. */
static bool load_first_whole(struct session *s, const int64_t *iterations, size_t count, struct error *err) {
    struct error_list damaged = {0};
    enum found found = FOUND_DAMAGED;
    for (size_t i = 0; i < count && found == FOUND_DAMAGED; i++) {
        found = load_checkpoint(s, iterations[i], err);
        if (found == FOUND_GOOD)
            s->saved = iterations[i];
        if (found == FOUND_DAMAGED) {
            text_printf(&s->skipped, "%s; skipped\n", err->text);
            error_list_add(&damaged, "%s", err->text);
        }
    }
    if (found == FOUND_DAMAGED)
        error_set(err, "%s: none of the run's checkpoints can be read:%s\n--overwrite begins the run again",
                  s->dir.path, error_list_end(&damaged));
    error_list_free(&damaged);
    return found == FOUND_GOOD;
}

static bool load_newest(struct session *s, struct error *err) {
    size_t count;
    int64_t *iterations;
    if (!run_dir_checkpoints(&s->dir, &iterations, &count, err))
        return false;
    if (count == 0)
        return initialise(s, err); /* the run was stopped before its first checkpoint: it begins again */
    bool good = load_first_whole(s, iterations, count, err) && link_checkpoints(s, err);
    free(iterations);
    if (good)
        prune(s); /* as the process that was killed would have */
    return good;
}

static bool write_spec(const struct session *s, struct error *err) {
    struct text spec = {0};
    text_printf(&spec, "# The resolved spec of this run, every key with its value.\n");
    experiment_emit(&spec, s->experiment);
    bool good = run_dir_write(&s->dir, "spec.yaml", spec.data, err);
    text_free(&spec);
    return good;
}

static bool open_files(struct session *s, bool quiet, struct error *err) {
    char path[PATH_BYTES];
    int64_t iteration = s->trainer.iteration;
    if (!log_open(&s->log, run_dir_file(&s->dir, "run.log", path), quiet, err) || !write_spec(s, err) ||
        !csv_open(&s->train, run_dir_file(&s->dir, "train.csv", path), TRAIN_HEADER, iteration, err) ||
        !csv_open(&s->eval, run_dir_file(&s->dir, "eval.csv", path), EVAL_HEADER, iteration, err))
        return false;
    double seconds = fmax(s->train.last_seconds, s->eval.last_seconds);
    s->window_start = clock_seconds();
    s->start = s->window_start - seconds;
    return true;
}

static void log_opening(struct session *s) {
    const struct experiment *e = s->experiment;
    const struct dataset *d = &s->dataset;
    size_t weights = 0;
    for (int i = 0; i < s->trainer.model.tensor_count; i++)
        weights += s->trainer.model.tensors[i]->trained ? s->trainer.model.tensors[i]->count : 0;
    log_line(&s->log, "spherenet %s: %s on %s", SPHERENET_VERSION, e->name, e->data.kind->name);
    log_line(&s->log, "machine: %s, %d thread%s", cpu_description(), e->threads, e->threads == 1 ? "" : "s");
    log_line(&s->log, "products: %s", blas_library());
    const char *warning = blas_core_warning(e->train.openblas_core);
    if (warning)
        log_warning(&s->log, "%s", warning);
    log_line(&s->log, "data: %d training and %d test images of %dx%dx%d, %d classes", d->splits[SPLIT_TRAIN].count,
             d->splits[SPLIT_TEST].count, d->height, d->width, d->channels, d->classes);
    log_line(&s->log, "network: %s, %zu weights, %.0f MB for batches of %d", e->network.kind->name, weights,
             (double)(plan_sizes(&s->trainer.model.planner).total * sizeof(real)) / 1e6, e->train.batch_size);
    if (*e->train.init_from && s->saved < 0)
        log_line(&s->log, "weights: those of %s%s", e->train.init_from,
                 e->train.init_classifier == INIT_DRAW ? ", the last layer's drawn" : "");
    if (s->init_notes.length)
        log_line(&s->log, "%s", s->init_notes.data);
    log_line(&s->log, "run: %s", s->dir.path);
}

/* --- Running ----------------------------------------------------------------------------------------------------- */

static double seconds_of(const struct session *s) {
    return clock_seconds() - s->start;
}

static double epoch_of(const struct session *s) {
    return (double)s->trainer.iteration * s->experiment->train.batch_size / s->dataset.splits[SPLIT_TRAIN].count;
}

static bool is_due(const struct session *s, int every) {
    int64_t iteration = s->trainer.iteration;
    return iteration == s->experiment->train.iterations || (every && iteration % every == 0);
}

static bool save(struct session *s, struct error *err) {
    char path[PATH_BYTES];
    int64_t iteration = s->trainer.iteration;
    if (s->saved == iteration)
        return true;
    if (!csv_sync(&s->train, err) || !csv_sync(&s->eval, err) ||
        !checkpoint_save(run_dir_checkpoint(&s->dir, iteration, path), &s->trainer, &s->dataset, s->best, err))
        return false;
    s->saved = iteration;
    if (!link_checkpoints(s, err))
        return false;
    prune(s);
    return true;
}

/* A row that could not be written waits for the next one, and no checkpoint is made without it (csv_sync): nothing is
 * lost by going on. */
static void after_row(struct session *s, const struct error *problem, bool written) {
    if (!written && !s->rows_wait)
        log_warning(&s->log, "%s; going on, the row waits until it can be", problem->text);
    s->rows_wait = !written;
}

/* Tests, and makes the checkpoint that `best` will point to when the test was the best so far. */
static bool test(struct session *s, struct error *err) {
    struct evaluation result;
    double before = clock_seconds();
    bool good =
        evaluate_split(s->experiment, &s->trainer.model, &s->trainer.loss, &s->dataset, SPLIT_TEST, &result, NULL, err);
    evaluation_free(&result);
    if (!good)
        return false;
    bool is_best = s->best.iteration < 0 || result.accuracy > s->best.accuracy;
    if (is_best)
        s->best = (struct best_test){s->trainer.iteration, result.accuracy};
    log_line(&s->log, "iteration %" PRId64 ": test accuracy %.4f, loss %.4f%s", s->trainer.iteration, result.accuracy,
             result.loss, is_best ? ", the best so far" : "");
    s->window_start += clock_seconds() - before; /* tests do not count as training time */
    struct error problem;
    after_row(s, &problem,
              csv_row(&s->eval, &problem, "%" PRId64 ",%.4f,%s,%.6g,%.6g,%.2f", s->trainer.iteration, epoch_of(s),
                      split_names[SPLIT_TEST], result.loss, result.accuracy, seconds_of(s)));
    return !is_best || save(s, err);
}

static void record(struct session *s, const struct step_result *step) {
    struct error problem;
    double loss = step->fit + step->weight_decay + step->orthogonality;
    after_row(s, &problem,
              csv_row(&s->train, &problem, "%" PRId64 ",%.4f,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.1f,%.2f",
                      s->trainer.iteration, epoch_of(s), step->rate, loss, step->fit, step->weight_decay,
                      step->orthogonality, step->accuracy, step->lambda, step->gradient_norm, s->images_per_second,
                      seconds_of(s)));
}

static void measure_speed(struct session *s) {
    double now = clock_seconds();
    s->window_images += s->experiment->train.batch_size;
    if (now <= s->window_start)
        return;
    s->images_per_second = (double)s->window_images / (now - s->window_start);
    if (now - s->window_start > 5) { /* the last seconds count, not the whole run */
        s->window_start = now;
        s->window_images = 0;
    }
}

/* Of a loss with a margin alone: without one, other causes are likelier. */
static void watch_chance(struct session *s, const struct step_result *step) {
    const struct experiment *e = s->experiment;
    if (!loss_type_of(e->loss)->lambda ||
        !plateau_add(&s->chance, step->accuracy, e->shape.classes, s->trainer.iteration))
        return;
    log_warning(&s->log,
                "iteration %" PRId64
                ": accuracy stays at chance under the margin of %s (lambda is %.4g). Let the margin "
                "come more slowly (a larger loss.annealing.base or minimum, a smaller gamma), or train without margin "
                "first and start from that run with train.init_from",
                s->trainer.iteration, e->loss.kind->name, step->lambda);
}

static const char *last_checkpoint(const struct session *s, char *text, size_t bytes) {
    if (s->saved >= 0)
        snprintf(text, bytes, "the last checkpoint is that of iteration %" PRId64, s->saved);
    else
        snprintf(text, bytes, "there is no checkpoint yet");
    return text;
}

/* The update was left out. Whether to go on all the same. */
static bool after_divergence(struct session *s, int batch_size, const struct step_result *step, struct error *err) {
    struct text what = {0};
    char checkpoint[64];
    divergence_describe(&what, &s->trainer.model, batch_size, step->fit);
    bool skip = s->experiment->train.on_divergence == DIVERGENCE_SKIP && ++s->skips <= MOST_SKIPS;
    if (skip)
        log_warning(&s->log, "iteration %" PRId64 ": %s; this update is left out", s->trainer.iteration, what.data);
    else
        error_set(err, "iteration %" PRId64 ": %s; %s%s. Lower optimizer.learning_rate, or set optimizer.clip_norm",
                  s->trainer.iteration, what.data,
                  s->skips > MOST_SKIPS ? "too many updates in a row were left out; " : "",
                  last_checkpoint(s, checkpoint, sizeof checkpoint));
    text_free(&what);
    return skip;
}

static bool step(struct session *s, struct loader *loader, struct error *err) {
    const struct train_config *train = &s->experiment->train;
    const struct batch *batch = loader_next(loader);
    if (!batch)
        return loader_good(loader, err);
    struct step_result result = trainer_step(&s->trainer, batch);
    measure_speed(s);
    if (result.updated)
        s->skips = 0;
    else if (!after_divergence(s, batch->count, &result, err))
        return false;
    watch_chance(s, &result);
    struct progress progress = {s->trainer.iteration, train->iterations, result.fit, result.accuracy,
                                s->images_per_second};
    log_progress(&s->log, &progress, train->batch_size);
    if (is_due(s, train->log_every))
        record(s, &result);
    return (!is_due(s, train->eval_every) || test(s, err)) && (!is_due(s, train->checkpoint_every) || save(s, err));
}

/* Iterations until the last one or a signal. */
static bool run_steps(struct session *s, struct loader *loader, struct error *err) {
    while (s->trainer.iteration < s->experiment->train.iterations && !interrupt_signal()) {
        if (!step(s, loader, err))
            return false;
        if (interrupt_checkpoint() && s->trainer.iteration > s->saved) {
            if (!save(s, err))
                return false;
            log_line(&s->log, "iteration %" PRId64 ": checkpoint, as a signal asked", s->trainer.iteration);
        }
    }
    return true;
}

/* Ended by a signal: what was trained so far is kept. */
static bool end_early(struct session *s, struct error *err) {
    char checkpoint[64];
    if (s->trainer.iteration > 0 && !save(s, err))
        return false;
    log_line(&s->log, "ended at iteration %" PRId64 " by signal %d (%s); %s", s->trainer.iteration, interrupt_signal(),
             strsignal(interrupt_signal()), last_checkpoint(s, checkpoint, sizeof checkpoint));
    return true;
}

static bool train(struct session *s, struct error *err) {
    const struct train_config *train = &s->experiment->train;
    if (s->trainer.iteration >= train->iterations) {
        log_line(&s->log, "the run is finished: %" PRId64 " of %d iterations; to go on, give a larger train.iterations",
                 s->trainer.iteration, train->iterations);
        return true;
    }
    struct loader *loader = loader_train(&s->dataset, experiment_data(s->experiment), (uint64_t)s->experiment->seed,
                                         train->batch_size, s->trainer.iteration, err);
    if (!loader)
        return false;
    bool good = run_steps(s, loader, err);
    loader_close(loader);
    if (good && s->trainer.iteration < train->iterations)
        return end_early(s, err);
    if (good)
        log_line(&s->log, "done: best test accuracy %.4f at iteration %" PRId64 "; %.0f s; results in %s",
                 s->best.accuracy, s->best.iteration, seconds_of(s), s->dir.path);
    return good;
}

static void close_session(struct session *s) {
    csv_close(&s->train);
    csv_close(&s->eval);
    log_close(&s->log);
    trainer_close(&s->trainer);
    dataset_free(&s->dataset);
    run_dir_close(&s->dir);
    text_free(&s->init_notes);
    text_free(&s->skipped);
}

static void log_skipped(struct session *s) {
    for (char *line = s->skipped.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        log_warning(&s->log, "%s", line);
    }
}

enum session_end session_run(const struct experiment *experiment, const struct session_options *options,
                             struct error *err) {
    struct session s = {
        .experiment = experiment, .best = {-1, 0}, .saved = -1, .train.fd = -1, .eval.fd = -1, .dir.lock = -1};
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "runs/%s", experiment->name);
    interrupt_listen(options->quiet);
    bool good = dataset_load(&s.dataset, experiment->data, (uint64_t)experiment->seed, err) &&
                trainer_open(&s.trainer, experiment, err) && (options->mode == RUN_RESUME || initialise(&s, err)) &&
                run_dir_open(&s.dir, options->run_dir ? options->run_dir : path, options->mode, err) &&
                (options->mode != RUN_RESUME || load_newest(&s, err)) &&
                (s.saved >= 0 || standardize(&s.dataset, experiment->data, err)) && open_files(&s, options->quiet, err);
    if (good) {
        log_opening(&s);
        log_skipped(&s);
        if (s.saved >= 0)
            log_line(&s.log, "resumed at iteration %" PRId64, s.trainer.iteration);
        else if (options->mode == RUN_RESUME)
            log_line(&s.log, "there was no checkpoint yet: begun again");
        good = train(&s, err);
        if (!good)
            log_line(&s.log, "stopped: %s", err->text);
    }
    bool early = good && s.trainer.iteration < experiment->train.iterations;
    close_session(&s);
    return !good ? SESSION_FAILED : early ? SESSION_INTERRUPTED : SESSION_DONE;
}
