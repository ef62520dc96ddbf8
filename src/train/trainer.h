/* One network in training: its weights, its optimizer's state, and the step that ties everything together. */
#ifndef SPHERENET_TRAIN_TRAINER_H
#define SPHERENET_TRAIN_TRAINER_H

#include "data/loader.h"
#include "optim/optimizer.h"
#include "train/experiment.h"

/* What a step spends its time on. */
enum step_phase {
    STEP_INPUT, /* between the end of the step before and the start of this one: waiting for the batch */
    STEP_FORWARD,
    STEP_LOSS,
    STEP_BACKWARD,
    STEP_PENALTIES,
    STEP_OPTIMIZER,
    STEP_PHASES
};

struct step_times {
    double last;                 /* clock when the latest phase ended; before the first step the caller sets it */
    double seconds[STEP_PHASES]; /* all steps added */
};

struct trainer {
    const struct experiment *experiment;
    struct model model;
    struct loss loss;
    const struct optimizer_type *optimizer;
    real *slots[OPTIMIZER_SLOTS]; /* the optimizer's state, laid out as the network's trained values */
    size_t trained;               /* reals in each */
    struct penalties penalties;
    struct span *spans; /* [span_count], of the trained tensors */
    int span_count;
    void *block;              /* what the above point into */
    int64_t iteration;        /* batches so far */
    int64_t left_out;         /* those of them that made no update */
    struct step_times *times; /* the caller's, like profile, which measures layers; NULL: steps are not measured */
    struct profile *profile;
};

struct step_result {
    double rate;                             /* learning rate of this update */
    double fit, weight_decay, orthogonality; /* the parts of the loss, before the update */
    double gradient_norm;                    /* of the whole gradient, before it is clipped; 0: there was none */
    double accuracy;                         /* of the batch, 0 to 1 */
    double lambda;                           /* of a loss with a margin (loss/loss.h), else 0 */
    bool updated; /* false: loss or gradient was not finite, or the gradient more than the optimizer can take, and the
                     network is as before */
};

/* Builds the network and draws its initial weights. The experiment must be checked, and outlive the trainer. */
bool trainer_open(struct trainer *trainer, const struct experiment *experiment, struct error *err);
void trainer_close(struct trainer *trainer);

/* One iteration: an update on one batch, unless loss or gradient is not finite or too large; then train/divergence.h
 * says where it began, until the network's next pass. */
struct step_result trainer_step(struct trainer *trainer, const struct batch *batch);

/* Puts the means over train.batch_norm_images training images, or a few more, since whole batches are taken, in the
 * place of batch normalisation's running averages. They are the next batches of the run, augmented. What the network
 * computes in training does not depend on it. */
bool trainer_average_anew(struct trainer *trainer, const struct dataset *dataset, struct error *err);

/* The accuracy on a batch, 0 to 1, of the network as a test sees it. */
double trainer_test_batch(struct trainer *trainer, const struct batch *batch);

#endif
