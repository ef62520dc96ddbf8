#include "loss/images.h"

enum { LINE = 8 }; /* doubles in a cache line, which two threads do not share */

static size_t aligned(size_t doubles) {
    return (doubles + LINE - 1) / LINE * LINE;
}

void image_losses_plan(struct planner *planner, struct image_memory memory) {
    size_t threads = (size_t)planner->threads, batch = (size_t)planner->batch;
    size_t doubles = threads * aligned(memory.own) + aligned(memory.shared) + batch * (1 + memory.kept);
    plan_scratch(planner, doubles * sizeof(double) / sizeof(real));
}

struct image_losses image_losses_of(const struct step *step, struct image_memory memory) {
    struct image_losses losses = {.threads = step->threads, .stride = aligned(memory.own)};
    losses.own = (double *)(void *)step->scratch;
    losses.shared = losses.own + (size_t)step->threads * losses.stride;
    losses.loss = losses.shared + aligned(memory.shared);
    losses.kept = losses.loss + step->n;
    return losses;
}

void image_losses_compute(const struct image_losses *losses, int first, int end,
                          double (*image_loss)(const void *batch, int image, double *own), const void *batch) {
    int threads = losses->threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int row = 0; row < threads; row++)
        for (int image = first + row; image < end; image += threads)
            losses->loss[image] = image_loss(batch, image, losses->own + (size_t)row * losses->stride);
}

double image_mean(const struct step *step, const double *values) {
    double sum = 0;
    relay_take(step->part.group, &sum, sizeof sum);
    for (int i = 0; i < step->n; i++)
        sum += values[i];
    relay_finish(step->part.group, &sum, sizeof sum);
    return sum / step_whole(step);
}
