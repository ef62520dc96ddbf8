#include "layer/drop.h"

#include <omp.h>

#include "kernel/vector.h"

/* Images are taken a row of pixels at a time. */
static int row_reals(const struct layer *layer) {
    return layer->in.width * layer->in.channels;
}

static size_t row_position(const struct layer *layer, int image, int row) {
    return ((size_t)image * (size_t)layer->in.height + (size_t)row) * (size_t)layer->in.width;
}

static struct rng stream_of(const struct drop_kind *kind, const struct layer *layer, const struct step *step,
                            int image) {
    return rng_stream(step->seed, kind->purpose, (uint64_t)(step->first_image + image), (uint64_t)layer->number);
}

static double rate_of(const struct layer *layer) {
    return ((const struct drop_config *)layer->choice.config)->rate;
}

bool drop_plan(struct layer *layer, struct planner *planner) {
    layer->in_place = true;
    plan_scratch(planner, (size_t)planner->threads * real_aligned((size_t)row_reals(layer)));
    return true;
}

void drop_forward(const struct drop_kind *kind, const struct layer *layer, const struct step *step, real *y,
                  const struct view *x) {
    bool drops = step->mode == STEP_TRAIN;
#pragma omp parallel for schedule(static) num_threads(step->threads)
    for (int image = 0; image < step->n; image++) {
        struct rng rng = stream_of(kind, layer, step, image);
        for (int row = 0; row < layer->in.height; row++) {
            size_t position = row_position(layer, image, row);
            real *to = y + position * (size_t)layer->in.channels;
            view_read(x, position, layer->in.width, to, NULL);
            if (drops)
                kind->drop(&rng, rate_of(layer), to, row_reals(layer));
        }
    }
}

void drop_backward(const struct drop_kind *kind, const struct layer *layer, const struct step *step,
                   const struct gradient_target *dx, const struct gradient *dy, const struct view *x) {
    if (!dx)
        return;
#pragma omp parallel for schedule(static) num_threads(step->threads)
    for (int image = 0; image < step->n; image++) {
        real *values = step->scratch + (size_t)omp_get_thread_num() * real_aligned((size_t)row_reals(layer));
        struct rng rng = stream_of(kind, layer, step, image);
        gradient_begin(dx, x, image);
        for (int row = 0; row < layer->in.height; row++) {
            size_t position = row_position(layer, image, row);
            gradient_read(dy, position, layer->in.width, values);
            kind->drop(&rng, rate_of(layer), values, row_reals(layer));
            gradient_write(dx, x, image, position, layer->in.width, values, NULL);
        }
        vector_stream_end();
    }
}
