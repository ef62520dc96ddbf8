/* Every input of tests/fuzz/corpus again: what the fuzzers keep because it reaches some
 * place in the readers, and all that ever broke one. */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "fuzz/fuzz.h"
#include "runner.h"

enum { SECONDS = 20, SUITE_SECONDS = 600 };

static const struct {
    const char *files;
    void (*input)(const uint8_t *data, size_t size);
} targets[] = {
    {"tests/fuzz/corpus/spec/*", fuzz_spec_input},
    {"tests/fuzz/corpus/checkpoint/*", fuzz_checkpoint_input},
    {"tests/fuzz/corpus/data/*", fuzz_data_input},
    {"tests/fuzz/corpus/picture/*", fuzz_picture_input},
    {"tests/fuzz/corpus/tree/*", fuzz_tree_input},
};

static struct text load(const char *path) {
    struct text bytes = {0};
    char piece[4096];
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    text_add(&bytes, "", 0);
    for (size_t got; (got = fread(piece, 1, sizeof piece, file)) > 0;)
        text_add(&bytes, piece, got);
    fclose(file);
    return bytes;
}

/* In the child; `current` tells the parent how far it came. */
static void replay(int target, const glob_t *files, volatile size_t *current) {
    for (; *current < files->gl_pathc; ++*current) {
        struct text bytes = load(files->gl_pathv[*current]);
        alarm(SECONDS);
        targets[target].input((const uint8_t *)bytes.data, bytes.length);
        text_free(&bytes);
    }
}

START_TEST(corpus_is_harmless) {
    glob_t files;
    int status;
    ck_assert_msg(glob(targets[_i].files, 0, NULL, &files) == 0, "%s: no inputs", targets[_i].files);
    size_t *current = mmap(NULL, sizeof *current, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(current != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        replay(_i, &files, current);
        globfree(&files);
        exit(EXIT_SUCCESS);
    }
    ck_assert(waitpid(child, &status, 0) == child);
    ck_assert_msg(status == 0, "%s: %s %d", *current < files.gl_pathc ? files.gl_pathv[*current] : "at the end",
                  WIFSIGNALED(status) ? "signal" : "exit status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    munmap(current, sizeof *current);
    globfree(&files);
}
END_TEST

/* What a fuzzer promises, it has to keep watch over: the abort of a broken one ends the process. */
START_TEST(broken_promises_abort) {
    fuzz_require(false, "this is a test");
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("fuzz_corpus");
    TCase *tcase = tcase_create("replay");
    tcase_set_timeout(tcase, SUITE_SECONDS);
    tcase_add_loop_test(tcase, corpus_is_harmless, 0, sizeof targets / sizeof *targets);
    tcase_add_test_raise_signal(tcase, broken_promises_abort, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
