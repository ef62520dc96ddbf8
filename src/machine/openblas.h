/* Which OpenBLAS this is, and which of its kernels it uses.
 *
 * OpenBLAS has kernels for many CPUs, each set under a core's name: "Haswell", "SkylakeX". It takes those of the
 * environment variable OPENBLAS_CORETYPE or else chooses by the CPU, once, when the library is loaded. A wish is the
 * name that the user wants, in any case of letters, or "auto", which takes what OpenBLAS has taken. */
#ifndef SPHERENET_MACHINE_OPENBLAS_H
#define SPHERENET_MACHINE_OPENBLAS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

#define BLAS_CORE_VARIABLE "OPENBLAS_CORETYPE"

/* "OpenBLAS 0.3.21, SkylakeX kernels (AVX-512)"; in static memory. */
const char *blas_library(void);

/* OpenBLAS takes memory for each thread that multiplies, and where it can have none, as under ulimit -v, it tries for
 * ever. So where address space is limited, this has it take what so many threads need, or says that there is not
 * enough; elsewhere it does nothing. To be called before anything large is allocated. */
bool blas_take_memory(int threads, struct error *err);

/* Its own threads, which the program does not use, take as much before main begins. With this variable set to 1, when
 * the program is started, there are none. */
#define BLAS_THREADS_VARIABLE "OPENBLAS_NUM_THREADS"

/* Whether the wish is "auto" or a name of kernels, be they for this machine or not. */
bool blas_core_known(const char *wish);

/* Adds "auto, Prescott, Haswell": the wishes that this OpenBLAS can grant on this CPU. */
void blas_core_list(struct text *out);

/* "auto" or the nearest name that blas_core_list has; NULL when none is near. */
const char *blas_core_nearest(const char *wish);

/* Whether the kernels of that name can run; else the error says why not. False also when OPENBLAS_CORETYPE names them
 * already and OpenBLAS uses others all the same, so that asking again would not help. */
bool blas_core_runs(const char *name, struct error *err);

/* Whether the kernels in use can run, where OPENBLAS_CORETYPE has named them. */
bool blas_environment_runs(struct error *err);

/* Whether the kernels in use are those. */
bool blas_core_used(const char *wish);

/* The kernels in use are slower than this CPU, or not those that the environment asks for. */
struct blas_problem {
    char reason[512];   /* one line */
    const char *remedy; /* which a wish is not; NULL: none is known, or faster ones are enough */
    const char *faster; /* kernels to wish for instead; NULL: none */
};

/* False: there is no problem. */
bool blas_problem(struct blas_problem *problem);

#endif
