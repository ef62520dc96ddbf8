/* Texts, files and tables, compared. */
#ifndef SPHERENET_TESTS_SUPPORT_COMPARE_H
#define SPHERENET_TESTS_SUPPORT_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "support/tensor_file.h"

/* Check cannot print long texts; this names the first line that differs. */
void expect_same_lines(const char *text, const char *other, const char *what);

/* false, too, where one of them cannot be read. */
bool equal_files(const char *path, const char *other);

/* A table of a run without its columns of time, which are the last; to be freed. name: of the table, where a row with
 * too few columns fails the test; NULL: such rows are taken as they are. */
char *table_without_times(const char *table, const char *name);

size_t tensor_bytes(const struct stored_tensor *tensor);

/* Both files can be read, and hold tensors of the same names, shapes and bits, at least one. */
bool equal_tensors(const char *path, const char *other_path);

#endif
