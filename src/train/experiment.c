#include "train/experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "machine/openblas.h"
#include "machine/threads.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"

static const char *const init_classifier_names[] = {"copy", "draw", NULL}; /* enum init_classifier */
static const char *const on_divergence_names[] = {"stop", "skip", NULL};   /* enum on_divergence */

#define TRAIN_INT(KEY, FALLBACK, MIN, MAX, HELP) INT_KEY(struct train_config, KEY, #KEY, FALLBACK, MIN, MAX, HELP)

static const struct param train_params[] = {
    TRAIN_INT(iterations, NULL, 1, 2e9, "batches to train on"),
    TRAIN_INT(batch_size, "128", 1, 65536, "images in a batch"),
    TRAIN_INT(gradient_sums, "0", 0, 1024,
              "that the gradient of a layer's weights is gathered in, of equal parts of a batch; at most so many "
              "processes share a run; 0: 4 or 8, by the layer's size"),
    TRAIN_INT(eval_every, "500", 0, 2e9, "iterations between tests; 0: at the end only"),
    TRAIN_INT(patience, "0", 0, 1e6,
              "end the run after so many tests in a row that were not better than the best one, by the accuracy on "
              "validation images; without those (data.validation) by that on the test images, which then tells more "
              "than it should; 0: no limit"),
    TRAIN_INT(batch_norm_images, "0", 0, 1e6,
              "training images, at most all, over which batch normalisation's mean and variance are averaged anew "
              "before each test and "
              "checkpoint; 0: the running averages are taken"),
    TRAIN_INT(checkpoint_every, "1000", 0, 2e9, "iterations between checkpoints; 0: at the end only"),
    TRAIN_INT(log_every, "10", 0, 2e9, "iterations between rows of train.csv; 0: at the end only"),
    TRAIN_INT(keep, "3", 0, 1e6, "newest checkpoints that stay, beside the best; 0: all"),
    ENUM_KEY(struct train_config, on_divergence, "on_divergence", "stop", on_divergence_names,
             "when loss or gradient are not finite: stop the run, or skip the update and go on"),
    TRAIN_INT(threads, "0", 0, MOST_THREADS,
              "worker threads; 0: OMP_NUM_THREADS, else as many as the processors that the process may use"),
    TEXT_KEY(
        struct train_config, openblas_core, "openblas_core", "auto",
        "OpenBLAS's kernels, such as Haswell; auto: those that OPENBLAS_CORETYPE names, else that OpenBLAS chooses. "
        "Others round differently"),
    PATH_KEY(struct train_config, init_from, "init_from", "''",
             "run, checkpoint or other safetensors file whose weights to start from, with a fresh optimizer; empty: "
             "drawn from the seed"),
    ENUM_KEY(struct train_config, init_classifier, "init_classifier", "copy", init_classifier_names,
             "of init_from: copy the last layer's weights too, or draw them, as where the classes are others"),
    TEXTS_KEY(struct train_config, init_map, "init_map", "{}",
              "of init_from: names of its tensors to those of the network, {fc.weight: score.weight}; a name that ends "
              "in \".\" stands for all that begin so, {module.: ''}, an empty one for all"),
    END_OF_KEYS,
};

const struct param experiment_params[] = {
    TEXT_KEY(struct experiment, name, "name", "''", "of the run; empty: the file's name"),
    INT_KEY(struct experiment, seed, "seed", "1", 0, 2147483647, "of initial weights, shuffling and augmentation"),
    KIND_KEY(struct experiment, data, "data", NULL, &dataset_registry, "the images"),
    KIND_KEY(struct experiment, network, "network", NULL, &network_registry, "the layers"),
    KIND_KEY(struct experiment, loss, "loss", "softmax", &loss_registry, "what is minimised"),
    KIND_KEY(struct experiment, optimizer, "optimizer", "adam", &optimizer_registry, "how weights follow gradients"),
    KIND_KEY(struct experiment, schedule, "schedule", "constant", &schedule_registry, "the learning rate over time"),
    SECTION_KEY(struct experiment, regularizer, "regularizer", penalty_params, "penalties on weights"),
    SECTION_KEY(struct experiment, train, "train", train_params, "how long, and what to keep"),
    END_OF_KEYS,
};

const struct data_config *experiment_data(const struct experiment *experiment) {
    return experiment->data.config;
}

/* --- Reading ----------------------------------------------------------------------------------------------------- */

/* "configs/a.yaml" gives "a". */
static const char *name_from_path(struct arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    char *name = arena_string(arena, slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = '\0';
    return name;
}

/* The name becomes a folder below runs/. */
static void check_name(const struct experiment *experiment, const struct node *root, struct diagnostics *diags) {
    const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const struct node *node = node_get(root, "name");
    if (node && node_is_null(node))
        node = NULL;
    const char *advice = node ? "" : " (the file's name, since `name` is not given)";
    if (!*experiment->name || experiment->name[strspn(experiment->name, allowed)] || *experiment->name == '.' ||
        strlen(experiment->name) > 200)
        diagnose(diags, node ? node->source : root->source, node ? node->line : 0, "name",
                 "\"%.60s\"%s cannot name a folder; use letters, digits, \".\", \"_\" and \"-\"", experiment->name,
                 advice);
}

static bool ends_in_dot(const char *name) {
    return *name && name[strlen(name) - 1] == '.';
}

/* A beginning of names, which ends in a dot or is empty, becomes another one; a whole name becomes a whole name. */
static void check_init_map(const struct node *root, struct diagnostics *diags) {
    const struct node *train = node_get(root, "train"), *map = train ? node_get(train, "init_map") : NULL;
    for (int i = 0; map && map->type == NODE_MAP && i < map->count; i++) {
        const struct node *to = map->children[i];
        bool whole = *map->keys[i] && !ends_in_dot(map->keys[i]);
        if (to->type == NODE_SCALAR && whole != (*to->scalar && !ends_in_dot(to->scalar)))
            diagnose(diags, to->source, to->line, "train.init_map", "\"%.60s\" is %s; \"%.60s\" is not", map->keys[i],
                     whole ? "a whole name" : "the beginning of names, up to a \".\"", to->scalar);
    }
}

/* Of tests, the one at the end alone leaves nothing to end. */
static void check_patience(const struct experiment *experiment, const struct node *root, struct diagnostics *diags) {
    const struct node *train = node_get(root, "train"), *patience = train ? node_get(train, "patience") : NULL;
    if (patience && experiment->train.patience > 0 && experiment->train.eval_every == 0)
        diagnose(diags, patience->source, patience->line, "train.patience",
                 "counts tests, of which train.eval_every: 0 makes none before the end; set train.eval_every");
}

bool experiment_plan(const struct experiment *experiment, enum step_mode mode, struct model *model, struct loss *loss,
                     struct diagnostics *diags) {
    struct shape in = {experiment->shape.height, experiment->shape.width, experiment->shape.channels, false};
    int batch = experiment->train.batch_size > 0 ? experiment->train.batch_size : 1; /* 0: itself a mistake */
    struct model_request request = {
        .layers = &experiment->layers,
        .in = in,
        .classes = experiment->shape.classes,
        .batch = batch,
        .threads = experiment->threads,
        .gradient_sums = experiment->train.gradient_sums,
        .forward_only = mode == STEP_EVALUATE,
        .group = experiment->group,
        .share = experiment->share,
    };
    if (experiment->loss.kind) /* NULL: itself a mistake */
        request.head = loss_request(loss, experiment->loss);
    return model_plan(model, &request, diags);
}

/* Needs no more of the spec than its data and network to be right. */
static void check_network(struct experiment *experiment, enum step_mode mode, struct diagnostics *diags) {
    int mistakes = diags->count;
    struct error err;
    if (!dataset_describe(&experiment->shape, experiment->data, &err)) {
        diagnose(diags, experiment->data.source, experiment->data.line, experiment->data.path, "%s", err.text);
        return;
    }
    network_expand(&experiment->arena, experiment->network, experiment->shape.classes, &experiment->layers, diags);
    if (diags->count > mistakes)
        return;
    struct model model;
    struct loss loss;
    bool planned = experiment_plan(experiment, mode, &model, &loss, diags);
    if (planned && experiment->train.batch_norm_images > 0 && !model_has_averages(&model))
        diagnose(diags, experiment->network.source, experiment->network.line, "train.batch_norm_images",
                 "the network has no batch normalisation");
    model_free(&model);
}

struct spec_source {
    const char *path;
    bool stored; /* written by the program */
    const char *const *overrides;
    int override_count;
};

static bool read_tree(struct experiment *experiment, struct node *root, const struct spec_source *source,
                      struct diagnostics *diags) {
    if (root && root->type != NODE_MAP) {
        diagnose(diags, root->source, root->line, NULL, "a spec is a map of keys: data, network, train and so on");
        root = NULL;
    }
    for (int i = 0; root && i < source->override_count; i++)
        node_override(&experiment->arena, root, experiment_params, source->overrides[i], diags);
    if (!root)
        return false;
    if (source->stored)
        spec_bind_stored(&experiment->arena, experiment, experiment_params, root, diags);
    else
        spec_bind(&experiment->arena, experiment, experiment_params, root, "", diags);
    if (!*experiment->name)
        experiment->name = name_from_path(&experiment->arena, source->path);
    experiment->threads = threads_decide(experiment->train.threads);
    check_name(experiment, root, diags);
    blas_core_diagnose(experiment->train.openblas_core, root, diags);
    check_init_map(root, diags);
    check_patience(experiment, root, diags);
    if (experiment->data.kind && experiment->network.kind)
        check_network(experiment, source->stored ? STEP_EVALUATE : STEP_TRAIN, diags); /* stored: trained already */
    return !diags->count;
}

bool experiment_read(struct experiment *experiment, const char *path, const char *const *overrides, int override_count,
                     struct diagnostics *diags) {
    *experiment = (struct experiment){0};
    struct node *root = yaml_read_file(&experiment->arena, path, diags);
    return read_tree(experiment, root, &(struct spec_source){path, false, overrides, override_count}, diags);
}

static bool parse(struct experiment *experiment, const char *text, const struct spec_source *source,
                  struct diagnostics *diags) {
    *experiment = (struct experiment){0};
    struct node *root = yaml_read(&experiment->arena, source->path, text, strlen(text), diags);
    return read_tree(experiment, root, source, diags);
}

bool experiment_parse(struct experiment *experiment, const char *source, const char *text, const char *const *overrides,
                      int override_count, struct diagnostics *diags) {
    return parse(experiment, text, &(struct spec_source){source, false, overrides, override_count}, diags);
}

bool experiment_parse_stored(struct experiment *experiment, const char *source, const char *text,
                             const char *const *overrides, int override_count, struct diagnostics *diags) {
    return parse(experiment, text, &(struct spec_source){source, true, overrides, override_count}, diags);
}

void experiment_free(struct experiment *experiment) {
    dataset_free(&experiment->shape);
    arena_free(&experiment->arena);
}

/* --- Several processes ------------------------------------------------------------------------------------------- */

/* Sums that each weight gradient of the network is gathered in at least; no more than there are images. */
static int fewest_sums(const struct experiment *experiment) {
    struct diagnostics diags = {0};
    struct model model;
    struct loss loss;
    bool planned = experiment_plan(experiment, STEP_TRAIN, &model, &loss, &diags);
    int sums = planned ? model.planner.fewest_sums : 0, batch = experiment->train.batch_size;
    model_free(&model);
    text_free(&diags.text);
    return sums && sums < batch ? sums : batch;
}

/* What a result depends on, beside the data. */
static bool check_alike(const struct experiment *experiment, const struct group *group, struct error *err) {
    struct text spec = {0};
    char program[512];
    experiment_emit(&spec, experiment);
    snprintf(program, sizeof program, "%s %s", SPHERENET_VERSION, blas_library());
    bool alike = group_same(group, "the program, or OpenBLAS and its kernels,", program, err) &&
                 group_same(group, "the spec", spec.data, err);
    text_free(&spec);
    return alike;
}

bool experiment_divide(struct experiment *experiment, const struct group *group, struct error *err) {
    if (!group)
        return true;
    int sums = fewest_sums(experiment);
    if (group->size > sums)
        return error_set(err,
                         "%d processes are more than can share a batch of %d images: the gradients of this network's "
                         "weights are gathered in %d sums; train.gradient_sums makes more, up to one an image",
                         group->size, experiment->train.batch_size, sums);
    experiment->group = group;
    experiment->share = group_share(group, sums);
    return check_alike(experiment, group, err);
}

void experiment_emit(struct text *out, const struct experiment *experiment) {
    spec_emit(out, experiment, experiment_params);
}
