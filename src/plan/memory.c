#include "plan/memory.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/number.h"

int memory_add(struct memory_layout *layout, struct arena *arena, size_t bytes) {
    layout->buffers = arena_grow(arena, layout->buffers, layout->count, sizeof *layout->buffers);
    layout->buffers[layout->count] = (struct memory_buffer){.bytes = bytes, .first = INT_MAX, .last = INT_MIN};
    return layout->count++;
}

void memory_use(struct memory_layout *layout, int buffer, int time) {
    struct memory_buffer *b = &layout->buffers[buffer];
    b->first = smaller(b->first, time);
    b->last = larger(b->last, time);
}

static size_t aligned(size_t bytes) {
    return (bytes + MEMORY_ALIGNMENT - 1) / MEMORY_ALIGNMENT * MEMORY_ALIGNMENT;
}

size_t memory_living(const struct memory_layout *layout, int time) {
    size_t bytes = 0;
    for (int i = 0; i < layout->count; i++)
        if (layout->buffers[i].first <= time && time <= layout->buffers[i].last)
            bytes += aligned(layout->buffers[i].bytes);
    return bytes;
}

/* --- Placing ----------------------------------------------------------------------------------------------------- */

/* Buffers as qsort compares pointers to them: those of one rank in the order in which they were added. */
static int by_rank(const struct memory_buffer *a, const struct memory_buffer *b, size_t a_rank, size_t b_rank) {
    if (a_rank != b_rank)
        return a_rank > b_rank ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* The longest life first. In training, what the backward pass still needs then lies at the bottom in the order of its
 * use, and what comes and goes above it. */
static int by_life(const void *left, const void *right) {
    const struct memory_buffer *a = *(struct memory_buffer *const *)left, *b = *(struct memory_buffer *const *)right;
    return by_rank(a, b, (size_t)(a->last - a->first), (size_t)(b->last - b->first));
}

/* The largest first, which serves where all lives are short (Pisarchyk and Lee 2020). */
static int by_size(const void *left, const void *right) {
    const struct memory_buffer *a = *(struct memory_buffer *const *)left, *b = *(struct memory_buffer *const *)right;
    return by_rank(a, b, a->bytes, b->bytes);
}

static bool meet(const struct memory_buffer *a, const struct memory_buffer *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest place between those that are taken; taken: [count], by offset. */
static size_t first_fit(const struct memory_buffer *buffer, struct memory_buffer *const *taken, int count) {
    size_t bytes = aligned(buffer->bytes), offset = 0;
    for (int i = 0; i < count; i++) {
        if (!meet(buffer, taken[i]))
            continue;
        if (offset + bytes <= taken[i]->offset)
            return offset;
        offset = size_larger(offset, taken[i]->offset + aligned(taken[i]->bytes));
    }
    return offset;
}

static void insert_by_offset(struct memory_buffer **taken, int count, struct memory_buffer *buffer) {
    int i = count;
    for (; i > 0 && taken[i - 1]->offset > buffer->offset; i--)
        taken[i] = taken[i - 1];
    taken[i] = buffer;
}

static size_t place_in_order(struct memory_layout *layout, int (*order)(const void *left, const void *right)) {
    size_t count = (size_t)layout->count, end = 0;
    struct memory_buffer **next = mem_alloc((2 * count + 1) * sizeof *next), **taken = next + count;
    for (int i = 0; i < layout->count; i++)
        next[i] = &layout->buffers[i];
    qsort(next, count, sizeof *next, order);
    for (int i = 0; i < layout->count; i++) {
        struct memory_buffer *buffer = next[i];
        assert(buffer->first <= buffer->last);
        buffer->offset = first_fit(buffer, taken, i);
        insert_by_offset(taken, i, buffer);
        end = size_larger(end, buffer->offset + aligned(buffer->bytes));
    }
    free(next);
    return end;
}

size_t memory_place(struct memory_layout *layout) {
    size_t largest_first = place_in_order(layout, by_size), longest_first = place_in_order(layout, by_life);
    return longest_first <= largest_first ? longest_first : place_in_order(layout, by_size);
}
