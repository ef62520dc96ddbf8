/* tools/spherenet_torch.py: networks that the program has trained are the same in PyTorch, and come back from there.
 * Needs Python's torch and yaml; SPHERENET_PYTHON names the interpreter, python3 unless told. With
 * SPHERENET_TORCH_TABLE the differences of all networks are added to that file. */
#include <stdlib.h>

#include "support/program.h"
#include "support/suite.h"

static bool has_torch(void) {
    const char *python = getenv("SPHERENET_PYTHON");
    setenv("SPHERENET_PYTHON", python && *python ? python : "python3", 1);
    return !shell("$SPHERENET_PYTHON -c 'import torch, yaml, numpy' >/dev/null 2>&1");
}

#define NEEDS_TORCH SKIP_IF(!has_torch(), "there is no Python with torch, yaml and numpy")

static void python(const char *script, const char *argument) {
    int status = shell(
        arena_printf(&arena, "$SPHERENET_PYTHON '%s/tests/%s' '%s' >table.txt 2>errors.txt", home, script, argument));
    ck_assert_msg(status == 0, "%s\n%s", read_text("table.txt"), read_text("errors.txt"));
    if (getenv("SPHERENET_TORCH_TABLE"))
        ck_assert_int_eq(shell("cat table.txt >>\"$SPHERENET_TORCH_TABLE\""), 0);
}

static const char *const groups[] = {"operator", "classifier", "loss", "family", "layers"};

START_TEST(logits_features_and_losses_of_every_row_are_the_same_in_pytorch) {
    NEEDS_TORCH;
    python("torch/compare.py", groups[_i]);
}
END_TEST

START_TEST(a_network_that_pytorch_has_tuned_is_evaluated_and_started_from) {
    NEEDS_TORCH;
    python("torch/compare.py", "there and back");
}
END_TEST

START_TEST(the_golden_runs_are_those_of_the_same_file) {
    NEEDS_TORCH;
    python("golden/generate.py", "--check");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("torch");
    TCase *torch = suite_group(suite, "torch", 600, program_set_up, program_tear_down);
    tcase_add_loop_test(torch, logits_features_and_losses_of_every_row_are_the_same_in_pytorch, 0, COUNT(groups));
    tcase_add_test(torch, a_network_that_pytorch_has_tuned_is_evaluated_and_started_from);
    tcase_add_test(torch, the_golden_runs_are_those_of_the_same_file);
    return suite;
}
