/* Whole networks by the formulas of tests/ref, layer by layer, in double arithmetic. */
#ifndef SPHERENET_TESTS_SUPPORT_F64_REFERENCE_NET_H
#define SPHERENET_TESTS_SUPPORT_F64_REFERENCE_NET_H

#include "model/model.h"

/* Values of one batch, [n][height][width][channels]. */
struct signal {
    int n;
    struct shape shape;
    double *values;
};

/* The output of the layers in training, with the tensors of the net; the caller frees its values. */
struct signal reference_chain(const struct model *net, const struct choice_list *layers, struct signal x);

/* The test fails where there is no reference for layers of that type. */
int reference_index(const char *type);

/* NULL: there is none. */
const struct tensor *find_tensor(const struct model *net, const char *layer, const char *part);
const double *tensor_values(const struct model *net, const char *layer, const char *part);

/* The number that a magnitude looks at, fixed or trained; 0: it looks at none. */
double effective_rho(const struct model *net, const char *layer, struct choice magnitude);

#endif
