/* tools/get_data with files that lie around: packed anew, unpacked, too few; and a folder that holds others already. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/idx_writer.h"
#include "support/program.h"
#include "support/suite.h"

#define FASHION "/usr/share/datasets/fashion-mnist"

static double pixel(size_t i) {
    return (double)(i & 255);
}

static double label(size_t i) {
    return (double)(i % 10);
}

static void write_mnist(const char *folder_name, uint32_t train, uint32_t test) {
    const struct idx_content contents[] = {{IDX_UINT8, 3, {train, 28, 28}, pixel},
                                           {IDX_UINT8, 3, {test, 28, 28}, pixel},
                                           {IDX_UINT8, 1, {train}, label},
                                           {IDX_UINT8, 1, {test}, label}};
    static const char *const names[] = {"train-images-idx3", "t10k-images-idx3", "train-labels-idx1",
                                        "t10k-labels-idx1"};
    for (int i = 0; i < COUNT(contents); i++)
        idx_write(arena_printf(&arena, "%s/%s-ubyte.gz", folder_name, names[i]), &contents[i]);
}

/* CIFAR-10's six files of so many black images of class 0, gzipped, as the reader takes them, too. */
static void write_cifar10(const char *folder_name, int images) {
    ck_assert_int_eq(shell(arena_printf(&arena,
                                        "mkdir -p '%s' && cd '%s' && head -c %d /dev/zero | gzip >test_batch.bin.gz && "
                                        "for i in 1 2 3 4 5; do cp test_batch.bin.gz data_batch_$i.bin.gz; done",
                                        folder_name, folder_name, images * 3073)),
                     0);
}

static void get(int expected_status, const char *arguments) {
    int status = shell(arena_printf(&arena, "'%s/tools/get_data' %s >output.txt 2>errors.txt", home, arguments));
    errors = read_text("errors.txt");
    output = read_text("output.txt");
    ck_assert_msg(status == expected_status, "exit status %d: %s", status, errors);
}

static bool has_python(void) {
    return disk_exists("/usr/bin/python3");
}

/* --- The published content, however it is packed ----------------------------------------------------------------- */

START_TEST(files_that_were_gzipped_anew_are_known_by_what_is_in_them) {
    SKIP_IF(!has_python(), "there is no /usr/bin/python3");
    SKIP_IF(!disk_exists(FASHION), "Debian's package dataset-fashion-mnist is not installed");
    get(0, "fashion_mnist --from " FASHION);
    expect_output("data/fashion_mnist: is complete\n");
    get(1, "mnist --from " FASHION);
    expect_error("train-images-idx3-ubyte.gz: is not the published file: its MD5 is ");
}
END_TEST

START_TEST(files_that_are_not_gzipped_are_known_by_what_is_in_them) {
    SKIP_IF(!has_python(), "there is no /usr/bin/python3");
    SKIP_IF(!disk_exists(FASHION), "Debian's package dataset-fashion-mnist is not installed");
    ck_assert_int_eq(shell("mkdir plain && cp " FASHION "/*.gz plain && gunzip plain/*.gz"), 0);
    get(0, "fashion_mnist --from plain");
    expect_output("data/fashion_mnist: is complete\n");
    ck_assert_int_eq(shell("cmp plain/train-labels-idx1-ubyte data/fashion_mnist/train-labels-idx1-ubyte"), 0);
    ck_assert_int_eq(shell("printf x | dd of=plain/t10k-labels-idx1-ubyte seek=100 bs=1 conv=notrunc 2>/dev/null"), 0);
    get(1, "fashion_mnist --from plain --to other");
    expect_error("plain/t10k-labels-idx1-ubyte: is not the published file: its MD5 is ");
    ck_assert(!disk_exists("other"));
}
END_TEST

static const char *const folders[] = {"files", "above/cifar-10-batches-bin"};

START_TEST(a_folder_of_what_is_in_the_archive_is_a_source) {
    SKIP_IF(!has_python(), "there is no /usr/bin/python3");
    write_cifar10(folders[_i], 10000);
    disk_write_text(arena_printf(&arena, "%s/notes.txt", folders[_i]), "of mine");
    get(0, _i ? "cifar10 --from above" : "cifar10 --from files");
    expect_output("data/cifar10: is complete\n./spherenet train configs/cifar10_sphere9.yaml\n");
    ck_assert(disk_exists("data/cifar10/data_batch_5.bin.gz") && !disk_exists("data/cifar10/notes.txt"));
    ck_assert(!disk_exists("data/cifar10.part"));
    run(0, "train spec.yaml --quiet --set 'data={type: cifar10, train_limit: 32, test_limit: 8}' --set "
           "network.layers[3].units=10 --set train.iterations=1 --set schedule=constant");
}
END_TEST

START_TEST(a_folder_without_the_files_is_no_source) {
    SKIP_IF(!has_python(), "there is no /usr/bin/python3");
    ck_assert_int_eq(mkdir("empty", 0777), 0);
    get(1, "cifar10 --from empty");
    expect_error("empty: has no cifar-10-binary.tar.gz, nor the files that are in it\n");
    get(1, "mnist --from empty");
    expect_error("empty: has no train-images-idx3-ubyte.gz\n");
    write_cifar10("files", 10000);
    ck_assert_int_eq(unlink("files/data_batch_3.bin.gz"), 0);
    get(1, "cifar10 --from files");
    expect_error("files: is not the dataset: there is no data_batch_3.bin\n");
    ck_assert(!disk_exists("data/cifar10") && !disk_exists("data/cifar10.part"));
}
END_TEST

/* --- Too few ----------------------------------------------------------------------------------------------------- */

#define TENTH                                                                                                          \
    "data_batch_1.bin, data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin have "   \
    "1000 images, not 10000"

START_TEST(a_tenth_of_a_dataset_is_not_taken_for_it) {
    SKIP_IF(!has_python(), "there is no /usr/bin/python3");
    write_cifar10("files", 1000);
    get(1, "cifar10 --from files");
    expect_error("files: is not the dataset: " TENTH "; --any-file takes it\n");
    ck_assert(!disk_exists("data/cifar10"));
    get(0, "cifar10 --from files --any-file");
    expect_output("data/cifar10: is not the whole dataset: " TENTH "\n");
    get(1, "cifar10");
    expect_error("data/cifar10: is not the whole dataset: " TENTH
                 "; remove it to fetch the dataset, or keep it with --any-file\n");
    get(0, "cifar10 --any-file");
}
END_TEST

START_TEST(a_tenth_in_an_archive_is_not_taken_for_the_dataset) {
    SKIP_IF(!has_python(), "there is no /usr/bin/python3");
    write_cifar10("cifar-10-batches-bin", 1000);
    ck_assert_int_eq(shell("gunzip cifar-10-batches-bin/*.gz && tar -czf a.tar.gz cifar-10-batches-bin"), 0);
    get(1, "cifar10 --from a.tar.gz");
    expect_error("a.tar.gz: is not the published file: ");
    get(0, "cifar10 --from a.tar.gz --any-file");
    expect_output("data/cifar10: is not the whole dataset: " TENTH "\n");
}
END_TEST

/* --- A folder that holds others ---------------------------------------------------------------------------------- */

/* Kills itself instead of the call of os.replace with the number that the environment has. */
#define KILLED                                                                                                         \
    "/usr/bin/python3 -B -c 'import importlib.machinery as m, importlib.util as u, os, sys\n"                          \
    "sys.argv = sys.argv[1:]\n"                                                                                        \
    "loader = m.SourceFileLoader(\"get_data\", sys.argv[0])\n"                                                         \
    "tool = u.module_from_spec(u.spec_from_loader(\"get_data\", loader))\n"                                            \
    "sys.modules[\"get_data\"] = tool\n"                                                                               \
    "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"                                                               \
    "loader.exec_module(tool)\n"                                                                                       \
    "calls, real = [0], os.replace\n"                                                                                  \
    "def replace(*paths):\n"                                                                                           \
    "    calls[0] += 1\n"                                                                                              \
    "    if calls[0] == int(os.environ[\"NTH\"]): os.kill(os.getpid(), 9)\n"                                           \
    "    real(*paths)\n"                                                                                               \
    "os.replace = replace\n"                                                                                           \
    "tool.main()' "

enum { FETCHES = 4, REPLACES = 7 }; /* three files are moved away, and four take their places */

/* Two datasets of other numbers of images: what a training reads is one of them, or nothing. */
START_TEST(a_process_that_is_killed_leaves_no_mixture) {
    SKIP_IF(!has_python(), "there is no /usr/bin/python3");
    write_mnist("data/mnist", 100, 20);
    ck_assert_int_eq(unlink("data/mnist/t10k-labels-idx1-ubyte.gz"), 0); /* so that it is fetched */
    write_mnist("site", 60, 10);
    const char *tool = arena_printf(&arena, "'%s/tools/get_data' mnist --any-file --from site >/dev/null 2>&1", home);
    int status = shell(arena_printf(&arena, "NTH=%d " KILLED "%s", FETCHES + 1 + _i, tool));
    ck_assert_int_eq(status, _i < REPLACES ? 128 + 9 : 0);
    int seen = shell("\"$SPHERENET\" train spec.yaml --set 'data={type: mnist, path: data/mnist}' --set "
                     "network.layers[3].units=10 --set train.iterations=1 --set schedule=constant >output.txt 2>&1");
    ck_assert_int_eq(seen, _i < REPLACES ? 1 : 0);
    get(0, "mnist --any-file --from site");
    expect_output("train has 60 images, not 60000, t10k has 10 images, not 10000");
    ck_assert(!disk_exists("data/mnist.part"));
    ck_assert_int_eq(shell("cmp site/train-images-idx3-ubyte.gz data/mnist/train-images-idx3-ubyte.gz && "
                           "cmp site/t10k-images-idx3-ubyte.gz data/mnist/t10k-images-idx3-ubyte.gz"),
                     0);
}
END_TEST

START_TEST(what_cannot_be_put_in_place_leaves_the_folder_as_it_was) {
    SKIP_IF(!has_python(), "there is no /usr/bin/python3");
    write_mnist("data/mnist", 100, 20);
    ck_assert_int_eq(
        shell("cd data/mnist && rm t10k-labels-idx1-ubyte.gz && mkdir t10k-labels-idx1-ubyte.gz && cp -r . "
              "../before"),
        0);
    write_mnist("site", 60, 10);
    get(1, "mnist --any-file --from site");
    expect_error("data/mnist/t10k-labels-idx1-ubyte.gz: is a folder where a file is to be; move it away\n");
    ck_assert_int_eq(shell("diff -r data/before data/mnist"), 0);
}
END_TEST

/* The reader takes the files of the folder itself before those of the archive's folder in it. */
START_TEST(what_stands_in_front_is_told) {
    SKIP_IF(!has_python(), "there is no /usr/bin/python3");
    write_cifar10("data/cifar10", 1000);
    ck_assert_int_eq(unlink("data/cifar10/test_batch.bin.gz"), 0);
    write_cifar10("cifar-10-batches-bin", 2000);
    ck_assert_int_eq(shell("gunzip cifar-10-batches-bin/*.gz && tar -czf a.tar.gz cifar-10-batches-bin"), 0);
    get(1, "cifar10 --any-file --from a.tar.gz");
    expect_error("data/cifar10: what was there before is read instead of what was fetched: there is no test_batch.bin; "
                 "remove it, and call this again\n");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("sources of get_data");
    TCase *packed = suite_group(suite, "packed", 120, program_set_up, program_tear_down);
    tcase_add_test(packed, files_that_were_gzipped_anew_are_known_by_what_is_in_them);
    tcase_add_test(packed, files_that_are_not_gzipped_are_known_by_what_is_in_them);
    tcase_add_loop_test(packed, a_folder_of_what_is_in_the_archive_is_a_source, 0, COUNT(folders));
    tcase_add_test(packed, a_folder_without_the_files_is_no_source);
    TCase *few = suite_group(suite, "too few", 120, program_set_up, program_tear_down);
    tcase_add_test(few, a_tenth_of_a_dataset_is_not_taken_for_it);
    tcase_add_test(few, a_tenth_in_an_archive_is_not_taken_for_the_dataset);
    TCase *placing = suite_group(suite, "placing", 120, program_set_up, program_tear_down);
    tcase_add_loop_test(placing, a_process_that_is_killed_leaves_no_mixture, 0, REPLACES + 1);
    tcase_add_test(placing, what_cannot_be_put_in_place_leaves_the_folder_as_it_was);
    tcase_add_test(placing, what_stands_in_front_is_told);
    return suite;
}
