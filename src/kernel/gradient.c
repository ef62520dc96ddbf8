#include "kernel/gradient.h"

#include <string.h>

#include "base/number.h"
#include "kernel/reduce.h"
#include "kernel/vector.h"

enum { PIECE = 4096 }; /* most channels that gradient_pass has on the stack */

/* Some channels of one position. */
struct span {
    size_t position;
    int first, count;
};

static size_t offset_of(const struct span *span, int channels) {
    return span->position * (size_t)channels + (size_t)span->first;
}

static const real *from_channel(const real *values, int first) {
    return values ? values + first : NULL;
}

/* --- Reading ----------------------------------------------------------------------------------------------------- */

static void read_span(const struct gradient *gradient, struct span span, real *to) {
    size_t offset = offset_of(&span, gradient->of.channels);
    const real *d = gradient->d + offset, *data = gradient->of.data + offset;
    const real *scale_d = gradient->scale_d + span.first, *scale_x = gradient->scale_x + span.first;
    const real *shift = gradient->offset + span.first, *mean = from_channel(gradient->of.mean, span.first);
    if (mean) {
#pragma omp simd
        for (int c = 0; c < span.count; c++)
            to[c] = scale_d[c] * d[c] + scale_x[c] * (data[c] - mean[c]) + shift[c];
        return;
    }
#pragma omp simd
    for (int c = 0; c < span.count; c++)
        to[c] = scale_d[c] * d[c] + scale_x[c] * data[c] + shift[c];
}

void gradient_read(const struct gradient *gradient, size_t position, int count, real *to) {
    int channels = gradient->of.channels;
    if (!gradient->scale_d) {
        memcpy(to, gradient->d + position * (size_t)channels, (size_t)count * (size_t)channels * sizeof *to);
        return;
    }
    for (int p = 0; p < count; p++, to += channels)
        read_span(gradient, (struct span){position + (size_t)p, 0, channels}, to);
}

/* --- Writing ----------------------------------------------------------------------------------------------------- */

size_t gradient_sums_reals(int positions, int channels) {
    return sums_reals(positions, 2 * channels);
}

static real *sums_of(const struct gradient_target *target, const struct view *view, int image) {
    return target->sums + (size_t)image * gradient_sums_reals(target->positions, view->channels);
}

void gradient_begin(const struct gradient_target *target, const struct view *view, int image) {
    if (target->sums)
        sums_begin(sums_of(target, view, image), target->positions, 2 * view->channels);
}

/* What gradient_write does to one value: `value` is the view's before ReLU. */
static inline real masked(real d, real value, real box, bool relu) {
    d += box * value;
    return relu && !(value > 0) ? 0 : d;
}

/* Per channel: sums of d, and of d (data - mean). */
struct channel_sums {
    real *d, *product; /* d NULL: not wanted */
};

/* scale, shift, mean and sums NULL are known to the compiler where this is called. */
static inline __attribute__((always_inline)) void finish_values(int count, real *d, const real *data, const real *scale,
                                                                const real *shift, bool relu, real box,
                                                                const real *mean, struct channel_sums sums) {
#pragma omp simd
    for (int c = 0; c < count; c++) {
        real value = scale ? scale[c] * data[c] + shift[c] : data[c];
        real gradient = masked(d[c], value, box, relu);
        d[c] = gradient;
        if (sums.d) {
            sums.d[c] += gradient;
            sums.product[c] += gradient * (mean ? data[c] - mean[c] : data[c]);
        }
    }
}

/* The common cases apart, so that each is one loop without conditions. */
static void finish_span(const struct view *view, struct span span, real *d, real box, struct channel_sums sums) {
    const real *data = view->data + offset_of(&span, view->channels), *mean = from_channel(view->mean, span.first);
    const real *scale = from_channel(view->scale, span.first), *shift = from_channel(view->shift, span.first);
    if (scale && mean && sums.d && view->relu)
        finish_values(span.count, d, data, scale, shift, true, box, mean, sums);
    else if (scale && mean && sums.d)
        finish_values(span.count, d, data, scale, shift, false, box, mean, sums);
    else if (scale && sums.d)
        finish_values(span.count, d, data, scale, shift, view->relu, box, mean, sums);
    else if (scale)
        finish_values(span.count, d, data, scale, shift, view->relu, box, NULL, (struct channel_sums){0});
    else
        finish_values(span.count, d, data, NULL, NULL, view->relu, box, mean, sums);
}

/* Once a span of an image's position is in. */
static void end_block(real *sums, int channels, int position, struct span span) {
    if (!sums_block_ends(position, 1))
        return;
    sums_end_block(sums, 2 * channels, span.first, span.count);
    sums_end_block(sums, 2 * channels, channels + span.first, span.count);
}

/* box NULL: none. */
static void write_span(const struct gradient_target *target, const struct view *view, int image, struct span span,
                       real *row, const real *box) {
    real *d = target->d + offset_of(&span, view->channels);
    real *own = target->sums ? sums_of(target, view, image) : NULL;
    struct channel_sums sums = {0};
    if (own) {
        sums.d = own + span.first;
        sums.product = sums.d + view->channels;
    }
    if (target->add)
#pragma omp simd
        for (int c = 0; c < span.count; c++)
            row[c] += d[c];
    if (box || view->relu || sums.d)
        finish_span(view, span, row, box ? *box : 0, sums);
    vector_stream(d, row, (size_t)span.count);
    if (own)
        end_block(own, view->channels, (int)(span.position - (size_t)image * (size_t)target->positions), span);
}

void gradient_write(const struct gradient_target *target, const struct view *view, int image, size_t position,
                    int count, real *row, const real *box) {
    int channels = view->channels;
    for (int p = 0; p < count; p++, row += channels)
        write_span(target, view, image, (struct span){position + (size_t)p, 0, channels}, row, box ? box + p : NULL);
}

static void pass_position(const struct gradient_target *target, const struct view *view, int image, size_t position,
                          const struct gradient *from) {
    int channels = view->channels;
    real row[PIECE];
    for (int first = 0; first < channels; first += PIECE) {
        struct span span = {position, first, smaller(PIECE, channels - first)};
        if (from->scale_d)
            read_span(from, span, row);
        else
            memcpy(row, from->d + offset_of(&span, channels), (size_t)span.count * sizeof *row);
        write_span(target, view, image, span, row, NULL);
    }
}

void gradient_pass(const struct gradient_target *target, const struct view *view, int n, int positions,
                   const struct gradient *from, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int image = 0; image < n; image++) {
        gradient_begin(target, view, image);
        for (int p = 0; p < positions; p++)
            pass_position(target, view, image, (size_t)image * (size_t)positions + (size_t)p, from);
        vector_stream_end();
    }
}
