#include "run/session.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "data/standardize.h"
#include "loss/loss.h"
#include "run/checkpoint.h"
#include "run/curves.h"
#include "run/init_from.h"
#include "run/interrupt.h"
#include "run/report.h"
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
    struct text init_notes;    /* lines on the weights of train.init_from */
    struct text skipped;       /* a line for each damaged checkpoint that was passed over */
    struct plateau chance;
    int64_t averaged; /* iteration whose network's batch normalisation was averaged anew; -1: none */
    bool lag_told;
    int skips; /* updates left out, one after the other */
};

enum { MOST_SKIPS = 20 }; /* more in a row, and nothing will change any more */

/* --- Opening ----------------------------------------------------------------------------------------------------- */

/* Points `latest` and `best` to where they belong, then removes what is not kept. */
static bool link_and_prune(const struct session *s, struct error *err) {
    int64_t saved = s->point.saved, best = s->point.best.iteration;
    if (!run_dir_link(&s->dir, "latest", saved, err))
        return false;
    if (best >= 0 && !run_dir_link(&s->dir, "best", best, err))
        return false;
    run_dir_prune(&s->dir, saved, s->experiment->train.keep, best);
    return true;
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

static bool resume(struct session *s, struct error *err) {
    if (!resume_load(&s->dir, &s->dataset, &s->trainer, &s->point, &s->skipped, err))
        return false;
    if (s->point.saved < 0)
        return initialise(s, err); /* the run was stopped before its first checkpoint: it begins again */
    return link_and_prune(s, err); /* as the process that was killed would have */
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

/* Nothing of an earlier run is touched before data and network stand. */
static bool open_session(struct session *s, const struct session_options *options, struct error *err) {
    const struct experiment *experiment = s->experiment;
    bool resumes = options->mode == RUN_RESUME || options->mode == RUN_AUTO_RESUME;
    char path[PATH_BYTES];
    if (!dataset_load(&s->dataset, experiment->data, (uint64_t)experiment->seed, err) ||
        !trainer_open(&s->trainer, experiment, err))
        return false;
    if (!resumes && !initialise(s, err))
        return false;
    snprintf(path, sizeof path, "runs/%s", experiment->name);
    if (!run_dir_open(&s->dir, options->run_dir ? options->run_dir : path, options->mode, err))
        return false;
    if (resumes && !resume(s, err))
        return false;
    if (s->point.saved < 0 && !standardize(&s->dataset, experiment->data, err))
        return false;
    return open_files(s, options->quiet, err);
}

static void report_start(struct session *s, enum run_mode mode) {
    bool loaded = s->point.saved >= 0;
    report_opening(&s->log, &s->trainer, &s->dataset, *s->experiment->train.init_from && !loaded, s->dir.path);
    if (s->init_notes.length)
        log_line(&s->log, "%s", s->init_notes.data);
    report_skipped(&s->log, s->skipped.data);
    if (loaded)
        log_line(&s->log, "resumed at iteration %" PRId64, s->trainer.iteration);
    else if (mode == RUN_AUTO_RESUME && !s->dir.held)
        log_line(&s->log, "there was no run yet: begun");
    else if (mode == RUN_RESUME || mode == RUN_AUTO_RESUME)
        log_line(&s->log, "there was no checkpoint yet: begun again");
}

/* --- Running ----------------------------------------------------------------------------------------------------- */

static bool is_due(const struct session *s, int every) {
    int64_t iteration = s->trainer.iteration;
    return iteration == s->experiment->train.iterations || (every && iteration % every == 0);
}

/* Before a test and before a checkpoint, so that neither depends on when the other is made. */
static bool average_anew(struct session *s, struct error *err) {
    if (!s->experiment->train.batch_norm_images || s->averaged == s->trainer.iteration)
        return true;
    s->averaged = s->trainer.iteration;
    return trainer_average_anew(&s->trainer, &s->dataset, err);
}

static bool save(struct session *s, struct error *err) {
    char path[PATH_BYTES];
    int64_t iteration = s->trainer.iteration;
    if (s->point.saved == iteration)
        return true;
    if (!average_anew(s, err) || !curves_sync(&s->curves, err) ||
        !checkpoint_save(run_dir_checkpoint(&s->dir, iteration, path), &s->trainer, &s->dataset, s->point.best, err))
        return false;
    s->point.saved = iteration;
    return link_and_prune(s, err);
}

enum { LAG_IMAGES = 10 }; /* the fewest that tell it from chance */
#define LAG 0.1           /* of accuracy */

/* Whether a test sees a much worse network than the training does, as of the batch that was just trained on. */
static void watch_lag(struct session *s, const struct batch *batch, const struct step_result *step) {
    if (s->lag_told || !model_has_averages(&s->trainer.model))
        return;
    double test = trainer_test_batch(&s->trainer, batch), lag = step->accuracy - test;
    if (lag < LAG || lag * batch->count < LAG_IMAGES)
        return;
    report_lag(&s->log, s->trainer.iteration, step->accuracy, test);
    s->lag_told = true;
}

/* Tests, and makes the checkpoint that `best` will point to when the test was the best so far. */
static bool test(struct session *s, const struct batch *batch, const struct step_result *step, struct error *err) {
    struct evaluation result;
    double before = clock_seconds();
    if (!average_anew(s, err))
        return false;
    watch_lag(s, batch, step);
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
    if (loss_type_of(e->loss)->lambda &&
        plateau_add(&s->chance, step->accuracy, e->shape.classes, s->trainer.iteration))
        report_chance(&s->log, &s->trainer, step->lambda);
}

/* The update was left out. Whether to go on all the same. */
static bool after_divergence(struct session *s, int batch_size, const struct step_result *step, struct error *err) {
    struct text what = {0};
    divergence_describe(&what, &s->trainer.model, batch_size, step->fit);
    bool skip = s->experiment->train.on_divergence == DIVERGENCE_SKIP && ++s->skips <= MOST_SKIPS;
    if (skip)
        report_left_out(&s->log, s->trainer.iteration, what.data);
    else
        report_diverged(err, s->trainer.iteration, what.data, s->skips > MOST_SKIPS, s->point.saved);
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
    if (is_due(s, train->eval_every) && !test(s, batch, &result, err))
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
    if (s->trainer.iteration > 0 && !save(s, err))
        return false;
    report_ended(&s->log, s->trainer.iteration, interrupt_signal(), s->point.saved);
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
    text_free(&s->init_notes);
    text_free(&s->skipped);
}

enum session_end session_run(const struct experiment *experiment, const struct session_options *options,
                             struct error *err) {
    struct session s = {
        .experiment = experiment, .point = RESUME_NOTHING, .curves = CURVES_CLOSED, .dir.lock = -1, .averaged = -1};
    interrupt_listen(options->quiet);
    bool good = open_session(&s, options, err);
    if (good) {
        report_start(&s, options->mode);
        good = train(&s, err);
        if (!good)
            log_line(&s.log, "stopped: %s", err->text);
    }
    bool early = good && s.trainer.iteration < experiment->train.iterations;
    close_session(&s);
    return !good ? SESSION_FAILED : early ? SESSION_INTERRUPTED : SESSION_DONE;
}
