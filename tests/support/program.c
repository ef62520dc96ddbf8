#define _GNU_SOURCE /* vasprintf */
#include "support/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "machine/openblas.h"
#include "support/suite.h"

char *output, *errors, *warnings;

const char *const tiny_spec = "name: tiny\n"
                              "data:\n"
                              "  type: synthetic\n"
                              "  height: 8\n"
                              "  width: 8\n"
                              "  classes: 4\n"
                              "  train_images: 64\n"
                              "  test_images: 29\n" /* odd, so that what is right and what is wrong differ in number */
                              "  flip: true\n"
                              "  crop_padding: 1\n"
                              "network:\n"
                              "  layers:\n"
                              "    - type: sphere_conv\n"
                              "      name: first\n"
                              "      filters: 6\n"
                              "      padding: 1\n"
                              "      operator: {angular: learnable_sigmoid}\n"
                              "    - batch_norm\n"
                              "    - {type: max_pool}\n"
                              "    - {type: dense, name: score, units: 4}\n"
                              "optimizer: {type: adam, learning_rate: 1e-2}\n"
                              "loss: {type: softmax}\n"
                              "schedule: {type: cosine, warmup: 5}\n"
                              "train:\n"
                              "  iterations: 24\n"
                              "  batch_size: 16\n"
                              "  eval_every: 6\n"
                              "  checkpoint_every: 8\n"
                              "  log_every: 1\n"
                              "  threads: 1\n";

void program_set_up(void) {
    ck_assert_int_eq(setenv("SPHERENET", program_path(), 1), 0);
    ck_assert_int_eq(unsetenv(BLAS_CORE_VARIABLE), 0);
    folder_enter(NULL, "cli");
    disk_write_text("spec.yaml", tiny_spec);
}

void program_tear_down(void) {
    folder_leave();
}

static char *__attribute__((format(printf, 1, 0))) format_text(const char *format, va_list args) {
    char *text;
    ck_assert_int_ge(vasprintf(&text, format, args), 0);
    char *copy = arena_string(&arena, text);
    free(text);
    return copy;
}

int shell(const char *command) {
    int status = system(command);
    ck_assert_msg(status >= 0 && WIFEXITED(status), "killed: %s", command);
    return WEXITSTATUS(status);
}

/* The lines of the file that begin as warnings do, or those that do not. Some machines deserve a warning. */
static char *lines_that(bool warn, const char *path) {
    struct text lines = {0};
    text_add(&lines, "", 0);
    for (const char *line = read_text(path); *line;) {
        size_t length = strcspn(line, "\n");
        length += line[length] == '\n';
        if (warn == !strncmp(line, "spherenet: warning: ", 20))
            text_add(&lines, line, length);
        line += length;
    }
    char *copy = arena_string(&arena, lines.data);
    text_free(&lines);
    return copy;
}

void run(int expected_status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *arguments = format_text(format, args);
    va_end(args);
    int status = shell(arena_printf(&arena, ">output.txt 2>errors.txt \"$SPHERENET\" %s", arguments));
    output = read_text("output.txt");
    errors = lines_that(false, "errors.txt");
    warnings = lines_that(true, "errors.txt");
    ck_assert_msg(status == expected_status, "spherenet %s: exit status %d instead of %d\n%s", arguments, status,
                  expected_status, errors);
}

void expect_error(const char *part) {
    ck_assert_msg(strstr(errors, part) != NULL, "\"%s\" is not in the message \"%s\"", part, errors);
}

void expect_output(const char *part) {
    ck_assert_msg(strstr(output, part) != NULL, "\"%s\" is not in the output \"%s\"", part, output);
}

double printed(const char *what) {
    const char *at = strstr(output, what);
    ck_assert_msg(at != NULL, "no \"%s\" in \"%s\"", what, output);
    return strtod(at + strlen(what), NULL);
}
