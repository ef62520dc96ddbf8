#include "export/onnx_graph.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "model/model.h"

/* A message of its type, in the graph's arena. */
#define NEW(GRAPH, TYPE, INIT) new_message(GRAPH, sizeof(TYPE), (ProtobufCMessageInit)(INIT))

static void *new_message(struct onnx_graph *graph, size_t bytes, ProtobufCMessageInit init) {
    ProtobufCMessage *message = arena_alloc(&graph->arena, bytes);
    init(message);
    return message;
}

/* Adds to a repeated field of messages, or of names. */
#define ADD(GRAPH, COUNT, ARRAY, ITEM)                                                                                 \
    do {                                                                                                               \
        (ARRAY) = arena_grow(&(GRAPH)->arena, ARRAY, (int)(COUNT), sizeof *(ARRAY));                                   \
        (ARRAY)[(COUNT)++] = (ITEM);                                                                                   \
    } while (0)

static char *scoped(struct onnx_graph *graph, const char *name) {
    return graph->scope ? arena_printf(&graph->arena, "%s.%s", graph->scope, name) : arena_string(&graph->arena, name);
}

void onnx_graph_open(struct onnx_graph *graph, const char *name, struct tensor *const *tensors, int tensor_count) {
    *graph = (struct onnx_graph){.tensors = tensors, .tensor_count = tensor_count};
    onnx__graph_proto__init(&graph->proto);
    graph->proto.name = arena_string(&graph->arena, name);
}

/* The values of trained tensors may be large, and are not in the arena. */
void onnx_graph_close(struct onnx_graph *graph) {
    for (size_t i = 0; i < graph->proto.n_initializer; i++)
        if (graph->proto.initializer[i]->has_raw_data)
            free(graph->proto.initializer[i]->raw_data.data);
    arena_free(&graph->arena);
}

/* --- Nodes ------------------------------------------------------------------------------------------------------- */

const char *onnx_node(struct onnx_graph *graph, const char *type, const char *output, const char *const *inputs) {
    Onnx__NodeProto *node = NEW(graph, Onnx__NodeProto, onnx__node_proto__init);
    node->op_type = arena_string(&graph->arena, type);
    node->name = scoped(graph, output);
    for (; *inputs; inputs++)
        ADD(graph, node->n_input, node->input, arena_string(&graph->arena, *inputs));
    ADD(graph, node->n_output, node->output, node->name);
    ADD(graph, graph->proto.n_node, graph->proto.node, node);
    return node->name;
}

static Onnx__AttributeProto *add_attribute(struct onnx_graph *graph, const char *name,
                                           Onnx__AttributeProto__AttributeType type) {
    Onnx__NodeProto *node = graph->proto.node[graph->proto.n_node - 1];
    Onnx__AttributeProto *attribute = NEW(graph, Onnx__AttributeProto, onnx__attribute_proto__init);
    attribute->name = arena_string(&graph->arena, name);
    attribute->has_type = true;
    attribute->type = type;
    ADD(graph, node->n_attribute, node->attribute, attribute);
    return attribute;
}

void onnx_int(struct onnx_graph *graph, const char *name, int64_t value) {
    Onnx__AttributeProto *attribute = add_attribute(graph, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    attribute->has_i = true;
    attribute->i = value;
}

void onnx_float(struct onnx_graph *graph, const char *name, double value) {
    Onnx__AttributeProto *attribute = add_attribute(graph, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    attribute->has_f = true;
    attribute->f = (float)value;
}

void onnx_ints(struct onnx_graph *graph, const char *name, const int64_t *values, int count) {
    Onnx__AttributeProto *attribute = add_attribute(graph, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    for (int i = 0; i < count; i++)
        ADD(graph, attribute->n_ints, attribute->ints, values[i]);
}

/* --- Tensors ----------------------------------------------------------------------------------------------------- */

static Onnx__TensorProto *add_tensor(struct onnx_graph *graph, const char *name, int dims, const int64_t *shape) {
    Onnx__TensorProto *tensor = NEW(graph, Onnx__TensorProto, onnx__tensor_proto__init);
    tensor->name = scoped(graph, name);
    tensor->has_data_type = true;
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    for (int d = 0; d < dims; d++)
        ADD(graph, tensor->n_dims, tensor->dims, shape[d]);
    ADD(graph, graph->proto.n_initializer, graph->proto.initializer, tensor);
    return tensor;
}

const char *onnx_constant(struct onnx_graph *graph, const char *name, const double *values, int dims,
                          const int64_t *shape) {
    Onnx__TensorProto *tensor = add_tensor(graph, name, dims, shape);
    int64_t count = 1;
    for (int d = 0; d < dims; d++)
        count *= shape[d];
    for (int64_t i = 0; i < count; i++)
        ADD(graph, tensor->n_float_data, tensor->float_data, (float)values[i]);
    return tensor->name;
}

const char *onnx_number(struct onnx_graph *graph, const char *name, double value) {
    return onnx_constant(graph, name, &value, 0, NULL);
}

const char *onnx_channels(struct onnx_graph *graph, const char *name, const double *values, int count, bool flat) {
    int different = 1;
    while (different < count && values[different] == values[0])
        different++;
    if (different == count)
        return onnx_number(graph, name, values[0]);
    return onnx_constant(graph, name, values, flat ? 1 : 3, (const int64_t[]){count, 1, 1});
}

const char *onnx_reshaped(struct onnx_graph *graph, const char *name, const char *x, const int64_t shape[3]) {
    static const int64_t four = 4;
    Onnx__TensorProto *sizes = add_tensor(graph, arena_printf(&graph->arena, "%s_shape", name), 1, &four);
    sizes->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    ADD(graph, sizes->n_int64_data, sizes->int64_data, -1);
    for (int d = 0; d < 3; d++)
        ADD(graph, sizes->n_int64_data, sizes->int64_data, shape[d]);
    return onnx_node(graph, "Reshape", name, ONNX_INPUTS(x, sizes->name));
}

const struct tensor *onnx_tensor(const struct onnx_graph *graph, const char *name) {
    for (int i = 0; i < graph->tensor_count; i++) {
        const char *full = graph->tensors[i]->name;
        if (tensor_is_of(full, graph->scope) && !strcmp(strrchr(full, '.') + 1, name))
            return graph->tensors[i];
    }
    return NULL;
}

const double *onnx_values(struct onnx_graph *graph, const char *name) {
    const struct tensor *tensor = onnx_tensor(graph, name);
    assert(tensor);
    double *values = arena_alloc(&graph->arena, tensor->count * sizeof *values);
    for (size_t i = 0; i < tensor->count; i++)
        values[i] = (double)tensor->value[i];
    return values;
}

/* In the order of checkpoints, some values at a time. */
static void copy_values(float *to, const struct tensor *tensor, const double *factors) {
    real values[256];
    size_t size = tensor->count / (size_t)tensor->filters, most = sizeof values / sizeof *values;
    for (size_t first = 0; first < tensor->count; first += most) {
        size_t count = size_smaller(most, tensor->count - first);
        tensor_to_stored(values, tensor, tensor->value, first, count);
        for (size_t i = 0; i < count; i++)
            to[first + i] = (float)((double)values[i] * (factors ? factors[(first + i) / size] : 1));
    }
}

const char *onnx_trained(struct onnx_graph *graph, const char *name, const double *factors) {
    const struct tensor *tensor = onnx_tensor(graph, name);
    assert(tensor);
    const int64_t shape[] = {tensor->shape[0], tensor->shape[1], tensor->shape[2], tensor->shape[3]};
    Onnx__TensorProto *proto = add_tensor(graph, name, tensor->dims, shape);
    float *values = mem_block(tensor->count * sizeof *values);
    graph->no_memory |= !values;
    if (!values)
        return proto->name;
    copy_values(values, tensor, factors);
    proto->has_raw_data = true;
    proto->raw_data = (ProtobufCBinaryData){tensor->count * sizeof *values, (uint8_t *)values};
    return proto->name;
}

/* --- Inputs and outputs ------------------------------------------------------------------------------------------ */

static void add_dimension(struct onnx_graph *graph, Onnx__TensorShapeProto *shape, int64_t size) {
    Onnx__TensorShapeProto__Dimension *dimension =
        NEW(graph, Onnx__TensorShapeProto__Dimension, onnx__tensor_shape_proto__dimension__init);
    dimension->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    dimension->dim_value = size;
    if (size == 0) {
        dimension->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        dimension->dim_param = arena_string(&graph->arena, "N");
    }
    ADD(graph, shape->n_dim, shape->dim, dimension);
}

static Onnx__ValueInfoProto *new_value(struct onnx_graph *graph, const char *name, int32_t type, int dims,
                                       const int64_t *shape) {
    Onnx__ValueInfoProto *value = NEW(graph, Onnx__ValueInfoProto, onnx__value_info_proto__init);
    Onnx__TypeProto__Tensor *tensor = NEW(graph, Onnx__TypeProto__Tensor, onnx__type_proto__tensor__init);
    value->name = arena_string(&graph->arena, name);
    value->type = NEW(graph, Onnx__TypeProto, onnx__type_proto__init);
    value->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    value->type->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type = type;
    tensor->shape = NEW(graph, Onnx__TensorShapeProto, onnx__tensor_shape_proto__init);
    add_dimension(graph, tensor->shape, 0);
    for (int d = 0; d < dims; d++)
        add_dimension(graph, tensor->shape, shape[d]);
    return value;
}

void onnx_graph_input(struct onnx_graph *graph, const char *name, int32_t type, int dims, const int64_t *shape) {
    ADD(graph, graph->proto.n_input, graph->proto.input, new_value(graph, name, type, dims, shape));
}

void onnx_graph_output(struct onnx_graph *graph, const char *name, int64_t width) {
    ADD(graph, graph->proto.n_output, graph->proto.output,
        new_value(graph, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1, &width));
}
