#include "kernel/gemm.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#ifdef SN_DOUBLE
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

void gemm_setup(void) {
    openblas_set_num_threads(1);
}

void gemm_nn(int m, int n, int k, const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc) {
    GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

void gemm_nt(int m, int n, int k, const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc) {
    GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

void gemm_tn(int m, int n, int k, const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc) {
    GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

const char *gemm_library(void) {
    static char name[128];
    char config[96];
    snprintf(config, sizeof config, "%s", openblas_get_config());
    /* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...": the first two words say which. */
    char *end = strchr(config, ' ');
    end = end ? strchr(end + 1, ' ') : NULL;
    if (end)
        *end = '\0';
    snprintf(name, sizeof name, "%s, %s kernels", config, openblas_get_corename());
    return name;
}

double gemm_rate(int size, int threads, int repeats) {
    size_t count = (size_t)size * (size_t)size;
    real *memory = mem_block(3 * count * sizeof *memory);
    if (!memory)
        return 0;
    for (size_t i = 0; i < 2 * count; i++)
        memory[i] = (real)0.5;
    double best = 0;
    openblas_set_num_threads(threads);
    for (int i = 0; i <= repeats; i++) {
        double start = clock_seconds();
        gemm_nt(size, size, size, memory, size, memory + count, size, 0, memory + 2 * count, size);
        double rate = 2.0 * (double)count * size / (clock_seconds() - start);
        if (i > 0 && rate > best) /* the first warms up */
            best = rate;
    }
    openblas_set_num_threads(1);
    free(memory);
    return best;
}
