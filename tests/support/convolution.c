#include "support/convolution.h"
#include "base/number.h"

#include <string.h>

#include "machine/threads.h"
#include "runner.h"

/* Everything that one thread needs for its blocks. */
struct conv_memory {
    struct array x, dy, y, dx, squares, work;
};

static struct conv_memory memory_new(const struct conv *conv) {
    int images = conv->backward_images;
    struct conv_memory m = {
        .x = array_new(image_buffer_reals(&conv->x, images)),
        .dy = array_new(image_buffer_reals(&conv->dy, images)),
        .y = array_unwritten(image_buffer_reals(&conv->y.buffer, conv->y.images)),
        .dx = array_unwritten(image_buffer_reals(&conv->dx.buffer, conv->dx.images)),
        .squares = array_new((size_t)(conv->x.height * conv->x.width)),
        .work = array_unwritten(conv->work),
    };
    return m;
}

static void memory_free(struct conv_memory *m) {
    array_free("buffer of x", &m->x);
    array_free("buffer of dy", &m->dy);
    array_free("buffer of y", &m->y);
    array_free("buffer of dx", &m->dx);
    array_free("squares", &m->squares);
    array_free("work", &m->work);
}

static size_t row_offset(int image, int height, int width, int channels, int y) {
    return ((size_t)image * (size_t)height + (size_t)y) * (size_t)width * (size_t)channels;
}

static void fill_buffer(const struct image_buffer *s, real *buffer, int height, int width, const real *images,
                        int first, int count) {
    for (int i = 0; i < count; i++)
        for (int y = 0; y < height; y++)
            memcpy(buffer + image_buffer_row(s, i, y), images + row_offset(first + i, height, width, s->channels, y),
                   (size_t)width * (size_t)s->channels * sizeof(real));
}

static void take_chunk(const struct conv_output *out, const real *buffer, struct conv_chunk chunk, int width,
                       real *images, int first) {
    const struct image_buffer *s = &out->buffer;
    for (int i = 0; i < chunk.images; i++)
        for (int y = 0; y < chunk.rows; y++)
            memcpy(images + row_offset(first + chunk.image + i, out->height, width, s->channels, chunk.row + y),
                   buffer + image_buffer_row(s, i, y), (size_t)width * (size_t)s->channels * sizeof(real));
}

static void forward_block(const struct conv *conv, struct conv_results *c, int first, int images, const real *packed,
                          struct conv_memory *m) {
    const struct conv_geometry *g = &conv->g;
    struct conv_chunk chunk = {0};
    fill_buffer(&conv->x, m->x.data, g->height, g->width, c->x.data, first, images);
    while (conv_next_chunk(&conv->y, images, &chunk)) {
        conv->algorithm->forward(conv, chunk, m->y.data, m->x.data, packed, m->work.data);
        take_chunk(&conv->y, m->y.data, chunk, g->out_width, c->y.data, first);
    }
}

static void backward_block(const struct conv *conv, struct conv_results *c, int first, int images, bool first_block,
                           int slices, real *sum, const real *packed, struct conv_memory *m) {
    const struct conv_geometry *g = &conv->g;
    struct conv_chunk chunk = {0};
    fill_buffer(&conv->x, m->x.data, g->height, g->width, c->x.data, first, images);
    fill_buffer(&conv->dy, m->dy.data, g->out_height, g->out_width, c->dy.data, first, images);
    for (int i = slices - 1; i >= 0; i--)
        conv->algorithm->add_weights(conv, images, (struct conv_slice){i, slices}, sum, first_block, m->x.data,
                                     m->dy.data, m->work.data);
    while (conv_next_chunk(&conv->dx, images, &chunk)) {
        conv->algorithm->backward_data(conv, chunk, m->dx.data, m->dy.data, packed, m->work.data);
        take_chunk(&conv->dx, m->dx.data, chunk, g->width, c->dx.data, first);
    }
}

static void box_image(const struct conv *conv, struct conv_results *c, int image, struct conv_memory *m) {
    const struct conv_geometry *g = &conv->g;
    size_t positions = (size_t)(g->out_height * g->out_width);
    for (int y = 0; y < g->height; y++) {
        for (int x = 0; x < g->width; x++) {
            const real *pixel = c->x.data + row_offset(image, g->height, g->width, g->channels, y) + x * g->channels;
            real sum = 0;
            for (int i = 0; i < g->channels; i++)
                sum += pixel[i] * pixel[i];
            m->squares.data[(y + conv->x.border) * conv->x.width + x + conv->x.border] = sum;
        }
        conv_box_row(g, c->box.data + row_offset(image, g->height, g->width, 1, y),
                     c->r.data + (size_t)image * positions, y);
    }
    conv_patch_squares(conv, c->squares.data + (size_t)image * positions, m->squares.data);
}

void conv_compute(struct conv_results *c, const struct conv_geometry *g, enum conv_choice algorithm, int n,
                  int threads) {
    struct conv conv;
    ck_assert(conv_plan(&conv, g, algorithm));
    ck_assert_int_le(conv.forward_images, conv.backward_images);
    int partials = smaller(conv.partials, n), slices = smaller(conv.slices, threads);
    struct array packed = array_unwritten(conv.packed), turned = array_unwritten(conv.packed);
    struct array sums = array_unwritten((size_t)conv.partials * conv.sum);
    c->y = array_unwritten(c->dy.count);
    c->dx = array_unwritten(c->x.count);
    c->dw = array_unwritten(c->w.count);
    c->squares = array_unwritten(c->r.count);
    c->box = array_unwritten(c->x.count / (size_t)g->channels);
    const real *w = conv.algorithm->pack(&conv, packed.data, c->w.data, threads);
    const real *w_turned = conv.algorithm->pack_turned(&conv, turned.data, c->w.data, threads);
#pragma omp parallel num_threads(threads)
    {
        struct conv_memory memory = memory_new(&conv);
#pragma omp for schedule(dynamic)
        for (int image = 0; image < n; image += conv.forward_images)
            forward_block(&conv, c, image, smaller(conv.forward_images, n - image), w, &memory);
#pragma omp for schedule(dynamic)
        for (int p = 0; p < partials; p++)
            for (int image = p * n / partials, end = (p + 1) * n / partials; image < end; image += conv.backward_images)
                backward_block(&conv, c, image, smaller(conv.backward_images, end - image), image == p * n / partials,
                               slices, sums.data + (size_t)p * conv.sum, w_turned, &memory);
#pragma omp for
        for (int image = 0; image < n; image++)
            box_image(&conv, c, image, &memory);
        memory_free(&memory);
    }
    conv.algorithm->finish_weights(&conv, c->dw.data, sums.data, partials, threads);
    array_free("packed", &packed);
    array_free("turned", &turned);
    array_free("sums", &sums);
}

void conv_free_results(struct conv_results *c) {
    array_free("y", &c->y);
    array_free("dx", &c->dx);
    array_free("dw", &c->dw);
    array_free("squares", &c->squares);
    array_free("box", &c->box);
}

void conv_free_given(struct conv_results *c) {
    array_free("x", &c->x);
    array_free("w", &c->w);
    array_free("dy", &c->dy);
    array_free("r", &c->r);
}

struct ref_geometry reference_of(const struct conv_geometry *g) {
    return (struct ref_geometry){g->height,   g->width,  g->channels, g->kernel_h,
                                 g->kernel_w, g->stride, g->padding,  g->filters};
}
