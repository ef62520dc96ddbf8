/* make install and uninstall, manual pages, flags of packagers, tools through links. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/version.h"
#include "support/make_targets.h"
#include "support/suite.h"

static void expect_part(const char *text, const char *part) {
    ck_assert_msg(strstr(text, part) != NULL, "there is no %s in\n%.3000s", part, text);
}

/* --- Installing -------------------------------------------------------------------------------------------------- */

/* Without the part for MPI, which is where its compiler is. */
static const char *const installed_files = "bin/spherenet\n"
                                           "bin/spherenet-get-data\n"
                                           "bin/spherenet-plot-curves\n"
                                           "bin/spherenet-plot-features\n"
                                           "share/bash-completion/completions/spherenet\n"
                                           "share/fish/vendor_completions.d/spherenet.fish\n"
                                           "share/man/man1/spherenet-get-data.1\n"
                                           "share/man/man1/spherenet-plot-curves.1\n"
                                           "share/man/man1/spherenet-plot-features.1\n"
                                           "share/man/man1/spherenet.1\n"
                                           "share/man/man5/spherenet-spec.5\n"
                                           "share/spherenet/tools/common.py\n"
                                           "share/spherenet/tools/get_data\n"
                                           "share/spherenet/tools/plot_curves\n"
                                           "share/spherenet/tools/plot_features\n"
                                           "share/spherenet/tools/plotting.py\n"
                                           "share/spherenet/tools/spherenet_torch.py\n"
                                           "share/zsh/site-functions/_spherenet\n";

START_TEST(what_is_installed_is_uninstalled) {
    SKIP_IF(!has("make"), "there is no make");
    make("install");
    const char *files = printed_by(
        "cd '" INSTALLED
        "' && find . ! -type d ! -path '*/configs/*' ! -path './lib/spherenet/*' | cut -c3- | LC_ALL=C sort");
    ck_assert_int_eq(has("mpicc"), disk_exists(INSTALLED "/lib/spherenet/spherenet-mpi.so"));
    ck_assert_str_eq(files, installed_files);
    const char *command = arena_printf(&arena, "diff -r '%s/configs' '" INSTALLED "/share/spherenet/configs'", home);
    ck_assert_str_eq(printed_by(command), "");
    make("uninstall");
    ck_assert(!disk_exists("with blank"));
}
END_TEST

START_TEST(folders_of_others_outlive_uninstall) {
    SKIP_IF(!has("make"), "there is no make");
    ck_assert_int_eq(shell("mkdir -p '" INSTALLED "/bin'"), 0);
    make("install");
    make("install");
    disk_write_text(INSTALLED "/share/man/man1/another.1", "");
    make("uninstall");
    ck_assert_str_eq(printed_by("find 'with blank' | LC_ALL=C sort"),
                     "with blank\n" INSTALLED "\n" INSTALLED "/bin\n" INSTALLED "/share\n" INSTALLED
                     "/share/man\n" INSTALLED "/share/man/man1\n" INSTALLED "/share/man/man1/another.1\n");
}
END_TEST

START_TEST(uninstall_after_make_clean_leaves_nothing_of_its_own) {
    SKIP_IF(!has("make"), "there is no make");
    make("install");
    ck_assert_int_eq(shell("rm -r share"), 0);
    make("uninstall");
    ck_assert_str_eq(printed_by("find 'with blank' ! -type d"), "");
    ck_assert(!disk_exists(INSTALLED "/share/spherenet"));
    ck_assert(disk_exists(INSTALLED "/bin"));
}
END_TEST

START_TEST(what_is_installed_works_from_any_folder) {
    SKIP_IF(!has("make"), "there is no make");
    SKIP_IF(!disk_exists("/usr/bin/python3"), "there is no /usr/bin/python3");
    make("install");
    const char *path = arena_printf(&arena, "PATH='%s/" INSTALLED "/bin':\"$PATH\"; ", folder);
    printed_by(arena_printf(&arena, "%s spherenet train spec.yaml --quiet && spherenet eval runs/tiny", path));
    const char *usage = printed_by(arena_printf(&arena, "%s spherenet-plot-curves --help", path));
    expect_part(usage, "\n    spherenet-plot-curves --out operators runs");
    disk_write_text("a.sweep", "spec: spec.yaml\n");
    printed_by(arena_printf(&arena, "%s spherenet sweep list a.sweep | sh", path));
    expect_part(printed_by(arena_printf(&arena, "%s spherenet sweep table a.sweep", path)), "- runs: 1, 1 finished\n");
}
END_TEST

START_TEST(the_version_of_the_package_is_the_programs) {
    const char *changelog = read_text(arena_printf(&arena, "%s/debian/changelog", home));
    const char *first = "spherenet (" SPHERENET_VERSION;
    ck_assert_int_eq(strncmp(changelog, first, strlen(first)), 0);
    expect_part(")-~+", arena_printf(&arena, "%c", changelog[strlen(first)]));
}
END_TEST

/* --- Flags ------------------------------------------------------------------------------------------------------- */

static const char *flags_with(const char *flags) {
    make(arena_printf(&arena, "B='%s' '%s/flags' %s", folder, folder, flags));
    return read_text("flags");
}

START_TEST(packagers_flags_are_taken_and_others_build_anew) {
    SKIP_IF(!has("make"), "there is no make");
    const char *flags = flags_with("CPPFLAGS=-DFIRST CFLAGS=--coverage LDFLAGS=-Wl,-O1 LDLIBS=-lrt");
    expect_part(flags, " -DFIRST --coverage ");
    expect_part(flags, " -fopenmp --coverage -Wl,-O1 ");
    expect_part(flags, " -ldl -lrt\n");
    expect_part(flags, " -D_FORTIFY_SOURCE=2 ");
    struct stat before, again, after;
    ck_assert_int_eq(stat("flags", &before), 0);
    flags_with("CPPFLAGS=-DFIRST CFLAGS=--coverage LDFLAGS=-Wl,-O1 LDLIBS=-lrt");
    ck_assert_int_eq(stat("flags", &again), 0);
    ck_assert(before.st_mtim.tv_sec == again.st_mtim.tv_sec && before.st_mtim.tv_nsec == again.st_mtim.tv_nsec);
    static const char *const others[] = {"CFLAGS=-O0", "HARDENING=", "CPPFLAGS=-DSECOND", "LDFLAGS=-s", "ARCH=x86-64"};
    for (int i = 0; i < COUNT(others); i++) {
        const char *last = read_text("flags");
        ck_assert_str_ne(flags_with(others[i]), last);
        ck_assert_int_eq(stat("flags", &after), 0);
        ck_assert(after.st_mtim.tv_sec != again.st_mtim.tv_sec || after.st_mtim.tv_nsec != again.st_mtim.tv_nsec);
        again = after;
    }
}
END_TEST

START_TEST(packagers_degree_of_fortification_stands_alone) {
    SKIP_IF(!has("make"), "there is no make");
    static const char *const named[] = {"CPPFLAGS=-D_FORTIFY_SOURCE=3", "CFLAGS=-Wp,-D_FORTIFY_SOURCE=3"};
    for (int i = 0; i < COUNT(named); i++) {
        const char *flags = flags_with(named[i]), *first = strstr(flags, "_FORTIFY_SOURCE");
        ck_assert_int_eq(strncmp(first, "_FORTIFY_SOURCE=3 ", strlen("_FORTIFY_SOURCE=3 ")), 0);
        ck_assert_ptr_eq(strstr(flags, "_FORTIFY_SOURCE=2"), NULL);
    }
}
END_TEST

/* --- Manual pages ------------------------------------------------------------------------------------------------ */

/* The page as one line of words, whatever reads it. */
static const char *read_page(const char *page) {
    const char *reader = has("man") ? "MANWIDTH=200 man --warnings -l" : "mandoc -O width=200";
    const char *command = arena_printf(&arena, "%s '" INSTALLED "/share/man/%s' >page.txt", reader, page);
    ck_assert_str_eq(printed_by(command), "");
    return printed_by("col -bx <page.txt | tr -s ' \\n' ' '");
}

START_TEST(manual_pages_tell_commands_and_keys) {
    SKIP_IF(!has("make"), "there is no make");
    SKIP_IF(!has("man") && !has("mandoc"), "there is neither man nor mandoc");
    SKIP_IF(!has("col"), "there is no col");
    make("install");
    const char *page = read_page("man1/spherenet.1");
    expect_part(page, " NAME spherenet - train ");
    expect_part(page, " --run-dir DIR where the run is kept; else runs/NAME --resume ");
    expect_part(page, " /usr/share/spherenet/configs ");
    page = read_page("man5/spherenet-spec.5");
    expect_part(page, " network.operator: {magnitude: tanh} ");
    expect_part(page,
                " rho the length up to which patches count about linearly a number from 0.001 to 1000000; default 1 ");
    page = read_page("man1/spherenet-plot-curves.1");
    expect_part(page, " NAME is curves unless told. SEE ALSO spherenet(1), spherenet-spec(5) ");
    page = read_page("man1/spherenet-plot-features.1");
    expect_part(page, " NAME is features unless told. SEE ALSO spherenet(1), spherenet-spec(5) ");
    page = read_page("man1/spherenet-get-data.1");
    expect_part(page, " SEE ALSO spherenet(1), spherenet-spec(5) ");
}
END_TEST

/* --- Links ------------------------------------------------------------------------------------------------------- */

static const char *const linked_tools[] = {"bench_peers",      "check",      "coverage", "fit_vmath.py", "get_data",
                                           "install_packages", "lint",       "man_page", "memcheck",     "plot_curves",
                                           "plot_features",    "quickstart", "soak"};

START_TEST(tools_work_through_links) {
    SKIP_IF(!disk_exists("/usr/bin/python3"), "there is no /usr/bin/python3");
    const char *tool = linked_tools[_i];
    printed_by(arena_printf(&arena, "ln -s '%s/tools/%s' first && ln -s first '%s'", home, tool, tool));
    expect_part(printed_by(arena_printf(&arena, "'./%s' --help", tool)), arena_printf(&arena, "tools/%s", tool));
}
END_TEST

/* --- The command that goes on ------------------------------------------------------------------------------------ */

START_TEST(the_command_that_goes_on_calls_the_program_as_it_was_called) {
    static const struct {
        const char *path, *word, *printed;
    } calls[] = {{"true", "'./a folder/spherenet'", "'./a folder/spherenet'"},
                 {"PATH=\"$PWD/a folder:$PATH\"", "spherenet", "spherenet"}};
    printed_by("mkdir 'a folder' && ln -s \"$SPHERENET\" 'a folder/spherenet'");
    const char *train =
        arena_printf(&arena, "%s; %s train spec.yaml --set train.iterations=100000000", calls[_i].path, calls[_i].word);
    printed_by(arena_printf(&arena,
                            "%s >output.txt 2>&1 & pid=$!\n"
                            "until [ -s runs/tiny/train.csv ]; do sleep 0.05; done\n"
                            "kill -TERM $pid; wait $pid; [ $? = 143 ]",
                            train));
    expect_part(read_text("output.txt"),
                arena_printf(&arena, "\nto go on: %s train spec.yaml --set train.iterations=100000000 --resume\n",
                             calls[_i].printed));
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("install");
    TCase *install = suite_group(suite, "install", 120, program_set_up, program_tear_down);
    tcase_add_test(install, what_is_installed_is_uninstalled);
    tcase_add_test(install, folders_of_others_outlive_uninstall);
    tcase_add_test(install, uninstall_after_make_clean_leaves_nothing_of_its_own);
    tcase_add_test(install, what_is_installed_works_from_any_folder);
    tcase_add_test(install, the_version_of_the_package_is_the_programs);
    tcase_add_test(install, packagers_flags_are_taken_and_others_build_anew);
    tcase_add_test(install, packagers_degree_of_fortification_stands_alone);
    tcase_add_test(install, manual_pages_tell_commands_and_keys);
    tcase_add_loop_test(install, tools_work_through_links, 0, COUNT(linked_tools));
    tcase_add_loop_test(install, the_command_that_goes_on_calls_the_program_as_it_was_called, 0, 2);
    return suite;
}
