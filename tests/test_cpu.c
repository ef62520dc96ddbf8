/* What the machine offers: quotas of made-up trees of control groups, instruction sets. */
#define _GNU_SOURCE /* sched_setaffinity */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "machine/cpu.h"
#include "machine/cpu_guard.h"
#include "support/folder.h"
#include "support/suite.h"

/* --- Quotas ------------------------------------------------------------------------------------------------------ */

struct tree_file {
    const char *path, *text;
};

struct tree {
    const char *what;
    int expected; /* of at most 8 processors; or kilobytes */
    struct tree_file files[8];
};

#define CGROUP "/proc/self/cgroup"
#define MOUNTS "/proc/self/mountinfo"
#define MOUNT_2(TOP) "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n32 24 0:29 " TOP " /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define MOUNT_1                                                                                                        \
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw shared:5 - cgroup cgroup rw,cpuset\n"                                       \
    "34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:6 - cgroup cgroup rw,cpu,cpuacct\n"

static const struct tree trees[] = {
    {"nothing can be read", 8, {{NULL, NULL}}},
    {"no controllers", 8, {{CGROUP, "0::/\n"}, {MOUNTS, MOUNT_2("/")}}},
    {"no mount", 8, {{CGROUP, "0::/a\n"}, {MOUNTS, "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n"}}},
    {"no limit", 8, {{CGROUP, "0::/a\n"}, {MOUNTS, MOUNT_2("/")}, {"/sys/fs/cgroup/a/cpu.max", "max 100000\n"}}},
    {"two", 2, {{CGROUP, "0::/a\n"}, {MOUNTS, MOUNT_2("/")}, {"/sys/fs/cgroup/a/cpu.max", "200000 100000\n"}}},
    {"more than there are",
     8,
     {{CGROUP, "0::/a\n"}, {MOUNTS, MOUNT_2("/")}, {"/sys/fs/cgroup/a/cpu.max", "6400000 100000\n"}}},
    {"a part counts as a whole",
     3,
     {{CGROUP, "0::/a\n"}, {MOUNTS, MOUNT_2("/")}, {"/sys/fs/cgroup/a/cpu.max", "125000 50000\n"}}},
    {"less than one", 1, {{CGROUP, "0::/a\n"}, {MOUNTS, MOUNT_2("/")}, {"/sys/fs/cgroup/a/cpu.max", "1000 100000\n"}}},
    {"the group above it",
     3,
     {{CGROUP, "0::/a/b/c\n"},
      {MOUNTS, MOUNT_2("/")},
      {"/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n"},
      {"/sys/fs/cgroup/a/b/cpu.max", "500000 100000\n"},
      {"/sys/fs/cgroup/a/cpu.max", "300000 100000\n"}}},
    {"a group beside it does not count",
     8,
     {{CGROUP, "0::/a/b\n"},
      {MOUNTS, MOUNT_2("/")},
      {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
      {"/sys/fs/cgroup/a/c/cpu.max", "100000 100000\n"},
      {"/sys/fs/cgroup/ab/cpu.max", "100000 100000\n"}}},
    {"a container's own view: the group stands at the mount point",
     4,
     {{CGROUP, "0::/\n"}, {MOUNTS, MOUNT_2("/")}, {"/sys/fs/cgroup/cpu.max", "400000 100000\n"}}},
    {"a container in the host's view",
     2,
     {{CGROUP, "0::/docker/17/job\n"},
      {MOUNTS, MOUNT_2("/docker/17")},
      {"/sys/fs/cgroup/job/cpu.max", "max 100000\n"},
      {"/sys/fs/cgroup/cpu.max", "200000 100000\n"}}},
    {"a name that begins as the mounted one",
     5,
     {{CGROUP, "0::/docker/170\n"}, {MOUNTS, MOUNT_2("/docker/17")}, {"/sys/fs/cgroup/cpu.max", "500000 100000\n"}}},
    {"a damaged file",
     8,
     {{CGROUP, "\n:\n0::/a\n"}, {MOUNTS, "\n - \n" MOUNT_2("/")}, {"/sys/fs/cgroup/a/cpu.max", "-7 zero\n"}}},
    {"version 1",
     3,
     {{CGROUP, "5:cpuset:/\n4:cpu,cpuacct:/a/b\n1:name=systemd:/a\n"},
      {MOUNTS, MOUNT_1},
      {"/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "210000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}}},
    {"version 1 without a limit",
     8,
     {{CGROUP, "4:cpuacct,cpu:/\n"},
      {MOUNTS, MOUNT_1},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}},
    {"both versions, the smaller counts",
     2,
     {{CGROUP, "4:cpu,cpuacct:/a\n0::/b\n"},
      {MOUNTS, MOUNT_1 "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "200000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/unified/b/cpu.max", "300000 100000\n"}}},
};

static void write_file(const struct tree_file *file) {
    char *path = in_folder(file->path + 1);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        ck_assert(mkdir(path, 0777) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    fputs(file->text, out);
    ck_assert_int_eq(fclose(out), 0);
}

static void make_tree(const struct tree *tree) {
    folder_make(NULL, "cpu");
    for (const struct tree_file *file = tree->files; file->path; file++)
        write_file(file);
}

START_TEST(quotas_of_control_groups) {
    const struct tree *tree = &trees[_i];
    make_tree(tree);
    int quota = cpu_quota(folder, 8);
    folder_remove();
    ck_assert_msg(quota == tree->expected, "%s: %d processors instead of %d", tree->what, quota, tree->expected);
}
END_TEST

static const struct tree memories[] = {
    {"the machine", 8000, {{"/proc/meminfo", "MemTotal: 99 kB\nMemAvailable:  8000 kB\nSwap: 7 kB\n"}}},
    {"a group with a limit",
     3000,
     {{"/proc/meminfo", "MemAvailable: 8000 kB\n"},
      {CGROUP, "0::/a\n"},
      {MOUNTS, MOUNT_2("/")},
      {"/sys/fs/cgroup/a/memory.max", "4096000\n"},
      {"/sys/fs/cgroup/a/memory.current", "2048000\n"},
      {"/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 924000\nactive_file 100000\n"}}},
    {"a group without one",
     8000,
     {{"/proc/meminfo", "MemAvailable: 8000 kB\n"},
      {CGROUP, "0::/a\n"},
      {MOUNTS, MOUNT_2("/")},
      {"/sys/fs/cgroup/a/memory.max", "max\n"},
      {"/sys/fs/cgroup/a/memory.current", "2048000\n"}}},
    {"a group that is full",
     0,
     {{"/proc/meminfo", "MemAvailable: 8000 kB\n"},
      {CGROUP, "0::/a\n"},
      {MOUNTS, MOUNT_2("/")},
      {"/sys/fs/cgroup/a/memory.max", "4096000\n"},
      {"/sys/fs/cgroup/a/memory.current", "5000000\n"}}},
    {"version 1",
     1000,
     {{"/proc/meminfo", "MemAvailable: 8000 kB\n"},
      {CGROUP, "7:memory:/a\n"},
      {MOUNTS, "33 31 0:30 / /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory\n"},
      {"/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4096000\n"},
      {"/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "3072000\n"}}},
};

/* Nothing else on the machine is looked at: the folder goes before every path. */
START_TEST(memory_that_is_left) {
    const struct tree *tree = &memories[_i];
    make_tree(tree);
    size_t kilobytes = mem_available(folder) / 1024;
    folder_remove();
    ck_assert_msg(kilobytes == (size_t)tree->expected, "%s: %zu KB instead of %d", tree->what, kilobytes,
                  tree->expected);
}
END_TEST

START_TEST(the_affinity_mask_counts) {
    cpu_set_t all, one;
    ck_assert_int_ge(cpu_count(), 1);
    SKIP_IF(sched_getaffinity(0, sizeof all, &all), "more processors than the mask holds");
    size_t first = 0;
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(cpu_count(), 1);
}
END_TEST

/* --- Instructions ------------------------------------------------------------------------------------------------ */

START_TEST(this_program_runs_here) {
    ck_assert(cpu_has(cpu_vectors()));
    ck_assert_int_le(cpu_built_for(), cpu_vectors());
    ck_assert_ptr_null(cpu_guard_lacks(cpu_guard_needs));
    ck_assert_ptr_nonnull(strstr(cpu_description(), cpu_name()));
}
END_TEST

START_TEST(what_the_cpu_lacks_is_named) {
    ck_assert_ptr_null(cpu_guard_lacks(0));
#ifdef __x86_64__
    if (!cpu_has(CPU_FMA4))
        ck_assert_str_eq(cpu_guard_lacks(cpu_guard_needs | 1u << SET_FMA4), "FMA4");
    if (!cpu_has(CPU_AVX512))
        ck_assert_ptr_nonnull(cpu_guard_lacks(1u << SET_AVX512F | 1u << SET_AVX512VL));
#endif
}
END_TEST

#ifdef __x86_64__

/* As the kernel calls them. */
static const struct {
    enum instruction_set set;
    const char *flag;
} flags[] = {
    {SET_SSSE3, "ssse3"},
    {SET_SSE4_1, "sse4_1"},
    {SET_SSE4_2, "sse4_2"},
    {SET_POPCNT, "popcnt"},
    {SET_LZCNT, "abm"},
    {SET_MOVBE, "movbe"},
    {SET_AVX, "avx"},
    {SET_F16C, "f16c"},
    {SET_FMA, "fma"},
    {SET_BMI, "bmi1"},
    {SET_BMI2, "bmi2"},
    {SET_AVX2, "avx2"},
    {SET_AVX512F, "avx512f"},
    {SET_AVX512VNNI, "avx512_vnni"},
    {SET_AVX512VBMI, "avx512vbmi"},
    {SET_AVX512VBMI2, "avx512_vbmi2"},
    {SET_AVX512BITALG, "avx512_bitalg"},
    {SET_AVX512VPOPCNTDQ, "avx512_vpopcntdq"},
    {SET_FMA4, "fma4"},
    {SET_XOP, "xop"},
};

/* The line of /proc/cpuinfo with a space at its end; false: there is none. */
static bool read_flags(char *line, int size) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    bool found = false;
    while (file && !found && fgets(line, size, file))
        found = !strncmp(line, "flags", 5);
    if (file)
        fclose(file);
    if (found)
        line[strcspn(line, "\n")] = ' ';
    return found;
}

START_TEST(sets_are_those_that_the_kernel_sees) {
    char line[8192], word[32];
    SKIP_IF(!read_flags(line, sizeof line), "/proc/cpuinfo has no flags");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        snprintf(word, sizeof word, " %s ", flags[i].flag);
        bool here = !cpu_guard_lacks(1u << flags[i].set), listed = strstr(line, word);
        if (flags[i].set == SET_LZCNT && !listed)
            continue; /* kernels of some virtual machines leave it out, where the CPU has it all the same */
        ck_assert_msg(here == listed, "%s: %s", flags[i].flag, here ? "here" : "lacking");
    }
}
END_TEST

/* What a compiler may use by itself for a CPU of the third level is asked for. */
START_TEST(needs_of_the_third_level) {
#if defined __AVX2__ && defined __LZCNT__ && defined __MOVBE__ && defined __F16C__
    static const enum instruction_set sets[] = {SET_LZCNT, SET_MOVBE, SET_F16C, SET_AVX2};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        ck_assert_uint_ne(cpu_guard_needs >> sets[i] & 1, 0);
#endif
}
END_TEST

#endif

Suite *test_suite(void) {
    Suite *suite = suite_create("cpu");
    TCase *tcase = tcase_create("processors");
    tcase_add_loop_test(tcase, quotas_of_control_groups, 0, (int)(sizeof trees / sizeof *trees));
    tcase_add_loop_test(tcase, memory_that_is_left, 0, (int)(sizeof memories / sizeof *memories));
    tcase_add_test(tcase, the_affinity_mask_counts);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("instructions");
    tcase_add_test(tcase, this_program_runs_here);
    tcase_add_test(tcase, what_the_cpu_lacks_is_named);
#ifdef __x86_64__
    tcase_add_test(tcase, sets_are_those_that_the_kernel_sees);
    tcase_add_test(tcase, needs_of_the_third_level);
#endif
    suite_add_tcase(suite, tcase);
    return suite;
}
