/* docs/pictures.md can be followed: each of its commands, one after the other, on a small network and small pictures.
 */
#include <string.h>

#include "base/text.h"
#include "support/png_file.h"
#include "support/program.h"
#include "support/suite.h"

static const char *const clothing_spec =
    "data: {type: images, path: data/clothing, height: 8, width: 8, crop_scale: 0.3}\n"
    "network: {layers: [{type: conv, filters: 4, stride: 8}, relu, "
    "{type: avg_pool, global: true}, {type: dense, units: 2}]}\n"
    "train: {iterations: 8, batch_size: 4, eval_every: 100}\n";

/* What the page takes for granted: the program beside photos, new pictures, a list, a run on other pictures. */
static void make_all_that_is_there(void) {
    make_folders("configs/x");
    disk_write_text("configs/clothing_sphere.yaml", clothing_spec);
    struct text list = {0};
    for (int i = 0; i < 24; i++) {
        const char *name = arena_printf(&arena, "%s/%d.jpg", i % 2 ? "hat" : "dress", i);
        png_write_plain(arena_printf(&arena, "photos/%s", name), 12, 10 + i, i % 2 ? 200 : 30, 8 * i, 90);
        text_printf(&list, "%s\t%s\t%s\n", name, i % 2 ? "hat" : "dress", i < 16 ? "train" : "test");
    }
    disk_write_text("photos/list.txt", list.data);
    text_free(&list);
    png_write_plain("new/a.jpg", 10, 10, 200, 100, 90);
    ck_assert_int_eq(shell("ln -s \"$SPHERENET\" spherenet"), 0);
    run(0, "train configs/clothing_sphere.yaml --set data.path=photos --set name=other");
}

static bool is_command(const char *line) {
    return !strncmp(line, "    ./spherenet ", 16) || !strncmp(line, "    cp ", 7) || !strncmp(line, "    find ", 9);
}

START_TEST(the_commands_of_the_page_of_pictures_work_one_after_the_other) {
    make_all_that_is_there();
    char *page = read_text(arena_printf(&arena, "%s/docs/pictures.md", home));
    int commands = 0;
    for (char *line = page, *end; (end = strchr(line, '\n')); line = end + 1) {
        while (end > line && end[-1] == '\\')
            end = strchr(end + 1, '\n');
        *end = '\0';
        if (!is_command(line))
            continue;
        ck_assert_msg(shell(arena_printf(&arena, "(%s) >out.txt 2>err.txt", line)) == 0, "%s\n%s", line,
                      read_text("err.txt"));
        commands++;
    }
    ck_assert_int_ge(commands, 8);
    ck_assert(disk_exists("sheet.png") && disk_exists("photos.onnx"));
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("page of pictures");
    TCase *pages = suite_group(suite, "pages", 120, program_set_up, program_tear_down);
    tcase_add_test(pages, the_commands_of_the_page_of_pictures_work_one_after_the_other);
    return suite;
}
