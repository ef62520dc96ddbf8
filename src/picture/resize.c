/* Pillow's fixed-point arithmetic (Resample.c), in another order of memory: an integer sum has one result in any. */
#include "picture/resize.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"

enum { FRACTION_BITS = 32 - 8 - 2 }; /* of a weight: what is left beside a byte's bits, a sign and room to overshoot */
enum { LANES = 16 };                 /* sums that are made at once */
enum { ALIGNMENT = 64 };
enum { LARGE_BYTES = 1 << 24 }; /* worth asking the system for */

/* How one side of the output comes from one side of the input: output i is the sum of weights[i][t] · input[first[i] +
 * t] over t < count[i]. */
struct taps {
    int outputs, most;  /* most: of a count */
    int *first, *count; /* [outputs] */
    int32_t *weights;   /* [outputs][most], with FRACTION_BITS */
};

struct resizing {
    const struct picture *from;
    uint8_t *out;
    struct taps across, down;
    int left, columns, top, rows; /* of the input, that some output takes */
    uint8_t *packed;              /* [columns][LANES]: some rows of the input, beside each other */
    uint8_t *narrow;              /* [rows][across.outputs][channels]: resized in each row */
};

/* --- Memory ------------------------------------------------------------------------------------------------------ */

void resize_scratch_free(struct resize_scratch *scratch) {
    free(scratch->memory);
    *scratch = (struct resize_scratch){0};
}

/* The part of the scratch that begins at *used, which moves on; NULL as long as there is none. */
static void *part(const struct resize_scratch *scratch, size_t *used, size_t count, size_t bytes) {
    size_t at = *used;
    *used += (count * bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return scratch->memory ? (char *)scratch->memory + at : NULL;
}

static void place_taps(struct taps *taps, const struct resize_scratch *scratch, size_t *used) {
    size_t outputs = (size_t)taps->outputs;
    taps->first = part(scratch, used, outputs, sizeof *taps->first);
    taps->count = part(scratch, used, outputs, sizeof *taps->count);
    taps->weights = part(scratch, used, outputs * (size_t)taps->most, sizeof *taps->weights);
}

/* Returns the bytes that are needed. */
static size_t place(struct resizing *work, const struct resize_scratch *scratch) {
    size_t used = 0;
    place_taps(&work->across, scratch, &used);
    place_taps(&work->down, scratch, &used);
    work->packed = part(scratch, &used, (size_t)work->columns, LANES);
    work->narrow =
        part(scratch, &used, (size_t)work->rows * (size_t)work->across.outputs, (size_t)work->from->channels);
    return used;
}

static bool take_scratch(struct resizing *work, struct resize_scratch *scratch, struct error *err) {
    size_t bytes = place(work, &(struct resize_scratch){0});
    if (bytes > scratch->bytes) {
        resize_scratch_free(scratch);
        bool fits = bytes < LARGE_BYTES || bytes <= mem_available("");
        if (!fits || posix_memalign(&scratch->memory, ALIGNMENT, bytes)) {
            *scratch = (struct resize_scratch){0};
            return error_set_code(err, ERROR_NO_MEMORY, "there is no memory to resize a picture of %d × %d pixels",
                                  work->from->width, work->from->height);
        }
        scratch->bytes = bytes;
    }
    place(work, scratch);
    return true;
}

/* --- Weights ----------------------------------------------------------------------------------------------------- */

static double bilinear(double x) {
    return x < 1 ? 1 - x : 0;
}

static double bicubic(double x) {
    const double a = -0.5;
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double support_of(enum picture_filter filter) {
    return filter == PICTURE_BICUBIC ? 2 : 1;
}

static double weight_at(enum picture_filter filter, double x) {
    return filter == PICTURE_BICUBIC ? bicubic(fabs(x)) : bilinear(fabs(x));
}

/* One side: `length` input pixels from `start` become as many as `outputs`. */
struct side {
    double start, length;
    int inputs, outputs;
    enum picture_filter filter;
};

/* Input pixels to an output pixel. */
static double step_of(const struct side *side) {
    return side->length / side->outputs;
}

/* How far a filter reaches; none reaches less than it does between neighbours. */
static double stretch_of(const struct side *side) {
    return fmax(step_of(side), 1);
}

static int most_taps(const struct side *side) {
    return 2 * (int)ceil(support_of(side->filter) * stretch_of(side)) + 1;
}

static int first_input(const struct side *side, int output) {
    double center = side->start + (output + 0.5) * step_of(side);
    return larger((int)(center - support_of(side->filter) * stretch_of(side) + 0.5), 0);
}

static int end_input(const struct side *side, int output) {
    double center = side->start + (output + 0.5) * step_of(side);
    return smaller((int)(center + support_of(side->filter) * stretch_of(side) + 0.5), side->inputs);
}

static int32_t fixed(double weight) {
    return (int32_t)(weight * (1 << FRACTION_BITS) + copysign(0.5, weight));
}

static void weigh_output(const struct taps *taps, const struct side *side, int output) {
    double center = side->start + (output + 0.5) * step_of(side), inverse = 1 / stretch_of(side), sum = 0;
    int first = first_input(side, output), count = end_input(side, output) - first;
    int32_t *weights = taps->weights + (size_t)output * (size_t)taps->most;
    for (int t = 0; t < count; t++)
        sum += weight_at(side->filter, (first + t - center + 0.5) * inverse);
    for (int t = 0; t < count; t++)
        weights[t] = fixed(weight_at(side->filter, (first + t - center + 0.5) * inverse) / sum);
    taps->first[output] = first;
    taps->count[output] = count;
}

static void weigh(const struct taps *taps, const struct side *side) {
    for (int i = 0; i < taps->outputs; i++)
        weigh_output(taps, side, i);
}

/* --- Sums -------------------------------------------------------------------------------------------------------- */

/* LANES weighted sums of bytes: input t of lane l is at[t * stride + l]. */
static inline void sum_lanes(uint8_t *restrict to, const uint8_t *restrict at, size_t stride,
                             const int32_t *restrict weights, int count) {
    int32_t sums[LANES];
    for (int l = 0; l < LANES; l++)
        sums[l] = 1 << (FRACTION_BITS - 1);
    for (int t = 0; t < count; t++)
        for (int l = 0; l < LANES; l++)
            sums[l] += at[(size_t)t * stride + (size_t)l] * weights[t];
    for (int l = 0; l < LANES; l++)
        to[l] = (uint8_t)clamp(sums[l] >> FRACTION_BITS, 0, 255);
}

static inline void sum_lane(uint8_t *to, const uint8_t *at, size_t stride, const int32_t *weights, int count) {
    int32_t sum = 1 << (FRACTION_BITS - 1);
    for (int t = 0; t < count; t++)
        sum += at[(size_t)t * stride] * weights[t];
    *to = (uint8_t)clamp(sum >> FRACTION_BITS, 0, 255);
}

/* --- In each row ------------------------------------------------------------------------------------------------- */

/* Lanes that a pixel takes: four bytes are moved at once, three are not. */
static int pixel_lanes(const struct resizing *work) {
    return work->from->channels == 3 ? 4 : 1;
}

/* One row of `columns` pixels into its lanes. */
static void pack_colours(uint8_t *packed, const uint8_t *row, int columns) {
    for (int x = 0; x < columns - 1; x++)
        memcpy(packed + (size_t)x * LANES, row + (size_t)x * 3, 4); /* the fourth is another pixel's, and not used */
    memcpy(packed + (size_t)(columns - 1) * LANES, row + (size_t)(columns - 1) * 3, 3);
}

static void pack_greys(uint8_t *packed, const uint8_t *row, int columns) {
    for (int x = 0; x < columns; x++)
        packed[(size_t)x * LANES] = row[x];
}

/* As many rows as there are lanes for; the last one again where there are fewer. */
static void pack(const struct resizing *work, int first_row) {
    const struct picture *from = work->from;
    int step = pixel_lanes(work);
    for (int lane = 0; lane < LANES; lane += step) {
        size_t row = (size_t)(work->top + smaller(first_row + lane / step, work->rows - 1));
        const uint8_t *pixels =
            from->pixels + (row * (size_t)from->width + (size_t)work->left) * (size_t)from->channels;
        (from->channels == 3 ? pack_colours : pack_greys)(work->packed + lane, pixels, work->columns);
    }
}

static void unpack(const struct resizing *work, const uint8_t *lanes, int first_row, int x) {
    size_t channels = (size_t)work->from->channels, row_bytes = (size_t)work->across.outputs * channels;
    int step = pixel_lanes(work);
    uint8_t *to = work->narrow + (size_t)first_row * row_bytes + (size_t)x * channels;
    for (int row = first_row, lane = 0; row < work->rows && lane < LANES; row++, lane += step, to += row_bytes)
        memcpy(to, lanes + lane, channels);
}

static void resize_rows(const struct resizing *work) {
    const struct taps *taps = &work->across;
    uint8_t lanes[LANES];
    for (int row = 0; row < work->rows; row += LANES / pixel_lanes(work)) {
        pack(work, row);
        for (int x = 0; x < taps->outputs; x++) {
            sum_lanes(lanes, work->packed + (size_t)(taps->first[x] - work->left) * LANES, LANES,
                      taps->weights + (size_t)x * (size_t)taps->most, taps->count[x]);
            unpack(work, lanes, row, x);
        }
    }
}

/* --- In each column ---------------------------------------------------------------------------------------------- */

static void resize_columns(const struct resizing *work) {
    const struct taps *taps = &work->down;
    size_t row_bytes = (size_t)work->across.outputs * (size_t)work->from->channels;
    uint8_t *out = work->out;
    for (int y = 0; y < taps->outputs; y++, out += row_bytes) {
        const uint8_t *rows = work->narrow + (size_t)(taps->first[y] - work->top) * row_bytes;
        const int32_t *weights = taps->weights + (size_t)y * (size_t)taps->most;
        size_t at = 0;
        for (; at + LANES <= row_bytes; at += LANES)
            sum_lanes(out + at, rows + at, row_bytes, weights, taps->count[y]);
        for (; at < row_bytes; at++)
            sum_lane(out + at, rows + at, row_bytes, weights, taps->count[y]);
    }
}

/* --- Both -------------------------------------------------------------------------------------------------------- */

bool picture_resize(uint8_t *out, int width, int height, const struct picture *from, struct picture_box box,
                    enum picture_filter filter, struct resize_scratch *scratch, struct error *err) {
    assert(box.left >= 0 && box.width > 0 && box.left + box.width <= from->width);
    assert(box.top >= 0 && box.height > 0 && box.top + box.height <= from->height);
    const struct side across = {box.left, box.width, from->width, width, filter};
    const struct side down = {box.top, box.height, from->height, height, filter};
    struct resizing work = {.from = from, .out = out};
    work.across = (struct taps){.outputs = width, .most = most_taps(&across)};
    work.down = (struct taps){.outputs = height, .most = most_taps(&down)};
    work.left = first_input(&across, 0);
    work.columns = end_input(&across, width - 1) - work.left;
    work.top = first_input(&down, 0);
    work.rows = end_input(&down, height - 1) - work.top;
    if (!take_scratch(&work, scratch, err))
        return false;
    weigh(&work.across, &across);
    weigh(&work.down, &down);
    resize_rows(&work);
    resize_columns(&work);
    return true;
}
