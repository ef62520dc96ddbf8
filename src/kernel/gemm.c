#include "kernel/gemm.h"

#include <cblas.h>
#include <omp.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#ifdef SN_DOUBLE
#define GEMM cblas_dgemm
#define SYRK cblas_dsyrk
#else
#define GEMM cblas_sgemm
#define SYRK cblas_ssyrk
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

void gemm_gram(int m, int k, const real *a, int lda, real *c, int ldc) {
    SYRK(CblasRowMajor, CblasLower, CblasNoTrans, m, k, 1, a, lda, 0, c, ldc);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < i; j++)
            c[(size_t)j * (size_t)ldc + (size_t)i] = c[(size_t)i * (size_t)ldc + (size_t)j];
}

double gemm_rate(int size, int threads, int repeats) {
    size_t count = (size_t)size * (size_t)size;
    real *memory = mem_block(3 * count * sizeof *memory);
    if (!memory)
        return 0;
    for (size_t i = 0; i < 2 * count; i++)
        memory[i] = (real)0.5;
    double best = 0;
    int workers = omp_get_max_threads(); /* an OpenBLAS on OpenMP changes it too */
    openblas_set_num_threads(threads);
    for (int i = 0; i <= repeats; i++) {
        double start = clock_seconds();
        gemm_nt(size, size, size, memory, size, memory + count, size, 0, memory + 2 * count, size);
        double rate = 2.0 * (double)count * size / (clock_seconds() - start);
        if (i > 0 && rate > best) /* the first warms up */
            best = rate;
    }
    openblas_set_num_threads(1);
    omp_set_num_threads(workers);
    free(memory);
    return best;
}
