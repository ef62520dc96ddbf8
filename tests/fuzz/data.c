#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/number.h"
#include "data/dataset.h"
#include "fuzz/fuzz.h"
#include "spec/bind.h"

/* Of the input; little-endian. */
struct entry {
    uint8_t file; /* an index of names[]; PLAIN_NAME: without .gz; COMPRESS: the bytes are to be gzipped first;
                   * SEAL: they are a tar archive, whose headers get the right sums before that */
    uint8_t length[2], zeros[2]; /* bytes that follow in the input; zeros that follow them in the file */
};

enum { FILE_MASK = 0x1f, SEAL = 0x20, PLAIN_NAME = 0x40, COMPRESS = 0x80 };
enum { KINDS = 5, ALL_KINDS = 10, MOST_FILES = 8 };
enum { BLOCK = 512, SIZE_AT = 124, SIZE_BYTES = 12, SUM_AT = 148, SUM_BYTES = 8 }; /* of tar */

static const char *const names[] = {
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
    "train.bin",
    "test.bin",
    "train-images-idx3-ubyte",
    "t10k-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-labels-idx1-ubyte",
    "batches.meta.txt",
    "fine_label_names.txt",
    "coarse_label_names.txt",
    "cifar-10-binary.tar",
    "cifar-100-binary.tar",
    "train-images.idx3-ubyte",
    "emnist-x-train-images-idx3-ubyte",
    "emnist-x-test-images-idx3-ubyte",
    "emnist-x-train-labels-idx1-ubyte",
    "emnist-x-test-labels-idx2-int",
    "emnist-x-mapping.txt",
    "class_names.txt",
};

enum { NAMES = sizeof names / sizeof *names };

static size_t two_bytes(const uint8_t *bytes) {
    return (size_t)bytes[0] | (size_t)bytes[1] << 8;
}

/* Gives every header that can be found the sum of its bytes. */
static void seal(uint8_t *bytes, size_t size) {
    for (size_t at = 0; at + BLOCK <= size;) {
        unsigned sum = 0;
        char digits[SIZE_BYTES + 1] = {0};
        memset(bytes + at + SUM_AT, ' ', SUM_BYTES);
        for (int i = 0; i < BLOCK; i++)
            sum += bytes[at + (size_t)i];
        snprintf((char *)bytes + at + SUM_AT, SUM_BYTES, "%06o", sum);
        memcpy(digits, bytes + at + SIZE_AT, SIZE_BYTES);
        size_t content = strtoul(digits, NULL, 8);
        at += BLOCK + (content < size ? (content + BLOCK - 1) / BLOCK * BLOCK : size);
    }
}

/* Writes the file of one entry; returns the bytes of the input that it took. */
static size_t write_entry(const struct entry *entry, const uint8_t *bytes, size_t left) {
    size_t length = size_smaller(two_bytes(entry->length), left), size = length + two_bytes(entry->zeros);
    uint8_t *content = mem_alloc(size + 1);
    memcpy(content, bytes, length);
    if (entry->file & SEAL)
        seal(content, length);
    if (entry->file & COMPRESS) {
        uint8_t *gzipped = fuzz_gzip(content, size, &size);
        free(content);
        content = gzipped;
    }
    char name[64];
    snprintf(name, sizeof name, "%s%s", names[(entry->file & FILE_MASK) % NAMES],
             entry->file & PLAIN_NAME ? "" : ".gz");
    fuzz_write(name, content, size);
    free(content);
    return length;
}

static void write_files(const uint8_t *data, size_t size) {
    struct entry entry;
    for (int i = 0; i < MOST_FILES && size >= sizeof entry; i++) {
        memcpy(&entry, data, sizeof entry);
        size_t taken = sizeof entry + write_entry(&entry, data + sizeof entry, size - sizeof entry);
        data += taken;
        size -= taken;
    }
}

static void remove_files(void) {
    char path[256];
    for (int i = 0; i < NAMES; i++) {
        snprintf(path, sizeof path, "%s/%s", fuzz_folder(), names[i]);
        unlink(path);
        strcat(path, ".gz");
        unlink(path);
    }
}

static struct choice choose(struct arena *arena, const uint8_t *data) {
    static const char *const specs[ALL_KINDS] = {
        "type: cifar10",
        "type: cifar100",
        "type: cifar100, labels: coarse",
        "type: mnist",
        "type: fashion_mnist",
        "type: idx",
        "type: idx, transposed: true, channels_first: true",
        "type: idx, classes: 300, first_label: 0, label_column: 1",
        "type: idx, black: -300, white: 300, width: 3",
        "type: idx, prefix: emnist-x-",
    };
    struct choice data_choice = {0};
    const struct param params[] = {
        {.key = "data", .type = PARAM_KIND, .registry = &dataset_registry, .help = "the images"}, END_OF_KEYS};
    struct diagnostics diags = {0};
    const char *text = arena_printf(arena, "data: {%s, path: %s, train_limit: %d, test_limit: %d}",
                                    specs[data[0] < ALL_KINDS ? data[0] : data[0] % KINDS], fuzz_folder(), data[1] & 7,
                                    data[1] >> 3 & 7);
    spec_bind(arena, &data_choice, params, yaml_read(arena, "fuzz", text, strlen(text), &diags), "", &diags);
    fuzz_require(!diags.count, "the fuzzer's spec is good");
    return data_choice;
}

/* What dataset_load says of what it has loaded. */
static void check_dataset(const struct dataset *dataset) {
    struct error err;
    char buffer[CLASS_NAME_BYTES];
    unsigned sum = 0;
    size_t bytes = dataset_image_bytes(dataset);
    uint8_t *pixels = mem_alloc(bytes);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct split *split = &dataset->splits[s];
        fuzz_require(split->count > 0 || s == SPLIT_VALIDATION, "there are images");
        for (int i = 0; i < split->count; i++) {
            fuzz_require(split->labels[i] >= 0 && split->labels[i] < dataset->classes, "a label is a class");
            fuzz_require(dataset_fetch(dataset, s, i, NULL, pixels, &err), "what was loaded can be fetched");
            for (size_t j = 0; j < bytes; j++)
                sum += pixels[j];
        }
    }
    free(pixels);
    for (int i = 0; i < dataset->classes; i++)
        fuzz_require(*dataset_class_name(dataset, i, buffer), "every class has a name");
    volatile unsigned read = sum; /* so that the sanitizer sees every pixel read */
    (void)read;
}

void fuzz_data_input(const uint8_t *data, size_t size) {
    if (size < 2)
        return;
    write_files(data + 2, size - 2);
    struct arena arena = {0};
    struct dataset dataset;
    struct error err = {0};
    bool good = dataset_load(&dataset, choose(&arena, data), 1, &err);
    fuzz_require(good || *err.text, "what is refused has a reason");
    if (good)
        check_dataset(&dataset);
    dataset_free(&dataset);
    arena_free(&arena);
    remove_files();
}

size_t fuzz_data_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate) {
    (void)seed;
    return mutate(data, size, most);
}
