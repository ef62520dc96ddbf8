/* Buffers whose lives are known in advance, laid out in one block of memory.
 *
 * Time is a count of steps. A buffer lives from the first time it is used to the last; memory_place gives each buffer a
 * place that none of those that live at the same time has any part of. What is in it at its first use is undefined.
 * Two things that may take each other's place while both live (a gradient computed in place) are one buffer. */
#ifndef SPHERENET_PLAN_MEMORY_H
#define SPHERENET_PLAN_MEMORY_H

#include <stddef.h>

#include "base/mem.h"

enum { MEMORY_ALIGNMENT = 64 }; /* bytes */

struct memory_buffer {
    size_t bytes;
    int first, last; /* times of use; first > last: never */
    size_t offset;   /* set by memory_place; a multiple of MEMORY_ALIGNMENT */
};

/* Zeros: no buffers. */
struct memory_layout {
    struct memory_buffer *buffers; /* [count], of the arena */
    int count;
};

/* The number of a new buffer, from 0 on. */
int memory_add(struct memory_layout *layout, struct arena *arena, size_t bytes);

void memory_use(struct memory_layout *layout, int buffer, int time);

/* Bytes of all buffers that live at that time, each rounded up to MEMORY_ALIGNMENT. */
size_t memory_living(const struct memory_layout *layout, int time);

/* Sets the offsets of all buffers, each of which must have been used, and returns the bytes that they take in all. */
size_t memory_place(struct memory_layout *layout);

#endif
