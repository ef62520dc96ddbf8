/* Changes of training images, and the way from pixels to network input. */
#include "data/augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/image_arrays.h"
#include "data/normalize.h"
#include "data/standardize.h"
#include "machine/threads.h"
#include "run/checkpoint.h"
#include "run/session.h"
#include "support/folder.h"
#include "support/suite.h"

static struct error err;

static void free_arena(void) {
    arena_free(&arena);
}

/* --- Rows -------------------------------------------------------------------------------------------------------- */

static bool has_key(const struct param *params, const char *key) {
    for (const struct param *p = params; p->type != PARAM_END; p++)
        if (p->type == PARAM_INCLUDE ? has_key(p->params, key) : !strcmp(p->key, key))
            return true;
    return false;
}

START_TEST(keys_of_every_row_stand_in_every_data_section) {
    for (const struct kind *const *row = augmentation_registry.rows; *row; row++) {
        ck_assert((*row)->help && (*row)->params[0].key);
        for (const struct param *p = (*row)->params; p->type != PARAM_END; p++)
            for (const struct kind *const *data = dataset_registry.rows; *data; data++)
                ck_assert_msg(has_key((*data)->params, p->key), "%s has no %s", (*data)->name, p->key);
    }
}
END_TEST

static struct placement draw(struct augment_config config, uint64_t seed, int64_t position) {
    return augment_draw(&config, &(struct augment_context){.seed = seed, .position = position});
}

START_TEST(a_placement_follows_from_seed_and_position) {
    const struct augment_config config = {.flip = true, .crop_padding = 4};
    int same_as_next = 0, same_as_other_seed = 0;
    for (int i = 0; i < 500; i++) {
        struct placement a = draw(config, 1, i), again = draw(config, 1, i);
        struct placement next = draw(config, 1, i + 1), other = draw(config, 2, i);
        ck_assert(a.flipped == again.flipped && a.down == again.down && a.right == again.right);
        same_as_next += a.flipped == next.flipped && a.down == next.down && a.right == next.right;
        same_as_other_seed += a.flipped == other.flipped && a.down == other.down && a.right == other.right;
    }
    ck_assert_int_lt(same_as_next, 20); /* of 500; one of 162 is expected */
    ck_assert_int_lt(same_as_other_seed, 20);
}
END_TEST

START_TEST(flips_and_crops_do_not_move_each_other) {
    for (int i = 0; i < 500; i++) {
        struct placement both = draw((struct augment_config){.flip = true, .crop_padding = 3}, 5, i);
        struct placement flip = draw((struct augment_config){.flip = true}, 5, i);
        struct placement crop = draw((struct augment_config){.crop_padding = 3, .crop_fill = CROP_MIRROR}, 5, i);
        ck_assert(both.flipped == flip.flipped && !flip.down && !flip.right && !crop.flipped);
        ck_assert(both.down == crop.down && both.right == crop.right && crop.border_is_mirrored &&
                  !both.border_is_mirrored);
        ck_assert(abs(crop.down) <= 3 && abs(crop.right) <= 3);
    }
}
END_TEST

/* --- Mirrored borders -------------------------------------------------------------------------------------------- */

static struct data_config plain_config(void) {
    return (struct data_config){.pixel_mean = {1, {0}}, .pixel_scale = {1, {1}}};
}

/* One row of three pixels, padded by two and more on each side as TensorFlow's and NumPy's "symmetric" do it. */
START_TEST(a_mirrored_border_repeats_its_pixel) {
    static const uint8_t pixels[] = {1, 2, 3};
    static const real padded[] = {3, 3, 2, 1, 1, 2, 3, 3, 2, 1, 1};
    struct dataset dataset = {.height = 1, .width = 3, .channels = 1};
    struct data_config config = plain_config();
    struct normalizer normalizer = normalizer_make(&dataset, &config);
    for (int right = -4; right <= 4; right++)
        for (int down = -1; down <= 1; down++) {
            real input[3] = {0};
            normalize_image(&normalizer, (struct placement){.down = down, .right = right, .border_is_mirrored = true},
                            pixels, input);
            for (int x = 0; x < 3; x++)
                ck_assert(input[x] == padded[4 - right + x]);
        }
}
END_TEST

/* The place that one comes to who walks `steps` pixels from the first one, and turns at the border, where a step is
 * spent on turning. */
static int walk(int steps, int size) {
    int place = 0, direction = steps < 0 ? -1 : 1;
    for (int i = 0; i < abs(steps); i++) {
        if (place + direction < 0 || place + direction >= size)
            direction = -direction;
        else
            place += direction;
    }
    return place;
}

enum { HEIGHT = 5, WIDTH = 6 };

/* Mirrors, then moves; beyond the image, what a walk finds, or zeros. */
static void check_placement(const struct normalizer *normalizer, struct placement placement, const uint8_t *pixels) {
    int channels = normalizer->channels;
    real *input = arena_alloc(&arena, (size_t)(HEIGHT * WIDTH * channels) * sizeof *input);
    normalize_image(normalizer, placement, pixels, input);
    for (int i = 0; i < HEIGHT * WIDTH * channels; i++) {
        int y = i / (WIDTH * channels) - placement.down, x = i / channels % WIDTH - placement.right, c = i % channels;
        bool beyond = x < 0 || x >= WIDTH || y < 0 || y >= HEIGHT;
        int row = walk(y, HEIGHT), column = walk(x, WIDTH);
        int from = (row * WIDTH + (placement.flipped ? WIDTH - 1 - column : column)) * channels + c;
        real expected = beyond && !placement.border_is_mirrored ? 0 : normalizer->values[c][pixels[from]];
        ck_assert_msg(input[i] == expected, "%d down, %d right: value %d is %g, expected %g", placement.down,
                      placement.right, i, (double)input[i], (double)expected);
    }
}

/* Further than the image is large, too, for the numbers of channels that have code of their own, and for others. */
START_TEST(placements_equal_the_reference) {
    static const int channels[] = {1, 2, 3, 5};
    struct dataset dataset = {.height = HEIGHT, .width = WIDTH, .channels = channels[_i]};
    struct data_config config = {.pixel_mean = {1, {100}}, .pixel_scale = {1, {50}}};
    struct normalizer normalizer = normalizer_make(&dataset, &config);
    uint8_t *pixels = arena_alloc(&arena, dataset_image_bytes(&dataset));
    for (size_t i = 0; i < dataset_image_bytes(&dataset); i++)
        pixels[i] = (uint8_t)(i * 37 + 11);
    for (int down = -16; down <= 16; down++)
        for (int right = -16; right <= 16; right++)
            for (int way = 0; way < 4; way++)
                check_placement(
                    &normalizer,
                    (struct placement){.flipped = way & 1, .down = down, .right = right, .border_is_mirrored = way & 2},
                    pixels);
}
END_TEST

/* --- Mean and scale ---------------------------------------------------------------------------------------------- */

START_TEST(every_channel_has_its_own_mean_and_scale) {
    struct dataset dataset = {.height = 1, .width = 1, .channels = 3};
    struct data_config config = {.pixel_mean = {3, {125.3, 123, 113.9}}, .pixel_scale = {3, {63, 62.1, 66.7}}};
    struct normalizer normalizer = normalizer_make(&dataset, &config);
    for (int value = 0; value < 256; value++) {
        uint8_t pixels[] = {(uint8_t)value, (uint8_t)(255 - value), 7};
        real input[3];
        normalize_image(&normalizer, (struct placement){0}, pixels, input);
        ck_assert(input[0] == (real)((value - 125.3) / 63) && input[1] == (real)((255 - value - 123) / 62.1));
        ck_assert(input[2] == (real)((7 - 113.9) / 66.7));
    }
}
END_TEST

START_TEST(one_mean_and_scale_are_those_of_all_channels) {
    struct dataset dataset = {.height = 1, .width = 1, .channels = 2};
    struct data_config one = {.pixel_mean = {1, {127.5}}, .pixel_scale = {2, {128, 64}}};
    struct data_config each = {.pixel_mean = {2, {127.5, 127.5}}, .pixel_scale = {2, {128, 64}}};
    struct normalizer a = normalizer_make(&dataset, &one), b = normalizer_make(&dataset, &each);
    ck_assert_mem_eq(a.values, b.values, sizeof a.values);
    ck_assert(a.values[0][0] == (real)-0.99609375 && a.values[1][255] == (real)1.9921875);
}
END_TEST

START_TEST(values_of_channels_are_read_and_written_as_a_list) {
    struct experiment experiment;
    struct diagnostics diags = {0};
    struct text spec = {0};
    bool parsed = experiment_parse(&experiment, "test.yaml",
                                   "data: {type: synthetic, pixel_mean: [1.5, 2, 251], pixel_scale: [64]}\n"
                                   "network: {layers: [{type: dense, units: 10}]}\n"
                                   "train: {iterations: 1}\n",
                                   NULL, 0, &diags);
    ck_assert_msg(parsed, "%s", diags.text.data);
    const struct data_config *config = experiment_data(&experiment);
    ck_assert(config->pixel_mean.count == 3 && config->pixel_mean.values[2] == 251);
    ck_assert(config->pixel_scale.count == 1 && config->pixel_scale.values[0] == 64);
    experiment_emit(&spec, &experiment);
    ck_assert_ptr_nonnull(strstr(spec.data, "pixel_mean: [1.5, 2, 251]\n"));
    ck_assert_ptr_nonnull(strstr(spec.data, "pixel_scale: 64\n"));
    text_free(&spec);
    experiment_free(&experiment);
}
END_TEST

/* --- Those of the training set ----------------------------------------------------------------------------------- */

enum { IMAGES = 1000, CHANNELS = 4 };

/* Channels of a ramp, of one value, of two values, and of one pixel in all that is not 0. */
static uint8_t pixel_of(int image, int place, int channel) {
    switch (channel) {
    case 0:
        return (uint8_t)(image * 7 + place);
    case 1:
        return 200;
    case 2:
        return (uint8_t)(image % 2);
    default:
        return image == 0 && place == 0;
    }
}

static bool fetch(const struct dataset *dataset, int split, int index, const struct augment_context *context,
                  uint8_t *pixels, struct error *error) {
    (void)context;
    if (split != SPLIT_TRAIN || index == dataset->classes || index == dataset->classes + 300)
        return error_set(error, "image %d cannot be read", index);
    for (int i = 0; i < HEIGHT * WIDTH * CHANNELS; i++)
        pixels[i] = pixel_of(index, i / CHANNELS, i % CHANNELS);
    return true;
}

static const struct dataset_type made = {.fetch = fetch};

static double mean_of(int channel, double about, int power) {
    double sum = 0;
    for (int i = 0; i < IMAGES; i++)
        for (int p = 0; p < HEIGHT * WIDTH; p++)
            sum += pow(pixel_of(i, p, channel) - about, power);
    return sum / (IMAGES * HEIGHT * WIDTH);
}

static struct dataset made_dataset(int bad) {
    struct dataset dataset = {.height = HEIGHT, .width = WIDTH, .channels = CHANNELS, .classes = bad, .type = &made};
    dataset.splits[SPLIT_TRAIN].count = IMAGES;
    return dataset;
}

START_TEST(mean_and_deviation_of_the_training_set) {
    struct dataset dataset = made_dataset(IMAGES);
    struct data_config one = {.standardize = true}, several = one;
    threads_use(1);
    ck_assert(standardize(&dataset, (struct choice){.config = &one}, &err));
    threads_use(3);
    ck_assert(standardize(&dataset, (struct choice){.config = &several}, &err));
    ck_assert_mem_eq(&one, &several, sizeof one);
    ck_assert(one.pixel_mean.count == CHANNELS && one.pixel_scale.count == CHANNELS);
    for (int c = 0; c < CHANNELS; c++) {
        double mean = mean_of(c, 0, 1), deviation = sqrt(mean_of(c, mean, 2));
        ck_assert_double_eq_tol(one.pixel_mean.values[c], mean, 1e-10);
        if (c != 1)
            ck_assert_double_eq_tol(one.pixel_scale.values[c], deviation, 1e-10);
    }
    ck_assert_double_eq(one.pixel_scale.values[1], 1); /* of the channel that does not vary */
}
END_TEST

START_TEST(without_standardize_nothing_is_measured) {
    struct dataset dataset = made_dataset(0);
    struct data_config config = plain_config(), before = config;
    ck_assert(standardize(&dataset, (struct choice){.config = &config}, &err));
    ck_assert_mem_eq(&config, &before, sizeof config);
}
END_TEST

START_TEST(an_image_that_cannot_be_fetched_is_named) {
    struct dataset dataset = made_dataset(290);
    struct data_config config = {.standardize = true};
    threads_use(3);
    ck_assert(!standardize(&dataset, (struct choice){.config = &config}, &err));
    ck_assert_str_eq(err.text, "image 290 cannot be read");
}
END_TEST

/* --- Runs -------------------------------------------------------------------------------------------------------- */

static void set_up(void) {
    folder_make(NULL, "augment");
    threads_use(1);
}

/* Files in MNIST's format: 20 training and test images of one grey each. */
static void write_images(int grey) {
    enum { COUNT_OF_EACH = 20, BYTES = 28 * 28 };
    static uint8_t images[16 + COUNT_OF_EACH * BYTES], labels[8 + COUNT_OF_EACH];
    memcpy(images, (uint8_t[]){0, 0, 8, 3, 0, 0, 0, COUNT_OF_EACH, 0, 0, 0, 28, 0, 0, 0, 28}, 16);
    memcpy(labels, (uint8_t[]){0, 0, 8, 1, 0, 0, 0, COUNT_OF_EACH}, 8);
    for (int i = 0; i < COUNT_OF_EACH; i++) {
        labels[8 + i] = (uint8_t)(i % 10);
        memset(images + 16 + i * BYTES, grey + i, BYTES);
    }
    disk_write(in_folder("train-images-idx3-ubyte"), images, sizeof images);
    disk_write(in_folder("t10k-images-idx3-ubyte"), images, sizeof images);
    disk_write(in_folder("train-labels-idx1-ubyte"), labels, sizeof labels);
    disk_write(in_folder("t10k-labels-idx1-ubyte"), labels, sizeof labels);
}

/* Trains to that iteration; returns the resolved spec's line that begins so, or the error. */
static char *train(int iterations, enum run_mode mode, const char *run, const char *set, const char *line) {
    struct experiment experiment;
    struct diagnostics diags = {0};
    const char *sets[] = {arena_printf(&arena, "data.path=%s", folder),
                          arena_printf(&arena, "train.iterations=%d", iterations), set};
    bool parsed = experiment_parse(&experiment, "test.yaml",
                                   "data: {type: mnist, flip: true, crop_padding: 2, standardize: true}\n"
                                   "network: {layers: [{type: dense, units: 10}]}\n"
                                   "train: {iterations: 1, batch_size: 8, eval_every: 0, log_every: 1}\n",
                                   sets, COUNT(sets), &diags);
    ck_assert_msg(parsed, "%s", diags.text.data);
    struct session_options options = {
        .run_dir = arena_printf(&arena, "%s/%s", folder, run), .mode = mode, .quiet = true};
    bool done = session_run(&experiment, &options, &err) == SESSION_DONE;
    experiment_free(&experiment);
    if (!done)
        return err.text;
    char *spec = read_text(arena_printf(&arena, "%s/%s/spec.yaml", folder, run));
    char *found = strstr(spec, line);
    ck_assert_ptr_nonnull(found);
    *strchr(found, '\n') = '\0';
    return found;
}

/* Other greys, as a folder may have that others write to, are other data. */
START_TEST(a_run_keeps_the_mean_that_it_began_with) {
    write_images(100);
    const char *mean = train(2, RUN_NEW, "run", "name=run", "pixel_mean");
    ck_assert_str_eq(mean, "pixel_mean: 109.5");
    ck_assert_str_eq(train(4, RUN_RESUME, "run", "name=run", "pixel_mean"), mean);
    write_images(50);
    const char *refused = train(6, RUN_RESUME, "run", "name=run", "pixel_mean");
    ck_assert_msg(strstr(refused, ": the run trained on other data: ") != NULL, "%s", refused);
    ck_assert_str_eq(train(4, RUN_NEW, "other", "name=run", "pixel_mean"), "pixel_mean: 59.5");
}
END_TEST

START_TEST(a_checkpoint_has_the_mean_that_its_run_began_with) {
    char path[PATH_BYTES];
    struct safetensors file;
    struct experiment experiment;
    struct diagnostics diags = {0};
    write_images(100);
    train(1, RUN_NEW, "run", "name=run", "pixel_mean");
    ck_assert_msg(checkpoint_open(in_folder("run"), path, &file, &err), "%s", err.text);
    ck_assert(experiment_parse(&experiment, path, checkpoint_spec(&file, path, &err), NULL, 0, &diags));
    const struct data_config *config = experiment_data(&experiment);
    ck_assert(config->standardize && config->pixel_mean.count == 1 && config->pixel_mean.values[0] == 109.5);
    ck_assert_double_eq_tol(config->pixel_scale.values[0], sqrt((20 * 20 - 1) / 12.), 1e-12);
    experiment_free(&experiment);
    safetensors_close(&file);
}
END_TEST

/* Times are not among what is compared. */
START_TEST(threads_of_the_loader_may_change_within_a_run) {
    write_images(100);
    const char *losses[] = {"", ""};
    for (int i = 0; i < 2; i++) {
        const char *run = i ? "several" : "one";
        train(2, RUN_NEW, run, i ? "data.loader_threads=3" : "data.loader_threads=1", "pixel_mean");
        train(5, RUN_RESUME, run, i ? "data.loader_threads=2" : "data.loader_threads=1", "pixel_mean");
        char *rows = read_text(arena_printf(&arena, "%s/%s/train.csv", folder, run));
        for (char *row = strtok(rows, "\n"); row; row = strtok(NULL, "\n")) {
            *strrchr(row, ',') = '\0';
            *strrchr(row, ',') = '\0';
            losses[i] = arena_printf(&arena, "%s%s\n", losses[i], row);
        }
    }
    ck_assert_str_eq(losses[0], losses[1]);
    ck_assert_ptr_nonnull(strstr(losses[0], "\n5,"));
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("augment");
    TCase *images = suite_group(suite, "images", 60, NULL, free_arena);
    tcase_add_test(images, keys_of_every_row_stand_in_every_data_section);
    tcase_add_test(images, a_placement_follows_from_seed_and_position);
    tcase_add_test(images, flips_and_crops_do_not_move_each_other);
    tcase_add_test(images, a_mirrored_border_repeats_its_pixel);
    tcase_add_loop_test(images, placements_equal_the_reference, 0, 4);
    tcase_add_test(images, every_channel_has_its_own_mean_and_scale);
    tcase_add_test(images, one_mean_and_scale_are_those_of_all_channels);
    tcase_add_test(images, values_of_channels_are_read_and_written_as_a_list);
    tcase_add_test(images, mean_and_deviation_of_the_training_set);
    tcase_add_test(images, without_standardize_nothing_is_measured);
    tcase_add_test(images, an_image_that_cannot_be_fetched_is_named);
    TCase *runs = suite_group(suite, "runs", 60, set_up, folder_remove);
    tcase_add_test(runs, a_run_keeps_the_mean_that_it_began_with);
    tcase_add_test(runs, a_checkpoint_has_the_mean_that_its_run_began_with);
    tcase_add_test(runs, threads_of_the_loader_may_change_within_a_run);
    return suite;
}
