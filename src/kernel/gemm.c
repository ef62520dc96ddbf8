#include "kernel/gemm.h"

#include <cblas.h>

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
