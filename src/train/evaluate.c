#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "data/loader.h"
#include "train/divergence.h"

enum { TOP = 5 };

/* What comes together while a split goes by. */
struct tally {
    double loss;
    int64_t right, top5;
};

static bool allocate_evaluation(struct evaluation *result, int classes, struct error *err) {
    size_t count = (size_t)classes;
    bool confusion = classes <= CONFUSION_CLASSES;
    *result = (struct evaluation){
        .classes = classes,
        .class_images = mem_block(count * sizeof(int64_t)),
        .class_correct = mem_block(count * sizeof(int64_t)),
        .confusion = confusion ? mem_block(count * count * sizeof(int64_t)) : NULL,
    };
    if (result->class_images && result->class_correct && (result->confusion || !confusion))
        return true;
    return error_set_code(err, ERROR_NO_MEMORY, "not enough memory to count the predictions of %d classes", classes);
}

void evaluation_free(struct evaluation *evaluation) {
    free(evaluation->class_images);
    free(evaluation->class_correct);
    free(evaluation->confusion);
    evaluation->class_images = evaluation->class_correct = evaluation->confusion = NULL;
    text_free(&evaluation->not_finite);
}

/* The batch's images, as the loss has just ranked their classes. */
static void count_batch(struct tally *tally, struct evaluation *result, const struct batch *batch,
                        const struct ranking *rankings) {
    for (int i = 0; i < batch->count; i++) {
        int label = batch->labels[i], predicted = rankings[i].best;
        result->class_images[label]++;
        if (predicted == NO_PREDICTION)
            continue;
        result->class_correct[label] += predicted == label;
        if (result->confusion)
            result->confusion[(size_t)label * (size_t)result->classes + (size_t)predicted]++;
        tally->right += predicted == label;
        tally->top5 += rankings[i].above < TOP;
    }
}

/* Of the batch's images, the first of which is number `first` of the split. */
static void take_predictions(struct features *features, int first, const struct batch *batch,
                             const struct ranking *rankings) {
    for (int i = 0; i < batch->count; i++) {
        features->labels[first + i] = batch->labels[i];
        features->predictions[first + i] = rankings[i].best;
    }
}

/* Of the batch's images, if they are wanted. */
static void take_logits(struct features *features, int first, int count, const struct loss *loss,
                        const struct head *head) {
    for (int i = 0; features->logits && i < count; i++)
        loss_logits(loss, head, i, features->logits + (size_t)(first + i) * (size_t)features->classes);
}

/* Features and logits are taken before the loss, which may use their memory. */
static bool evaluate_batches(struct model *model, const struct loss *loss, struct loader *loader, int images,
                             struct tally *tally, struct evaluation *result, struct features *features,
                             struct error *err) {
    while (result->images < images) {
        const struct batch *batch = loader_next(loader);
        if (!group_agree(model->group, batch || loader_good(loader, err), err) || !batch)
            return false;
        int whole = smaller(model->batch, images - result->images);
        struct step step = model_step(model, whole, STEP_EVALUATE);
        model_forward(model, step, batch->images);
        if (features) {
            model_features(model, batch->count, batch->images,
                           features->values + (size_t)result->images * (size_t)features->width);
            take_logits(features, result->images, batch->count, loss, &model->head);
        }
        double fit = loss_evaluate(loss, &step, &model->head, batch->labels);
        if (!isfinite(fit) && !result->not_finite.data)
            divergence_describe(&result->not_finite, model, batch->count, fit);
        tally->loss += whole * fit;
        if (features)
            take_predictions(features, result->images, batch, loss->rankings);
        count_batch(tally, result, batch, loss->rankings);
        result->images += whole;
    }
    return true;
}

bool evaluate_split(const struct experiment *experiment, struct model *model, const struct loss *loss,
                    const struct dataset *dataset, int split, struct evaluation *result, struct features *features,
                    struct error *err) {
    struct tally tally = {0};
    struct loader *loader = NULL;
    if (allocate_evaluation(result, experiment->shape.classes, err))
        loader = loader_evaluate_share(dataset, experiment_data(experiment), split, experiment->train.batch_size,
                                       experiment->share, err);
    bool good = group_agree(model->group, loader, err) &&
                evaluate_batches(model, loss, loader, dataset->splits[split].count, &tally, result, features, err);
    loader_close(loader);
    if (!good)
        return false;
    result->loss = isnan(tally.loss) ? NAN : tally.loss / result->images; /* without a sign, which would be shown */
    result->accuracy = group_sum(model->group, (double)tally.right) / result->images;
    result->top5 = group_sum(model->group, (double)tally.top5) / result->images;
    return true;
}
