/* max_pool and avg_pool: windows over each channel. */
#include <omp.h>
#include <string.h>

#include "kernel/vector.h"
#include "layer/configs.h"

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

/* Windows that do not overlap are taken a row of them at a time, so that their pixels stay in the nearest cache. */
struct band {
    int top, bottom; /* rows of the input */
    int first, end;  /* rows of the output */
};

static int band_count(const struct layer *layer) {
    const struct window *w = layer->state;
    return w->stride < w->kernel_h || w->padding ? 1 : layer->out.height;
}

static struct band band_of(const struct layer *layer, int index) {
    const struct window *w = layer->state;
    int last = band_count(layer) - 1;
    if (last == 0)
        return (struct band){0, layer->in.height, 0, layer->out.height};
    return (struct band){index * w->stride, index == last ? layer->in.height : (index + 1) * w->stride, index,
                         index + 1};
}

/* What a thread works in: a band of the input, of its gradient, and of the output's gradient. */
struct worker {
    real *x, *dx, *dy;
};

static size_t band_reals(const struct layer *layer) {
    struct band first = band_of(layer, 0), last = band_of(layer, band_count(layer) - 1);
    int rows = first.bottom - first.top, last_rows = last.bottom - last.top; /* all but the last are alike */
    return (size_t)(rows > last_rows ? rows : last_rows) * (size_t)layer->in.width * (size_t)layer->in.channels;
}

static size_t worker_reals(const struct layer *layer) {
    return 2 * band_reals(layer) + shape_size(&layer->out);
}

static struct worker worker_of(const struct layer *layer, const struct step *step) {
    struct worker worker;
    worker.x = step->scratch + (size_t)omp_get_thread_num() * worker_reals(layer);
    worker.dx = worker.x + band_reals(layer);
    worker.dy = worker.dx + band_reals(layer);
    return worker;
}

static size_t position_of(const struct shape *shape, int image, int y) {
    return ((size_t)image * (size_t)shape->height + (size_t)y) * (size_t)shape->width;
}

static void read_band(const struct layer *layer, real *to, const struct view *x, int image, const struct band *band) {
    const struct shape *in = &layer->in;
    view_read(x, position_of(in, image, band->top), (band->bottom - band->top) * in->width, to, NULL);
}

/* Reads the band's dy and zeroes its dx. */
static void begin_gradient(const struct layer *layer, const struct worker *worker, const struct gradient *dy, int image,
                           const struct band *band) {
    const struct shape *in = &layer->in, *out = &layer->out;
    size_t rows = (size_t)(band->bottom - band->top);
    gradient_read(dy, position_of(out, image, band->first), (band->end - band->first) * out->width, worker->dy);
    memset(worker->dx, 0, rows * (size_t)in->width * (size_t)in->channels * sizeof *worker->dx);
}

static void write_gradient(const struct layer *layer, const struct worker *worker, const struct gradient_target *dx,
                           const struct view *x, int image, const struct band *band) {
    const struct shape *in = &layer->in;
    gradient_write(dx, x, image, position_of(in, image, band->top), (band->bottom - band->top) * in->width, worker->dx,
                   NULL);
}

static bool pool_plan(struct layer *layer, struct planner *planner) {
    const struct pool_config *config = layer->choice.config;
    const struct shape *in = &layer->in;
    struct window *window = layer->state;
    *window = (struct window){config->kernel, config->kernel, config->stride, config->padding};
    if (config->global)
        *window = (struct window){in->height, in->width, 1, 0};
    if (in->flat)
        return layer_error(planner, layer, "needs an image, but the layers before it made a flat vector");
    if (window->padding > window->kernel_h / 2)
        return layer_error(planner, layer, "padding %d is more than half the window, %d", window->padding,
                           window->kernel_h);
    int rows = in->height + 2 * window->padding - window->kernel_h;
    int columns = in->width + 2 * window->padding - window->kernel_w;
    if (rows < 0 || columns < 0)
        return layer_error(planner, layer,
                           "a %dx%d window does not fit its input of %dx%d: too many pools, or the "
                           "images are too small",
                           window->kernel_h, window->kernel_w, in->height, in->width);
    layer->out.height = rows / window->stride + 1;
    layer->out.width = columns / window->stride + 1;
    plan_scratch(planner, (size_t)planner->threads * worker_reals(layer));
    return true;
}

/* The part of a window that lies inside the image; rows counted from the top of its band. */
struct area {
    int top, bottom, left, right;
};

static struct area window_area(const struct window *w, const struct shape *in, const struct band *band, int oy,
                               int ox) {
    int top = oy * w->stride - w->padding, left = ox * w->stride - w->padding;
    struct area area = {top, top + w->kernel_h, left, left + w->kernel_w};
    area.top = (top < 0 ? 0 : top) - band->top;
    area.left = left < 0 ? 0 : left;
    area.bottom = (area.bottom > in->height ? in->height : area.bottom) - band->top;
    area.right = area.right > in->width ? in->width : area.right;
    return area;
}

static size_t pixel_offset(const struct shape *s, int y, int x) {
    return ((size_t)y * (size_t)s->width + (size_t)x) * (size_t)s->channels;
}

/* --- Both passes ------------------------------------------------------------------------------------------------- */

/* One window: y: [channels], x: the band's pixels. */
typedef void pool_window(const struct layer *layer, struct area area, real *y, const real *x);
/* Adds to the band's dx; dy is the caller's to change. */
typedef void pool_window_back(const struct layer *layer, struct area area, real *dx, real *dy, const real *y,
                              const real *x);

static void pool_forward(const struct layer *layer, const struct step *step, real *y, const struct view *x,
                         pool_window *window) {
    const struct shape *in = &layer->in, *out = &layer->out;
#pragma omp parallel for schedule(static) num_threads(step->threads)
    for (int image = 0; image < step->n; image++) {
        struct worker worker = worker_of(layer, step);
        for (int b = 0; b < band_count(layer); b++) {
            struct band band = band_of(layer, b);
            read_band(layer, worker.x, x, image, &band);
            for (int oy = band.first; oy < band.end; oy++)
                for (int ox = 0; ox < out->width; ox++)
                    window(layer, window_area(layer->state, in, &band, oy, ox),
                           y + (size_t)image * shape_size(out) + pixel_offset(out, oy, ox), worker.x);
        }
    }
}

static void pool_backward(const struct layer *layer, const struct step *step, const struct gradient_target *dx,
                          const struct gradient *dy, const struct view *x, pool_window_back *window) {
    const struct shape *in = &layer->in, *out = &layer->out;
    if (!dx)
        return;
#pragma omp parallel for schedule(static) num_threads(step->threads)
    for (int image = 0; image < step->n; image++) {
        struct worker worker = worker_of(layer, step);
        const real *y = dy->of.data + (size_t)image * shape_size(out);
        gradient_begin(dx, x, image);
        for (int b = 0; b < band_count(layer); b++) {
            struct band band = band_of(layer, b);
            read_band(layer, worker.x, x, image, &band);
            begin_gradient(layer, &worker, dy, image, &band);
            for (int oy = band.first; oy < band.end; oy++)
                for (int ox = 0; ox < out->width; ox++)
                    window(layer, window_area(layer->state, in, &band, oy, ox), worker.dx,
                           worker.dy + pixel_offset(out, oy - band.first, ox), y + pixel_offset(out, oy, ox), worker.x);
            write_gradient(layer, &worker, dx, x, image, &band);
        }
        vector_stream_end();
    }
}

/* --- max_pool ---------------------------------------------------------------------------------------------------- */

static void max_window(const struct layer *layer, struct area area, real *y, const real *x) {
    const struct shape *in = &layer->in;
    int channels = in->channels;
    memcpy(y, x + pixel_offset(in, area.top, area.left), (size_t)channels * sizeof *y);
    for (int iy = area.top; iy < area.bottom; iy++) {
        for (int ix = area.left; ix < area.right; ix++) {
            const real *pixel = x + pixel_offset(in, iy, ix);
#pragma omp simd
            for (int c = 0; c < channels; c++)
                y[c] = pixel[c] > y[c] || pixel[c] != pixel[c] ? pixel[c] : y[c];
        }
    }
}

/* The first of equal largest pixels takes the whole gradient: what is left to give is zero afterwards. */
static void max_window_back(const struct layer *layer, struct area area, real *dx, real *left, const real *y,
                            const real *x) {
    const struct shape *in = &layer->in;
    int channels = in->channels;
    for (int iy = area.top; iy < area.bottom; iy++) {
        for (int ix = area.left; ix < area.right; ix++) {
            size_t offset = pixel_offset(in, iy, ix);
            const real *pixel = x + offset;
            real *dpixel = dx + offset;
#pragma omp simd
            for (int c = 0; c < channels; c++) {
                real share = pixel[c] == y[c] ? left[c] : 0;
                dpixel[c] += share;
                left[c] -= share;
            }
        }
    }
}

static void max_forward(struct layer *layer, const struct step *step, real *y, const struct view *x, real *moments) {
    (void)moments;
    pool_forward(layer, step, y, x, max_window);
}

static void max_backward(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                         const struct gradient *dy, const struct view *x) {
    pool_backward(layer, step, dx, dy, x, max_window_back);
}

const struct layer_type layer_max_pool = {
    .kind = {"max_pool", "largest value in each window", max_params, sizeof(layer_max_pool_config)},
    .state_size = sizeof(struct window),
    .plan = pool_plan,
    .forward = max_forward,
    .backward = max_backward,
};

/* --- avg_pool ---------------------------------------------------------------------------------------------------- */

static real share_of(const struct layer *layer) {
    const struct window *window = layer->state;
    return 1 / (real)(window->kernel_h * window->kernel_w);
}

static void avg_window(const struct layer *layer, struct area area, real *y, const real *x) {
    const struct shape *in = &layer->in;
    int channels = in->channels;
    real share = share_of(layer);
    memset(y, 0, (size_t)channels * sizeof *y);
    for (int iy = area.top; iy < area.bottom; iy++) {
        for (int ix = area.left; ix < area.right; ix++) {
            const real *pixel = x + pixel_offset(in, iy, ix);
#pragma omp simd
            for (int c = 0; c < channels; c++)
                y[c] += share * pixel[c];
        }
    }
}

static void avg_window_back(const struct layer *layer, struct area area, real *dx, real *dy, const real *y,
                            const real *x) {
    (void)y, (void)x;
    const struct shape *in = &layer->in;
    int channels = in->channels;
    real share = share_of(layer);
    for (int iy = area.top; iy < area.bottom; iy++) {
        for (int ix = area.left; ix < area.right; ix++) {
            real *pixel = dx + pixel_offset(in, iy, ix);
#pragma omp simd
            for (int c = 0; c < channels; c++)
                pixel[c] += share * dy[c];
        }
    }
}

static void avg_forward(struct layer *layer, const struct step *step, real *y, const struct view *x, real *moments) {
    (void)moments;
    pool_forward(layer, step, y, x, avg_window);
}

static void avg_backward(struct layer *layer, const struct step *step, const struct gradient_target *dx,
                         const struct gradient *dy, const struct view *x) {
    pool_backward(layer, step, dx, dy, x, avg_window_back);
}

const struct layer_type layer_avg_pool = {
    .kind = {"avg_pool", "mean of each window", avg_params, sizeof(layer_avg_pool_config)},
    .state_size = sizeof(struct window),
    .plan = pool_plan,
    .forward = avg_forward,
    .backward = avg_backward,
};
