/* The figures that a training writes and eval prints, recomputed from the spec, the checkpoints and the features. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ref/reference.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* --- A row of train.csv ------------------------------------------------------------------------------------------ */

/* Columns of train.csv. */
enum {
    ITERATION,
    EPOCH,
    LEARNING_RATE,
    LOSS,
    FIT,
    WEIGHT_DECAY,
    ORTHOGONALITY,
    ACCURACY,
    LAMBDA,
    GRADIENT_NORM,
    IMAGES_PER_SECOND,
    SECONDS,
    COLUMNS
};

/* Of tiny_spec, and of what is set below. */
enum { TOTAL = 24, WARMUP = 5, BATCH = 16, TRAIN_IMAGES = 64 };
#define RATE 1e-2
#define DECAY 0.05
#define ORTHOGONAL 0.02

/* Six digits are written, of what is summed up too. */
static void check_figure(const char *what, int iteration, double found, double expected) {
    ck_assert_msg(fabs(found - expected) <= 1e-5 * fabs(expected) + 1e-12, "%s of iteration %d is %.9g, expected %.9g",
                  what, iteration, found, expected);
}

/* Rises over the first five iterations, then falls along half a cosine. Iterations count from 1. */
static double scheduled_rate(int iteration) {
    if (iteration <= WARMUP)
        return RATE * iteration / (WARMUP + 1);
    return RATE * 0.5 * (1 + cos(M_PI * (iteration - 1 - WARMUP) / (TOTAL - WARMUP)));
}

/* A tensor of a checkpoint in double; of the arena. */
static double *values_of(const struct tensor_file *file, const char *name, int *rows, int *columns) {
    const struct stored_tensor *tensor = tensor_file_find(file, name);
    ck_assert_msg(tensor != NULL, "no tensor %s", name);
    int count = 1;
    for (int d = 0; d < tensor->dims; d++)
        count *= (int)tensor->shape[d];
    *rows = (int)tensor->shape[0];
    *columns = count / *rows;
    double *values = arena_alloc(&arena, (size_t)count * sizeof *values);
    for (int i = 0; i < count; i++)
        values[i] = (double)tensor->data[i];
    return values;
}

/* The penalties on the weights of that checkpoint. */
static void penalties(const char *path, double *decay, double *orthogonality) {
    static const char *const decayed[] = {"first.weight", "score.weight", "batch_norm_2.weight", "batch_norm_2.bias"};
    struct tensor_file file;
    int rows, columns;
    *decay = 0;
    read_tensors(&file, path);
    for (int i = 0; i < COUNT(decayed); i++) {
        const double *w = values_of(&file, decayed[i], &rows, &columns);
        double *gradient = arena_alloc(&arena, (size_t)(rows * columns) * sizeof *gradient);
        *decay += ref_weight_decay(DECAY, (size_t)(rows * columns), gradient, w);
    }
    const double *w = values_of(&file, "first.weight", &rows, &columns);
    double *gradient = arena_alloc(&arena, (size_t)(rows * columns) * sizeof *gradient);
    *orthogonality = ref_orthogonality(ORTHOGONAL, rows, columns, gradient, w);
    tensor_file_free(&file);
}

START_TEST(rows_are_what_the_spec_and_the_weights_say) {
    run(0,
        "train spec.yaml --set train.checkpoint_every=1 --set train.keep=0 --set 'regularizer={weight_decay: %g, "
        "weight_decay_on: [weights, sphere_weights, norm], orthogonality: %g}'",
        DECAY, ORTHOGONAL);
    for (int iteration = 1; iteration <= TOTAL; iteration++) {
        double v[COLUMNS];
        for (int c = 0; c < COLUMNS; c++)
            v[c] = train_value("runs/tiny", iteration, c);
        check_figure("the learning rate", iteration, v[LEARNING_RATE], scheduled_rate(iteration));
        check_figure("the epoch", iteration, v[EPOCH], (double)iteration * BATCH / TRAIN_IMAGES);
        ck_assert(v[FIT] > 0 && v[WEIGHT_DECAY] > 1e-3 && v[ORTHOGONALITY] > 1e-3);
        check_figure("the loss", iteration, v[LOSS], v[FIT] + v[WEIGHT_DECAY] + v[ORTHOGONALITY]);
        check_figure("the number of right answers", iteration, v[ACCURACY] * BATCH, round(v[ACCURACY] * BATCH));
        if (iteration > 1) { /* of the weights before the update */
            double decay, orthogonality;
            penalties(checkpoint("runs/tiny", iteration - 1), &decay, &orthogonality);
            check_figure("the weight decay", iteration, v[WEIGHT_DECAY], decay);
            check_figure("the orthogonality", iteration, v[ORTHOGONALITY], orthogonality);
        }
    }
}
END_TEST

/* --- Time -------------------------------------------------------------------------------------------------------- */

/* A training that takes long enough to be measured in hundredths of a second; its iterations. No test takes time out of
 * it but the last. */
static int train_for_a_while(const char *options) {
    for (int iterations = 1000;; iterations *= 2) {
        run(0, "train spec.yaml --quiet --overwrite --set train.eval_every=0 --set train.iterations=%d %s", iterations,
            options);
        if (train_value("runs/tiny", iterations, SECONDS) >= 0.5)
            return iterations;
    }
}

/* Images a second, times seconds, are images; over the last five seconds alone, where it took longer. A process that
 * had to wait between the two has more seconds. */
START_TEST(images_per_second_count_images) {
    const char *options = "--set train.log_every=25";
    int iterations = train_for_a_while(options), rows = 0, near = 0;
    for (int iteration = 25; iteration <= iterations; iteration += 25) {
        double seconds = train_value("runs/tiny", iteration, SECONDS);
        if (seconds < 0.1 || seconds > 4.9)
            continue;
        double images = seconds * train_value("runs/tiny", iteration, IMAGES_PER_SECOND);
        rows++;
        near += images > 0.85 * iteration * BATCH && images < 1.3 * iteration * BATCH;
    }
    ck_assert_msg(rows > 0 && near > rows / 2, "%d of %d rows agree", near, rows);
}
END_TEST

START_TEST(seconds_go_on_when_a_run_is_resumed) {
    const char *options = "--set train.log_every=1 --set train.checkpoint_every=0";
    int iterations = train_for_a_while(options);
    run(0,
        "train spec.yaml --quiet --resume --set train.eval_every=0 --set train.iterations=%d %s --set "
        "schedule.start=%d",
        iterations + 50, options, iterations);
    double before = 0;
    for (int iteration = iterations - 50; iteration <= iterations + 50; iteration++) {
        double seconds = train_value("runs/tiny", iteration, SECONDS);
        ck_assert_msg(seconds >= before, "%g s at iteration %d, after %g s", seconds, iteration, before);
        before = seconds;
    }
}
END_TEST

/* --- eval -------------------------------------------------------------------------------------------------------- */

enum { IMAGES = 29, CLASSES = 6, WIDTH = 5 };

struct scored {
    int32_t labels[IMAGES];
    double scores[IMAGES][CLASSES];
};

/* The scores of a linear classifier, from the features and its tensors. */
static void read_scores(struct scored *scored, const char *features, const char *path) {
    struct tensor_file file;
    int rows, columns;
    read_tensors(&file, path);
    const double *w = values_of(&file, "score.weight", &rows, &columns);
    ck_assert(rows == CLASSES && columns == WIDTH);
    const double *b = values_of(&file, "score.bias", &rows, &columns);
    char *at = strchr(read_text(features), '\n');
    for (int i = 0; i < IMAGES; i++) {
        double v[WIDTH];
        scored->labels[i] = (int32_t)strtol(at + 1, &at, 10);
        strtol(at + 1, &at, 10); /* the prediction */
        for (int j = 0; j < WIDTH; j++)
            v[j] = strtod(at + 1, &at);
        at = strchr(at, '\n');
        for (int c = 0; c < CLASSES; c++) {
            scored->scores[i][c] = b[c];
            for (int j = 0; j < WIDTH; j++)
                scored->scores[i][c] += w[c * WIDTH + j] * v[j];
        }
    }
    tensor_file_free(&file);
}

/* Images with fewer than `most` classes of a larger score than their own. */
static int count_within(const struct scored *scored, int most) {
    int within = 0;
    for (int i = 0; i < IMAGES; i++) {
        int larger = 0;
        for (int c = 0; c < CLASSES; c++)
            larger += scored->scores[i][c] > scored->scores[i][scored->labels[i]];
        within += larger < most;
    }
    return within;
}

/* In batches of 28 images and 1, neither of which has the mean of all for its own. */
START_TEST(eval_says_what_the_scores_say) {
    struct scored scored;
    run(0, "train spec.yaml --set data.classes=6 --set train.batch_size=28 --set optimizer.learning_rate=0.05 --set "
           "'network.layers[2]={type: dense, units: 5, name: feature}' --set network.layers[3].units=6");
    run(0, "features runs/tiny --out features.csv");
    read_scores(&scored, "features.csv", checkpoint("runs/tiny", 24));
    run(0, "eval runs/tiny");
    int top4 = count_within(&scored, 4), top5 = count_within(&scored, 5);
    ck_assert(top4 < top5 && top5 < IMAGES);
    ck_assert_double_eq_tol(printed("accuracy "), count_within(&scored, 1) / (double)IMAGES, 5.1e-5);
    ck_assert_double_eq_tol(printed("top-5 "), top5 / (double)IMAGES, 5.1e-5);
    double loss = ref_softmax_loss(IMAGES, CLASSES, scored.scores[0], scored.labels, 0, 0);
    double last = ref_softmax_loss(1, CLASSES, scored.scores[IMAGES - 1], scored.labels + IMAGES - 1, 0, 0);
    ck_assert_double_gt(fabs(last - loss), 0.05);
    ck_assert_double_eq_tol(printed("loss "), loss, 1e-4);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("figures");
    TCase *figures = suite_group(suite, "figures", 120, program_set_up, program_tear_down);
    tcase_add_test(figures, rows_are_what_the_spec_and_the_weights_say);
    tcase_add_test(figures, images_per_second_count_images);
    tcase_add_test(figures, seconds_go_on_when_a_run_is_resumed);
    tcase_add_test(figures, eval_says_what_the_scores_say);
    return suite;
}
