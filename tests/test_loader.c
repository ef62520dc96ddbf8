/* Batches of the loader, mirrored and cropped, against the definition; and the synthetic dataset they come from. */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "data/loader.h"
#include "support/datasets.h"
#include "support/suite.h"

/* --- Synthetic --------------------------------------------------------------------------------------------------- */

START_TEST(synthetic_shape_and_limits) {
    struct choice data = choose_synthetic(7, 12, 9, 2, 40);
    load(data);
    check_shape(12, 9, 2, 7);
    check_counts(40, 256);
    set_int(data, "train_limit", 30);
    set_int(data, "test_limit", 10);
    load(data);
    check_counts(30, 10);
    load(choose_synthetic(256, 1, 1, 1, 300));
    check_counts(300, 256);
}
END_TEST

START_TEST(synthetic_is_a_function_of_the_seed) {
    struct choice data = choose("synthetic");
    size_t bytes = 256 * 16 * 16 * 3;
    struct dataset other;
    load(data);
    ck_assert(dataset_load(&other, data, 1, &err));
    for (int s = 0; s <= SPLIT_TEST; s++) {
        ck_assert_mem_eq(image_of(s, 0), image_arrays_pixels(&other, s), bytes);
        ck_assert_mem_eq(dataset.splits[s].labels, other.splits[s].labels, 256 * sizeof *other.splits[s].labels);
    }
    ck_assert_mem_ne(image_of(SPLIT_TRAIN, 0), image_of(SPLIT_TEST, 0), bytes);
    dataset_free(&other);
    ck_assert(dataset_load(&other, data, 2, &err));
    ck_assert_mem_ne(image_of(SPLIT_TRAIN, 0), image_arrays_pixels(&other, SPLIT_TRAIN), bytes);
    dataset_free(&other);
}
END_TEST

/* The class whose mean training image is nearest to a test image. */
static int nearest_mean(const double *means, const uint8_t *pixels, int size, int classes) {
    int nearest = 0;
    double least = INFINITY;
    for (int k = 0; k < classes; k++) {
        double distance = 0;
        for (int j = 0; j < size; j++)
            distance += (pixels[j] - means[k * size + j]) * (pixels[j] - means[k * size + j]);
        if (distance < least) {
            least = distance;
            nearest = k;
        }
    }
    return nearest;
}

START_TEST(synthetic_can_be_learned) {
    load(choose("synthetic"));
    const struct split *train = &dataset.splits[SPLIT_TRAIN], *test = &dataset.splits[SPLIT_TEST];
    int size = (int)dataset_image_bytes(&dataset), images[10] = {0}, right = 0;
    double *means = arena_alloc(&arena, 10 * (size_t)size * sizeof *means);
    for (int i = 0; i < train->count; i++) {
        images[train->labels[i]]++;
        for (int j = 0; j < size; j++)
            means[train->labels[i] * size + j] += image_of(SPLIT_TRAIN, i)[j];
    }
    for (int j = 0; j < 10 * size; j++)
        means[j] /= images[j / size];
    for (int i = 0; i < test->count; i++)
        right += nearest_mean(means, image_of(SPLIT_TEST, i), size, 10) == test->labels[i];
    ck_assert_int_gt(right, 200);           /* of 256 */
    ck_assert_int_ge(images[9], 1024 / 10); /* about as many of each class */
}
END_TEST

/* --- The loader -------------------------------------------------------------------------------------------------- */

enum { LOADER_SEED = 77 };

static struct data_config *common_of(struct choice data) {
    return data.config;
}

/* 23 images of 6x5x2, so that nothing is square or a power of two. */
static struct choice load_small(bool flip, int crop_padding) {
    struct choice data = choose_synthetic(4, 6, 5, 2, 23);
    common_of(data)->augment.flip = flip;
    common_of(data)->augment.crop_padding = crop_padding;
    common_of(data)->pixel_mean.values[0] = 100;
    common_of(data)->pixel_scale.values[0] = 50;
    load(data);
    return data;
}

/* The image that position p of the run visits, by the definition. */
static int reference_index(int64_t position) {
    int count = dataset.splits[SPLIT_TRAIN].count;
    struct rng rng = rng_stream(LOADER_SEED, RNG_SHUFFLE, (uint64_t)(position / count), 0);
    int *order = arena_alloc(&arena, (size_t)count * sizeof *order);
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int left = count; left > 1; left--) {
        int chosen = (int)rng_below(&rng, (uint32_t)left);
        int last = order[left - 1];
        order[left - 1] = order[chosen];
        order[chosen] = last;
    }
    return order[position % count];
}

/* Mirrors, then pads, then crops, each step on a whole image; returns [height][width][channels]. */
static real *reference_image(const struct data_config *config, int index, int64_t position) {
    int h = dataset.height, w = dataset.width, n = dataset.channels, pad = config->augment.crop_padding;
    struct rng rng = rng_stream(LOADER_SEED, RNG_AUGMENT, (uint64_t)position, 0);
    bool mirror = rng_below(&rng, 2) && config->augment.flip;
    int top = (int)rng_below(&rng, (uint32_t)(2 * pad + 1)), left = (int)rng_below(&rng, (uint32_t)(2 * pad + 1));
    int padded_width = w + 2 * pad;
    const uint8_t *pixels = image_of(SPLIT_TRAIN, index);
    real *padded = arena_alloc(&arena, (size_t)((h + 2 * pad) * padded_width * n) * sizeof *padded);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < n; c++) {
                int value = pixels[(y * w + (mirror ? w - 1 - x : x)) * n + c];
                padded[((y + pad) * padded_width + x + pad) * n + c] =
                    (real)((value - config->pixel_mean.values[0]) / config->pixel_scale.values[0]);
            }
    real *image = arena_alloc(&arena, (size_t)(h * w * n) * sizeof *image);
    for (int y = 0; y < h; y++)
        memcpy(image + y * w * n, padded + ((y + top) * padded_width + left) * n, (size_t)(w * n) * sizeof *image);
    return image;
}

static void check_training_batch(const struct batch *batch, const struct data_config *config, int batch_size,
                                 int64_t iteration) {
    size_t size = dataset_image_bytes(&dataset);
    ck_assert_ptr_nonnull(batch);
    ck_assert_int_eq(batch->count, batch_size);
    for (int i = 0; i < batch_size; i++) {
        int64_t position = iteration * batch_size + i;
        int index = reference_index(position);
        real *expected = reference_image(config, index, position);
        ck_assert_int_eq(batch->labels[i], dataset.splits[SPLIT_TRAIN].labels[index]);
        ck_assert_mem_eq(batch->images + (size_t)i * size, expected, size * sizeof *expected);
    }
}

static struct loader *open_training(struct choice data, int batch_size, int64_t first) {
    struct loader *loader = loader_train(&dataset, common_of(data), LOADER_SEED, batch_size, first, &err);
    ck_assert_msg(loader != NULL, "%s", err.text);
    return loader;
}

struct training_case {
    bool flip;
    int crop_padding, batch_size;
    int64_t first; /* iteration */
};

/* With and without each change; padding beyond the image; batches that straddle epochs, that hold several, that are
 * smaller than all; from the start and resumed, far beyond the first epoch too. */
static const struct training_case training_cases[] = {
    {false, 0, 4, 0}, {true, 0, 4, 0},  {false, 2, 4, 0}, {true, 2, 4, 0},    {true, 16, 5, 0},
    {true, 1, 23, 0}, {true, 1, 60, 0}, {true, 1, 1, 3},  {true, 2, 4, 1000}, {true, 1, 60, 1234567},
};

START_TEST(training_batches_equal_the_reference) {
    const struct training_case *t = &training_cases[_i];
    struct choice data = load_small(t->flip, t->crop_padding);
    struct loader *loader = open_training(data, t->batch_size, t->first);
    for (int64_t k = t->first; k < t->first + 20; k++)
        check_training_batch(loader_next(loader), common_of(data), t->batch_size, k);
    loader_close(loader);
}
END_TEST

START_TEST(resumed_batches_are_those_of_the_whole_run) {
    struct choice data = load_small(true, 2);
    size_t bytes = 7 * dataset_image_bytes(&dataset) * sizeof(real);
    struct loader *whole = open_training(data, 7, 0), *resumed = open_training(data, 7, 9);
    for (int k = 0; k < 9; k++)
        loader_next(whole);
    for (int k = 9; k < 20; k++) {
        const struct batch *a = loader_next(whole), *b = loader_next(resumed);
        ck_assert_mem_eq(a->images, b->images, bytes);
        ck_assert_mem_eq(a->labels, b->labels, 7 * sizeof *a->labels);
    }
    loader_close(whole);
    loader_close(resumed);
}
END_TEST

/* Images are told apart by their first value, which is made equal to their number. */
START_TEST(every_image_is_used_once_an_epoch) {
    struct choice data = load_small(false, 0);
    size_t size = dataset_image_bytes(&dataset);
    int visits[23] = {0}, in_order = 0;
    for (int i = 0; i < 23; i++)
        *image_of(SPLIT_TRAIN, i) = (uint8_t)i;
    struct loader *loader = open_training(data, 5, 0);
    const struct batch *batch = NULL;
    for (int position = 0; position < 23 * 10; position++) {
        if (position % 5 == 0)
            batch = loader_next(loader);
        int image = (int)lround((double)batch->images[(size_t)(position % 5) * size] * 50 + 100);
        ck_assert_int_eq(visits[image]++, position / 23);
        in_order += image == position % 23;
    }
    loader_close(loader);
    ck_assert_int_lt(in_order, 40); /* about one an epoch, were every permutation as likely */
}
END_TEST

/* A crop within a mirrored image is still a mirrored one, and both happen about as often as they should. */
START_TEST(flips_and_crops_are_uniform) {
    enum { IMAGES = 9000, COLUMNS = 5 };
    struct choice data = load_small(true, 1);
    size_t size = dataset_image_bytes(&dataset);
    int seen[2][3][3] = {0};
    for (size_t i = 0; i < size * 23; i++)
        image_of(SPLIT_TRAIN, 0)[i] =
            (uint8_t)(101 + i % size / 2); /* less the mean of 100: 1 + row * COLUMNS + column */
    common_of(data)->pixel_scale.values[0] = 1;
    struct loader *loader = open_training(data, IMAGES, 0);
    const struct batch *batch = loader_next(loader);
    for (int i = 0; i < IMAGES; i++) {
        const real *middle = batch->images + (size_t)i * size + (2 * COLUMNS + 2) * 2;
        int value = (int)middle[0] - 1;
        bool mirrored = middle[2] < middle[0];
        int row = value / COLUMNS, column = value % COLUMNS;
        ck_assert(row >= 1 && row <= 3 && column >= 1 && column <= 3);
        seen[mirrored][row - 1][column - 1]++;
    }
    loader_close(loader);
    for (int i = 0; i < 18; i++) /* 500 expected of each, with a deviation of 22 */
        ck_assert_int_lt(abs((&seen[0][0][0])[i] - IMAGES / 18), 110);
}
END_TEST

START_TEST(evaluation_is_in_order_with_a_smaller_last_batch) {
    struct choice data = load_small(true, 2);
    const struct split *test = &dataset.splits[SPLIT_TEST];
    size_t size = dataset_image_bytes(&dataset);
    int batch_sizes[] = {100, 64, 1000, 1}, index = 0;
    struct loader *loader = loader_evaluate(&dataset, common_of(data), SPLIT_TEST, batch_sizes[_i], &err);
    for (const struct batch *batch; (batch = loader_next(loader)); index += batch->count) {
        ck_assert_int_eq(batch->count, 256 - index < batch_sizes[_i] ? 256 - index : batch_sizes[_i]);
        ck_assert_mem_eq(batch->labels, test->labels + index, (size_t)batch->count * sizeof *batch->labels);
        for (size_t j = 0; j < (size_t)batch->count * size; j++)
            ck_assert(batch->images[j] == (real)((image_of(SPLIT_TEST, index)[j] - 100.0) / 50.0));
    }
    ck_assert_int_eq(index, 256);
    ck_assert_ptr_null(loader_next(loader));
    loader_close(loader);
}
END_TEST

/* A batch stays as it is until the next call, however far the thread is ahead. */
START_TEST(a_batch_stays_until_the_next_call) {
    struct choice data = load_small(true, 2);
    struct loader *loader = open_training(data, 4, 0);
    for (int k = 0; k < 6; k++) {
        const struct batch *batch = loader_next(loader);
        usleep(5000);
        check_training_batch(batch, common_of(data), 4, k);
    }
    loader_close(loader);
}
END_TEST

/* While the thread starts, works, waits for a slot, has ended. */
START_TEST(closing_at_any_time) {
    struct choice data = load_small(true, 2);
    loader_close(NULL);
    for (int i = 0; i < 60; i++) {
        struct loader *training = open_training(data, 1 + 50 * (i % 3), i);
        struct loader *evaluation = loader_evaluate(&dataset, common_of(data), SPLIT_TEST, 100, &err);
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
    char line[256];
    unsigned long long mask = 0;
    FILE *stream = fopen(arena_printf(&arena, "/proc/self/task/%s/status", thread), "r");
    ck_assert_ptr_nonnull(stream);
    while (fgets(line, sizeof line, stream))
        sscanf(line, "SigBlk: %llx", &mask);
    fclose(stream);
    return mask >> (number - 1) & 1;
}

START_TEST(the_thread_takes_no_signals) {
    struct choice data = load_small(false, 0);
    struct loader *loader = open_training(data, 4, 0);
    loader_next(loader);
    int others = 0;
    DIR *threads = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(threads);
    for (struct dirent *entry; (entry = readdir(threads));) {
        if (entry->d_name[0] == '.')
            continue;
        bool main_thread = atoi(entry->d_name) == getpid();
        others += !main_thread;
        ck_assert(blocks(entry->d_name, SIGINT) == !main_thread);
        ck_assert(blocks(entry->d_name, SIGTERM) == !main_thread);
    }
    closedir(threads);
    ck_assert_int_ge(others, 1);
    loader_close(loader);
}
END_TEST

/* --- Memory ------------------------------------------------------------------------------------------------------ */

/* Of this process, now. */
static double resident_bytes(void) {
    long pages = 0;
    FILE *stream = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(fscanf(stream, "%*d %ld", &pages), 1);
    fclose(stream);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* What a training is refused for when there is less of it. Three batches of each loader, and all of its memory has been
 * written to. */
START_TEST(loaders_take_what_they_tell) {
    enum { BATCH = 1024 };
    struct choice data = choose_synthetic(4, 32, 32, 3, 4 * BATCH);
    set_int(data, "test_images", 4 * BATCH);
    load(data);
    double before = resident_bytes();
    struct loader *training = open_training(data, BATCH, 0);
    struct loader *evaluation = loader_evaluate(&dataset, common_of(data), SPLIT_TEST, BATCH, &err);
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(loader_next(training));
        ck_assert_ptr_nonnull(loader_next(evaluation));
    }
    double taken = resident_bytes() - before, told = (double)loader_bytes(&dataset, BATCH);
    ck_assert_msg(taken <= 1.25 * told && told <= 1.25 * taken, "%.1f MB taken, %.1f MB told", taken / 1e6, told / 1e6);
    loader_close(training);
    loader_close(evaluation);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("loader");
    TCase *synthetic = suite_group(suite, "synthetic", 60, dataset_set_up, dataset_tear_down);
    tcase_add_test(synthetic, synthetic_shape_and_limits);
    tcase_add_test(synthetic, synthetic_is_a_function_of_the_seed);
    tcase_add_test(synthetic, synthetic_can_be_learned);
    TCase *loading = suite_group(suite, "loader", 60, dataset_set_up, dataset_tear_down);
    tcase_add_loop_test(loading, training_batches_equal_the_reference, 0, COUNT(training_cases));
    tcase_add_test(loading, resumed_batches_are_those_of_the_whole_run);
    tcase_add_test(loading, every_image_is_used_once_an_epoch);
    tcase_add_test(loading, flips_and_crops_are_uniform);
    tcase_add_loop_test(loading, evaluation_is_in_order_with_a_smaller_last_batch, 0, 4);
    tcase_add_test(loading, a_batch_stays_until_the_next_call);
    tcase_add_test(loading, closing_at_any_time);
    tcase_add_test(loading, the_thread_takes_no_signals);
    TCase *memory = suite_group(suite, "memory", 60, dataset_set_up, dataset_tear_down);
    tcase_set_tags(memory, "memory");
    tcase_add_test(memory, loaders_take_what_they_tell);
    return suite;
}
