/* Every input of tests/fuzz/corpus again, each in a process of its own: what the fuzzers keep because it reaches some
 * place in the readers, and all that ever broke one. */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

static void replay(int target, const char *path) {
    struct text bytes = load(path);
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        targets[target].input((const uint8_t *)bytes.data, bytes.length);
        exit(EXIT_SUCCESS);
    }
    ck_assert(waitpid(child, &status, 0) == child);
    ck_assert_msg(status == 0, "%s: %s %d", path, WIFSIGNALED(status) ? "signal" : "exit status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    text_free(&bytes);
}

START_TEST(corpus_is_harmless) {
    glob_t files;
    ck_assert_msg(glob(targets[_i].files, 0, NULL, &files) == 0, "%s: no inputs", targets[_i].files);
    for (size_t i = 0; i < files.gl_pathc; i++)
        replay(_i, files.gl_pathv[i]);
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
