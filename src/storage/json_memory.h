/* Memory for JSON. The library breaks when an allocation fails, in some places, so none does: it has base/mem.h's small
 * allocations. Since files decide how many those are, the machine is asked before a long text is read. */
#ifndef SPHERENET_STORAGE_JSON_MEMORY_H
#define SPHERENET_STORAGE_JSON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Before the library's first allocation. */
void json_memory_use(void);

/* Whether the machine has the memory that the worst JSON text of so many bytes takes. */
bool json_memory_suffices(size_t text_bytes);

#endif
