#include "loss/loss.h"

#include <math.h>

static void plan(void *owner, struct planner *planner, const struct head *head) {
    struct loss *loss = owner;
    loss->state = arena_alloc(planner->arena, loss->type->state_size);
    loss->rankings = arena_alloc(planner->arena, (size_t)planner->batch * sizeof *loss->rankings);
    loss->type->plan(loss, planner, head);
}

struct head_request loss_request(struct loss *loss, struct choice choice) {
    const struct loss_type *type = loss_type_of(choice);
    *loss = (struct loss){.type = type, .config = choice.config};
    return (struct head_request){.kind = type->needs, .loss = type->kind.name, .plan = plan, .owner = loss};
}

double loss_evaluate(const struct loss *loss, const struct step *step, const struct head *head, const int32_t *labels) {
#pragma omp parallel for schedule(static) num_threads(step->threads)
    for (int i = 0; i < step->n; i++)
        loss->rankings[i] = head_ranking(head, i, labels[i]);
    return loss->type->evaluate(loss, step, head, labels);
}

void loss_logits(const struct loss *loss, const struct head *head, int image, double *logits) {
    const real *scores = head->scores + (size_t)image * (size_t)head->classes;
    if (loss->type->logits) {
        loss->type->logits(loss, head, image, logits);
        return;
    }
    for (int j = 0; j < head->classes; j++)
        logits[j] = (double)scores[j];
}

static void softmax(int classes, double *probabilities, const double *logits) {
    double largest = logits[0], sum = 0;
    for (int j = 1; j < classes; j++)
        largest = fmax(largest, logits[j]);
    for (int j = 0; j < classes; j++)
        sum += probabilities[j] = exp(logits[j] - largest);
    for (int j = 0; j < classes; j++)
        probabilities[j] /= sum;
}

void loss_probabilities(const struct loss *loss, int classes, double *probabilities, const double *logits) {
    if (!loss->type->independent) {
        softmax(classes, probabilities, logits);
        return;
    }
    for (int j = 0; j < classes; j++)
        probabilities[j] = 1 / (1 + exp(-logits[j]));
}
