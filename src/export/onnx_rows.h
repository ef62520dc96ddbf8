/* What becomes of each row of the registries in ONNX: a table of functions for each registry, one line a row
 * (onnx_layers.c, onnx_operators.c, onnx_losses.c). Families need none, since they are lists of layers, and what
 * only trains has no place in a graph.
 *
 * Values are named. A value of an image is [N, channels, height, width], a flat one [N, width] in the order of
 * checkpoints: channel, row, column. */
#ifndef SPHERENET_EXPORT_ONNX_ROWS_H
#define SPHERENET_EXPORT_ONNX_ROWS_H

#include "export/onnx_graph.h"
#include "layer/chain.h"
#include "loss/loss.h"
#include "op/sphere_op.h"

/* Adds the layer, in whose scope the graph is, and returns its output. */
typedef const char *onnx_layer_row(struct onnx_graph *graph, const struct layer *layer, const char *x);

/* From cosines within [-1, 1], or where the row clamps them within its clamp, to g. */
typedef const char *onnx_angular_row(struct onnx_graph *graph, const struct angular *angular, bool flat,
                                     const char *cosines);

/* From the patches' lengths to their factor of h; NULL: it is 1. */
typedef const char *onnx_magnitude_row(struct onnx_graph *graph, const struct magnitude *magnitude,
                                       const char *lengths);

/* From scores, or cosines and the features' lengths, [N, classes] and [N, 1], to the values "logits" and
 * "probabilities": those without margin, by which a test ranks and whose loss it reports. */
typedef void onnx_loss_row(struct onnx_graph *graph, const struct loss *loss, const char *scores, const char *lengths);

/* NULL: there is none, which is a mistake. */
onnx_layer_row *onnx_layer_of(const struct kind *kind);
onnx_angular_row *onnx_angular_of(const struct kind *kind);
onnx_magnitude_row *onnx_magnitude_of(const struct kind *kind);
onnx_loss_row *onnx_loss_of(const struct kind *kind);

/* The first `count` layers of the chain. */
const char *onnx_chain(struct onnx_graph *graph, const struct chain *chain, int count, const char *x);

/* An image made flat; a flat value made the image of that shape that it was. */
const char *onnx_flat(struct onnx_graph *graph, const char *name, const char *x);
const char *onnx_image(struct onnx_graph *graph, const char *name, const char *x, const struct shape *shape);

/* The operator of a layer with filters: of the image x where not flat. lengths: set to those of the patches, or NULL;
 * only of an operator that is not ordinary. */
const char *onnx_operator(struct onnx_graph *graph, const struct sphere_op *op, bool flat, const char *x,
                          const char **lengths);

/* The cosines at most so far from 0. */
const char *onnx_clamped(struct onnx_graph *graph, const char *name, const char *cosines, double limit);

#endif
