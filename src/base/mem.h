/* Memory: arenas for the many small things that live as long as one spec or one network, and checked allocation.
 *
 * Small allocations never fail: when the machine has no memory left, whom the program has named ends it. What may be
 * large, because the user's input decides its size, goes through mem_block, which returns NULL. */
#ifndef SPHERENET_BASE_MEM_H
#define SPHERENET_BASE_MEM_H

#include <stddef.h>

/* Names who ends the program when a small allocation fails, on whatever thread that is; without, abort does. */
void mem_on_exhaustion(void (*end)(void));

/* Ends the program so; for what a library could not allocate. */
_Noreturn void mem_exhausted(void);

/* Zeroed memory, to be passed to free. */
void *mem_alloc(size_t bytes);
void *mem_realloc(void *memory, size_t bytes);

/* Zeroed, 64-byte aligned; NULL when there is not enough. Pass to free. */
void *mem_block(size_t bytes);

/* What keeps this process from taking more memory. */
struct mem_bound {
    double bytes;     /* that can still be had; INFINITY: nothing does */
    const char *name; /* as in "NAME leaves so many bytes"; NULL: nothing does */
};

/* Of the machine, the control groups and the limits of this process, what leaves least. `root` goes before every path
 * that is read: "" for the system itself. */
struct mem_bound mem_bound(const char *root);
size_t mem_available(const char *root); /* its bytes */

/* Of what counts memory that is mapped, whether it is used or not: ulimit -v and -d, and a system that promises no more
 * than it has. */
struct mem_bound mem_address_bound(const char *root);

/* Gives memory that was freed back to the system, where the C library would keep it. */
void mem_trim(void);

/* Everything allocated from an arena is freed at once. An arena of zeros is empty and ready. */
struct arena {
    struct arena_chunk *chunks;
};

void *arena_alloc(struct arena *arena, size_t bytes);      /* zeroed, aligned for any type */
char *arena_string(struct arena *arena, const char *text); /* a copy */
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An array of `count` elements with room for one more, moved when it was full; pass only what this has returned. */
void *arena_grow(struct arena *arena, void *array, int count, size_t element_bytes);
void arena_free(struct arena *arena); /* leaves it empty and ready */

#endif
