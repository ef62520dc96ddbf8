#define ZLIB_CONST /* zlib reads its input only */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "run/checkpoint.h"
#include "run/init_from.h"
#include "support/tensor_file.h"

enum { GZIP_WINDOW_BITS = 16 + 15, MOST_INFLATED = 1 << 20, LENGTH_BYTES = 8, JSON_GROWTH = 1 << 12 };

/* ---- The input ---- */

static const char spec[] =
    "name: fuzz\n"
    "data: {type: synthetic, height: 4, width: 4, channels: 1, classes: 2, train_images: 2}\n"
    "network: {layers: [{type: sphere_conv, name: a, filters: 2, operator: {angular: "
    "learnable_sigmoid}}, {type: batch_norm, name: b}, relu, {type: dense, name: c, units: 2}]}\n"
    "train: {iterations: 1, batch_size: 1}\n";

/* One trainer for all inputs; what is loaded into it decides nothing. */
static struct trainer *tiny_trainer(void) {
    static struct experiment experiment;
    static struct trainer trainer;
    static bool open;
    struct diagnostics diags = {0};
    struct error err;
    if (!open)
        open = experiment_parse(&experiment, "fuzz.yaml", spec, NULL, 0, &diags) &&
               trainer_open(&trainer, &experiment, &err);
    fuzz_require(open, "the fuzzer's own trainer opens");
    return &trainer;
}

static void start_from(struct safetensors *file, const char *path, const char *drawn) {
    static const struct text_pair pairs[] = {{"module.", ""}, {"a", "c.weight"}, {"", "x."}};
    struct init_notes notes = {0};
    struct error err = {0};
    for (int count = 0; count <= 3; count++) {
        const struct text_map names = {count, (struct text_pair *)(uintptr_t)pairs};
        const struct init_request request = {&names, drawn};
        init_from_file(file, path, &request, &tiny_trainer()->model, &notes, &err);
    }
    init_notes_free(&notes);
}

/* As `train --resume`, `train.init_from` and `eval` do. */
static void resume(struct safetensors *file, const char *path) {
    struct trainer *trainer = tiny_trainer();
    struct experiment experiment;
    struct best_test best;
    struct diagnostics diags = {0};
    struct error err = {0};
    int64_t iteration;
    const char *text = checkpoint_spec(file, path, &err);
    if (text) {
        experiment_parse_stored(&experiment, path, text, NULL, 0, &diags);
        experiment_free(&experiment);
        text_free(&diags.text);
    }
    if (checkpoint_progress(file, path, &iteration, &best, &err))
        fuzz_require(iteration >= 0 && best.iteration >= -1, "iterations are none below the first");
    checkpoint_load(file, path, trainer, &err);
    checkpoint_load_weights(file, path, &trainer->model, &err);
    start_from(file, path, NULL);
    start_from(file, path, "c");
}

static size_t value_count(const struct stored_tensor *tensor) {
    size_t count = 1;
    for (int d = 0; d < tensor->dims; d++)
        count *= (size_t)tensor->shape[d];
    return count;
}

static void check_same(const struct tensor_file *a, const struct tensor_file *b) {
    fuzz_require(a->tensor_count == b->tensor_count, "as many tensors are read as were written");
    for (int i = 0; i < a->tensor_count; i++) {
        const struct stored_tensor *x = &a->tensors[i], *y = &b->tensors[i];
        fuzz_require(!strcmp(x->name, y->name) && x->dims == y->dims &&
                         !memcmp(x->shape, y->shape, (size_t)x->dims * sizeof *x->shape) &&
                         !memcmp(x->data, y->data, value_count(x) * sizeof *x->data),
                     "a tensor is read as it was written");
    }
    for (int i = 0; i < a->text_count; i++) {
        const char *text = tensor_file_text(b, a->texts[i].key);
        fuzz_require(text && !strcmp(text, a->texts[i].value), "a text is read as it was written");
    }
}

static void write_again(const struct tensor_file *file, const char *path) {
    struct tensor_file again;
    struct error err = {0};
    fuzz_require(tensor_file_write(path, file->tensors, file->tensor_count, file->texts, file->text_count, &err),
                 "what was read can be written");
    fuzz_require(tensor_file_read(&again, path, &err), "what was written can be read");
    check_same(file, &again);
    tensor_file_free(&again);
}

void fuzz_checkpoint_input(const uint8_t *data, size_t size) {
    char path[256];
    struct tensor_file file;
    struct error err = {0};
    fuzz_write("checkpoint", data, size);
    snprintf(path, sizeof path, "%s/checkpoint", fuzz_folder());
    struct safetensors opened;
    bool good = safetensors_open(&opened, path, &err);
    fuzz_require(good || *err.text, "what is refused has a reason");
    if (!good)
        return;
    resume(&opened, path);
    safetensors_close(&opened);
    if (!tensor_file_read(&file, path, &err))
        return;
    write_again(&file, path);
    tensor_file_free(&file);
}

/* ---- The mutator ---- */

/* A safetensors file, not gzipped: an 8 byte length, JSON of that length, values. */
struct plain {
    uint8_t *bytes; /* [MOST_INFLATED + JSON_GROWTH] */
    size_t size;
};

static bool is_gzipped(const uint8_t *data, size_t size) {
    return size > 2 && data[0] == 0x1f && data[1] == 0x8b;
}

/* What there is of a gzip stream, were it damaged or cut short. */
static struct plain open_up(const uint8_t *data, size_t size) {
    struct plain plain = {mem_alloc(MOST_INFLATED + JSON_GROWTH), size < MOST_INFLATED ? size : MOST_INFLATED};
    if (!is_gzipped(data, size)) {
        memcpy(plain.bytes, data, plain.size);
        return plain;
    }
    z_stream stream = {.next_in = data, .avail_in = (uInt)size, .next_out = plain.bytes, .avail_out = MOST_INFLATED};
    fuzz_require(inflateInit2(&stream, GZIP_WINDOW_BITS) == Z_OK, "zlib starts");
    inflate(&stream, Z_FINISH);
    plain.size = stream.total_out;
    inflateEnd(&stream);
    return plain;
}

static size_t json_size(const struct plain *plain) {
    uint64_t length = 0;
    if (plain->size < LENGTH_BYTES)
        return 0;
    memcpy(&length, plain->bytes, LENGTH_BYTES);
    return length < plain->size - LENGTH_BYTES ? (size_t)length : plain->size - LENGTH_BYTES;
}

/* Changes the JSON alone, and makes the length before it right. */
static void mutate_json(struct plain *plain, fuzz_mutate *mutate) {
    size_t old = json_size(plain), values = plain->size - LENGTH_BYTES - old;
    uint8_t *json = mem_alloc(old + JSON_GROWTH), *after = plain->bytes + LENGTH_BYTES;
    memcpy(json, after, old);
    uint64_t new = mutate(json, old, old + JSON_GROWTH);
    memmove(after + new, after + old, values);
    memcpy(after, json, new);
    memcpy(plain->bytes, &new, LENGTH_BYTES);
    plain->size = LENGTH_BYTES + new + values;
    free(json);
}

static void mutate_values(struct plain *plain, fuzz_mutate *mutate) {
    size_t before = LENGTH_BYTES + json_size(plain);
    plain->size = before + mutate(plain->bytes + before, plain->size - before, MOST_INFLATED + JSON_GROWTH - before);
}

static void mutate_plain(struct plain *plain, unsigned choice, fuzz_mutate *mutate) {
    if (plain->size <= LENGTH_BYTES || choice == 0)
        plain->size = mutate(plain->bytes, plain->size, MOST_INFLATED);
    else if (choice == 1)
        mutate_values(plain, mutate);
    else
        mutate_json(plain, mutate);
}

size_t fuzz_checkpoint_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate) {
    unsigned choice = seed % 8, toggle = seed / 8 % 16 == 0;
    if (choice == 7) /* gzip itself */
        return mutate(data, size, most);
    struct plain plain = open_up(data, size);
    mutate_plain(&plain, choice, mutate);
    if (is_gzipped(data, size) != toggle) {
        uint8_t *gzipped = fuzz_gzip(plain.bytes, plain.size, &plain.size);
        free(plain.bytes);
        plain.bytes = gzipped;
    }
    if (plain.size <= most)
        memcpy(data, plain.bytes, plain.size);
    free(plain.bytes);
    return plain.size <= most ? plain.size : mutate(data, size, most);
}
