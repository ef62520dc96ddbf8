/* Notices a training that stays at the accuracy of chance, as one with a large margin from scratch may. */
#ifndef SPHERENET_TRAIN_PLATEAU_H
#define SPHERENET_TRAIN_PLATEAU_H

#include <stdbool.h>
#include <stdint.h>

enum { PLATEAU_WINDOW = 200 }; /* iterations that are looked at together */

/* One of zeros is ready. */
struct plateau {
    int iterations;  /* of the window so far */
    double accuracy; /* their sum */
    bool told;
};

/* Takes one batch's accuracy, without margin. True once: at the end of the first window, but not of the run's first 200
 * iterations, whose mean accuracy is not above one and a half times 1 / classes. */
bool plateau_add(struct plateau *plateau, double accuracy, int classes, int64_t iteration);

#endif
