/* Files of ONNX, read again: names, shapes, tensors, metadata; every row has its place; what cannot be written. */
#include <onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "export/onnx_rows.h"
#include "family/family.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* --- Rows -------------------------------------------------------------------------------------------------------- */

static bool has_layer(const struct kind *kind) {
    return onnx_layer_of(kind) != NULL;
}
static bool has_angular(const struct kind *kind) {
    return onnx_angular_of(kind) != NULL;
}
static bool has_magnitude(const struct kind *kind) {
    return onnx_magnitude_of(kind) != NULL;
}
static bool has_loss(const struct kind *kind) {
    return onnx_loss_of(kind) != NULL;
}

static const struct {
    const struct registry *registry;
    bool (*has)(const struct kind *kind);
} tables[] = {
    {&layer_registry, has_layer},
    {&angular_registry, has_angular},
    {&magnitude_registry, has_magnitude},
    {&loss_registry, has_loss},
};

START_TEST(every_row_has_its_place_in_a_graph) {
    for (const struct kind *const *row = tables[_i].registry->rows; *row; row++)
        ck_assert_msg(tables[_i].has(*row), "src/export does not know the %s %s", tables[_i].registry->noun,
                      (*row)->name);
}
END_TEST

/* --- A file, read ------------------------------------------------------------------------------------------------ */

static Onnx__ModelProto *model;
static const Onnx__GraphProto *graph;

static void read_model(const char *path) {
    size_t size;
    char *bytes = disk_read(path, &size);
    ck_assert_msg(bytes != NULL, "there is no %s", path);
    model = onnx__model_proto__unpack(NULL, size, (const uint8_t *)bytes);
    ck_assert_msg(model != NULL, "%s is no model", path);
    graph = model->graph;
    free(bytes);
}

static void free_model(void) {
    onnx__model_proto__free_unpacked(model, NULL);
}

#define IN_RUN "runs/tiny/checkpoints/iteration-00000024.onnx"

static void train(const char *spec) {
    if (spec)
        disk_write_text("spec.yaml", spec);
    run(0, "train spec.yaml");
}

static const char *shape_of(const Onnx__ValueInfoProto *value) {
    const Onnx__TensorShapeProto *shape = value->type->tensor_type->shape;
    char *text = arena_printf(&arena, "%s: type %d, [", value->name, value->type->tensor_type->elem_type);
    for (size_t d = 0; d < shape->n_dim; d++) {
        const Onnx__TensorShapeProto__Dimension *dim = shape->dim[d];
        bool free = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        text = free ? arena_printf(&arena, "%s%s%s", text, d ? ", " : "", dim->dim_param)
                    : arena_printf(&arena, "%s%s%lld", text, d ? ", " : "", (long long)dim->dim_value);
    }
    return arena_printf(&arena, "%s]", text);
}

static const char *metadata(const char *key) {
    for (size_t i = 0; i < model->n_metadata_props; i++)
        if (!strcmp(model->metadata_props[i]->key, key))
            return model->metadata_props[i]->value;
    return "";
}

START_TEST(inputs_outputs_and_metadata_are_there_by_name) {
    train(NULL);
    run(0, "export runs/tiny --to onnx");
    expect_output(IN_RUN "\n");
    read_model(IN_RUN);
    ck_assert_uint_eq(graph->n_input, 1);
    ck_assert_uint_eq(graph->n_output, 3);
    ck_assert_str_eq(shape_of(graph->input[0]), "images: type 2, [N, 8, 8, 3]");
    ck_assert_str_eq(shape_of(graph->output[0]), "probabilities: type 1, [N, 4]");
    ck_assert_str_eq(shape_of(graph->output[1]), "logits: type 1, [N, 4]");
    ck_assert_str_eq(shape_of(graph->output[2]), "features: type 1, [N, 96]");
    ck_assert_str_eq(graph->name, "tiny");
    ck_assert_str_eq(model->producer_version, SPHERENET_VERSION);
    ck_assert_str_eq(metadata("version"), SPHERENET_VERSION);
    ck_assert_str_eq(metadata("iteration"), "24");
    ck_assert_str_eq(metadata("classes"), "class 0\nclass 1\nclass 2\nclass 3\n");
    ck_assert_str_eq(metadata("spec"), strchr(read_text("runs/tiny/spec.yaml"), '\n') + 1);
    free_model();
}
END_TEST

START_TEST(the_bare_network_takes_floats) {
    train(NULL);
    run(0, "export runs/tiny --to onnx --input float --out deep/folder/bare.onnx");
    read_model("deep/folder/bare.onnx");
    ck_assert_str_eq(shape_of(graph->input[0]), "images: type 1, [N, 3, 8, 8]");
    for (size_t i = 0; i < graph->n_node; i++)
        ck_assert_str_ne(graph->node[i]->op_type, "Cast");
    free_model();
}
END_TEST

/* --- The graph --------------------------------------------------------------------------------------------------- */

static const char *const names[] = {"conv", "sphere", "bn", "sn", "unit", "inner", "inner_bn", "down"};

/* Every layer; each operator's constants beside its tensors. */
static const char *const all_layers =
    "name: tiny\n"
    "data: {type: synthetic, height: 8, width: 6, classes: 4, train_images: 32, test_images: 8, pixel_mean: [1, 2, "
    "3]}\n"
    "network:\n"
    "  layers:\n"
    "    - {type: conv, name: conv, filters: 6, padding: 1, bias: true}\n"
    "    - {type: batch_norm, name: bn}\n"
    "    - relu\n"
    "    - {type: sphere_conv, name: sphere, filters: 6, padding: 2, stride: 2, bias: true,\n"
    "       operator: {magnitude: product, angular: square_cosine}}\n"
    "    - {type: sphere_norm, name: sn}\n"
    "    - {type: residual, name: unit, body: [{type: sphere_conv, name: inner, filters: 6, padding: 1,\n"
    "       operator: {magnitude: tanh, angular: sigmoid}}, {type: batch_norm, name: inner_bn}, stochastic_depth],\n"
    "       shortcut: [{type: conv, name: down, filters: 6, kernel: 1}]}\n"
    "    - {type: max_pool, kernel: 2}\n"
    "    - {type: avg_pool, global: true}\n"
    "    - dropout\n"
    "    - flatten\n"
    "    - {type: dense, name: score, units: 4, bias: false}\n"
    "loss: {type: ga_softmax, angular: learnable_sigmoid}\n"
    "train: {iterations: 24, batch_size: 8}\n";

static int find_name(const char *const *list, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i], name))
            return i;
    return -1;
}

/* All names of values in the order in which they come to be. */
static void add_name(const char ***list, int *count, const char *name) {
    ck_assert_msg(find_name(*list, *count, name) < 0, "%s comes twice", name);
    *list = arena_grow(&arena, (void *)*list, *count, sizeof **list);
    (*list)[(*count)++] = name;
}

START_TEST(every_value_has_one_name_and_is_made_before_it_is_used) {
    const char **values = NULL;
    int count = 0;
    train(all_layers);
    run(0, "export runs/tiny --to onnx --out all.onnx");
    read_model("all.onnx");
    add_name(&values, &count, graph->input[0]->name);
    for (size_t i = 0; i < graph->n_initializer; i++)
        add_name(&values, &count, graph->initializer[i]->name);
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        for (size_t j = 0; j < node->n_input; j++)
            ck_assert_msg(find_name(values, count, node->input[j]) >= 0, "%s of %s is not there yet", node->input[j],
                          node->name);
        ck_assert_uint_eq(node->n_output, 1);
        add_name(&values, &count, node->output[0]);
    }
    for (size_t i = 0; i < graph->n_output; i++)
        ck_assert_int_ge(find_name(values, count, graph->output[i]->name), 0);
    free_model();
}
END_TEST

static const Onnx__TensorProto *find_initializer(const char *name) {
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (!strcmp(graph->initializer[i]->name, name))
            return graph->initializer[i];
    ck_abort_msg("there is no %s", name);
}

static float first_value(const Onnx__TensorProto *tensor) {
    float value = 0;
    if (tensor->n_float_data)
        return tensor->float_data[0];
    ck_assert_uint_ge(tensor->raw_data.len, sizeof value);
    memcpy(&value, tensor->raw_data.data, sizeof value);
    return value;
}

/* sphere_conv's filters are normalised; all others are the checkpoint's. */
START_TEST(tensors_have_the_shapes_and_values_of_the_checkpoint) {
    struct tensor_file file;
    train(all_layers);
    run(0, "export runs/tiny --to onnx --out all.onnx");
    read_model("all.onnx");
    read_tensors(&file, "runs/tiny/checkpoints/latest.safetensors.gz");
    for (int i = 0; i < COUNT(names); i++) {
        const struct stored_tensor *stored = tensor_file_find(&file, arena_printf(&arena, "%s.weight", names[i]));
        if (!stored)
            continue;
        const Onnx__TensorProto *tensor = find_initializer(arena_printf(&arena, "%s.weight", names[i]));
        bool normalised = !strcmp(names[i], "sphere") || !strcmp(names[i], "inner");
        bool channels = !strcmp(names[i], "sn");
        ck_assert_int_eq((int)tensor->n_dims, channels ? 3 : stored->dims);
        for (int d = 0; d < (channels ? 1 : stored->dims); d++)
            ck_assert_int_eq(tensor->dims[d], (int64_t)stored->shape[d]);
        if (!normalised)
            ck_assert_float_eq(first_value(tensor), (float)stored->data[0]);
    }
    ck_assert_float_eq(first_value(find_initializer("pixel_mean")), 1);
    ck_assert_int_eq(find_initializer("pixel_mean")->dims[0], 3);
    ck_assert_int_eq(find_initializer("score.steepness")->dims[0], 4);
    ck_assert_uint_eq(find_initializer("inner.steepness")->n_dims, 0);
    tensor_file_free(&file);
    free_model();
}
END_TEST

/* Classes by a network that ends in an image, or in one made flat, are numbered row, column, channel. */
static const char *const images_of_classes[] = {
    "[{type: conv, filters: 2, kernel: 3, stride: 2}]",
    "[{type: conv, filters: 2, kernel: 3, stride: 2}, flatten]",
};

START_TEST(scores_that_are_an_image_have_no_features) {
    train(arena_printf(&arena,
                       "name: tiny\n"
                       "data: {type: synthetic, height: 5, width: 5, classes: 8, train_images: 32, test_images: 8}\n"
                       "network: {type: layers, layers: %s}\n"
                       "train: {iterations: 24, batch_size: 8}\n",
                       images_of_classes[_i]));
    run(0, "export runs/tiny --to onnx");
    read_model(IN_RUN);
    ck_assert_uint_eq(graph->n_output, 2);
    ck_assert_str_eq(shape_of(graph->output[1]), "logits: type 1, [N, 8]");
    free_model();
}
END_TEST

/* --- What is not needed, and what cannot be done ----------------------------------------------------------------- */

START_TEST(the_images_need_not_be_there) {
    SKIP_IF(!getenv("SPHERENET_TEST_DATA"), "SPHERENET_TEST_DATA does not name a folder of datasets");
    disk_write_text("spec.yaml",
                    arena_printf(&arena, "name: tiny\n"
                                         "data: {type: cifar10, path: data, train_limit: 8, test_limit: 8}\n"
                                         "network: {type: layers, layers: [{type: dense, units: 10}]}\n"
                                         "train: {iterations: 24, batch_size: 8}\n"));
    ck_assert_int_eq(shell("ln -s \"$SPHERENET_TEST_DATA/cifar10-mini\" data"), 0);
    run(0, "train spec.yaml");
    ck_assert_int_eq(shell("rm data"), 0);
    run(0, "export runs/tiny --to onnx");
    read_model(IN_RUN);
    ck_assert_msg(!strncmp(metadata("classes"), "airplane\nautomobile\n", 20), "%s", metadata("classes"));
    free_model();
}
END_TEST

static const struct {
    int status;
    const char *arguments, *message;
} mistakes[] = {
    {2, "export runs/tiny", "--to is missing; there are onnx"},
    {2, "export runs/tiny --to onnxx", "no format \"onnxx\"; there are onnx and tensorboard"},
    {2, "export runs/tiny --to onnx --input flaot", "no input \"flaot\"; there are uint8 and float"},
    {2, "export", "RUN_OR_CHECKPOINT is missing"},
    {1, "export runs/none --to onnx", "runs/none: neither a run's folder nor a checkpoint"},
    {1, "export runs/tiny --to onnx --out .", ".: cannot be written: Is a directory"},
    {1, "export runs/tiny --to onnx --out spec.yaml/a.onnx", "spec.yaml: cannot be made"},
    {1, "export runs/tiny --to onnx --out /dev/full", "/dev/full: cannot be written: No space left on device"},
};

START_TEST(mistakes_are_told) {
    train(NULL);
    for (int i = 0; i < COUNT(mistakes); i++) {
        run(mistakes[i].status, "%s", mistakes[i].arguments);
        expect_error(mistakes[i].message);
    }
    run(0, "export runs/tiny --to onnx --out /dev/null");
    ck_assert_int_eq(shell("test -c /dev/null"), 0);
}
END_TEST

START_TEST(a_file_that_cannot_be_written_whole_leaves_the_one_before) {
    train(NULL);
    disk_write_text("net.onnx", "before");
    int status =
        shell("ulimit -f 1; \"$SPHERENET\" export runs/tiny --to onnx --out net.onnx >output.txt 2>errors.txt");
    ck_assert_int_eq(status, 1);
    ck_assert_msg(strstr(read_text("errors.txt"), "net.onnx: cannot be written: File too large"), "%s",
                  read_text("errors.txt"));
    ck_assert_str_eq(read_text("net.onnx"), "before");
    ck_assert(!disk_exists("net.onnx.tmp"));
    run(0, "export runs/tiny --to onnx --out net.onnx");
    read_model("net.onnx");
    free_model();
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("onnx");
    TCase *rows = suite_group(suite, "rows", 0, NULL, NULL);
    tcase_add_loop_test(rows, every_row_has_its_place_in_a_graph, 0, COUNT(tables));
    TCase *files = suite_group(suite, "files", 60, program_set_up, program_tear_down);
    tcase_add_test(files, inputs_outputs_and_metadata_are_there_by_name);
    tcase_add_test(files, the_bare_network_takes_floats);
    tcase_add_test(files, every_value_has_one_name_and_is_made_before_it_is_used);
    tcase_add_test(files, tensors_have_the_shapes_and_values_of_the_checkpoint);
    tcase_add_loop_test(files, scores_that_are_an_image_have_no_features, 0, COUNT(images_of_classes));
    tcase_add_test(files, the_images_need_not_be_there);
    tcase_add_test(files, mistakes_are_told);
    TCase *limited = suite_group(suite, "limited files", 60, program_set_up, program_tear_down);
    tcase_set_tags(limited, "file-limit");
    tcase_add_test(limited, a_file_that_cannot_be_written_whole_leaves_the_one_before);
    return suite;
}
