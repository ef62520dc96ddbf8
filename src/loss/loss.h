/* Losses: from what the network's head makes of a batch and the labels to one number, and its gradients at the head.
 *
 * To add one: one file with a `struct loss_type`, one line in registry.c; an angular one with a margin of its own is a
 * row in angular.c. */
#ifndef SPHERENET_LOSS_LOSS_H
#define SPHERENET_LOSS_LOSS_H

#include <stdint.h>

#include "loss/margin.h"
#include "model/head.h"

/* A loss at work on a network's head. */
struct loss {
    const struct loss_type *type;
    const void *config;       /* of the row */
    void *state;              /* type->state_size bytes, in the planner's arena; zeros, until the type plans */
    struct ranking *rankings; /* [batch], likewise: of the images that were evaluated last, without margin */
};

struct loss_type {
    struct kind kind;
    enum head_kind needs;
    size_t state_size;
    /* Asks for the tensors that the loss owns, named after the head, and for scratch: step->scratch of evaluate. */
    void (*plan)(const struct loss *loss, struct planner *planner, const struct head *head);
    /* The mean loss of step->n images. A margin holds where step->iteration is above 0. Sets the gradients of the
     * head's scores and lengths, and of the loss's tensors, in a training step whose head has them. The rankings are
     * there, by the head's scores; a loss that ranks the classes otherwise sets them. */
    double (*evaluate)(const struct loss *loss, const struct step *step, const struct head *head,
                       const int32_t *labels);
    /* The logits of image number `image` of the last step, without margin, [head->classes]: what the classes are ranked
     * by. NULL: the head's scores. */
    void (*logits)(const struct loss *loss, const struct head *head, int image, double *logits);
    bool independent; /* the probability of a class is the sigmoid of its logit, else softmax's of all logits */
    /* Of the weight of the logit without margin beside the one with it; NULL: no margin, or none that is annealed. */
    const struct annealing *(*annealing)(const void *config);
    bool (*has_margin)(const void *config); /* whether there is one to anneal; NULL: none */
};

extern const struct registry loss_registry;

static inline const struct loss_type *loss_type_of(struct choice loss) {
    return (const struct loss_type *)loss.kind;
}

/* 0: nothing is annealed. */
static inline double loss_lambda(struct choice loss, int64_t iteration) {
    const struct loss_type *type = loss_type_of(loss);
    return type->annealing ? annealing_lambda(type->annealing(loss.config), iteration) : 0;
}

/* What the loss of a spec asks of the network's head. *loss is set when the network is planned, and is good as long as
 * the plan. */
struct head_request loss_request(struct loss *loss, struct choice choice);

/* Whether evaluate is to set gradients. */
static inline bool loss_wants_gradient(const struct step *step, const struct head *head) {
    return step->mode == STEP_TRAIN && head->scores_gradient;
}

/* The type's evaluate, and the rankings. */
double loss_evaluate(const struct loss *loss, const struct step *step, const struct head *head, const int32_t *labels);

/* The type's logits, or the scores. */
void loss_logits(const struct loss *loss, const struct head *head, int image, double *logits);

/* probabilities[classes] of logits. May be logits. */
void loss_probabilities(const struct loss *loss, int classes, double *probabilities, const double *logits);

#endif
