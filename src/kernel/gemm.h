/* Matrix products: the only place that has OpenBLAS compute (machine/openblas.h asks it what it is).
 *
 * All matrices are row-major; `lda` and so on are the distances between rows. Each call runs on the calling thread
 * alone: the workers that call it divide the work, in pieces that do not depend on their number. */
#ifndef SPHERENET_KERNEL_GEMM_H
#define SPHERENET_KERNEL_GEMM_H

#include "base/real.h"

/* To be called once, before any product. */
void gemm_setup(void);

/* c[m][n] = a[m][k] b[k][n] + beta c */
void gemm_nn(int m, int n, int k, const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc);
/* c[m][n] = a[m][k] b[n][k]^T + beta c */
void gemm_nt(int m, int n, int k, const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc);
/* c[m][n] = a[k][m]^T b[k][n] + beta c */
void gemm_tn(int m, int n, int k, const real *a, int lda, const real *b, int ldb, real beta, real *c, int ldc);
/* c[m][m] = a[m][k] a[m][k]^T */
void gemm_gram(int m, int k, const real *a, int lda, real *c, int ldc);

#endif
