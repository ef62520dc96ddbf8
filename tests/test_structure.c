/* The order of the folders in src/: a file includes only from its own folder and from those before it. */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "runner.h"

static const char *const order[] = {"base",  "storage", "picture", "spec",   "process", "kernel", "machine",
                                    "plan",  "op",      "layer",   "model",  "loss",    "family", "data",
                                    "optim", "train",   "run",     "export", "sweep",   "cli"};

enum { FOLDERS = sizeof order / sizeof *order };

static int rank(const char *path) {
    for (int i = 0; i < FOLDERS; i++) {
        size_t length = strlen(order[i]);
        if (!strncmp(path, order[i], length) && path[length] == '/')
            return i;
    }
    return -1;
}

static void check_file(const char *path) {
    char line[1024], included[256];
    int own = rank(path + strlen("src/"));
    ck_assert_msg(own >= 0, "%s is in no folder that docs/architecture.md lists", path);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    for (int number = 1; fgets(line, sizeof line, file); number++)
        if (sscanf(line, "#include \"%255[^\"]\"", included) == 1)
            ck_assert_msg(rank(included) >= 0 && rank(included) <= own, "%s:%d includes %s, which comes after it", path,
                          number, included);
    fclose(file);
}

START_TEST(includes_point_backwards) {
    glob_t files;
    ck_assert_int_eq(glob("src/*/*.[ch]", 0, NULL, &files), 0);
    ck_assert_uint_gt(files.gl_pathc, 50);
    for (size_t i = 0; i < files.gl_pathc; i++)
        check_file(files.gl_pathv[i]);
    globfree(&files);
}
END_TEST

Suite *test_suite(void) {
    Suite *suite = suite_create("structure");
    TCase *tcase = tcase_create("folders");
    tcase_add_test(tcase, includes_point_backwards);
    suite_add_tcase(suite, tcase);
    return suite;
}
