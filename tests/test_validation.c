/* Validation images: which training images are set aside, and that nobody takes them for training images after. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "data/contents.h"
#include "data/loader.h"
#include "data/standardize.h"
#include "data/validation.h"
#include "support/datasets.h"
#include "support/suite.h"

static void set_validation(struct choice data, double value) {
    *(double *)value_of(data, "validation") = value;
}

/* --- How many of each class -------------------------------------------------------------------------------------- */

enum { MOST = 600, CLASSES = 7 };

/* Of CLASSES classes, the later ones rare. */
static void draw_labels(int32_t *labels, int images) {
    struct rng stream = rng_stream(5, RNG_TEST, 0, 0);
    for (int i = 0; i < images; i++)
        labels[i] = (int32_t)rng_below(&stream, 1 + rng_below(&stream, CLASSES));
}

static void count_classes(int *counts, const uint8_t *marks, const int32_t *labels, int images) {
    memset(counts, 0, CLASSES * sizeof *counts);
    for (int i = 0; i < images; i++)
        counts[labels[i]] += !marks || marks[i];
}

START_TEST(each_class_gives_its_share_of_any_number) {
    static int32_t labels[MOST];
    static uint8_t marks[MOST];
    int all[CLASSES], chosen[CLASSES];
    draw_labels(labels, MOST);
    count_classes(all, NULL, labels, MOST);
    for (int count = 0; count <= MOST; count++) {
        int sum = 0;
        ck_assert(validation_choose(marks, labels, MOST, CLASSES, count, 3));
        count_classes(chosen, marks, labels, MOST);
        for (int k = 0; k < CLASSES; k++) {
            double share = (double)count * all[k] / MOST;
            EXPECT(chosen[k] == floor(share) || chosen[k] == ceil(share), "class %d gives %d of %g", k, chosen[k],
                   share);
            sum += chosen[k];
        }
        ck_assert_int_eq(sum, count);
    }
}
END_TEST

/* Shares of 1.2, 1.4, 0.8 and 0.6: the two that are left over go to the largest fractions, 0.8 and 0.6. */
START_TEST(the_largest_fractions_are_rounded_up_and_of_equal_ones_the_lower_class) {
    static const int32_t labels[20] = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3};
    static const int32_t equal[8] = {3, 3, 2, 2, 1, 1, 0, 0};
    uint8_t marks[20];
    int chosen[CLASSES];
    ck_assert(validation_choose(marks, labels, 20, 4, 4, 1));
    count_classes(chosen, marks, labels, 20);
    for (int k = 0; k < 4; k++)
        ck_assert_int_eq(chosen[k], 1);
    ck_assert(validation_choose(marks, equal, 8, 4, 2, 1));
    count_classes(chosen, marks, equal, 8);
    for (int k = 0; k < 4; k++)
        ck_assert_int_eq(chosen[k], k < 2);
}
END_TEST

START_TEST(the_seed_says_which_images_and_not_how_many) {
    static int32_t labels[MOST];
    static uint8_t marks[MOST], again[MOST], other[MOST];
    int chosen[CLASSES], others[CLASSES];
    draw_labels(labels, MOST);
    ck_assert(validation_choose(marks, labels, MOST, CLASSES, 100, 3));
    ck_assert(validation_choose(again, labels, MOST, CLASSES, 100, 3));
    ck_assert(validation_choose(other, labels, MOST, CLASSES, 100, 4));
    count_classes(chosen, marks, labels, MOST);
    count_classes(others, other, labels, MOST);
    ck_assert_mem_eq(marks, again, MOST);
    ck_assert_mem_ne(marks, other, MOST);
    ck_assert_mem_eq(chosen, others, sizeof chosen);
}
END_TEST

/* 5 of 20 images, over so many seeds: each 1000 times, give or take five deviations of 27. */
START_TEST(every_image_of_a_class_is_as_likely) {
    int32_t labels[20] = {0};
    uint8_t marks[20];
    int times[20] = {0};
    for (uint64_t seed = 0; seed < 4000; seed++) {
        ck_assert(validation_choose(marks, labels, 20, 1, 5, seed));
        for (int i = 0; i < 20; i++)
            times[i] += marks[i];
    }
    for (int i = 0; i < 20; i++)
        EXPECT(abs(times[i] - 1000) < 137, "image %d: %d times", i, times[i]);
}
END_TEST

/* --- The splits -------------------------------------------------------------------------------------------------- */

static uint8_t *fetch(const struct dataset *from, int split, int index) {
    uint8_t *pixels = arena_alloc(&arena, dataset_image_bytes(from));
    ck_assert(dataset_fetch(from, split, index, NULL, pixels, &err));
    return pixels;
}

START_TEST(training_and_validation_images_are_disjoint_and_together_all) {
    struct choice data = choose_synthetic(4, 5, 5, 2, 90);
    struct dataset whole;
    int places[2] = {0};
    ck_assert(dataset_load(&whole, data, 1, &err));
    set_validation(data, 0.3);
    load(data);
    check_counts(63, 256);
    ck_assert_int_eq(dataset.splits[SPLIT_VALIDATION].count, 27);
    for (int i = 0; i < 90; i++) {
        int places_now[2] = {places[0], places[1]}, found = 0;
        for (int s = 0; s < 2; s++) {
            const struct split *split = &dataset.splits[s ? SPLIT_VALIDATION : SPLIT_TRAIN];
            int at = places_now[s];
            if (at == split->count || split->stored[at] != i)
                continue;
            ck_assert_int_eq(split->labels[at], whole.splits[SPLIT_TRAIN].labels[i]);
            ck_assert_mem_eq(fetch(&dataset, s ? SPLIT_VALIDATION : SPLIT_TRAIN, at), fetch(&whole, SPLIT_TRAIN, i),
                             dataset_image_bytes(&whole));
            places[s]++;
            found++;
        }
        ck_assert_int_eq(found, 1);
    }
    dataset_free(&whole);
}
END_TEST

START_TEST(without_validation_the_splits_are_the_stored_ones) {
    load(choose_synthetic(4, 5, 5, 2, 90));
    check_counts(90, 256);
    ck_assert_int_eq(dataset.splits[SPLIT_VALIDATION].count, 0);
    ck_assert_ptr_null(dataset.splits[SPLIT_TRAIN].stored);
    dataset_free(&dataset);
    ck_assert(!dataset_load_split(&dataset, choose_synthetic(4, 5, 5, 2, 90), 1, SPLIT_VALIDATION, &err));
    ck_assert_str_eq(err.text, "synthetic: there are no validation images; data.validation sets some aside");
}
END_TEST

START_TEST(a_split_alone_is_the_same_as_among_the_others) {
    struct choice data = choose_synthetic(4, 5, 5, 2, 90);
    set_validation(data, 20);
    load(data);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        struct dataset alone;
        ck_assert(dataset_load_split(&alone, data, 1, s, &err));
        ck_assert_int_eq(alone.splits[s].count, dataset.splits[s].count);
        for (int i = 0; i < alone.splits[s].count; i++) {
            ck_assert_int_eq(alone.splits[s].labels[i], dataset.splits[s].labels[i]);
            ck_assert_mem_eq(fetch(&alone, s, i), fetch(&dataset, s, i), dataset_image_bytes(&alone));
        }
        dataset_free(&alone);
    }
}
END_TEST

START_TEST(the_limit_comes_before_the_share) {
    struct choice data = choose_synthetic(4, 5, 5, 2, 90);
    set_validation(data, 0.25);
    set_int(data, "train_limit", 40);
    load(data);
    check_counts(30, 256);
    for (int i = 0; i < 10; i++)
        ck_assert_int_lt(dataset.splits[SPLIT_VALIDATION].stored[i], 40);
}
END_TEST

/* Images are told apart by their first value, which is made equal to their number. */
START_TEST(an_epoch_has_each_training_image_once_and_no_validation_image) {
    struct choice data = choose_synthetic(4, 5, 5, 2, 90);
    struct data_config *config = data.config;
    int visits[90] = {0};
    set_validation(data, 30);
    load(data);
    config->pixel_mean.values[0] = 0;
    config->pixel_scale.values[0] = 1;
    for (int i = 0; i < 90; i++)
        image_of(SPLIT_TRAIN, i)[0] = (uint8_t)i;
    struct loader *loader = loader_train(&dataset, config, 1, 60, 0, &err);
    const struct batch *batch = loader_next(loader);
    for (int i = 0; i < 60; i++)
        visits[lround((double)batch->images[(size_t)i * dataset_image_bytes(&dataset)])]++;
    loader_close(loader);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(visits[dataset.splits[SPLIT_TRAIN].stored[i]]--, 1);
    for (int i = 0; i < 90; i++)
        ck_assert_int_eq(visits[i], 0);
    loader = loader_evaluate(&dataset, config, SPLIT_VALIDATION, 30, &err);
    batch = loader_next(loader);
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(lround((double)batch->images[(size_t)i * dataset_image_bytes(&dataset)]),
                         dataset.splits[SPLIT_VALIDATION].stored[i]);
    loader_close(loader);
}
END_TEST

START_TEST(mean_and_deviation_are_those_of_the_images_that_are_trained_on) {
    struct choice data = choose_synthetic(2, 1, 1, 1, 40);
    struct data_config *config = data.config;
    double sum = 0;
    set_validation(data, 0.5);
    config->standardize = true;
    load(data);
    ck_assert(standardize(&dataset, data, &err));
    for (int i = 0; i < 20; i++)
        sum += *fetch(&dataset, SPLIT_TRAIN, i);
    ck_assert_double_eq_tol(config->pixel_mean.values[0], sum / 20, 1e-12);
}
END_TEST

/* --- A dataset with validation images of its own ----------------------------------------------------------------- */

static bool describe_own(struct dataset *described, const void *config, struct error *error) {
    (void)config, (void)error;
    described->height = described->width = described->channels = 1;
    described->classes = 3;
    described->stores_validation = true;
    return true;
}

static bool load_own(struct dataset *loaded, const void *config, int split, uint64_t seed, struct error *error) {
    (void)config, (void)seed;
    loaded->splits[split].labels = mem_block(3 * sizeof(int32_t));
    loaded->splits[split].count = 1 + split;
    return loaded->splits[split].labels || error_set(error, "no memory");
}

static bool fetch_own(const struct dataset *from, int split, int index, const struct augment_context *context,
                      uint8_t *pixels, struct error *error) {
    (void)from, (void)context, (void)error;
    *pixels = (uint8_t)(10 * split + index);
    return true;
}

static void release_own(struct dataset *from) {
    ck_assert_ptr_null(from->images);
}

static const struct dataset_type own = {
    .kind = {.name = "own"}, .describe = describe_own, .load = load_own, .fetch = fetch_own, .release = release_own};

START_TEST(a_dataset_may_bring_validation_images) {
    struct data_config config = {.pixel_mean.count = 1, .pixel_scale.count = 1};
    struct choice data = {.kind = &own.kind, .config = &config};
    ck_assert(dataset_load(&dataset, data, 1, &err));
    check_counts(1, 2);
    ck_assert_int_eq(dataset.splits[SPLIT_VALIDATION].count, 3);
    ck_assert_int_eq(*fetch(&dataset, SPLIT_VALIDATION, 2), 10 * SPLIT_VALIDATION + 2);
    dataset_free(&dataset);
    ck_assert(dataset_load_split(&dataset, data, 1, SPLIT_VALIDATION, &err));
    check_counts(0, 0);
    dataset_free(&dataset);
    config.validation = 0.5;
    ck_assert(!dataset_load(&dataset, data, 1, &err));
    ck_assert_str_eq(err.text, "validation is 0.5, but this dataset has validation images of its own");
}
END_TEST

/* --- Mistakes ---------------------------------------------------------------------------------------------------- */

static const struct {
    double validation;
    int classes, images;
    const char *message;
} wrong[] = {
    {1.5, 4, 40, "validation is 1.5, neither a share below 1 nor a whole number of images"},
    {40, 4, 40, "data.validation is 40, but there are 40 training images, and some must be left"},
    {1, 4, 1, "data.validation is 1, but there is 1 training image, and some must be left"},
    {0.999, 4, 40, "data.validation is 0.999, but there are 40 training images, and some must be left"},
    {0.01, 4, 40, "data.validation is 0.01, which is no image of 40; give a larger one"},
    {37, 4, 40, "data.validation takes all training images of class 0, of which there are 10; set fewer aside"},
    {0.5, 4, 5, "data.validation takes all training images of class 1, of which there is 1; set fewer aside"},
};

START_TEST(what_cannot_be_set_aside_is_refused_with_the_reason) {
    struct choice data = choose_synthetic(wrong[_i].classes, 2, 2, 1, wrong[_i].images);
    static const struct dataset empty;
    set_validation(data, wrong[_i].validation);
    ck_assert(!dataset_load(&dataset, data, 1, &err));
    ck_assert_str_eq(err.text, wrong[_i].message);
    ck_assert_mem_eq(&dataset, &empty, sizeof empty);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("validation");
    TCase *choice = suite_group(suite, "choice", 60, NULL, NULL);
    tcase_add_test(choice, each_class_gives_its_share_of_any_number);
    tcase_add_test(choice, the_largest_fractions_are_rounded_up_and_of_equal_ones_the_lower_class);
    tcase_add_test(choice, the_seed_says_which_images_and_not_how_many);
    tcase_add_test(choice, every_image_of_a_class_is_as_likely);
    TCase *splits = suite_group(suite, "splits", 60, dataset_set_up, dataset_tear_down);
    tcase_add_test(splits, training_and_validation_images_are_disjoint_and_together_all);
    tcase_add_test(splits, without_validation_the_splits_are_the_stored_ones);
    tcase_add_test(splits, a_split_alone_is_the_same_as_among_the_others);
    tcase_add_test(splits, the_limit_comes_before_the_share);
    tcase_add_test(splits, an_epoch_has_each_training_image_once_and_no_validation_image);
    tcase_add_test(splits, mean_and_deviation_are_those_of_the_images_that_are_trained_on);
    tcase_add_test(splits, a_dataset_may_bring_validation_images);
    tcase_add_loop_test(splits, what_cannot_be_set_aside_is_refused_with_the_reason, 0, COUNT(wrong));
    return suite;
}
