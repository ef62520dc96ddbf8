#include "run/report.h"

#include <inttypes.h>
#include <string.h>

#include "base/version.h"
#include "machine/cpu.h"
#include "machine/openblas.h"
#include "machine/threads.h"
#include "train/openblas_core.h"

static size_t count_weights(const struct model *model) {
    size_t weights = 0;
    for (int i = 0; i < model->tensor_count; i++)
        weights += model->tensors[i]->trained ? model->tensors[i]->count : 0;
    return weights;
}

static void report_data(struct log *log, const struct dataset *dataset) {
    const struct split *splits = dataset->splits;
    char validation[48] = "";
    if (splits[SPLIT_VALIDATION].count)
        snprintf(validation, sizeof validation, ", %d validation", splits[SPLIT_VALIDATION].count);
    log_line(log, "data: %d training%s and %d test images of %dx%dx%d, %d classes", splits[SPLIT_TRAIN].count,
             validation, splits[SPLIT_TEST].count, dataset->height, dataset->width, dataset->channels,
             dataset->classes);
}

void report_opening(struct log *log, const struct trainer *trainer, const struct dataset *dataset, bool initialised,
                    const char *folder) {
    const struct experiment *e = trainer->experiment;
    const char *warning = blas_core_warning(e->train.openblas_core);
    log_line(log, "spherenet %s: %s on %s", SPHERENET_VERSION, e->name, e->data.kind->name);
    log_line(log, "machine: %s, %d thread%s%s", cpu_description(), e->threads, e->threads == 1 ? "" : "s",
             threads_reason(e->train.threads));
    log_line(log, "products: %s", blas_library());
    if (warning)
        log_warning(log, "%s", warning);
    report_data(log, dataset);
    if (dataset->remark)
        log_line(log, "data: %s", dataset->remark);
    log_line(log, "network: %s, %zu weights, %.0f MB for batches of %d", e->network.kind->name,
             count_weights(&trainer->model), (double)(plan_sizes(&trainer->model.planner).total * sizeof(real)) / 1e6,
             e->train.batch_size);
    if (initialised)
        log_line(log, "weights: those of %s%s", e->train.init_from,
                 e->train.init_classifier == INIT_DRAW ? ", the last layer's drawn" : "");
    log_line(log, "run: %s", folder);
}

void report_place(struct log *log, const struct resume_point *point, int64_t iteration, enum run_mode mode, bool held) {
    if (point->saved >= 0) {
        log_line(log, "resumed at iteration %" PRId64, iteration);
        if (point->other_tests)
            log_line(log, "tests before were of other images (data.test_limit): the next one is taken for the best");
    } else if (mode == RUN_AUTO_RESUME && !held) {
        log_line(log, "there was no run yet: begun");
    } else if (mode == RUN_RESUME || mode == RUN_AUTO_RESUME) {
        log_line(log, "there was no checkpoint yet: begun again");
    }
}

void report_skipped(struct log *log, char *lines) {
    for (char *line = lines, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        log_warning(log, "%s", line);
    }
}

void report_chance(struct log *log, const struct trainer *trainer, double lambda) {
    log_warning(log,
                "iteration %" PRId64
                ": accuracy stays at chance under the margin of %s (lambda is %.4g). Let the margin "
                "come more slowly (a larger loss.annealing.base or minimum, a smaller gamma), or train without margin "
                "first and start from that run with train.init_from",
                trainer->iteration, trainer->experiment->loss.kind->name, lambda);
}

void report_lag(struct log *log, int64_t iteration, double training, double test) {
    log_warning(log,
                "iteration %" PRId64
                ": of the last training batch %.0f %% are right with its own mean and variance, and %.0f %% with batch "
                "normalisation's running averages, which tests take: these lag behind. Lower its decay (0.9, say), or "
                "have them averaged anew with train.batch_norm_images",
                iteration, 100 * training, 100 * test);
}

static const char *last_checkpoint(int64_t saved, char *text, size_t bytes) {
    if (saved >= 0)
        snprintf(text, bytes, "the last checkpoint is that of iteration %" PRId64, saved);
    else
        snprintf(text, bytes, "there is no checkpoint yet");
    return text;
}

void report_left_out(struct log *log, int64_t iteration, const char *what) {
    log_warning(log, "iteration %" PRId64 ": %s; this update is left out", iteration, what);
}

#define ADVICE "Lower optimizer.learning_rate, or set optimizer.clip_norm"

void report_diverged(struct error *err, int64_t iteration, const char *what, bool too_many, int64_t saved) {
    char checkpoint[64];
    error_set(err, "iteration %" PRId64 ": %s; %s%s. " ADVICE, iteration, what,
              too_many ? "too many updates in a row were left out; " : "",
              last_checkpoint(saved, checkpoint, sizeof checkpoint));
}

void report_test(struct log *log, int64_t iteration, const struct evaluation *validation, const struct evaluation *test,
                 bool is_best) {
    const char *best = is_best ? ", the best so far" : "";
    if (validation)
        log_line(log, "iteration %" PRId64 ": validation accuracy %.4f, loss %.4f%s; test accuracy %.4f, loss %.4f",
                 iteration, validation->accuracy, validation->loss, best, test->accuracy, test->loss);
    else
        log_line(log, "iteration %" PRId64 ": test accuracy %.4f, loss %.4f%s", iteration, test->accuracy, test->loss,
                 best);
}

void report_failed_test(struct log *log, int64_t iteration, int split, const char *what) {
    log_warning(log, "iteration %" PRId64 ": on the %s images %s; this test cannot be the best", iteration,
                split_names[split], what);
}

void report_failed_last_test(struct error *err, int64_t iteration, int split, const char *what, int64_t saved) {
    char checkpoint[64];
    error_set(err, "iteration %" PRId64 ": on the %s images %s; %s. " ADVICE, iteration, split_names[split], what,
              last_checkpoint(saved, checkpoint, sizeof checkpoint));
}

void report_out_of_patience(struct log *log, int64_t iteration, const struct best_test *best) {
    char better[64] = "a finite one";
    if (best->iteration >= 0)
        snprintf(better, sizeof better, "a better one than that of iteration %" PRId64, best->iteration);
    log_line(log,
             "stopped early at iteration %" PRId64 ": %" PRId64 " test%s without %s; to go on, resume with a larger "
             "patience: --set train.patience=%" PRId64 ", or 0 for no limit",
             iteration, best->since, best->since == 1 ? "" : "s", better, 2 * best->since);
}

void report_nothing_to_do(struct log *log, int64_t iteration, int iterations, const struct best_test *best) {
    if (iteration < iterations)
        report_out_of_patience(log, iteration, best);
    else
        log_line(log,
                 "the run is finished: %" PRId64 " iterations, and train.iterations is %d; to go on, give a larger one",
                 iteration, iterations);
}

void report_done(struct log *log, const struct best_test *best, bool validated, double seconds, const char *folder) {
    if (best->iteration < 0)
        log_line(log, "done: no test was finite, so there is no best; %.0f s; results in %s", seconds, folder);
    else if (validated)
        log_line(log,
                 "done: test accuracy %.4f at the best validation accuracy, %.4f at iteration %" PRId64
                 "; %.0f s; results in %s",
                 best->test_accuracy, best->accuracy, best->iteration, seconds, folder);
    else
        log_line(log, "done: best test accuracy %.4f at iteration %" PRId64 "; %.0f s; results in %s", best->accuracy,
                 best->iteration, seconds, folder);
}

const char *report_given_up(char *text, size_t bytes, int64_t saved) {
    char checkpoint[64];
    snprintf(text, bytes, "spherenet: this iteration does not end, so it is given up; %s\n",
             last_checkpoint(saved, checkpoint, sizeof checkpoint));
    return text;
}

void report_ended(struct log *log, int64_t iteration, int signal, int64_t saved) {
    char checkpoint[64];
    log_line(log, "ended at iteration %" PRId64 " by signal %d (%s); %s", iteration, signal, strsignal(signal),
             last_checkpoint(saved, checkpoint, sizeof checkpoint));
}
