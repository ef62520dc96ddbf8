#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "cli/loaded_run.h"

static struct values overrides;
static const char *split_name = "test", *out_dir;

static const struct option options[] = {
    SET_OPTION(&overrides),
    SPLIT_OPTION(&split_name),
    {"out", OPTION_PATH, &out_dir, "DIR", "where the tables go; else beside the checkpoint"},
    {0},
};

/* What the tables are made of. */
struct report {
    struct loaded_run loaded;
    struct evaluation result;
    struct features features;
    struct feature_angles angles;
    char folder[PATH_BYTES];
};

static void put_classes(FILE *file, const struct report *report) {
    const struct evaluation *e = &report->result;
    fprintf(file, "class,images,correct,accuracy,name\n");
    for (int i = 0; i < e->classes; i++) {
        int64_t images = e->class_images[i], right = e->class_correct[i];
        fprintf(file, "%d,%" PRId64 ",%" PRId64 ",%.6g,", i, images, right,
                images ? (double)right / (double)images : NAN); /* of no image it is not known */
        table_put_class(file, &report->loaded, i);
        fputc('\n', file);
    }
}

static void put_confusion(FILE *file, const struct report *report) {
    const struct evaluation *e = &report->result;
    fprintf(file, "true\\predicted");
    for (int j = 0; j < e->classes; j++)
        fprintf(file, ",%d", j);
    fprintf(file, ",name");
    for (int i = 0; i < e->classes; i++) {
        fprintf(file, "\n%d", i);
        for (int j = 0; j < e->classes; j++)
            fprintf(file, ",%" PRId64, e->confusion[(size_t)i * (size_t)e->classes + (size_t)j]);
        fputc(',', file);
        table_put_class(file, &report->loaded, i);
    }
    fputc('\n', file);
}

static void put_angles(FILE *file, const struct report *report) {
    const struct feature_angles *a = &report->angles;
    fprintf(file, "iteration,images,own_weight,nearest_weights,within_class,between_classes,mean_length,"
                  "length_variation\n");
    fprintf(file, "%" PRId64 ",%d,%.4f,%.4f,%.4f,%.4f,%.6g,%.6g\n", report->loaded.iteration, report->features.images,
            shown(a->own), shown(a->classes), shown(a->within), shown(a->between), shown(a->length),
            shown(a->variation));
}

static bool write_table(const struct report *report, const char *name, void (*put)(FILE *, const struct report *),
                        struct error *err) {
    char path[PATH_BYTES];
    struct atomic_stream table;
    if (!table_open(&table, table_path(&report->loaded, report->folder, name, path), err))
        return false;
    put(table.file, report);
    return table_close(&table, path, err);
}

/* The folder the tables go to, into which they can be written. */
static bool find_folder(struct report *report, struct error *err) {
    static const char *const tables[] = {"per_class.csv", "confusion.csv", "angles.csv"};
    char path[PATH_BYTES];
    bool good = true;
    if (out_dir) {
        snprintf(report->folder, sizeof report->folder, "%s", out_dir);
        good = run_dir_make(out_dir, err);
    } else {
        loaded_run_folder(&report->loaded, report->folder);
    }
    for (size_t i = 0; good && i < sizeof tables / sizeof *tables; i++)
        good = table_check(table_path(&report->loaded, report->folder, tables[i], path), err);
    return good;
}

static void explain(double value, const char *what, const char *why) {
    if (isnan(value))
        printf("  nan: %s %s\n", what, why);
}

/* Says why an angle is no number. */
static void explain_angles(const struct report *report) {
    const struct feature_angles *a = &report->angles;
    if (!isfinite(a->length)) {
        explain(NAN, "the features", "are not finite");
        return;
    }
    explain(a->classes, "the nearest weights of two classes:",
            report->result.classes > 1 ? "there are too many classes to compare" : "there is one class alone");
    explain(a->within, "features within a class:", "no class has two images");
    explain(a->between, "features of two classes:", "all images are of one class");
    explain(a->variation, "the deviation of the lengths:", "all features have length 0");
}

static void print(const struct report *report) {
    const struct evaluation *e = &report->result;
    const struct feature_angles *a = &report->angles;
    printf("%s, iteration %" PRId64 ", %d %s images\n", report->loaded.path, report->loaded.iteration, e->images,
           split_name);
    printf("accuracy %.4f  top-5 %.4f  loss %.4f\n", e->accuracy, e->top5, shown(e->loss));
    explain(e->loss, "the loss:", "the network's scores are not finite");
    if (!report->features.values)
        return;
    printf("angles in degrees: feature to its class's weights %.2f, nearest weights of two classes %.2f,\n"
           "  features within a class %.2f, of two classes %.2f; deviation of their lengths %.3f of the mean %.4g\n",
           shown(a->own), shown(a->classes), shown(a->within), shown(a->between), shown(a->variation),
           shown(a->length));
    explain_angles(report);
}

static bool write_report(struct report *report, struct error *err) {
    struct loaded_run *loaded = &report->loaded;
    if (!find_folder(report, err) || !loaded_run_evaluate(loaded, &report->result, &report->features, err))
        return false;
    bool has_features = report->features.values;
    if (has_features &&
        !features_angles(&report->angles, &report->features, report->result.classes, loaded->model.head.weights, err))
        return false;
    print(report);
    return write_table(report, "per_class.csv", put_classes, err) &&
           (!report->result.confusion || write_table(report, "confusion.csv", put_confusion, err)) &&
           (!has_features || write_table(report, "angles.csv", put_angles, err)) &&
           loaded_run_check_finite(loaded, &report->result, err);
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    struct report report = {0};
    struct error err;
    enum exit_status status = loaded_run_open(&report.loaded, "eval", operands[0], split_name, &overrides);
    if (status == EXIT_DONE && !write_report(&report, &err)) {
        fprintf(stderr, "spherenet: %s\n", err.text);
        status = EXIT_FAILED;
    }
    evaluation_free(&report.result);
    features_free(&report.features);
    loaded_run_close(&report.loaded);
    return status;
}

const struct command command_eval = {
    .name = "eval",
    .operands = "RUN_OR_CHECKPOINT",
    .summary = "Test a trained network.",
    .details =
        "Prints accuracy, top-5 accuracy and loss, and writes SPLIT_per_class.csv and, for 2,000 classes or fewer,\n"
        "SPLIT_confusion.csv. Where the last layer is a dense one, also angles between features (its inputs) and\n"
        "classes: SPLIT_angles.csv.\n"
        "Losses with a margin are measured without it.\n"
        "A run's folder stands for its newest checkpoint; RUN/checkpoints/best.safetensors.gz is the best one.\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
