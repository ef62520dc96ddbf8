#include "export/onnx.h"

#include <inttypes.h>
#include <limits.h>

#include "base/version.h"
#include "export/message_file.h"
#include "export/onnx_rows.h"

/* --- The graph --------------------------------------------------------------------------------------------------- */

static const char *per_channel(struct onnx_graph *graph, const char *name, const struct real_list *list) {
    return onnx_constant(graph, name, list->values, list->count > 1 ? 1 : 0, (const int64_t[]){list->count});
}

/* From pixels to the network's input, (pixel - mean) / scale. */
static const char *normalised(struct onnx_graph *graph, const struct data_config *config) {
    const char *pixels = onnx_node(graph, "Cast", "pixels", ONNX_INPUTS("images"));
    onnx_int(graph, "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    const char *mean = per_channel(graph, "pixel_mean", &config->pixel_mean);
    const char *centred = onnx_node(graph, "Sub", "centred", ONNX_INPUTS(pixels, mean));
    const char *scale = per_channel(graph, "pixel_scale", &config->pixel_scale);
    const char *input = onnx_node(graph, "Div", "input", ONNX_INPUTS(centred, scale));
    const char *x = onnx_node(graph, "Transpose", "channels_first", ONNX_INPUTS(input));
    onnx_ints(graph, "perm", (const int64_t[]){0, 3, 1, 2}, 4);
    return x;
}

static const char *add_input(struct onnx_graph *graph, const struct onnx_source *source) {
    const struct dataset *shape = &source->experiment->shape;
    const int64_t channels_last[] = {shape->height, shape->width, shape->channels};
    const int64_t channels_first[] = {shape->channels, shape->height, shape->width};
    if (source->float_input) {
        onnx_graph_input(graph, "images", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 3, channels_first);
        return "images";
    }
    onnx_graph_input(graph, "images", ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, 3, channels_last);
    return normalised(graph, experiment_data(source->experiment));
}

/* The values of an image that are scores of classes are numbered row, column, channel. */
static const char *flat_scores(struct onnx_graph *graph, const struct shape *shape, const char *x) {
    if (shape->height * shape->width > 1) {
        if (shape->flat)
            x = onnx_image(graph, "image", x, shape);
        x = onnx_node(graph, "Transpose", "channels_last", ONNX_INPUTS(x));
        onnx_ints(graph, "perm", (const int64_t[]){0, 2, 3, 1}, 4);
    } else if (shape->flat) {
        return x;
    }
    return onnx_flat(graph, "scores", x);
}

/* The network up to its head, with the output "features" where a dense layer is last. lengths: of the features, of a
 * head of cosines. */
static const char *add_network(struct onnx_graph *graph, const struct model *model, const char *x,
                               const char **lengths) {
    const struct chain *chain = &model->chain;
    const struct layer *last = &chain->layers[chain->count - 1];
    if (!model->head.width)
        return flat_scores(graph, &chain->out, onnx_chain(graph, chain, chain->count, x));
    const char *features = onnx_flat(graph, "features", onnx_chain(graph, chain, chain->count - 1, x));
    graph->scope = last->name;
    return onnx_operator(graph, last->state, true, features, model->head.kind == HEAD_COSINES ? lengths : NULL);
}

static void add_graph(struct onnx_graph *graph, const struct onnx_source *source) {
    const struct model *model = source->model;
    const char *lengths = NULL, *scores = add_network(graph, model, add_input(graph, source), &lengths);
    graph->scope = model->head.name;
    onnx_loss_of (&source->loss->type->kind)(graph, source->loss, scores, lengths);
    onnx_graph_output(graph, "probabilities", model->head.classes);
    onnx_graph_output(graph, "logits", model->head.classes);
    if (model->head.width)
        onnx_graph_output(graph, "features", model->head.width);
}

/* --- The file ---------------------------------------------------------------------------------------------------- */

static void add_metadata(Onnx__ModelProto *model, struct arena *arena, const char *key, const char *value) {
    Onnx__StringStringEntryProto *entry = arena_alloc(arena, sizeof *entry);
    onnx__string_string_entry_proto__init(entry);
    entry->key = arena_string(arena, key);
    entry->value = arena_string(arena, value);
    model->metadata_props =
        arena_grow(arena, model->metadata_props, (int)model->n_metadata_props, sizeof *model->metadata_props);
    model->metadata_props[model->n_metadata_props++] = entry;
}

/* Their names line by line, as in checkpoints; "class 0" and so on where they have none. */
static void list_classes(struct text *list, const struct dataset *shape) {
    char buffer[CLASS_NAME_BYTES];
    for (int i = 0; i < shape->classes; i++)
        text_printf(list, "%s\n", dataset_class_name(shape, i, buffer));
}

static char *describe(struct arena *arena, const struct onnx_source *source) {
    const struct dataset *shape = &source->experiment->shape;
    if (source->float_input)
        return arena_printf(arena,
                            "images: float [N, %d, %d, %d], channel, row, column, normalised as the spec in the "
                            "metadata says: (pixel - pixel_mean) / pixel_scale",
                            shape->channels, shape->height, shape->width);
    return arena_printf(arena, "images: uint8 [N, %d, %d, %d], row, column, channel", shape->height, shape->width,
                        shape->channels);
}

/* A message cannot be larger, nor be read by most programs if it is. */
static bool write_model(const char *path, const Onnx__ModelProto *model, struct error *err) {
    struct message_file file;
    size_t size = onnx__model_proto__get_packed_size(model);
    if (size > INT_MAX)
        return error_set(err, "%s: would be of %.1f GB, and files of ONNX hold less than 2.1", path,
                         (double)size / 1e9);
    if (!message_file_open(&file, path, err))
        return false;
    onnx__model_proto__pack_to_buffer(model, &file.buffer);
    return message_file_close(&file, err);
}

static void describe_model(Onnx__ModelProto *model, struct arena *arena, const struct onnx_source *source) {
    struct text spec = {0}, classes = {0};
    experiment_emit(&spec, source->experiment);
    list_classes(&classes, &source->experiment->shape);
    add_metadata(model, arena, "version", SPHERENET_VERSION);
    add_metadata(model, arena, "iteration", arena_printf(arena, "%" PRId64, source->iteration));
    add_metadata(model, arena, "spec", spec.data);
    add_metadata(model, arena, "classes", classes.data);
    model->producer_name = arena_string(arena, "spherenet");
    model->producer_version = arena_string(arena, SPHERENET_VERSION);
    model->doc_string = describe(arena, source);
    text_free(&spec);
    text_free(&classes);
}

static bool write_graph(const char *path, struct onnx_graph *graph, const struct onnx_source *source,
                        struct error *err) {
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[] = {&opset};
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    opset.has_version = model.has_ir_version = true;
    opset.version = ONNX_OPSET;
    model.ir_version = ONNX_IR_VERSION;
    model.n_opset_import = 1;
    model.opset_import = opsets;
    model.graph = &graph->proto;
    describe_model(&model, &graph->arena, source);
    return write_model(path, &model, err);
}

bool onnx_write(const char *path, const struct onnx_source *source, struct error *err) {
    struct onnx_graph graph;
    onnx_graph_open(&graph, source->experiment->name, source->model->tensors, source->model->tensor_count);
    add_graph(&graph, source);
    bool good = graph.no_memory ? error_set_code(err, ERROR_NO_MEMORY, "not enough memory for a copy of the weights")
                                : write_graph(path, &graph, source, err);
    onnx_graph_close(&graph);
    return good;
}
