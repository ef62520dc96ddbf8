/* Datasets from files: CIFAR and IDX, whole, damaged, and lying about their size. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "storage/gz_file.h"
#include "support/datasets.h"
#include "support/suite.h"

enum { CIFAR_SIDE = 32, CIFAR_PIXELS = 3 * 32 * 32, IDX_PIXELS = 28 * 28, UNPRIVILEGED_USER = 65534 };

/* --- Files ------------------------------------------------------------------------------------------------------- */

/* Compressed if the name ends in .gz. */
static void write_file(const char *name, const uint8_t *bytes, size_t size) {
    const char *end = strrchr(name, '.');
    gzFile stream = gzopen(in_folder(name), end && !strcmp(end, ".gz") ? "wb" : "wbT");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(gzwrite(stream, bytes, (unsigned)size), (int)size);
    ck_assert_int_eq(gzclose(stream), Z_OK);
}

/* The pixel of image `id` in the test's files: differs between neighbours in every direction. */
static uint8_t pixel(int id, int y, int x, int channel) {
    return (uint8_t)(id * 131 + y * 13 + x * 7 + channel * 67);
}

/* Records of images id, id + 1, ...; label bytes are those given, all for every record, plus the record's number. */
static void write_cifar(const char *name, int records, int id, int label_bytes, const int *labels) {
    size_t record_bytes = (size_t)(label_bytes + CIFAR_PIXELS);
    uint8_t *bytes = arena_alloc(&arena, (size_t)records * record_bytes), *at = bytes;
    for (int r = 0; r < records; r++) {
        for (int l = 0; l < label_bytes; l++)
            *at++ = (uint8_t)(labels[l] + r);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < CIFAR_SIDE; y++)
                for (int x = 0; x < CIFAR_SIDE; x++)
                    *at++ = pixel(id + r, y, x, c);
    }
    write_file(name, bytes, (size_t)records * record_bytes);
}

/* Batches of 1, 2, 3, 4, 5 records with images 0 to 14, labels from 1 in each, and two test records, images 50 and 51,
 * labels 8 and 9. */
static void write_cifar10(const char *prefix, const char *suffix) {
    for (int b = 1, id = 0; b <= 5; id += b++)
        write_cifar(arena_printf(&arena, "%sdata_batch_%d.bin%s", prefix, b, suffix), b, id, 1, (int[]){1});
    write_cifar(arena_printf(&arena, "%stest_batch.bin%s", prefix, suffix), 2, 50, 1, (int[]){8});
}

static uint8_t *put_big_endian(uint8_t *at, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(value >> shift);
    return at;
}

/* The header tells of `claimed` images; the file has `count`. */
static void write_idx_images(const char *name, uint32_t magic, uint32_t claimed, int count, int id) {
    size_t size = 16 + (size_t)count * IDX_PIXELS;
    uint8_t *bytes = arena_alloc(&arena, size), *at = bytes;
    uint32_t header[] = {magic, claimed, 28, 28};
    for (int i = 0; i < 4; i++)
        at = put_big_endian(at, header[i]);
    for (int n = 0; n < count; n++)
        for (int y = 0; y < 28; y++)
            for (int x = 0; x < 28; x++)
                *at++ = pixel(id + n, y, x, 0);
    write_file(name, bytes, size);
}

static void write_idx_labels(const char *name, int count, int first) {
    uint8_t *bytes = arena_alloc(&arena, (size_t)count + 8);
    uint8_t *at = put_big_endian(put_big_endian(bytes, 0x801), (uint32_t)count);
    for (int n = 0; n < count; n++)
        *at++ = (uint8_t)(first + n);
    write_file(name, bytes, (size_t)count + 8);
}

/* Five training images 0 to 4, labels from 3; three test images 20 to 22, labels from 7. */
static void write_mnist(const char *suffix) {
    write_idx_images(arena_printf(&arena, "train-images-idx3-ubyte%s", suffix), 0x803, 5, 5, 0);
    write_idx_labels(arena_printf(&arena, "train-labels-idx1-ubyte%s", suffix), 5, 3);
    write_idx_images(arena_printf(&arena, "t10k-images-idx3-ubyte%s", suffix), 0x803, 3, 3, 20);
    write_idx_labels(arena_printf(&arena, "t10k-labels-idx1-ubyte%s", suffix), 3, 7);
}

/* Loading must fail with this message, in which %s stands for the test's folder. */
static void __attribute__((format(printf, 2, 3))) check_error(struct choice data, const char *format, ...) {
    char expected[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(expected, sizeof expected, format, args);
    va_end(args);
    ck_assert(!dataset_load(&dataset, data, 1, &err));
    ck_assert_str_eq(err.text, expected);
    static const struct dataset empty;
    ck_assert_mem_eq(&dataset, &empty, sizeof empty);
}

static void check_image(int split, int index, int id, int label) {
    const struct split *images = &dataset.splits[split];
    ck_assert_int_lt(index, images->count);
    ck_assert_int_eq(images->labels[index], label);
    const uint8_t *at = image_of(split, index);
    for (int y = 0; y < dataset.height; y++)
        for (int x = 0; x < dataset.width; x++)
            for (int c = 0; c < dataset.channels; c++)
                ck_assert_int_eq(*at++, pixel(id, y, x, c));
}

/* --- The registry ------------------------------------------------------------------------------------------------ */

START_TEST(rows_have_help_and_describe_without_files) {
    int rows = 0;
    for (; dataset_registry.rows[rows]; rows++) {
        const struct kind *kind = dataset_registry.rows[rows];
        ck_assert(kind->help && !strchr(kind->help, '\n'));
        for (const struct param *p = kind->params; p->type != PARAM_END; p++)
            ck_assert(p->type == PARAM_INCLUDE || (p->help && !strchr(p->help, '\n')));
        struct dataset described = {0};
        if (!strcmp(kind->name, "idx") || !strcmp(kind->name, "images")) /* what they hold is in their files */
            continue;
        ck_assert(dataset_describe(&described, choice_default(&arena, kind), &err));
        ck_assert_int_gt(described.height * described.width * described.channels, 0);
        ck_assert_int_ge(described.classes, 2);
        ck_assert_ptr_null(described.images);
        dataset_free(&described);
    }
    ck_assert_int_eq(rows, 7);
}
END_TEST

START_TEST(defaults_are_as_documented) {
    struct choice data = choice_default(&arena, registry_find(&dataset_registry, "cifar100"));
    const struct data_config *common = data.config;
    ck_assert_int_eq(common->train_limit, 0);
    ck_assert_int_eq(common->test_limit, 0);
    ck_assert_int_eq(common->augment.crop_padding, 0);
    ck_assert(!common->augment.flip);
    ck_assert(common->pixel_mean.count == 1 && common->pixel_mean.values[0] == 127.5);
    ck_assert(common->pixel_scale.count == 1 && common->pixel_scale.values[0] == 128);
    ck_assert_str_eq(*(const char **)value_of(data, "path"), "data/cifar100");
}
END_TEST

/* --- CIFAR ------------------------------------------------------------------------------------------------------- */

/* Plain and compressed, in the folder and in the archive's own. */
START_TEST(cifar10_loads) {
    static const char *const suffixes[] = {"", ".gz", "", ".gz"};
    static const char *const prefixes[] = {"", "", "cifar-10-batches-bin/", "cifar-10-batches-bin/"};
    if (*prefixes[_i])
        ck_assert_int_eq(mkdir(in_folder(prefixes[_i]), 0700), 0);
    write_cifar10(prefixes[_i], suffixes[_i]);
    load(choose("cifar10"));
    check_shape(32, 32, 3, 10);
    check_counts(15, 2);
    for (int b = 1, id = 0; b <= 5; b++)
        for (int r = 0; r < b; r++, id++)
            check_image(SPLIT_TRAIN, id, id, 1 + r);
    check_image(SPLIT_TEST, 0, 50, 8);
    check_image(SPLIT_TEST, 1, 51, 9);
}
END_TEST

START_TEST(the_plain_file_comes_before_the_compressed) {
    write_cifar10("", "");
    write_cifar("test_batch.bin.gz", 3, 70, 1, (int[]){0});
    load(choose("cifar10"));
    check_counts(15, 2);
}
END_TEST

START_TEST(the_folder_comes_before_its_subfolder) {
    ck_assert_int_eq(mkdir(in_folder("cifar-10-batches-bin"), 0700), 0);
    write_cifar10("", "");
    write_cifar10("cifar-10-batches-bin/", "");
    write_cifar("cifar-10-batches-bin/test_batch.bin", 3, 70, 1, (int[]){0});
    load(choose("cifar10"));
    check_counts(15, 2);
}
END_TEST

START_TEST(cifar100_has_fine_and_coarse_labels) {
    static const char *const prefixes[] = {"", "cifar-100-binary/"};
    if (*prefixes[_i])
        ck_assert_int_eq(mkdir(in_folder(prefixes[_i]), 0700), 0);
    write_cifar(arena_printf(&arena, "%strain.bin", prefixes[_i]), 4, 10, 2, (int[]){16, 96});
    write_cifar(arena_printf(&arena, "%stest.bin.gz", prefixes[_i]), 2, 30, 2, (int[]){3, 50});
    struct choice data = choose("cifar100");
    load(data);
    check_shape(32, 32, 3, 100);
    check_counts(4, 2);
    check_image(SPLIT_TRAIN, 3, 13, 99);
    check_image(SPLIT_TEST, 1, 31, 51);
    set_int(data, "labels", 1);
    load(data);
    check_shape(32, 32, 3, 20);
    check_image(SPLIT_TRAIN, 3, 13, 19);
    check_image(SPLIT_TEST, 1, 31, 4);
}
END_TEST

/* Batches have 1, 2, 3, 4, 5 records: 4 images end inside the third, and the fifth is not needed. */
START_TEST(limits_keep_the_first_images) {
    write_cifar10("", "");
    ck_assert_int_eq(remove(in_folder("data_batch_5.bin")), 0);
    struct choice data = choose("cifar10");
    set_int(data, "train_limit", 4);
    set_int(data, "test_limit", 1);
    load(data);
    check_counts(4, 1);
    check_image(SPLIT_TRAIN, 3, 3, 1);
    set_int(data, "train_limit", 10);
    set_int(data, "test_limit", 2);
    load(data);
    check_counts(10, 2);
    check_image(SPLIT_TRAIN, 9, 9, 4);
}
END_TEST

START_TEST(limits_above_the_number_of_images_load_all) {
    write_cifar10("", "");
    struct choice data = choose("cifar10");
    set_int(data, "train_limit", 16);
    set_int(data, "test_limit", 1000);
    load(data);
    check_counts(15, 2);
}
END_TEST

START_TEST(cifar_label_out_of_range) {
    write_cifar10("", "");
    write_cifar("data_batch_3.bin", 4, 0, 1, (int[]){7});
    check_error(choose("cifar10"), "%s/data_batch_3.bin: record 3: label 10 is not below 10", folder);
    write_cifar("train.bin", 2, 0, 2, (int[]){19, 3});
    write_cifar("test.bin.gz", 2, 0, 2, (int[]){0, 200});
    struct choice data = choose("cifar100");
    check_error(data, "%s/test.bin.gz: record 0: label 200 is not below 100", folder);
    set_int(data, "labels", 1);
    check_error(data, "%s/train.bin: record 1: label 20 is not below 20", folder);
}
END_TEST

START_TEST(cifar_truncated_record) {
    write_cifar10("", "");
    ck_assert_int_eq(truncate(in_folder("data_batch_2.bin"), 3073 + 3072), 0);
    check_error(
        choose("cifar10"),
        "%s/data_batch_2.bin: its size of 6145 bytes is not a multiple of the record size, 3073 bytes; it is cut "
        "short, or another file",
        folder);
    ck_assert_int_eq(truncate(in_folder("data_batch_2.bin"), 0), 0);
    check_error(choose("cifar10"),
                "%s/data_batch_2.bin: its size of 0 bytes is not a multiple of the record size, 3073 bytes; it is cut "
                "short, or another file",
                folder);
}
END_TEST

/* --- Files that cannot be read ----------------------------------------------------------------------------------- */

START_TEST(missing_files) {
    check_error(choose("cifar10"),
                "%s/data_batch_1.bin: not found, and no data_batch_1.bin.gz beside it either; get the binary version "
                "of CIFAR-10 from https://www.cs.toronto.edu/~kriz/cifar.html (tools/get_data cifar10, installed as "
                "spherenet-get-data, does) and set "
                "data.path to the archive or the folder where it is unpacked",
                folder);
    write_mnist("");
    ck_assert_int_eq(remove(in_folder("t10k-labels-idx1-ubyte")), 0);
    check_error(choose("mnist"),
                "%s/t10k-labels-idx1-ubyte: not found, and no t10k-labels-idx1-ubyte.gz beside it either; get the "
                "four files of MNIST (tools/get_data mnist, installed as spherenet-get-data, does) and set data.path "
                "to their folder",
                folder);
    struct choice data = choose("fashion_mnist");
    *(const char **)value_of(data, "path") = in_folder("no-folder");
    ck_assert(!dataset_load(&dataset, data, 1, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/no-folder/train-images-idx3-ubyte: not found"));
    ck_assert_ptr_nonnull(strstr(err.text, "install Debian's package dataset-fashion-mnist"));
    ck_assert_ptr_nonnull(strstr(err.text, "data.path"));
}
END_TEST

START_TEST(directory_or_pipe_instead_of_a_file) {
    write_cifar10("", "");
    ck_assert_int_eq(remove(in_folder("test_batch.bin")), 0);
    ck_assert_int_eq(mkdir(in_folder("test_batch.bin"), 0700), 0);
    check_error(choose("cifar10"), "%s/test_batch.bin: is a directory, not a file", folder);
    ck_assert_int_eq(rmdir(in_folder("test_batch.bin")), 0);
    ck_assert_int_eq(mkfifo(in_folder("test_batch.bin"), 0600), 0);
    check_error(choose("cifar10"), "%s/test_batch.bin: is not a regular file", folder);
}
END_TEST

START_TEST(unreadable_file) {
    write_cifar10("", "");
    ck_assert_int_eq(chmod(in_folder("data_batch_1.bin"), 0), 0);
    ck_assert_int_eq(chmod(folder, 0755), 0);
    bool privileged = geteuid() == 0; /* a privileged user may read every file */
    ck_assert_int_eq(privileged ? seteuid(UNPRIVILEGED_USER) : 0, 0);
    check_error(choose("cifar10"), "%s/data_batch_1.bin: Permission denied", folder);
    ck_assert_int_eq(privileged ? seteuid(0) : 0, 0);
}
END_TEST

static long size_of(const char *name) {
    struct stat status;
    ck_assert_int_eq(stat(in_folder(name), &status), 0);
    return status.st_size;
}

/* Cut off in its check sum, in its data, in its header. */
START_TEST(truncated_gzip) {
    write_mnist(".gz");
    const char *name = "train-labels-idx1-ubyte.gz";
    long sizes[] = {size_of(name) - 4, size_of(name) - 12, 6};
    ck_assert_int_eq(truncate(in_folder(name), sizes[_i]), 0);
    check_error(choose("mnist"), "%s/%s: damaged: the gzip stream is cut short", folder, name);
}
END_TEST

START_TEST(damaged_gzip) {
    write_mnist(".gz");
    FILE *stream = fopen(in_folder("train-images-idx3-ubyte.gz"), "r+b");
    ck_assert_ptr_nonnull(stream);
    fseek(stream, -8, SEEK_END); /* the check sum */
    uint8_t byte = (uint8_t)fgetc(stream) ^ 1;
    fseek(stream, -8, SEEK_END);
    fputc(byte, stream);
    fclose(stream);
    check_error(choose("mnist"), "%s/train-images-idx3-ubyte.gz: damaged: the gzip stream: incorrect data check",
                folder);
}
END_TEST

/* A file may have as many bytes as the maximum and no more, plain or compressed. */
START_TEST(files_larger_than_the_maximum) {
    enum { SIZE = 3000000 };
    static const char *const names[] = {"zeros", "zeros.gz"};
    struct file file;
    write_file(names[_i], arena_alloc(&arena, SIZE), SIZE);
    ck_assert_msg(file_read(&file, folder, "zeros", SIZE, "", &err), "%s", err.text);
    ck_assert_uint_eq(file.size, SIZE);
    ck_assert_str_eq(file.path, in_folder(names[_i]));
    file_free(&file);
    ck_assert(!file_read(&file, folder, "zeros", SIZE - 1, "", &err));
    ck_assert_str_eq(err.text, arena_printf(&arena, "%s: holds more than %d bytes, the most such a file may",
                                            in_folder(names[_i]), SIZE - 1));
    ck_assert_ptr_null(file.bytes);
}
END_TEST

/* --- IDX --------------------------------------------------------------------------------------------------------- */

START_TEST(mnist_loads) {
    write_mnist(_i ? ".gz" : "");
    struct choice data = choose("mnist");
    load(data);
    check_shape(28, 28, 1, 10);
    check_counts(5, 3);
    for (int i = 0; i < 5; i++)
        check_image(SPLIT_TRAIN, i, i, 3 + i);
    for (int i = 0; i < 3; i++)
        check_image(SPLIT_TEST, i, 20 + i, 7 + i);
    set_int(data, "train_limit", 2);
    set_int(data, "test_limit", 7);
    load(data);
    check_counts(2, 3);
    check_image(SPLIT_TRAIN, 1, 1, 4);
}
END_TEST

START_TEST(idx_wrong_magic) {
    write_mnist("");
    write_idx_images("train-images-idx3-ubyte", 0x903, 5, 5, 0);
    check_error(
        choose("mnist"),
        "%s/train-images-idx3-ubyte: holds signed bytes in 3 dimensions, where MNIST's images are unsigned bytes in "
        "3 dimensions; data: {type: idx} reads others",
        folder);
    write_idx_images("train-images-idx3-ubyte", 0x803, 5, 5, 0);
    write_idx_images("train-labels-idx1-ubyte", 0x803, 5, 5, 0);
    check_error(choose("mnist"), "%s/train-labels-idx1-ubyte: holds unsigned bytes in 3 dimensions; labels have 1 or 2",
                folder);
}
END_TEST

START_TEST(idx_header_and_size_disagree) {
    write_mnist("");
    write_idx_images("t10k-images-idx3-ubyte", 0x803, 4, 3, 0);
    check_error(choose("mnist"),
                "%s/t10k-images-idx3-ubyte: its header tells of 4 records, which makes 3152 bytes, but there are 2368; "
                "it is cut short, so get it again",
                folder);
    write_idx_images("t10k-images-idx3-ubyte", 0x803, 2, 3, 0);
    check_error(choose("mnist"),
                "%s/t10k-images-idx3-ubyte: its header tells of 2 records, which makes 1584 bytes, but there are 2368",
                folder);
    write_idx_images("t10k-images-idx3-ubyte", 0x803, 0xffffffff, 3, 0);
    check_error(choose("mnist"),
                "%s/t10k-images-idx3-ubyte: its header tells of 4294967295 records, which makes 3367254359296 bytes, "
                "but there are 2368; it is cut short, so get it again",
                folder);
    write_idx_images("t10k-images-idx3-ubyte", 0x803, 0, 0, 0);
    check_error(choose("mnist"), "%s/t10k-images-idx3-ubyte: holds no records", folder);
    ck_assert_int_eq(truncate(in_folder("t10k-images-idx3-ubyte"), 15), 0);
    check_error(choose("mnist"), "%s/t10k-images-idx3-ubyte: its 15 bytes are too few for an IDX header", folder);
}
END_TEST

/* Refused by the size of the file on the disk, before there is memory for what it is said to hold. */
START_TEST(idx_header_of_more_than_deflate_can_hold) {
    write_mnist(".gz");
    write_idx_images("t10k-images-idx3-ubyte.gz", 0x803, 0xffffffff, 3, 0);
    check_error(
        choose("mnist"),
        "%s/t10k-images-idx3-ubyte.gz: its header tells of 4294967295 records, which makes 3367254359296 bytes, "
        "but there are at most %ld; it is cut short, so get it again",
        folder, 1032 * size_of("t10k-images-idx3-ubyte.gz"));
    write_idx_images("t10k-images-idx3-ubyte.gz", 0x803, 4, 3, 0);
    check_error(choose("mnist"),
                "%s/t10k-images-idx3-ubyte.gz: its header tells of 4 records, which makes 3152 bytes, but there are "
                "2368; it is cut short, so get it again",
                folder);
}
END_TEST

enum { BOMB_MEGABYTES = 32 };

/* Some bytes, then zeros that deflate makes next to nothing of. */
static void write_bomb(const char *name, const uint8_t *head, size_t size) {
    static uint8_t zeros[1 << 20];
    gzFile stream = gzopen(in_folder(name), "wb9");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(gzwrite(stream, head, (unsigned)size), (int)size);
    for (int i = 0; i < BOMB_MEGABYTES; i++)
        ck_assert_int_eq(gzwrite(stream, zeros, sizeof zeros), sizeof zeros);
    ck_assert_int_eq(gzclose(stream), Z_OK);
}

/* No more of it is unpacked than the header tells of. */
START_TEST(idx_bomb) {
    uint8_t header[16];
    const uint32_t fields[] = {0x803, 3, 28, 28};
    for (int i = 0; i < 4; i++)
        put_big_endian(header + 4 * i, fields[i]);
    write_mnist("");
    ck_assert_int_eq(unlink(in_folder("t10k-images-idx3-ubyte")), 0);
    write_bomb("t10k-images-idx3-ubyte.gz", header, sizeof header);
    long before = peak_kilobytes();
    check_error(choose("mnist"),
                "%s/t10k-images-idx3-ubyte.gz: its header tells of 3 records, which makes 2368 bytes, but there are at "
                "least 2369",
                folder);
    ck_assert_int_lt(peak_kilobytes() - before, 16384);
}
END_TEST

/* Room for the files that follow is made by what they can hold, not only by what the first one does. */
START_TEST(cifar_bomb) {
    enum { RECORD_BYTES = 1 + CIFAR_PIXELS };
    size_t records = ((size_t)BOMB_MEGABYTES << 20) / RECORD_BYTES + 1;
    static uint8_t rest[RECORD_BYTES];
    write_cifar10("", "");
    ck_assert_int_eq(unlink(in_folder("data_batch_1.bin")), 0);
    write_bomb("data_batch_1.bin.gz", rest, records * RECORD_BYTES - ((size_t)BOMB_MEGABYTES << 20));
    struct choice data = choose("cifar10");
    load(data);
    check_counts((int)records + 14, 2);
    const struct image_arrays *arrays = dataset.images;
    ck_assert_int_eq(arrays->splits[SPLIT_TRAIN].capacity, (int)records + 14);
}
END_TEST

START_TEST(idx_counts_disagree) {
    write_mnist("");
    write_idx_labels("train-labels-idx1-ubyte", 4, 0);
    check_error(choose("mnist"), "%s/train-labels-idx1-ubyte: holds 4 labels, but there are 5 images", folder);
}
END_TEST

START_TEST(idx_other_image_size) {
    uint8_t bytes[16 + 5 * 20 * 30];
    uint32_t header[] = {0x803, 5, 20, 30};
    memset(bytes, 0, sizeof bytes);
    for (int i = 0; i < 4; i++)
        put_big_endian(bytes + 4 * i, header[i]);
    write_mnist("");
    write_file("train-images-idx3-ubyte", bytes, sizeof bytes);
    check_error(choose("mnist"),
                "%s/train-images-idx3-ubyte: its images are 20x30, not 28x28; data: {type: idx} reads others", folder);
}
END_TEST

START_TEST(idx_label_out_of_range) {
    write_mnist("");
    write_idx_labels("t10k-labels-idx1-ubyte", 3, 8);
    struct choice data = choose("mnist");
    check_error(data,
                "%s/t10k-labels-idx1-ubyte: record 2: label 10 is not below 10; data: {type: idx} reads other "
                "classes",
                folder);
    set_int(data, "test_limit", 2);
    load(data);
}
END_TEST

START_TEST(fashion_mnist_package_loads) {
    struct choice data = choice_default(&arena, registry_find(&dataset_registry, "fashion_mnist"));
    SKIP_IF(access(*(const char **)value_of(data, "path"), F_OK), "dataset-fashion-mnist is not installed");
    load(data);
    check_shape(28, 28, 1, 10);
    check_counts(60000, 10000);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        int images[10] = {0};
        for (int i = 0; i < dataset.splits[s].count; i++)
            images[dataset.splits[s].labels[i]]++;
        for (int k = 0; k < 10; k++)
            ck_assert_int_eq(images[k], dataset.splits[s].count / 10);
    }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("data");
    TCase *reading = suite_group(suite, "reading", 60, dataset_set_up, dataset_tear_down);
    tcase_add_test(reading, rows_have_help_and_describe_without_files);
    tcase_add_test(reading, defaults_are_as_documented);
    tcase_add_loop_test(reading, cifar10_loads, 0, 4);
    tcase_add_test(reading, the_plain_file_comes_before_the_compressed);
    tcase_add_test(reading, the_folder_comes_before_its_subfolder);
    tcase_add_loop_test(reading, cifar100_has_fine_and_coarse_labels, 0, 2);
    tcase_add_test(reading, limits_keep_the_first_images);
    tcase_add_test(reading, limits_above_the_number_of_images_load_all);
    tcase_add_test(reading, cifar_label_out_of_range);
    tcase_add_test(reading, cifar_truncated_record);
    tcase_add_test(reading, missing_files);
    tcase_add_test(reading, directory_or_pipe_instead_of_a_file);
    tcase_add_test(reading, unreadable_file);
    tcase_add_loop_test(reading, truncated_gzip, 0, 3);
    tcase_add_test(reading, damaged_gzip);
    tcase_add_loop_test(reading, files_larger_than_the_maximum, 0, 2);
    tcase_add_loop_test(reading, mnist_loads, 0, 2);
    tcase_add_test(reading, idx_wrong_magic);
    tcase_add_test(reading, idx_header_and_size_disagree);
    tcase_add_test(reading, idx_header_of_more_than_deflate_can_hold);
    tcase_add_test(reading, idx_bomb);
    tcase_add_test(reading, cifar_bomb);
    tcase_add_test(reading, idx_counts_disagree);
    tcase_add_test(reading, idx_other_image_size);
    tcase_add_test(reading, idx_label_out_of_range);
    tcase_add_test(reading, fashion_mnist_package_loads);
    return suite;
}
