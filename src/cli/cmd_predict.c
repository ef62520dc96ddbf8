#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/output.h"
#include "cli/picture_queue.h"
#include "cli/prediction_table.h"
#include "data/normalize.h"
#include "picture/resize.h"

static struct values overrides;
static const char *format_name, *out_path, *top_words = "1";
static bool with_features, null_ended;

static const struct option options[] = {
    {"top", OPTION_VALUE, &top_words, "K", "the K most probable classes of each picture, at most all; 1 unless told"},
    {"features", OPTION_FLAG, &with_features, NULL, "the classifier's inputs, too: f0, f1, ...; not as text"},
    {"format", OPTION_VALUE, &format_name, "csv|jsonl|text", "text on a terminal and csv elsewhere, unless told"},
    {"out", OPTION_PATH, &out_path, "FILE", "where the rows go; else standard output"},
    {"null", OPTION_FLAG, &null_ended, NULL, "names on standard input end in a byte of 0, as those of find -print0"},
    SET_OPTION(&overrides),
    {0},
};

struct predicting {
    struct loaded_run loaded;
    struct images_config config;
    struct normalizer normalizer;
    struct prediction_table table;
    struct atomic_stream out; /* with --out */
    struct picture_names names;
    struct picture_queue *queue;
    size_t image_values;
    real *images, *features; /* [batch][...] */
    double *logits;          /* [2][classes]: and probabilities */
    struct guess *guesses;   /* [top] */
    struct text not_finite;  /* what is said of such a picture */
    int64_t pictures, faults;
};

/* --- One picture ------------------------------------------------------------------------------------------------- */

static double angle_to(const struct head *head, const real *feature, int class) {
    double product = 0, feature_squares = 0, weight_squares = 0;
    const real *weights = head->weights + (size_t) class * (size_t)head->width;
    for (int j = 0; j < head->width; j++) {
        product += (double)weights[j] * (double)feature[j];
        feature_squares += (double)feature[j] * (double)feature[j];
        weight_squares += (double)weights[j] * (double)weights[j];
    }
    double lengths = sqrt(feature_squares) * sqrt(weight_squares);
    return lengths > 0 ? acos(fmax(-1, fmin(1, product / lengths))) * (180 / M_PI) : NAN;
}

/* The first of those with the largest value, which is then taken out. */
static int take_largest(double *values, int count) {
    int best = 0;
    for (int j = 1; j < count; j++)
        if (values[j] > values[best])
            best = j;
    values[best] = -INFINITY;
    return best;
}

/* Image number `image` of the last step. False when the network's output is not a number. */
static bool guess(struct predicting *p, int image, const real *feature) {
    const struct head *head = &p->loaded.model.head;
    double *probabilities = p->logits + head->classes;
    loss_logits(&p->loaded.loss, head, image, p->logits);
    for (int j = 0; j < head->classes; j++)
        if (!isfinite(p->logits[j]))
            return false;
    loss_probabilities(&p->loaded.loss, head->classes, probabilities, p->logits);
    for (int i = 0; i < p->table.top; i++) {
        int class = take_largest(p->logits, head->classes);
        p->guesses[i] = (struct guess){class, probabilities[class], feature ? angle_to(head, feature, class) : NAN};
    }
    return true;
}

/* --- Batches ----------------------------------------------------------------------------------------------------- */

/* The network's outputs for those of the next `count` pictures that could be read. */
static void compute(struct predicting *p, int count) {
    struct model *model = &p->loaded.model;
    int good = 0;
    for (int i = 0; i < count; i++) {
        const struct queued_picture *picture = picture_queue_get(p->queue, i);
        if (!picture->fault.length)
            normalize_image(&p->normalizer, (struct placement){0}, picture->pixels,
                            p->images + (size_t)good++ * p->image_values);
    }
    if (good)
        model_forward(model, model_step(model, good, STEP_EVALUATE), p->images);
    if (good && p->features)
        model_features(model, good, p->images, p->features);
}

static const char *tell_not_finite(struct predicting *p, const char *path) {
    p->not_finite.length = 0;
    text_printf(&p->not_finite, "%s: the network's output is not finite", path);
    text_defuse_line(p->not_finite.data);
    return p->not_finite.data;
}

static void put_rows(struct predicting *p, int count) {
    int image = 0;
    p->pictures += count;
    for (int i = 0; i < count; i++) {
        const struct queued_picture *picture = picture_queue_get(p->queue, i);
        const real *feature = p->features ? p->features + (size_t)image * (size_t)p->loaded.model.head.width : NULL;
        struct prediction row = {.path = picture->path.data, .guesses = p->guesses, .feature = feature};
        if (picture->fault.length)
            row.fault = picture->fault.data;
        else if (!guess(p, image++, feature))
            row.fault = tell_not_finite(p, row.path);
        p->faults += row.fault != NULL;
        prediction_table_put(&p->table, &row);
    }
}

static bool predict_all(struct predicting *p, struct error *err) {
    prediction_table_begin(&p->table);
    for (int count; (count = picture_queue_wait(p->queue)) > 0;) {
        compute(p, count);
        put_rows(p, count);
        picture_queue_release(p->queue, count);
        if (fflush(p->table.file)) /* of standard output main tells, if anybody would read on */
            return !out_path || error_set_errno(err, "%s: cannot be written", out_path);
    }
    return true;
}

/* --- What it takes ----------------------------------------------------------------------------------------------- */

/* As the run's own pictures; images of other datasets are cut to the middle and resized bilinearly. */
static bool choose_reading(struct predicting *p, struct error *err) {
    const struct experiment *e = &p->loaded.experiment;
    p->config = (struct images_config){.fit = FIT_CROP, .filter = PICTURE_BILINEAR};
    if (!strcmp(e->data.kind->name, "images"))
        p->config = *(const struct images_config *)e->data.config;
    p->config.height = e->shape.height;
    p->config.width = e->shape.width;
    p->config.channels = e->shape.channels;
    p->config.crop_scale = 0;
    return p->config.channels == 1 || p->config.channels == 3 ||
           error_set(err, "%s: the network takes images of %d channels; pictures have 1 or 3", p->loaded.path,
                     p->config.channels);
}

static bool allocate(struct predicting *p, struct error *err) {
    const struct model *model = &p->loaded.model;
    size_t batch = (size_t)model->batch, classes = (size_t)model->head.classes;
    p->image_values = dataset_image_bytes(&p->loaded.experiment.shape);
    p->images = mem_block(batch * p->image_values * sizeof *p->images);
    p->features = model->head.width ? mem_block(batch * (size_t)model->head.width * sizeof *p->features) : NULL;
    p->logits = mem_block(2 * classes * sizeof *p->logits);
    p->guesses = mem_block((size_t)p->table.top * sizeof *p->guesses);
    return (p->images && p->logits && p->guesses && (p->features || !model->head.width)) ||
           error_set_code(err, ERROR_NO_MEMORY, "not enough memory for batches of %d pictures", model->batch);
}

static bool open_table(struct predicting *p, struct error *err) {
    if (with_features && !p->loaded.model.head.width)
        return error_set(err, "%s: the network's last layer is not a dense one, whose inputs would be the features",
                         p->loaded.path);
    p->table.loaded = &p->loaded;
    p->table.with_features = with_features;
    p->table.top = smaller(p->table.top, p->loaded.experiment.shape.classes);
    if (out_path && (!run_dir_make_for(out_path, err) || !table_open(&p->out, out_path, err)))
        return false;
    p->table.file = out_path ? p->out.file : stdout;
    p->names.output = fileno(p->table.file);
    p->table.on_terminal = isatty(p->names.output);
    if (!p->table.format)
        p->table.format = prediction_format_find(p->table.on_terminal && !with_features ? "text" : "csv");
    return true;
}

static bool predict(struct predicting *p, struct error *err) {
    const struct model *model = &p->loaded.model;
    if (!choose_reading(p, err) || !open_table(p, err))
        return false;
    p->normalizer = normalizer_make(&p->loaded.experiment.shape, experiment_data(&p->loaded.experiment));
    bool good = allocate(p, err) &&
                (p->queue = picture_queue_open(&p->config, &p->names, model->batch, model->planner.threads, err)) &&
                predict_all(p, err);
    picture_queue_close(p->queue);
    if (p->out.file && !good)
        atomic_stream_abandon(&p->out, out_path);
    return good && (!out_path || table_close(&p->out, out_path, err));
}

/* Nobody may have waited for the first. */
static bool lacks_pictures(const struct predicting *p) {
    return !p->pictures && !p->names.failed && (out_path || output_has_reader());
}

/* What was passed over and what failed. */
static enum exit_status conclude(const struct predicting *p) {
    if (p->names.foreign)
        fprintf(stderr, "spherenet predict: %d file%s passed over whose names are no pictures'\n", p->names.foreign,
                p->names.foreign == 1 ? " was" : "s were");
    if (p->names.failed)
        fprintf(stderr, "spherenet predict: %s\n", p->names.err.text);
    if (lacks_pictures(p))
        fprintf(stderr, "spherenet predict: there is no picture; pictures are .jpg, .jpeg and .png files\n");
    if (p->faults)
        fprintf(stderr, "spherenet predict: %lld of %lld pictures without prediction\n", (long long)p->faults,
                (long long)p->pictures);
    return p->names.failed || p->faults || lacks_pictures(p) ? EXIT_FAILED : EXIT_DONE;
}

static bool check_options(struct predicting *p) {
    char *end;
    errno = 0;
    long top = strtol(top_words, &end, 10);
    p->table.format = format_name ? prediction_format_find(format_name) : NULL;
    if (*end || end == top_words || errno || top < 1 || top > INT_MAX)
        fprintf(stderr, "spherenet predict: --top is \"%s\"; a number of classes is expected, at least 1\n", top_words);
    else if (format_name && !p->table.format)
        fprintf(stderr, "spherenet predict: no format \"%s\"; there are csv, jsonl and text\n", format_name);
    else if (with_features && p->table.format == prediction_format_find("text"))
        fprintf(stderr, "spherenet predict: --features is for csv and jsonl\n");
    else
        p->table.top = (int)top;
    return p->table.top > 0;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    struct predicting p = {0};
    struct error err;
    if (!check_options(&p))
        return EXIT_USAGE;
    picture_names_open(&p.names, operands + 1, operand_count - 1, null_ended ? '\0' : '\n');
    enum exit_status status = loaded_run_open_network(&p.loaded, operands[0], &overrides);
    if (status == EXIT_DONE && !predict(&p, &err)) {
        fprintf(stderr, "spherenet: %s\n", err.text);
        status = EXIT_FAILED;
    } else if (status == EXIT_DONE) {
        status = conclude(&p);
    }
    free(p.images);
    free(p.features);
    free(p.logits);
    free(p.guesses);
    text_free(&p.not_finite);
    picture_names_close(&p.names);
    loaded_run_close(&p.loaded);
    return status;
}

const struct command command_predict = {
    .name = "predict",
    .operands = "RUN_OR_CHECKPOINT FILE_OR_FOLDER...",
    .summary = "Tell the classes of your own pictures.",
    .details =
        "One row for each picture, JPEG or PNG: its file, the most probable class, the probability, and the angle in\n"
        "degrees between its feature and the class's weights, where the last layer is a dense one.\n"
        "A folder stands for the files at any depth in it that are named .jpg, .jpeg, .png; a file is read whatever\n"
        "its name. \"-\" reads names from standard input, one a line; rows come as names do. What is named twice has\n"
        "two rows.\n"
        "Pictures are cut, resized and normalised as the checkpoint says (data.fit and data.filter; those of other\n"
        "datasets than images: the middle, bilinear) and taken as they are seen: a network that was trained on white\n"
        "digits on black expects such pictures. Where it takes grey images, colours become grey.\n"
        "Probabilities are the softmax of the logits; of the loss sphereface2, each class's own sigmoid.\n"
        "A picture that cannot be read gets a row that says why; the status is then 1 at the end.\n"
        "In JSON, bytes of a name that are no UTF-8 become U+FFFD.\n"
        "A run's folder stands for its newest checkpoint; RUN/checkpoints/best.safetensors.gz is the best one.\n",
    .options = options,
    .least_operands = 2,
    .most_operands = INT_MAX,
    .run = run,
};
