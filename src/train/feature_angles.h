/* The features of a split's images, the classifier's inputs, and what their angles tell. */
#ifndef SPHERENET_TRAIN_FEATURE_ANGLES_H
#define SPHERENET_TRAIN_FEATURE_ANGLES_H

#include <stdint.h>

#include "base/error.h"
#include "base/real.h"

struct features {
    int images, width;
    real *values; /* [images][width], in memory order: row, column, channel where the input is an image */
    int32_t *labels;
    int *predictions;
    int classes;
    double *logits; /* [images][classes], without margin; NULL: not wanted */
};

/* Room for so many; false when there is not enough memory. Free with features_free in either case. */
bool features_allocate(struct features *features, int images, int width, struct error *err);
/* The same for the logits of images for which there is room. */
bool features_allocate_logits(struct features *features, int classes, struct error *err);
void features_free(struct features *features); /* of zeros is allowed */

enum { ANGLE_CLASSES = 10000 }; /* the most whose weights are compared with each other */

/* All angles in degrees; means over no pair at all are NAN. A vector of length 0 is at 90 degrees to every other. */
struct feature_angles {
    double own;               /* mean, between a feature and its class's weights */
    double classes;           /* the smallest between the weights of two classes; NAN above ANGLE_CLASSES */
    double within, between;   /* means over the pairs of images of one class, and of two */
    double length, variation; /* of the features: mean length, and its standard deviation by the mean */
};

/* weights: [classes][width]. Takes (images^2 + classes^2) width / 2 multiply-adds. Divides the features by their
 * lengths, which saves a copy of them. False when there is not enough memory. */
bool features_angles(struct feature_angles *angles, struct features *features, int classes, const real *weights,
                     struct error *err);

#endif
