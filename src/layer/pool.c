/* max_pool and avg_pool: windows over each channel. */
#include <omp.h>
#include <string.h>

#include "layer/layers.h"
#include "layer/plan.h"

#define WINDOW_PARAMS                                                                                                  \
    INT_KEY(struct pool_config, kernel, "kernel", "2", 1, 64, "height and width of the window, pixels"),               \
        INT_KEY(struct pool_config, stride, "stride", "2", 1, 64, "pixels between windows")

static const struct param max_params[] = {
    LAYER_NAME_PARAM,
    WINDOW_PARAMS,
    INT_KEY(struct pool_config, padding, "padding", "0", 0, 63, "pixels added on each side that never are the largest"),
    END_OF_KEYS,
};

static const struct param avg_params[] = {
    LAYER_NAME_PARAM,
    WINDOW_PARAMS,
    BOOL_KEY(struct pool_config, global, "global", "false",
             "one window over the whole image; kernel and stride do not matter"),
    END_OF_KEYS,
};

struct window {
    int kernel_h, kernel_w, stride, padding;
};

/* A thread has one image of the input, of its gradient, and of the output's gradient to work in. */
struct worker {
    real *x, *dx, *dy;
};

static size_t worker_reals(const struct layer *layer) {
    return 2 * shape_size(&layer->in) + shape_size(&layer->out);
}

static struct worker worker_of(const struct layer *layer, const struct pass *pass) {
    struct worker worker;
    worker.x = pass->scratch + (size_t)omp_get_thread_num() * worker_reals(layer);
    worker.dx = worker.x + shape_size(&layer->in);
    worker.dy = worker.dx + shape_size(&layer->in);
    return worker;
}

static int positions(const struct shape *shape) {
    return shape->height * shape->width;
}

static void read_image(const struct layer *layer, real *to, const struct view *x, int image) {
    view_read(x, (size_t)image * (size_t)positions(&layer->in), positions(&layer->in), to);
}

/* The image's dx, gathered in the worker's, goes out. */
static void write_image(const struct layer *layer, const struct gradient_target *dx, const struct view *x, int image,
                        real *gathered) {
    int count = positions(&layer->in);
    gradient_begin(dx, x, image);
    gradient_write(dx, x, image, (size_t)image * (size_t)count, count, gathered, NULL);
}

static bool pool_plan(struct layer *layer, struct planner *planner) {
    const struct pool_config *config = layer->choice.config;
    const struct shape *in = &layer->in;
    struct window *window = layer->state;
    *window = (struct window){config->kernel, config->kernel, config->stride, config->padding};
    if (config->global)
        *window = (struct window){in->height, in->width, 1, 0};
    if (in->flat)
        return plan_error(planner, layer, "needs an image, but the layers before it made a flat vector");
    if (window->padding > window->kernel_h / 2)
        return plan_error(planner, layer, "padding %d is more than half the window, %d", window->padding,
                          window->kernel_h);
    int rows = in->height + 2 * window->padding - window->kernel_h;
    int columns = in->width + 2 * window->padding - window->kernel_w;
    if (rows < 0 || columns < 0)
        return plan_error(planner, layer,
                          "a %dx%d window does not fit its input of %dx%d: too many pools, or the "
                          "images are too small",
                          window->kernel_h, window->kernel_w, in->height, in->width);
    layer->out.height = rows / window->stride + 1;
    layer->out.width = columns / window->stride + 1;
    plan_scratch(planner, (size_t)omp_get_max_threads() * worker_reals(layer));
    return true;
}

/* The part of a window that lies inside the image. */
struct area {
    int top, bottom, left, right;
};

static struct area window_area(const struct window *w, const struct shape *in, int oy, int ox) {
    int top = oy * w->stride - w->padding, left = ox * w->stride - w->padding;
    struct area area = {top, top + w->kernel_h, left, left + w->kernel_w};
    area.top = top < 0 ? 0 : top;
    area.left = left < 0 ? 0 : left;
    area.bottom = area.bottom > in->height ? in->height : area.bottom;
    area.right = area.right > in->width ? in->width : area.right;
    return area;
}

static size_t pixel_offset(const struct shape *s, int y, int x) {
    return ((size_t)y * (size_t)s->width + (size_t)x) * (size_t)s->channels;
}

/* --- max_pool ---------------------------------------------------------------------------------------------------- */

static void max_window(const struct shape *in, struct area area, real *y, const real *image) {
    int channels = in->channels;
    memcpy(y, image + pixel_offset(in, area.top, area.left), (size_t)channels * sizeof *y);
    for (int iy = area.top; iy < area.bottom; iy++) {
        for (int ix = area.left; ix < area.right; ix++) {
            const real *pixel = image + pixel_offset(in, iy, ix);
#pragma omp simd
            for (int c = 0; c < channels; c++)
                y[c] = pixel[c] > y[c] || pixel[c] != pixel[c] ? pixel[c] : y[c];
        }
    }
}

static void max_forward(struct layer *layer, const struct pass *pass, real *y, const struct view *x, real *moments) {
    (void)moments;
    const struct shape *in = &layer->in, *out = &layer->out;
#pragma omp parallel for schedule(static)
    for (int image = 0; image < pass->n; image++) {
        struct worker worker = worker_of(layer, pass);
        read_image(layer, worker.x, x, image);
        for (int oy = 0; oy < out->height; oy++)
            for (int ox = 0; ox < out->width; ox++)
                max_window(in, window_area(layer->state, in, oy, ox),
                           y + (size_t)image * shape_size(out) + pixel_offset(out, oy, ox), worker.x);
    }
}

/* The first of equal largest pixels takes the whole gradient: what is left to give is zero afterwards. */
static void max_window_backward(const struct shape *in, struct area area, real *dimage, real *left, const real *y,
                                const real *image) {
    int channels = in->channels;
    for (int iy = area.top; iy < area.bottom; iy++) {
        for (int ix = area.left; ix < area.right; ix++) {
            size_t offset = pixel_offset(in, iy, ix);
            const real *pixel = image + offset;
            real *dpixel = dimage + offset;
#pragma omp simd
            for (int c = 0; c < channels; c++) {
                real share = pixel[c] == y[c] ? left[c] : 0;
                dpixel[c] += share;
                left[c] -= share;
            }
        }
    }
}

static void max_backward(struct layer *layer, const struct pass *pass, const struct gradient_target *dx,
                         const struct gradient *dy, const struct view *x) {
    const struct shape *in = &layer->in, *out = &layer->out;
    if (!dx)
        return;
#pragma omp parallel for schedule(static)
    for (int image = 0; image < pass->n; image++) {
        struct worker worker = worker_of(layer, pass);
        const real *y = dy->of.data + (size_t)image * shape_size(out);
        read_image(layer, worker.x, x, image);
        gradient_read(dy, (size_t)image * (size_t)positions(out), positions(out), worker.dy);
        memset(worker.dx, 0, shape_size(in) * sizeof *worker.dx);
        for (int oy = 0; oy < out->height; oy++)
            for (int ox = 0; ox < out->width; ox++)
                max_window_backward(in, window_area(layer->state, in, oy, ox), worker.dx,
                                    worker.dy + pixel_offset(out, oy, ox), y + pixel_offset(out, oy, ox), worker.x);
        write_image(layer, dx, x, image, worker.dx);
    }
}

const struct layer_type layer_max_pool = {
    .kind = {"max_pool", "largest value in each window", max_params, sizeof(struct pool_config)},
    .state_size = sizeof(struct window),
    .plan = pool_plan,
    .forward = max_forward,
    .backward = max_backward,
};

/* --- avg_pool ---------------------------------------------------------------------------------------------------- */

static void avg_forward(struct layer *layer, const struct pass *pass, real *y, const struct view *x, real *moments) {
    (void)moments;
    const struct shape *in = &layer->in, *out = &layer->out;
    const struct window *window = layer->state;
    real share = 1 / (real)(window->kernel_h * window->kernel_w);
#pragma omp parallel for schedule(static)
    for (int image = 0; image < pass->n; image++) {
        struct worker worker = worker_of(layer, pass);
        read_image(layer, worker.x, x, image);
        for (int p = 0; p < positions(out); p++) {
            struct area area = window_area(window, in, p / out->width, p % out->width);
            real *mean = y + (size_t)image * shape_size(out) + (size_t)p * (size_t)out->channels;
            memset(mean, 0, (size_t)out->channels * sizeof *mean);
            for (int i = 0; i < window->kernel_h * window->kernel_w; i++) {
                const real *pixel =
                    worker.x + pixel_offset(in, area.top + i / window->kernel_w, area.left + i % window->kernel_w);
#pragma omp simd
                for (int c = 0; c < out->channels; c++)
                    mean[c] += share * pixel[c];
            }
        }
    }
}

static void avg_backward(struct layer *layer, const struct pass *pass, const struct gradient_target *dx,
                         const struct gradient *dy, const struct view *x) {
    const struct shape *in = &layer->in, *out = &layer->out;
    const struct window *window = layer->state;
    real share = 1 / (real)(window->kernel_h * window->kernel_w);
    if (!dx)
        return;
#pragma omp parallel for schedule(static)
    for (int image = 0; image < pass->n; image++) {
        struct worker worker = worker_of(layer, pass);
        gradient_read(dy, (size_t)image * (size_t)positions(out), positions(out), worker.dy);
        memset(worker.dx, 0, shape_size(in) * sizeof *worker.dx);
        for (int p = 0; p < positions(out); p++) {
            struct area area = window_area(window, in, p / out->width, p % out->width);
            const real *gradient = worker.dy + (size_t)p * (size_t)out->channels;
            for (int i = 0; i < window->kernel_h * window->kernel_w; i++) {
                real *pixel =
                    worker.dx + pixel_offset(in, area.top + i / window->kernel_w, area.left + i % window->kernel_w);
#pragma omp simd
                for (int c = 0; c < out->channels; c++)
                    pixel[c] += share * gradient[c];
            }
        }
        write_image(layer, dx, x, image, worker.dx);
    }
}

const struct layer_type layer_avg_pool = {
    .kind = {"avg_pool", "mean of each window", avg_params, sizeof(struct pool_config)},
    .state_size = sizeof(struct window),
    .plan = pool_plan,
    .forward = avg_forward,
    .backward = avg_backward,
};
