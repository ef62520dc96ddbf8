/* What a network makes of the images of a split. */
#ifndef SPHERENET_TRAIN_EVALUATE_H
#define SPHERENET_TRAIN_EVALUATE_H

#include "train/experiment.h"
#include "train/feature_angles.h"

enum { CONFUSION_CLASSES = 2000 }; /* the most for which predictions are counted by class: 32 MB */

/* Measures of a network on one split. An image without prediction (model/head.h) counts as wrong, and nowhere in the
 * confusion. A group's processes have the same numbers, and tables of their own images. */
struct evaluation {
    int images, classes;
    double loss, accuracy, top5;           /* top5: 1 when there are five classes or fewer */
    struct text not_finite;                /* where the loss is not: what is, as of train/divergence.h; else empty */
    int64_t *class_images, *class_correct; /* [classes] */
    int64_t *confusion;                    /* [true class][predicted class]; NULL above CONFUSION_CLASSES */
};
static inline bool evaluation_is_finite(const struct evaluation *evaluation) {
    return !evaluation->not_finite.data;
}

/* Frees its tables and its text; the numbers stay. Of zeros is allowed. */
void evaluation_free(struct evaluation *evaluation);

/* Runs the model, planned for the experiment, over a split of the dataset. features: allocated for the split and the
 * network's features, filled in; NULL: not wanted. Free the result in either case. */
bool evaluate_split(const struct experiment *experiment, struct model *model, const struct loss *loss,
                    const struct dataset *dataset, int split, struct evaluation *result, struct features *features,
                    struct error *err);

#endif
