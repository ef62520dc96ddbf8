#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>

#include "data/loader.h"
#include "train/divergence.h"

/* Fewer than five classes have a larger logit than the label's. */
static bool in_top5(const real *logits, int classes, int label) {
    int larger = 0;
    for (int j = 0; j < classes; j++)
        larger += j != label && !(logits[j] <= logits[label]);
    return larger < 5;
}

/* What comes together while a split goes by. */
struct tally {
    double loss;
    int64_t right, top5;
    int *predictions; /* [batch]: of the latest batch */
};

static bool allocate_evaluation(struct evaluation *result, struct tally *tally, int classes, int batch,
                                struct error *err) {
    size_t count = (size_t)classes;
    bool confusion = classes <= CONFUSION_CLASSES;
    *result = (struct evaluation){
        .classes = classes,
        .class_images = mem_block(count * sizeof(int64_t)),
        .class_correct = mem_block(count * sizeof(int64_t)),
        .confusion = confusion ? mem_block(count * count * sizeof(int64_t)) : NULL,
    };
    *tally = (struct tally){.predictions = mem_block((size_t)batch * sizeof *tally->predictions)};
    if (result->class_images && result->class_correct && (result->confusion || !confusion) && tally->predictions)
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

static void predict(struct tally *tally, const struct step *step, const struct head *head, const int32_t *labels) {
    int classes = head->classes;
    int64_t top5 = 0;
#pragma omp parallel for schedule(static) num_threads(step->threads) reduction(+ : top5)
    for (int i = 0; i < step->n; i++) {
        const real *row = head->scores + (size_t)i * (size_t)classes;
        tally->predictions[i] = head_prediction(head, i);
        top5 += tally->predictions[i] != NO_PREDICTION && in_top5(row, classes, labels[i]);
    }
    tally->top5 += top5;
}

static void count_batch(struct tally *tally, struct evaluation *result, const struct batch *batch) {
    for (int i = 0; i < batch->count; i++) {
        int label = batch->labels[i], predicted = tally->predictions[i];
        result->class_images[label]++;
        result->class_correct[label] += predicted == label;
        if (result->confusion && predicted != NO_PREDICTION)
            result->confusion[(size_t)label * (size_t)result->classes + (size_t)predicted]++;
        tally->right += predicted == label;
    }
    result->images += batch->count;
}

/* Of the batch's images, the first of which is number `first` of the split. */
static void take_features(const struct model *model, const struct batch *batch, const int *predictions,
                          struct features *features, int first) {
    model_features(model, batch->count, batch->images, features->values + (size_t)first * (size_t)features->width);
    for (int i = 0; i < batch->count; i++) {
        features->labels[first + i] = batch->labels[i];
        features->predictions[first + i] = predictions[i];
    }
}

static void evaluate_batches(struct model *model, const struct loss *loss, struct loader *loader, struct tally *tally,
                             struct evaluation *result, struct features *features) {
    const struct head *head = &model->head;
    for (const struct batch *batch; (batch = loader_next(loader));) {
        struct step step = model_step(model, batch->count, STEP_EVALUATE);
        model_forward(model, step, batch->images);
        predict(tally, &step, head, batch->labels);
        if (features)
            take_features(model, batch, tally->predictions, features, result->images);
        double fit = loss_evaluate(loss, &step, head, batch->labels);
        if (!isfinite(fit) && !result->not_finite.data)
            divergence_describe(&result->not_finite, model, batch->count, fit);
        tally->loss += batch->count * fit;
        count_batch(tally, result, batch);
    }
}

bool evaluate_split(const struct experiment *experiment, struct model *model, const struct loss *loss,
                    const struct dataset *dataset, int split, struct evaluation *result, struct features *features,
                    struct error *err) {
    int batch = experiment->train.batch_size;
    struct tally tally;
    struct loader *loader = NULL;
    if (allocate_evaluation(result, &tally, experiment->shape.classes, batch, err))
        loader = loader_evaluate(dataset, experiment_data(experiment), split, batch, err);
    bool good = loader;
    if (loader) {
        evaluate_batches(model, loss, loader, &tally, result, features);
        good = loader_good(loader, err);
        loader_close(loader);
        result->loss = isnan(tally.loss) ? NAN : tally.loss / result->images; /* without a sign, which would be shown */
        result->accuracy = (double)tally.right / result->images;
        result->top5 = (double)tally.top5 / result->images;
    }
    free(tally.predictions);
    return good;
}
