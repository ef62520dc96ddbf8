#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "cli/loaded_run.h"

static struct values overrides;
static const char *split_name = "test", *out_path;
static bool with_logits;

static const struct option options[] = {
    SET_OPTION(&overrides),
    SPLIT_OPTION(&split_name),
    {"out", OPTION_PATH, &out_path, "FILE", "where they go; else SPLIT_features.csv beside the checkpoint"},
    {"logits", OPTION_FLAG, &with_logits, NULL, "put the classes' logits beside the features: l0, l1, ..."},
    {0},
};

static void put_logits(FILE *file, const struct features *features, int image) {
    for (int j = 0; features->logits && j < features->classes; j++)
        fprintf(file, ",%.9g", shown(features->logits[(size_t)image * (size_t)features->classes + (size_t)j]));
}

static bool write_features(const struct loaded_run *loaded, const struct features *features, const char *path,
                           struct error *err) {
    struct atomic_stream table;
    if (!table_open(&table, path, err))
        return false;
    FILE *file = table.file;
    fprintf(file, "label,prediction");
    for (int j = 0; j < features->width; j++)
        fprintf(file, ",f%d", j);
    for (int j = 0; features->logits && j < features->classes; j++)
        fprintf(file, ",l%d", j);
    fprintf(file, ",label_name,prediction_name\n");
    for (int i = 0; i < features->images; i++) {
        fprintf(file, "%d,%d", features->labels[i], features->predictions[i]);
        table_put_feature(file, &loaded->model, features->values + (size_t)i * (size_t)features->width, ",");
        put_logits(file, features, i);
        fputc(',', file);
        table_put_class(file, loaded, features->labels[i]);
        fputc(',', file);
        if (features->predictions[i] != NO_PREDICTION)
            table_put_class(file, loaded, features->predictions[i]);
        fputc('\n', file);
    }
    return table_close(&table, path, err);
}

static bool extract(struct loaded_run *loaded, struct features *features, struct error *err) {
    char folder[PATH_BYTES], path[PATH_BYTES];
    struct evaluation result = {0};
    const char *to = out_path ? out_path : table_path(loaded, loaded_run_folder(loaded, folder), "features.csv", path);
    if (loaded->model.head.width == 0)
        return error_set(err, "%s: the network's last layer is not a dense one, whose inputs would be the features",
                         loaded->path);
    if (!run_dir_make_for(to, err) || !table_check(to, err))
        return false;
    loaded->wants_logits = with_logits;
    bool good = loaded_run_evaluate(loaded, &result, features, err);
    good = good && write_features(loaded, features, to, err) && loaded_run_check_finite(loaded, &result, err);
    evaluation_free(&result);
    return good;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    struct loaded_run loaded;
    struct features features = {0};
    struct error err;
    enum exit_status status = loaded_run_open(&loaded, "features", operands[0], split_name, &overrides);
    if (status == EXIT_DONE && !extract(&loaded, &features, &err)) {
        fprintf(stderr, "spherenet: %s\n", err.text);
        status = EXIT_FAILED;
    }
    features_free(&features);
    loaded_run_close(&loaded);
    return status;
}

const struct command command_features = {
    .name = "features",
    .operands = "RUN_OR_CHECKPOINT",
    .summary = "Write what a trained network makes of each image.",
    .details =
        "One row an image, in the dataset's order: label, prediction, the classifier's inputs f0, f1, ..., and the\n"
        "names of label and prediction. f0, f1, ... are in the order of a class's weights in checkpoints: channel, "
        "row,\n"
        "column where the classifier's input is an image.\n"
        "Logits are those by which the network ranks the classes, without margin, with as many digits as they have.\n"
        "tools/plot_features, installed as spherenet-plot-features, draws them where there are two (network.features: "
        "2).\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
