/* The losses of single images, on all threads: each thread has memory of its own, and the mean is taken in the images'
 * order, so that it is the same on any number of threads. */
#ifndef SPHERENET_LOSS_IMAGES_H
#define SPHERENET_LOSS_IMAGES_H

#include "plan/plan.h"
#include "plan/step.h"

/* How many doubles of scratch a loss takes. */
struct image_memory {
    size_t own;    /* for one image at a time */
    size_t kept;   /* for each image, besides its loss */
    size_t shared; /* for all of them; what is in there is arbitrary at first */
};

struct image_losses {
    int threads;
    double *loss;   /* [n] */
    double *own;    /* [threads][memory.own]; image number i of a call takes row i % threads */
    double *kept;   /* [n][memory.kept] */
    double *shared; /* [memory.shared] */
    size_t stride;  /* between rows of `own` */
};

/* Asks for the scratch. */
void image_losses_plan(struct planner *planner, struct image_memory memory);

/* Where it lies in the step's scratch. */
struct image_losses image_losses_of(const struct step *step, struct image_memory memory);

/* losses->loss[i] for the images [first, end). own: that image's. */
void image_losses_compute(const struct image_losses *losses, int first, int end,
                          double (*image_loss)(const void *batch, int image, double *own), const void *batch);

/* The mean over the whole batch of the values[step->n]. */
double image_mean(const struct step *step, const double *values);

#endif
