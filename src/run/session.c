#include "run/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/version.h"
#include "data/standardize.h"
#include "loss/loss.h"
#include "machine/cpu.h"
#include "machine/openblas.h"
#include "run/checkpoint.h"
#include "run/curves.h"
#include "run/interrupt.h"
#include "run/resume.h"
#include "train/divergence.h"
#include "train/evaluate.h"
#include "train/plateau.h"

struct session {
    const struct experiment *experiment;
    struct dataset dataset;
    struct trainer trainer;
    struct run_dir dir;
    struct log log;
    struct curves curves;
    struct resume_point point; /* of a resume now */
    struct text skipped;       /* a line for each damaged checkpoint that was passed over */
    struct plateau chance;
    int skips; /* updates left out, one after the other */
};

enum { MOST_SKIPS = 20 }; /* more in a row, and nothing will change any more */

/* --- Opening ----------------------------------------------------------------------------------------------------- */

/* Points `latest` and `best` to where they belong. */
static bool link_checkpoints(const struct session *s, struct error *err) {
    return run_dir_link(&s->dir, "latest", s->point.saved, err) &&
           (s->point.best.iteration < 0 || run_dir_link(&s->dir, "best", s->point.best.iteration, err));
}

static void prune(const struct session *s) {
    run_dir_prune(&s->dir, s->point.saved, s->experiment->train.keep, s->point.best.iteration);
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
    bool good = checkpoint_initialise(&file, path, &s->trainer.model, drawn, err);
    safetensors_close(&file);
    return good;
}

static bool resume(struct session *s, struct error *err) {
    if (!resume_load(&s->dir, &s->dataset, &s->trainer, &s->point, &s->skipped, err))
        return false;
    if (s->point.saved < 0)
        return initialise(s, err); /* the run was stopped before its first checkpoint: it begins again */
    if (!link_checkpoints(s, err))
        return false;
    prune(s); /* as the process that was killed would have */
    return true;
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
    return log_open(&s->log, run_dir_file(&s->dir, "run.log", path), quiet, err) && write_spec(s, err) &&
           curves_open(&s->curves, &s->dir, s->trainer.iteration, s->experiment->train.batch_size,
                       s->dataset.splits[SPLIT_TRAIN].count, err);
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
    if (*e->train.init_from && s->point.saved < 0)
        log_line(&s->log, "weights: those of %s%s", e->train.init_from,
                 e->train.init_classifier == INIT_DRAW ? ", the last layer's drawn" : "");
    log_line(&s->log, "run: %s", s->dir.path);
}

/* --- Running ----------------------------------------------------------------------------------------------------- */

static bool is_due(const struct session *s, int every) {
    int64_t iteration = s->trainer.iteration;
    return iteration == s->experiment->train.iterations || (every && iteration % every == 0);
}

static bool save(struct session *s, struct error *err) {
    char path[PATH_BYTES];
    int64_t iteration = s->trainer.iteration;
    if (s->point.saved == iteration)
        return true;
    if (!curves_sync(&s->curves, err) ||
        !checkpoint_save(run_dir_checkpoint(&s->dir, iteration, path), &s->trainer, &s->dataset, s->point.best, err))
        return false;
    s->point.saved = iteration;
    if (!link_checkpoints(s, err))
        return false;
    prune(s);
    return true;
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
    bool is_best = s->point.best.iteration < 0 || result.accuracy > s->point.best.accuracy;
    if (is_best)
        s->point.best = (struct best_test){s->trainer.iteration, result.accuracy};
    log_line(&s->log, "iteration %" PRId64 ": test accuracy %.4f, loss %.4f%s", s->trainer.iteration, result.accuracy,
             result.loss, is_best ? ", the best so far" : "");
    curves_leave_out(&s->curves, clock_seconds() - before); /* tests do not count as training time */
    curves_add_test(&s->curves, s->trainer.iteration, &result, &s->log);
    return !is_best || save(s, err);
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
    if (s->point.saved >= 0)
        snprintf(text, bytes, "the last checkpoint is that of iteration %" PRId64, s->point.saved);
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
    curves_count_step(&s->curves);
    if (result.updated)
        s->skips = 0;
    else if (!after_divergence(s, batch->count, &result, err))
        return false;
    watch_chance(s, &result);
    struct progress progress = {s->trainer.iteration, train->iterations, result.fit, result.accuracy,
                                s->curves.images_per_second};
    log_progress(&s->log, &progress, train->batch_size);
    if (is_due(s, train->log_every))
        curves_add_step(&s->curves, s->trainer.iteration, &result, &s->log);
    if (is_due(s, train->eval_every) && !test(s, err))
        return false;
    return !is_due(s, train->checkpoint_every) || save(s, err);
}

/* Iterations until the last one or a signal. */
static bool run_steps(struct session *s, struct loader *loader, struct error *err) {
    while (s->trainer.iteration < s->experiment->train.iterations && !interrupt_signal()) {
        if (!step(s, loader, err))
            return false;
        if (interrupt_checkpoint() && s->trainer.iteration > s->point.saved) {
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
                 s->point.best.accuracy, s->point.best.iteration, curves_seconds(&s->curves), s->dir.path);
    return good;
}

static void close_session(struct session *s) {
    curves_close(&s->curves);
    log_close(&s->log);
    trainer_close(&s->trainer);
    dataset_free(&s->dataset);
    run_dir_close(&s->dir);
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
    struct session s = {.experiment = experiment, .point = RESUME_NOTHING, .curves = CURVES_CLOSED, .dir.lock = -1};
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "runs/%s", experiment->name);
    interrupt_listen(options->quiet);
    bool good = dataset_load(&s.dataset, experiment->data, (uint64_t)experiment->seed, err) &&
                trainer_open(&s.trainer, experiment, err) && (options->mode == RUN_RESUME || initialise(&s, err)) &&
                run_dir_open(&s.dir, options->run_dir ? options->run_dir : path, options->mode, err) &&
                (options->mode != RUN_RESUME || resume(&s, err)) &&
                (s.point.saved >= 0 || standardize(&s.dataset, experiment->data, err)) &&
                open_files(&s, options->quiet, err);
    if (good) {
        log_opening(&s);
        log_skipped(&s);
        if (s.point.saved >= 0)
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
