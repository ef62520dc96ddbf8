/* The kernels that OpenBLAS uses: told, chosen by the spec or the environment, refused. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "machine/cpu.h"
#include "machine/openblas.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* From `start` to the end of its line. */
static char *line_of(const char *text, const char *start) {
    const char *line = strstr(text, start);
    ck_assert_msg(line != NULL, "no \"%s\" in \"%s\"", start, text);
    return arena_printf(&arena, "%.*s", (int)strcspn(line, "\n"), line);
}

static char *products_line(const char *text) {
    return line_of(text, "products: OpenBLAS ");
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
    ck_assert_int_eq(unsetenv("GOMP_SPINCOUNT"), 0); /* so that it starts over */
    run(0, "train spec.yaml --set train.threads=0");
    const char *unbound = line_of(output, "machine: ");
    ck_assert_int_eq(setenv("OMP_PROC_BIND", "true", 1), 0);
    run(0, "train spec.yaml --set train.threads=0 --overwrite");
    ck_assert_str_eq(line_of(output, "machine: "), unbound);
}
END_TEST

/* How often the program begins, which the dynamic linker tells. `input` is the beginning of a pipe, or "". */
static int starts(const char *input, const char *arguments) {
    const char *control = "transferring control: ";
    int count = 0;
    ck_assert_int_eq(
        shell(arena_printf(&arena, "%sLD_DEBUG=files \"$SPHERENET\" %s >output.txt 2>starts.txt", input, arguments)),
        0);
    for (const char *at = read_text("starts.txt"); (at = strstr(at, control)); at += strlen(control))
        count++;
    return count;
}

START_TEST(the_program_starts_over_once_for_all_reasons) {
    const char *core = kernels_can_be_chosen() ? " --set train.openblas_core=Prescott" : "";
    ck_assert_int_eq(unsetenv("GOMP_SPINCOUNT"), 0);
    ck_assert_int_eq(starts("", "--version"), 1);
    ck_assert_int_eq(starts("", "show spec.yaml"), 1);
    ck_assert_int_eq(starts("", arena_printf(&arena, "train spec.yaml%s", core)), 2);
    ck_assert_int_eq(starts("", "eval runs/tiny"), 2);
    ck_assert_int_eq(starts("cat spec.yaml | ", "train /dev/stdin --overwrite"), 2);
    ck_assert_int_eq(setenv(BLAS_CORE_VARIABLE, "", 1), 0);
    ck_assert_int_eq(starts("", "bench spec.yaml --rounds 1 --set train.batch_size=2"), 2);
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
    SKIP_IF(!kernels_can_be_chosen(), "OpenBLAS does not let its kernels be chosen");
    SKIP_IF(cpu_vectors() == CPU_SSE || cpu_has(CPU_FMA4), "this CPU has no kernels that are slow for it");
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
    SKIP_IF(!kernels_can_be_chosen(), "OpenBLAS does not let its kernels be chosen");
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
START_TEST(a_name_without_kernels_is_tried_once) {
    int status = blas_core_known("Athlon") ? 1 : 2;
    run(status, "train spec.yaml --set train.openblas_core=Athlon");
    expect_error(status == 1 ? " has no Athlon kernels; this machine can use auto, " : "unknown value \"Athlon\"");
    ck_assert(!disk_exists("runs"));
}
END_TEST

START_TEST(a_spec_from_a_pipe_cannot_start_over) {
    SKIP_IF(!kernels_can_be_chosen(), "OpenBLAS does not let its kernels be chosen");
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
    SKIP_IF(!kernels_can_be_chosen(), "OpenBLAS does not let its kernels be chosen");
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

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("openblas");
    TCase *kernels = suite_group(suite, "OpenBLAS's kernels", 120, program_set_up, program_tear_down);
    tcase_add_test(kernels, machine_and_kernels_are_told);
    tcase_add_test(kernels, bound_threads_take_all_processors);
    tcase_add_test(kernels, slow_kernels_from_the_environment_are_told);
    tcase_add_test(kernels, kernels_are_those_of_the_spec);
    tcase_add_test(kernels, kernels_that_cannot_be_had);
    tcase_add_test(kernels, a_name_without_kernels_is_tried_once);
    tcase_add_test(kernels, the_program_starts_over_once_for_all_reasons);
    tcase_add_test(kernels, a_spec_from_a_pipe_cannot_start_over);
    tcase_add_test(kernels, a_name_that_openblas_does_not_know_is_told);
    tcase_add_test(kernels, an_empty_name_of_kernels_is_none);
    return suite;
}
