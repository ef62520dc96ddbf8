#include "cli/loaded_run.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "data/class_names.h"
#include "run/checkpoint.h"
#include "storage/csv.h"

static int find_split(const char *name) {
    for (int i = 0; split_names[i]; i++)
        if (!strcmp(split_names[i], name))
            return i;
    return -1;
}

/* The kernels that the run asked for. */
static bool take_core(const struct experiment *experiment, struct error *err) {
    if (!command_take_machine(experiment, NULL, err))
        return false;
    command_warn_of_core(experiment);
    return true;
}

static bool plan(struct loaded_run *loaded, struct error *err) {
    struct diagnostics diags = {0};
    bool planned = experiment_plan(&loaded->experiment, STEP_EVALUATE, &loaded->model, &loaded->loss, &diags);
    if (!planned)
        error_set(err, "%s", diags.text.data);
    text_free(&diags.text);
    return planned;
}

/* The images of the split. Without one, the names of classes alone, which the file has. */
static bool take_data(struct loaded_run *loaded, const struct safetensors *file, struct error *err) {
    struct experiment *e = &loaded->experiment;
    const char *classes = checkpoint_classes(file);
    if (loaded->split < 0)
        return !classes || class_names_take(&e->shape, loaded->path, (const uint8_t *)classes, strlen(classes), err);
    return dataset_load_split(&loaded->dataset, e->data, (uint64_t)e->seed, loaded->split, err) &&
           checkpoint_classes_agree(file, loaded->path, &loaded->dataset, err);
}

static bool load(struct loaded_run *loaded, struct safetensors *file, struct error *err) {
    struct best_test best;
    return (!loaded->computes || take_core(&loaded->experiment, err)) &&
           checkpoint_progress(file, loaded->path, &loaded->iteration, &best, err) && plan(loaded, err) &&
           take_data(loaded, file, err) && model_allocate(&loaded->model, err) &&
           checkpoint_load_weights(file, loaded->path, &loaded->model, err);
}

/* The network as the checkpoint's spec describes it. */
static enum exit_status open_file(struct loaded_run *loaded, struct safetensors *file, const struct values *overrides,
                                  struct error *err) {
    struct diagnostics diags = {0};
    const char *spec = checkpoint_spec(file, loaded->path, err);
    if (!spec)
        return EXIT_FAILED;
    bool parsed =
        experiment_parse_stored(&loaded->experiment, loaded->path, spec, overrides->items, overrides->count, &diags);
    if (!parsed)
        fputs(diags.text.data, stderr);
    text_free(&diags.text);
    return !parsed ? EXIT_USAGE : load(loaded, file, err) ? EXIT_DONE : EXIT_FAILED;
}

static enum exit_status open_run(struct loaded_run *loaded, const char *operand, const struct values *overrides) {
    struct safetensors file;
    struct error err;
    enum exit_status status = EXIT_FAILED;
    if (checkpoint_open(operand, loaded->path, &file, &err)) {
        status = open_file(loaded, &file, overrides, &err);
        safetensors_close(&file);
    }
    if (status == EXIT_FAILED)
        fprintf(stderr, "spherenet: %s\n", err.text);
    return status;
}

enum exit_status loaded_run_open(struct loaded_run *loaded, const char *command, const char *operand, const char *split,
                                 const struct values *overrides) {
    *loaded = (struct loaded_run){.split = split ? find_split(split) : -1, .computes = split};
    if (!split || loaded->split >= 0)
        return open_run(loaded, operand, overrides);
    fprintf(stderr, "spherenet %s: no split \"%s\"; there are train, validation and test\n", command, split);
    return EXIT_USAGE;
}

enum exit_status loaded_run_open_network(struct loaded_run *loaded, const char *operand,
                                         const struct values *overrides) {
    *loaded = (struct loaded_run){.split = -1, .computes = true};
    return open_run(loaded, operand, overrides);
}

void loaded_run_close(struct loaded_run *loaded) {
    model_free(&loaded->model);
    dataset_free(&loaded->dataset);
    experiment_free(&loaded->experiment);
}

/* Images that could not be read, and for which others were taken. */
static void warn_of_bad_images(const struct dataset *dataset) {
    struct text lines = {0};
    dataset_tell_bad(dataset, &lines);
    for (char *line = lines.data, *end; line && (end = strchr(line, '\n')); line = end + 1)
        fprintf(stderr, "spherenet: warning: %.*s\n", (int)(end - line), line);
    text_free(&lines);
}

bool loaded_run_evaluate(struct loaded_run *loaded, struct evaluation *result, struct features *features,
                         struct error *err) {
    int width = loaded->model.head.width, images = loaded->dataset.splits[loaded->split].count;
    *features = (struct features){0};
    bool good = (!width || features_allocate(features, images, width, err)) &&
                (!loaded->wants_logits || features_allocate_logits(features, loaded->experiment.shape.classes, err)) &&
                evaluate_split(&loaded->experiment, &loaded->model, &loaded->loss, &loaded->dataset, loaded->split,
                               result, width ? features : NULL, err);
    warn_of_bad_images(&loaded->dataset);
    return good;
}

bool loaded_run_check_finite(const struct loaded_run *loaded, const struct evaluation *result, struct error *err) {
    return evaluation_is_finite(result) ||
           error_set(err,
                     "%s: the network is broken: on the %s images %s; predictions that are not numbers count as wrong",
                     loaded->path, split_names[loaded->split], result->not_finite.data);
}

/* --- Tables ------------------------------------------------------------------------------------------------------ */

/* A file that was not there is not there afterwards. Pipes and devices are left alone. */
bool table_check(const char *path, struct error *err) {
    struct stat status;
    bool there = lstat(path, &status) == 0;
    if (there && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return true;
    int fd = open(path, there ? O_WRONLY | O_CLOEXEC : O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL, 0666);
    if (fd < 0)
        return error_set_errno(err, "%s: cannot be written; --out names another place", path);
    close(fd);
    if (!there)
        unlink(path);
    return true;
}

bool table_open(struct atomic_stream *table, const char *path, struct error *err) {
    return atomic_stream_open(table, path) || error_set_errno(err, "%s: cannot be written", path);
}

bool table_close(struct atomic_stream *table, const char *path, struct error *err) {
    if (!atomic_stream_close(table, path))
        return error_set_errno(err, "%s: cannot be written", path);
    printf("%s\n", path);
    return true;
}

void table_put_class(FILE *file, const struct loaded_run *loaded, int class) {
    char buffer[CLASS_NAME_BYTES];
    const char *name = dataset_class_name(&loaded->dataset, class, buffer);
    csv_field(file, name);
}

static const struct tensor *classifier_weights(const struct model *model) {
    int i = 0;
    while (i < model->tensor_count && model->tensors[i]->value != model->head.weights)
        i++;
    assert(i < model->tensor_count);
    return model->tensors[i];
}

/* A feature is laid out as a class's weights are. */
void table_put_feature(FILE *file, const struct model *model, const real *feature, const char *before) {
    const struct tensor *weights = classifier_weights(model);
    for (int j = 0; j < model->head.width; j++) {
        real value;
        tensor_to_stored(&value, weights, feature, (size_t)j, 1);
        fprintf(file, "%s%.6g", j ? "," : before, shown((double)value));
    }
}

const char *table_path(const struct loaded_run *loaded, const char *folder, const char *name, char *path) {
    snprintf(path, PATH_BYTES, "%.3900s/%s_%s", folder, split_names[loaded->split], name);
    return path;
}

const char *loaded_run_folder(const struct loaded_run *loaded, char *folder) {
    snprintf(folder, PATH_BYTES, "%s", loaded->path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    else
        strcpy(folder, ".");
    return folder;
}
