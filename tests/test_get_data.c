/* tools/get_data against a web server on this machine that lies, breaks off and falls silent. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/idx_writer.h"
#include "support/program.h"
#include "support/suite.h"

enum { WAITS = 400, WAIT_MICROSECONDS = 50000 };

/* --- The server, and what it has ---------------------------------------------------------------------------------- */

static char port[16];
static pid_t server;

static double pixel(size_t i) {
    return (double)(i * i * 2654435761u >> 13 & 255); /* what gzip makes no smaller */
}

static double label(size_t i) {
    return (double)(i % 10);
}

static void write_site(void) {
    idx_write("site/train-images-idx3-ubyte.gz", &(struct idx_content){IDX_UINT8, 3, {200, 28, 28}, pixel});
    idx_write("site/t10k-images-idx3-ubyte.gz", &(struct idx_content){IDX_UINT8, 3, {10, 28, 28}, pixel});
    idx_write("site/train-labels-idx1-ubyte.gz", &(struct idx_content){IDX_UINT8, 1, {200}, label});
    idx_write("site/t10k-labels-idx1-ubyte.gz", &(struct idx_content){IDX_UINT8, 1, {10}, label});
}

static void start_server(void) {
    server = fork();
    if (server == 0) {
        execl("/usr/bin/python3", "python3", arena_printf(&arena, "%s/tests/support/lying_server.py", home), "site",
              "port.txt", "log.txt", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < WAITS && (!disk_exists("port.txt") || !strchr(read_text("port.txt"), '\n')); i++)
        usleep(WAIT_MICROSECONDS);
    ck_assert_int_eq(sscanf(read_text("port.txt"), "%15[0-9]", port), 1);
}

static bool can_run(void) {
    return !shell("command -v curl >/dev/null && command -v /usr/bin/python3 >/dev/null");
}

static void set_up(void) {
    program_set_up();
    write_site();
    server = 0;
    if (can_run())
        start_server();
}

static void tear_down(void) {
    if (server > 0)
        kill(server, SIGKILL);
    program_tear_down();
}

/* The tool's exit status; the address is that of the server with its way of serving. */
static int get(const char *dataset, const char *way, const char *options) {
    int status =
        shell(arena_printf(&arena,
                           "timeout --signal=INT --preserve-status 60 '%s/tools/get_data' --timeout 1 %s %s --from "
                           "http://127.0.0.1:%s/%s/ >output.txt 2>errors.txt",
                           home, dataset, options, port, way));
    errors = read_text("errors.txt");
    output = read_text("output.txt");
    return status;
}

static void check_nothing_is_left(void) {
    ck_assert(!disk_exists("data/mnist"));
    ck_assert(!disk_exists("data/mnist.part"));
}

static void check_mnist_is_there(void) {
    ck_assert(!disk_exists("data/mnist.part"));
    ck_assert_int_eq(shell("cmp site/train-images-idx3-ubyte.gz data/mnist/train-images-idx3-ubyte.gz && "
                           "cmp site/t10k-labels-idx1-ubyte.gz data/mnist/t10k-labels-idx1-ubyte.gz"),
                     0);
}

static const char *const train =
    "train --set 'network={type: plain, depth: 3, widths: [4, 4, 4], features: 2}' --set train.iterations=1 --set "
    "train.batch_size=2 --quiet --overwrite --run-dir run spec.yaml --set";

/* --- Good and bad ways ---------------------------------------------------------------------------------------------
 */

/* All that comes to a good end: in one go, in pieces, from the beginning again, after two refusals. */
START_TEST(a_dataset_is_fetched_however_often_the_server_breaks_off) {
    static const char *const ways[] = {"good", "cut", "norange", "flaky"};
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    ck_assert_msg(get("mnist", ways[_i], "--any-file") == 0, "%s", errors);
    expect_output("data/mnist: is not the whole dataset: train has 200 images, not 60000, t10k has 10 images, not "
                  "10000\n./spherenet train configs/mnist_features_sphere.yaml\n");
    check_mnist_is_there();
    run(0, "%s data='{type: mnist}'", train);
    unlink("log.txt");
    ck_assert_int_eq(get("mnist", ways[_i], ""), 1);
    expect_error(
        "data/mnist: is not the whole dataset: train has 200 images, not 60000, t10k has 10 images, not 10000; "
        "remove it to fetch the dataset, or keep it with --any-file\n");
    ck_assert(!disk_exists("log.txt"));
}
END_TEST

START_TEST(a_transfer_goes_on_where_it_was_cut) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    ck_assert_int_eq(get("mnist", "cut", "--any-file"), 0);
    ck_assert_ptr_nonnull(strstr(read_text("log.txt"), "/cut/train-images-idx3-ubyte.gz -\n"
                                                       "/cut/train-images-idx3-ubyte.gz bytes="));
}
END_TEST

static const struct {
    const char *way, *options, *message;
} faults[] = {
    {"html", "--any-file", "/html/train-images-idx3-ubyte.gz: is a web page, not the dataset\n"},
    {"empty", "--any-file", "/empty/train-images-idx3-ubyte.gz: is empty\n"},
    {"404", "", "/404/train-images-idx3-ubyte.gz: the server says 404, not found\n"},
    {"403", "", "/403/train-images-idx3-ubyte.gz: the server says 403\n"},
    {"500", "", "/500/train-images-idx3-ubyte.gz: the server says 500\n"},
    {"never", "", "/never/train-images-idx3-ubyte.gz: the transfer was cut\n"},
    {"good", "", "is not the published file: its MD5 is "},
    {"good", "", ", not f68b3c2dcbeaaa9fbdd348bbdeb94873; --any-file takes it if its content is right\n"},
    {"swapped", "--any-file", "what was fetched is not the dataset, and was removed: "},
    {"swapped", "", "is not the published file"},
};

START_TEST(what_is_wrong_is_said_and_leaves_nothing) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    ck_assert_int_eq(get("mnist", faults[_i].way, faults[_i].options), 1);
    expect_error(faults[_i].message);
    check_nothing_is_left();
}
END_TEST

/* What came is kept where no reader looks, and a later run goes on with it or begins anew. */
START_TEST(a_silent_server_is_given_up) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    ck_assert_int_eq(get("mnist", "stall", "--any-file"), 1);
    expect_error("the server did not answer in time; the ");
    expect_error(" bytes that came are kept, and the same command goes on\n");
    ck_assert(!disk_exists("data/mnist"));
    run(1, "%s data='{type: mnist}'", train);
    ck_assert_int_eq(get("mnist", "good", "--any-file"), 0);
    check_mnist_is_there();
}
END_TEST

START_TEST(an_interrupted_command_goes_on) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    const char *command = arena_printf(&arena,
                                       "timeout --signal=INT --preserve-status 3 '%s/tools/get_data' mnist --any-file "
                                       "--from http://127.0.0.1:%s/pause/ >output.txt 2>errors.txt",
                                       home, port);
    ck_assert_int_eq(shell(command), 130);
    errors = read_text("errors.txt");
    expect_error("stopped; the same command goes on\n");
    ck_assert(!disk_exists("data/mnist"));
    unlink("log.txt");
    ck_assert_int_eq(get("mnist", "pause", "--any-file"), 0);
    ck_assert_ptr_nonnull(strstr(read_text("log.txt"), "/pause/train-images-idx3-ubyte.gz bytes="));
    check_mnist_is_there();
}
END_TEST

static void wait_for(const char *path) {
    for (int i = 0; i < WAITS && !disk_exists(path); i++)
        usleep(WAIT_MICROSECONDS);
    ck_assert_msg(disk_exists(path), "there is no %s", path);
}

START_TEST(two_commands_do_not_fetch_into_one_folder) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    const char *command = arena_printf(&arena,
                                       "('%s/tools/get_data' mnist --timeout 5 --from http://127.0.0.1:%s/stall/ "
                                       ">/dev/null 2>&1; touch ended.txt) &",
                                       home, port);
    ck_assert_int_eq(shell(command), 0);
    wait_for("log.txt");
    ck_assert_int_eq(get("mnist", "good", "--any-file"), 1);
    expect_error("data/mnist.part: another process is fetching into it\n");
    kill(server, SIGKILL); /* which the other command gives up soon */
    wait_for("ended.txt");
}
END_TEST

START_TEST(files_that_do_not_fit_together_are_removed) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    idx_write("site/t10k-labels-idx1-ubyte.gz", &(struct idx_content){IDX_UINT8, 1, {9}, label});
    ck_assert_int_eq(get("mnist", "good", "--any-file"), 1);
    expect_error("what was fetched is not the dataset, and was removed: t10k: there are 10 images and 9 labels\n");
    check_nothing_is_left();
    disk_write_text("site/t10k-labels-idx1-ubyte.gz", "\037\213 nonsense");
    ck_assert_int_eq(get("mnist", "good", "--any-file"), 1);
    expect_error("what was fetched is not the dataset, and was removed: ");
    check_nothing_is_left();
}
END_TEST

/* --- Archives and other sources ------------------------------------------------------------------------------------
 */

static int get_from(const char *dataset, const char *source) {
    int status = shell(arena_printf(&arena, "'%s/tools/get_data' %s --any-file --from '%s' >output.txt 2>errors.txt",
                                    home, dataset, source));
    errors = read_text("errors.txt");
    output = read_text("output.txt");
    return status;
}

START_TEST(a_folder_of_files_is_a_source) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    ck_assert_msg(get_from("kmnist", "site") == 0, "%s", errors);
    expect_output("in a spec: data: {type: idx, path: data/kmnist}\n");
    ck_assert_str_eq(read_text("data/kmnist/class_names.txt"), "o\nki\nsu\ntsu\nna\nha\nma\nya\nre\nwo\n");
    run(0, "%s data='{type: idx, path: data/kmnist}'", train);
    ck_assert_int_eq(get_from("mnist", "no-such-folder"), 1);
    expect_error("no-such-folder: is no folder, and four files are wanted\n");
    check_nothing_is_left();
}
END_TEST

static void write_cifar(void) {
    static uint8_t records[2 * 3073];
    mkdir("cifar-10-batches-bin", 0700);
    for (int i = 1; i <= 5; i++)
        disk_write(arena_printf(&arena, "cifar-10-batches-bin/data_batch_%d.bin", i), records, sizeof records);
    disk_write("cifar-10-batches-bin/test_batch.bin", records, sizeof records);
}

START_TEST(an_archive_is_unpacked_where_specs_look) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    write_cifar();
    ck_assert_int_eq(shell("tar -czf site/cifar-10-binary.tar.gz cifar-10-batches-bin"), 0);
    ck_assert_msg(get("cifar10", "cut", "--any-file") == 0, "%s", errors);
    run(0, "%s data='{type: cifar10}'", train);
    disk_remove("data/cifar10");
    ck_assert_msg(get_from("cifar10", "site/cifar-10-binary.tar.gz") == 0, "%s", errors);
    run(0, "%s data='{type: cifar10}'", train);
    ck_assert(!disk_exists("data/cifar10.part"));
}
END_TEST

START_TEST(an_archive_without_its_files_is_refused) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    write_cifar();
    ck_assert_int_eq(truncate("cifar-10-batches-bin/data_batch_3.bin", 3072), 0);
    ck_assert_int_eq(shell("tar -czf site/cifar-10-binary.tar.gz cifar-10-batches-bin"), 0);
    ck_assert_int_eq(get("cifar10", "good", "--any-file"), 1);
    expect_error("and was removed: data_batch_3.bin: 3072 bytes are not a whole number of records of 3073\n");
    ck_assert_int_eq(shell("head -c 300 site/cifar-10-binary.tar.gz >cut.tar.gz"), 0);
    ck_assert_int_eq(get_from("cifar10", "cut.tar.gz"), 1);
    expect_error("what was fetched is not the dataset, and was removed: ");
    ck_assert(!disk_exists("data/cifar10") && !disk_exists("data/cifar10.part"));
}
END_TEST

/* A member that leads out of the folder is left out. */
START_TEST(an_archive_writes_nothing_elsewhere) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    write_cifar();
    disk_write_text("evil", "evil");
    ck_assert_int_eq(shell("tar -P --transform 's,^evil,../../evil2,' -czf site/cifar-10-binary.tar.gz "
                           "cifar-10-batches-bin evil"),
                     0);
    ck_assert_msg(get("cifar10", "good", "--any-file") == 0, "%s", errors);
    ck_assert_int_ne(shell("find . .. -maxdepth 2 -name evil2 2>/dev/null | grep -q ."), 0);
}
END_TEST

START_TEST(emnist_is_unpacked_with_its_mapping) {
    SKIP_IF(!can_run(), "curl or /usr/bin/python3 is not installed");
    ck_assert_int_eq(shell("mkdir gzip && cd site && for file in *; do cp $file "
                           "../gzip/emnist-letters-$(echo $file | sed s/t10k/test/); done"),
                     0);
    disk_write_text("gzip/emnist-letters-mapping.txt",
                    "0 65 97\n1 66 98\n2 67\n3 68\n4 69\n5 70\n6 71\n7 72\n8 73\n9 74\n");
    ck_assert_int_eq(shell("/usr/bin/python3 -m zipfile -c site/gzip.zip gzip"), 0);
    ck_assert_msg(get("emnist", "norange", "--any-file") == 0, "%s", errors);
    expect_output("prefix: emnist-balanced-, transposed: true}\n");
    run(0, "%s data='{type: idx, path: data/emnist, transposed: true}'", train);
    run(0, "eval run");
    ck_assert_ptr_nonnull(strstr(read_text("run/checkpoints/test_per_class.csv"), "Aa"));
}
END_TEST

/* --- Suite ---------------------------------------------------------------------------------------------------------
 */

Suite *test_suite(void) {
    Suite *suite = suite_create("get_data");
    TCase *ways = suite_group(suite, "ways", 120, set_up, tear_down);
    tcase_add_loop_test(ways, a_dataset_is_fetched_however_often_the_server_breaks_off, 0, 4);
    tcase_add_test(ways, a_transfer_goes_on_where_it_was_cut);
    tcase_add_loop_test(ways, what_is_wrong_is_said_and_leaves_nothing, 0, COUNT(faults));
    tcase_add_test(ways, a_silent_server_is_given_up);
    tcase_add_test(ways, an_interrupted_command_goes_on);
    tcase_add_test(ways, two_commands_do_not_fetch_into_one_folder);
    tcase_add_test(ways, files_that_do_not_fit_together_are_removed);
    TCase *sources = suite_group(suite, "sources", 120, set_up, tear_down);
    tcase_add_test(sources, a_folder_of_files_is_a_source);
    tcase_add_test(sources, an_archive_is_unpacked_where_specs_look);
    tcase_add_test(sources, an_archive_without_its_files_is_refused);
    tcase_add_test(sources, an_archive_writes_nothing_elsewhere);
    tcase_add_test(sources, emnist_is_unpacked_with_its_mapping);
    return suite;
}
