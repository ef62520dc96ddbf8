/* Where numbers stopped being finite, or became too large. */
#ifndef SPHERENET_TRAIN_DIVERGENCE_H
#define SPHERENET_TRAIN_DIVERGENCE_H

#include "base/text.h"
#include "model/model.h"

/* Appends what is not finite, the layer and the tensor in which it begins: "the loss is nan; first in the output of
 * layer conv2, ...". For a step that made no update, before the network's next pass; n: images of its batch, loss: its
 * fit. */
void divergence_describe(struct text *out, const struct model *model, int n, double loss);

#endif
