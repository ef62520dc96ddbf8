#include <stdio.h>
#include <string.h>

#include "cli/loaded_run.h"
#include "export/onnx.h"

static struct values overrides;
static const char *format_name, *input_name, *out_path;

static const struct option options[] = {
    {"to", OPTION_VALUE, &format_name, "onnx|tensorboard", "what to make; required"},
    {"out", OPTION_PATH, &out_path, "FILE_OR_FOLDER", "where it goes"},
    {"input", OPTION_VALUE, &input_name, "uint8|float",
     "of onnx: pictures as they are, unless told; or float, normalised, for the bare network"},
    SET_OPTION(&overrides),
    {0},
};

static enum exit_status failed(const struct error *err) {
    fprintf(stderr, "spherenet: %s\n", err->text);
    return EXIT_FAILED;
}

/* --- ONNX -------------------------------------------------------------------------------------------------------- */

/* Beside the checkpoint, and named after it. */
static const char *onnx_path(const struct loaded_run *loaded, char *path) {
    static const char *const endings[] = {".gz", ".safetensors"};
    snprintf(path, PATH_BYTES, "%.4080s", loaded->path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t length = strlen(path), ending = strlen(endings[i]);
        if (length > ending && !strcmp(path + length - ending, endings[i]))
            path[length - ending] = '\0';
    }
    return strcat(path, ".onnx");
}

static enum exit_status write_onnx(const struct loaded_run *loaded) {
    char path[PATH_BYTES];
    struct error err;
    const char *to = out_path ? out_path : onnx_path(loaded, path);
    const struct onnx_source source = {
        .experiment = &loaded->experiment,
        .model = &loaded->model,
        .loss = &loaded->loss,
        .iteration = loaded->iteration,
        .float_input = input_name && !strcmp(input_name, "float"),
    };
    if (!run_dir_make_for(to, &err) || !onnx_write(to, &source, &err))
        return failed(&err);
    printf("%s\n", to);
    return EXIT_DONE;
}

static enum exit_status export_onnx(const char *operand) {
    struct loaded_run loaded;
    enum exit_status status = loaded_run_open(&loaded, "export", operand, NULL, &overrides);
    if (status == EXIT_DONE)
        status = write_onnx(&loaded);
    loaded_run_close(&loaded);
    return status;
}

/* --- The command ------------------------------------------------------------------------------------------------- */

/* To add a format: its function, a line here, and its name with the option `to`. */
static const struct {
    const char *name;
    bool takes_input; /* --input */
    enum exit_status (*write)(const char *operand);
} formats[] = {
    {"onnx", true, export_onnx},
};

enum { FORMATS = sizeof formats / sizeof *formats };

static enum exit_status wrong_usage(const char *option, const char *value, const char *expected) {
    if (value)
        fprintf(stderr, "spherenet export: --%s %s: there is no such; there are %s\n", option, value, expected);
    else
        fprintf(stderr, "spherenet export: --%s is missing; there are %s\n", option, expected);
    return EXIT_USAGE;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    int format = 0;
    while (format < FORMATS && (!format_name || strcmp(formats[format].name, format_name) != 0))
        format++;
    if (format == FORMATS)
        return wrong_usage("to", format_name, "onnx and tensorboard");
    if (input_name && !formats[format].takes_input) {
        fprintf(stderr, "spherenet export: --input is for --to onnx\n");
        return EXIT_USAGE;
    }
    if (input_name && strcmp(input_name, "uint8") != 0 && strcmp(input_name, "float") != 0)
        return wrong_usage("input", input_name, "uint8 and float");
    return formats[format].write(operands[0]);
}

const struct command command_export = {
    .name = "export",
    .operands = "RUN_OR_CHECKPOINT",
    .summary = "Write a trained network, or a run's curves, for other programs.",
    .details =
        "--to onnx: one file with the network and what comes before it. It takes `images`, uint8 [N, height, width,\n"
        "channels], and gives `probabilities` and `logits`, [N, classes], and the classifier's inputs `features`. N "
        "is\n"
        "free. With --input float, `images` are float [N, channels, height, width], (pixel - pixel_mean) / "
        "pixel_scale.\n"
        "The file goes beside the checkpoint and is named after it, unless --out says otherwise.\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
