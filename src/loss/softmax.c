/* Softmax cross entropy of logits. */
#include <stdlib.h>

#include "base/mem.h"
#include "loss/cross_entropy.h"
#include "loss/loss.h"

static double softmax_evaluate(const struct loss_type *type, const void *config, const struct loss_input *in,
                               int64_t iteration, const struct loss_gradient *gradient) {
    (void)type, (void)iteration;
    double sum = 0, *logits = mem_alloc(2 * (size_t)in->classes * sizeof *logits), *dlogits = logits + in->classes;
    for (int i = 0; i < in->n; i++) {
        size_t first = (size_t)i * (size_t)in->classes;
        for (int j = 0; j < in->classes; j++)
            logits[j] = (double)in->scores[first + (size_t)j];
        sum += cross_entropy(config, in->classes, gradient ? dlogits : NULL, logits, in->labels[i]);
        for (int j = 0; gradient && j < in->classes; j++)
            gradient->scores[first + (size_t)j] = (real)(dlogits[j] / in->n);
    }
    free(logits);
    return sum / in->n;
}

const struct loss_type loss_softmax = {
    .kind = {"softmax", "softmax cross entropy", cross_entropy_params, sizeof(struct cross_entropy)},
    .evaluate = softmax_evaluate,
};
