/* What the fuzzers feed (tests/fuzz_main.c), and the regression suite replays (tests/test_fuzz_corpus.c): any bytes,
 * taken the way a file from outside goes. A broken promise aborts; a refusal is as good as an acceptance. */
#ifndef SPHERENET_TESTS_FUZZ_FUZZ_H
#define SPHERENET_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A spec: first lines that begin with "--set " are overrides, the rest is the text. What is accepted is emitted, and
 * that has to be accepted too and to be emitted the same. */
void fuzz_spec_input(const uint8_t *data, size_t size);

/* A checkpoint file, gzipped or not: read, resumed from, started from, written again and compared. */
void fuzz_checkpoint_input(const uint8_t *data, size_t size);

/* A folder of dataset files: byte 0 chooses the dataset, byte 1 the limits; then the files, each 5 bytes of which file
 * it is and how long (struct entry in data.c) and its bytes. */
void fuzz_data_input(const uint8_t *data, size_t size);

/* A picture file after 8 bytes of what is wanted of it (struct request in picture.c): probed, decoded, resized. */
void fuzz_picture_input(const uint8_t *data, size_t size);

/* A folder of pictures, or a list of them: byte 0 says which; then what is damaged in the remembered index, and what
 * the folder holds (struct entry in tree.c), or the list's bytes. What was found is remembered and recalled as it was;
 * what is recalled of a damaged file leads to something. */
void fuzz_tree_input(const uint8_t *data, size_t size);

/* Changes an input in place, at most to `most` bytes, and returns its new size. `mutate` is libFuzzer's. Those of
 * checkpoints and pictures reach what lies behind checksums and lengths, which they make right again. */
typedef size_t fuzz_mutate(uint8_t *data, size_t size, size_t most);
size_t fuzz_spec_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate);
size_t fuzz_checkpoint_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate);
size_t fuzz_data_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate);
size_t fuzz_picture_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate);
size_t fuzz_tree_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate);

/* For the inputs: */

/* Aborts, saying what was promised, where it does not hold; asserts are not in every build. */
void fuzz_require(bool holds, const char *promise);

/* A folder in memory for this process, removed when it ends. */
const char *fuzz_folder(void);

/* FOLDER/NAME with these bytes. */
void fuzz_write(const char *name, const void *bytes, size_t size);

/* zlib's gzip of the bytes, fast, to be freed. */
uint8_t *fuzz_gzip(const uint8_t *bytes, size_t size, size_t *gzipped_size);

#endif
