/* Every call that can fail does, once, where pictures are trained on, tested, looked at and predicted: each allocation,
 * open, read, stat, ... Whatever fails, the program ends by itself: with status 0 and all that it does without the
 * fault, or with a message and another status. It leaves no file half written, and what it remembers of a folder is
 * right. */
#define _GNU_SOURCE /* memmem */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "data/image_store.h"
#include "support/faults.h"
#include "support/png_file.h"

enum { MOST_MESSAGES = 20, MANY = IMAGE_STORE_LEAST + 10 };

#define DATA "data: {type: images, height: 6, width: 6, %s}\n"

static const char *const spec =
    "name: tiny\n" DATA "network:\n"
    "  layers: [{type: sphere_conv, filters: 2}, {type: dense, units: 2}]\n"
    "optimizer: {type: sgd, learning_rate: 1e-2}\n"
    "train: {iterations: 2, batch_size: 4, eval_every: 2, checkpoint_every: 2, keep: 1, log_every: 1, threads: 1}\n";

/* --- Cases ------------------------------------------------------------------------------------------------------- */

/* One command whose calls fail in turn. Those that train begin without the folder "run" and end as "reference"; the
 * others have a trained network in "trained". */
static const struct {
    const char *name, *data; /* data: keys of the spec */
    const char *command;
    const char *made;       /* the file that it makes, one that is whole whatever fails; NULL: none */
    bool trains, remembers; /* remembers: the folder was looked at before */
} cases[] = {
    {"folder", "path: pictures", "train spec.yaml --run-dir run", NULL, true, false},
    {"list", "list: pictures/list.tsv", "eval trained --split train", NULL, false, false},
    {"skip", "path: damaged, on_bad_image: skip", "eval trained --split train", NULL, false, false},
    {"kept files", "path: pictures, crop_scale: 0.5, cache: 1M", "train spec.yaml --run-dir run", NULL, true, false},
    {"first scan", "path: many, train_limit: 4, test_limit: 4", "eval trained --split train", NULL, false, false},
    {"second scan", "path: many, train_limit: 4, test_limit: 4", "eval trained --split train", NULL, false, true},
    {"data", "path: pictures", "data spec.yaml --sheet made/sheet.png", "made/sheet.png", false, false},
    {"csv", "path: pictures", "predict trained pictures --format csv --features", NULL, false, false},
    {"json", "path: pictures", "predict trained pictures --format jsonl --top 2", NULL, false, false},
    {"text", "path: pictures", "predict trained pictures --format text", NULL, false, false},
    {"names", "path: pictures", "predict trained -", NULL, false, false},
    {"table", "path: pictures", "predict trained pictures --out made/table.csv", "made/table.csv", false, false},
};

static const char *const old_table = "a table of yesterday\n";

/* --- Pictures ---------------------------------------------------------------------------------------------------- */

static void write_pictures(const char *root) {
    for (int i = 0; i < 12; i++)
        png_write_plain(arena_printf(&arena, "%s/%s/%c/%d.png", root, i < 8 ? "train" : "test", "ab"[i % 2], i), 7, 9,
                        i * 20, 255 - i * 20, 99);
}

static void write_list(void) {
    struct text list = {0};
    for (int i = 0; i < 12; i++)
        text_printf(&list, "%s/%c/%d.png\t%c\t%s\n", i < 8 ? "train" : "test", "ab"[i % 2], i, "ab"[i % 2],
                    i < 8 ? "train" : "test");
    disk_write_text("pictures/list.tsv", list.data);
    text_free(&list);
}

/* As many as are remembered, by one name; nobody has touched their folders for long. */
static void write_many(void) {
    static const char *const folders[] = {"", "/train", "/train/a", "/train/b", "/test", "/test/a", "/test/b"};
    const struct timespec times[2] = {{1000, 0}, {1000, 0}};
    write_pictures("many");
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(link("many/train/a/0.png", arena_printf(&arena, "many/train/a/z%05d.png", i)), 0);
    for (int i = 0; i < COUNT(folders); i++)
        ck_assert_int_eq(utimensat(AT_FDCWD, arena_printf(&arena, "many%s", folders[i]), times, 0), 0);
}

static void prepare(int number) {
    struct text names = {0}, text = {0};
    text_printf(&text, spec, cases[number].data);
    disk_write_text("spec.yaml", text.data);
    write_pictures("pictures");
    write_pictures("damaged");
    disk_write("damaged/train/a/2.png", "", 0);
    write_list();
    if (strstr(cases[number].data, "many"))
        write_many();
    for (int i = 0; i < 12; i += 3)
        text_printf(&names, "pictures/%s/%c/%d.png\n", i < 8 ? "train" : "test", "ab"[i % 2], i);
    disk_write_text("names.txt", names.data);
    text_free(&names);
    text_free(&text);
}

/* --- Judgement --------------------------------------------------------------------------------------------------- */

/* What a command does without a fault. */
struct expected {
    int status;
    const char *output;
    char *made; /* of malloc */
    size_t made_bytes;
    uint32_t *stacks; /* of its allocations, from 1 on */
    long allocations;
};

/* Before each run. */
static void restore(int number) {
    disk_remove("run");
    disk_remove("made");
    if (!cases[number].remembers)
        disk_remove("cache");
    if (cases[number].made) {
        make_folders(cases[number].made);
        disk_write_text(cases[number].made, old_table);
    }
}

static const char *left_over(void) {
    const char *const folders[] = {"run", "trained", "made", "cache"};
    for (int i = 0; i < COUNT(folders); i++) {
        const char *wrong = wrong_file(folders[i]);
        if (wrong)
            return arena_string(&arena, wrong);
    }
    /* Of mkstemp. */
    const char *cached = strstr(describe("cache"), "spherenet/pictures-");
    return cached && cached[strcspn(cached, ". ")] == '.' ? "a file of the cache was left" : NULL;
}

static bool has_line(const char *text, const char *line, size_t length) {
    for (; *text; text += strcspn(text, "\n") + 1)
        if (strcspn(text, "\n") == length && !memcmp(text, line, length))
            return true;
    return false;
}

/* Each line is as without the fault, or tells of a picture or a folder that could not be read. */
static bool is_whole_but_for_faults(const char *table, const char *whole) {
    for (const char *end; *table; table = end + 1) {
        end = strchr(table, '\n');
        if (!end || (!has_line(whole, table, (size_t)(end - table)) && !memmem(table, (size_t)(end - table), ",,,", 3)))
            return false;
    }
    return true;
}

static const char *judge_bytes(const char *made, size_t size, bool done, const struct expected *expected) {
    if (size == strlen(old_table) && !memcmp(made, old_table, size))
        return done ? "the file was not made" : NULL;
    if (size == expected->made_bytes && !memcmp(made, expected->made, size))
        return NULL;
    return done || memchr(made, '\0', size) || !is_whole_but_for_faults(made, expected->made) ? "the file is not whole"
                                                                                              : NULL;
}

static const char *judge_made(const char *path, bool done, const struct expected *expected) {
    size_t size;
    char *made = disk_read(path, &size);
    const char *wrong = made ? judge_bytes(made, size, done, expected) : "the file of before is gone";
    free(made);
    return wrong;
}

static const char *judge_training(int number, bool done) {
    const char *wrong = done ? difference("run", "reference") : NULL;
    if (wrong || done)
        return wrong;
    int status = run_with_fault(is_begun("run") ? "train spec.yaml --run-dir run --resume" : cases[number].command,
                                FAULT_NONE, 0);
    if (status)
        return arena_printf(&arena, "the run after it: status %x: %s", status, error_lines());
    wrong = difference("run", "reference");
    return wrong ? arena_printf(&arena, "the run after it: %s", wrong) : NULL;
}

static const char *judge(int number, enum fault_kind kind, int status, const struct expected *expected) {
    bool harmless = kind == FAULT_LESS_READ || kind == FAULT_LESS_WRITTEN;
    const char *output = read_text("output.txt");
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? "it hangs" : arena_printf(&arena, "signal %d", WTERMSIG(status));
    if (status != expected->status && harmless)
        return "it fails at what is no fault";
    /* 2: of a spec, or of what it is resolved by. */
    if (WEXITSTATUS(status) > 2)
        return arena_printf(&arena, "exit status %d", WEXITSTATUS(status));
    if (status && !*error_lines() && !strstr(output, "damaged:"))
        return "it says nothing";
    /* Where a small allocation fails, on whatever thread, the program or its OpenMP ends as if it were killed. */
    bool may_leave = kind == FAULT_UNLINK || strstr(error_lines(), "ut of memory");
    const char *wrong = may_leave ? NULL : left_over();
    if (wrong)
        return wrong;
    if (!cases[number].trains && status == 0 && strcmp(output, expected->output))
        return arena_printf(&arena, "another output:\n%s", output);
    if (cases[number].made && (wrong = judge_made(cases[number].made, status == 0, expected)))
        return wrong;
    return cases[number].trains ? judge_training(number, status == 0) : NULL;
}

/* --- Faults ------------------------------------------------------------------------------------------------------ */

static struct expected expect(int number) {
    struct expected expected = {0};
    restore(number);
    recorded = true;
    expected.status = run_with_fault(cases[number].command, FAULT_NONE, 0);
    recorded = false;
    ck_assert_msg(expected.status == 0, "%s", read_text("errors.txt"));
    expected.allocations = page->calls[FAULT_MALLOC];
    expected.stacks = memcpy(arena_alloc(&lasting, sizeof page->stacks), page->stacks, sizeof page->stacks);
    expected.output = arena_string(&lasting, read_text("output.txt"));
    if (cases[number].made)
        expected.made = disk_read(cases[number].made, &expected.made_bytes);
    if (cases[number].trains)
        ck_assert_ptr_null(difference("run", "reference"));
    ck_assert_int_eq(strstr(cases[number].data, "many") != NULL, strstr(describe("cache"), "pictures-") != NULL);
    return expected;
}

/* Of allocations that are made in the same place, called from the same places, one stands for all. */
static bool is_repeated(const struct expected *expected, long at) {
    if (at >= FAULT_STACKS || at > expected->allocations)
        return false;
    for (long i = 1; i < at; i++)
        if (expected->stacks[i] == expected->stacks[at])
            return true;
    return false;
}

/* The environment's CASE, KIND and AT choose, and AT prints the stack, for who looks into a fault. */
static long fail_in_turn(int number, enum fault_kind kind, const struct expected *expected, int *mistakes) {
    const char *only = getenv("AT");
    long failed = 0;
    for (long at = only ? atol(only) : 1;; at++) {
        if (kind == FAULT_MALLOC && is_repeated(expected, at))
            continue;
        restore(number);
        traced = only;
        int status = run_with_fault(cases[number].command, kind, at);
        traced = false;
        if (!page->failed)
            return failed;
        failed++;
        const char *message = error_lines();
        const char *wrong = judge(number, kind, status, expected);
        if (only || (wrong && ++*mistakes <= MOST_MESSAGES))
            printf("image faults: %s: %s %ld: %s\n%s\n", cases[number].name, kind_names[kind], at,
                   wrong ? wrong : "all is well", message);
        arena_free(&arena);
        if (only)
            return failed;
    }
}

static bool is_left_out(const char *variable, const char *name) {
    const char *chosen = getenv(variable);
    return chosen && strcmp(chosen, name);
}

START_TEST(calls_fail_one_by_one) {
    int mistakes = 0;
    long counts[FAULT_KINDS] = {0};
    SKIP_IF(!can_fail, "the kernel does not let system calls be trapped");
    SKIP_IF(is_left_out("CASE", cases[_i].name), "CASE names another");
    prepare(_i);
    run_well(arena_printf(&arena, "train spec.yaml --run-dir %s", cases[_i].trains ? "reference" : "trained"));
    struct expected expected = expect(_i);
    for (int kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++)
        if (kind != FAULT_GONE && !is_left_out("KIND", kind_names[kind]))
            counts[kind] = fail_in_turn(_i, (enum fault_kind)kind, &expected, &mistakes);
    printf("image faults: %s: %ld allocations, %ld opens, %ld reads, %ld stats, %ld lists\n", cases[_i].name,
           counts[FAULT_MALLOC], counts[FAULT_OPEN], counts[FAULT_READ], counts[FAULT_STAT], counts[FAULT_LIST]);
    free(expected.made);
    ck_assert_msg(mistakes == 0, "%s: %d calls whose failure is not borne", cases[_i].name, mistakes);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("image faults");
    TCase *faults = suite_group(suite, "calls that fail", 3600, faults_set_up, faults_tear_down);
    tcase_add_loop_test(faults, calls_fail_one_by_one, 0, COUNT(cases));
    return suite;
}
