/* Networks of every row, trained for some iterations by the program, exported, and run by onnxruntime: its outputs are
 * those of the program on 1,000 images, to 1e-5 of their lengths. The images are CIFAR's where SPHERENET_TEST_DATA
 * names a folder with them. Needs the Python packages onnx and onnxruntime; SPHERENET_PYTHON names the interpreter.
 * With SPHERENET_ONNX_TABLE the differences of all networks are added to that file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/loader.h"
#include "family/family.h"
#include "loss/angular.h"
#include "loss/sphereface2.h"
#include "run/checkpoint.h"
#include "support/operators.h"
#include "support/program.h"
#include "support/suite.h"

enum { IMAGES = 1000, LOOKED_AT = 40 }; /* the second: whose losses are compared with their probabilities */

/* The networks are compared on the images they were trained with. */
static const char *data_spec(int classes) {
    const char *images = getenv("SPHERENET_TEST_DATA");
    return images ? arena_printf(&arena, "type: cifar%d, path: %s/cifar%d-mini, train_limit: %d, test_limit: 40",
                                 classes, images, classes, IMAGES)
                  : arena_printf(&arena,
                                 "type: synthetic, height: 32, width: 32, classes: %d, train_images: %d, "
                                 "test_images: 40",
                                 classes, IMAGES);
}

/* --- What the program makes of the images ------------------------------------------------------------------------ */

static struct experiment experiment;
static struct model model;
static struct loss loss;
static struct dataset dataset;

static void open_network(const char *run_dir) {
    struct diagnostics diags = {0};
    struct safetensors file;
    struct error err;
    char path[PATH_BYTES];
    ck_assert_msg(checkpoint_open(run_dir, path, &file, &err), "%s", err.text);
    bool good = experiment_parse_stored(&experiment, path, checkpoint_spec(&file, path, &err), NULL, 0, &diags) &&
                experiment_plan(&experiment, STEP_EVALUATE, &model, &loss, &diags);
    ck_assert_msg(good, "%s", diags.text.data);
    good = model_allocate(&model, &err) && checkpoint_load_weights(&file, path, &model, &err) &&
           dataset_load_split(&dataset, experiment.data, 1, SPLIT_TRAIN, &err);
    ck_assert_msg(good, "%s", err.text);
    safetensors_close(&file);
}

static void close_network(void) {
    model_free(&model);
    dataset_free(&dataset);
    experiment_free(&experiment);
}

/* Of image number `image` of the last step, without margin. */
static void compute_logits(int image, double *logits) {
    const real *scores = model.head.scores + (size_t)image * (size_t)model.head.classes;
    for (int j = 0; j < model.head.classes; j++) {
        logits[j] = (double)scores[j];
        if (!strcmp(loss.type->kind.name, "sphereface2")) {
            const struct sphereface2_config *config = loss.config;
            const real *bias = *(real *const *)loss.state; /* the first member of its state */
            logits[j] = config->scale * (2 * pow((logits[j] + 1) / 2, config->exponent) - 1) + (double)*bias;
        } else if (strcmp(loss.type->kind.name, "softmax") != 0) {
            const struct angular_config *config = loss.config;
            const struct angular *a = angular_loss_activation(&loss);
            double s = config->scale > 0 ? config->scale : (double)model.head.lengths[image];
            logits[j] = s * margin_none(a->type, angular_shape(a, j), logits[j]).value;
        }
    }
}

static void compute_probabilities(const double *logits, double *probabilities) {
    double sum = 0, largest = -INFINITY;
    for (int j = 0; j < model.head.classes; j++)
        largest = fmax(largest, logits[j]);
    for (int j = 0; j < model.head.classes; j++)
        sum += exp(logits[j] - largest);
    for (int j = 0; j < model.head.classes; j++)
        probabilities[j] =
            strcmp(loss.type->kind.name, "sphereface2") ? exp(logits[j] - largest) / sum : 1 / (1 + exp(-logits[j]));
}

/* What the program reports as the loss of an image of class y, from these probabilities. */
static double reported(const double *probabilities, int y) {
    const struct sphereface2_config *config = loss.config;
    double sum = 0;
    if (strcmp(loss.type->kind.name, "sphereface2") != 0)
        return -log(probabilities[y]);
    for (int j = 0; j < model.head.classes; j++)
        sum -= j == y ? config->balance * log(probabilities[j]) : (1 - config->balance) * log(1 - probabilities[j]);
    return config->loss_weight * sum / config->scale;
}

/* The image alone, as if it were of each class. */
static void check_losses(const real *images, const double *probabilities) {
    struct step step = model_step(&model, 1, STEP_EVALUATE);
    model_forward(&model, step, images);
    for (int32_t y = 0; y < model.head.classes; y++) {
        double expected = reported(probabilities, y), found = loss_evaluate(&loss, &step, &model.head, &y);
        ck_assert_msg(fabs(found - expected) <= 1e-4 * fmax(1, expected), "loss %.9g of class %d, but %.9g by logits",
                      found, y, expected);
    }
}

/* --- The files of a case ----------------------------------------------------------------------------------------- */

static FILE *create(const char *to_folder, const char *name) {
    FILE *file = fopen(arena_printf(&arena, "%s/%s", to_folder, name), "w");
    ck_assert_ptr_nonnull(file);
    return file;
}

static void put(FILE *file, const void *values, size_t size, size_t count) {
    ck_assert_uint_eq(fwrite(values, size, count, file), count);
}

struct outputs {
    FILE *inputs, *logits, *probabilities, *features;
};

/* In the order of `spherenet features`. */
static void put_feature(FILE *file, const real *feature) {
    const struct tensor *weights = NULL;
    for (int i = 0; i < model.tensor_count; i++)
        if (model.tensors[i]->value == model.head.weights)
            weights = model.tensors[i];
    ck_assert_ptr_nonnull(weights);
    for (int j = 0; j < model.head.width; j++) {
        real value;
        tensor_to_stored(&value, weights, feature, (size_t)j, 1);
        put(file, &(double){(double)value}, sizeof(double), 1);
    }
}

static void put_batch(const struct outputs *to, const struct batch *batch, int first) {
    size_t classes = (size_t)model.head.classes, width = (size_t)model.head.width;
    struct step step = model_step(&model, batch->count, STEP_EVALUATE);
    real *features = arena_alloc(&arena, ((size_t)batch->count * width + 1) * sizeof *features);
    double *values = arena_alloc(&arena, 2 * (size_t)batch->count * classes * sizeof *values);
    model_forward(&model, step, batch->images);
    if (width)
        model_features(&model, batch->count, batch->images, features);
    for (int i = 0; i < batch->count; i++) {
        double *logits = values + 2 * (size_t)i * classes, *probabilities = logits + classes;
        compute_logits(i, logits);
        compute_probabilities(logits, probabilities);
        put(to->logits, logits, sizeof *logits, classes);
        put(to->probabilities, probabilities, sizeof *probabilities, classes);
        if (width)
            put_feature(to->features, features + (size_t)i * width);
    }
    put(to->inputs, batch->images, sizeof(real), (size_t)batch->count * dataset_image_bytes(&dataset));
    for (int i = 0; first + i < LOOKED_AT && i < batch->count; i++)
        check_losses(batch->images + (size_t)i * dataset_image_bytes(&dataset), values + (2 * (size_t)i + 1) * classes);
}

static void put_outputs(const char *to_folder) {
    struct error err;
    struct outputs to = {create(to_folder, "inputs.f32"), create(to_folder, "logits.f64"),
                         create(to_folder, "probabilities.f64"), create(to_folder, "features.f64")};
    struct loader *loader =
        loader_evaluate(&dataset, experiment_data(&experiment), SPLIT_TRAIN, experiment.train.batch_size, &err);
    const struct batch *batch;
    int images = 0;
    ck_assert_ptr_nonnull(loader);
    for (; (batch = loader_next(loader)); images += batch->count)
        put_batch(&to, batch, images);
    ck_assert_int_eq(images, IMAGES);
    loader_close(loader);
    FILE *const files[] = {to.inputs, to.logits, to.probabilities, to.features};
    for (int i = 0; i < COUNT(files); i++)
        ck_assert_int_eq(fclose(files[i]), 0);
}

static void put_pixels(const char *to_folder) {
    FILE *file = create(to_folder, "pixels.u8"), *sizes = create(to_folder, "sizes.txt");
    size_t bytes = dataset_image_bytes(&dataset);
    uint8_t *pixels = arena_alloc(&arena, bytes);
    struct error err;
    for (int i = 0; i < IMAGES; i++) {
        ck_assert_msg(dataset_fetch(&dataset, SPLIT_TRAIN, i, NULL, pixels, &err), "%s", err.text);
        put(file, pixels, 1, bytes);
    }
    fprintf(sizes, "%d %d %d %d %d %d\n", IMAGES, dataset.height, dataset.width, dataset.channels, model.head.classes,
            model.head.width);
    ck_assert_int_eq(fclose(file) | fclose(sizes), 0);
}

/* --- Cases ------------------------------------------------------------------------------------------------------- */

static const char *folders; /* of the cases so far, each in quotes */

static bool has_runtime(void) {
    const char *python = getenv("SPHERENET_PYTHON");
    setenv("SPHERENET_PYTHON", python && *python ? python : "python3", 1);
    return !shell("$SPHERENET_PYTHON -c 'import numpy, onnx, onnxruntime' 2>/dev/null");
}

static void set_up(void) {
    program_set_up();
    folders = "";
}

/* rest: of the spec, from the network on. more: keys of the data, ", KEY: VALUE" each. */
static void add_case(const char *name, int classes, const char *more, const char *rest) {
    disk_write_text("spec.yaml", arena_printf(&arena,
                                              "name: net\ndata: {%s%s}\n%s\noptimizer: {type: adam, learning_rate: "
                                              "1e-2}\ntrain: {iterations: 30, batch_size: 40, threads: 1}\n",
                                              data_spec(classes), more, rest));
    run(0, "train spec.yaml --overwrite");
    ck_assert_int_eq(mkdir(name, 0777), 0);
    run(0, "export runs/net --to onnx --out '%s/pictures.onnx'", name);
    run(0, "export runs/net --to onnx --out '%s/bare.onnx' --input float", name);
    open_network("runs/net");
    put_outputs(name);
    put_pixels(name);
    close_network();
    folders = arena_printf(&arena, "%s '%s'", folders, name);
}

static void compare_cases(void) {
    int status = shell(arena_printf(
        &arena, "$SPHERENET_PYTHON '%s/tests/support/onnx_outputs.py' %s >table.txt 2>errors.txt", home, folders));
    const char *table = read_text("table.txt");
    ck_assert_msg(status == 0, "%s\n%s", table, read_text("errors.txt"));
    if (getenv("SPHERENET_ONNX_TABLE"))
        ck_assert_int_eq(shell("cat table.txt >>\"$SPHERENET_ONNX_TABLE\""), 0);
}

#define NEEDS_RUNTIME SKIP_IF(!has_runtime(), "there is no Python with onnx and onnxruntime")

#define KEYS ", k: 0.2, rho: 2, train_rho: true, epsilon: 1e-3"

static const char *with_operator(const char *of) {
    return arena_printf(&arena,
                        "network:\n"
                        "  layers:\n"
                        "    - {type: sphere_conv, filters: 16, stride: 2, padding: 1, bias: true, operator: %s}\n"
                        "    - {type: batch_norm}\n"
                        "    - relu\n"
                        "    - {type: sphere_conv, filters: 16, padding: 1, operator: %s}\n"
                        "    - {type: max_pool}\n"
                        "    - {type: dense, units: 12, operator: %s}\n"
                        "    - {type: dense, name: score, units: 10}\n",
                        of, of, of);
}

START_TEST(operators_are_the_same_in_onnxruntime) {
    NEEDS_RUNTIME;
    for (int i = 0; i < operator_count(); i++) {
        const char *of = arena_string(&arena, operator_yaml(i, KEYS));
        const char *angular = strstr(of, "angular: ") + strlen("angular: "), *magnitude = of + strlen("{magnitude: ");
        const char *name = arena_printf(&arena, "operator: %.*s %.*s", (int)strcspn(magnitude, ",}"), magnitude,
                                        (int)strcspn(angular, ",}"), angular);
        add_case(name, 10, "", with_operator(of));
    }
    add_case("operator: k for the layer", 10, "", with_operator("{angular: learnable_sigmoid, k_shared: layer}"));
    add_case("operator: tanh, rho fixed", 10, "", with_operator("{magnitude: tanh, rho: 5, angular: linear}"));
    add_case("operator: large epsilon", 10, "", with_operator("{magnitude: linear, epsilon: 1}"));
    compare_cases();
}
END_TEST

#define LAYERS(TEXT) "network: {type: layers, layers: [" TEXT "]}"
#define CONV(NAME) "{type: conv, name: " NAME ", filters: 16, padding: 1}"
#define DOWN "{type: conv, name: down, filters: 16, stride: 4}, relu"
#define SCORE "{type: dense, name: score, units: 10}"

static const struct {
    const char *name, *data, *network;
} layers[] = {
    {"layer: conv, winograd", "",
     LAYERS(DOWN ", {type: conv, filters: 16, padding: 1, conv_algorithm: winograd}, " SCORE)},
    {"layer: conv, im2col", "", LAYERS(DOWN ", {type: conv, filters: 16, padding: 1, conv_algorithm: im2col}, " SCORE)},
    {"layer: conv 5x5, stride 3, padding 2, bias", "",
     LAYERS("{type: conv, filters: 9, kernel: 5, stride: 3, padding: 2, bias: true}, " SCORE)},
    {"layer: sphere_conv 4x4, stride 2, padding 3", "",
     LAYERS("{type: sphere_conv, filters: 9, kernel: 4, stride: 2, padding: 3}, " SCORE)},
    {"layer: dense alone", "", LAYERS("{type: dense, name: score, units: 10, bias: false}")},
    {"layer: dense, sphere", "",
     LAYERS("{type: avg_pool, kernel: 4, stride: 4}, {type: dense, units: 20, operator: {magnitude: sphere}}, "
            "relu, " SCORE)},
    {"layer: batch_norm first", ", pixel_mean: [125, 123, 114], pixel_scale: [63, 62, 67]",
     LAYERS("batch_norm, " DOWN ", {type: batch_norm, epsilon: 1e-5, debias: false}, " SCORE)},
    {"layer: batch_norm and relu last", "", LAYERS(DOWN ", " SCORE ", batch_norm, relu")},
    {"layer: sphere_norm", "",
     LAYERS("{type: sphere_conv, filters: 12, stride: 4}, sphere_norm, relu, sphere_norm, batch_norm, " SCORE)},
    {"layer: sphere_norm of a vector", "", LAYERS(DOWN ", {type: dense, units: 12}, sphere_norm, " SCORE)},
    {"layer: max_pool 3x3, stride 2, padding 1", "",
     LAYERS("{type: conv, filters: 12, stride: 2}, {type: max_pool, kernel: 3, stride: 2, padding: 1}, " SCORE)},
    {"layer: max_pool that leaves pixels over", "",
     LAYERS("{type: conv, filters: 12, stride: 2}, {type: max_pool, kernel: 4, stride: 3}, " SCORE)},
    {"layer: avg_pool 3x3, stride 2", "",
     LAYERS("{type: conv, filters: 12, stride: 2}, {type: avg_pool, kernel: 3, stride: 2}, " SCORE)},
    {"layer: avg_pool, global", "", LAYERS(DOWN ", {type: avg_pool, global: true}, flatten, " SCORE)},
    {"layer: dropout", "", LAYERS("dropout, " DOWN ", flatten, dropout, " SCORE ", {type: dropout, rate: 0.1}")},
    {"layer: residual, identity, stochastic_depth", "",
     LAYERS(DOWN ", {type: residual, body: [" CONV("a") ", batch_norm, stochastic_depth]}, relu, " SCORE)},
    {"layer: residual, projection, nested", "",
     LAYERS(DOWN ", {type: residual, body: [{type: residual, body: [" CONV(
         "a") "]}, relu], shortcut: [{type: "
              "sphere_conv, kernel: 1, filters: 16}, batch_norm]}, " SCORE)},
    {"layer: residual, a vector and an image", "",
     LAYERS(DOWN ", {type: residual, body: [" CONV("a") "], shortcut: [flatten]}, " SCORE)},
    {"layer: residual, an image and a vector", "",
     LAYERS(DOWN ", {type: residual, body: [" CONV("a") ", flatten]}, " SCORE)},
    {"layer: flatten", "", LAYERS(DOWN ", flatten, relu, " SCORE)},
};

/* 100 classes, numbered row, column, channel. */
static const struct {
    const char *name, *network;
} images_of_classes[] = {
    {"layer: an image of classes", LAYERS("{type: conv, filters: 25, stride: 31, kernel: 1}")},
    {"layer: an image of classes, pooled", LAYERS("{type: conv, filters: 4, stride: 3}, {type: max_pool}, relu")},
    {"layer: an image of classes, made flat", LAYERS("{type: conv, filters: 25, stride: 29}, flatten, relu")},
};

START_TEST(layers_are_the_same_in_onnxruntime) {
    NEEDS_RUNTIME;
    for (int i = 0; i < COUNT(layers); i++)
        add_case(layers[i].name, 10, layers[i].data, layers[i].network);
    for (int i = 0; i < COUNT(images_of_classes); i++)
        add_case(images_of_classes[i].name, 100, "", images_of_classes[i].network);
    compare_cases();
}
END_TEST

#define FEATURES                                                                                                       \
    LAYERS(DOWN ", {type: dense, units: 8}, {type: dense, name: score, units: 10, bias: false}")                       \
    "\nloss: "

static const char *const losses[] = {
    "{type: softmax}",
    "{type: a_softmax}",
    "{type: cosface}",
    "{type: cosface, scale: 10}",
    "{type: arcface}",
    "{type: sphereface2}",
    "{type: sphereface2, exponent: 1.5, scale: 5, loss_weight: 3, balance: 0.5}",
};

START_TEST(losses_are_the_same_in_onnxruntime) {
    static const char *const with_activation[] = {"w_softmax", "ga_softmax"};
    NEEDS_RUNTIME;
    for (int i = 0; i < COUNT(losses); i++)
        add_case(arena_printf(&arena, "loss: %s", losses[i]), 10, "", arena_printf(&arena, FEATURES "%s", losses[i]));
    for (int i = 0; i < 2 * row_count(&angular_registry); i++) {
        const char *angular = angular_registry.rows[i / 2]->name, *type = with_activation[i % 2];
        add_case(arena_printf(&arena, "loss: %s %s", type, angular), 10, "",
                 arena_printf(&arena, FEATURES "{type: %s, angular: %s}", type, angular));
    }
    add_case(
        "loss: w_softmax of an image", 10, "",
        LAYERS(
            "{type: conv, filters: 6, stride: 5}, {type: dense, name: score, units: 10, bias: false}") "\nloss: {type: "
                                                                                                       "w_softmax, "
                                                                                                       "angular: "
                                                                                                       "learnable_"
                                                                                                       "sigmoid}");
    compare_cases();
}
END_TEST

#define PLAIN "{type: plain, depth: 3, widths: [16, 16, 16], features: 12"

/* Of the deeper ones in the algorithm that rounds less: their batches are small, and their last images a pixel large.
 */
static const char *const families[] = {
    PLAIN "}",
    PLAIN ", normalization: both, conv_algorithm: im2col}",
    PLAIN ", operator: {magnitude: product}}",
    PLAIN ", classifier_operator: {magnitude: linear}}",
    "{type: resnet, depth: 8, widths: [16, 16, 32], operator: {angular: sigmoid}}",
    "{type: imagenet_plain, widths: [16, 16, 32, 32], operator: {angular: linear}, conv_algorithm: im2col}",
    "{type: imagenet_resnet, widths: [16, 16, 32, 32], conv_algorithm: im2col}",
};

/* The list of layers is the other suite's. */
START_TEST(families_are_the_same_in_onnxruntime) {
    NEEDS_RUNTIME;
    for (const struct kind *const *row = network_registry.rows; *row; row++) {
        int cases = 0;
        for (int i = 0; i < COUNT(families); i++)
            cases += strstr(families[i], arena_printf(&arena, "type: %s", (*row)->name)) != NULL;
        ck_assert_msg(cases || !strcmp((*row)->name, "layers"), "there is no case of %s", (*row)->name);
    }
    for (int i = 0; i < COUNT(families); i++)
        add_case(arena_printf(&arena, "family: %s", families[i]), 10, "",
                 arena_printf(&arena, "network: %s", families[i]));
    compare_cases();
}
END_TEST

/* The block of Python on docs/export.md, on a picture of another shape. */
START_TEST(the_script_of_the_page_classifies_a_picture_as_predict_does) {
    NEEDS_RUNTIME;
    SKIP_IF(shell("$SPHERENET_PYTHON -c 'import PIL' 2>/dev/null"), "there is no Python with Pillow");
    char *page = read_text(arena_printf(&arena, "%s/docs/export.md", home)), class[64];
    char *script = strstr(page, "```python\n") + strlen("```python\n");
    double probability;
    *strstr(script, "```") = '\0';
    disk_write_text("classify.py", script);
    run(0, "train spec.yaml --quiet");
    run(0, "export runs/tiny --to onnx --out tiny.onnx");
    int status = shell("$SPHERENET_PYTHON -c \"import PIL.Image; "
                       "PIL.Image.linear_gradient('L').resize((50, 30)).convert('RGBA').save('a.png')\" && "
                       "$SPHERENET_PYTHON classify.py tiny.onnx a.png >printed.txt 2>errors.txt");
    ck_assert_msg(status == 0, "%s", read_text("errors.txt"));
    run(0, "predict runs/tiny a.png");
    ck_assert_int_eq(sscanf(strstr(output, "a.png,,"), "a.png,,%63[^,],%lf", class, &probability), 2);
    ck_assert_msg(!strncmp(read_text("printed.txt"), "a.png class ", 12), "%s", read_text("printed.txt"));
    ck_assert_ptr_nonnull(strstr(read_text("printed.txt"), class));
    ck_assert_double_eq_tol(atof(strstr(read_text("printed.txt"), class) + strlen(class)), probability, 0.002);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("onnx_runtime");
    TCase *rows = suite_group(suite, "rows", 600, set_up, program_tear_down);
    tcase_add_test(rows, operators_are_the_same_in_onnxruntime);
    tcase_add_test(rows, layers_are_the_same_in_onnxruntime);
    tcase_add_test(rows, losses_are_the_same_in_onnxruntime);
    tcase_add_test(rows, families_are_the_same_in_onnxruntime);
    TCase *page = suite_group(suite, "page", 60, set_up, program_tear_down);
    tcase_add_test(page, the_script_of_the_page_classifies_a_picture_as_predict_does);
    return suite;
}
