/* Drives kernel/conv.h block by block over whole batches, as the layers do. */
#ifndef SPHERENET_TESTS_SUPPORT_CONVOLUTION_H
#define SPHERENET_TESTS_SUPPORT_CONVOLUTION_H

#include "kernel/conv.h"
#include "ref/reference.h"
#include "support/array.h"

/* Everything that conv.h computes of one geometry. */
struct conv_results {
    struct array x, w, dy, r; /* given; r: of conv_box_row, [positions] */
    struct array y, dx, dw, squares, box;
};

/* Fills the results in, on as many threads as are set, the weight gradient in as many slices, if it has so
 * many. */
void conv_compute(struct conv_results *c, const struct conv_geometry *g, enum conv_choice algorithm, int n,
                  int threads);

void conv_free_given(struct conv_results *c);
void conv_free_results(struct conv_results *c); /* which can then be filled in again */

struct ref_geometry reference_of(const struct conv_geometry *g);

#endif
