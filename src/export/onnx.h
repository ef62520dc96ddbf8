/* A trained network as a file of ONNX, which other programs run: from pictures to probabilities.
 *
 *     images           uint8 [N, height, width, channels], or with float_input float [N, channels, height, width]
 *                      that is normalised already
 *     probabilities    [N, classes]
 *     logits           [N, classes]: what a test ranks the classes by and reports the loss of
 *     features         [N, width]: the classifier's inputs, in the order of `spherenet features`; of networks that
 *                      end with a dense layer
 *
 * Metadata as in checkpoints: spec, version, iteration, classes. */
#ifndef SPHERENET_EXPORT_ONNX_H
#define SPHERENET_EXPORT_ONNX_H

#include "train/experiment.h"

struct onnx_source {
    const struct experiment *experiment; /* its shape with the names of the classes, where they have any */
    const struct model *model;           /* planned for it, with its weights */
    const struct loss *loss;             /* on the model's head */
    int64_t iteration;
    bool float_input;
};

/* Writes the file, which is whole or not there. */
bool onnx_write(const char *path, const struct onnx_source *source, struct error *err);

#endif
