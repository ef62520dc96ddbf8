#include "run/session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "data/contents.h"
#include "data/standardize.h"
#include "loss/loss.h"
#include "run/checkpoint.h"
#include "run/curves.h"
#include "run/init_from.h"
#include "run/interrupt.h"
#include "run/report.h"
#include "run/resume.h"
#include "run/unreached.h"
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
    struct init_notes init_notes;
    struct text skipped; /* a line for each damaged checkpoint that was passed over */
    struct plateau chance;
    int64_t averaged; /* iteration whose network's batch normalisation was averaged anew; -1: none */
    int until;        /* as in session_options */
    bool begun;       /* without a checkpoint of its own */
    bool checkpoint_asked;
    bool lag_told;
    double longest_step;               /* seconds */
    int skips;                         /* updates left out, one after the other */
    bool lacks_links, warned_of_links; /* the links could not be made: the last time; at all */
};

/* With a step that a signal waits for: seconds, and longest steps so far. */
enum { LEAST_PATIENCE = 10, PATIENCE = 20 };

enum { MOST_SKIPS = 20 }; /* more in a row, and nothing will change any more */

/* --- Opening ----------------------------------------------------------------------------------------------------- */

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

/* A run without a checkpoint of its own. */
static bool begin(struct session *s, struct error *err) {
    s->begun =
        resume_nothing(s->experiment, err) && initialise(s, err) && standardize(&s->dataset, s->experiment->data, err);
    return s->begun;
}

static bool resume(struct session *s, struct error *err) {
    if (!resume_load(&s->dir, &s->dataset, &s->trainer, &s->point, &s->skipped, err))
        return false;
    if (s->point.saved < 0 && !s->begun)
        return begin(s, err); /* the run was stopped before its first checkpoint: it begins again */
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

/* Begins a run where there is none to resume, so that a mistake leaves no folder; opens the folder; resumes. */
static bool open_folder(struct session *s, const char *folder, enum run_mode mode, struct error *err) {
    bool resumes = mode == RUN_RESUME || mode == RUN_AUTO_RESUME;
    if (mode == RUN_AUTO_RESUME && !run_dir_look(&s->dir, folder, mode, err))
        return false;
    if ((!resumes || (mode == RUN_AUTO_RESUME && !s->dir.held)) && !begin(s, err))
        return false;
    return run_dir_open(&s->dir, folder, mode, err) && (!resumes || resume(s, err));
}

/* Of several processes the first alone has folder and files, and what it tells nobody else does. */
static bool open_run(struct session *s, const struct session_options *options, struct error *err) {
    char path[PATH_BYTES];
    if (!group_is_first(s->experiment->group))
        return log_open(&s->log, "/dev/null", true, err);
    snprintf(path, sizeof path, "runs/%s", s->experiment->name);
    return open_folder(s, options->run_dir ? options->run_dir : path, options->mode, err) &&
           open_files(s, options->quiet, err);
}

/* Gives all processes what the first one has begun with, or has loaded. */
static void share_beginning(struct session *s) {
    const struct group *group = s->experiment->group;
    struct data_config *data = s->experiment->data.config;
    struct trainer *trainer = &s->trainer;
    struct plan_sizes sizes = plan_sizes(&trainer->model.planner);
    group_broadcast(group, trainer->model.memory.values, (sizes.trained + sizes.buffers) * sizeof(real));
    for (int i = 0; i < trainer->optimizer->slots; i++)
        group_broadcast(group, trainer->slots[i], trainer->trained * sizeof(real));
    group_broadcast(group, &trainer->iteration, sizeof trainer->iteration);
    group_broadcast(group, &trainer->left_out, sizeof trainer->left_out);
    group_broadcast(group, &s->point, sizeof s->point);
    group_broadcast(group, &data->pixel_mean, sizeof data->pixel_mean);
    group_broadcast(group, &data->pixel_scale, sizeof data->pixel_scale);
}

/* Nothing of an earlier run is touched before data and network stand. */
static bool open_session(struct session *s, const struct session_options *options, struct error *err) {
    const struct experiment *experiment = s->experiment;
    bool stands = dataset_load(&s->dataset, experiment->data, (uint64_t)experiment->seed, err) &&
                  contents_measure(&s->dataset, err) && trainer_open(&s->trainer, experiment, err);
    if (!group_agree(experiment->group, stands, err) || !group_agree(experiment->group, open_run(s, options, err), err))
        return false;
    share_beginning(s);
    return true;
}

static void report_start(struct session *s, enum run_mode mode) {
    bool initialised = *s->experiment->train.init_from && s->point.saved < 0;
    report_opening(&s->log, &s->trainer, &s->dataset, initialised, s->dir.path);
    if (s->init_notes.unused.length)
        log_warning(&s->log, "%s", s->init_notes.unused.data);
    if (s->init_notes.lines.length)
        log_line(&s->log, "%s", s->init_notes.lines.data);
    report_skipped(&s->log, s->skipped.data);
    if (s->dir.lockless)
        log_warning(&s->log, "%s: its file system has no locks, so nothing keeps a second training out of this folder",
                    s->dir.path);
    report_place(&s->log, &s->point, s->trainer.iteration, mode, s->dir.held);
}

/* --- Checkpoints ------------------------------------------------------------------------------------------------- */

/* Points `latest` and `best` to where they belong. Nothing needs the links, and some file systems have none, so a run
 * goes on without them. */
static void link_checkpoints(struct session *s) {
    struct error why;
    int64_t best = s->point.best.iteration;
    s->lacks_links = !run_dir_link(&s->dir, "latest", s->point.saved, &why);
    s->lacks_links |= best >= 0 && !run_dir_link(&s->dir, "best", best, &why);
    if (s->lacks_links && !s->warned_of_links)
        log_warning(&s->log, "%s; going on without links: eval.csv says which checkpoint is the best", why.text);
    s->warned_of_links |= s->lacks_links;
}

/* As it is after each checkpoint: what is not kept goes when the links are right. An error where there are no links
 * since there is no folder any more. */
static bool tidy(struct session *s, struct error *err) {
    char path[PATH_BYTES];
    link_checkpoints(s);
    if (s->lacks_links && access(run_dir_checkpoint(&s->dir, s->point.saved, path), F_OK))
        return error_set_errno(err, "%s: has gone", path);
    run_dir_prune(&s->dir, s->point.saved, s->experiment->train.keep, s->point.best.iteration);
    return true;
}

/* As the process that was killed would have. */
static bool tidy_resumed(struct session *s, struct error *err) {
    const struct group *group = s->experiment->group;
    return group_agree(group, s->point.saved < 0 || !group_is_first(group) || tidy(s, err), err);
}

/* Before a test and before a checkpoint, so that neither depends on when the other is made. */
static bool average_anew(struct session *s, struct error *err) {
    if (!s->experiment->train.batch_norm_images || s->averaged == s->trainer.iteration)
        return true;
    double before = clock_seconds();
    bool good = trainer_average_anew(&s->trainer, &s->dataset, err);
    curves_leave_out(&s->curves, clock_seconds() - before);
    s->averaged = s->trainer.iteration;
    return good;
}

static bool store(struct session *s, struct error *err) {
    char path[PATH_BYTES];
    int64_t iteration = s->trainer.iteration;
    if (!curves_sync(&s->curves, err) ||
        !checkpoint_save(run_dir_checkpoint(&s->dir, iteration, path), &s->trainer, &s->dataset, s->point.best, err))
        return false;
    s->point.saved = iteration;
    return tidy(s, err);
}

static bool write_checkpoint(struct session *s, struct error *err) {
    const struct group *group = s->experiment->group;
    if (!group_agree(group, !group_is_first(group) || store(s, err), err))
        return false;
    s->point.saved = s->trainer.iteration;
    return true;
}

/* --- Curves ------------------------------------------------------------------------------------------------------ */

static void add_step(struct session *s, const struct step_result *result) {
    if (group_is_first(s->experiment->group))
        curves_add_step(&s->curves, s->trainer.iteration, result, &s->log);
}

static void add_test(struct session *s, int split, const struct evaluation *result) {
    if (group_is_first(s->experiment->group))
        curves_add_test(&s->curves, s->trainer.iteration, split, result, &s->log);
}

/* --- Running ----------------------------------------------------------------------------------------------------- */

/* Whether as many tests as train.patience says came after the best one. */
static bool out_of_patience(const struct session *s) {
    int patience = s->experiment->train.patience;
    return patience && s->point.best.since >= patience;
}

static bool is_done(const struct session *s) {
    return s->trainer.iteration >= s->experiment->train.iterations || out_of_patience(s);
}

static bool is_due(const struct session *s, int every) {
    int64_t iteration = s->trainer.iteration;
    return iteration == s->experiment->train.iterations || (every && iteration % every == 0);
}

static bool has_validation(const struct session *s) {
    return s->dataset.splits[SPLIT_VALIDATION].count > 0;
}

/* A test whose splits are all finite: whether it is the best so far. validation: NULL where there are no such images.
 */
static bool take_test(struct session *s, const struct evaluation *validation, const struct evaluation *test) {
    double accuracy = (validation ? validation : test)->accuracy;
    bool is_best = s->point.best.iteration < 0 || accuracy > s->point.best.accuracy;
    if (is_best)
        s->point.best = (struct best_test){s->trainer.iteration, accuracy, test->accuracy, 0};
    report_test(&s->log, s->trainer.iteration, validation, test, is_best);
    return is_best;
}

/* A test that is not finite. Whether to go on all the same. */
static bool after_failed_test(struct session *s, int split, const char *what, struct error *err) {
    bool skip = s->experiment->train.on_divergence == DIVERGENCE_SKIP;
    if (skip)
        report_failed_test(&s->log, s->trainer.iteration, split, what);
    else
        report_failed_last_test(err, s->trainer.iteration, split, what, s->point.saved);
    return skip;
}

static bool save(struct session *s, struct error *err) {
    return s->point.saved == s->trainer.iteration || (average_anew(s, err) && write_checkpoint(s, err));
}

enum { LAG_IMAGES = 10 }; /* the fewest that tell it from chance */
#define LAG 0.1           /* of accuracy */

/* Whether a test sees a much worse network than the training does, as of the batch that was just trained on. */
static void watch_lag(struct session *s, const struct batch *batch, const struct step_result *step) {
    if (s->lag_told || s->experiment->train.batch_norm_images || !model_has_averages(&s->trainer.model))
        return;
    double test = trainer_test_batch(&s->trainer, batch), lag = step->accuracy - test;
    if (lag < LAG || lag * batch->count < LAG_IMAGES)
        return;
    report_lag(&s->log, s->trainer.iteration, step->accuracy, test);
    s->lag_told = true;
}

/* The numbers of one split, and its row. *finite becomes false where its loss is not. */
static bool test_split(struct session *s, int split, struct evaluation *result, bool *finite, struct error *err) {
    double before = clock_seconds();
    bool good =
        evaluate_split(s->experiment, &s->trainer.model, &s->trainer.loss, &s->dataset, split, result, NULL, err);
    curves_leave_out(&s->curves, clock_seconds() - before); /* tests do not count as training time */
    if (good) {
        add_test(s, split, result);
        *finite = *finite && evaluation_is_finite(result);
        good = evaluation_is_finite(result) || after_failed_test(s, split, result->not_finite.data, err);
    }
    evaluation_free(result); /* the numbers stay */
    return good;
}

/* Tests, and makes the checkpoint that `best` will point to when the test was the best so far. */
static bool test(struct session *s, const struct batch *batch, const struct step_result *step, struct error *err) {
    struct evaluation validation, test;
    bool finite = true, validates = has_validation(s);
    if (!average_anew(s, err))
        return false;
    double before = clock_seconds();
    watch_lag(s, batch, step);
    curves_leave_out(&s->curves, clock_seconds() - before);
    if (validates && !test_split(s, SPLIT_VALIDATION, &validation, &finite, err))
        return false;
    if (!test_split(s, SPLIT_TEST, &test, &finite, err))
        return false;
    s->point.best.since++;
    return !finite || !take_test(s, validates ? &validation : NULL, &test) || save(s, err);
}

/* Of a loss with a margin alone: without one, other causes are likelier. */
static void watch_chance(struct session *s, const struct step_result *step) {
    const struct experiment *e = s->experiment;
    if (loss_type_of(e->loss)->annealing &&
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

/* A signal is not held up for ever by a step that does not end. */
static struct step_result compute_step(struct session *s, const struct batch *batch) {
    char farewell[160];
    double before = clock_seconds();
    interrupt_watch(fmax(LEAST_PATIENCE, PATIENCE * s->longest_step),
                    report_given_up(farewell, sizeof farewell, s->point.saved));
    struct step_result result = trainer_step(&s->trainer, batch);
    interrupt_unwatch();
    s->longest_step = fmax(s->longest_step, clock_seconds() - before);
    return result;
}

/* Images that could not be read, and for which others were taken. */
static void report_bad_images(struct session *s) {
    struct text lines = {0};
    dataset_tell_bad(&s->dataset, &lines);
    report_skipped(&s->log, lines.data);
    text_free(&lines);
}

static bool step(struct session *s, struct loader *loader, struct error *err) {
    const struct train_config *train = &s->experiment->train;
    interrupt_promise_checkpoint();
    const struct batch *batch = loader_next(loader);
    if (!group_agree(s->experiment->group, batch || loader_good(loader, err), err) || !batch)
        return false;
    struct step_result result = compute_step(s, batch);
    curves_count_step(&s->curves);
    if (result.updated)
        s->skips = 0;
    else if (!after_divergence(s, batch->count, &result, err))
        return false;
    watch_chance(s, &result);
    struct progress progress = {s->trainer.iteration, train->iterations, result.fit, result.accuracy,
                                s->curves.images_per_second};
    log_progress(&s->log, &progress, train->batch_size);
    report_bad_images(s);
    if (is_due(s, train->log_every))
        add_step(s, &result);
    if (is_due(s, train->eval_every) && !test(s, batch, &result, err))
        return false;
    if (out_of_patience(s) && !is_due(s, train->log_every)) /* the last row, as of a run that goes to its end */
        add_step(s, &result);
    return (!is_due(s, train->checkpoint_every) && !out_of_patience(s)) || save(s, err);
}

static bool is_far_enough(const struct session *s) {
    return s->until && s->trainer.iteration >= s->until;
}

/* Whether a signal to any of the processes asks for the end; a checkpoint may be asked for as well. */
static bool hears_end(struct session *s) {
    int asked[] = {interrupt_signal(), s->checkpoint_asked | interrupt_checkpoint()};
    group_largest(s->experiment->group, asked, 2);
    interrupt_hear(asked[0]);
    s->checkpoint_asked = asked[1];
    return asked[0] != 0;
}

/* After the first iteration at the earliest. */
static bool save_if_asked(struct session *s, struct error *err) {
    if (!s->checkpoint_asked || s->trainer.iteration == 0)
        return true;
    s->checkpoint_asked = false;
    if (s->trainer.iteration == s->point.saved)
        return true;
    if (!save(s, err))
        return false;
    log_line(&s->log, "iteration %" PRId64 ": checkpoint, as a signal asked", s->trainer.iteration);
    return true;
}

/* Iterations until the run is done, or as far as it was to come, or a signal comes. */
static bool run_steps(struct session *s, struct loader *loader, struct error *err) {
    while (!is_done(s) && !is_far_enough(s) && !hears_end(s))
        if (!save_if_asked(s, err) || !step(s, loader, err))
            return false;
    return true;
}

/* Ended by a signal or by `until`: what was trained so far is kept, at once, as it is. */
static bool end_early(struct session *s, struct error *err) {
    if (s->trainer.iteration > 0 && s->point.saved != s->trainer.iteration && !write_checkpoint(s, err))
        return false;
    if (interrupt_signal())
        report_ended(&s->log, s->trainer.iteration, interrupt_signal(), s->point.saved);
    else
        log_line(&s->log, "ended at iteration %" PRId64 ", as --until asked; --resume goes on", s->trainer.iteration);
    return true;
}

static bool train(struct session *s, struct error *err) {
    const struct train_config *train = &s->experiment->train;
    if (is_done(s)) {
        report_nothing_to_do(&s->log, s->trainer.iteration, train->iterations, &s->point.best);
        return true;
    }
    if (is_far_enough(s))
        return end_early(s, err);
    unreached_warn(&s->log, s->experiment);
    struct loader *loader =
        loader_train_share(&s->dataset, experiment_data(s->experiment), (uint64_t)s->experiment->seed,
                           train->batch_size, s->experiment->share, s->trainer.iteration, err);
    bool good = group_agree(s->experiment->group, loader, err) && run_steps(s, loader, err);
    loader_close(loader);
    report_bad_images(s);
    if (good && !is_done(s))
        return end_early(s, err);
    if (good && s->trainer.iteration < train->iterations)
        report_out_of_patience(&s->log, s->trainer.iteration, &s->point.best);
    if (good)
        report_done(&s->log, &s->point.best, has_validation(s), curves_seconds(&s->curves), s->dir.path);
    return good;
}

static void close_session(struct session *s) {
    curves_close(&s->curves);
    log_close(&s->log);
    trainer_close(&s->trainer);
    dataset_free(&s->dataset);
    run_dir_close(&s->dir);
    init_notes_free(&s->init_notes);
    text_free(&s->skipped);
}

enum session_end session_run(const struct experiment *experiment, const struct session_options *options,
                             struct error *err) {
    struct session s = {.experiment = experiment,
                        .point = RESUME_NOTHING,
                        .curves = CURVES_CLOSED,
                        .dir.lock = -1,
                        .averaged = -1,
                        .until = options->until};
    interrupt_listen(options->quiet || !group_is_first(experiment->group));
    bool good = open_session(&s, options, err);
    if (good) {
        report_start(&s, options->mode);
        good = tidy_resumed(&s, err) && train(&s, err);
        if (!good)
            log_line(&s.log, "stopped: %s", err->text);
    }
    if (s.lacks_links && s.point.saved >= 0)
        link_checkpoints(&s); /* what failed for a moment only */
    bool early = good && !is_done(&s) && interrupt_signal();
    close_session(&s);
    return !good ? SESSION_FAILED : early ? SESSION_INTERRUPTED : SESSION_DONE;
}
