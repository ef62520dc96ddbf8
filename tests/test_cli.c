/* The real program, run on tiny synthetic datasets in a folder of its own. SPHERENET names the program. */

#define _GNU_SOURCE /* vasprintf, memmem */
#include "runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "machine/cpu.h"
#include "machine/openblas.h"
#include "support/disk.h"
#include "support/tensor_file.h"

static char home[PATH_MAX];
static char folder[64];
static struct arena arena;
static char *output, *errors, *warnings; /* of the last run; warnings are lines of standard error as errors are */

/* Every layer that keeps state, so that a resumed run has something to lose. */
static const char *const tiny_spec =
    "name: tiny\n"
    "data:\n"
    "  type: synthetic\n"
    "  height: 8\n"
    "  width: 8\n"
    "  classes: 4\n"
    "  train_images: 64\n"
    "  test_images: 29\n" /* odd, so that what is right and what is wrong differ in number */
    "  flip: true\n"
    "  crop_padding: 1\n"
    "network:\n"
    "  layers:\n"
    "    - type: sphere_conv\n"
    "      name: first\n"
    "      filters: 6\n"
    "      padding: 1\n"
    "      operator: {angular: learnable_sigmoid}\n"
    "    - batch_norm\n"
    "    - {type: max_pool}\n"
    "    - {type: dense, name: score, units: 4}\n"
    "optimizer: {type: adam, learning_rate: 1e-2}\n"
    "loss: {type: softmax}\n"
    "schedule: {type: cosine, warmup: 5}\n"
    "train:\n"
    "  iterations: 24\n"
    "  batch_size: 16\n"
    "  eval_every: 6\n"
    "  checkpoint_every: 8\n"
    "  log_every: 1\n"
    "  threads: 1\n";

/* --- Files ------------------------------------------------------------------------------------------------------- */

static char *read_text(const char *path) {
    char *text = disk_read(path, NULL);
    ck_assert_msg(text != NULL, "%s cannot be opened", path);
    char *copy = arena_string(&arena, text);
    free(text);
    return copy;
}

static void enter_folder(void) {
    const char *program = getenv("SPHERENET");
    char *absolute = realpath(program ? program : "build/release/spherenet", NULL);
    ck_assert_msg(absolute != NULL, "no program to test; SPHERENET names it");
    ck_assert_int_eq(setenv("SPHERENET", absolute, 1), 0);
    ck_assert_int_eq(unsetenv(BLAS_CORE_VARIABLE), 0);
    free(absolute);
    ck_assert_ptr_nonnull(getcwd(home, sizeof home));
    strcpy(folder, "/tmp/spherenet-test-cli-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    disk_write_text("spec.yaml", tiny_spec);
}

static void leave_folder(void) {
    ck_assert_int_eq(chdir(home), 0);
    disk_remove(folder);
    arena_free(&arena);
}

/* --- Running ----------------------------------------------------------------------------------------------------- */

static char *__attribute__((format(printf, 1, 0))) format_text(const char *format, va_list args) {
    char *text;
    ck_assert_int_ge(vasprintf(&text, format, args), 0);
    char *copy = arena_string(&arena, text);
    free(text);
    return copy;
}

static int shell(const char *command) {
    int status = system(command);
    ck_assert_msg(status >= 0 && WIFEXITED(status), "killed: %s", command);
    return WEXITSTATUS(status);
}

/* The lines of the file that begin as warnings do, or those that do not. Some machines deserve a warning. */
static char *lines_that(bool warn, const char *path) {
    struct text lines = {0};
    text_add(&lines, "", 0);
    for (const char *line = read_text(path); *line;) {
        size_t length = strcspn(line, "\n");
        length += line[length] == '\n';
        if (warn == !strncmp(line, "spherenet: warning: ", 20))
            text_add(&lines, line, length);
        line += length;
    }
    char *copy = arena_string(&arena, lines.data);
    text_free(&lines);
    return copy;
}

/* Runs the program with the arguments as a shell takes them, redirections too, and expects that exit status. */
static void __attribute__((format(printf, 2, 3))) run(int expected_status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *arguments = format_text(format, args);
    va_end(args);
    int status = shell(arena_printf(&arena, ">output.txt 2>errors.txt \"$SPHERENET\" %s", arguments));
    output = read_text("output.txt");
    errors = lines_that(false, "errors.txt");
    warnings = lines_that(true, "errors.txt");
    ck_assert_msg(status == expected_status, "spherenet %s: exit status %d instead of %d\n%s", arguments, status,
                  expected_status, errors);
}

static void expect_error(const char *part) {
    ck_assert_msg(strstr(errors, part) != NULL, "\"%s\" is not in the message \"%s\"", part, errors);
}

static void expect_output(const char *part) {
    ck_assert_msg(strstr(output, part) != NULL, "\"%s\" is not in the output \"%s\"", part, output);
}

/* --- Comparing runs ---------------------------------------------------------------------------------------------- */

/* A table without its columns of time, which are the last. */
static char *without_times(const char *path) {
    struct text kept = {0};
    char *table = read_text(path), *place;
    int times = strstr(table, "images_per_second") ? 2 : 1;
    for (char *line = strtok_r(table, "\n", &place); line; line = strtok_r(NULL, "\n", &place)) {
        for (int i = 0; i < times; i++) {
            char *comma = strrchr(line, ',');
            ck_assert_msg(comma != NULL, "%s: too few columns in \"%s\"", path, line);
            *comma = '\0';
        }
        text_printf(&kept, "%s\n", line);
    }
    char *copy = arena_string(&arena, kept.data);
    text_free(&kept);
    return copy;
}

static void read_tensors(struct tensor_file *file, const char *path) {
    struct error err;
    ck_assert_msg(tensor_file_read(file, path, &err), "%s", err.text);
}

static size_t tensor_bytes(const struct stored_tensor *tensor) {
    size_t count = 1;
    for (int d = 0; d < tensor->dims; d++)
        count *= (size_t)tensor->shape[d];
    return count * sizeof(real);
}

static bool equal_tensors(const char *path, const char *other_path) {
    struct tensor_file file, other;
    read_tensors(&file, path);
    read_tensors(&other, other_path);
    bool equal = file.tensor_count > 0 && file.tensor_count == other.tensor_count;
    for (int i = 0; equal && i < file.tensor_count; i++) {
        const struct stored_tensor *a = &file.tensors[i], *b = &other.tensors[i];
        equal = !strcmp(a->name, b->name) && a->dims == b->dims &&
                !memcmp(a->shape, b->shape, (size_t)a->dims * sizeof *a->shape) &&
                !memcmp(a->data, b->data, tensor_bytes(a));
    }
    tensor_file_free(&file);
    tensor_file_free(&other);
    return equal;
}

static char *in_run(const char *run_dir, const char *name) {
    return arena_printf(&arena, "%s/%s", run_dir, name);
}

static char *checkpoint(const char *run_dir, int iteration) {
    return arena_printf(&arena, "%s/checkpoints/iteration-%08d.safetensors.gz", run_dir, iteration);
}

static bool equal_files(const char *path, const char *other) {
    return shell(arena_printf(&arena, "cmp -s '%s' '%s'", path, other)) == 0;
}

/* Check cannot print long texts; this names the first line that differs. */
static void expect_same_lines(const char *text, const char *other, const char *what) {
    size_t same = 0, line = 0;
    for (; text[same] && text[same] == other[same]; same++)
        line = text[same] == '\n' ? same + 1 : line;
    ck_assert_msg(text[same] == other[same], "%s: \"%.*s\" differs from \"%.*s\"", what,
                  (int)strcspn(text + line, "\n"), text + line, (int)strcspn(other + line, "\n"), other + line);
}

/* Both runs have the same curves, and latest and best are the same files. */
static void expect_same_runs(const char *run_dir, const char *other) {
    static const char *const tables[] = {"train.csv", "eval.csv"};
    static const char *const links[] = {"checkpoints/latest.safetensors.gz", "checkpoints/best.safetensors.gz"};
    for (int i = 0; i < 2; i++)
        expect_same_lines(without_times(in_run(run_dir, tables[i])), without_times(in_run(other, tables[i])),
                          tables[i]);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(equal_files(in_run(run_dir, links[i]), in_run(other, links[i])), "%s differs in %s and %s",
                      links[i], run_dir, other);
}

/* --- Training ---------------------------------------------------------------------------------------------------- */

START_TEST(a_run_leaves_what_was_promised) {
    run(0, "train spec.yaml");
    static const char *const files[] = {
        "spec.yaml", "train.csv", "eval.csv", "run.log", "checkpoints/iteration-00000024.safetensors.gz",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        ck_assert_msg(disk_exists(in_run("runs/tiny", files[i])), "%s is missing", files[i]);
    ck_assert_str_eq(errors, "");
    expect_output("done: best test accuracy ");
    ck_assert(equal_files("runs/tiny/checkpoints/latest.safetensors.gz", checkpoint("runs/tiny", 24)));
}
END_TEST

START_TEST(quiet_says_nothing) {
    run(0, "train --quiet spec.yaml");
    ck_assert_str_eq(output, "");
    ck_assert_str_eq(errors, "");
}
END_TEST

/* One row of a table: as many columns as the header, each filled. */
static void check_row(const char *row, int columns, const char *path) {
    int found = 1;
    for (const char *c = row; *c; c++)
        found += *c == ',';
    ck_assert_msg(found == columns && !strstr(row, ",,") && row[strlen(row) - 1] != ',', "%s: \"%s\"", path, row);
}

/* The iterations are first, first + step, ... last; returns the number of rows. */
static int check_table(const char *path, const char *header, int columns, int first, int step, int last) {
    char *table = read_text(path), *place;
    ck_assert_int_eq(table[strlen(table) - 1], '\n');
    char *line = strtok_r(table, "\n", &place);
    ck_assert_str_eq(line, header);
    check_row(line, columns, path);
    int expected = first, rows = 0;
    while ((line = strtok_r(NULL, "\n", &place))) {
        check_row(line, columns, path);
        ck_assert_int_eq(atoi(line), expected);
        expected += step;
        rows++;
    }
    ck_assert_int_eq(expected, last + step);
    return rows;
}

static const char *const train_header =
    "iteration,epoch,learning_rate,loss,fit,weight_decay,orthogonality,accuracy,lambda,gradient_norm,"
    "images_per_second,"
    "seconds";
static const char *const eval_header = "iteration,epoch,split,loss,accuracy,seconds";

START_TEST(tables_have_a_header_and_whole_rows) {
    run(0, "train spec.yaml");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 1, 1, 24), 24);
    ck_assert_int_eq(check_table("runs/tiny/eval.csv", eval_header, 6, 6, 6, 24), 4);
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/train.csv"), "\n6,1.5000,"));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/eval.csv"), "\n24,6.0000,test,"));
    run(0, "train spec.yaml --run-dir sparse --set train.log_every=10 --set train.eval_every=0");
    ck_assert_ptr_nonnull(strstr(read_text("sparse/train.csv"), "\n10,"));
    ck_assert_ptr_nonnull(strstr(read_text("sparse/train.csv"), "\n24,"));
    ck_assert_int_eq(check_table("sparse/eval.csv", eval_header, 6, 24, 1, 24), 1);
}
END_TEST

/* The iteration of the first row of eval.csv that has the largest accuracy. */
static int best_iteration(const char *run_dir) {
    char *table = read_text(in_run(run_dir, "eval.csv")), *place;
    int best = -1;
    double most = -1;
    strtok_r(table, "\n", &place); /* the header */
    for (char *line; (line = strtok_r(NULL, "\n", &place));) {
        int iteration;
        double accuracy;
        ck_assert_int_eq(sscanf(line, "%d,%*[^,],test,%*[^,],%lf,", &iteration, &accuracy), 2);
        if (accuracy > most) {
            most = accuracy;
            best = iteration;
        }
    }
    return best;
}

static void expect_link(const char *run_dir, const char *name, int iteration) {
    char target[PATH_MAX] = "", *link = arena_printf(&arena, "%s/checkpoints/%s.safetensors.gz", run_dir, name);
    ck_assert_msg(readlink(link, target, sizeof target - 1) > 0, "%s is no link", link);
    ck_assert_str_eq(target, arena_printf(&arena, "iteration-%08d.safetensors.gz", iteration));
    ck_assert_msg(access(link, R_OK) == 0, "%s leads nowhere", link);
}

START_TEST(best_and_latest_are_links) {
    run(0, "train spec.yaml --set train.eval_every=1 --set optimizer.learning_rate=0.1");
    expect_link("runs/tiny", "latest", 24);
    expect_link("runs/tiny", "best", best_iteration("runs/tiny"));
}
END_TEST

static int count_checkpoints(const char *run_dir) {
    int count = 0;
    DIR *checkpoints = opendir(in_run(run_dir, "checkpoints"));
    ck_assert_ptr_nonnull(checkpoints);
    for (struct dirent *entry; (entry = readdir(checkpoints));)
        count += !strncmp(entry->d_name, "iteration-", 10);
    closedir(checkpoints);
    return count;
}

START_TEST(keep_bounds_the_checkpoints) {
    const char *often = "--set train.checkpoint_every=2 --set train.eval_every=0";
    run(0, "train spec.yaml --run-dir all %s --set train.keep=0", often);
    ck_assert_int_eq(count_checkpoints("all"), 12);
    ck_assert(disk_exists(checkpoint("all", 2)));
    run(0, "train spec.yaml --run-dir two %s --set train.keep=2", often);
    ck_assert_int_eq(count_checkpoints("two"), 2);
    ck_assert(disk_exists(checkpoint("two", 22)) && disk_exists(checkpoint("two", 24)));
    run(0, "train spec.yaml --run-dir ends %s --set train.checkpoint_every=0 --set train.keep=0", often);
    ck_assert_int_eq(count_checkpoints("ends"), 1);
}
END_TEST

START_TEST(the_best_checkpoint_outlives_the_bound) {
    run(0, "train spec.yaml --set train.eval_every=1 --set train.checkpoint_every=1 --set train.keep=1 "
           "--set 'optimizer={type: sgd, learning_rate: 0.3}'");
    int best = best_iteration("runs/tiny");
    ck_assert_int_lt(best, 24);
    ck_assert_int_eq(count_checkpoints("runs/tiny"), 2);
    expect_link("runs/tiny", "best", best);
    expect_link("runs/tiny", "latest", 24);
}
END_TEST

START_TEST(same_spec_and_seed_same_files) {
    run(0, "train spec.yaml --run-dir a --set train.keep=0");
    run(0, "train spec.yaml --run-dir b --set train.keep=0");
    expect_same_runs("a", "b");
    for (int iteration = 8; iteration <= 24; iteration += 8)
        ck_assert(equal_files(checkpoint("a", iteration), checkpoint("b", iteration)));
    run(0, "train spec.yaml --run-dir c --set train.keep=0 --set seed=2");
    ck_assert(!equal_tensors(checkpoint("a", 8), checkpoint("c", 8)));
    ck_assert_str_ne(without_times("a/train.csv"), without_times("c/train.csv"));
}
END_TEST

START_TEST(threads_do_not_matter) {
    run(0, "train spec.yaml --run-dir one");
    run(0, "train spec.yaml --run-dir three --set train.threads=3");
    expect_same_lines(without_times("one/train.csv"), without_times("three/train.csv"), "train.csv");
    ck_assert(equal_tensors(checkpoint("one", 24), checkpoint("three", 24)));
}
END_TEST

START_TEST(the_stored_spec_reproduces_the_run) {
    run(0, "train spec.yaml --set seed=7 --set network.layers[0].operator.angular=linear --run-dir a");
    run(0, "train a/spec.yaml --run-dir b");
    expect_same_runs("a", "b");
    ck_assert(equal_files("a/spec.yaml", "b/spec.yaml"));
}
END_TEST

static void expect_finite(const char *path) {
    struct tensor_file file;
    read_tensors(&file, path);
    for (int i = 0; i < file.tensor_count; i++)
        for (size_t j = 0; j < tensor_bytes(&file.tensors[i]) / sizeof(real); j++)
            ck_assert_msg(isfinite(file.tensors[i].data[j]), "%s", file.tensors[i].name);
    tensor_file_free(&file);
}

static const char *const angulars[] = {"cosine", "linear", "sigmoid", "learnable_sigmoid"};
static const char *const magnitudes[] = {"product", "sphere", "linear"};

START_TEST(every_operator_trains) {
    const char *angular = angulars[_i % 4], *magnitude = magnitudes[_i / 4];
    run(0, "train spec.yaml --set network.layers[0].operator.angular=%s --set network.layers[0].operator.magnitude=%s",
        angular, magnitude);
    expect_finite(checkpoint("runs/tiny", 24));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/spec.yaml"), arena_printf(&arena, "angular: %s,", angular)));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/spec.yaml"), arena_printf(&arena, "magnitude: %s,", magnitude)));
}
END_TEST

/* The last layer without a bias, as an angular loss asks for. */
#define ANGULAR "--set network.layers[3].bias=false"

static const char *const losses[] = {"softmax", "w_softmax", "a_softmax", "ga_softmax", "cosface", "arcface"};

START_TEST(every_loss_trains) {
    run(0, "train spec.yaml " ANGULAR " --set loss.type=%s", losses[_i]);
    expect_finite(checkpoint("runs/tiny", 24));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/spec.yaml"), arena_printf(&arena, "type: %s\n", losses[_i])));
}
END_TEST

/* The column of train.csv with that number, from 0, of the row of an iteration. */
static double train_value(const char *run_dir, int iteration, int column) {
    const char *at = strstr(read_text(in_run(run_dir, "train.csv")), arena_printf(&arena, "\n%d,", iteration));
    ck_assert_ptr_nonnull(at);
    for (int i = 0; i < column; i++)
        at = strchr(at, ',') + 1;
    return strtod(at + (column == 0), NULL);
}

enum { ACCURACY_COLUMN = 7, LAMBDA_COLUMN = 8 };

START_TEST(lambda_falls_to_its_minimum) {
    run(0, "train spec.yaml " ANGULAR " --set loss.type=a_softmax --set loss.annealing.gamma=20");
    ck_assert_double_eq_tol(train_value("runs/tiny", 1, LAMBDA_COLUMN), 1000 / 21.0, 1e-3);
    ck_assert_double_eq_tol(train_value("runs/tiny", 9, LAMBDA_COLUMN), 1000 / 181.0, 1e-4);
    ck_assert_double_eq(train_value("runs/tiny", 24, LAMBDA_COLUMN), 5);
    run(0, "train spec.yaml --run-dir plain");
    ck_assert_double_eq(train_value("plain", 1, LAMBDA_COLUMN), 0);
}
END_TEST

START_TEST(a_margin_that_stays_at_chance_is_told) {
    const char *slow = "spec.yaml " ANGULAR " --set optimizer.learning_rate=1e-12 --set train.iterations=600 "
                       "--set train.eval_every=0 --set train.log_every=0 --set data.train_images=640";
    run(0, "train %s --set loss.type=a_softmax", slow);
    const char *told = strstr(warnings, "iteration 400: accuracy stays at chance under the margin of a_softmax (lambda "
                                        "is 20.41)");
    ck_assert_msg(told != NULL, "\"%s\"", warnings);
    ck_assert_ptr_nonnull(strstr(told, "train.init_from"));
    ck_assert_ptr_null(strstr(strstr(told, "under the margin"), "stays at chance"));
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/run.log"), "stays at chance"));
    run(0, "train %s --run-dir plain --set loss.type=w_softmax", slow);
    ck_assert_ptr_null(strstr(warnings, "stays at chance"));
}
END_TEST

START_TEST(set_reaches_lists_sections_and_defaults) {
    run(0, "train spec.yaml --set network.layers[0].filters=5 --set=seed=3 --set 'loss={type: softmax}' "
           "--set regularizer.weight_decay=1e-3 --set loss.label_smoothing=0.1");
    const char *spec = read_text("runs/tiny/spec.yaml");
    ck_assert_ptr_nonnull(strstr(spec, "filters: 5,"));
    ck_assert_ptr_nonnull(strstr(spec, "seed: 3\n"));
    ck_assert_ptr_nonnull(strstr(spec, "weight_decay: 0.001\n"));
    ck_assert_ptr_nonnull(strstr(spec, "label_smoothing: 0.1\n"));
}
END_TEST

/* A section that a spec leaves out has a default kind; a key below it can be set all the same. */
START_TEST(set_reaches_sections_the_spec_leaves_out) {
    disk_write_text("short.yaml", "data: {type: synthetic, height: 8, width: 8, classes: 4}\n"
                                  "network: {layers: [{type: dense, units: 4}]}\n"
                                  "train: {iterations: 1}\n");
    run(0, "show short.yaml --set loss.label_smoothing=0.1 --set optimizer.learning_rate=0.5 --set schedule.warmup=9");
    expect_output("label_smoothing: 0.1\n");
    expect_output("learning_rate: 0.5\n");
    expect_output("warmup: 9\n");
}
END_TEST

/* Weights that double with every step, until an output is too large for any number. */
#define DIVERGING                                                                                                      \
    "train spec.yaml --set 'optimizer={type: sgd, learning_rate: 100}' --set network.layers[0].type=conv "             \
    "--set network.layers[1]=relu --set 'network.layers[0].operator={}' --set train.iterations=2000"

START_TEST(a_diverging_run_stops) {
    run(1, DIVERGING);
    expect_error("spherenet: iteration ");
    expect_error(": the loss is nan; first in the output of layer ");
    expect_error("values are not finite; the last checkpoint is that of iteration 8. Lower optimizer.learning_rate");
    struct tensor_file file;
    read_tensors(&file, checkpoint("runs/tiny", 8));
    for (int i = 0; i < file.tensor_count; i++)
        ck_assert(isfinite(file.tensors[i].data[0]));
    tensor_file_free(&file);
}
END_TEST

/* Far from where anything is finite, no step brings it back. */
START_TEST(skipping_for_ever_stops) {
    run(1, DIVERGING " --set train.on_divergence=skip");
    int skips = 0;
    for (const char *at = warnings; (at = strstr(at, "; this update is left out\n")); at++)
        skips++;
    ck_assert_int_eq(skips, 20);
    expect_error("too many updates in a row were left out");
}
END_TEST

START_TEST(clipping_keeps_it_from_diverging) {
    run(0, DIVERGING " --set optimizer.clip_norm=0.001 --set train.iterations=24");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 1, 1, 24), 24);
}
END_TEST

/* --- Runs that are there already --------------------------------------------------------------------------------- */

START_TEST(a_run_is_not_overwritten_silently) {
    run(0, "train spec.yaml");
    const char *before = read_text("runs/tiny/train.csv");
    run(1, "train spec.yaml");
    ck_assert_str_eq(errors, "spherenet: runs/tiny: there is a run already; --resume continues it, --overwrite "
                             "replaces it, --run-dir and --set name=... choose another place\n");
    expect_same_lines(read_text("runs/tiny/train.csv"), before, "train.csv");
    run(0, "train spec.yaml --overwrite --set train.iterations=8");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 1, 1, 8), 8);
    ck_assert(!disk_exists(checkpoint("runs/tiny", 24)));
    run(2, "train spec.yaml --overwrite --resume");
    ck_assert_str_eq(errors, "spherenet train: --resume and --overwrite exclude each other\n");
    run(1, "train spec.yaml --resume --run-dir elsewhere");
    ck_assert_str_eq(errors, "spherenet: elsewhere: there is no run to resume; leave --resume out to start one\n");
    ck_assert(!disk_exists("elsewhere"));
}
END_TEST

/* --overwrite with a mistake, or without its data, leaves the run that is there. */
START_TEST(a_failing_start_leaves_the_old_run) {
    run(0, "train spec.yaml");
    const char *before = read_text("runs/tiny/train.csv");
    run(2, "train spec.yaml --overwrite --set optimizer.learning_rate=-1");
    run(1, "train spec.yaml --overwrite --set 'data={type: cifar10, path: nowhere}' --set network.layers[3].units=10");
    expect_error("nowhere/data_batch_1.bin: not found");
    expect_same_lines(read_text("runs/tiny/train.csv"), before, "train.csv");
    ck_assert(disk_exists(checkpoint("runs/tiny", 24)));
}
END_TEST

START_TEST(a_finished_run_says_so) {
    run(0, "train spec.yaml");
    const char *before = read_text("runs/tiny/train.csv");
    run(0, "train spec.yaml --resume");
    expect_output("the run is finished: 24 of 24 iterations; to go on, give a larger train.iterations\n");
    expect_same_lines(read_text("runs/tiny/train.csv"), before, "train.csv");
    run(0, "train spec.yaml --resume --set train.iterations=30 --set schedule.warmup=5");
    ck_assert_int_eq(check_table("runs/tiny/train.csv", train_header, 12, 1, 1, 30), 30);
    expect_link("runs/tiny", "latest", 30);
}
END_TEST

START_TEST(an_extended_run_equals_a_long_one) {
    run(0, "train spec.yaml --set schedule=constant --run-dir extended");
    run(0, "train spec.yaml --set schedule=constant --run-dir extended --resume --set train.iterations=48");
    run(0, "train spec.yaml --set schedule=constant --run-dir long --set train.iterations=48");
    expect_same_runs("extended", "long");
}
END_TEST

START_TEST(a_run_starts_from_another_ones_weights) {
    struct tensor_file from, to;
    run(0, "train spec.yaml " ANGULAR);
    run(0, "train spec.yaml " ANGULAR " --run-dir second --set train.init_from=runs/tiny --set loss.type=a_softmax "
           "--set optimizer.learning_rate=1e-12 --set train.iterations=1");
    expect_output("weights: those of runs/tiny\n");
    read_tensors(&from, checkpoint("runs/tiny", 24));
    read_tensors(&to, checkpoint("second", 1));
    static const char *const names[] = {"first.weight", "first.k", "score.weight"};
    for (int i = 0; i < 3; i++) {
        const struct stored_tensor *a = tensor_file_find(&from, names[i]), *b = tensor_file_find(&to, names[i]);
        for (size_t j = 0; j < tensor_bytes(a) / sizeof(real); j++)
            ck_assert_double_eq_tol((double)a->data[j], (double)b->data[j], 1e-6);
    }
    ck_assert_str_eq(tensor_file_text(&to, "iteration"), "1");
    tensor_file_free(&from);
    tensor_file_free(&to);
}
END_TEST

START_TEST(weights_of_another_network_are_refused) {
    run(0, "train spec.yaml");
    run(1,
        "train spec.yaml --run-dir second --set train.init_from=runs/tiny --set network.layers[0].filters=7 " ANGULAR);
    expect_error("runs/tiny/checkpoints/iteration-00000024.safetensors.gz: cannot be started from");
    expect_error("\n  tensor \"first.weight\" has shape [6, 3, 3, 3], the network's has [7, 3, 3, 3]\n");
    expect_error("\n  tensor \"score.weight\" has shape [4, 96], the network's has [4, 112]\n");
    expect_error("\n  has a tensor \"score.bias\", which the network has not");
    ck_assert(!disk_exists("second"));
    run(1, "train spec.yaml --run-dir second --set train.init_from=nowhere");
    expect_error("nowhere: neither a run's folder nor a checkpoint");
}
END_TEST

START_TEST(a_classifier_may_be_drawn) {
    const char *more = "spec.yaml --run-dir second --set train.init_from=runs/tiny --set data.classes=6 "
                       "--set network.layers[3].units=6 --set network.layers[3].bias=false";
    run(0, "train spec.yaml");
    run(1, "train %s", more);
    expect_error("train.init_classifier: draw");
    run(0, "train %s --set train.init_classifier=draw", more);
    expect_output("weights: those of runs/tiny, the last layer's drawn\n");
}
END_TEST

/* From the beginning again when there is no checkpoint yet, else from the checkpoint alone. */
START_TEST(a_run_with_given_weights_is_resumed) {
    const char *second = "spec.yaml --set train.init_from=runs/tiny --set train.iterations=16";
    run(0, "train spec.yaml");
    run(0, "train %s --run-dir whole", second);
    run(0, "train %s --run-dir resumed", second);
    ck_assert_int_eq(shell("rm resumed/checkpoints/*"), 0);
    run(0, "train %s --run-dir resumed --resume", second);
    expect_same_runs("whole", "resumed");
    ck_assert_int_eq(shell("rm -r runs; rm resumed/checkpoints/*16* resumed/checkpoints/latest*"), 0);
    run(0, "train %s --run-dir resumed --resume", second);
    expect_same_runs("whole", "resumed");
}
END_TEST

START_TEST(a_run_is_not_resumed_with_another_spec) {
    run(0, "train spec.yaml");
    run(1, "train spec.yaml --resume --set seed=2 --set train.iterations=30");
    ck_assert_str_eq(errors, "spherenet: runs/tiny/checkpoints/iteration-00000024.safetensors.gz: the run began with "
                             "another spec: it had \"seed: 1\", now \"seed: 2\"; change it back, or start another run "
                             "with --set name=... or --run-dir\n");
    run(1, "train spec.yaml --resume --set train.batch_size=8");
    expect_error("it had \"batch_size: 16\", now \"batch_size: 8\"");
    run(0, "train spec.yaml --resume --set train.threads=2 --set train.keep=9 --set train.log_every=3");
}
END_TEST

/* --- Interrupted runs -------------------------------------------------------------------------------------------- */

static const char *const long_options = "--quiet --set train.iterations=300 --set train.eval_every=7 "
                                        "--set train.checkpoint_every=10";

static pid_t start(const char *arguments) {
    char *command = arena_printf(&arena, "exec \"$SPHERENET\" %s", arguments);
    pid_t process = fork();
    ck_assert_int_ge(process, 0);
    if (!process) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return process;
}

static int lines_of(const char *path) {
    FILE *file = fopen(path, "r");
    int lines = 0;
    for (int c; file && (c = getc(file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose(file);
    return lines;
}

/* Kills the process when the table has that many lines; false when it ended before. */
static bool kill_at(pid_t process, const char *table, int lines) {
    int status;
    while (lines_of(table) < lines) {
        if (waitpid(process, &status, WNOHANG) == process)
            return false;
        usleep(200);
    }
    kill(process, SIGKILL);
    ck_assert_int_eq(waitpid(process, &status, 0), process);
    return WIFSIGNALED(status);
}

/* Starts the run over until it can be killed in time. */
static void interrupt_at(int lines) {
    for (int attempt = 0; attempt < 10; attempt++) {
        pid_t process = start(arena_printf(&arena, "train spec.yaml --run-dir cut --overwrite %s", long_options));
        if (kill_at(process, "cut/train.csv", lines))
            return;
    }
    ck_abort_msg("the run always ends before it is killed");
}

/* Lines of train.csv: none, the header, just before and after a checkpoint (10), a test (7), both (70). */
static const int instants[] = {1, 2, 8, 10, 11, 12, 36, 70, 71, 72, 155};

START_TEST(a_killed_run_resumes_bit_for_bit) {
    run(0, "train spec.yaml --run-dir whole %s", long_options);
    interrupt_at(instants[_i]);
    run(0, "train spec.yaml --run-dir cut --resume %s", long_options);
    expect_same_runs("cut", "whole");
    ck_assert_int_eq(check_table("cut/train.csv", train_header, 12, 1, 1, 300), 300);
}
END_TEST

START_TEST(a_run_may_be_killed_many_times) {
    run(0, "train spec.yaml --run-dir whole %s", long_options);
    interrupt_at(5);
    for (int lines = 20; lines < 250; lines += 45) {
        pid_t process = start(arena_printf(&arena, "train spec.yaml --run-dir cut --resume %s", long_options));
        kill_at(process, "cut/train.csv", lines);
    }
    run(0, "train spec.yaml --run-dir cut --resume %s", long_options);
    expect_same_runs("cut", "whole");
}
END_TEST

/* As a machine that loses its power leaves them: half a row, and rows beyond the newest checkpoint. */
START_TEST(damaged_tables_are_brought_back) {
    run(0, "train spec.yaml --run-dir whole");
    run(0, "train spec.yaml --run-dir cut");
    ck_assert_int_eq(remove(checkpoint("cut", 24)), 0);
    ck_assert_int_eq(shell("printf '25,6.2500,0.0' >>cut/train.csv; rm -f cut/checkpoints/*-00000018*"), 0);
    run(0, "train spec.yaml --run-dir cut --resume");
    expect_same_runs("cut", "whole");
}
END_TEST

/* The seed makes again what no checkpoint holds. */
START_TEST(a_run_without_a_checkpoint_begins_again) {
    run(0, "train spec.yaml --run-dir whole");
    run(0, "train spec.yaml --run-dir cut");
    ck_assert_int_eq(shell("rm cut/checkpoints/*"), 0);
    run(0, "train spec.yaml --run-dir cut --resume");
    ck_assert_ptr_nonnull(strstr(output, "there was no checkpoint yet: begun again\n"));
    expect_same_runs("cut", "whole");
}
END_TEST

/* Killed between a checkpoint and the links to it. */
START_TEST(links_are_made_again) {
    run(0, "train spec.yaml");
    int best = best_iteration("runs/tiny");
    ck_assert_int_eq(shell("rm runs/tiny/checkpoints/latest* runs/tiny/checkpoints/best*"), 0);
    run(0, "train spec.yaml --resume");
    expect_link("runs/tiny", "latest", 24);
    expect_link("runs/tiny", "best", best);
}
END_TEST

START_TEST(a_temporary_file_that_was_left_does_not_matter) {
    run(0, "train spec.yaml --run-dir whole");
    ck_assert_int_eq(shell("mkdir -p cut/checkpoints"), 0);
    disk_write_text("cut/checkpoints/iteration-00000008.safetensors.gz.tmp", "half a checkpoint");
    run(0, "train spec.yaml --run-dir cut");
    expect_same_runs("cut", "whole");
    ck_assert(!disk_exists("cut/checkpoints/iteration-00000008.safetensors.gz.tmp"));
}
END_TEST

static void cut_to(const char *path, int bytes) {
    ck_assert_int_eq(shell(arena_printf(&arena, "head -c %d %s >cut; cat cut >%s", bytes, path, path)), 0);
}

START_TEST(damaged_checkpoints_are_refused) {
    run(0, "train spec.yaml");
    const char *path = checkpoint("runs/tiny", 24);
    ck_assert_int_eq(shell(arena_printf(&arena, "cp %s whole.gz", path)), 0);
    cut_to(path, 1500);
    run(1, "eval runs/tiny");
    ck_assert_str_eq(errors, arena_printf(&arena,
                                          "spherenet: %s: damaged: the gzip stream is cut short\n"
                                          "  give the path of an older checkpoint of the run, if it has kept one\n",
                                          path));
    run(1, "eval %s", path);
    ck_assert_str_eq(errors, arena_printf(&arena, "spherenet: %s: damaged: the gzip stream is cut short\n", path));
    run(0, "eval %s", checkpoint("runs/tiny", 16));
    char bytes[1 << 16];
    FILE *file = fopen("whole.gz", "rb");
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    ck_assert_uint_lt(size, sizeof bytes);
    bytes[size / 2] ^= 0x10;
    disk_write(path, bytes, size);
    run(1, "eval runs/tiny");
    expect_error("damaged: ");
    disk_write_text(path, "");
    run(1, "eval runs/tiny");
    expect_error("damaged: the file ends within the header length");
}
END_TEST

/* Without gzip there is no checksum of gzip's. One bit of a weight, of a name, and of a text. */
START_TEST(damage_behind_gzip_is_found) {
    static const char *const places[] = {"", "first.weight", "best_accuracy"};
    char *plain = arena_printf(&arena, "%s/plain", folder);
    run(0, "train spec.yaml");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(shell(arena_printf(&arena, "gunzip <%s >%s", checkpoint("runs/tiny", 24), plain)), 0);
        run(0, "eval %s", plain);
        FILE *file = fopen(plain, "r+b");
        static char bytes[1 << 16];
        size_t size = fread(bytes, 1, sizeof bytes, file);
        char *place = *places[i] ? memmem(bytes, size, places[i], strlen(places[i])) : bytes + size - 9;
        ck_assert_ptr_nonnull(place);
        fseek(file, place - bytes, SEEK_SET);
        fputc(*place ^ 1, file);
        fclose(file);
        run(1, "eval %s", plain);
        expect_error("damaged: its content has the checksum ");
    }
}
END_TEST

/* The newest is cut off, the one before it has a bit turned round; the best is older still. */
START_TEST(resume_passes_over_damaged_checkpoints) {
    run(0, "train spec.yaml --run-dir whole --set train.keep=0 --set train.eval_every=4");
    ck_assert_int_eq(shell("cp -a whole hurt; rm -f hurt/checkpoints/*-0000002[0-3]*"), 0);
    cut_to(checkpoint("hurt", 24), 700);
    cut_to(checkpoint("hurt", 16), 0);
    run(0, "train spec.yaml --run-dir hurt --set train.keep=0 --set train.eval_every=4 --resume");
    ck_assert_str_eq(warnings, "spherenet: warning: hurt/checkpoints/iteration-00000024.safetensors.gz: damaged: the "
                               "gzip stream is cut short; skipped\n"
                               "spherenet: warning: hurt/checkpoints/iteration-00000016.safetensors.gz: damaged: the "
                               "file ends within the header length; skipped\n");
    expect_output("resumed at iteration ");
    expect_same_runs("hurt", "whole");
    for (int i = 0; i <= 24; i++)
        if (disk_exists(checkpoint("hurt", i)))
            cut_to(checkpoint("hurt", i), 100);
    run(1, "train spec.yaml --run-dir hurt --resume --set train.iterations=30");
    expect_error("spherenet: hurt: none of the run's checkpoints can be read:\n");
    expect_error("\n--overwrite begins the run again\n");
}
END_TEST

/* --- Where a run cannot be --------------------------------------------------------------------------------------- */

START_TEST(places_that_cannot_hold_a_run) {
    run(1, "train spec.yaml --run-dir spec.yaml");
    ck_assert_str_eq(errors, "spherenet: spec.yaml/checkpoints: cannot be made: Not a directory\n");
    ck_assert_str_eq(read_text("spec.yaml"), tiny_spec);
    run(1, "train spec.yaml --run-dir /proc/nowhere");
    expect_error("/proc/nowhere: cannot be made: ");
    ck_assert_int_eq(symlink("loop", "loop"), 0);
    run(1, "train spec.yaml --run-dir loop");
    expect_error("loop");
    run(1, "train spec.yaml --run-dir %0300d", 1);
    expect_error("File name too long");
    run(1, "train spec.yaml --run-dir $(printf 'a/%%.0s' $(seq 2500))");
    ck_assert_str_eq(errors, "spherenet: the path of the run's folder is longer than 3839 bytes\n");
}
END_TEST

/* Not the root of the file system. The user who runs it may not write there, so that nothing is left in any case. */
/* Told before anything is allocated or made. */
START_TEST(more_memory_than_there_is) {
    run(1, "train spec.yaml --set train.batch_size=65536 --set network.layers[0].filters=65536");
    expect_error("spherenet: not enough memory: the network and a batch of 65536 need ");
    expect_error("Lower train.batch_size or the widths\n");
    ck_assert(!disk_exists("runs"));
}
END_TEST

START_TEST(an_empty_run_dir_is_refused) {
    const char *place = geteuid() ? "" : "setpriv --reuid=65534 --clear-groups ";
    ck_assert_int_eq(chmod(".", 0755), 0);
    int status = shell(arena_printf(&arena, "%s\"$SPHERENET\" train spec.yaml --run-dir '' 2>errors.txt", place));
    ck_assert_int_eq(status, 2);
}
END_TEST

START_TEST(names_that_are_no_folders) {
    static const char *const names[] = {"../up", "a/b", "'a b'", ".hidden", "'a\tb'", "é"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        run(2, "train spec.yaml --set name=%s", names[i]);
        expect_error("cannot name a folder; use letters, digits, \".\", \"_\" and \"-\"\n");
    }
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* --- Command line ------------------------------------------------------------------------------------------------ */

struct command_line {
    int status;
    const char *arguments, *message; /* the first line on standard error */
};

static const struct command_line command_lines[] = {
    {0, "", NULL},
    {0, "help", NULL},
    {0, "--help", NULL},
    {0, "help train", NULL},
    {0, "train --help", NULL},
    {0, "help spec", NULL},
    {0, "help spec --markdown", NULL},
    {0, "--version", NULL},
    {0, "list", NULL},
    {0, "list operators", NULL},
    {0, "show -- spec.yaml", NULL},
    {2, "''", "spherenet: unknown command \"\""},
    {2, "trian spec.yaml", "spherenet: unknown command \"trian\"; did you mean \"train\"?"},
    {2, "train", "spherenet train: SPEC is missing; usage: spherenet train SPEC"},
    {2, "train a.yaml b.yaml", "spherenet train: \"b.yaml\" is one operand too many; usage: spherenet train SPEC"},
    {2, "train --resmue spec.yaml", "spherenet train: unknown option --resmue; did you mean --resume?"},
    {2, "show spec.yaml --resume", "spherenet show: unknown option --resume"},
    {2, "train spec.yaml --resume=yes", "spherenet train: --resume takes no value"},
    {2, "train spec.yaml --run-dir", "spherenet train: --run-dir needs a value: --run-dir DIR"},
    {2, "train spec.yaml --set", "spherenet train: --set needs a value: --set KEY=VALUE"},
    {2, "train spec.yaml --set seed",
     "--set seed: no \"=\"; write --set KEY=VALUE, as in --set network.operator.angular=linear"},
    {2, "train spec.yaml --set =3", "--set =3: \"\" is not a key; write KEY.KEY=VALUE or KEY[INDEX].KEY=VALUE"},
    {2, "train spec.yaml --set network.layers[9].filters=3",
     "--set network.layers[9].filters=3: layers[9]: no element 9 (the list is shorter)"},
    {2, "show spec.yaml --set network.layers[0].operator.angular=cosin",
     "--set network.layers[0].operator.angular=cosin: network.layers[0].operator.angular: unknown value \"cosin\"; "
     "did you mean \"cosine\"? (cosine, linear, sigmoid, learnable_sigmoid)"},
    {2, "train nowhere.yaml", "nowhere.yaml: cannot open the spec: No such file or directory"},
    {2, "bench nowhere.yaml", "nowhere.yaml: cannot open the spec: No such file or directory"},
    {2, "bench spec.yaml --rounds 0", "spherenet bench: --rounds 0: expected a whole number from 1 to 1000"},
    {2, "bench spec.yaml --rounds 3x", "spherenet bench: --rounds 3x: expected a whole number from 1 to 1000"},
    {2, "bench spec.yaml --rounds", "spherenet bench: --rounds needs a value: --rounds N"},
    {2, "train .", ".: is a directory; a spec is a YAML file"},
    {2, "eval", "spherenet eval: RUN_OR_CHECKPOINT is missing; usage: spherenet eval RUN_OR_CHECKPOINT"},
    {1, "eval nowhere", "spherenet: nowhere: neither a run's folder nor a checkpoint: No such file or directory"},
    {1, "eval .",
     "spherenet: .: no checkpoint below this folder; give a checkpoint file, or a run's folder once the "
     "run has made one"},
    {1, "eval spec.yaml", NULL},
    {2, "eval . --split tset", "spherenet eval: no split \"tset\"; there are train and test"},
    {2, "list opertors", NULL},
    {2, "help trian", NULL},
};

START_TEST(command_lines_have_the_right_status) {
    const struct command_line *line = &command_lines[_i];
    run(line->status, "%s", line->arguments);
    ck_assert_int_eq(*errors == '\0', line->status == 0);
    ck_assert_int_eq(*output == '\0', line->status != 0);
    if (line->message)
        ck_assert_str_eq(strtok(errors, "\n"), line->message);
    ck_assert(!disk_exists("runs"));
}
END_TEST

START_TEST(all_mistakes_of_the_command_line_and_the_spec_at_once) {
    disk_write_text("bad.yaml", "seed: -1\ndata: mnist\nnetwork: {type: plain, depth: 3}\ntrian: {iterations: 5}\n");
    run(2, "train bad.yaml --set optimizer=addam --set nothing");
    ck_assert_str_eq(errors,
                     "--set nothing: no \"=\"; write --set KEY=VALUE, as in --set network.operator.angular=linear\n"
                     "bad.yaml:4: trian: unknown key \"trian\"; did you mean \"train\"? (name, seed, data, network, "
                     "loss, optimizer, schedule, regularizer, train)\n"
                     "bad.yaml:1: seed: found \"-1\"; expected a whole number from 0 to 2147483647\n"
                     "--set optimizer=addam: optimizer: unknown value \"addam\"; did you mean \"adam\"? (adam, sgd)\n"
                     "bad.yaml:1: train.iterations: missing; expected a whole number from 1 to 2000000000 (batches to "
                     "train on)\n"
                     "bad.yaml: 5 mistakes; nothing was started\n");
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* A full disk or a closed pipe behind standard output is a failure that is told. */
START_TEST(standard_output_cannot_be_written) {
    static const char *const arguments[] = {"help",           "help spec", "list",
                                            "show spec.yaml", "--version", "train spec.yaml"};
    run(1, "%s >/dev/full", arguments[_i]);
    ck_assert_str_eq(errors, "spherenet: standard output cannot be written\n");
}
END_TEST

START_TEST(a_closed_standard_output_does_no_harm) {
    run(0, "train spec.yaml --quiet --run-dir whole");
    shell("\"$SPHERENET\" train spec.yaml --run-dir closed >&- 2>&-");
    expect_same_runs("closed", "whole");
    ck_assert_int_eq(lines_of("closed/run.log"), lines_of("whole/run.log"));
    shell("\"$SPHERENET\" train spec.yaml --run-dir piped | head -n 1 >first-line.txt");
    run(0, "train spec.yaml --run-dir piped --resume");
    expect_same_runs("piped", "whole");
}
END_TEST

START_TEST(a_full_disk_ends_the_run_and_it_can_be_resumed) {
    run(0, "train spec.yaml --run-dir whole --set network.layers[0].filters=60");
    int status = shell("trap '' XFSZ; ulimit -f 16; "
                       "\"$SPHERENET\" train spec.yaml --run-dir cut --set network.layers[0].filters=60 2>&1 | cat "
                       ">errors.txt; test -s errors.txt");
    ck_assert_int_eq(status, 0);
    errors = read_text("errors.txt");
    expect_error(": cannot be written: File too large\n");
    run(0, "train spec.yaml --run-dir cut --resume --set network.layers[0].filters=60");
    expect_same_runs("cut", "whole");
}
END_TEST

/* --- eval, show, bench ------------------------------------------------------------------------------------------- */

/* The tables PREFIX_per_class.csv and PREFIX_confusion.csv agree with each other; returns the right answers. */
static int check_tables(const char *prefix, int classes, int images) {
    char *per_class = read_text(arena_printf(&arena, "%s_per_class.csv", prefix)), *row_place;
    char *confusion = read_text(arena_printf(&arena, "%s_confusion.csv", prefix)), *confusion_place;
    int total = 0, right = 0;
    ck_assert_str_eq(strtok_r(per_class, "\n", &row_place), "class,images,correct,accuracy");
    ck_assert_str_eq(strtok_r(confusion, "\n", &confusion_place), "true\\predicted,0,1,2,3");
    for (int i = 0; i < classes; i++) {
        int class, count, correct, counts[5];
        double accuracy;
        ck_assert_int_eq(sscanf(strtok_r(NULL, "\n", &row_place), "%d,%d,%d,%lf", &class, &count, &correct, &accuracy),
                         4);
        ck_assert_int_eq(sscanf(strtok_r(NULL, "\n", &confusion_place), "%d,%d,%d,%d,%d", &counts[0], &counts[1],
                                &counts[2], &counts[3], &counts[4]),
                         5);
        ck_assert(class == i && counts[0] == i && counts[i + 1] == correct);
        ck_assert_int_eq(counts[1] + counts[2] + counts[3] + counts[4], count);
        ck_assert_double_eq_tol(accuracy, count ? (double)correct / count : 0, 1e-5);
        total += count;
        right += correct;
    }
    ck_assert_ptr_null(strtok_r(NULL, "\n", &row_place));
    ck_assert_ptr_null(strtok_r(NULL, "\n", &confusion_place));
    ck_assert_int_eq(total, images);
    return right;
}

static double printed(const char *what) {
    const char *at = strstr(output, what);
    ck_assert_msg(at != NULL, "no \"%s\" in \"%s\"", what, output);
    return strtod(at + strlen(what), NULL);
}

START_TEST(eval_agrees_with_the_run) {
    double loss, accuracy;
    run(0, "train spec.yaml");
    const char *last = strstr(read_text("runs/tiny/eval.csv"), "\n24,");
    ck_assert_int_eq(sscanf(last, "\n24,%*[^,],test,%lf,%lf,", &loss, &accuracy), 2);
    run(0, "eval runs/tiny");
    ck_assert_double_eq_tol(printed("accuracy "), accuracy, 5.1e-5);
    ck_assert_double_eq_tol(printed("loss "), loss, 5.1e-5);
    ck_assert_double_eq(printed("top-5 "), 1);
    ck_assert_double_eq_tol(check_tables("runs/tiny/checkpoints/test", 4, 29) / 29.0, accuracy, 1e-5);
    run(0, "eval runs/tiny/checkpoints/best.safetensors.gz --split train --out tables");
    expect_output("64 train images");
    check_tables("tables/train", 4, 64);
    run(0, "eval runs/tiny --set data.test_images=9 --out tables");
    check_tables("tables/test", 4, 9);
}
END_TEST

START_TEST(eval_refuses_what_does_not_fit) {
    run(0, "train spec.yaml");
    run(1, "eval runs/tiny --set network.layers[0].filters=9");
    ck_assert_str_eq(errors, "spherenet: runs/tiny/checkpoints/iteration-00000024.safetensors.gz: tensor "
                             "\"first.weight\" has shape [6, 3, 3, 3], the network's has [9, 3, 3, 3]\n");
    run(2, "eval runs/tiny --set data.classes=5");
    expect_error("the last layer puts out 1x1x4 values, but the dataset has 5 classes");
    run(1, "eval runs/tiny --out spec.yaml");
    expect_error("spec.yaml: cannot be made: ");
    run(1, "eval runs/tiny/train.csv");
    expect_error("runs/tiny/train.csv: ");
}
END_TEST

static double length_of(const double *v, int width) {
    double sum = 0;
    for (int i = 0; i < width; i++)
        sum += v[i] * v[i];
    return sqrt(sum);
}

static double degrees_between(const double *a, const double *b, int width) {
    double dot = 0;
    for (int i = 0; i < width; i++)
        dot += a[i] * b[i];
    return acos(fmax(-1, fmin(1, dot / (length_of(a, width) * length_of(b, width))))) * 180 / 3.14159265358979324;
}

enum { IMAGES = 29, FEATURES = 3 };

struct rows {
    int labels[IMAGES], predictions[IMAGES];
    double values[IMAGES][FEATURES];
};

static void read_features(struct rows *rows, const char *path) {
    char *table = read_text(path), *place, *line = strtok_r(table, "\n", &place);
    ck_assert_str_eq(line, "label,prediction,f0,f1,f2");
    for (int i = 0; i < IMAGES; i++) {
        double *v = rows->values[i];
        line = strtok_r(NULL, "\n", &place);
        ck_assert_int_eq(
            sscanf(line, "%d,%d,%lf,%lf,%lf", &rows->labels[i], &rows->predictions[i], &v[0], &v[1], &v[2]), 5);
    }
    ck_assert_ptr_null(strtok_r(NULL, "\n", &place));
}

/* own_weight, nearest_weights, within_class, between_classes, mean_length, length_variation. weights: [4][FEATURES] */
static void measure(const struct rows *rows, const struct stored_tensor *weights, double *expected) {
    double w[4][FEATURES], within = 0, between = 0, squares = 0;
    int pairs[2] = {0, 0};
    for (int j = 0; j < 4 * FEATURES; j++)
        w[j / FEATURES][j % FEATURES] = (double)weights->data[j];
    for (int i = 0; i < IMAGES; i++) {
        expected[0] += degrees_between(rows->values[i], w[rows->labels[i]], FEATURES) / IMAGES;
        expected[4] += length_of(rows->values[i], FEATURES) / IMAGES;
        for (int j = 0; j < i; j++) {
            bool same = rows->labels[i] == rows->labels[j];
            *(same ? &within : &between) += degrees_between(rows->values[i], rows->values[j], FEATURES);
            pairs[same]++;
        }
    }
    expected[1] = 180;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            expected[1] = fmin(expected[1], degrees_between(w[i], w[j], FEATURES));
    expected[2] = within / pairs[1];
    expected[3] = between / pairs[0];
    for (int i = 0; i < IMAGES; i++)
        squares += pow(length_of(rows->values[i], FEATURES) - expected[4], 2) / IMAGES;
    expected[5] = sqrt(squares) / expected[4];
}

START_TEST(features_and_their_angles_agree) {
    struct rows rows;
    struct tensor_file file;
    double expected[6] = {0}, found[6];
    int images, right = 0;
    run(0, "train spec.yaml --set 'network.layers[2]={type: dense, units: 3, name: feature}' " ANGULAR
           " --set loss.type=ga_softmax");
    run(0, "features runs/tiny --out features.csv");
    read_features(&rows, "features.csv");
    run(0, "eval runs/tiny --out .");
    for (int i = 0; i < IMAGES; i++)
        right += rows.labels[i] == rows.predictions[i];
    ck_assert_double_eq_tol(printed("accuracy "), right / 29.0, 5.1e-5);
    const char *row = strchr(read_text("test_angles.csv"), '\n');
    ck_assert_int_eq(sscanf(row, "\n24,%d,%lf,%lf,%lf,%lf,%lf,%lf", &images, &found[0], &found[1], &found[2], &found[3],
                            &found[4], &found[5]),
                     7);
    ck_assert_int_eq(images, IMAGES);
    read_tensors(&file, checkpoint("runs/tiny", 24));
    measure(&rows, tensor_file_find(&file, "score.weight"), expected);
    for (int i = 0; i < 6; i++)
        ck_assert_msg(fabs(found[i] - expected[i]) <= 1e-2 + 1e-4 * expected[i], "column %d is %g, expected %g", i + 2,
                      found[i], expected[i]);
    tensor_file_free(&file);
}
END_TEST

START_TEST(features_need_a_classifier) {
    run(0, "train spec.yaml --set 'network.layers[3]={type: conv, filters: 4, kernel: 4}'");
    run(1, "features runs/tiny");
    expect_error("the network's last layer is not a dense one");
    run(0, "eval runs/tiny --out .");
    ck_assert(!disk_exists("test_angles.csv"));
    run(2, "features runs/tiny --split validation");
    expect_error("no split \"validation\"; there are train and test");
}
END_TEST

static const char *const families[] = {
    "{type: plain, depth: 6, widths: [4, 5, 6], features: 7, normalization: both, operator: {angular: linear}}",
    "{type: plain, depth: 3, widths: [4, 5, 6], features: 0, normalization: none, activation: none, bias: true}",
    "{type: resnet, depth: 8, widths: [4, 6, 8], operator: {angular: sigmoid, k: 0.123456789}}",
    ("{type: plain, depth: 3, widths: [4, 4, 4], operator: {magnitude: product}, classifier_bias: true, "
     "classifier_operator: {magnitude: linear}, batch_norm: {decay: 0.9}}"),
};

/* What `show` prints is a spec of the identical network, and showing that changes nothing. */
START_TEST(show_writes_the_network_out) {
    disk_write_text("family.yaml", arena_printf(&arena,
                                                "data: {type: synthetic, height: 8, width: 8, classes: 4}\n"
                                                "network: %s\n"
                                                "train: {iterations: 1, batch_size: 4, keep: 0, threads: 1}\n",
                                                families[_i]));
    run(0, "show family.yaml");
    disk_write_text("explicit.yaml", output);
    ck_assert_ptr_nonnull(strstr(output, "  - {type: "));
    run(0, "show explicit.yaml");
    expect_same_lines(strchr(output, '\n'), strchr(read_text("explicit.yaml"), '\n'), "show");
    run(0, "train family.yaml --run-dir family");
    run(0, "train explicit.yaml --run-dir explicit");
    ck_assert(equal_tensors(checkpoint("family", 1), checkpoint("explicit", 1)));
}
END_TEST

START_TEST(bench_prints_tables) {
    run(0, "bench spec.yaml --rounds 2 --set train.batch_size=2");
    ck_assert_str_eq(errors, "");
    static const char *const rows[] = {
        "\nfirst ",
        "\nmax_pool_3 ",
        "\nscore ",
        "\ninput ",
        "\nforward ",
        "\nloss ",
        "\nbackward ",
        "\ncopying",
        "\npenalties ",
        "\noptimizer ",
        "\nmatrix products (2048^3): ",
        "\ntraining step: ",
        "\nmedians of 2 rounds\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_output(rows[i]);
    ck_assert_double_gt(printed("\nratio: "), 0);
    ck_assert_double_gt(printed("\nevaluation: "), 0);
    ck_assert_double_gt(printed("\npeak memory: "), 0);
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* --- OpenBLAS's kernels ------------------------------------------------------------------------------------------ */

/* The line "products: ..." of a text. */
static char *products_line(const char *text) {
    const char *line = strstr(text, "products: OpenBLAS ");
    ck_assert_msg(line != NULL, "no line of products in \"%s\"", text);
    return arena_printf(&arena, "%.*s", (int)strcspn(line, "\n"), line);
}

static void expect_kernels(const char *text, const char *core) {
    ck_assert_ptr_nonnull(strstr(products_line(text), arena_printf(&arena, ", %s kernels", core)));
}

/* Whether OpenBLAS lets its kernels be chosen, which all that follows needs. */
static bool kernels_can_be_chosen(void) {
    ck_assert_int_eq(setenv(BLAS_CORE_VARIABLE, "Prescott", 1), 0);
    run(0, "--version");
    ck_assert_int_eq(unsetenv(BLAS_CORE_VARIABLE), 0);
    return strstr(output, ", Prescott kernels") != NULL;
}

/* OpenMP then binds the main thread to one processor before main, and what starts over inherits that. */
START_TEST(bound_threads_take_all_processors) {
    run(0, "--version");
    const char *unbound = arena_string(&arena, output);
    ck_assert_int_eq(setenv("OMP_PROC_BIND", "true", 1), 0);
    ck_assert_int_eq(unsetenv("GOMP_SPINCOUNT"), 0); /* so that it starts over */
    run(0, "--version");
    ck_assert_str_eq(output, unbound);
}
END_TEST

START_TEST(machine_and_kernels_are_told) {
    run(0, "--version");
    const char *machine = arena_printf(&arena, "machine: %s, ", cpu_description()), *products = products_line(output);
    expect_output(machine);
    run(0, "train spec.yaml");
    ck_assert_str_eq(products_line(read_text("runs/tiny/run.log")), products);
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/run.log"), machine));
    run(0, "bench spec.yaml --set train.batch_size=2");
    ck_assert_str_eq(products_line(output), products);
    expect_output(machine);
}
END_TEST

START_TEST(slow_kernels_from_the_environment_are_told) {
    if (!kernels_can_be_chosen() || cpu_vectors() == CPU_SSE || cpu_has(CPU_FMA4))
        return;
    const char *warning = arena_printf(&arena,
                                       "warning: OPENBLAS_CORETYPE=prescott in the environment makes OpenBLAS use "
                                       "Prescott kernels (SSE), but this CPU has %s: products may take up to %d times "
                                       "as long; unset it, or give --set train.openblas_core=",
                                       cpu_feature_name(cpu_vectors()), 1 << (cpu_vectors() - CPU_SSE));
    const char *line = arena_printf(&arena, "spherenet: %s", warning);
    ck_assert_int_eq(setenv(BLAS_CORE_VARIABLE, "prescott", 1), 0);
    static const char *const commands[] = {"--version", "train spec.yaml", "eval runs/tiny",
                                           "bench spec.yaml --set train.batch_size=2"};
    for (int i = 0; i < 4; i++) {
        run(0, "%s", commands[i]);
        ck_assert_msg(!strncmp(warnings, line, strlen(line)), "%s: \"%s\"", commands[i], warnings);
        ck_assert_ptr_eq(strchr(warnings, '\n'), warnings + strlen(warnings) - 1);
    }
    run(0, "train spec.yaml --overwrite --quiet");
    ck_assert_str_eq(warnings, "");
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/run.log"), warning));
    run(0, "train spec.yaml --overwrite --set train.openblas_core=Prescott");
    ck_assert_str_eq(warnings, "");
}
END_TEST

START_TEST(kernels_are_those_of_the_spec) {
    if (!kernels_can_be_chosen())
        return;
    run(0, "train spec.yaml --set train.openblas_core=Prescott");
    expect_kernels(output, "Prescott");
    ck_assert_ptr_nonnull(strstr(read_text("runs/tiny/spec.yaml"), "openblas_core: Prescott\n"));
    run(0, "bench spec.yaml --set train.openblas_core=prescott --set train.batch_size=2");
    expect_kernels(output, "Prescott");
    run(0, "eval runs/tiny"); /* starts over, too */
    ck_assert_str_eq(warnings, "");
    ck_assert_int_eq(setenv(BLAS_CORE_VARIABLE, "Core2", 1), 0);
    run(0, "train runs/tiny/spec.yaml --run-dir again");
    expect_kernels(output, "Prescott");
    expect_same_runs("again", "runs/tiny");
    run(0, "train spec.yaml --set train.threads=2 --run-dir other");
    expect_kernels(output, "Core2");
}
END_TEST

START_TEST(kernels_that_cannot_be_had) {
    struct text list = {0};
    blas_core_list(&list);
    run(2, "train spec.yaml --set train.openblas_core=fastest");
    expect_error(arena_printf(&arena,
                              "--set train.openblas_core=fastest: train.openblas_core: unknown value \"fastest\"; "
                              "expected one of (%s)\n",
                              list.data));
    run(2, "show spec.yaml --set train.openblas_core=aut");
    expect_error("unknown value \"aut\"; did you mean \"auto\"? (auto");
    if (kernels_can_be_chosen() && !cpu_has(CPU_FMA4)) {
        run(1, "train spec.yaml --set train.openblas_core=Excavator");
        ck_assert_str_eq(errors, arena_printf(&arena,
                                              "spherenet: train.openblas_core: Excavator kernels need FMA4, which this "
                                              "CPU does not have; this machine can use %s\n",
                                              list.data));
        ck_assert_int_eq(setenv(BLAS_CORE_VARIABLE, "Excavator", 1), 0);
        run(1, "train spec.yaml");
        ck_assert_str_eq(errors, "spherenet: OPENBLAS_CORETYPE=Excavator in the environment: Excavator kernels need "
                                 "FMA4, which this CPU does not have; unset it\n");
        run(0, "train spec.yaml --set train.openblas_core=Prescott");
    }
    text_free(&list);
}
END_TEST

/* OpenBLAS has a name for kernels that it then does not use: the program starts over once, not for ever. */
START_TEST(the_program_starts_over_once) {
    int status = blas_core_known("Athlon") ? 1 : 2;
    run(status, "train spec.yaml --set train.openblas_core=Athlon");
    expect_error(status == 1 ? " has no Athlon kernels; this machine can use auto, " : "unknown value \"Athlon\"");
    ck_assert(!disk_exists("runs"));
}
END_TEST

START_TEST(a_spec_from_a_pipe_cannot_start_over) {
    if (!kernels_can_be_chosen())
        return;
    const char *command =
        "cat spec.yaml | \"$SPHERENET\" train /dev/stdin --set train.openblas_core=Prescott 2>errors.txt";
    ck_assert_int_eq(shell(command), 1);
    ck_assert_str_eq(read_text("errors.txt"),
                     "spherenet: /dev/stdin: cannot be read twice, as train.openblas_core needs; set "
                     "OPENBLAS_CORETYPE=Prescott in the environment, or give the spec as a file\n");
    ck_assert_int_eq(shell("cat spec.yaml | OPENBLAS_CORETYPE=Prescott \"$SPHERENET\" train /dev/stdin --quiet"
                           " --set train.openblas_core=Prescott"),
                     0);
}
END_TEST

START_TEST(a_name_that_openblas_does_not_know_is_told) {
    if (!kernels_can_be_chosen())
        return;
    ck_assert_int_eq(setenv(BLAS_CORE_VARIABLE, "fastest", 1), 0);
    run(0, "train spec.yaml");
    const char *start =
        "spherenet: warning: OPENBLAS_CORETYPE=fastest in the environment names no kernels of OpenBLAS ";
    ck_assert_msg(!strncmp(warnings, start, strlen(start)), "\"%s\"", warnings);
}
END_TEST

START_TEST(an_empty_name_of_kernels_is_none) {
    run(0, "--version");
    const char *products = products_line(output), *without = warnings;
    ck_assert_int_eq(setenv(BLAS_CORE_VARIABLE, "", 1), 0);
    run(0, "--version");
    ck_assert_str_eq(products_line(output), products);
    ck_assert_str_eq(warnings, without);
}
END_TEST

/* The value in the row of bench's CSV that begins so, as in "forward,first". */
static double csv_value(const char *row) {
    return printed(arena_printf(&arena, "\n%s,", row));
}

/* Every row has its four fields: a measure, perhaps a layer, a number, a unit. */
static void check_bench_csv(void) {
    char *table = arena_string(&arena, output), *place;
    ck_assert_str_eq(strtok_r(table, "\n", &place), "measure,layer,value,unit");
    for (char *line = strtok_r(NULL, "\n", &place); line; line = strtok_r(NULL, "\n", &place)) {
        char *at = line, *end;
        const char *measure = strsep(&at, ","), *layer = strsep(&at, ","), *value = strsep(&at, ",");
        ck_assert_msg(*measure && layer && value && at && *at && !strchr(at, ','), "%s: not four fields", measure);
        double number = strtod(value, &end);
        ck_assert_msg(end != value && !*end && number >= 0, "%s,%s: no number, \"%s\"", measure, layer, value);
    }
}

START_TEST(bench_prints_csv) {
    run(0, "bench spec.yaml --rounds 1 --csv");
    check_bench_csv();
    static const char *const measured[] = {
        "sgemm,",
        "copy,",
        "training_step,",
        "training_rate,",
        "training_ratio,",
        "evaluation,",
        "peak_memory,",
        "forward,",
        "loss,",
        "backward,",
        "optimizer,",
        "forward,first",
        "backward,score",
        "forward_rate,first",
        "backward_rate,score",
    };
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++)
        ck_assert_double_gt(csv_value(measured[i]), 0);
    ck_assert_double_eq(csv_value("batch,"), 16);
    ck_assert_double_eq(csv_value("parameters,"), 6 * 27 + 6 + 2 * 6 + 4 * 96 + 4);
    ck_assert_double_eq(csv_value("multiply_adds,"), 64 * 6 * 27 + 4 * 96);
    ck_assert_double_eq(csv_value("outputs,first"), 8 * 8 * 6);
    /* 16 images: the first layer has no gradient of its input */
    ck_assert_double_eq_tol(csv_value("tensors,first") * 1e6 / sizeof(real), 16 * (192 + 2 * 384), 1);
    ck_assert_double_eq_tol(csv_value("tensors,score") * 1e6 / sizeof(real), 16 * 2 * (96 + 4), 1);
    ck_assert_ptr_null(strstr(output, "forward_rate,max_pool"));
    double layers = csv_value("forward,first") + csv_value("forward,batch_norm_2") + csv_value("forward,max_pool_3") +
                    csv_value("forward,score");
    ck_assert_double_eq_tol(layers / csv_value("forward,"), 1, 0.05);
}
END_TEST

/* The layers within a residual unit are rows of their own; a name may hold what CSV quotes. */
START_TEST(bench_looks_into_residual_units) {
    disk_write_text("unit.yaml", "data: {type: synthetic, height: 8, width: 8, classes: 4}\n"
                                 "network:\n"
                                 "  layers:\n"
                                 "    - type: residual\n"
                                 "      name: unit\n"
                                 "      body: [{type: conv, name: inner, filters: 3, padding: 1}]\n"
                                 "      shortcut: [{type: relu, name: 'a,\"b\"'}]\n"
                                 "    - {type: dense, name: score, units: 4}\n"
                                 "train: {iterations: 1, batch_size: 4, threads: 1}\n");
    run(0, "bench unit.yaml --rounds 1 --csv");
    ck_assert_double_gt(csv_value("forward,unit"), 0);
    ck_assert_double_gt(csv_value("backward,inner"), 0);
    ck_assert_double_gt(csv_value("forward,\"a,\"\"b\"\"\""), 0);
    run(0, "bench unit.yaml --rounds 1");
    expect_output("\nunit ");
    expect_output("\n  inner ");
}
END_TEST

/* The comparison with PyTorch is no part of these tests, but without PyTorch it says what to install. */
static const char *const tiny_sweep =
    "spec spec.yaml\n"
    "row cosine\n"
    "row linear network.layers[0].operator.angular=linear\n"
    "column plain network.layers[3].bias=false\n"
    "column margin network.layers[3].bias=false 'loss={type: a_softmax, margin: 2}'\n";

static int sweep(const char *arguments) {
    return shell(arena_printf(&arena, "'%s/tools/sweep' %s >output.txt 2>errors.txt", home, arguments));
}

/* The second time nothing is trained; a run that was lost is trained again, and the table is as before. */
START_TEST(a_sweep_goes_on_where_it_stopped) {
    if (!disk_exists("/usr/bin/python3"))
        return;
    disk_write_text("tiny.sweep", tiny_sweep);
    ck_assert_int_eq(sweep("tiny.sweep --seeds 1,2 --out sweep"), 0);
    const char *table = read_text("sweep/table.csv"), *runs = read_text("sweep/runs.csv");
    ck_assert_ptr_nonnull(strstr(table, "\nlinear,margin,2,2,0,"));
    double accuracy;
    const char *last = strstr(read_text("sweep/linear_margin_s2/eval.csv"), "\n24,");
    ck_assert_int_eq(sscanf(last, "\n24,%*[^,],test,%*[^,],%lf,", &accuracy), 1);
    ck_assert_ptr_nonnull(strstr(runs, arena_printf(&arena, "\nlinear,margin,2,finished,24,%g,", accuracy)));
    ck_assert_int_eq(shell("rm -r sweep/cosine_plain_s1"), 0);
    ck_assert_int_eq(sweep("tiny.sweep --seeds 1,2 --out sweep"), 0);
    ck_assert_str_eq(read_text("sweep/table.csv"), table);
}
END_TEST

START_TEST(a_sweep_with_mistakes_does_not_start) {
    if (!disk_exists("/usr/bin/python3"))
        return;
    disk_write_text("tiny.sweep", arena_printf(&arena, "%srow wrong seed=x\nrwo again\n", tiny_sweep));
    ck_assert_int_eq(sweep("tiny.sweep --out sweep"), 2);
    errors = read_text("errors.txt");
    expect_error("tiny.sweep:7: ");
    disk_write_text("tiny.sweep",
                    arena_printf(&arena, "%srow wrong network.layers[0].operator.angular=cosin\n", tiny_sweep));
    ck_assert_int_eq(sweep("tiny.sweep --out sweep"), 2);
    errors = read_text("errors.txt");
    expect_error("tiny.sweep:6: ");
    expect_error("did you mean \"cosine\"?");
    ck_assert(!disk_exists("sweep/cosine_plain_s1"));
}
END_TEST

static int plot(const char *arguments) {
    return shell(arena_printf(&arena, "'%s/tools/'%s >output.txt 2>errors.txt", home, arguments));
}

START_TEST(pictures_are_drawn) {
    if (!disk_exists("/usr/bin/gnuplot"))
        return;
    run(0, "train spec.yaml --set 'network.layers[2]={type: dense, units: 2, name: feature}'");
    run(0, "train spec.yaml --run-dir 'another run' --set train.iterations=12");
    run(0, "features runs/tiny --out features.csv");
    ck_assert_int_eq(plot("plot_curves.sh --out both runs/tiny 'another run'"), 0);
    ck_assert_int_eq(plot("plot_features.sh features.csv"), 0);
    static const char *const pictures[] = {"both.png", "both.svg", "features.png", "features.svg"};
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++)
        ck_assert_msg(strlen(read_text(pictures[i])) > 0, "%s", pictures[i]);
    ck_assert_ptr_nonnull(strstr(read_text("both.svg"), "another run"));
    ck_assert_int_eq(plot("plot_curves.sh nowhere"), 1);
    disk_write_text("three.csv", "label,prediction,f0,f1,f2\n0,0,1,2,3\n");
    ck_assert_int_ne(plot("plot_features.sh three.csv"), 0);
    errors = read_text("errors.txt");
    expect_error("network.features=2");
}
END_TEST

START_TEST(bench_peers_says_what_is_missing) {
    if (!disk_exists("/usr/bin/python3"))
        return;
    disk_write_text("torch.py", "raise ImportError('no torch here')\n");
    int status = shell(arena_printf(&arena, "PYTHONPATH=. '%s/tools/bench_peers' spec.yaml 2>errors.txt", home));
    ck_assert_int_eq(status, 1);
    ck_assert_str_eq(read_text("errors.txt"), "bench_peers: no torch here; it runs on Debian's PyTorch: apt-get "
                                              "install python3-torch python3-yaml\n");
}
END_TEST

/* Whether the comparison can run; to import PyTorch takes seconds. */
static bool has_torch(void) {
    return !shell("/usr/bin/python3 -c 'import torch, yaml' >/dev/null 2>&1");
}

START_TEST(bench_peers_says_what_was_killed) {
    if (!has_torch())
        return;
    disk_write_text("killed", "#!/bin/sh\nkill -KILL $$\n");
    ck_assert_int_eq(chmod("killed", 0777), 0);
    int status = shell(arena_printf(&arena, "SPHERENET=./killed '%s/tools/bench_peers' spec.yaml 2>errors.txt", home));
    ck_assert_int_eq(status, 1);
    ck_assert_str_eq(read_text("errors.txt"), "bench_peers: ./killed bench: killed by signal 9, Killed\n");
    disk_write_text("child.py", "import importlib.machinery, signal, sys\n"
                                "loader = importlib.machinery.SourceFileLoader('bench_peers', sys.argv[1])\n"
                                "loader.load_module().in_child(signal.raise_signal, signal.SIGKILL)\n");
    status =
        shell(arena_printf(&arena, "/usr/bin/python3 -W ignore child.py '%s/tools/bench_peers' 2>errors.txt", home));
    ck_assert_int_eq(status, 1);
    ck_assert_str_eq(read_text("errors.txt"), "bench_peers: the process that runs PyTorch was killed; is there not "
                                              "enough memory?\n");
}
END_TEST

/* --- Building ---------------------------------------------------------------------------------------------------- */

/* What make would do with a compiler for that machine, from outside of the make that may run this test. */
static char *make_would(const char *target, const char *machine) {
    disk_write_text("compiler", arena_printf(&arena, "#!/bin/sh\necho %s\n", machine));
    ck_assert_int_eq(chmod("compiler", 0777), 0);
    const char *command = arena_printf(
        &arena, "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -n -C '%s' CC='%s/compiler' %s >would.txt 2>&1", home,
        folder, target);
    ck_assert_int_eq(shell(command), 0);
    return read_text("would.txt");
}

START_TEST(the_compiler_says_what_is_built_for) {
    if (!disk_exists(arena_printf(&arena, "%s/Makefile", home)) || shell("make --version >/dev/null 2>&1"))
        return;
    ck_assert_ptr_nonnull(strstr(make_would("spherenet", "x86_64-linux-gnu"), " -mprefer-vector-width=512 "));
    ck_assert_ptr_null(strstr(make_would("spherenet", "aarch64-linux-gnu"), "-mprefer-vector-width"));
    ck_assert_ptr_nonnull(strstr(make_would("portable", "x86_64-linux-gnu"), " -march=x86-64-v3 "));
    char *nothing = make_would("portable", "aarch64-linux-gnu");
    ck_assert_ptr_nonnull(strstr(nothing, "programs for aarch64-linux-gnu, not for x86-64"));
    ck_assert_ptr_null(strstr(nothing, "-march="));
}
END_TEST

/* --- Data files -------------------------------------------------------------------------------------------------- */

enum { RECORD_BYTES = 3073 };

/* CIFAR-10 files of `records` images each, all of class 3. */
static void write_cifar10(int records) {
    static const char *const names[] = {"data_batch_1", "data_batch_2", "data_batch_3",
                                        "data_batch_4", "data_batch_5", "test_batch"};
    size_t size = (size_t)records * RECORD_BYTES;
    char *bytes = arena_alloc(&arena, size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = i % RECORD_BYTES ? (char)(i * 7) : 3;
    ck_assert_int_eq(mkdir("cifar", 0777), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        disk_write(arena_printf(&arena, "cifar/%s.bin", names[i]), bytes, size);
}

static const char *const cifar_options = "--set 'data={type: cifar10, path: cifar}' --set network.layers[3].units=10 "
                                         "--set train.iterations=3";

START_TEST(data_files_with_mistakes) {
    write_cifar10(4);
    run(0, "train spec.yaml --quiet %s", cifar_options);
    ck_assert_int_eq(shell("printf '\\012' | dd of=cifar/data_batch_3.bin bs=1 seek=6146 conv=notrunc 2>/dev/null"), 0);
    run(1, "train spec.yaml --run-dir a %s", cifar_options);
    ck_assert_str_eq(errors, "spherenet: cifar/data_batch_3.bin: record 2: label 10 is not below 10\n");
    ck_assert_int_eq(truncate("cifar/data_batch_3.bin", 5000), 0);
    run(1, "train spec.yaml --run-dir a %s", cifar_options);
    ck_assert_str_eq(errors, "spherenet: cifar/data_batch_3.bin: its size of 5000 bytes is not a multiple of the "
                             "record size, 3073 bytes\n");
    ck_assert_int_eq(remove("cifar/data_batch_3.bin"), 0);
    run(1, "bench spec.yaml %s", cifar_options);
    expect_error("spherenet: cifar/data_batch_3.bin: not found, and no data_batch_3.bin.gz beside it either; get ");
    ck_assert(!disk_exists("a"));
}
END_TEST

/* --- Specs that are none ----------------------------------------------------------------------------------------- */

START_TEST(ten_megabytes_of_garbage) {
    size_t size = 10000000;
    unsigned char *bytes = arena_alloc(&arena, size);
    unsigned state = 1;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    disk_write("garbage.yaml", bytes, size);
    run(2, "train garbage.yaml");
    ck_assert_str_eq(errors, "garbage.yaml: larger than 4 MiB, which no spec is\n"
                             "garbage.yaml: 1 mistake; nothing was started\n");
    for (int i = 0; i < 20; i++) { /* pieces small enough to be read */
        disk_write("piece.yaml", bytes + i * 1000, 100000);
        run(2, "train piece.yaml");
        expect_error("piece.yaml");
    }
}
END_TEST

/* --- docs/bad-specs.md ------------------------------------------------------------------------------------------- */

/* The page holds blocks of YAML, which are written to bad.yaml, and blocks of `$ COMMAND` lines with what they print:
 * standard output and error as they come, and an exit status other than 0 in parentheses. */
struct example {
    struct text command, expected;
    int count;
};

static void check_example(struct example *example) {
    if (!example->command.data)
        return;
    struct text script = {0};
    text_printf(&script, "spherenet() { \"$SPHERENET\" \"$@\"; }\n%s\n", example->command.data);
    disk_write_text("script.sh", script.data);
    text_free(&script);
    int status = shell("sh script.sh >printed.txt 2>&1");
    const char *got = read_text("printed.txt");
    if (status)
        got = arena_printf(&arena, "%s(exit status %d)\n", got, status);
    const char *expected = example->expected.data ? example->expected.data : "";
    ck_assert_msg(!strcmp(got, expected), "docs/bad-specs.md: $ %s\nprints\n%s\ninstead of\n%s", example->command.data,
                  got, expected);
    text_free(&example->command);
    text_free(&example->expected);
    example->count++;
}

START_TEST(the_page_of_bad_specs_is_true) {
    char *page = read_text(arena_printf(&arena, "%s/docs/bad-specs.md", home));
    struct text yaml = {0};
    struct example example = {0};
    enum { PROSE, YAML, CONSOLE } block = PROSE;
    for (char *line = page, *next; (next = strchr(line, '\n')); line = next + 1) {
        *next = '\0';
        if (!strncmp(line, "```", 3)) {
            check_example(&example);
            if (block == YAML)
                disk_write_text("bad.yaml", yaml.data);
            text_free(&yaml);
            block = !strcmp(line, "```yaml") ? YAML : !strcmp(line, "```console") ? CONSOLE : PROSE;
        } else if (block == YAML) {
            text_printf(&yaml, "%s\n", line);
        } else if (block == CONSOLE && !strncmp(line, "$ ", 2)) {
            check_example(&example);
            text_printf(&example.command, "%s", line + 2);
        } else if (block == CONSOLE) {
            text_printf(&example.expected, "%s\n", line);
        }
    }
    ck_assert_int_ge(example.count, 40);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

#define COUNT(ARRAY) (int)(sizeof(ARRAY) / sizeof *(ARRAY))

static TCase *add_case(Suite *suite, const char *name) {
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, enter_folder, leave_folder);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return tests;
}

Suite *test_suite(void) {
    Suite *suite = suite_create("cli");

    TCase *training = add_case(suite, "training");
    tcase_add_test(training, a_run_leaves_what_was_promised);
    tcase_add_test(training, quiet_says_nothing);
    tcase_add_test(training, tables_have_a_header_and_whole_rows);
    tcase_add_test(training, best_and_latest_are_links);
    tcase_add_test(training, keep_bounds_the_checkpoints);
    tcase_add_test(training, the_best_checkpoint_outlives_the_bound);
    tcase_add_test(training, same_spec_and_seed_same_files);
    tcase_add_test(training, threads_do_not_matter);
    tcase_add_test(training, the_stored_spec_reproduces_the_run);
    tcase_add_loop_test(training, every_operator_trains, 0, COUNT(angulars) * COUNT(magnitudes));
    tcase_add_loop_test(training, every_loss_trains, 0, COUNT(losses));
    tcase_add_test(training, lambda_falls_to_its_minimum);
    tcase_add_test(training, a_margin_that_stays_at_chance_is_told);
    tcase_add_test(training, set_reaches_lists_sections_and_defaults);
    tcase_add_test(training, set_reaches_sections_the_spec_leaves_out);
    tcase_add_test(training, a_diverging_run_stops);
    tcase_add_test(training, skipping_for_ever_stops);
    tcase_add_test(training, clipping_keeps_it_from_diverging);

    TCase *again = add_case(suite, "runs that are there");
    tcase_add_test(again, a_run_is_not_overwritten_silently);
    tcase_add_test(again, a_failing_start_leaves_the_old_run);
    tcase_add_test(again, a_finished_run_says_so);
    tcase_add_test(again, an_extended_run_equals_a_long_one);
    tcase_add_test(again, a_run_is_not_resumed_with_another_spec);
    tcase_add_test(again, a_run_starts_from_another_ones_weights);
    tcase_add_test(again, weights_of_another_network_are_refused);
    tcase_add_test(again, a_classifier_may_be_drawn);
    tcase_add_test(again, a_run_with_given_weights_is_resumed);

    TCase *interrupted = add_case(suite, "interrupted runs");
    tcase_add_loop_test(interrupted, a_killed_run_resumes_bit_for_bit, 0, COUNT(instants));
    tcase_add_test(interrupted, a_run_may_be_killed_many_times);
    tcase_add_test(interrupted, damaged_tables_are_brought_back);
    tcase_add_test(interrupted, a_run_without_a_checkpoint_begins_again);
    tcase_add_test(interrupted, links_are_made_again);
    tcase_add_test(interrupted, a_temporary_file_that_was_left_does_not_matter);
    tcase_add_test(interrupted, damaged_checkpoints_are_refused);
    tcase_add_test(interrupted, damage_behind_gzip_is_found);
    tcase_add_test(interrupted, resume_passes_over_damaged_checkpoints);

    TCase *limited = add_case(suite, "full disk");
    tcase_set_tags(limited, "file-limit");
    tcase_add_test(limited, a_full_disk_ends_the_run_and_it_can_be_resumed);

    TCase *lines = add_case(suite, "command line");
    tcase_add_loop_test(lines, command_lines_have_the_right_status, 0, COUNT(command_lines));
    tcase_add_test(lines, all_mistakes_of_the_command_line_and_the_spec_at_once);
    tcase_add_test(lines, places_that_cannot_hold_a_run);
    tcase_add_test(lines, more_memory_than_there_is);
    tcase_add_test(lines, an_empty_run_dir_is_refused);
    tcase_add_test(lines, names_that_are_no_folders);
    tcase_add_loop_test(lines, standard_output_cannot_be_written, 0, 6);
    tcase_add_test(lines, a_closed_standard_output_does_no_harm);

    TCase *others = add_case(suite, "eval, show, bench");
    tcase_add_test(others, eval_agrees_with_the_run);
    tcase_add_test(others, eval_refuses_what_does_not_fit);
    tcase_add_test(others, features_and_their_angles_agree);
    tcase_add_test(others, features_need_a_classifier);
    tcase_add_loop_test(others, show_writes_the_network_out, 0, COUNT(families));
    tcase_add_test(others, bench_prints_tables);
    tcase_add_test(others, bench_prints_csv);
    tcase_add_test(others, bench_looks_into_residual_units);
    tcase_add_test(others, a_sweep_goes_on_where_it_stopped);
    tcase_add_test(others, a_sweep_with_mistakes_does_not_start);
    tcase_add_test(others, pictures_are_drawn);
    tcase_add_test(others, bench_peers_says_what_is_missing);
    tcase_add_test(others, bench_peers_says_what_was_killed);

    tcase_add_test(add_case(suite, "building"), the_compiler_says_what_is_built_for);

    TCase *kernels = add_case(suite, "OpenBLAS's kernels");
    tcase_add_test(kernels, machine_and_kernels_are_told);
    tcase_add_test(kernels, bound_threads_take_all_processors);
    tcase_add_test(kernels, slow_kernels_from_the_environment_are_told);
    tcase_add_test(kernels, kernels_are_those_of_the_spec);
    tcase_add_test(kernels, kernels_that_cannot_be_had);
    tcase_add_test(kernels, the_program_starts_over_once);
    tcase_add_test(kernels, a_spec_from_a_pipe_cannot_start_over);
    tcase_add_test(kernels, a_name_that_openblas_does_not_know_is_told);
    tcase_add_test(kernels, an_empty_name_of_kernels_is_none);

    TCase *files = add_case(suite, "files");
    tcase_add_test(files, data_files_with_mistakes);
    tcase_add_test(files, ten_megabytes_of_garbage);
    tcase_add_test(files, the_page_of_bad_specs_is_true);
    return suite;
}
