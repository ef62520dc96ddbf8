/* `spherenet bench`: its tables and its CSV. */
#define _GNU_SOURCE /* strsep */
#include <stdlib.h>
#include <string.h>

#include "base/real.h"
#include "support/program.h"
#include "support/suite.h"

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
    ck_assert_double_gt(printed("\ninput: "), 0);
    ck_assert_double_gt(printed("\npeak memory: "), 0);
    ck_assert(!disk_exists("runs"));
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
        "prepared,",
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

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("bench");
    TCase *benches = suite_group(suite, "bench", 120, program_set_up, program_tear_down);
    tcase_add_test(benches, bench_prints_tables);
    tcase_add_test(benches, bench_prints_csv);
    tcase_add_test(benches, bench_looks_into_residual_units);
    return suite;
}
