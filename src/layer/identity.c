#include "layer/layer.h"

static void copy_forward(struct layer *layer, const struct step *step, real *y, const struct view *x, real *moments) {
    (void)moments;
    int positions = layer->out.height * layer->out.width;
#pragma omp parallel for schedule(static) num_threads(step->threads)
    for (int image = 0; image < step->n; image++)
        view_read(x, (size_t)image * (size_t)positions, positions, y + (size_t)image * shape_size(&layer->out), NULL);
}

static void copy_backward(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                          const struct gradient *dy, const struct view *x) {
    if (dx)
        gradient_pass(dx, x, step->n, layer->out.height * layer->out.width, dy, step->threads);
}

const struct layer_type layer_identity = {
    .kind = {.name = "copy", .help = "y = x"},
    .forward = copy_forward,
    .backward = copy_backward,
};
