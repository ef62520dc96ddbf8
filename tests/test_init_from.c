/* Weights that PyTorch wrote (tests/golden/from_torch) come in as they are meant: types of values, scalars, names; what
 * is left, what is missing, and what cannot be. */
#include "run/init_from.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/program.h"
#include "support/run_folder.h"
#include "support/specs.h"
#include "support/suite.h"

#define GOLDEN "tests/golden/from_torch/"
#define SPEC                                                                                                           \
    "name: torch\n"                                                                                                    \
    "data: {type: synthetic, height: 6, width: 6, channels: 2, classes: 3, train_images: 16, test_images: 16}\n"       \
    "network: {layers: [{type: conv, name: a, filters: 4, padding: 1}, {type: batch_norm, name: b}, relu, "            \
    "{type: dense, name: c, units: 3}]}\n"                                                                             \
    "optimizer: {type: adam, learning_rate: 1e-12}\n"                                                                  \
    "train: {iterations: 1, batch_size: 5, threads: 1}\n"
#define MAP "{module.stem.conv.: a., module.stem.norm.: b., module.head.: c.}"

enum { IMAGES = 5, CLASSES = 3, PIXELS = 36, CHANNELS = 2 };

struct training {
    struct experiment experiment;
    struct trainer trainer;
};

static struct error err;
static struct init_notes notes;

static void open_training(struct training *t, const char *map) {
    const char *overrides[] = {arena_printf(&arena, "train.init_map=%s", map)};
    ck_assert_msg(experiment_parse(&t->experiment, "torch.yaml", SPEC, overrides, 1, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(&t->trainer, &t->experiment, &err), "%s", err.text);
}

static void close_training(struct training *t) {
    trainer_close(&t->trainer);
    experiment_free(&t->experiment);
    init_notes_free(&notes);
}

static bool start_from(struct training *t, const char *path, const char *drawn) {
    struct safetensors file;
    ck_assert_msg(safetensors_open(&file, path, &err), "%s", err.text);
    const struct init_request request = {&t->experiment.train.init_map, drawn};
    bool good = init_from_file(&file, path, &request, &t->trainer.model, &notes, &err);
    safetensors_close(&file);
    return good;
}

static real *value_of(const struct training *t, const char *name) {
    for (int i = 0; i < t->trainer.model.tensor_count; i++)
        if (!strcmp(t->trainer.model.tensors[i]->name, name))
            return t->trainer.model.tensors[i]->value;
    ck_abort_msg("there is no tensor %s", name);
}

static void take(void *context, size_t first, size_t count, const real *values) {
    memcpy((real *)context + first, values, count * sizeof *values);
}

static void read_tensor(const char *path, const char *name, real *values) {
    struct safetensors file;
    ck_assert(safetensors_open(&file, path, &err));
    ck_assert_msg(safetensors_read(&file, safetensors_find(&file, name), take, values, &err), "%s", err.text);
    safetensors_close(&file);
}

/* --- As PyTorch has them ----------------------------------------------------------------------------------------- */

static void expect_scores_of_torch(struct training *t, const char *path) {
    real planes[IMAGES][CHANNELS][PIXELS], images[IMAGES][PIXELS][CHANNELS], scores[IMAGES][CLASSES];
    read_tensor(path, "check.images", &planes[0][0][0]);
    read_tensor(path, "check.scores", &scores[0][0]);
    for (int i = 0; i < IMAGES; i++)
        for (int p = 0; p < PIXELS; p++)
            for (int c = 0; c < CHANNELS; c++)
                images[i][p][c] = planes[i][c][p];
    struct step step = model_step(&t->trainer.model, IMAGES, STEP_EVALUATE);
    const real *own = model_forward(&t->trainer.model, step, &images[0][0][0]);
    for (int i = 0; i < IMAGES * CLASSES; i++)
        ck_assert_double_eq_tol((double)own[i], (double)scores[i / CLASSES][i % CLASSES], 1e-5);
}

START_TEST(a_state_dict_gives_pytorchs_scores) {
    struct training t;
    open_training(&t, "{}");
    ck_assert_msg(start_from(&t, GOLDEN "weights.safetensors", NULL), "%s", err.text);
    expect_scores_of_torch(&t, GOLDEN "weights.safetensors");
    ck_assert_double_eq((double)*value_of(&t, "b.num_batches_tracked"), 7);
    ck_assert_str_eq(notes.lines.data, "weights: left in the file, since the network has no such tensors:\n"
                                       "  \"check.images\" F32 [5, 2, 6, 6]\n"
                                       "  \"check.scores\" F32 [5, 3]");
    close_training(&t);
}
END_TEST

START_TEST(other_names_and_half_precision_give_pytorchs_scores) {
    struct training t;
    open_training(&t, MAP);
    ck_assert_msg(start_from(&t, GOLDEN "half.safetensors.gz", NULL), "%s", err.text);
    expect_scores_of_torch(&t, GOLDEN "half.safetensors.gz");
    ck_assert_double_eq((double)*value_of(&t, "b.num_batches_tracked"), 1e7);
    ck_assert_str_eq(notes.lines.data,
                     "weights: left in the file, since the network has no such tensors:\n"
                     "  \"module.phase\" C64 [1]\n"
                     "  \"check.images\" F32 [5, 2, 6, 6]\n"
                     "  \"check.scores\" F32 [5, 3]\n"
                     "  \"module.position_ids\" I32 [1, 4]\n"
                     "  \"module.scale\" F8_E4M3 [2]\n"
                     "  \"module.mask\" BOOL [3]\n"
                     "weights: counters that the file has not; its running averages are taken for those of many "
                     "batches:\n"
                     "  \"b.num_batches_tracked\"");
    close_training(&t);
}
END_TEST

/* Averages of many batches stay where they are: one more batch moves them by 1 - decay. */
START_TEST(without_a_counter_running_averages_are_kept) {
    struct training t;
    real images[IMAGES * PIXELS * CHANNELS] = {0}, mean[4];
    int32_t labels[IMAGES] = {0};
    open_training(&t, MAP);
    ck_assert(start_from(&t, GOLDEN "half.safetensors.gz", NULL));
    memcpy(mean, value_of(&t, "b.running_mean"), sizeof mean);
    trainer_step(&t.trainer, &(struct batch){.images = images, .labels = labels, .count = IMAGES});
    for (int c = 0; c < 4; c++) /* the batch of zeros has mean 0 */
        ck_assert_double_eq_tol((double)value_of(&t, "b.running_mean")[c], 0.9 * (double)mean[c],
                                1e-6 * fabs((double)mean[c]));
    close_training(&t);
}
END_TEST

START_TEST(a_layer_that_is_drawn_takes_nothing) {
    struct training t, fresh;
    open_training(&t, "{}");
    open_training(&fresh, "{}");
    ck_assert(start_from(&t, GOLDEN "weights.safetensors", "c"));
    ck_assert_mem_eq(value_of(&t, "c.weight"), value_of(&fresh, "c.weight"), 432 * sizeof(real));
    ck_assert_mem_ne(value_of(&t, "a.weight"), value_of(&fresh, "a.weight"), 72 * sizeof(real));
    close_training(&t);
    close_training(&fresh);
}
END_TEST

/* --- Names that differ ------------------------------------------------------------------------------------------- */

static const struct {
    const char *map, *message;
} bad_maps[] = {
    {"{modul.head.: c., module.stem.conv.: a., module.stem.norm.: b.}",
     "no tensor's name begins with \"modul.head.\"; did you mean \"module.head.\"?"},
    {"{module.head.wieght: c.weight}",
     "no tensor's name is \"module.head.wieght\"; did you mean \"module.head.weight\"?"},
    {"{elsewhere.: c.}", "no tensor's name begins with \"elsewhere.\"\n"},
    {"{module.head.: cc.}", "\"module.head.weight\" becomes \"cc.weight\", which the network has not; did you mean "
                            "\"c.weight\"?"},
    {"{module.head.weight: c.wight}", "\"module.head.weight\" becomes \"c.wight\", which the network has not; did you "
                                      "mean \"c.weight\"?"},
    {"{module.head.: c., module.head.weight: a.weight, module.head.bias: c.bias}",
     "\"module.head.\" renames nothing, since longer names of the map do"},
    {"{module.head.weight: c.weight, module.stem.conv.weight: c.weight}",
     "both \"module.head.weight\" and \"module.stem.conv.weight\" would be \"c.weight\""},
};

START_TEST(a_map_that_does_not_fit_is_refused) {
    struct training t, fresh;
    open_training(&t, bad_maps[_i].map);
    open_training(&fresh, "{}");
    ck_assert(!start_from(&t, GOLDEN "half.safetensors.gz", NULL));
    const char *text = arena_printf(&arena, "%s\n", err.text);
    ck_assert_ptr_eq(strstr(text, GOLDEN "half.safetensors.gz: train.init_map does not fit it:\n  "), text);
    ck_assert_msg(strstr(text, bad_maps[_i].message) != NULL, "%s", text);
    ck_assert_mem_eq(value_of(&t, "a.weight"), value_of(&fresh, "a.weight"), 72 * sizeof(real));
    close_training(&t);
    close_training(&fresh);
}
END_TEST

/* The longest beginning counts, a whole name before all of them. */
START_TEST(the_nearest_name_of_the_map_counts) {
    struct training t;
    open_training(&t, "{module.: '', module.stem.: none., module.stem.conv.weight: a.weight, module.stem.norm.: b., "
                      "module.head.: c.}");
    ck_assert(!start_from(&t, GOLDEN "half.safetensors.gz", NULL));
    ck_assert_ptr_nonnull(strstr(err.text, "\"module.stem.\" renames nothing"));
    ck_assert_ptr_nonnull(strstr(err.text, "\"module.phase\" becomes \"phase\", which the network has not"));
    close_training(&t);
}
END_TEST

/* The empty beginning stands before every name. */
START_TEST(an_empty_name_is_the_beginning_of_all) {
    struct training t;
    open_training(&t, "{'': other.}");
    ck_assert(!start_from(&t, GOLDEN "weights.safetensors", NULL));
    ck_assert_ptr_nonnull(strstr(err.text, "becomes \"other."));
    close_training(&t);
}
END_TEST

static const struct {
    const char *map, *message;
} bad_pairs[] = {
    {"{a.: b}", "a.yaml: train.init_map: \"a.\" is the beginning of names, up to a \".\"; \"b\" is not\n"},
    {"{a: b.}", "a.yaml: train.init_map: \"a\" is a whole name; \"b.\" is not\n"},
    {"{a: ''}", "a.yaml: train.init_map: \"a\" is a whole name; \"\" is not\n"},
    {"{'': b}", "a.yaml: train.init_map: \"\" is the beginning of names, up to a \".\"; \"b\" is not\n"},
    {"[a, b]", "a.yaml: train.init_map: found a list; expected a map of texts to texts\n"},
    {"{a.: [b.]}", "a.yaml: train.init_map.a.: found a list; expected text\n"},
    {"{a.: b., a.: c.}", "a.yaml: train.init_map.a.: this key was given before; keep one of the two\n"},
};

START_TEST(maps_that_mean_nothing_are_mistakes_of_the_spec) {
    struct experiment experiment;
    const char *set = arena_printf(&arena, "train.init_map=%s", bad_pairs[_i].map);
    ck_assert(!experiment_parse(&experiment, "a.yaml", SPEC, (const char *const[]){set}, 1, &diags));
    ck_assert_str_eq(diags.text.data,
                     arena_printf(&arena, "--set %s%s", set, bad_pairs[_i].message + strlen("a.yaml")));
    experiment_free(&experiment);
}
END_TEST

/* --- The network's own tensors ----------------------------------------------------------------------------------- */

/* A tensor of the type "I32", in the place of the network's c.bias; and a counter of it, which is good. */
START_TEST(integers_are_counters_and_no_weights) {
    struct training t;
    open_training(&t, "{module.stem.conv.: a., module.stem.norm.: b., module.head.: c., "
                      "module.position_ids: c.bias}");
    ck_assert(!start_from(&t, GOLDEN "half.safetensors.gz", NULL));
    ck_assert_ptr_nonnull(strstr(err.text, "would be \"c.bias\""));
    close_training(&t);
    open_training(&t, "{module.stem.conv.: a., module.stem.norm.: b., module.head.weight: c.weight, "
                      "module.scale: c.bias}");
    ck_assert(!start_from(&t, GOLDEN "half.safetensors.gz", NULL));
    ck_assert_ptr_nonnull(strstr(err.text, "\n  tensor \"module.scale\", the network's \"c.bias\", has shape [2], the "
                                           "network's has [3]"));
    close_training(&t);
    open_training(&t, "{module.stem.conv.: a., module.stem.norm.: b., module.head.weight: c.weight, "
                      "module.mask: c.bias}");
    ck_assert(!start_from(&t, GOLDEN "half.safetensors.gz", NULL));
    ck_assert_ptr_nonnull(strstr(err.text, "\n  tensor \"module.mask\", the network's \"c.bias\", has the dtype BOOL; "
                                           "F64, F32, F16 and BF16 can be read"));
    close_training(&t);
}
END_TEST

START_TEST(what_is_missing_is_an_error_with_what_is_left) {
    struct training t;
    open_training(&t, "{module.stem.conv.: a., module.stem.norm.: b.}");
    ck_assert(!start_from(&t, GOLDEN "half.safetensors.gz", NULL));
    ck_assert_ptr_nonnull(strstr(err.text, "\n  has no tensor \"c.weight\", which the network needs\n"));
    ck_assert_ptr_nonnull(strstr(err.text, "\n  has a tensor \"module.head.weight\", which the network has not\n"));
    ck_assert_ptr_null(strstr(err.text, "num_batches_tracked"));
    ck_assert_ptr_nonnull(strstr(err.text, "train.init_map"));
    close_training(&t);
}
END_TEST

/* --- Through the program ----------------------------------------------------------------------------------------- */

/* The file, PyTorch's counter and all, into the program and out again as a checkpoint. */
START_TEST(the_program_says_what_was_left_and_resumes) {
    struct tensor_file to;
    disk_write_text("torch.yaml", SPEC);
    const char *options = arena_printf(
        &arena, "torch.yaml --set 'train.init_map=" MAP "' --set train.init_from=%s/" GOLDEN "half.safetensors.gz",
        home);
    run(0, "train %s", options);
    expect_output("run: runs/torch\nweights: left in the file, since the network has no such tensors:\n"
                  "  \"module.phase\" C64 [1]\n");
    ck_assert_ptr_nonnull(strstr(read_text("runs/torch/run.log"), "  \"module.mask\" BOOL [3]\n"));
    ck_assert_ptr_nonnull(strstr(read_text("runs/torch/spec.yaml"), "  init_map:\n    module.stem.conv.: a.\n"));
    read_tensors(&to, checkpoint("runs/torch", 1));
    ck_assert_double_eq((double)*tensor_file_find(&to, "b.num_batches_tracked")->data, 1e7 + 1);
    ck_assert_int_eq(tensor_file_find(&to, "b.num_batches_tracked")->dims, 1);
    tensor_file_free(&to);
    run(0, "train runs/torch/spec.yaml --resume --set train.iterations=2 --set train.init_map={}");
    ck_assert_ptr_null(strstr(output, "left in the file"));
    run(1, "train %s --set 'train.init_map={module.heads.: c.}' --run-dir second", options);
    expect_error("no tensor's name begins with \"module.heads.\"; did you mean \"module.head.\"?");
    ck_assert(!disk_exists("second"));
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("init_from");
    TCase *torch = suite_group(suite, "torch", 60, NULL, specs_tear_down);
    tcase_add_test(torch, a_state_dict_gives_pytorchs_scores);
    tcase_add_test(torch, other_names_and_half_precision_give_pytorchs_scores);
    tcase_add_test(torch, without_a_counter_running_averages_are_kept);
    tcase_add_test(torch, a_layer_that_is_drawn_takes_nothing);
    tcase_add_loop_test(torch, a_map_that_does_not_fit_is_refused, 0, COUNT(bad_maps));
    tcase_add_test(torch, the_nearest_name_of_the_map_counts);
    tcase_add_test(torch, an_empty_name_is_the_beginning_of_all);
    tcase_add_loop_test(torch, maps_that_mean_nothing_are_mistakes_of_the_spec, 0, COUNT(bad_pairs));
    tcase_add_test(torch, integers_are_counters_and_no_weights);
    tcase_add_test(torch, what_is_missing_is_an_error_with_what_is_left);
    TCase *program = suite_group(suite, "program", 60, program_set_up, program_tear_down);
    tcase_add_test(program, the_program_says_what_was_left_and_resumes);
    return suite;
}
