/* Softmax cross entropy of scores. */
#include "loss/cross_entropy.h"
#include "loss/images.h"
#include "loss/loss.h"

struct batch {
    const struct cross_entropy *config;
    const struct head *head;
    const int32_t *labels;
    int whole; /* images of it */
    bool gradient;
};

static double image_loss(const void *of, int image, double *logits) {
    const struct batch *batch = of;
    int classes = batch->head->classes;
    size_t first = (size_t)image * (size_t)classes;
    const real *scores = batch->head->scores + first;
    for (int j = 0; j < classes; j++)
        logits[j] = (double)scores[j];
    double loss = cross_entropy(batch->config, classes, batch->gradient ? logits : NULL, logits, batch->labels[image]);
    if (!batch->gradient)
        return loss;
    real *gradient = batch->head->scores_gradient + first;
    for (int j = 0; j < classes; j++)
        gradient[j] = (real)(logits[j] / batch->whole);
    return loss;
}

static struct image_memory memory_of(const struct head *head) {
    return (struct image_memory){.own = (size_t)head->classes};
}

static void softmax_plan(const struct loss *loss, struct planner *planner, const struct head *head) {
    (void)loss;
    image_losses_plan(planner, memory_of(head));
}

static double softmax_evaluate(const struct loss *loss, const struct step *step, const struct head *head,
                               const int32_t *labels) {
    const struct batch batch = {loss->config, head, labels, step_whole(step), loss_wants_gradient(step, head)};
    struct image_losses losses = image_losses_of(step, memory_of(head));
    image_losses_compute(&losses, 0, step->n, image_loss, &batch);
    return image_mean(step, losses.loss);
}

const struct loss_type loss_softmax = {
    .kind = {"softmax", "softmax cross entropy", cross_entropy_params, sizeof(struct cross_entropy)},
    .plan = softmax_plan,
    .evaluate = softmax_evaluate,
};
