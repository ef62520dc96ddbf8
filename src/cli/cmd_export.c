#include <stdio.h>
#include <string.h>

#include "cli/loaded_run.h"
#include "export/onnx.h"
#include "export/tensorboard.h"

static struct values overrides;
static const char *format_name, *input_name, *out_path;

static const struct option options[] = {
    {"to", OPTION_VALUE, &format_name, "onnx|tensorboard", "what to make; required"},
    {"out", OPTION_PATH, &out_path, "FILE", "where it goes; of tensorboard a folder"},
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

/* --- TensorBoard ------------------------------------------------------------------------------------------------- */

static enum exit_status export_tensorboard(const char *operand) {
    char folder[PATH_BYTES];
    struct error err;
    snprintf(folder, sizeof folder, "%.3900s%s", out_path ? out_path : operand, out_path ? "" : "/tensorboard");
    if (!tensorboard_write(folder, operand, &err))
        return failed(&err);
    printf("%s/" TENSORBOARD_FILE "\n", folder);
    return EXIT_DONE;
}

/* --- The command ------------------------------------------------------------------------------------------------- */

/* To add a format: its function, a line here, and its name with the option `to`. */
static const struct format {
    const char *name;
    bool of_network; /* takes --input and --set */
    enum exit_status (*write)(const char *operand);
} formats[] = {
    {"onnx", true, export_onnx},
    {"tensorboard", false, export_tensorboard},
};

enum { FORMATS = sizeof formats / sizeof *formats };

/* NULL after a message: the option is missing, or has another value. */
static const struct format *chosen_format(void) {
    for (int i = 0; format_name && i < FORMATS; i++)
        if (!strcmp(formats[i].name, format_name))
            return &formats[i];
    if (format_name)
        fprintf(stderr, "spherenet export: no format \"%s\"; there are onnx and tensorboard\n", format_name);
    else
        fprintf(stderr, "spherenet export: --to is missing; there are onnx and tensorboard\n");
    return NULL;
}

static bool check_options(const struct format *format) {
    if (!format->of_network && (input_name || overrides.count))
        fprintf(stderr, "spherenet export: --%s is for --to onnx\n", input_name ? "input" : "set");
    else if (input_name && strcmp(input_name, "uint8") != 0 && strcmp(input_name, "float") != 0)
        fprintf(stderr, "spherenet export: no input \"%s\"; there are uint8 and float\n", input_name);
    else
        return true;
    return false;
}

static enum exit_status run(int operand_count, const char *const *operands) {
    (void)operand_count;
    const struct format *format = chosen_format();
    return format && check_options(format) ? format->write(operands[0]) : EXIT_USAGE;
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
        "The file goes beside the checkpoint and is named after it, unless --out says otherwise.\n"
        "\n"
        "--to tensorboard: the curves of a run, as scalars train/fit, test/accuracy and so on at each iteration. They "
        "go\n"
        "to RUN/tensorboard, or the folder that --out names, and replace those of an earlier export.\n",
    .options = options,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
