/* What is said of the key train.openblas_core, whose value is a wish as in machine/openblas.h. */
#ifndef SPHERENET_TRAIN_OPENBLAS_CORE_H
#define SPHERENET_TRAIN_OPENBLAS_CORE_H

#include "base/error.h"
#include "spec/node.h"

/* Diagnoses a name that is none in the spec `root`. One that this machine refuses may stand in the spec of a run that
 * began elsewhere. */
void blas_core_diagnose(const char *wish, const struct node *root, struct diagnostics *diags);

/* Whether the kernels wished for can run on this machine; the error lists those that can. */
bool blas_core_check(const char *wish, struct error *err);

/* One line, in static memory, when there is a problem with the kernels in use (struct blas_problem); NULL when there is
 * none, or when the wish is a name: whoever gives it has chosen. */
const char *blas_core_warning(const char *wish);

#endif
