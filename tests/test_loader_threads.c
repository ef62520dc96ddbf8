/* Batches by several threads, and images that cannot be fetched. */
#include "data/loader.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/suite.h"

enum { IMAGES = 50, SIDE = 5, CHANNELS = 2, PIXELS = SIDE * SIDE * CHANNELS, SEED = 77 };

static struct error err;
static int32_t labels[IMAGES];
static int bad_image, other_bad_image; /* -1: none */
static const struct data_config augmented = {.augment = {.flip = true, .crop_padding = 2},
                                             .pixel_mean = {1, {100}},
                                             .pixel_scale = {1, {50}},
                                             .loader_threads = 1};

/* Pixels are a function of the image's number. */
static bool fetch(const struct dataset *dataset, int split, int index, const struct augment_context *context,
                  uint8_t *pixels, struct error *error) {
    (void)context;
    (void)dataset;
    if (index == bad_image || index == other_bad_image)
        return error_set(error, "image %d of split %d cannot be read", index, split);
    for (int i = 0; i < PIXELS; i++)
        pixels[i] = (uint8_t)(index * 31 + i * 7 + split);
    return true;
}

static const struct dataset_type numbered = {.fetch = fetch};

static struct dataset dataset_of(const struct dataset_type *type) {
    struct dataset dataset = {.height = SIDE, .width = SIDE, .channels = CHANNELS, .classes = IMAGES, .type = type};
    for (int s = 0; s < SPLIT_COUNT; s++)
        dataset.splits[s] = (struct split){.count = IMAGES, .labels = labels};
    return dataset;
}

static void set_up(void) {
    bad_image = other_bad_image = -1;
    for (int i = 0; i < IMAGES; i++)
        labels[i] = (i * 7) % IMAGES;
}

static struct loader *open_training(const struct dataset *dataset, int threads, int batch_size, int64_t first) {
    struct data_config config = augmented;
    config.loader_threads = threads;
    struct loader *loader = loader_train(dataset, &config, SEED, batch_size, first, &err);
    ck_assert_msg(loader != NULL, "%s", err.text);
    return loader;
}

static struct loader *open_evaluation(const struct dataset *dataset, int threads, int batch_size) {
    struct data_config config = augmented;
    config.loader_threads = threads;
    struct loader *loader = loader_evaluate(dataset, &config, SPLIT_TEST, batch_size, &err);
    ck_assert_msg(loader != NULL, "%s", err.text);
    return loader;
}

/* --- Threads ----------------------------------------------------------------------------------------------------- */

static void check_equal(const struct batch *a, const struct batch *b) {
    ck_assert(a && b);
    ck_assert_int_eq(a->count, b->count);
    ck_assert_mem_eq(a->images, b->images, (size_t)a->count * PIXELS * sizeof *a->images);
    ck_assert_mem_eq(a->labels, b->labels, (size_t)a->count * sizeof *a->labels);
}

static const struct {
    int threads, batch_size;
    int64_t first;
} cases[] = {{2, 4, 0}, {2, 17, 3}, {3, 60, 0}, {3, 130, 1000}, {8, 50, 0}, {8, 1, 5}};

/* Batches of one piece and of several, that straddle epochs and that hold several. */
START_TEST(training_batches_do_not_depend_on_the_number_of_threads) {
    struct dataset dataset = dataset_of(&numbered);
    struct loader *one = open_training(&dataset, 1, cases[_i].batch_size, cases[_i].first);
    struct loader *several = open_training(&dataset, cases[_i].threads, cases[_i].batch_size, cases[_i].first);
    for (int k = 0; k < 40; k++)
        check_equal(loader_next(one), loader_next(several));
    loader_close(one);
    loader_close(several);
}
END_TEST

START_TEST(evaluation_batches_do_not_depend_on_the_number_of_threads) {
    struct dataset dataset = dataset_of(&numbered);
    struct loader *one = open_evaluation(&dataset, 1, cases[_i].batch_size);
    struct loader *several = open_evaluation(&dataset, cases[_i].threads, cases[_i].batch_size);
    int images = 0;
    for (const struct batch *batch; (batch = loader_next(one)); images += batch->count)
        check_equal(batch, loader_next(several));
    ck_assert_int_eq(images, IMAGES);
    ck_assert_ptr_null(loader_next(several));
    ck_assert(loader_good(several, &err));
    loader_close(one);
    loader_close(several);
}
END_TEST

static pthread_mutex_t meeting = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static int inside, met;

/* Does not return before three threads have been in it at once. */
static bool fetch_together(const struct dataset *dataset, int split, int index, const struct augment_context *context,
                           uint8_t *pixels, struct error *error) {
    pthread_mutex_lock(&meeting);
    inside++;
    met |= inside == 3;
    pthread_cond_broadcast(&arrived);
    while (!met)
        pthread_cond_wait(&arrived, &meeting);
    inside--;
    pthread_mutex_unlock(&meeting);
    return fetch(dataset, split, index, context, pixels, error);
}

START_TEST(threads_fetch_images_of_one_batch_at_the_same_time) {
    static const struct dataset_type together = {.fetch = fetch_together};
    struct dataset dataset = dataset_of(&together), plain = dataset_of(&numbered);
    inside = met = 0;
    struct loader *loader = open_evaluation(&dataset, 3, IMAGES), *one = open_evaluation(&plain, 1, IMAGES);
    check_equal(loader_next(loader), loader_next(one));
    loader_close(loader);
    loader_close(one);
}
END_TEST

/* While threads start, work, wait for a slot, have ended. */
START_TEST(closing_at_any_time) {
    struct dataset dataset = dataset_of(&numbered);
    for (int i = 0; i < 60; i++) {
        struct loader *training = open_training(&dataset, 1 + i % 5, 1 + 50 * (i % 3), i);
        struct loader *evaluation = open_evaluation(&dataset, 5 - i % 5, 20);
        for (int k = 0; k < i % 7; k++) {
            loader_next(training);
            loader_next(evaluation);
        }
        usleep((unsigned)(i % 4) * 500);
        loader_close(training);
        loader_close(evaluation);
    }
}
END_TEST

/* Whether a thread of this process blocks a signal, by the hexadecimal mask in its status file. */
static bool blocks(const char *thread, int number) {
    char path[300], line[256];
    unsigned long long mask = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
    FILE *stream = fopen(path, "r");
    ck_assert_ptr_nonnull(stream);
    while (fgets(line, sizeof line, stream))
        sscanf(line, "SigBlk: %llx", &mask);
    fclose(stream);
    return mask >> (number - 1) & 1;
}

START_TEST(no_thread_takes_signals) {
    struct dataset dataset = dataset_of(&numbered);
    struct loader *loader = open_training(&dataset, 3, 4, 0);
    loader_next(loader);
    int others = 0;
    DIR *threads = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(threads);
    for (struct dirent *entry; (entry = readdir(threads));)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != getpid()) {
            ck_assert(blocks(entry->d_name, SIGINT) && blocks(entry->d_name, SIGTERM));
            others++;
        }
    closedir(threads);
    ck_assert_int_ge(others, 3); /* a sanitizer has one of its own */
    loader_close(loader);
}
END_TEST

/* --- Images that cannot be fetched ------------------------------------------------------------------------------- */

/* Batches before theirs are given; then there are no more, however often one asks. */
START_TEST(an_image_that_cannot_be_fetched_ends_an_evaluation) {
    struct dataset dataset = dataset_of(&numbered);
    bad_image = 37;
    other_bad_image = 22;
    struct loader *loader = open_evaluation(&dataset, 1 + _i, 20);
    ck_assert_ptr_nonnull(loader_next(loader));
    ck_assert(loader_good(loader, &err));
    for (int k = 0; k < 3; k++) {
        ck_assert_ptr_null(loader_next(loader));
        ck_assert(!loader_good(loader, &err));
        ck_assert_str_eq(err.text, "image 22 of split 1 cannot be read");
    }
    loader_close(loader);
}
END_TEST

START_TEST(an_image_that_cannot_be_fetched_ends_training) {
    struct dataset dataset = dataset_of(&numbered);
    bad_image = 13;
    struct loader *loader = open_training(&dataset, 1 + _i, 10, 0);
    int batches = 0;
    while (loader_next(loader))
        batches++;
    ck_assert_int_lt(batches, IMAGES / 10);
    ck_assert(!loader_good(loader, &err));
    ck_assert_str_eq(err.text, "image 13 of split 0 cannot be read");
    loader_close(loader);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("loader threads");
    TCase *tcase = suite_group(suite, "threads", 60, set_up, NULL);
    tcase_add_loop_test(tcase, training_batches_do_not_depend_on_the_number_of_threads, 0, COUNT(cases));
    tcase_add_loop_test(tcase, evaluation_batches_do_not_depend_on_the_number_of_threads, 0, COUNT(cases));
    tcase_add_test(tcase, threads_fetch_images_of_one_batch_at_the_same_time);
    tcase_add_test(tcase, closing_at_any_time);
    tcase_add_test(tcase, no_thread_takes_signals);
    tcase_add_loop_test(tcase, an_image_that_cannot_be_fetched_ends_an_evaluation, 0, 3);
    tcase_add_loop_test(tcase, an_image_that_cannot_be_fetched_ends_training, 0, 3);
    return suite;
}
