#include "export/tensorboard.h"

#include <event.pb-c.h>
#include <string.h>
#include <sys/stat.h>

#include "export/crc32c.h"
#include "export/curve_table.h"
#include "export/message_file.h"
#include "run/run_dir.h"

/* --- Records ----------------------------------------------------------------------------------------------------- */

/* As TensorFlow's files of records have it: a checksum of bytes that hold checksums themselves. */
static uint32_t masked(uint32_t crc) {
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void add_number(struct text *records, uint64_t value, int count) {
    char bytes[8];
    for (int i = 0; i < count; i++)
        bytes[i] = (char)(value >> (8 * i));
    text_add(records, bytes, (size_t)count);
}

/* Length, its checksum, the bytes, their checksum; numbers begin with their lowest byte, as this machine's do. */
static void add_record(struct text *records, struct arena *arena, const Tensorboard__Event *event) {
    uint64_t size = tensorboard__event__get_packed_size(event);
    uint8_t *bytes = arena_alloc(arena, size);
    tensorboard__event__pack(event, bytes);
    add_number(records, size, 8);
    add_number(records, masked(crc32c(&size, sizeof size)), 4);
    text_add(records, (const char *)bytes, size);
    add_number(records, masked(crc32c(bytes, size)), 4);
}

static void add_version(struct text *records, struct arena *arena, double time) {
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    event.wall_time = time;
    event.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
    event.file_version = arena_string(arena, "brain.Event:2");
    add_record(records, arena, &event);
}

/* --- Scalars ----------------------------------------------------------------------------------------------------- */

static Tensorboard__Value *new_value(struct arena *arena, const char *group, const char *name, double value) {
    Tensorboard__Value *scalar = arena_alloc(arena, sizeof *scalar);
    tensorboard__value__init(scalar);
    scalar->tag = arena_printf(arena, "%s/%s", group, name);
    scalar->value_case = TENSORBOARD__VALUE__VALUE_SIMPLE_VALUE;
    scalar->simple_value = (float)value;
    return scalar;
}

static void add_row(struct text *records, struct arena *arena, const struct curve_table *table,
                    const struct curve_row *row, double start) {
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    Tensorboard__Summary summary = TENSORBOARD__SUMMARY__INIT;
    int seconds = curve_table_column(table, "seconds"), split = curve_table_column(table, "split");
    summary.value = arena_alloc(arena, (size_t)table->columns * sizeof *summary.value);
    for (int i = 1; i < table->columns; i++)
        if (i != split)
            summary.value[summary.n_value++] =
                new_value(arena, row->split ? row->split : "train", table->names[i], row->values[i]);
    event.wall_time = start + (seconds < 0 ? 0 : row->values[seconds]);
    event.step = (int64_t)row->values[0];
    event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    add_record(records, arena, &event);
}

static void add_table(struct text *records, const struct curve_table *table, double start) {
    for (int i = 0; i < table->row_count; i++) {
        struct arena arena = {0};
        add_row(records, &arena, table, &table->rows[i], start);
        arena_free(&arena);
    }
}

/* --- A run ------------------------------------------------------------------------------------------------------- */

/* When the run would have begun if nothing had stopped it: its last row was written when the file was changed last. */
static bool find_start(const struct curve_table *table, const char *path, double *start, struct error *err) {
    struct stat status;
    int seconds = curve_table_column(table, "seconds");
    if (stat(path, &status))
        return error_set_errno(err, "%s: cannot be read", path);
    *start = (double)status.st_mtime;
    if (table->row_count && seconds >= 0)
        *start -= table->rows[table->row_count - 1].values[seconds];
    return true;
}

static bool write_records(const char *path, const struct text *records, struct error *err) {
    struct message_file file;
    if (!message_file_open(&file, path, err))
        return false;
    message_file_add(&file, records->data, records->length);
    return message_file_close(&file, err);
}

static bool write_tables(const char *path, struct arena *arena, const struct curve_table *train,
                         const struct curve_table *eval, double start, struct error *err) {
    struct text records = {0};
    add_version(&records, arena, start);
    add_table(&records, train, start);
    add_table(&records, eval, start);
    bool good = write_records(path, &records, err);
    text_free(&records);
    return good;
}

bool tensorboard_write(const char *folder, const char *run, struct error *err) {
    struct arena arena = {0};
    struct curve_table train, eval;
    double start = 0;
    const char *path = arena_printf(&arena, "%s/" TENSORBOARD_FILE, folder);
    const char *train_path = arena_printf(&arena, "%s/train.csv", run);
    bool good = curve_table_read(&train, &arena, train_path, err) &&
                curve_table_read(&eval, &arena, arena_printf(&arena, "%s/eval.csv", run), err) &&
                find_start(&train, train_path, &start, err) && run_dir_make(folder, err) &&
                write_tables(path, &arena, &train, &eval, start, err);
    arena_free(&arena);
    return good;
}
