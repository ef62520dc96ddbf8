/* The cores that OpenBLAS names its kernels after, and what their kernels take of a CPU. */
#ifndef SPHERENET_MACHINE_OPENBLAS_CORES_H
#define SPHERENET_MACHINE_OPENBLAS_CORES_H

#include "machine/cpu.h"

struct blas_core {
    const char *name;
    enum cpu_feature vectors; /* that its products use */
    enum cpu_feature needs;   /* without which it is an illegal instruction */
};

enum { MOST_BLAS_CORES = 32 };

/* Those of x86-64, slowest first; of aarch64 those that not every CPU can run. The name of the last is NULL. */
extern const struct blas_core blas_cores[];

/* By its name, in any case of letters; NULL for one that is not in the table. */
const struct blas_core *blas_core_find(const char *name);

#endif
