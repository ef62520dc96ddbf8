/* What classes are called: facts, official files beside the data, checkpoints, tables. */
#include "data/class_names.h"

#include <string.h>

#include "run/checkpoint.h"
#include "support/datasets.h"
#include "support/program.h"
#include "support/suite.h"

static const char *name_of(int class) {
    static char buffer[CLASS_NAME_BYTES];
    return dataset_class_name(&dataset, class, buffer);
}

static void describe(struct choice data) {
    dataset_free(&dataset);
    ck_assert(dataset_describe(&dataset, data, &err));
}

/* One training image in each of CIFAR-10's files, or in CIFAR-100's. */
static void write_cifar(void) {
    static const char *const files[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                                        "data_batch_5.bin", "test_batch.bin",   "train.bin",        "test.bin"};
    static char record[2 + 3072];
    for (int i = 0; i < COUNT(files); i++)
        disk_write(in_folder(files[i]), record, i < 6 ? 3073 : 3074);
}

/* --- Facts ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *dataset;
    int classes, class;
    const char *name;
} facts[] = {
    {"cifar10", 10, 0, "airplane"},
    {"cifar10", 10, 3, "cat"},
    {"cifar10", 10, 9, "truck"},
    {"cifar100", 100, 0, "apple"},
    {"cifar100", 100, 71, "sea"},
    {"cifar100", 100, 99, "worm"},
    {"mnist", 10, 0, "0"},
    {"mnist", 10, 9, "9"},
    {"fashion_mnist", 10, 0, "T-shirt/top"},
    {"fashion_mnist", 10, 5, "Sandal"},
    {"synthetic", 10, 0, "class 0"},
    {"synthetic", 10, 9, "class 9"},
};

START_TEST(classes_have_names_before_any_file_is_opened) {
    describe(choose(facts[_i].dataset));
    ck_assert_int_eq(dataset.classes, facts[_i].classes);
    ck_assert_str_eq(name_of(facts[_i].class), facts[_i].name);
}
END_TEST

START_TEST(no_two_classes_have_one_name) {
    describe(choose(_i ? "cifar100" : "fashion_mnist"));
    for (int a = 0; a < dataset.classes; a++)
        for (int b = 0; b < a; b++)
            ck_assert_str_ne(dataset.class_names[a], dataset.class_names[b]);
}
END_TEST

START_TEST(coarse_classes_have_names_of_their_own) {
    struct choice data = choose("cifar100");
    set_int(data, "labels", 1);
    describe(data);
    ck_assert_int_eq(dataset.classes, 20);
    ck_assert_str_eq(name_of(0), "aquatic_mammals");
    ck_assert_str_eq(name_of(19), "vehicles_2");
}
END_TEST

START_TEST(a_million_classes_have_names) {
    describe(choose_synthetic(1000000, 2, 2, 1, 1));
    ck_assert_str_eq(name_of(999999), "class 999999");
}
END_TEST

/* --- Files ------------------------------------------------------------------------------------------------------- */

static const char *const ten = "Flugzeug\nAuto\nVogel\nKatze\nHirsch\nHund\nFrosch\nPferd\nSchiff\nLastwagen\n";

/* As it is, with the empty line that the official file ends with, with another system's ends of lines, cut. */
START_TEST(the_official_file_is_read_where_there_is_one) {
    static const char *const ends[] = {"", "\n", "\r\n\r\n"};
    write_cifar();
    disk_write_text(in_folder("batches.meta.txt"), arena_printf(&arena, "%s%s", ten, ends[_i]));
    load(choose("cifar10"));
    ck_assert_str_eq(name_of(0), "Flugzeug");
    ck_assert_str_eq(name_of(3), "Katze");
    ck_assert_str_eq(name_of(9), "Lastwagen");
}
END_TEST

START_TEST(without_a_file_names_stay) {
    write_cifar();
    load(choose("cifar10"));
    ck_assert_str_eq(name_of(3), "cat");
}
END_TEST

START_TEST(fine_and_coarse_names_have_files_of_their_own) {
    struct text fine = {0}, coarse = {0};
    struct choice data = choose("cifar100");
    write_cifar();
    for (int i = 0; i < 100; i++)
        text_printf(&fine, "fine %d\r\n", i);
    for (int i = 0; i < 20; i++)
        text_printf(&coarse, "coarse %d%s", i, i < 19 ? "\n" : "");
    disk_write_text(in_folder("fine_label_names.txt"), fine.data);
    disk_write_text(in_folder("coarse_label_names.txt"), coarse.data);
    load(data);
    ck_assert_str_eq(name_of(99), "fine 99");
    set_int(data, "labels", 1);
    load(data);
    ck_assert_str_eq(name_of(19), "coarse 19");
    text_free(&fine);
    text_free(&coarse);
}
END_TEST

#define NO_NAME(LINE) "line " LINE " is no name of a class: 1 to 200 bytes of printable UTF-8 are one"

static const struct {
    const char *text, *message;
} bad_files[] = {
    {"", "has 0 names, but there are 10 classes"},
    {"\n\n", "has 0 names, but there are 10 classes"},
    {"a\nb\nc\nd\ne\nf\ng\nh\ni\n", "has 9 names, but there are 10 classes"},
    {"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl", "has 12 names, but there are 10 classes"},
    {"a\nb\nc\nd\ne\nf\ng\nh\nb\nj", "two classes are named \"b\""},
    {"a\nb\n\nd\ne\nf\ng\nh\ni\nj", NO_NAME("3")},
    {"a\tb\nb\nc\nd\ne\nf\ng\nh\ni\nj", NO_NAME("1")},
    {"a\nb\033[1m\nc\nd\ne\nf\ng\nh\ni\nj", NO_NAME("2")},
    {"a\nb\302\233\nc\nd\ne\nf\ng\nh\ni\nj", NO_NAME("2")},
    {"a\nb\nc\nd\ne\nf\ng\nh\ni\n\377", NO_NAME("10")},
};

START_TEST(a_file_of_other_names_is_refused) {
    write_cifar();
    disk_write_text(in_folder("batches.meta.txt"), bad_files[_i].text);
    ck_assert(!dataset_load(&dataset, choose("cifar10"), 1, &err));
    ck_assert_str_eq(err.text, arena_printf(&arena, "%s/batches.meta.txt: %s", folder, bad_files[_i].message));
    ck_assert_ptr_null(dataset.class_names);
}
END_TEST

START_TEST(a_name_may_be_long_but_not_too_long) {
    write_cifar();
    for (int length = 200; length <= 201; length++) {
        char *text = arena_printf(&arena, "%0*d\nb\nc\nd\ne\nf\ng\nh\ni\nj\n", length, 1);
        disk_write_text(in_folder("batches.meta.txt"), text);
        ck_assert(dataset_load(&dataset, choose("cifar10"), 1, &err) == (length == 200));
        dataset_free(&dataset);
    }
}
END_TEST

/* --- Checkpoints ------------------------------------------------------------------------------------------------- */

START_TEST(lists_that_differ_do_not_agree) {
    struct text list = {0};
    describe(choose("cifar10"));
    class_names_list(&list, &dataset);
    ck_assert(class_names_agree(list.data, "FILE", &dataset, &err));
    describe(choose("mnist"));
    ck_assert(!class_names_agree(list.data, "FILE", &dataset, &err));
    ck_assert_str_eq(err.text, "FILE: its class 0 is \"airplane\", that of the dataset \"0\"");
    ck_assert(!class_names_agree("0\n1\n2\n", "FILE", &dataset, &err));
    ck_assert_str_eq(err.text, "FILE: has names of 3 classes, the dataset of 10");
    ck_assert(!class_names_agree("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "FILE", &dataset, &err));
    ck_assert_str_eq(err.text, "FILE: its class 10 is \"10\", that of the dataset \"\"");
    text_free(&list);
}
END_TEST

START_TEST(numbers_alone_differ_from_no_names) {
    struct text list = {0};
    describe(choose("synthetic"));
    class_names_list(&list, &dataset);
    ck_assert_uint_eq(list.length, 0);
    ck_assert(class_names_agree("a\nb\n", "FILE", &dataset, &err));
    describe(choose("cifar10"));
    ck_assert(class_names_agree("", "FILE", &dataset, &err));
}
END_TEST

/* Names with all that has a meaning in a table. */
static const char *const names_for_tables =
    "plain\nwith space\nwith, comma\nwith \"quotes\"\nM\303\274ll\n5\n6\n7\n8\n\"\n";

static void train_cifar(void) {
    write_cifar();
    disk_write_text("batches.meta.txt", names_for_tables);
    disk_write_text("names.yaml", "data: {type: cifar10, path: .}\n"
                                  "network: {layers: [{type: dense, units: 10}]}\n"
                                  "train: {iterations: 1, batch_size: 2}\n");
    run(0, "train names.yaml");
}

START_TEST(names_travel_with_the_checkpoint) {
    char path[PATH_BYTES];
    struct safetensors file;
    train_cifar();
    ck_assert_msg(checkpoint_open("runs/names", path, &file, &err), "%s", err.text);
    ck_assert_str_eq(safetensors_text(&file, "classes"), names_for_tables);
    safetensors_close(&file);
}
END_TEST

START_TEST(a_checkpoint_of_numbered_classes_has_no_names) {
    char path[PATH_BYTES];
    struct safetensors file;
    run(0, "train spec.yaml --set train.iterations=1");
    ck_assert_msg(checkpoint_open("runs/tiny", path, &file, &err), "%s", err.text);
    ck_assert_ptr_null(safetensors_text(&file, "classes"));
    safetensors_close(&file);
}
END_TEST

START_TEST(classes_that_are_called_otherwise_are_not_taken_for_the_same) {
    train_cifar();
    disk_write_text("batches.meta.txt", ten);
    static const char *const commands[] = {"eval runs/names", "features runs/names",
                                           "train names.yaml --resume --set train.iterations=2"};
    run(1, "%s", commands[_i]);
    expect_error("iteration-00000001.safetensors.gz: its class 0 is \"plain\", that of the dataset \"Flugzeug\"");
    disk_write_text("batches.meta.txt", names_for_tables);
    run(0, "%s", commands[_i]);
}
END_TEST

/* --- Tables ------------------------------------------------------------------------------------------------------ */

static const char *const fields[] = {
    "plain", "with space", "\"with, comma\"", "\"with \"\"quotes\"\"\"", "M\303\274ll", "5", "6", "7", "8", "\"\"\"\""};

static void check_rows(const char *path, const char *header, const char *start) {
    char *place, *row = strtok_r(read_text(path), "\n", &place);
    ck_assert_str_eq(row, header);
    for (int i = 0; i < COUNT(fields); i++) {
        row = strtok_r(NULL, "\n", &place);
        const char *end = arena_printf(&arena, ",%s", fields[i]), *begin = arena_printf(&arena, "%d%s", i, start);
        ck_assert_msg(!strncmp(row, begin, strlen(begin)) && strlen(row) > strlen(end) &&
                          !strcmp(row + strlen(row) - strlen(end), end),
                      "%s: row %d is %s", path, i, row);
    }
    ck_assert_ptr_null(strtok_r(NULL, "\n", &place));
}

START_TEST(tables_end_with_names) {
    train_cifar();
    run(0, "eval runs/names --out tables");
    check_rows("tables/test_per_class.csv", "class,images,correct,accuracy,name", ",");
    check_rows("tables/test_confusion.csv", "true\\predicted,0,1,2,3,4,5,6,7,8,9,name", ",");
    run(0, "features runs/names --out features.csv");
    char *features = read_text("features.csv"), *row = strchr(features, '\n') + 1;
    ck_assert_ptr_nonnull(strstr(features, ",f3071,label_name,prediction_name\n"));
    int predicted = row[2] - '0';
    const char *end = arena_printf(&arena, ",plain,%s\n", fields[predicted]);
    ck_assert(row[0] == '0' && row[1] == ',' && row[3] == ',');
    ck_assert_str_eq(row + strlen(row) - strlen(end), end);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("class names");
    TCase *names = suite_group(suite, "names", 60, dataset_set_up, dataset_tear_down);
    tcase_add_loop_test(names, classes_have_names_before_any_file_is_opened, 0, COUNT(facts));
    tcase_add_loop_test(names, no_two_classes_have_one_name, 0, 2);
    tcase_add_test(names, coarse_classes_have_names_of_their_own);
    tcase_add_test(names, a_million_classes_have_names);
    tcase_add_loop_test(names, the_official_file_is_read_where_there_is_one, 0, 3);
    tcase_add_test(names, without_a_file_names_stay);
    tcase_add_test(names, fine_and_coarse_names_have_files_of_their_own);
    tcase_add_loop_test(names, a_file_of_other_names_is_refused, 0, COUNT(bad_files));
    tcase_add_test(names, a_name_may_be_long_but_not_too_long);
    tcase_add_test(names, lists_that_differ_do_not_agree);
    tcase_add_test(names, numbers_alone_differ_from_no_names);
    TCase *runs = suite_group(suite, "runs", 60, program_set_up, program_tear_down);
    tcase_add_test(runs, names_travel_with_the_checkpoint);
    tcase_add_test(runs, a_checkpoint_of_numbered_classes_has_no_names);
    tcase_add_loop_test(runs, classes_that_are_called_otherwise_are_not_taken_for_the_same, 0, 3);
    tcase_add_test(runs, tables_end_with_names);
    return suite;
}
