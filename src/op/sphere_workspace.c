#include "op/sphere_workspace.h"

#include <omp.h>
#include <string.h>

#include "base/number.h"
#include "kernel/reduce.h"

/* Memory that is handed out from its start; without memory, what is handed out is only counted. */
struct pool {
    real *memory;
    size_t used;
};

static real *take(struct pool *pool, size_t reals) {
    real *taken = pool->memory ? pool->memory + pool->used : NULL;
    pool->used += real_aligned(reals);
    return taken;
}

size_t sphere_map_reals(const struct sphere_op *op) {
    const struct conv *conv = &op->conv;
    return size_larger((size_t)conv->x.height * (size_t)conv->x.width,
                       (size_t)conv_positions(&conv->g, conv->backward_images));
}

int sphere_sum_count(const struct sphere_op *op) {
    int rows = op->angular.type->gradient ? SUM_SHAPE + 1 : SUM_SHAPE;
    return rows * op->conv.g.filters + (op->magnitude.type->gradient ? 1 : 0);
}

size_t sphere_sums_reals(const struct sphere_op *op) {
    return sums_reals(conv_positions(&op->conv.g, 1), sphere_sum_count(op));
}

static struct sphere_worker take_worker(struct pool *pool, const struct sphere_op *op) {
    const struct conv *conv = &op->conv;
    struct sphere_worker worker;
    worker.x = take(pool, image_buffer_reals(&conv->x, conv->backward_images));
    worker.dy = take(pool, image_buffer_reals(&conv->dy, conv->backward_images));
    worker.out = take(pool, size_larger(image_buffer_reals(&conv->y.buffer, conv->y.images),
                                        image_buffer_reals(&conv->dx.buffer, conv->dx.images)));
    worker.box = take(pool, (size_t)conv->g.width);
    worker.map = take(pool, sphere_map_reals(op));
    worker.sums = take(pool, sphere_sums_reals(op));
    worker.work = take(pool, size_larger(conv->work, ANGULAR_SLOPE_ROWS * (size_t)conv->g.filters));
    return worker;
}

size_t sphere_workspace_divide(struct sphere_workspace *memory, const struct sphere_op *op, int n, int threads,
                               bool backward, real *scratch) {
    const struct conv *conv = &op->conv;
    struct pool pool = {.memory = scratch}, thread = {0};
    take_worker(&thread, op);
    memory->packed = take(&pool, conv->packed);
    memory->thread = thread.used;
    memory->threads = take(&pool, (size_t)threads * thread.used);
    if (!backward)
        return pool.used;
    memory->sums = take(&pool, (size_t)sphere_sum_count(op));
    memory->image_sums = take(&pool, (size_t)n * sphere_sums_reals(op));
    memory->weights = take(&pool, (size_t)smaller(conv->partials, n) * conv->sum);
    return pool.used;
}

struct sphere_worker sphere_worker_of(const struct sphere_workspace *memory, const struct sphere_op *op) {
    struct pool pool = {.memory = memory->threads + (size_t)omp_get_thread_num() * memory->thread};
    return take_worker(&pool, op);
}

void sphere_clear_border(const struct image_buffer *s, int images, real *buffer) {
    if (s->border)
        memset(buffer, 0, image_buffer_reals(s, images) * sizeof *buffer);
}

void sphere_read_image(const struct sphere_op *op, const struct view *x, int image, real *buffer, int slot,
                       real *squares) {
    const struct image_buffer *s = &op->conv.x;
    const struct conv_geometry *g = &op->conv.g;
    for (int y = 0; y < g->height; y++) {
        real *row = buffer + image_buffer_row(s, slot, y);
        real *row_squares = squares ? squares + (size_t)(y + s->border) * (size_t)s->width + s->border : NULL;
        view_read(x, sphere_position(image, g->height, g->width, y), g->width, row, row_squares);
    }
}
