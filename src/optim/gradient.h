/* The gradient of all trained weights as one vector: its length, and what limits it. */
#ifndef SPHERENET_OPTIM_GRADIENT_H
#define SPHERENET_OPTIM_GRADIENT_H

#include <stddef.h>

#include "base/real.h"

/* Euclidean length; not finite exactly where a value of the gradient is not. The same on any number of threads. */
double gradient_norm(const real *gradient, size_t count, int threads);

/* The largest size of a value of a gradient that is finite. */
double gradient_largest(const real *gradient, size_t count);

/* Shortens a gradient of that length to `most`, as torch.nn.utils.clip_grad_norm_ does: by the factor
 * most / (norm + 1e-6), where that is below 1. */
void gradient_clip(real *gradient, size_t count, double norm, double most, int threads);

#endif
