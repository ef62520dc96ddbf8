/* Checkpoints: what is saved comes back, to its place and without a copy on the way; what does not fit is told. */
#include "run/checkpoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/init_from.h"
#include "runner.h"
#include "support/disk.h"
#include "support/tensor_file.h"

#define COMMON                                                                                                         \
    "name: test\n"                                                                                                     \
    "data: {type: synthetic, height: 8, width: 8, channels: 3, classes: 3, train_images: 8}\n"                         \
    "optimizer: {type: adam}\n"                                                                                        \
    "train: {iterations: 1, batch_size: 2, threads: 1}\n"

static const char small[] = COMMON "network: {layers: [{type: conv, name: a, filters: 5, padding: 1}, "
                                   "{type: batch_norm, name: b}, relu, {type: dense, name: c, units: 3}]}\n";
static const char wider[] = COMMON "network: {layers: [{type: conv, name: a, filters: 6, padding: 1}, "
                                   "{type: batch_norm, name: b}, relu, {type: dense, name: c, units: 3}]}\n";
static const char large[] = COMMON "network: {layers: [{type: dense, name: a, units: 16384}, relu, "
                                   "{type: dense, name: b, units: 3}]}\n";
static const char deep[] = COMMON "network: {type: resnet, depth: 56, widths: [1, 1, 1]}\n";

struct training {
    struct experiment experiment;
    struct trainer trainer;
};

static char folder[64], path[PATH_BYTES];
static struct error err;

static void make_folder(void) {
    strcpy(folder, "/tmp/test_checkpoint.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.safetensors.gz", folder);
}

static void remove_folder(void) {
    disk_remove(folder);
}

static void open_training(struct training *t, const char *spec, int seed) {
    struct diagnostics diags = {0};
    char set[32];
    const char *overrides[] = {set};
    snprintf(set, sizeof set, "seed=%d", seed);
    ck_assert_msg(experiment_parse(&t->experiment, "test.yaml", spec, overrides, 1, &diags), "%s", diags.text.data);
    ck_assert_msg(trainer_open(&t->trainer, &t->experiment, &err), "%s", err.text);
}

static void close_training(struct training *t) {
    trainer_close(&t->trainer);
    experiment_free(&t->experiment);
}

/* Gives the optimizer a state of its own. */
static void fill_slots(struct trainer *trainer) {
    for (int s = 0; s < trainer->optimizer->slots; s++)
        for (int i = 0; i < trainer->model.tensor_count; i++) {
            const struct tensor *tensor = trainer->model.tensors[i];
            for (size_t j = 0; tensor->trained && j < tensor->count; j++)
                trainer->slots[s][tensor->offset + j] = (real)(100 * i + s) + (real)j / (real)tensor->count;
        }
}

static void save(const struct training *t) {
    ck_assert_msg(checkpoint_save(path, &t->trainer, &t->experiment.shape, (struct best_test){.iteration = -1}, &err),
                  "%s", err.text);
}

static void open_file(struct safetensors *file) {
    ck_assert_msg(safetensors_open(file, path, &err), "%s", err.text);
}

static void expect_same_tensors(const struct trainer *a, const struct trainer *b, bool optimizer) {
    for (int i = 0; i < a->model.tensor_count; i++) {
        const struct tensor *tensor = a->model.tensors[i];
        ck_assert_mem_eq(tensor->value, b->model.tensors[i]->value, tensor->count * sizeof(real));
        for (int s = 0; optimizer && tensor->trained && s < a->optimizer->slots; s++)
            ck_assert_mem_eq(a->slots[s] + tensor->offset, b->slots[s] + tensor->offset, tensor->count * sizeof(real));
    }
}

/* --- There and back ---------------------------------------------------------------------------------------------- */

START_TEST(weights_and_optimizer_come_back) {
    struct training from, to;
    struct safetensors file;
    struct best_test best;
    int64_t iteration;
    open_training(&from, small, 1);
    open_training(&to, small, 2);
    fill_slots(&from.trainer);
    from.trainer.iteration = 12;
    ck_assert(
        checkpoint_save(path, &from.trainer, &from.experiment.shape, (struct best_test){7, 0.625, 0.625, 0}, &err));
    open_file(&file);
    ck_assert(checkpoint_progress(&file, path, &iteration, &best, &err));
    ck_assert_int_eq(iteration, 12);
    ck_assert_int_eq(best.iteration, 7);
    ck_assert_double_eq(best.accuracy, 0.625);
    ck_assert_msg(checkpoint_load(&file, path, &to.trainer, &err), "%s", err.text);
    expect_same_tensors(&from.trainer, &to.trainer, true);
    safetensors_close(&file);
    close_training(&from);
    close_training(&to);
}
END_TEST

/* Filters are [out][height][width][in] in memory and [out][in][height][width] in the file. */
START_TEST(filters_are_stored_as_others_expect) {
    struct training t;
    struct tensor_file file;
    open_training(&t, small, 1);
    save(&t);
    ck_assert(tensor_file_read(&file, path, &err));
    const struct stored_tensor *stored = tensor_file_find(&file, "a.weight");
    const real *memory = t.trainer.model.tensors[0]->value, *next = stored->data;
    ck_assert_str_eq(t.trainer.model.tensors[0]->name, "a.weight");
    for (int out = 0; out < 5; out++)
        for (int in = 0; in < 3; in++)
            for (int position = 0; position < 9; position++)
                ck_assert(*next++ == memory[(out * 9 + position) * 3 + in]);
    tensor_file_free(&file);
    close_training(&t);
}
END_TEST

START_TEST(a_tensor_is_stored_the_same_in_pieces_of_any_size) {
    enum { FILTERS = 3, KERNEL = 4, INPUTS = 5, COUNT = FILTERS * KERNEL * INPUTS };
    const struct tensor tensor = {.filters = FILTERS, .kernel = KERNEL, .inputs = INPUTS, .count = COUNT};
    real memory[COUNT], whole[COUNT], piece[COUNT], back[COUNT];
    for (int i = 0; i < COUNT; i++)
        memory[i] = (real)i;
    tensor_to_stored(whole, &tensor, memory, 0, COUNT);
    for (size_t first = 0; first < COUNT; first++)
        for (size_t count = 0; first + count <= COUNT; count++) {
            tensor_to_stored(piece, &tensor, memory, first, count);
            ck_assert(!memcmp(piece, whole + first, count * sizeof *piece));
            memcpy(back, memory, sizeof back);
            for (size_t i = 0; i < count; i++)
                piece[i] += 1000;
            tensor_from_stored(back, &tensor, piece, first, count);
            tensor_to_stored(piece, &tensor, back, 0, COUNT);
            for (size_t i = 0; i < COUNT; i++)
                ck_assert(piece[i] == whole[i] + (i >= first && i < first + count ? 1000 : 0));
        }
}
END_TEST

/* --- Memory ------------------------------------------------------------------------------------------------------ */

static long peak_kilobytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Of 50 MB of weights and optimizer state, neither saving nor loading makes a copy, not even of one tensor. */
START_TEST(saving_and_loading_take_no_memory) {
    enum { MOST_KILOBYTES = 4096 };
    struct training t;
    struct safetensors file;
    open_training(&t, large, 1);
    fill_slots(&t.trainer);
    ck_assert_uint_gt(t.trainer.trained * sizeof(real) / 1024, 2 * MOST_KILOBYTES);
    long before = peak_kilobytes();
    save(&t);
    ck_assert_int_lt(peak_kilobytes() - before, MOST_KILOBYTES);
    open_file(&file);
    ck_assert(checkpoint_load(&file, path, &t.trainer, &err));
    ck_assert_int_lt(peak_kilobytes() - before, MOST_KILOBYTES);
    safetensors_close(&file);
    close_training(&t);
}
END_TEST

/* --- What cannot be loaded --------------------------------------------------------------------------------------- */

static const struct text_map no_names;
static const struct init_request no_wishes = {&no_names, NULL};
static struct init_notes notes;

/* All but counters, which may be missing. */
static int needed_tensors(const struct model *model) {
    int needed = 0;
    for (int i = 0; i < model->tensor_count; i++)
        needed += model->tensors[i]->role != ROLE_COUNTER;
    return needed;
}

START_TEST(another_network_changes_nothing) {
    struct training from, to, same;
    struct safetensors file;
    open_training(&from, wider, 1);
    open_training(&to, small, 2);
    open_training(&same, small, 2);
    save(&from);
    open_file(&file);
    ck_assert(!checkpoint_load(&file, path, &to.trainer, &err));
    ck_assert_int_eq(err.code, ERROR_OTHER);
    ck_assert_ptr_nonnull(strstr(err.text, ": tensor \"a.weight\" has shape [6, 3, 3, 3], the network's has [5, 3"));
    ck_assert(!init_from_file(&file, path, &no_wishes, &to.trainer.model, &notes, &err));
    expect_same_tensors(&to.trainer, &same.trainer, true);
    safetensors_close(&file);
    close_training(&from);
    close_training(&to);
    close_training(&same);
}
END_TEST

/* "net.first.weight" is no tensor of layer "net". */
START_TEST(only_the_drawn_layer_is_drawn) {
    static const char dotted[] = COMMON "network: {layers: [{type: conv, name: net.first, filters: 5}, "
                                        "{type: dense, name: net, units: 3}]}\n";
    struct training from, to;
    struct safetensors file;
    open_training(&from, dotted, 1);
    open_training(&to, dotted, 2);
    save(&from);
    open_file(&file);
    ck_assert_msg(
        init_from_file(&file, path, &(struct init_request){&no_names, "net"}, &to.trainer.model, &notes, &err), "%s",
        err.text);
    for (int i = 0; i < to.trainer.model.tensor_count; i++) {
        const struct tensor *a = from.trainer.model.tensors[i], *b = to.trainer.model.tensors[i];
        bool same = !memcmp(a->value, b->value, a->count * sizeof *a->value);
        if (!strcmp(a->name, "net.first.weight") || !strcmp(a->name, "net.weight"))
            ck_assert_msg(same == !strcmp(a->name, "net.first.weight"), "%s", a->name);
    }
    safetensors_close(&file);
    close_training(&from);
    close_training(&to);
}
END_TEST

START_TEST(a_long_list_of_differences_says_how_many_are_missing) {
    struct training from, to;
    struct safetensors file;
    int shown = 0, more;
    open_training(&from, small, 1);
    open_training(&to, deep, 1);
    save(&from);
    open_file(&file);
    int differences = needed_tensors(&to.trainer.model) + from.trainer.model.tensor_count;
    ck_assert(!init_from_file(&file, path, &no_wishes, &to.trainer.model, &notes, &err));
    for (const char *line = err.text; (line = strstr(line, "\n  has ")); line++)
        shown++;
    const char *end = strstr(err.text, "\n  and ");
    ck_assert_msg(end && sscanf(end, "\n  and %d more", &more) == 1, "%s", err.text);
    ck_assert_int_gt(shown, 20);
    ck_assert_int_eq(shown + more, differences);
    ck_assert_ptr_null(strchr(end + 1, '\n'));
    safetensors_close(&file);
    close_training(&from);
    close_training(&to);
}
END_TEST

/* The file is cut while it is open. */
START_TEST(a_file_that_shrinks_is_not_loaded) {
    struct training t;
    struct safetensors file;
    struct stat status;
    open_training(&t, small, 1);
    save(&t);
    open_file(&file);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(truncate(path, status.st_size / 2), 0);
    ck_assert(!checkpoint_load(&file, path, &t.trainer, &err));
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
    ck_assert(!checkpoint_load(&file, path, &t.trainer, &err));
    safetensors_close(&file);
    close_training(&t);
}
END_TEST

/* --- Which file -------------------------------------------------------------------------------------------------- */

static const char advice[] = "\n  give the path of an older checkpoint of the run, if it has kept one";

/* Only where the user named the folder, and only of damage. */
START_TEST(advice_follows_the_kind_of_error) {
    struct training t;
    struct safetensors file;
    char found[PATH_BYTES];
    open_training(&t, small, 1);
    snprintf(path, sizeof path, "%s/checkpoints", folder);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/checkpoints/iteration-00000001.safetensors.gz", folder);
    save(&t);
    ck_assert(checkpoint_open(folder, found, &file, &err));
    ck_assert_str_eq(found, path);
    safetensors_close(&file);
    ck_assert_int_eq(truncate(path, 300), 0);
    ck_assert(!checkpoint_open(folder, found, &file, &err));
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
    ck_assert_ptr_nonnull(strstr(err.text, advice));
    ck_assert(!checkpoint_open(path, found, &file, &err));
    ck_assert_int_eq(err.code, ERROR_DAMAGED);
    ck_assert_ptr_null(strstr(err.text, advice));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    ck_assert(!checkpoint_open(folder, found, &file, &err));
    ck_assert_int_eq(err.code, ERROR_OTHER);
    ck_assert_ptr_null(strstr(err.text, advice));
    close_training(&t);
}
END_TEST

/* The number of the standard input, where that is closed. */
START_TEST(descriptor_zero_is_a_lock_like_any_other) {
    struct run_dir dir = {.lock = -1};
    close(STDIN_FILENO);
    ck_assert_msg(run_dir_open(&dir, folder, RUN_NEW, &err), "%s", err.text);
    ck_assert_int_eq(dir.lock, STDIN_FILENO);
    run_dir_close(&dir);
    ck_assert_int_eq(fcntl(STDIN_FILENO, F_GETFD), -1);
    run_dir_close(&dir);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("checkpoint");
    TCase *group = tcase_create("checkpoints");
    tcase_set_timeout(group, 60);
    tcase_add_checked_fixture(group, make_folder, remove_folder);
    tcase_add_test(group, weights_and_optimizer_come_back);
    tcase_add_test(group, filters_are_stored_as_others_expect);
    tcase_add_test(group, a_tensor_is_stored_the_same_in_pieces_of_any_size);
    tcase_add_test(group, saving_and_loading_take_no_memory);
    tcase_add_test(group, another_network_changes_nothing);
    tcase_add_test(group, only_the_drawn_layer_is_drawn);
    tcase_add_test(group, a_long_list_of_differences_says_how_many_are_missing);
    tcase_add_test(group, a_file_that_shrinks_is_not_loaded);
    tcase_add_test(group, advice_follows_the_kind_of_error);
    tcase_add_test(group, descriptor_zero_is_a_lock_like_any_other);
    suite_add_tcase(suite, group);
    return suite;
}
