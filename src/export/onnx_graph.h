/* A graph of ONNX while it is being made: nodes, constants and trained tensors, each with a name of its own.
 *
 * What is added is named "SCOPE.NAME" after the layer that it is of, as tensors are in checkpoints, or NAME alone where
 * the scope is NULL. Everything lives until onnx_graph_close. */
#ifndef SPHERENET_EXPORT_ONNX_GRAPH_H
#define SPHERENET_EXPORT_ONNX_GRAPH_H

#include <onnx.pb-c.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "plan/tensor.h"

/* The oldest of ONNX's sets of operators that has all of these as they are used: Gemm without a bias came with it. IR:
 * of the files of its time. */
enum { ONNX_OPSET = 11, ONNX_IR_VERSION = 6 };

struct onnx_graph {
    struct arena arena;
    const char *scope;
    Onnx__GraphProto proto;
    struct tensor *const *tensors; /* [tensor_count]: of the network */
    int tensor_count;
    bool no_memory; /* a trained tensor was left out */
};

void onnx_graph_open(struct onnx_graph *graph, const char *name, struct tensor *const *tensors, int tensor_count);
void onnx_graph_close(struct onnx_graph *graph);

/* Adds a node, and returns the name of its output. inputs: names, up to a NULL. */
const char *onnx_node(struct onnx_graph *graph, const char *type, const char *output, const char *const *inputs);
#define ONNX_INPUTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Attributes of the node that was added last. */
void onnx_int(struct onnx_graph *graph, const char *name, int64_t value);
void onnx_ints(struct onnx_graph *graph, const char *name, const int64_t *values, int count);
void onnx_float(struct onnx_graph *graph, const char *name, double value);

/* The network's tensor "SCOPE.NAME", or NULL. */
const struct tensor *onnx_tensor(const struct onnx_graph *graph, const char *name);

/* That tensor, with its shape in checkpoints; each filter multiplied by its factor, or NULL. */
const char *onnx_trained(struct onnx_graph *graph, const char *name, const double *factors);

/* A constant. dims 0: one number. */
const char *onnx_constant(struct onnx_graph *graph, const char *name, const double *values, int dims,
                          const int64_t *shape);
const char *onnx_number(struct onnx_graph *graph, const char *name, double value);

/* A number for each channel, shaped so that it meets a value's channels: [N, channels] where flat, else
 * [N, channels, height, width]. One number where all are alike. */
const char *onnx_channels(struct onnx_graph *graph, const char *name, const double *values, int count, bool flat);

/* A flat value as an image again, [N, shape[0], shape[1], shape[2]]. */
const char *onnx_reshaped(struct onnx_graph *graph, const char *name, const char *x, const int64_t shape[3]);

/* The values of the network's tensor "SCOPE.NAME". */
const double *onnx_values(struct onnx_graph *graph, const char *name);

/* An input or an output of the graph, of a type of Onnx__TensorProto__DataType; its first dimension is free. dims: of
 * the others. */
void onnx_graph_input(struct onnx_graph *graph, const char *name, int32_t type, int dims, const int64_t *shape);
void onnx_graph_output(struct onnx_graph *graph, const char *name, int64_t width);

#endif
