/* export --to tensorboard: the file's records, the scalars in them, tables that cannot be read. */
#include <event.pb-c.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "export/crc32c.h"
#include "export/curve_table.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* RFC 3720, appendix B.4, and the check value that catalogues of CRCs give. */
START_TEST(checksums_are_the_published_ones) {
    uint8_t bytes[32] = {0};
    ck_assert_uint_eq(crc32c("", 0), 0);
    ck_assert_uint_eq(crc32c("123456789", 9), 0xe3069283u);
    ck_assert_uint_eq(crc32c(bytes, sizeof bytes), 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_uint_eq(crc32c(bytes, sizeof bytes), 0x62a8ab43u);
    for (int i = 0; i < (int)sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    ck_assert_uint_eq(crc32c(bytes, sizeof bytes), 0x46dd794eu);
}
END_TEST

/* --- Records ----------------------------------------------------------------------------------------------------- */

#define EVENTS "runs/tiny/tensorboard/events.out.tfevents.spherenet"

enum { MOST_EVENTS = 100 };

static Tensorboard__Event *events[MOST_EVENTS];
static int event_count;

static uint32_t unmasked(const char *at) {
    uint32_t crc;
    memcpy(&crc, at, sizeof crc);
    crc -= 0xa282ead8u;
    return crc >> 17 | crc << 15;
}

static void read_events(void) {
    size_t size;
    char *bytes = disk_read(EVENTS, &size);
    ck_assert_ptr_nonnull(bytes);
    event_count = 0;
    for (const char *at = bytes; at < bytes + size;) {
        uint64_t length;
        memcpy(&length, at, sizeof length);
        ck_assert_uint_eq(unmasked(at + 8), crc32c(at, 8));
        ck_assert_uint_eq(unmasked(at + 12 + length), crc32c(at + 12, length));
        ck_assert_int_lt(event_count, MOST_EVENTS);
        events[event_count] = tensorboard__event__unpack(NULL, length, (const uint8_t *)at + 12);
        ck_assert_ptr_nonnull(events[event_count++]);
        at += 16 + length;
    }
    free(bytes);
}

static void free_events(void) {
    for (int i = 0; i < event_count; i++)
        tensorboard__event__free_unpacked(events[i], NULL);
}

/* NAN: there is no such scalar at that step. */
static double scalar(const char *tag, int64_t step, double *wall_time) {
    for (int i = 0; i < event_count; i++)
        for (size_t j = 0; events[i]->step == step && events[i]->summary && j < events[i]->summary->n_value; j++)
            if (!strcmp(events[i]->summary->value[j]->tag, tag)) {
                *wall_time = events[i]->wall_time;
                return (double)events[i]->summary->value[j]->simple_value;
            }
    return NAN;
}

static void expect_curve(const char *name, const char *group) {
    struct curve_table table;
    struct error err;
    int columns = 0;
    double first = 0, last = 0;
    ck_assert_msg(curve_table_read(&table, &arena, in_run("runs/tiny", name), &err), "%s", err.text);
    ck_assert_int_gt(table.row_count, 1);
    for (int i = 0; i < table.row_count; i++) {
        const double *values = table.rows[i].values;
        for (int c = 1; c < table.columns; c++, columns++) {
            const char *tag = arena_printf(&arena, "%s/%s", group, table.names[c]);
            if (strcmp(table.names[c], "split") != 0)
                ck_assert_float_eq((float)scalar(tag, (int64_t)values[0], &last), (float)values[c]);
        }
        first = i ? first : last;
        ck_assert_double_eq_tol(last - first, values[table.columns - 1] - table.rows[0].values[table.columns - 1],
                                1e-5);
    }
    ck_assert_double_eq_tol(last, (double)time(NULL), 600);
}

START_TEST(every_value_of_both_curves_is_a_scalar) {
    run(0, "train spec.yaml --quiet");
    run(0, "export runs/tiny --to tensorboard");
    expect_output(EVENTS "\n");
    read_events();
    ck_assert_str_eq(events[0]->file_version, "brain.Event:2");
    ck_assert_int_eq(event_count, 1 + 24 + 4);
    expect_curve("train.csv", "train");
    expect_curve("eval.csv", "test");
    free_events();
}
END_TEST

START_TEST(tests_of_validation_images_are_scalars_of_their_own) {
    double time;
    run(0, "train spec.yaml --quiet --set data.validation=0.25");
    run(0, "export runs/tiny --to tensorboard");
    read_events();
    ck_assert_double_ge(scalar("validation/accuracy", 24, &time), 0);
    ck_assert_double_ge(scalar("test/accuracy", 24, &time), 0);
    free_events();
}
END_TEST

START_TEST(a_later_export_replaces_the_one_before) {
    run(0, "train spec.yaml --quiet --set schedule=constant --set train.iterations=6");
    run(0, "export runs/tiny --to tensorboard");
    run(0, "train spec.yaml --quiet --set schedule=constant --resume");
    run(0, "export runs/tiny --to tensorboard");
    read_events();
    ck_assert_int_eq(event_count, 1 + 24 + 4);
    free_events();
    ck_assert_int_eq(shell("test `ls runs/tiny/tensorboard | wc -l` = 1"), 0);
}
END_TEST

START_TEST(tensorboards_own_reader_finds_the_values) {
    const char *python = getenv("SPHERENET_PYTHON");
    setenv("SPHERENET_PYTHON", python && *python ? python : "python3", 1);
    SKIP_IF(shell("$SPHERENET_PYTHON -c 'import numpy, tensorboard.backend.event_processing' 2>/dev/null"),
            "there is no Python with tensorboard");
    run(0, "train spec.yaml --quiet");
    ck_assert_int_eq(shell("sed -i '3s/,[^,]*,\\([^,]*\\)$/,nan,\\1/' runs/tiny/train.csv"), 0);
    run(0, "export runs/tiny --to tensorboard");
    int status = shell(arena_printf(
        &arena, "$SPHERENET_PYTHON '%s/tests/support/tensorboard_values.py' runs/tiny >count.txt 2>errors.txt", home));
    ck_assert_msg(status == 0, "%s", read_text("errors.txt"));
    ck_assert_str_eq(read_text("count.txt"), "280\n"); /* 24 rows of 11 and 4 of 4 */
}
END_TEST

/* --- Tables ------------------------------------------------------------------------------------------------------ */

#define HEADER "iteration,loss,seconds\n"

START_TEST(a_row_that_is_not_whole_is_left_out) {
    struct curve_table table;
    struct error err;
    disk_write_text("train.csv", HEADER "10,1.5,0.25\n20,nan,0.5\n30,1.");
    ck_assert_msg(curve_table_read(&table, &arena, "train.csv", &err), "%s", err.text);
    ck_assert_int_eq(table.row_count, 2);
    ck_assert_double_eq(table.rows[0].values[1], 1.5);
    ck_assert_double_nan(table.rows[1].values[1]);
}
END_TEST

static const struct {
    const char *table, *message;
} damaged[] = {
    {"", "train.csv: has no header"},
    {"iteration,loss", "train.csv: has no header"},
    {"loss,seconds\n1,2\n", "train.csv: its first column is \"loss\", not the iteration: no curve of a run"},
    {HEADER "10,1.5\n", "train.csv:2: has fewer than 3 columns"},
    {HEADER "10,1.5,1\n20,1,2,3\n", "train.csv:3: has more than 3 columns"},
    {HEADER "10,,1\n", "train.csv:2: loss is \"\", which is no number"},
    {HEADER "10,1x,1\n", "train.csv:2: loss is \"1x\", which is no number"},
};

START_TEST(a_table_that_is_no_curve_is_told) {
    struct curve_table table;
    struct error err;
    disk_write_text("train.csv", damaged[_i].table);
    ck_assert(!curve_table_read(&table, &arena, "train.csv", &err));
    ck_assert_str_eq(err.text, damaged[_i].message);
}
END_TEST

START_TEST(mistakes_are_told_and_leave_nothing) {
    run(1, "export runs/none --to tensorboard");
    expect_error("runs/none/train.csv: the curve of a run cannot be read: No such file or directory");
    ck_assert(!disk_exists("runs"));
    run(0, "train spec.yaml --quiet");
    run(1, "export runs/tiny/checkpoints/latest.safetensors.gz --to tensorboard --out events");
    expect_error("the curve of a run cannot be read: Not a directory");
    ck_assert(!disk_exists("events"));
    run(2, "export runs/tiny --to tensorboard --input float");
    expect_error("spherenet export: --input is for --to onnx");
    run(2, "export runs/tiny --to tensorboard --set seed=2");
    expect_error("spherenet export: --set is for --to onnx");
    run(1, "export runs/tiny --to tensorboard --out spec.yaml");
    expect_error("spec.yaml: cannot be made: File exists");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("tensorboard");
    TCase *checksums = suite_group(suite, "checksums", 0, NULL, NULL);
    tcase_add_test(checksums, checksums_are_the_published_ones);
    TCase *files = suite_group(suite, "files", 60, program_set_up, program_tear_down);
    tcase_add_test(files, every_value_of_both_curves_is_a_scalar);
    tcase_add_test(files, tests_of_validation_images_are_scalars_of_their_own);
    tcase_add_test(files, a_later_export_replaces_the_one_before);
    tcase_add_test(files, tensorboards_own_reader_finds_the_values);
    tcase_add_test(files, a_row_that_is_not_whole_is_left_out);
    tcase_add_loop_test(files, a_table_that_is_no_curve_is_told, 0, COUNT(damaged));
    tcase_add_test(files, mistakes_are_told_and_leave_nothing);
    return suite;
}
