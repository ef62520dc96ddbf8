/* One of the fuzzers: libFuzzer's three functions, handed on to TARGET_input and TARGET_mutate (`make fuzz`). */
#include <stdlib.h>

#include "fuzz/fuzz.h"

#define JOINED(A, B) A##B
#define JOIN(A, B) JOINED(A, B)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most); /* libFuzzer's own */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    JOIN(TARGET, _input)(data, size);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    return JOIN(TARGET, _mutate)(data, size, most, seed, LLVMFuzzerMutate);
}
