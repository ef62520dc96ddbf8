/* tools/: sweeps, pictures, the comparison with PyTorch, and what make would do on another machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/program.h"
#include "support/suite.h"

/* --- Usage ------------------------------------------------------------------------------------------------------- */

/* wrong: a command line that the tool refuses with its usage. `quickstart` takes all that `spherenet train` takes, and
 * bench_peers may find no PyTorch before it looks at its arguments. */
static const struct {
    const char *tool, *wrong;
} usages[] = {
    {"bench_peers", NULL},
    {"check", "no-such-target"},
    {"coverage", ""},
    {"fit_vmath.py", "--no-such-option"},
    {"get_data", "no-such-dataset"},
    {"install_packages", "nothing"},
    {"lint", "--no-such-option"},
    {"man_page", ""},
    {"memcheck", ""},
    {"plot_curves", ""},
    {"plot_features", ""},
    {"quickstart", NULL},
    {"soak", "spec.yaml --every x"},
    {"sweep", "--dry-run"},
};

START_TEST(tools_tell_their_usage) {
    SKIP_IF(!disk_exists("/usr/bin/python3"), "there is no /usr/bin/python3");
    const char *tool = usages[_i].tool, *wrong = usages[_i].wrong;
    ck_assert_int_eq(shell(arena_printf(&arena, "'%s/tools/%s' --help >output.txt", home, tool)), 0);
    ck_assert_ptr_nonnull(strstr(read_text("output.txt"), arena_printf(&arena, "tools/%s", tool)));
    if (wrong) {
        ck_assert_int_eq(shell(arena_printf(&arena, "'%s/tools/%s' %s 2>errors.txt", home, tool, wrong)), 2);
        errors = read_text("errors.txt");
        expect_error("usage: ");
    }
}
END_TEST

/* --- Sweeps and pictures ----------------------------------------------------------------------------------------- */

static const char *const tiny_sweep =
    "spec: spec.yaml\n"
    "rows:\n"
    "  cosine: {}\n"
    "  linear:\n"
    "    network.layers[0].operator.angular: linear\n"
    "columns:\n"
    "  plain: {\"network.layers[3].bias\": false}\n"
    "  margin: {\"network.layers[3].bias\": false, loss: {type: a_softmax, margin: 2}}\n";

static bool can_sweep(void) {
    return !shell("/usr/bin/python3 -c 'import yaml' 2>/dev/null");
}

static int sweep(const char *arguments) {
    int status = shell(arena_printf(&arena, "'%s/tools/sweep' %s >output.txt 2>errors.txt", home, arguments));
    errors = read_text("errors.txt");
    output = read_text("output.txt");
    return status;
}

/* The last accuracy of a run, as its own table has it. */
static const char *last_accuracy(const char *run) {
    char *text = arena_alloc(&arena, 32);
    const char *row = strstr(read_text(arena_printf(&arena, "sweep/%s/eval.csv", run)), "\n24,");
    ck_assert_ptr_nonnull(row);
    ck_assert_int_eq(sscanf(row, "\n24,%*[^,],test,%*[^,],%31[^,],", text), 1);
    return text;
}

START_TEST(a_sweep_tabulates_every_row_column_and_seed) {
    SKIP_IF(!can_sweep(), "python3-yaml is not installed");
    disk_write_text("tiny.sweep", tiny_sweep);
    ck_assert_int_eq(sweep("tiny.sweep --seeds 1,2 --out sweep"), 0);
    const char *runs = read_text("sweep/runs.csv");
    double mean = 0;
    for (int seed = 1; seed <= 2; seed++) {
        const char *accuracy = last_accuracy(arena_printf(&arena, "linear_margin_s%d", seed));
        const char *row = arena_printf(&arena, "\nlinear,margin,%d,finished,24,%s,", seed, accuracy);
        ck_assert_msg(strstr(runs, row) != NULL, "%s is not in %s", row, runs);
        mean += 100 * atof(accuracy) / 2;
    }
    const char *row = strstr(read_text("sweep/table.md"), "| linear |");
    ck_assert_ptr_nonnull(row);
    ck_assert_double_eq_tol(atof(strchr(row + 10, '|') + 1), mean, 0.0051);
    const char *settings = "loss:\n  type: a_softmax\n";
    ck_assert_ptr_nonnull(strstr(read_text("sweep/linear_margin_s2/spec.yaml"), settings));
    ck_assert_ptr_null(strstr(read_text("sweep/linear_plain_s2/spec.yaml"), settings));
}
END_TEST

/* The second time nothing is trained; a run that was lost is trained again, and the tables are as before. */
START_TEST(a_sweep_goes_on_where_it_stopped) {
    SKIP_IF(!can_sweep(), "python3-yaml is not installed");
    disk_write_text("tiny.sweep", tiny_sweep);
    ck_assert_int_eq(sweep("tiny.sweep --out sweep"), 0);
    const char *table = read_text("sweep/table.md"), *curve = read_text("sweep/linear_plain_s1/train.csv");
    ck_assert_int_eq(shell("rm -r sweep/cosine_plain_s1"), 0);
    ck_assert_int_eq(sweep("tiny.sweep --out sweep"), 0);
    expect_output("linear_plain_s1: ");
    expect_output(" %, finished before\n");
    ck_assert_str_eq(read_text("sweep/table.md"), table);
    ck_assert_str_eq(read_text("sweep/linear_plain_s1/train.csv"), curve);
}
END_TEST

/* A run's spec has the network in short, where it is one of a family. */
START_TEST(a_sweep_knows_finished_runs_of_a_family) {
    SKIP_IF(!can_sweep(), "python3-yaml is not installed");
    disk_write_text("family.sweep",
                    "spec: spec.yaml\n"
                    "rows: {plain: {network: {type: plain, depth: 3, widths: [4, 4, 4], features: 4}}}\n"
                    "columns: {once: {}}\n");
    ck_assert_int_eq(sweep("family.sweep --out sweep"), 0);
    ck_assert_int_eq(sweep("family.sweep --out sweep"), 0);
    expect_output("[1/1] plain_once_s1: ");
    expect_output(" %, finished before\n");
}
END_TEST

/* Longer runs of the same spec go on. */
START_TEST(a_sweep_does_not_take_the_runs_of_another_spec) {
    SKIP_IF(!can_sweep(), "python3-yaml is not installed");
    disk_write_text("tiny.sweep", tiny_sweep);
    ck_assert_int_eq(sweep("tiny.sweep --out sweep --set train.iterations=6"), 0);
    ck_assert_int_eq(sweep("tiny.sweep --out sweep"), 0);
    ck_assert_ptr_nonnull(strstr(read_text("sweep/runs.csv"), "\ncosine,plain,1,finished,24,"));
    ck_assert_int_eq(sweep("tiny.sweep --out sweep --set optimizer.learning_rate=1"), 1);
    ck_assert_ptr_nonnull(strstr(read_text("sweep/runs.csv"), "\nlinear,margin,1,failed,0,,,,,"));
    expect_output("the run began with another spec");
}
END_TEST

static const struct {
    const char *text, *message;
} wrong_sweeps[] = {
    {"", "expected the keys spec, rows, columns"},
    {"rows: {a: {}}\ncolumns: {b: {}}\n", "expected the keys spec, rows, columns"},
    {"spec: spec.yaml\nrows: {a: {}}\ncolumns: {b: {}}\nrwo: 1\n", "expected the keys spec, rows, columns"},
    {"spec: spec.yaml\nrows: [a]\ncolumns: {b: {}}\n", "rows: expected names, each with the keys that it sets"},
    {"spec: spec.yaml\nrows: {a: x}\ncolumns: {b: {}}\n", "rows: a: expected the keys that it sets"},
    {"spec: spec.yaml\nrows: {a: {}}\ncolumns: {b/c: {}}\n", "columns: \"b/c\": expected a name of letters"},
    {"spec: spec.yaml\nrows: {a: {seed: 2}}\ncolumns: {b: {}}\n", "rows: a: seed: seeds are listed"},
    {"spec: spec.yaml\nrows: {a: {}, a_b: {}}\ncolumns: {c: {}, b_c: {}}\n", "make different folders"},
    {"spec: spec.yaml\nrows: {a: {}}\ncolumns: {b: {}}\nseeds: [1, x]\n", "seeds: x: expected whole numbers"},
    {"spec: spec.yaml\nrows: {a: {}}\ncolumns: {b: {}}\nseeds: [2, 2]\n",
     "seeds: 2: expected whole numbers, each once"},
    {"spec: spec.yaml\nrows:\n  a: {}\n  a: {}\ncolumns: {b: {}}\n", "tiny.sweep:4: a is there twice"},
    {"spec: spec.yaml\nrows: {a: {}\n", "tiny.sweep:3: expected ',' or '}'"},
    {"spec: spec.yaml\nrows: {a: {}, b: {train.keep: x}}\ncolumns: {b: {}}\n", "expected a whole number"},
    {"spec: spec.yaml\nrows: {a: {}, b: {train.keep: x}}\ncolumns: {c: {}}\n", "(row b, column c)"},
};

START_TEST(a_sweep_with_mistakes_does_not_start) {
    SKIP_IF(!can_sweep(), "python3-yaml is not installed");
    disk_write_text("tiny.sweep", wrong_sweeps[_i].text);
    ck_assert_int_eq(sweep("tiny.sweep --out sweep"), 2);
    expect_error(wrong_sweeps[_i].message);
    ck_assert(!disk_exists("sweep"));
}
END_TEST

static int plot(const char *arguments) {
    return shell(arena_printf(&arena, "'%s/tools/'%s >output.txt 2>errors.txt", home, arguments));
}

START_TEST(pictures_are_drawn) {
    SKIP_IF(!disk_exists("/usr/bin/gnuplot"), "there is no /usr/bin/gnuplot");
    run(0, "train spec.yaml --set 'network.layers[2]={type: dense, units: 2, name: feature}'");
    run(0, "train spec.yaml --run-dir 'another run' --set train.iterations=12");
    run(0, "features runs/tiny --out features.csv");
    ck_assert_int_eq(plot("plot_curves --out both runs/tiny 'another run'"), 0);
    ck_assert_int_eq(plot("plot_features features.csv"), 0);
    static const char *const pictures[] = {"both.png", "both.svg", "features.png", "features.svg"};
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++)
        ck_assert_msg(strlen(read_text(pictures[i])) > 0, "%s", pictures[i]);
    ck_assert_ptr_nonnull(strstr(read_text("both.svg"), "another run"));
    ck_assert_int_eq(plot("plot_curves nowhere"), 1);
    disk_write_text("three.csv", "label,prediction,f0,f1,f2\n0,0,1,2,3\n");
    ck_assert_int_ne(plot("plot_features three.csv"), 0);
    errors = read_text("errors.txt");
    expect_error("network.features=2");
}
END_TEST

/* --- The comparison with PyTorch --------------------------------------------------------------------------------- */

/* The comparison with PyTorch is no part of these tests, but without PyTorch it says what to install. */
START_TEST(bench_peers_says_what_is_missing) {
    SKIP_IF(!disk_exists("/usr/bin/python3"), "there is no /usr/bin/python3");
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
    SKIP_IF(!has_torch(), "python3-torch or python3-yaml is not installed");
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

/* --- The polynomials' fit ---------------------------------------------------------------------------------------- */

START_TEST(the_polynomials_are_those_of_their_fit) {
    SKIP_IF(shell("/usr/bin/python3 -c 'import numpy' 2>/dev/null"), "python3-numpy is not installed");
    int status = shell(arena_printf(&arena, "'%s/tools/fit_vmath.py' >output.txt", home));
    ck_assert_msg(status == 0, "exit status %d\n%s", status, read_text("output.txt"));
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
    SKIP_IF(shell("make --version >/dev/null 2>&1"), "there is no make");
    ck_assert_ptr_nonnull(strstr(make_would("spherenet", "x86_64-linux-gnu"), " -mprefer-vector-width=512 "));
    ck_assert_ptr_null(strstr(make_would("spherenet", "aarch64-linux-gnu"), "-mprefer-vector-width"));
    ck_assert_ptr_nonnull(strstr(make_would("portable", "x86_64-linux-gnu"), " -march=x86-64-v3 "));
    char *nothing = make_would("portable", "aarch64-linux-gnu");
    ck_assert_ptr_nonnull(strstr(nothing, "programs for aarch64-linux-gnu, not for x86-64"));
    ck_assert_ptr_null(strstr(nothing, "-march="));
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("tools");
    TCase *tools = suite_group(suite, "tools", 120, program_set_up, program_tear_down);
    tcase_add_loop_test(tools, tools_tell_their_usage, 0, COUNT(usages));
    tcase_add_test(tools, a_sweep_tabulates_every_row_column_and_seed);
    tcase_add_test(tools, a_sweep_goes_on_where_it_stopped);
    tcase_add_test(tools, a_sweep_knows_finished_runs_of_a_family);
    tcase_add_test(tools, a_sweep_does_not_take_the_runs_of_another_spec);
    tcase_add_loop_test(tools, a_sweep_with_mistakes_does_not_start, 0, COUNT(wrong_sweeps));
    tcase_add_test(tools, pictures_are_drawn);
    tcase_add_test(tools, bench_peers_says_what_is_missing);
    tcase_add_test(tools, bench_peers_says_what_was_killed);
    tcase_add_test(tools, the_polynomials_are_those_of_their_fit);

    TCase *building = suite_group(suite, "building", 120, program_set_up, program_tear_down);
    tcase_add_test(building, the_compiler_says_what_is_built_for);
    return suite;
}
