/* Five training steps of small networks, equal to PyTorch's (tests/golden). */
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/gemm.h"
#include "support/suite.h"
#include "support/tensor_file.h"
#include "train/trainer.h"

#ifdef SN_DOUBLE
#define TOLERANCE 1e-7 /* the files' own resolution */
#else
#define TOLERANCE 5e-6
#endif

enum { STEPS = 5 };

static glob_t files;

static const struct stored_tensor *find(const struct tensor_file *file, const char *prefix, const char *name) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct stored_tensor *tensor = tensor_file_find(file, full);
    ck_assert_msg(tensor != NULL, "no tensor %s", full);
    return tensor;
}

static size_t size_of(const struct stored_tensor *tensor) {
    size_t size = 1;
    for (int d = 0; d < tensor->dims; d++)
        size *= (size_t)tensor->shape[d];
    return size;
}

static void start_from(struct model *net, const struct tensor_file *file) {
    for (int i = 0; i < net->tensor_count; i++) {
        const struct stored_tensor *stored = find(file, "init.", net->tensors[i]->name);
        ck_assert_uint_eq(size_of(stored), net->tensors[i]->count);
        ck_assert_int_eq(stored->dims, net->tensors[i]->dims);
        tensor_from_stored(net->tensors[i]->value, net->tensors[i], stored->data, 0, net->tensors[i]->count);
    }
}

/* [C][H][W] to [H][W][C] */
static void channels_last(real *to, const real *from, int channels, int pixels) {
    for (int c = 0; c < channels; c++)
        for (int p = 0; p < pixels; p++)
            to[p * channels + c] = from[c * pixels + p];
}

static void run_step(struct trainer *trainer, const struct tensor_file *file, int step, struct step_result *result) {
    const struct stored_tensor *images = find(file, "images", ""), *labels = find(file, "labels", "");
    int n = (int)images->shape[1], channels = (int)images->shape[2];
    int pixels = (int)(images->shape[3] * images->shape[4]);
    size_t image = (size_t)(channels * pixels);
    real *last = mem_alloc((size_t)n * image * sizeof *last);
    int32_t *classes = mem_alloc((size_t)n * sizeof *classes);
    for (int i = 0; i < n; i++) {
        channels_last(last + (size_t)i * image, images->data + (size_t)(step * n + i) * image, channels, pixels);
        classes[i] = (int32_t)labels->data[step * n + i];
    }
    struct batch batch = {n, last, classes};
    *result = trainer_step(trainer, &batch);
    free(last);
    free(classes);
}

static void check_loss(const char *path, const struct tensor_file *file, const char *name, int step, double found) {
    double expected = (double)find(file, "loss.", name)->data[step];
    ck_assert_msg(fabs(found - expected) <= TOLERANCE * (1 + fabs(expected)), "%s: step %d: %s is %.9g, expected %.9g",
                  path, step, name, found, expected);
}

static void check_tensors(const char *path, const struct model *net, const struct tensor_file *file) {
    for (int i = 0; i < net->tensor_count; i++) {
        const struct tensor *tensor = net->tensors[i];
        const struct stored_tensor *expected = find(file, "final.", tensor->name);
        real *found = mem_alloc(tensor->count * sizeof *found);
        tensor_to_stored(found, tensor, tensor->value, 0, tensor->count);
        for (size_t j = 0; j < tensor->count; j++)
            ck_assert_msg(fabs((double)(found[j] - expected->data[j])) <=
                              TOLERANCE * (1 + fabs((double)expected->data[j])),
                          "%s: %s[%zu] is %.9g, expected %.9g", path, tensor->name, j, (double)found[j],
                          (double)expected->data[j]);
        free(found);
    }
}

START_TEST(equals_pytorch) {
    const char *path = files.gl_pathv[_i];
    struct tensor_file file;
    struct error err;
    struct experiment experiment;
    struct diagnostics diags = {0};
    struct trainer trainer;
    ck_assert_msg(tensor_file_read(&file, path, &err), "%s", err.text);
    bool parsed = experiment_parse(&experiment, "golden.yaml", tensor_file_text(&file, "spec"), NULL, 0, &diags);
    ck_assert_msg(parsed, "%s: %s", path, diags.text.data);
    ck_assert_msg(trainer_open(&trainer, &experiment, &err), "%s", err.text);
    start_from(&trainer.model, &file);
    for (int step = 0; step < STEPS; step++) {
        struct step_result result;
        run_step(&trainer, &file, step, &result);
        check_loss(path, &file, "fit", step, result.fit);
        check_loss(path, &file, "weight_decay", step, result.weight_decay);
        check_loss(path, &file, "orthogonality", step, result.orthogonality);
    }
    check_tensors(path, &trainer.model, &file);
    trainer_close(&trainer);
    experiment_free(&experiment);
    tensor_file_free(&file);
}
END_TEST

START_TEST(all_files_are_found) {
    ck_assert_msg(files.gl_pathc > 100, "%zu files tests/golden/*.safetensors.gz below the working directory",
                  files.gl_pathc);
}
END_TEST

Suite *test_suite(void) {
    gemm_setup();
    glob("tests/golden/*.safetensors.gz", 0, NULL, &files);
    Suite *suite = suite_create("golden");
    TCase *parity = suite_group(suite, "parity with PyTorch", 60, NULL, NULL);
    tcase_add_test(parity, all_files_are_found);
    tcase_add_loop_test(parity, equals_pytorch, 0, (int)files.gl_pathc);
    return suite;
}
