/* A small network under test, in double arithmetic: its outputs against the reference network, its gradients against
 * central differences. */
#ifndef SPHERENET_TESTS_SUPPORT_F64_SUBJECT_H
#define SPHERENET_TESTS_SUPPORT_F64_SUBJECT_H

#include "base/rng.h"
#include "model/model.h"
#include "support/array.h"
#include "support/f64_reference_net.h"
#include "support/suite.h"

#define VALUE_TOLERANCE 1e-10
#define GRADIENT_TOLERANCE 1e-6

/* Bound on the rounding error of a value, in units of its terms' sum. */
#define VALUE_NOISE 3e-15

struct subject {
    struct arena arena;
    struct choice_list layers;
    struct shape in, out;
    struct model net;
    int n;
    real *x, *dx, *dy;
    struct rng rng;
};

/* yaml: "layers: [...]", each layer named where it has tensors. batch: planned for; n: images in x, dx and dy. x and dy
 * are random. */
void subject_open(struct subject *s, const char *yaml, struct shape in, struct shape out, int n, int batch);
void subject_close(struct subject *s);

size_t input_count(const struct subject *s);
size_t output_count(const struct subject *s);
size_t gradient_count(const struct model *net); /* of all tensors */

/* Away from the values at which a wrong factor would not show: norms around 1, k of either sign, biases not 0. */
void randomise_parameters(struct model *net, struct rng *rng);

/* From s->dy to the tensors' gradients and, where it is not NULL, dx. */
void backward(struct subject *s, real *dx);

/* Outputs, gradients and tensors of a forward and a backward pass. */
void check_all_finite(struct subject *s);

void check_forward(struct subject *s, const char *what);

/* The gradients of all trained tensors, which begin at `gradients`, against differences of value(). noise: bound on its
 * rounding error. */
void check_tensor_gradients(struct model *net, double (*value)(void *), void *context, const real *gradients,
                            struct rng *rng, double noise);

/* Everything of one network: outputs, gradients, and the same gradients without that of the images. */
void check_subject(const char *yaml, struct shape in, struct shape out, int n);

#endif
