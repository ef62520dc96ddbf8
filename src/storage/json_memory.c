#include "storage/json_memory.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/mem.h"

/* "{}," in a list makes an object with an empty table: some 230 bytes of three. */
enum { BYTES_OF_ONE = 100, SMALL_BYTES = 1 << 16 };

void json_memory_use(void) {
    json_set_alloc_funcs(mem_alloc, free);
}

bool json_memory_suffices(size_t text_bytes) {
    return text_bytes <= SMALL_BYTES || text_bytes <= mem_available("") / BYTES_OF_ONE;
}
