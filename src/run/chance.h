/* Notices a training that stays at chance, as one with a large margin from scratch may. */
#ifndef SPHERENET_RUN_CHANCE_H
#define SPHERENET_RUN_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

enum { CHANCE_WINDOW = 200 }; /* iterations that are looked at together */

/* One of zeros is ready. */
struct chance {
    int iterations;  /* of the window so far */
    double accuracy; /* their sum */
    bool told;
};

/* Takes one batch's accuracy, without margin. True once: at the end of the first window, but not of the run's first 200
 * iterations, whose mean accuracy is not above one and a half times 1 / classes. */
bool chance_add(struct chance *chance, double accuracy, int classes, int64_t iteration);

#endif
