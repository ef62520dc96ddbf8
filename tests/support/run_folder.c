#include "support/run_folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/compare.h"
#include "support/folder.h"
#include "support/suite.h"

const char *const train_header =
    "iteration,epoch,learning_rate,loss,fit,weight_decay,orthogonality,accuracy,lambda,gradient_norm,"
    "images_per_second,"
    "seconds";
const char *const eval_header = "iteration,epoch,split,loss,accuracy,seconds";

char *in_run(const char *run_dir, const char *name) {
    return arena_printf(&arena, "%s/%s", run_dir, name);
}

char *checkpoint(const char *run_dir, int iteration) {
    return arena_printf(&arena, "%s/checkpoints/iteration-%08d.safetensors.gz", run_dir, iteration);
}

char *without_times(const char *path) {
    char *kept = table_without_times(read_text(path), path), *copy = arena_string(&arena, kept);
    free(kept);
    return copy;
}

void read_tensors(struct tensor_file *file, const char *path) {
    struct error err;
    ck_assert_msg(tensor_file_read(file, path, &err), "%s", err.text);
}

void expect_same_runs(const char *run_dir, const char *other) {
    static const char *const tables[] = {"train.csv", "eval.csv"};
    static const char *const links[] = {"checkpoints/latest.safetensors.gz", "checkpoints/best.safetensors.gz"};
    for (int i = 0; i < 2; i++)
        expect_same_lines(without_times(in_run(run_dir, tables[i])), without_times(in_run(other, tables[i])),
                          tables[i]);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(equal_files(in_run(run_dir, links[i]), in_run(other, links[i])), "%s differs in %s and %s",
                      links[i], run_dir, other);
}

/* One row of a table: as many columns as the header, each filled. */
static void check_row(const char *row, int columns, const char *path) {
    int found = 1;
    for (const char *c = row; *c; c++)
        found += *c == ',';
    ck_assert_msg(found == columns && !strstr(row, ",,") && row[strlen(row) - 1] != ',', "%s: \"%s\"", path, row);
}

int check_table(const char *path, const char *header, int columns, int first, int step, int last) {
    char *table = read_text(path), *place;
    ck_assert_int_eq(table[strlen(table) - 1], '\n');
    char *line = strtok_r(table, "\n", &place);
    ck_assert_str_eq(line, header);
    check_row(line, columns, path);
    int expected = first, rows = 0;
    while ((line = strtok_r(NULL, "\n", &place))) {
        check_row(line, columns, path);
        ck_assert_int_eq(atoi(line), expected);
        expected += step;
        rows++;
    }
    ck_assert_int_eq(expected, last + step);
    return rows;
}

double train_value(const char *run_dir, int iteration, int column) {
    const char *at = strstr(read_text(in_run(run_dir, "train.csv")), arena_printf(&arena, "\n%d,", iteration));
    ck_assert_ptr_nonnull(at);
    for (int i = 0; i < column; i++)
        at = strchr(at, ',') + 1;
    return strtod(at + (column == 0), NULL);
}

int best_iteration(const char *run_dir) {
    char *table = read_text(in_run(run_dir, "eval.csv")), *place;
    int best = -1;
    double most = -1;
    strtok_r(table, "\n", &place); /* the header */
    for (char *line; (line = strtok_r(NULL, "\n", &place));) {
        int iteration;
        double accuracy;
        ck_assert_int_eq(sscanf(line, "%d,%*[^,],test,%*[^,],%lf,", &iteration, &accuracy), 2);
        if (accuracy > most) {
            most = accuracy;
            best = iteration;
        }
    }
    return best;
}

void expect_link(const char *run_dir, const char *name, int iteration) {
    char target[PATH_MAX] = "", *link = arena_printf(&arena, "%s/checkpoints/%s.safetensors.gz", run_dir, name);
    ck_assert_msg(readlink(link, target, sizeof target - 1) > 0, "%s is no link", link);
    ck_assert_str_eq(target, arena_printf(&arena, "iteration-%08d.safetensors.gz", iteration));
    ck_assert_msg(access(link, R_OK) == 0, "%s leads nowhere", link);
}

int count_checkpoints(const char *run_dir) {
    int count = 0;
    DIR *checkpoints = opendir(in_run(run_dir, "checkpoints"));
    ck_assert_ptr_nonnull(checkpoints);
    for (struct dirent *entry; (entry = readdir(checkpoints));)
        count += !strncmp(entry->d_name, "iteration-", 10);
    closedir(checkpoints);
    return count;
}

int lines_of(const char *path) {
    FILE *file = fopen(path, "r");
    int lines = 0;
    for (int c; file && (c = getc(file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose(file);
    return lines;
}
