#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "kernel/threads.h"
#include "run/checkpoint.h"
#include "run/run_dir.h"

static struct values overrides;
static const char *split_name = "test", *out_dir;

static const struct option options[] = {
    SET_OPTION(&overrides),
    {"split", OPTION_VALUE, &split_name, "SPLIT", "test (the default) or train"},
    {"out", OPTION_VALUE, &out_dir, "DIR", "where the tables go; else beside the checkpoint"},
    {0},
};

static FILE *open_table(const char *dir, const char *split, const char *name, char *path, struct error *err) {
    snprintf(path, PATH_BYTES, "%.3900s/%s_%s.csv", dir, split, name);
    FILE *file = fopen(path, "w");
    if (!file)
        error_set_errno(err, "%s: cannot be written", path);
    return file;
}

static bool close_table(FILE *file, const char *path, struct error *err) {
    bool failed = ferror(file);
    if (fclose(file) || failed)
        return error_set_errno(err, "%s: cannot be written", path);
    printf("%s\n", path);
    return true;
}

static int64_t class_images(const struct evaluation *e, int class) {
    int64_t sum = 0;
    for (int j = 0; j < e->classes; j++)
        sum += e->confusion[(size_t) class * (size_t)e->classes + (size_t)j];
    return sum;
}

static bool write_classes(const struct evaluation *e, const char *dir, struct error *err) {
    char path[PATH_BYTES];
    FILE *file = open_table(dir, split_name, "per_class", path, err);
    if (!file)
        return false;
    fprintf(file, "class,images,correct,accuracy\n");
    for (int i = 0; i < e->classes; i++) {
        int64_t images = class_images(e, i), right = e->confusion[(size_t)i * (size_t)e->classes + (size_t)i];
        fprintf(file, "%d,%" PRId64 ",%" PRId64 ",%.6g\n", i, images, right,
                images ? (double)right / (double)images : 0);
    }
    return close_table(file, path, err);
}

static bool write_confusion(const struct evaluation *e, const char *dir, struct error *err) {
    char path[PATH_BYTES];
    FILE *file = open_table(dir, split_name, "confusion", path, err);
    if (!file)
        return false;
    fprintf(file, "true\\predicted");
    for (int j = 0; j < e->classes; j++)
        fprintf(file, ",%d", j);
    for (int i = 0; i < e->classes; i++) {
        fprintf(file, "\n%d", i);
        for (int j = 0; j < e->classes; j++)
            fprintf(file, ",%" PRId64, e->confusion[(size_t)i * (size_t)e->classes + (size_t)j]);
    }
    fputc('\n', file);
    return close_table(file, path, err);
}

/* The folder the tables go to. */
static bool table_folder(const char *checkpoint, char *dir, struct error *err) {
    struct stat status;
    if (out_dir) {
        snprintf(dir, PATH_BYTES, "%s", out_dir);
        if (mkdir(dir, 0777) && (stat(dir, &status) || !S_ISDIR(status.st_mode)))
            return error_set_errno(err, "%s: cannot be made", dir);
        return true;
    }
    snprintf(dir, PATH_BYTES, "%s", checkpoint);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    else
        strcpy(dir, ".");
    return true;
}

static bool evaluate(const struct tensor_file *file, const char *path, const struct experiment *experiment, int split,
                     struct error *err) {
    struct trainer trainer = {0};
    struct dataset dataset = {0};
    struct evaluation result = {0};
    struct best_test best;
    int64_t iteration = 0;
    char dir[PATH_BYTES];
    bool good = checkpoint_progress(file, path, &iteration, &best, err) && table_folder(path, dir, err) &&
                dataset_load(&dataset, experiment->data, (uint64_t)experiment->seed, err) &&
                trainer_open(&trainer, experiment, err) && checkpoint_load(file, path, &trainer, false, err) &&
                trainer_evaluate(&trainer, &dataset, split, &result, err);
    if (good) {
        printf("%s, iteration %" PRId64 ", %d %s images\n", path, iteration, result.images, split_name);
        printf("accuracy %.4f  top-5 %.4f  loss %.4f\n", result.accuracy, result.top5, result.loss);
        good = write_classes(&result, dir, err) && write_confusion(&result, dir, err);
    }
    free(result.confusion);
    trainer_close(&trainer);
    dataset_free(&dataset);
    return good;
}

/* The kernels that the run asked for. */
static bool take_core(const struct experiment *experiment, struct error *err) {
    if (!command_take_core(experiment, NULL, err))
        return false;
    command_warn_of_core(experiment);
    return true;
}

static int find_split(void) {
    for (int i = 0; split_names[i]; i++)
        if (!strcmp(split_names[i], split_name))
            return i;
    return -1;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    int split = find_split();
    if (split < 0) {
        fprintf(stderr, "spherenet eval: no split \"%s\"; there are train and test\n", split_name);
        return EXIT_USAGE;
    }
    char path[PATH_BYTES];
    struct tensor_file file;
    struct error err;
    struct experiment experiment = {0};
    struct diagnostics diags = {0};
    if (!run_dir_resolve(operands[0], path, &err) || !tensor_file_read(&file, path, &err)) {
        fprintf(stderr, "spherenet: %s\n", err.text);
        return EXIT_FAILED;
    }
    enum exit_status status = EXIT_FAILED;
    const char *spec = checkpoint_spec(&file, path, &err);
    if (spec && !experiment_parse(&experiment, path, spec, overrides.items, overrides.count, &diags)) {
        fputs(diags.text.data, stderr);
        status = EXIT_USAGE;
    } else if (spec) {
        threads_set(experiment.train.threads);
        if (take_core(&experiment, &err) && evaluate(&file, path, &experiment, split, &err))
            status = EXIT_DONE;
    }
    if (status == EXIT_FAILED)
        fprintf(stderr, "spherenet: %s\n", err.text);
    experiment_free(&experiment);
    text_free(&diags.text);
    tensor_file_free(&file);
    return status;
}

const struct command command_eval = {
    .name = "eval",
    .operands = "RUN_OR_CHECKPOINT",
    .summary = "Test a trained network.",
    .details =
        "Prints accuracy, top-5 accuracy and loss, and writes SPLIT_per_class.csv and SPLIT_confusion.csv.\n"
        "A run's folder stands for its newest checkpoint; RUN/checkpoints/best.safetensors.gz is the best one.\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
