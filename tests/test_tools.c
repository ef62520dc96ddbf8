/* tools/: pictures, the comparison with PyTorch, and what make would do on another machine. */
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

/* --- Pictures ---------------------------------------------------------------------------------------------------- */

static int plot(const char *arguments) {
    return shell(arena_printf(&arena, "'%s/tools/'%s >output.txt 2>errors.txt", home, arguments));
}

START_TEST(pictures_are_drawn) {
    SKIP_IF(!disk_exists("/usr/bin/gnuplot"), "there is no /usr/bin/gnuplot");
    run(0, "train spec.yaml --set 'network.layers[2]={type: dense, units: 2, name: feature}'");
    run(0, "train spec.yaml --run-dir 'another run' --set train.iterations=12 --set data.validation=0.2");
    run(0, "features runs/tiny --out features.csv");
    ck_assert_int_eq(plot("plot_curves --out both runs/tiny 'another run'"), 0);
    ck_assert_int_eq(plot("plot_features features.csv"), 0);
    static const char *const pictures[] = {"both.png", "both.svg", "features.png", "features.svg"};
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++)
        ck_assert_msg(strlen(read_text(pictures[i])) > 0, "%s", pictures[i]);
    ck_assert_ptr_nonnull(strstr(read_text("both.svg"), "another run"));
    ck_assert_ptr_nonnull(strstr(read_text("both.svg"), ">validation<"));
    ck_assert_int_eq(plot("plot_curves --out one runs/tiny"), 0);
    ck_assert_ptr_null(strstr(read_text("one.svg"), "validation"));
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
    tcase_add_test(tools, pictures_are_drawn);
    tcase_add_test(tools, bench_peers_says_what_is_missing);
    tcase_add_test(tools, bench_peers_says_what_was_killed);
    tcase_add_test(tools, the_polynomials_are_those_of_their_fit);

    TCase *building = suite_group(suite, "building", 120, program_set_up, program_tear_down);
    tcase_add_test(building, the_compiler_says_what_is_built_for);
    return suite;
}
