#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/mman.h>

enum { ARENA_CHUNK_BYTES = 16 * 1024, BLOCK_ALIGNMENT = 64, LARGE_BYTES = 1 << 24 };
enum { PAGE_BYTES = 4096, HUGE_PAGE_BYTES = 1 << 21 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    max_align_t bytes[];
};

static void (*end_program)(void);

void mem_on_exhaustion(void (*end)(void)) {
    end_program = end;
}

void mem_exhausted(void) {
    if (end_program)
        end_program();
    abort();
}

static void *checked(void *memory) {
    if (!memory)
        mem_exhausted();
    return memory;
}

void *mem_alloc(size_t bytes) {
    return checked(calloc(1, bytes ? bytes : 1));
}

void *mem_realloc(void *memory, size_t bytes) {
    return checked(realloc(memory, bytes ? bytes : 1));
}

/* Linux promises more memory than it has, and kills the process that takes it; so ask first.
 *
 * Huge pages, because a page fault for every 4 KiB costs more than zeroing them; and zeroed by the kernel only. It is
 * all taken at once, by all threads, so that the next block's question for available memory counts this one. */
static void *large_block(size_t bytes) {
    void *memory = NULL;
    size_t rounded = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if (bytes > mem_available("") || posix_memalign(&memory, HUGE_PAGE_BYTES, rounded))
        return NULL;
    madvise(memory, rounded, MADV_HUGEPAGE); /* a wish: ordinary pages do as well */
    if (madvise(memory, rounded, MADV_DONTNEED))
        return memset(memory, 0, bytes);
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < rounded; at += PAGE_BYTES)
        ((volatile char *)memory)[at] = 0;
    return memory;
}

void *mem_block(size_t bytes) {
    void *memory = NULL;
    if (bytes >= LARGE_BYTES)
        return large_block(bytes);
    if (posix_memalign(&memory, BLOCK_ALIGNMENT, bytes ? bytes : 1))
        return NULL;
    memset(memory, 0, bytes);
    return memory;
}

void mem_trim(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void *arena_alloc(struct arena *arena, size_t bytes) {
    size_t unit = sizeof(max_align_t);
    size_t need = (bytes + unit - 1) / unit * unit;
    struct arena_chunk *chunk = arena->chunks;
    if (!chunk || chunk->size - chunk->used < need) {
        size_t size = need > ARENA_CHUNK_BYTES ? need : ARENA_CHUNK_BYTES;
        chunk = mem_alloc(sizeof *chunk + size);
        chunk->size = size;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    void *memory = (char *)chunk->bytes + chunk->used;
    chunk->used += need;
    return memory;
}

char *arena_string(struct arena *arena, const char *text) {
    size_t bytes = strlen(text) + 1;
    return memcpy(arena_alloc(arena, bytes), text, bytes);
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

/* Room doubles whenever the length is a power of two; what was outgrown stays until the arena goes. */
void *arena_grow(struct arena *arena, void *array, int count, size_t element_bytes) {
    if (count & (count - 1))
        return array;
    void *larger = arena_alloc(arena, (count ? 2 * (size_t)count : 1) * element_bytes);
    if (count)
        memcpy(larger, array, (size_t)count * element_bytes);
    return larger;
}

void arena_free(struct arena *arena) {
    while (arena->chunks) {
        struct arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
}
