/* Runs that go on with another spec or with data in another place: what trains the same way is taken, and what does not
 * is named. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support/compare.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

enum { RECORD_BYTES = 3073, RECORDS = 6 };

/* Files of CIFAR-10 in a folder. changed: which byte of the training images differs from those in other folders; -1:
 * none. */
static void write_cifar10(const char *to, int changed) {
    char bytes[RECORDS * RECORD_BYTES];
    for (int i = 0; i < COUNT(bytes); i++)
        bytes[i] = (char)(i % RECORD_BYTES ? i * 7 % 251 : i / RECORD_BYTES);
    ck_assert_int_eq(mkdir(to, 0777), 0);
    for (int i = 1; i <= 6; i++) {
        if (changed >= 0 && i == 3)
            bytes[changed] ^= 1;
        const char *name = i < 6 ? arena_printf(&arena, "data_batch_%d", i) : "test_batch";
        disk_write(arena_printf(&arena, "%s/%s.bin", to, name), bytes, sizeof bytes);
        if (changed >= 0 && i == 3)
            bytes[changed] ^= 1;
    }
}

/* A run of three iterations on the files in "data". */
#define CIFAR_WITHOUT_PATH                                                                                             \
    "spec.yaml --set schedule=constant --set network.layers[3].units=10 --set train.eval_every=2 "                     \
    "--set 'data={type: cifar10, path: data}' "

static void cifar_set_up(void) {
    program_set_up();
    write_cifar10("data", -1);
    run(0, "train " CIFAR_WITHOUT_PATH "--set train.iterations=3");
}

START_TEST(a_run_goes_on_where_its_data_have_moved) {
    run(0, "train " CIFAR_WITHOUT_PATH "--set train.iterations=6 --run-dir whole");
    ck_assert_int_eq(rename("data", "elsewhere"), 0);
    run(0, "train " CIFAR_WITHOUT_PATH "--set train.iterations=6 --set data.path=elsewhere --resume");
    expect_output("resumed at iteration 3\n");
    expect_same_lines(without_times("runs/tiny/train.csv"), without_times("whole/train.csv"), "train.csv");
}
END_TEST

START_TEST(the_same_folder_has_many_names) {
    const char *const names[] = {"./data", "data/", "data/../data", in_folder("data")};
    for (int i = 0; i < COUNT(names); i++)
        run(0, "train " CIFAR_WITHOUT_PATH "--set train.iterations=%d --set data.path=%s --resume", 4 + i, names[i]);
    expect_output("resumed at iteration 6\n");
}
END_TEST

START_TEST(a_run_goes_on_with_fewer_test_images) {
    run(0, "train " CIFAR_WITHOUT_PATH "--set train.iterations=6 --set data.test_limit=2 --resume");
    run(1, "train " CIFAR_WITHOUT_PATH "--set train.iterations=8 --set data.train_limit=20 --resume");
    expect_error("\n  data.train_limit: it had 0, now 20\n");
}
END_TEST

/* A label, a pixel, and all but the last files. */
START_TEST(other_training_images_are_refused) {
    const int changed[] = {0, 1, RECORDS * RECORD_BYTES - 1};
    for (int i = 0; i < COUNT(changed); i++) {
        const char *other = arena_printf(&arena, "other%d", i);
        write_cifar10(other, changed[i]);
        run(1, "train " CIFAR_WITHOUT_PATH "--set train.iterations=6 --set data.path=%s --resume", other);
        expect_error("iteration-00000003.safetensors.gz: the run trained on other data: it had 30 images, checksum ");
        expect_error(", now there are 30 images, checksum ");
        expect_error("; give data.path the folder where the run's own data are, or start another run from its weights");
    }
    ck_assert_int_eq(shell("cp other1/* data"), 0);
    run(1, "train " CIFAR_WITHOUT_PATH "--set train.iterations=6 --resume");
    expect_error("the run trained on other data");
    ck_assert_int_eq(shell("head -c 3073 data/test_batch.bin >data/data_batch_5.bin"), 0);
    run(1, "train " CIFAR_WITHOUT_PATH "--set train.iterations=6 --resume");
    expect_error(", now there are 25 images, checksum ");
}
END_TEST

/* A checkpoint of a version that did not look at the data is taken for what its spec says. */
START_TEST(a_checkpoint_that_knows_no_data_is_taken) {
    const char *path = checkpoint("runs/tiny", 3);
    struct tensor_file file;
    read_tensors(&file, path);
    ck_assert_ptr_nonnull(strstr(tensor_file_text(&file, "data"), "30 images, checksum "));
    tensor_file_free(&file);
    ck_assert_int_eq(shell(arena_printf(&arena,
                                        "rm -f runs/tiny/checkpoints/*-00000002*; zcat %s | LC_ALL=C sed "
                                        "'s/\"data\":\"30 images/\"DATA\":\"30 images/; s/\"xxh3_64\"/\"nothing\"/' "
                                        ">old; cat old >%s",
                                        path, path)),
                     0);
    write_cifar10("other", 1);
    run(0, "train " CIFAR_WITHOUT_PATH "--set train.iterations=6 --set data.path=other --resume");
}
END_TEST

/* --- Specs that differ ------------------------------------------------------------------------------------------- */

START_TEST(every_key_that_differs_is_named_with_both_values) {
    run(0, "train spec.yaml");
    run(1,
        "train spec.yaml --resume --set seed=2 --set network.layers[0].operator.epsilon=1e-3 "
        "--set network.layers[3].name=a_name_that_is_long_enough_to_reach_beyond_what_a_line_of_a_message_had_room_for "
        "--set 'optimizer={type: sgd, learning_rate: 3}' --set regularizer.weight_decay_on=[bias,norm] "
        "--set train.keep=9");
    expect_error(":\n  seed: it had 1, now 2\n  network.layers[0].operator.epsilon: it had 0.0001, now 0.001\n");
    expect_error("\n  network.layers[3].name: it had score, now "
                 "a_name_that_is_long_enough_to_reach_beyond_what_a_line_of_a_message_had_room_for\n");
    expect_error("\n  optimizer.type: it had adam, now sgd\n");
    expect_error("\n  regularizer.weight_decay_on: it had [weights, norm], now [norm, bias]\n");
    ck_assert_ptr_null(strstr(errors, "learning_rate"));
    ck_assert_ptr_null(strstr(errors, "keep"));
}
END_TEST

START_TEST(a_layer_more_is_named) {
    run(0, "train spec.yaml");
    run(1,
        "train spec.yaml --resume --set 'network.layers=[{type: sphere_conv, name: first, filters: 6, padding: 1, "
        "operator: {angular: learnable_sigmoid}}, batch_norm, max_pool, {type: dense, name: score, units: 4}, relu]'");
    expect_error(":\n  network.layers[4]: it had none, now {type: relu");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("moved data");
    TCase *data = suite_group(suite, "data elsewhere", 120, cifar_set_up, program_tear_down);
    tcase_add_test(data, a_run_goes_on_where_its_data_have_moved);
    tcase_add_test(data, the_same_folder_has_many_names);
    tcase_add_test(data, a_run_goes_on_with_fewer_test_images);
    tcase_add_test(data, other_training_images_are_refused);
    tcase_add_test(data, a_checkpoint_that_knows_no_data_is_taken);

    TCase *specs = suite_group(suite, "another spec", 120, program_set_up, program_tear_down);
    tcase_add_test(specs, every_key_that_differs_is_named_with_both_values);
    tcase_add_test(specs, a_layer_more_is_named);
    return suite;
}
