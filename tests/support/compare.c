#include "support/compare.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "support/disk.h"
#include "support/suite.h"

void expect_same_lines(const char *text, const char *other, const char *what) {
    size_t same = 0, line = 0;
    for (; text[same] && text[same] == other[same]; same++)
        line = text[same] == '\n' ? same + 1 : line;
    ck_assert_msg(text[same] == other[same], "%s: \"%.*s\" differs from \"%.*s\"", what,
                  (int)strcspn(text + line, "\n"), text + line, (int)strcspn(other + line, "\n"), other + line);
}

bool equal_files(const char *path, const char *other) {
    size_t size = 0, other_size = 0;
    char *a = disk_read(path, &size), *b = disk_read(other, &other_size);
    bool equal = a && b && size == other_size && !memcmp(a, b, size);
    free(a);
    free(b);
    return equal;
}

/* The length of the row without its last columns. */
static size_t shortened(const char *row, size_t length, int columns, const char *name) {
    for (; columns > 0; columns--) {
        size_t comma = length;
        while (comma > 0 && row[comma - 1] != ',')
            comma--;
        ck_assert_msg(comma > 0 || !name, "%s: too few columns in \"%.*s\"", name, (int)length, row);
        length = comma > 0 ? comma - 1 : length;
    }
    return length;
}

char *table_without_times(const char *table, const char *name) {
    struct text kept = {0};
    int times = strstr(table, "images_per_second") ? 2 : 1;
    text_add(&kept, "", 0);
    for (const char *row = table; *row;) {
        size_t length = strcspn(row, "\n");
        text_add(&kept, row, shortened(row, length, times, name));
        text_add(&kept, "\n", 1);
        row += length + (row[length] == '\n');
    }
    return kept.data;
}

size_t tensor_bytes(const struct stored_tensor *tensor) {
    size_t count = 1;
    for (int d = 0; d < tensor->dims; d++)
        count *= (size_t)tensor->shape[d];
    return count * sizeof(real);
}

static bool same_tensor(const struct stored_tensor *a, const struct stored_tensor *b) {
    return !strcmp(a->name, b->name) && a->dims == b->dims &&
           !memcmp(a->shape, b->shape, (size_t)a->dims * sizeof *a->shape) &&
           !memcmp(a->data, b->data, tensor_bytes(a));
}

bool equal_tensors(const char *path, const char *other_path) {
    struct tensor_file file, other;
    struct error err;
    ck_assert_msg(tensor_file_read(&file, path, &err), "%s", err.text);
    ck_assert_msg(tensor_file_read(&other, other_path, &err), "%s", err.text);
    bool equal = file.tensor_count > 0 && file.tensor_count == other.tensor_count;
    for (int i = 0; equal && i < file.tensor_count; i++)
        equal = same_tensor(&file.tensors[i], &other.tensors[i]);
    tensor_file_free(&file);
    tensor_file_free(&other);
    return equal;
}
