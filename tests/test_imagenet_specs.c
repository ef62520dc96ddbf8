/* configs/imagenet_*.yaml train on folders that lie as ImageNet's do. */
#include "support/png_file.h"
#include "support/program.h"
#include "support/suite.h"

static void make_pictures(void) {
    for (int i = 0; i < 8; i++) {
        png_write_plain(arena_printf(&arena, "data/imagenet/train/n0144076%d/%d.png", i % 2, i), 40, 30 + i, 20 * i,
                        i % 2 ? 200 : 10, 30);
        png_write_plain(arena_printf(&arena, "data/imagenet/val/n0144076%d/%d.png", i % 2, i), 30 + i, 40, 9 * i,
                        i % 2 ? 180 : 5, 60);
    }
}

static const char *const specs[] = {"imagenet_sphere10", "imagenet_sphereresnet18"};

START_TEST(imagenets_specs_train_on_its_folders_and_test_on_val) {
    make_pictures();
    run(0,
        "train '%s/configs/%s.yaml' --set data.classes=0 --set data.height=32 --set data.width=32 "
        "--set 'network.widths=[4, 4, 8, 8]' --set train.batch_size=4 --set train.iterations=3 --set "
        "train.eval_every=3 "
        "--set 'schedule.milestones=[2]'",
        home, specs[_i]);
    expect_output("8 training and 8 test images of 32x32x3, 2 classes");
    expect_output("iteration 3: test accuracy ");
}
END_TEST

START_TEST(imagenets_specs_say_where_its_folders_go) {
    run(1, "train '%s/configs/%s.yaml'", home, specs[_i]);
    expect_error("data/imagenet");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("imagenet specs");
    TCase *tcase = suite_group(suite, "specs", 120, program_set_up, program_tear_down);
    tcase_add_loop_test(tcase, imagenets_specs_train_on_its_folders_and_test_on_val, 0, COUNT(specs));
    tcase_add_loop_test(tcase, imagenets_specs_say_where_its_folders_go, 0, COUNT(specs));
    return suite;
}
