/* Under limits of address space the program ends by itself, and says why. */
#include <sys/resource.h>

#include "base/mem.h"
#include "support/program.h"
#include "support/run_folder.h"
#include "support/suite.h"

/* AddressSanitizer takes all of the address space. */
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

/* The exit status of the program under a limit as ulimit sets it; 137: it had to be killed. */
static int status_within(const char *limit, const char *arguments) {
    int status = shell(arena_printf(&arena,
                                    "unset OPENBLAS_NUM_THREADS; ulimit %s; "
                                    "exec timeout -s KILL 60 \"$SPHERENET\" %s >output.txt 2>errors.txt",
                                    limit, arguments));
    output = read_text("output.txt");
    errors = read_text("errors.txt");
    return status;
}

static const char *const small_limits[] = {"-v 80000", "-v 120000", "-v 160000", "-d 40000", "-d 120000"};

START_TEST(what_needs_no_network_needs_little) {
    ck_assert_int_eq(status_within(small_limits[_i], "--version"), 0);
    ck_assert_int_eq(status_within(small_limits[_i], "help spec"), 0);
    ck_assert_int_eq(status_within(small_limits[_i], "show spec.yaml"), 0);
}
END_TEST

START_TEST(a_training_that_openblas_has_no_room_for_is_refused) {
    ck_assert_int_eq(status_within(small_limits[_i], "train spec.yaml --set train.threads=2"), 1);
    expect_error("spherenet: OpenBLAS takes 134 MB of address space for each of 2 threads, and the limit of ");
    expect_error(small_limits[_i][1] == 'v' ? "address space (ulimit -v) leaves " : "data (ulimit -d) leaves ");
    expect_error(" MB. Raise the limit, or lower train.threads\n");
    ck_assert(!disk_exists("runs"));
}
END_TEST

/* What is left grows from nothing to enough: refused somewhere, and in the end trained, but never waited for. */
START_TEST(every_limit_ends_in_a_message_or_a_training) {
    const char *const arguments = "train spec.yaml --overwrite --set train.threads=2 --set train.batch_size=512 "
                                  "--set network.layers[0].filters=128 --set train.iterations=2";
    int refused = 0, trained = 0;
    for (int limit = 300000; limit < 700000; limit += 33000) {
        int status = status_within(arena_printf(&arena, "-v %d", limit), arguments);
        ck_assert_msg(status == 0 || (status == 1 && *errors), "exit status %d with %d KB", status, limit);
        refused += status != 0;
        trained += status == 0;
    }
    ck_assert_int_gt(refused, 0);
    ck_assert_int_gt(trained, 0);
}
END_TEST

START_TEST(a_network_beyond_the_limit_is_refused_by_its_name) {
    ck_assert_int_eq(status_within("-v 600000", "train spec.yaml --set train.threads=1 --set train.batch_size=65536"),
                     1);
    expect_error("spherenet: not enough memory: the network and a batch of 65536 need ");
    expect_error("; the limit of address space (ulimit -v) leaves ");
}
END_TEST

START_TEST(the_results_are_those_without_a_limit) {
    run(0, "train spec.yaml --run-dir whole");
    ck_assert_int_eq(status_within("-v 1000000", "train spec.yaml --run-dir limited"), 0);
    expect_same_runs("limited", "whole");
    ck_assert_int_eq(status_within("-v 1000000", "eval limited"), 0);
}
END_TEST

START_TEST(limits_of_the_process_count) {
    ck_assert_ptr_null(mem_address_bound("").name);
    struct rlimit limit = {(rlim_t)1 << 32, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    struct mem_bound bound = mem_address_bound("");
    ck_assert_str_eq(bound.name, "the limit of address space (ulimit -v)");
    ck_assert_double_lt(bound.bytes, (double)limit.rlim_cur);
    ck_assert_double_gt(bound.bytes, (double)limit.rlim_cur / 8);
    ck_assert_uint_le(mem_available(""), (size_t)bound.bytes + ((size_t)1 << 20));
    limit.rlim_cur = 1 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    ck_assert_str_eq(mem_bound("").name, "the limit of data (ulimit -d)");
    ck_assert_double_eq(mem_bound("").bytes, 0);
}
END_TEST

START_TEST(a_system_that_promises_no_more_than_it_has_counts) {
    folder_make(NULL, "promises");
    ck_assert_int_eq(
        shell(arena_printf(&arena,
                           "cd %s && mkdir -p proc/sys/vm && echo 2 >proc/sys/vm/overcommit_memory && "
                           "printf 'MemAvailable: 9000 kB\\nCommitLimit: 5000 kB\\nCommitted_AS: 3000 kB\\n' "
                           ">proc/meminfo",
                           folder)),
        0);
    ck_assert_str_eq(mem_bound(folder).name, "vm.overcommit_memory = 2");
    ck_assert_uint_eq(mem_available(folder), 2000 * 1024);
    ck_assert_int_eq(shell(arena_printf(&arena, "echo 0 >%s/proc/sys/vm/overcommit_memory", folder)), 0);
    ck_assert_uint_eq(mem_available(folder), 9000 * 1024);
    folder_remove();
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("address space");
    TCase *bounds = suite_group(suite, "bounds", 30, NULL, NULL);
    tcase_add_test(bounds, a_system_that_promises_no_more_than_it_has_counts);

    TCase *limits = suite_group(suite, "limits", 300, program_set_up, program_tear_down);
    tcase_set_tags(limits, "memory");
    if (SANITIZED)
        return suite;
    tcase_add_test(limits, limits_of_the_process_count);
    tcase_add_loop_test(limits, what_needs_no_network_needs_little, 0, COUNT(small_limits));
    tcase_add_loop_test(limits, a_training_that_openblas_has_no_room_for_is_refused, 0, COUNT(small_limits));
    tcase_add_test(limits, every_limit_ends_in_a_message_or_a_training);
    tcase_add_test(limits, a_network_beyond_the_limit_is_refused_by_its_name);
    tcase_add_test(limits, the_results_are_those_without_a_limit);
    return suite;
}
