/* Every call that can fail does, once: each allocation, open, read, write, fsync, rename, ... of a short training, of a
 * resumed one, and of commands beside them. Whatever fails, the program ends by itself: with status 0 and all that it
 * does without the fault, or with status 1 and a message. It leaves no file half written and no checkpoint damaged, and
 * the next run without a fault ends as if there had been none. Under AddressSanitizer nothing may leak either. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "support/faults.h"

/* Sanitized programs are slow: there one allocation of each place fails. */
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

enum { MOST_MESSAGES = 20 };

/* --- Cycles ------------------------------------------------------------------------------------------------------ */

/* One command whose calls fail in turn, on the folder "run". */
struct cycle {
    const char *name, *command;
    const char *before;    /* the run that is there before; NULL: none */
    const char *reference; /* the run that it ends as without a fault; NULL: it changes nothing */
    const char *resume; /* what ends so when a run is there, and when that one's spec does not fit or none is there */
    const char *again;
    enum { ALL, ONE_OF_EACH, NONE } allocations; /* that fail; NONE: another cycle has them all */
};

/* What followed from a state that a fault had left is what follows from it the next time. */
struct states {
    const char **items;
    int count;
};

static bool is_known(const struct states *states, const char *description) {
    for (int i = 0; i < states->count; i++)
        if (!strcmp(states->items[i], description))
            return true;
    return false;
}

static void restore(const struct cycle *cycle, const char *before) {
    if (!strcmp(describe("run"), before))
        return;
    disk_remove("run");
    if (cycle->before)
        copy_tree(cycle->before, "run");
}

/* Goes on from what the fault left; what is wrong then, or NULL. A run that said that it is done must be one. */
static const char *recover(const struct cycle *cycle, bool done) {
    bool begun = is_begun("run");
    int status = run_with_fault(begun ? cycle->resume : cycle->again, FAULT_NONE, 0);
    if (!done && status && begun && cycle->again && strstr(error_lines(), "the run began with another spec"))
        status = run_with_fault(cycle->again, FAULT_NONE, 0);
    if (status)
        return arena_printf(&arena, "the run after it: status %x: %s", status, error_lines());
    const char *different = difference("run", cycle->reference);
    return different ? arena_printf(&arena, "the run after it: %s", different) : NULL;
}

/* What is wrong with the folder of a training in which a call failed, or NULL. */
static const char *judge_run(const struct cycle *cycle, bool done, struct states *states) {
    const char *left = arena_printf(&arena, "%d\n%s", done, describe("run"));
    const char *wrong = done ? difference("run", cycle->reference) : NULL;
    if (wrong || is_known(states, left) || (wrong = recover(cycle, done)))
        return wrong;
    states->items = arena_grow(&lasting, states->items, states->count, sizeof *states->items);
    states->items[states->count++] = arena_string(&lasting, left);
    return NULL;
}

/* The folder went while the command ran. What ended with status 0 was done before, or was begun after. */
static const char *judge_gone(const struct cycle *cycle, int status) {
    const char *wrong = NULL;
    if (status == 0 && cycle->reference && (wrong = difference("gone", cycle->reference)))
        wrong = disk_exists("run") ? difference("run", cycle->reference) : wrong;
    disk_remove("gone");
    return wrong;
}

/* Whether each line of a text is one of the other. */
static bool is_within(const char *text, const char *other) {
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        const char *place = other;
        size_t length = strcspn(line, "\n") + 1;
        while (*place && strncmp(place, line, length))
            place += strcspn(place, "\n") + 1;
        if (!*place)
            return false;
    }
    return true;
}

/* What a command does without a fault. */
struct expected {
    int status;
    const char *output, *before, *after; /* the run's folder */
    const uint32_t *stacks;              /* of its allocations, from 1 on */
    long allocations;
};

/* What is wrong with the end of a run in which a call failed, or NULL. */
static const char *judge(const struct cycle *cycle, enum fault_kind kind, int status, const struct expected *expected,
                         struct states *states) {
    bool harmless = kind == FAULT_LESS_READ || kind == FAULT_LESS_WRITTEN;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? "it hangs" : arena_printf(&arena, "signal %d", WTERMSIG(status));
    if (status != expected->status && harmless)
        return arena_printf(&arena, "exit status %d of what is no fault", WEXITSTATUS(status));
    /* 2: of a spec that cannot be opened or read. */
    if (WEXITSTATUS(status) > 1 && !(WEXITSTATUS(status) == 2 && strstr(error_lines(), " the spec: ")))
        return arena_printf(&arena, "exit status %d", WEXITSTATUS(status));
    if (status && !strlen(error_lines()) && !(expected->status && kind == FAULT_WRITE))
        return "it says nothing";
    const char *wrong = NULL;
    if (kind == FAULT_GONE && disk_exists("gone") && ((wrong = judge_gone(cycle, status)) || status == 0))
        return wrong;
    wrong = wrong_file("run");
    if (wrong && !(kind == FAULT_UNLINK && ends_with(wrong, " was left")))
        return wrong;
    if (cycle->reference)
        return judge_run(cycle, status == 0, states);
    if (status == 0 && strcmp(read_text("output.txt"), expected->output))
        return "another output";
    const char *left = describe("run");
    if (!is_within(left, expected->after))
        return "it spoils the run";
    return kind == FAULT_GONE || is_within(expected->before, left) ? NULL : "it takes something from the run";
}

/* Where not every allocation fails, one of those that are made in the same place, called from the same places, stands
 * for all of them. */
static bool is_repeated(const struct expected *expected, long at) {
    for (long i = 1; i < at && at <= expected->allocations; i++)
        if (expected->stacks[i] == expected->stacks[at])
            return true;
    return false;
}

/* Lets every call of the kind fail, or the one that AT in the environment names; how many there are. Says what is
 * wrong. */
static long fail_in_turn(const struct cycle *cycle, enum fault_kind kind, const struct expected *expected,
                         struct states *states, int *mistakes) {
    const char *only = getenv("AT");
    long skipped = 0;
    for (long at = only ? atol(only) : 1;; at++) {
        if (kind == FAULT_MALLOC && (SANITIZED || cycle->allocations == ONE_OF_EACH) && is_repeated(expected, at)) {
            skipped++;
            continue;
        }
        restore(cycle, expected->before);
        traced = only;
        int status = run_with_fault(cycle->command, kind, at);
        traced = false;
        if (!page->failed) {
            ck_assert_int_eq(status, expected->status);
            return at - 1 - skipped;
        }
        const char *message = error_lines();
        const char *wrong = judge(cycle, kind, status, expected, states);
        if (only || (wrong && ++*mistakes <= MOST_MESSAGES))
            printf("faults: %s: %s %ld: %s\n%s\n", cycle->name, kind_names[kind], at, wrong ? wrong : "all is well",
                   message);
        arena_free(&arena);
        if (only)
            return at;
    }
}

static const struct cycle cycles[] = {
    {"train", "train spec.yaml --run-dir run", NULL, "short", "train spec.yaml --run-dir run --resume",
     "train spec.yaml --run-dir run", ALL},
    {"resume", "train spec.yaml --run-dir run --resume --set train.iterations=9", "short", "long",
     "train spec.yaml --run-dir run --resume --set train.iterations=9",
     "train spec.yaml --run-dir run --set train.iterations=9", ALL},
    {"overwrite", "train spec.yaml --run-dir run --overwrite --set seed=2", "long", "other",
     "train spec.yaml --run-dir run --resume --set seed=2", "train spec.yaml --run-dir run --overwrite --set seed=2",
     NONE},
    {"a run is there", "train spec.yaml --run-dir run", "short", NULL, NULL, NULL, NONE},
    {"eval", "eval run", "short", NULL, NULL, NULL, ONE_OF_EACH},
    {"curves", "export run --to tensorboard", "short", NULL, NULL, NULL, ONE_OF_EACH},
    {"export", "export run --to onnx", "short", NULL, NULL, NULL, ONE_OF_EACH},
};

static void make_references(void) {
    run_well("train spec.yaml --run-dir short");
    run_well("train spec.yaml --run-dir other --set seed=2");
    copy_tree("short", "long");
    run_well("train spec.yaml --run-dir long --resume --set train.iterations=9");
}

static struct expected expect(const struct cycle *cycle) {
    struct expected expected = {.before = arena_string(&lasting, cycle->before ? describe(cycle->before) : "")};
    restore(cycle, expected.before);
    recorded = true;
    expected.status = run_with_fault(cycle->command, FAULT_NONE, 0);
    recorded = false;
    expected.allocations = page->calls[FAULT_MALLOC];
    ck_assert_int_lt(expected.allocations, FAULT_STACKS);
    expected.stacks = memcpy(arena_alloc(&lasting, sizeof page->stacks), page->stacks, sizeof page->stacks);
    expected.output = arena_string(&lasting, read_text("output.txt"));
    expected.after = arena_string(&lasting, describe("run"));
    if (cycle->reference)
        ck_assert_ptr_null(difference("run", cycle->reference));
    return expected;
}

/* For who looks into a fault: the environment's CYCLE and KIND choose, AT too, and then the stack is printed. */
static bool is_left_out(const char *variable, const char *name) {
    const char *chosen = getenv(variable);
    return chosen && strcmp(chosen, name);
}

START_TEST(calls_fail_one_by_one) {
    const struct cycle *cycle = &cycles[_i];
    struct states states = {0};
    struct text counts = {0};
    int mistakes = 0;
    SKIP_IF(!can_fail, "the kernel does not let system calls be trapped");
    SKIP_IF(is_left_out("CYCLE", cycle->name), "CYCLE names another");
    make_references();
    struct expected expected = expect(cycle);
    for (int kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++) {
        if ((kind == FAULT_MALLOC && cycle->allocations == NONE) || is_left_out("KIND", kind_names[kind]))
            continue;
        long count = fail_in_turn(cycle, (enum fault_kind)kind, &expected, &states, &mistakes);
        if (count == 0 && kind == FAULT_MALLOC)
            printf("faults: allocations are left out: the program brings a malloc of its own\n");
        if (count)
            text_printf(&counts, "%s%s %ld", counts.length ? ", " : "", kind_names[kind], count);
    }
    printf("faults: %s: %s; %d states to go on from\n", cycle->name, counts.data, states.count);
    text_free(&counts);
    ck_assert_msg(mistakes == 0, "%s: %d calls whose failure is not borne", cycle->name, mistakes);
}
END_TEST

/* --- Disks that are full ----------------------------------------------------------------------------------------- */

/* A run that cannot write all of its files, because of what `limit` says. */
static void expect_borne(const struct cycle *cycle, const struct expected *expected, int status, const char *limit,
                         struct states *states) {
    const char *message = error_lines();
    const char *wrong = judge(cycle, FAULT_WRITE, status, expected, states);
    ck_assert_msg(!wrong, "%s, %s: %s\n%s", cycle->name, limit, wrong, message);
}

/* As by ulimit -f; the signal that comes with it would end the program if it did not ignore it. */
START_TEST(files_cannot_grow) {
    const struct cycle *cycle = &cycles[_i];
    struct states states = {0};
    SKIP_IF(!can_fail, "the kernel does not let system calls be trapped");
    make_references();
    struct expected expected = expect(cycle);
    int status = -1, runs = 0;
    for (file_bytes = 1; status; file_bytes += 61, runs++) {
        restore(cycle, expected.before);
        status = run_with_fault(cycle->command, FAULT_WRITE, 0);
        expect_borne(cycle, &expected, status, arena_printf(&arena, "files of at most %ld bytes", file_bytes), &states);
        arena_free(&arena);
    }
    ck_assert_int_gt(runs, 20);
    printf("faults: %s: %d limits of a file's size\n", cycle->name, runs - 1);
}
END_TEST

enum { PAGES = 24, PAGE_SIZE = 4096 };

/* A disk of its own at "run", with so many pages left. */
static void mount_small(const struct cycle *cycle, int left) {
    static const char zeros[PAGES * PAGE_SIZE];
    struct statvfs status;
    char *options = arena_printf(&arena, "size=%d", PAGES * PAGE_SIZE);
    mkdir("run", 0777);
    ck_assert_int_eq(mount("none", "run", "tmpfs", 0, options), 0);
    if (cycle->before)
        copy_tree(cycle->before, "run");
    ck_assert_int_eq(statvfs("run", &status), 0);
    ck_assert_uint_eq(status.f_bsize, PAGE_SIZE);
    if ((int)status.f_bavail > left)
        disk_write("run/ballast", zeros, (status.f_bavail - (size_t)left) * PAGE_SIZE);
}

static void unmount(void) {
    ck_assert_int_eq(umount("run"), 0);
    rmdir("run");
}

START_TEST(a_disk_is_full) {
    const struct cycle *cycle = &cycles[_i];
    SKIP_IF(!can_fail, "the kernel does not let system calls be trapped");
    SKIP_IF(!may_mount, "nothing can be mounted here");
    make_references();
    struct expected expected = expect(cycle);
    disk_remove("run");
    int left = 0, failed = 0;
    for (int status = -1; status; left++) {
        struct states states = {0}; /* the same folder on another disk is another state */
        mount_small(cycle, left);
        status = run_with_fault(cycle->command, FAULT_NONE, 0);
        const char *limit = arena_printf(&arena, "%d pages left", left);
        char *message = error_lines();
        failed += status && strstr(message, "No space left on device");
        if (disk_exists("run/ballast"))
            ck_assert_int_eq(unlink("run/ballast"), 0);
        expect_borne(cycle, &expected, status, arena_printf(&arena, "%s: %s", limit, message), &states);
        unmount();
    }
    ck_assert_int_eq(failed, left - 1);
    printf("faults: %s: full disks with 0 to %d pages left\n", cycle->name, left - 2);
}
END_TEST

START_TEST(a_folder_is_read_only) {
    SKIP_IF(!can_fail, "the kernel does not let system calls be trapped");
    SKIP_IF(!may_mount, "nothing can be mounted here");
    make_references();
    for (size_t i = 0; i < sizeof cycles / sizeof *cycles; i++) {
        const struct cycle *cycle = &cycles[i];
        if (!cycle->before)
            continue;
        copy_tree(cycle->before, "run");
        const char *before = describe("run");
        ck_assert_int_eq(mount("run", "run", NULL, MS_BIND, NULL), 0);
        ck_assert_int_eq(mount("run", "run", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
        int status = run_with_fault(cycle->command, FAULT_NONE, 0);
        ck_assert_int_eq(WEXITSTATUS(status), 1);
        if (strcmp(cycle->name, "a run is there"))
            ck_assert_msg(strstr(error_lines(), "Read-only file system") != NULL, "%s: %s", cycle->name, error_lines());
        ck_assert_str_eq(describe("run"), before);
        ck_assert_int_eq(umount("run"), 0);
        disk_remove("run");
    }
}
END_TEST

/* --- Suite ------------------------------------------------------------------------------------------------------- */

Suite *test_suite(void) {
    Suite *suite = suite_create("faults");
    TCase *faults = suite_group(suite, "calls that fail", 3600, faults_set_up, faults_tear_down);
    tcase_add_loop_test(faults, calls_fail_one_by_one, 0, COUNT(cycles));
    tcase_add_loop_test(faults, files_cannot_grow, 0, 2);
    tcase_add_loop_test(faults, a_disk_is_full, 0, 2);
    tcase_add_test(faults, a_folder_is_read_only);
    return suite;
}
