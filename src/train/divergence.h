/* Where numbers stopped being finite, or became too large. */
#ifndef SPHERENET_TRAIN_DIVERGENCE_H
#define SPHERENET_TRAIN_DIVERGENCE_H

#include "base/text.h"
#include "model/model.h"

/* Appends what is not finite, the layer and the tensor in which it begins: "the loss is nan; first in the output of
 * layer conv2, ...". For a step that made no update, or a batch of a test, before the network's next pass; n: images of
 * the batch, loss: its fit. A network that is planned for evaluation alone keeps no outputs, so no layer is named. */
void divergence_describe(struct text *out, const struct model *model, int n, double loss);

#endif
