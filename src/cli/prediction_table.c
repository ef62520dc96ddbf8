#include "cli/prediction_table.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "storage/csv.h"

struct prediction_format {
    const char *name;
    void (*begin)(struct prediction_table *table); /* NULL: nothing comes before the rows */
    void (*put)(const struct prediction_table *table, const struct prediction *prediction);
};

static const char *class_name(const struct prediction_table *table, int class, char *buffer) {
    return dataset_class_name(&table->loaded->experiment.shape, class, buffer);
}

/* --- CSV --------------------------------------------------------------------------------------------------------- */

static void begin_csv(struct prediction_table *table) {
    fprintf(table->file, "file,error,class,probability,angle");
    for (int i = 2; i <= table->top; i++)
        fprintf(table->file, ",class_%d,probability_%d,angle_%d", i, i, i);
    for (int j = 0; table->with_features && j < table->loaded->model.head.width; j++)
        fprintf(table->file, ",f%d", j);
    fputc('\n', table->file);
}

static void put_empty(FILE *file, int count) {
    while (count-- > 0)
        fputc(',', file);
}

static void put_guess(const struct prediction_table *table, const struct guess *guess) {
    char buffer[CLASS_NAME_BYTES];
    fputc(',', table->file);
    csv_field(table->file, class_name(table, guess->class, buffer));
    fprintf(table->file, ",%.6g,", guess->probability);
    if (!isnan(guess->angle))
        fprintf(table->file, "%.3f", guess->angle);
}

static void put_csv(const struct prediction_table *table, const struct prediction *prediction) {
    csv_field(table->file, prediction->path);
    fputc(',', table->file);
    if (prediction->fault) {
        csv_field(table->file, prediction->fault);
        put_empty(table->file, 3 * table->top + (table->with_features ? table->loaded->model.head.width : 0));
    }
    for (int i = 0; !prediction->fault && i < table->top; i++)
        put_guess(table, &prediction->guesses[i]);
    if (!prediction->fault && table->with_features)
        table_put_feature(table->file, &table->loaded->model, prediction->feature, ",");
    fputc('\n', table->file);
}

/* --- JSON lines -------------------------------------------------------------------------------------------------- */

/* The bytes of the UTF-8 character at the text's beginning; 0: it is none. */
static int utf8_length(const unsigned char *text) {
    int length = *text < 0x80 ? 1 : *text < 0xc2 ? 0 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : *text < 0xf5 ? 4 : 0;
    for (int i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (*text == 0xe0 && text[1] < 0xa0) || (*text == 0xf0 && text[1] < 0x90);
    bool beyond = (*text == 0xed && text[1] > 0x9f) || (*text == 0xf4 && text[1] > 0x8f);
    return overlong || beyond ? 0 : length;
}

/* In quotes. Each byte that is no UTF-8 becomes U+FFFD; control characters are escaped. */
static void put_string(FILE *file, const char *string) {
    fputc('"', file);
    for (const unsigned char *at = (const unsigned char *)string; *at;) {
        int length = utf8_length(at);
        if (length == 0)
            fputs("\\ufffd", file);
        else if (*at < ' ' || *at == 0x7f)
            fprintf(file, "\\u%04x", *at);
        else if (*at == 0xc2 && at[1] < 0xa0)
            fprintf(file, "\\u%04x", at[1]);
        else
            fprintf(file, "%s%.*s", *at == '"' || *at == '\\' ? "\\" : "", length, (const char *)at);
        at += length ? length : 1;
    }
    fputc('"', file);
}

static void put_json_guess(const struct prediction_table *table, const struct guess *guess) {
    char buffer[CLASS_NAME_BYTES];
    fputs("{\"class\":", table->file);
    put_string(table->file, class_name(table, guess->class, buffer));
    fprintf(table->file, ",\"probability\":%.6g", guess->probability);
    if (!isnan(guess->angle))
        fprintf(table->file, ",\"angle\":%.3f", guess->angle);
    fputc('}', table->file);
}

static void put_json_feature(const struct prediction_table *table, const real *feature) {
    fputs(",\"feature\":[", table->file);
    table_put_feature(table->file, &table->loaded->model, feature, "");
    fputc(']', table->file);
}

static void put_json(const struct prediction_table *table, const struct prediction *prediction) {
    fputs("{\"file\":", table->file);
    put_string(table->file, prediction->path);
    fputs(prediction->fault ? ",\"error\":" : ",\"classes\":[", table->file);
    if (prediction->fault)
        put_string(table->file, prediction->fault);
    for (int i = 0; !prediction->fault && i < table->top; i++) {
        fputs(i ? "," : "", table->file);
        put_json_guess(table, &prediction->guesses[i]);
    }
    fputs(prediction->fault ? "" : "]", table->file);
    if (!prediction->fault && table->with_features)
        put_json_feature(table, prediction->feature);
    fputs("}\n", table->file);
}

/* --- Text -------------------------------------------------------------------------------------------------------- */

enum { LEAST_NAME_WIDTH = 5, MOST_NAME_WIDTH = 24 };

/* Of UTF-8, and each other byte as one. */
static int count_characters(const char *text) {
    int count = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at; count++)
        at += utf8_length(at) ? utf8_length(at) : 1;
    return count;
}

/* Finds the width of the columns of classes. */
static void begin_text(struct prediction_table *table) {
    char buffer[CLASS_NAME_BYTES];
    table->name_width = LEAST_NAME_WIDTH;
    for (int c = 0; c < table->loaded->experiment.shape.classes && table->name_width < MOST_NAME_WIDTH; c++)
        table->name_width = larger(table->name_width, count_characters(class_name(table, c, buffer)));
    table->name_width = smaller(table->name_width, MOST_NAME_WIDTH);
}

/* As many columns as "NAME 0.1234 123.4 deg ", which is one guess. */
static void put_text_guess(const struct prediction_table *table, const struct guess *guess) {
    char buffer[CLASS_NAME_BYTES];
    const char *name = class_name(table, guess->class, buffer);
    int padding = larger(0, table->name_width - count_characters(name));
    fprintf(table->file, "%s%*s %6.4f", name, padding, "", guess->probability);
    if (isnan(guess->angle))
        fprintf(table->file, "%11s", "");
    else
        fprintf(table->file, " %5.1f deg ", guess->angle);
}

static void put_text(const struct prediction_table *table, const struct prediction *prediction) {
    if (prediction->fault)
        fprintf(table->file, "%-*s", table->top * (table->name_width + 18), "no prediction");
    for (int i = 0; !prediction->fault && i < table->top; i++)
        put_text_guess(table, &prediction->guesses[i]);
    fprintf(table->file, "%s\n", prediction->fault ? prediction->fault : prediction->path);
}

/* --- Any --------------------------------------------------------------------------------------------------------- */

static const struct prediction_format formats[] = {
    {"csv", begin_csv, put_csv},
    {"jsonl", NULL, put_json},
    {"text", begin_text, put_text},
};

const struct prediction_format *prediction_format_find(const char *name) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

void prediction_table_begin(struct prediction_table *table) {
    if (table->format->begin)
        table->format->begin(table);
}

void prediction_table_put(const struct prediction_table *table, const struct prediction *prediction) {
    struct prediction row = *prediction;
    struct text path = {0};
    text_printf(&path, "%s", prediction->path);
    if (table->on_terminal || table->format->put == put_text)
        text_defuse_line(path.data);
    row.path = path.data;
    table->format->put(table, &row);
    text_free(&path);
}
