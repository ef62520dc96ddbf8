/* Weights under other names, and weights that the network has no place for: what a run says of them. */
#include <string.h>

#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

static const char *const no_bias = "--set network.layers[3].bias=false";

/* Writes the tensors of the newest checkpoint of runs/tiny, but for the optimizer's, to other.safetensors; names begin
 * with `to` instead of `from`. */
static void write_renamed(const char *from, const char *to) {
    struct tensor_file file;
    struct stored_tensor tensors[64];
    struct error err;
    int count = 0;
    read_tensors(&file, checkpoint("runs/tiny", 24));
    for (int i = 0; i < file.tensor_count; i++) {
        struct stored_tensor tensor = file.tensors[i];
        ck_assert_int_lt(count, COUNT(tensors));
        if (!strncmp(tensor.name, "optimizer.", 10))
            continue;
        if (!strncmp(tensor.name, from, strlen(from)))
            tensor.name = arena_printf(&arena, "%s%s", to, tensor.name + strlen(from));
        tensors[count++] = tensor;
    }
    ck_assert_msg(tensor_file_write("other.safetensors", tensors, count, NULL, 0, &err), "%s", err.text);
    tensor_file_free(&file);
}

static void set_up(void) {
    program_set_up();
    run(0, "train spec.yaml --quiet");
}

/* --- Another beginning of all names ------------------------------------------------------------------------------ */

static const struct {
    const char *from, *to, *map;
} beginnings[] = {
    {"", "module.", "module.: ''"},
    {"", "model.", "model.: ''"},
    {"", "_orig_mod.module.", "_orig_mod.module.: ''"},
};

START_TEST(a_beginning_that_all_names_have_is_told_in_one_line) {
    write_renamed(beginnings[_i].from, beginnings[_i].to);
    run(1, "train spec.yaml --run-dir second --set train.init_from=other.safetensors");
    ck_assert_str_eq(errors, arena_printf(&arena,
                                          "spherenet: other.safetensors: has the network's tensors under other names; "
                                          "--set \"train.init_map={%s}\" makes them the network's\n",
                                          beginnings[_i].map));
    run(0, "train spec.yaml --run-dir second --set train.init_from=other.safetensors --set \"train.init_map={%s}\"",
        beginnings[_i].map);
    ck_assert_str_eq(warnings, "");
}
END_TEST

/* The network's names are those that have more in front. */
START_TEST(a_beginning_that_the_network_alone_has_is_told) {
    write_renamed("", "");
    const char *layers = "--set network.layers[0].name=net.first --set network.layers[1].name=net.batch_norm_2 --set "
                         "network.layers[3].name=net.score";
    run(1, "train spec.yaml %s --run-dir second --set train.init_from=other.safetensors", layers);
    expect_error("--set \"train.init_map={'': net.}\" makes them the network's\n");
    run(0,
        "train spec.yaml %s --run-dir second --set train.init_from=other.safetensors --set "
        "\"train.init_map={'': net.}\"",
        layers);
}
END_TEST

START_TEST(one_beginning_that_would_not_do_is_not_advised) {
    write_renamed("first.", "stem.");
    run(1, "train spec.yaml --run-dir second --set train.init_from=other.safetensors");
    ck_assert_ptr_null(strstr(errors, "--set \"train.init_map"));
    expect_error("\n  has no tensor \"first.weight\", which the network needs\n");
    expect_error("\n  has a tensor \"stem.weight\", which the network has not\n");
    write_renamed("", "module.");
    run(1, "train spec.yaml --run-dir second --set train.init_from=other.safetensors --set network.layers[0].name=one");
    ck_assert_ptr_null(strstr(errors, "--set \"train.init_map"));
}
END_TEST

/* --- Weights without a place ------------------------------------------------------------------------------------- */

START_TEST(a_bias_that_the_network_lacks_is_a_warning) {
    write_renamed("", "");
    run(0, "train spec.yaml --run-dir second --set train.init_from=other.safetensors %s", no_bias);
    ck_assert_str_eq(warnings,
                     "spherenet: warning: 1 tensor of train.init_from is not used: \"score.bias\"; the network "
                     "has none of that name; `bias: true` gives a layer the bias that it lacks\n");
    ck_assert_ptr_nonnull(strstr(read_text("second/run.log"), "warning: 1 tensor"));
}
END_TEST

START_TEST(many_unused_weights_are_counted) {
    run(0,
        "train spec.yaml --quiet --run-dir large --set network.operator=null --set \"network={type: plain, depth: 3, "
        "widths: [4, 4, 4], features: 2}\"");
    run(0, "train spec.yaml --run-dir second --set train.init_from=large --set \"network={layers: [{type: dense, "
           "name: score, units: 4}]}\" --set train.init_classifier=draw");
    ck_assert_ptr_nonnull(strstr(warnings, " tensors of train.init_from are not used: \"conv1_0.weight\", "));
    ck_assert_ptr_nonnull(strstr(warnings, " and "));
    ck_assert_ptr_nonnull(strstr(warnings, " more; the network has none of that name\n"));
}
END_TEST

START_TEST(counters_that_are_not_used_are_no_warning) {
    write_renamed("batch_norm_2.num_batches_tracked", "elsewhere.num_batches_tracked");
    run(0, "train spec.yaml --run-dir second --set train.init_from=other.safetensors");
    ck_assert_str_eq(warnings, "");
    expect_output(
        "weights: left in the file, since the network has no such tensors:\n  \"elsewhere.num_batches_tracked\"");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("names of init_from");
    TCase *names = suite_group(suite, "names", 60, set_up, program_tear_down);
    tcase_add_loop_test(names, a_beginning_that_all_names_have_is_told_in_one_line, 0, COUNT(beginnings));
    tcase_add_test(names, a_beginning_that_the_network_alone_has_is_told);
    tcase_add_test(names, one_beginning_that_would_not_do_is_not_advised);
    TCase *unused = suite_group(suite, "unused", 60, set_up, program_tear_down);
    tcase_add_test(unused, a_bias_that_the_network_lacks_is_a_warning);
    tcase_add_test(unused, many_unused_weights_are_counted);
    tcase_add_test(unused, counters_that_are_not_used_are_no_warning);
    return suite;
}
