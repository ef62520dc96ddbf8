/* IDX files as they lie around: names, types, shapes, labels; a training on such ones. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/datasets.h"
#include "support/idx_writer.h"
#include "support/program.h"
#include "support/suite.h"

static void check_refused(struct choice data, const char *part) {
    dataset_free(&dataset);
    ck_assert(!dataset_load(&dataset, data, 1, &err));
    ck_assert_msg(strstr(err.text, part) != NULL, "\"%s\" is not in \"%s\"", part, err.text);
}

static void set_text(struct choice data, const char *key, const char *value) {
    *(const char **)value_of(data, key) = value;
}

static void set_real(struct choice data, const char *key, double value) {
    *(double *)value_of(data, key) = value;
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

static double byte_value(size_t i) {
    return (double)(i * 37 % 251);
}

static double index_value(size_t i) {
    return (double)i;
}

static double one_based(size_t i) {
    return (double)(i + 1);
}

/* Names as printf makes them of "train" or "t10k", "images" or "labels", and 3 or 1. */
static void write_set(const char *format, uint32_t height, uint32_t width, double (*label)(size_t)) {
    for (int s = 0; s < SPLIT_COUNT; s++) {
        uint32_t count = s == SPLIT_TRAIN ? 3 : 2;
        const char *word = s == SPLIT_TRAIN ? "train" : strstr(format, "mnist-") ? "test" : "t10k";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        const char *images = arena_printf(&arena, format, word, "images", 3);
        const char *labels = arena_printf(&arena, format, word, "labels", 1);
#pragma GCC diagnostic pop
        idx_write(images, &(struct idx_content){IDX_UINT8, 3, {count, height, width}, byte_value});
        idx_write(labels, &(struct idx_content){IDX_UINT8, 1, {count}, label});
    }
}

static void write_training(const struct idx_content *images, const struct idx_content *labels) {
    idx_write("train-images-idx", images);
    idx_write("t10k-images-idx", images);
    idx_write("train-labels-idx", labels);
    idx_write("t10k-labels-idx", labels);
}

/* Three labels 0, 1, 2. */
static const struct idx_content three_labels = {IDX_UINT8, 1, {3}, index_value};

/* --- Names ------------------------------------------------------------------------------------------------------- */

static const char *const spellings[] = {
    "%1$s-%2$s-idx%3$d-ubyte/%1$s-%2$s-idx%3$d-ubyte",
    "%s-%s-idx%d-ubyte",
    "%s-%s.idx%d-ubyte",
    "%s-%s.idx%d-ubyte.gz",
    "MNIST/raw/%s-%s-idx%d-ubyte",
    "raw/%s-%s-idx%d-ubyte.gz",
    "%s_%s.idx%d_ubyte.gz",
};

START_TEST(mnist_is_taken_under_all_of_its_names) {
    write_set(spellings[_i], 28, 28, index_value);
    load(choose("mnist"));
    check_counts(3, 2);
    check_shape(28, 28, 1, 10);
    ck_assert_int_eq(image_of(SPLIT_TRAIN, 1)[5], (int)byte_value(28 * 28 + 5));
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].labels[2], 2);
}
END_TEST

START_TEST(the_official_name_comes_before_others) {
    write_set("%s-%s-idx%d-ubyte", 28, 28, index_value);
    write_set("%s-%s.idx%d-ubyte", 28, 28, one_based);
    write_set("MNIST/raw/%s-%s-idx%d-ubyte", 28, 28, one_based);
    load(choose("mnist"));
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].labels[0], 0);
}
END_TEST

START_TEST(what_lies_beside_the_files_is_not_taken) {
    struct choice data = choose("mnist");
    write_set("%s-%s-idx%d-ubyte.gz.part", 28, 28, index_value);
    check_refused(data, "train-images-idx3-ubyte: not found");
    check_refused(data, "; there is t10k-images-idx3-ubyte.gz.part, a download that did not end");
    write_set("%s-%s.idx%d-ubyte.gz", 28, 28, index_value);
    disk_write_text(in_folder("train-images-idx3-ubyte.gz.md5"), "f68b3c2dcbeaaa9fbdd348bbdeb94873");
    disk_write_text(in_folder("train-images-idx3-ubyte.md5"), "f68b3c2dcbeaaa9fbdd348bbdeb94873");
    load(data);
    check_counts(3, 2);
}
END_TEST

START_TEST(mnist_says_how_files_of_emnist_are_read) {
    write_set("emnist-digits-%s-%s-idx%d-ubyte.gz", 28, 28, index_value);
    check_refused(choose("mnist"), "there is emnist-digits-train-images-idx3-ubyte, which data: {type: idx, prefix: "
                                   "emnist-digits-} reads, with transposed: true if it is of EMNIST");
    write_set("emnist-letters-%s-%s-idx%d-ubyte.gz", 28, 28, one_based);
    check_refused(choose("mnist"), "there are files of several other datasets, which data: {type: idx, prefix: ...} "
                                   "reads");
}
END_TEST

START_TEST(a_prefix_chooses_among_several_datasets) {
    struct choice data = choose("idx");
    write_set("emnist-digits-%s-%s-idx%d-ubyte.gz", 28, 28, index_value);
    load(data);
    check_shape(28, 28, 1, 3);
    write_set("emnist-letters-%s-%s-idx%d-ubyte.gz", 28, 28, one_based);
    check_refused(data, "has files of several datasets; data.prefix says which to take: one of (emnist-digits-, "
                        "emnist-letters-)");
    data = choose("idx");
    set_text(data, "prefix", "emnist-letters-");
    load(data);
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].labels[2], 2);
    set_text(data, "prefix", "emnist-balanced-");
    check_refused(data, "emnist-balanced-train-images-idx3-ubyte: not found");
}
END_TEST

/* --- Types and shapes -------------------------------------------------------------------------------------------- */

static double small_value(size_t i) {
    return (double)(i % 100);
}

static double part_value(size_t i) {
    return (double)(i % 100) / 255;
}

static const int types[] = {IDX_UINT8, IDX_INT8, IDX_INT16, IDX_INT32, IDX_FLOAT, IDX_DOUBLE};

START_TEST(values_of_every_type_become_pixels) {
    bool is_real = types[_i] == IDX_FLOAT || types[_i] == IDX_DOUBLE;
    write_training(&(struct idx_content){types[_i], 3, {3, 5, 7}, is_real ? part_value : small_value},
                   &(struct idx_content){types[_i], 1, {3}, index_value});
    load(choose("idx"));
    check_shape(5, 7, 1, 3);
    for (int i = 0; i < 3 * 5 * 7; i++)
        ck_assert_int_eq(image_of(SPLIT_TRAIN, 0)[i], i % 100);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(dataset.splits[SPLIT_TEST].labels[i], i);
}
END_TEST

/* What one asks for, and where the pixel of row y, column x and channel c of an image then lies in its record. */
static const struct {
    struct idx_content images;
    int height, width, channels; /* keys */
    bool transposed, channels_first;
    int shape[3];
    int steps[3]; /* of y, x, c */
} shapes[] = {
    {{IDX_UINT8, 2, {3, 49}, byte_value}, 0, 0, 0, false, false, {7, 7, 1}, {7, 1, 0}},
    {{IDX_UINT8, 2, {3, 35}, byte_value}, 5, 0, 0, false, false, {5, 7, 1}, {7, 1, 0}},
    {{IDX_UINT8, 2, {3, 48}, byte_value}, 0, 0, 3, false, false, {4, 4, 3}, {12, 3, 1}},
    {{IDX_UINT8, 2, {3, 48}, byte_value}, 4, 4, 0, false, true, {4, 4, 3}, {4, 1, 16}},
    {{IDX_UINT8, 2, {3, 35}, byte_value}, 5, 7, 1, true, false, {5, 7, 1}, {1, 5, 0}},
    {{IDX_UINT8, 3, {3, 5, 7}, byte_value}, 0, 0, 0, false, false, {5, 7, 1}, {7, 1, 0}},
    {{IDX_UINT8, 3, {3, 5, 7}, byte_value}, 7, 5, 1, true, false, {7, 5, 1}, {1, 7, 0}},
    {{IDX_UINT8, 4, {3, 5, 7, 2}, byte_value}, 0, 0, 0, false, false, {5, 7, 2}, {14, 2, 1}},
    {{IDX_UINT8, 4, {3, 2, 5, 7}, byte_value}, 0, 0, 0, false, true, {5, 7, 2}, {7, 1, 35}},
    {{IDX_UINT8, 4, {3, 2, 5, 7}, byte_value}, 0, 0, 0, true, true, {7, 5, 2}, {1, 7, 35}},
};

START_TEST(images_have_two_to_four_dimensions) {
    struct choice data = choose("idx");
    write_training(&shapes[_i].images, &three_labels);
    set_int(data, "height", shapes[_i].height);
    set_int(data, "width", shapes[_i].width);
    set_int(data, "channels", shapes[_i].channels);
    *(bool *)value_of(data, "transposed") = shapes[_i].transposed;
    *(bool *)value_of(data, "channels_first") = shapes[_i].channels_first;
    load(data);
    check_shape(shapes[_i].shape[0], shapes[_i].shape[1], shapes[_i].shape[2], 3);
    size_t image_bytes = dataset_image_bytes(&dataset);
    for (size_t n = 0; n < 3; n++) {
        const uint8_t *pixel = image_of(SPLIT_TRAIN, (int)n);
        for (int y = 0; y < dataset.height; y++)
            for (int x = 0; x < dataset.width; x++)
                for (int c = 0; c < dataset.channels; c++) {
                    int at = y * shapes[_i].steps[0] + x * shapes[_i].steps[1] + c * shapes[_i].steps[2];
                    ck_assert_int_eq(*pixel++, (int)byte_value(n * image_bytes + (size_t)at));
                }
    }
}
END_TEST

static const struct {
    struct idx_content images;
    const char *key;
    int value;
    const char *message;
} wrong_shapes[] = {
    {{IDX_UINT8, 1, {3}, byte_value},
     "height",
     0,
     "train-images-idx: has one dimension, as labels have; images have 2"},
    {{IDX_UINT8, 2, {3, 50}, byte_value},
     "height",
     0,
     "its rows of 50 values are no images of 7x7 with 1 channel; set"},
    {{IDX_UINT8, 2, {3, 50}, byte_value},
     "channels",
     16,
     "its rows of 50 values are no images of 2x1 with 16 channels"},
    {{IDX_UINT8, 3, {3, 5, 7}, byte_value}, "width", 5, "images are 5x7 with 1 channel, but the spec has width 5"},
    {{IDX_UINT8, 4, {3, 3, 4, 32}, byte_value},
     "height",
     0,
     "its images are 3x4 with 32 channels; 1x1 to 1024x1024 with 1 "
     "to 16 are read (data.channels_first says where"},
    {{IDX_UINT8, 3, {3, 1, 1025}, byte_value}, "height", 0, "its images are 1x1025 with 1 channels; 1x1 to 1024x1024"},
    {{IDX_UINT8, 3, {3, 0, 5}, byte_value}, "height", 0, "its images are 0x5 with 1 channels; 1x1 to"},
    {{IDX_UINT8, 3, {0, 5, 5}, byte_value}, "height", 0, "train-images-idx: holds no records"},
};

START_TEST(wrong_shapes_are_refused_in_words) {
    struct choice data = choose("idx");
    write_training(&wrong_shapes[_i].images, &three_labels);
    set_int(data, wrong_shapes[_i].key, wrong_shapes[_i].value);
    check_refused(data, wrong_shapes[_i].message);
}
END_TEST

static double wide_value(size_t i) {
    return (double)i * 1000 - 1000;
}

static double not_a_number(size_t i) {
    return i == 4 ? NAN : 0;
}

START_TEST(black_and_white_say_what_values_mean) {
    struct choice data = choose("idx");
    write_training(&(struct idx_content){IDX_INT16, 3, {3, 1, 2}, wide_value}, &three_labels);
    check_refused(data, "train-images-idx: image 0 has the value -1000, which is none from 0 to 255; data.black and "
                        "data.white say which values become pixels 0 and 255");
    set_real(data, "black", 4000);
    set_real(data, "white", -1000);
    load(data);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(image_of(SPLIT_TRAIN, 0)[i], 255 - 51 * i);
    set_real(data, "black", -1000);
    set_real(data, "white", 3999);
    check_refused(data, "image 2 has the value 4000, which is none from -1000 to 3999");
    set_real(data, "white", -1000);
    check_refused(data, "black and white are both -1000, so they make no pixels");
    write_training(&(struct idx_content){IDX_FLOAT, 3, {3, 1, 2}, not_a_number}, &three_labels);
    set_real(data, "black", 0);
    set_real(data, "white", 1);
    check_refused(data, "image 2 has the value nan");
}
END_TEST

/* --- Labels ------------------------------------------------------------------------------------------------------ */

static double table_value(size_t i) {
    return i % 8 == 0 ? (double)(i / 8) : 7000 + (double)i;
}

/* As QMNIST has them: int32, [n][8], the class in the first column. */
START_TEST(labels_may_be_a_column_of_a_table) {
    struct choice data = choose("idx");
    write_set("qmnist-%s-%s-idx%d-ubyte.gz", 28, 28, index_value);
    const struct idx_content table = {IDX_INT32, 2, {3, 8}, table_value},
                             short_table = {IDX_INT32, 2, {2, 8}, table_value};
    unlink(in_folder("qmnist-train-labels-idx1-ubyte.gz"));
    unlink(in_folder("qmnist-test-labels-idx1-ubyte.gz"));
    idx_write("qmnist-train-labels-idx2-int.gz", &table);
    idx_write("qmnist-test-labels-idx2-int", &short_table);
    load(data);
    check_shape(28, 28, 1, 3);
    check_counts(3, 2);
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].labels[2], 2);
    data = choose("idx");
    set_int(data, "label_column", 8);
    check_refused(data, "has 8 columns of labels, so there is no column 8, counted from 0");
    set_int(data, "label_column", 2);
    set_int(data, "first_label", 7000);
    load(data);
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].labels[2], 18);
    ck_assert_int_eq(dataset.classes, 19);
}
END_TEST

static double half_value(size_t i) {
    return (double)i / 2;
}

static double negative_value(size_t i) {
    return (double)i - 1;
}

START_TEST(classes_follow_from_training_labels_or_keys) {
    struct choice data = choose("idx");
    const struct idx_content images = {IDX_UINT8, 3, {3, 5, 7}, byte_value};
    write_training(&images, &(struct idx_content){IDX_UINT8, 1, {3}, one_based});
    load(data);
    ck_assert_int_eq(dataset.classes, 3);
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].labels[0], 0);
    idx_write("t10k-labels-idx", &three_labels);
    check_refused(data, "t10k-labels-idx: record 0: label 0 is none from 1 to 3; data.classes and data.first_label say "
                        "which classes there are");
    data = choose("idx");
    set_int(data, "first_label", 0);
    load(data);
    ck_assert_int_eq(dataset.classes, 4);
    ck_assert_int_eq(dataset.splits[SPLIT_TRAIN].labels[0], 1);
    set_int(data, "classes", 7);
    load(data);
    ck_assert_int_eq(dataset.classes, 7);
    set_int(data, "classes", 3);
    check_refused(data, "train-labels-idx: record 2: label 3 is not below 3; data.classes and");
    idx_write("train-labels-idx", &(struct idx_content){IDX_FLOAT, 1, {3}, half_value});
    check_refused(data, "train-labels-idx: record 1: 0.5 is no label, which is a whole number");
    idx_write("train-labels-idx", &(struct idx_content){IDX_INT8, 1, {3}, negative_value});
    check_refused(data, "train-labels-idx: record 0: label -1 is not below 3");
    idx_write("train-labels-idx", &(struct idx_content){IDX_UINT8, 3, {3, 1, 1}, index_value});
    check_refused(data, "train-labels-idx: holds unsigned bytes in 3 dimensions; labels have 1 or 2");
    idx_write("train-labels-idx", &(struct idx_content){IDX_UINT8, 1, {2}, index_value});
    check_refused(data, "train-labels-idx: holds 2 labels, but there are 3 images");
}
END_TEST

/* `show` of a spec that tells everything needs no files. */
START_TEST(keys_describe_a_dataset_without_its_files) {
    static const char *const keys[] = {"height", "width", "channels", "classes"};
    struct choice data = choose("idx");
    for (int i = 0; i < COUNT(keys); i++) {
        ck_assert(!dataset_describe(&dataset, data, &err));
        set_int(data, keys[i], 3 + i);
    }
    ck_assert_msg(dataset_describe(&dataset, data, &err), "%s", err.text);
    check_shape(3, 4, 5, 6);
}
END_TEST

START_TEST(classes_have_the_names_of_a_mapping_or_a_list) {
    static char buffer[CLASS_NAME_BYTES];
    struct choice data = choose("idx");
    write_set("emnist-letters-%s-%s-idx%d-ubyte.gz", 28, 28, one_based);
    disk_write_text(in_folder("emnist-letters-mapping.txt"), "1 65 97\r\n2 66 98 \r\n3 67\r\n");
    load(data);
    ck_assert_str_eq(dataset_class_name(&dataset, 0, buffer), "Aa");
    ck_assert_str_eq(dataset_class_name(&dataset, 2, buffer), "C");
    disk_write_text(in_folder("emnist-letters-mapping.txt"), "0 65\n1 66\n2 67\n");
    check_refused(data, "emnist-letters-mapping.txt: expected a line of the label 1 and the ASCII codes of its");
    disk_write_text(in_folder("emnist-letters-mapping.txt"), "1 65\n2 66\n");
    check_refused(data, "emnist-letters-mapping.txt: has 2 names, but there are 3 classes");
    disk_write_text(in_folder("emnist-letters-class_names.txt"), "o\nki\nsu\n");
    load(data);
    ck_assert_str_eq(dataset_class_name(&dataset, 1, buffer), "ki");
}
END_TEST

static const struct {
    const char *prefix;
    int classes, first;
    const char *last_name;
} emnist_sets[] = {
    {"emnist-byclass-", 62, 0, "z"},  {"emnist-bymerge-", 47, 0, "t"}, {"emnist-balanced-", 47, 0, "t"},
    {"emnist-letters-", 26, 1, "Zz"}, {"emnist-digits-", 10, 0, "9"},  {"emnist-mnist-", 10, 0, "9"},
};

START_TEST(classes_of_emnist_have_names_without_the_mapping) {
    static char buffer[CLASS_NAME_BYTES];
    struct choice data = choose("idx");
    uint32_t count = (uint32_t)emnist_sets[_i].classes;
    const struct idx_content images = {IDX_UINT8, 3, {count, 2, 2}, byte_value};
    const struct idx_content labels = {IDX_UINT8, 1, {count}, emnist_sets[_i].first ? one_based : index_value};
    for (int s = 0; s < 2; s++) {
        const char *split = s ? "test" : "train", *prefix = emnist_sets[_i].prefix;
        idx_write(arena_printf(&arena, "%s%s-images-idx3-ubyte", prefix, split), &images);
        idx_write(arena_printf(&arena, "%s%s-labels-idx1-ubyte", prefix, split), &labels);
    }
    load(data);
    ck_assert_int_eq(dataset.classes, emnist_sets[_i].classes);
    ck_assert_str_eq(dataset_class_name(&dataset, dataset.classes - 1, buffer), emnist_sets[_i].last_name);
    set_int(data, "classes", emnist_sets[_i].classes + 1);
    load(data);
    ck_assert_str_eq(dataset_class_name(&dataset, 1, buffer), "class 1");
    set_text(data, "path", in_folder(arena_printf(&arena, "%strain-images-idx3-ubyte", emnist_sets[_i].prefix)));
    check_refused(data, "train-images-idx3-ubyte: is a file; data.path is the folder of the four files");
}
END_TEST

/* --- Sizes ------------------------------------------------------------------------------------------------------- */

enum { MANY = 697932, FEW = 1000 };

/* As many images as EMNIST ByClass has, in a file that takes no room on the disk. */
static void write_many(void) {
    static const uint8_t header[] = {0,  0, 8, 3, MANY >> 24, MANY >> 16 & 255, MANY >> 8 & 255, MANY & 255, 0, 0, 0,
                                     28, 0, 0, 0, 28};
    disk_write(in_folder("train-images-idx3-ubyte"), header, sizeof header);
    ck_assert_int_eq(truncate(in_folder("train-images-idx3-ubyte"), 16 + (off_t)MANY * 784), 0);
    idx_write("train-labels-idx1-ubyte", &(struct idx_content){IDX_UINT8, 1, {MANY}, small_value});
}

START_TEST(a_limit_takes_memory_for_no_more_than_it) {
    struct choice data = choose("idx");
    write_set("%s-%s-idx%d-ubyte", 28, 28, index_value);
    write_many();
    set_int(data, "train_limit", FEW);
    long before = peak_kilobytes();
    load(data);
    check_counts(FEW, 2);
    check_shape(28, 28, 1, 100);
    ck_assert_int_lt(peak_kilobytes() - before, 65536); /* of 534 MiB */
}
END_TEST

/* The file ends where its header does not say, plain and gzipped; with and without a limit before its end. */
START_TEST(a_cut_file_says_so) {
    static const uint8_t cut[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4};
    const char *name = _i & 1 ? "train-images-idx3-ubyte.gz" : "train-images-idx3-ubyte";
    struct choice data = choose("idx");
    idx_write("train-labels-idx1-ubyte", &three_labels);
    write_maybe_gzipped(name, cut, sizeof cut);
    set_int(data, "train_limit", _i & 2 ? 1 : 0);
    check_refused(data,
                  "its header tells of 3 records, which makes 22 bytes, but there are 20; it is cut short, so get "
                  "it again");
}
END_TEST

/* --- Training ---------------------------------------------------------------------------------------------------- */

enum { CLASSES = 47, SIDE = 28, PER_CLASS = 12 };

/* Stripes whose slant and distance tell the class, fainter below; upright and transposed differ. */
static double stripe(size_t i) {
    size_t image = i / (SIDE * SIDE), column = i / SIDE % SIDE, row = i % SIDE; /* column by column */
    double angle = (double)(image % CLASSES % 8) * 0.39, distance = 0.3 + 0.2 * (double)(image % CLASSES / 8);
    double shift = (double)(image / CLASSES % PER_CLASS) / 2;
    double phase = (cos(angle) * (double)column + sin(angle) * (double)row) * distance + shift;
    return rint(127.5 + 127 * sin(phase) * (row < SIDE / 2 ? 1 : 0.4));
}

static double class_from_one(size_t i) {
    return (double)(i % CLASSES + 1);
}

static void write_mapping(void) {
    struct text lines = {0};
    for (int k = 0; k < CLASSES; k++)
        text_printf(&lines, "%d %d\n", k + 1, '0' + k);
    disk_write_text("emnist-balanced-mapping.txt", lines.data);
    text_free(&lines);
}

/* The shape of EMNIST Balanced, with labels from 1 as in Letters. */
START_TEST(a_network_learns_transposed_files_of_47_classes_from_1) {
    static const char *const words[] = {"train", "test"};
    for (int s = 0; s < 2; s++) {
        uint32_t count = CLASSES * (s ? 4 : PER_CLASS);
        idx_write(arena_printf(&arena, "emnist-balanced-%s-images-idx3-ubyte.gz", words[s]),
                  &(struct idx_content){IDX_UINT8, 3, {count, SIDE, SIDE}, stripe});
        idx_write(arena_printf(&arena, "emnist-balanced-%s-labels-idx1-ubyte.gz", words[s]),
                  &(struct idx_content){IDX_UINT8, 1, {count}, class_from_one});
    }
    write_mapping();
    disk_write_text("spec.yaml",
                    "data: {type: idx, path: ., transposed: true}\n"
                    "network: {type: plain, depth: 3, widths: [12, 16, 24], features: 48, batch_norm: {decay: 0.9}}\n"
                    "optimizer: {type: adam, learning_rate: 5e-3}\n"
                    "train: {iterations: 150, batch_size: 47, threads: 2}\n");
    run(0, "train spec.yaml --run-dir run");
    run(0, "eval run");
    ck_assert_double_gt(printed("accuracy"), 0.9);
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("idx");
    TCase *names = suite_group(suite, "names", 60, dataset_set_up, dataset_tear_down);
    tcase_add_loop_test(names, mnist_is_taken_under_all_of_its_names, 0, COUNT(spellings));
    tcase_add_test(names, the_official_name_comes_before_others);
    tcase_add_test(names, what_lies_beside_the_files_is_not_taken);
    tcase_add_test(names, mnist_says_how_files_of_emnist_are_read);
    tcase_add_test(names, a_prefix_chooses_among_several_datasets);
    TCase *content = suite_group(suite, "content", 60, dataset_set_up, dataset_tear_down);
    tcase_add_loop_test(content, values_of_every_type_become_pixels, 0, COUNT(types));
    tcase_add_loop_test(content, images_have_two_to_four_dimensions, 0, COUNT(shapes));
    tcase_add_loop_test(content, wrong_shapes_are_refused_in_words, 0, COUNT(wrong_shapes));
    tcase_add_test(content, black_and_white_say_what_values_mean);
    tcase_add_test(content, labels_may_be_a_column_of_a_table);
    tcase_add_test(content, classes_follow_from_training_labels_or_keys);
    tcase_add_test(content, keys_describe_a_dataset_without_its_files);
    tcase_add_test(content, classes_have_the_names_of_a_mapping_or_a_list);
    tcase_add_loop_test(content, classes_of_emnist_have_names_without_the_mapping, 0, COUNT(emnist_sets));
    tcase_add_loop_test(content, a_cut_file_says_so, 0, 4);
    TCase *memory = suite_group(suite, "memory", 60, dataset_set_up, dataset_tear_down);
    tcase_set_tags(memory, "memory");
    tcase_add_test(memory, a_limit_takes_memory_for_no_more_than_it);
    TCase *training = suite_group(suite, "training", 120, program_set_up, program_tear_down);
    tcase_add_test(training, a_network_learns_transposed_files_of_47_classes_from_1);
    return suite;
}
