/* The head of a network: what its last layer makes of a batch, for whom it makes it, and where the gradients go.
 *
 * A loss says what it needs of the head, plans on it what it owns itself, and then reads and writes these arrays alone:
 * it knows no layer, and the layers know no loss. */
#ifndef SPHERENET_MODEL_HEAD_H
#define SPHERENET_MODEL_HEAD_H

#include "layer/configs.h"

enum head_kind {
    HEAD_SCORES, /* one number for each class, of any last layer */
    HEAD_COSINES /* of the angles between the feature and the classes' weights; the last layer is a dense one */
};

/* Pointers are there once memory is allocated; n: images of the last step. */
struct head {
    enum head_kind kind;
    int classes;
    const char *name;    /* the layer's: a loss's tensors stand beside its weights, as in "score.k" */
    int width;           /* of a feature, the last layer's input; 0: that layer is not a dense one */
    const real *weights; /* [classes][width]; NULL likewise */
    const real *scores;  /* [n][classes]: scores, or cosines */
    real *scores_gradient;
    const real *lengths; /* [n]: of the features; HEAD_COSINES alone, else NULL */
    real *lengths_gradient;
};

/* What somebody, most often a loss, wants of a network's head. Zeros: its scores. */
struct head_request {
    enum head_kind kind;
    const char *loss; /* in messages: HEAD_COSINES alone */
    /* Called when all layers are planned: asks for tensors, which come after the layers', and for scratch, which a step
     * made by model_step brings along outside forward and backward. NULL: neither is wanted. */
    void (*plan)(void *owner, struct planner *planner, const struct head *head);
    void *owner;
};

/* Makes the last of the layers what the request needs. The list stays as it is: *planned is the one to plan. False,
 * with diagnostics at the layer's place, when that layer cannot be it. */
bool head_choose(const struct head_request *request, struct arena *arena, const struct choice_list *layers,
                 struct choice_list *planned, struct diagnostics *diags);

/* All but the scores of the network's last layer, as far as they are known. */
void head_of(struct head *head, const struct layer *last);

enum { NO_PREDICTION = -1 };

/* Where an image's classes stand. */
struct ranking {
    int best;  /* the first of the classes with the largest score; NO_PREDICTION when a score is NaN */
    int above; /* classes with a larger score than the label's; then all of them */
};
static inline struct ranking ranking_none(int classes) {
    return (struct ranking){.best = NO_PREDICTION, .above = classes};
}

/* By the scores of image number `image` of the last step. */
struct ranking head_ranking(const struct head *head, int image, int label);

#endif
