#include "kernel/view.h"

#include <string.h>

#include "base/number.h"
#include "kernel/vector.h"

enum { PIECE = 4096 }; /* values that are added at a time, within the nearest cache */

static inline real rectify(real value) {
    return value < 0 ? 0 : value; /* a NaN stays one */
}

/* Some channels of one position; scale NULL and relu are known to the compiler where this is called. Returns the sum of
 * squares. */
static inline __attribute__((always_inline)) real read_values(int count, real *to, const real *data, const real *scale,
                                                              const real *shift, bool relu) {
    real squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int c = 0; c < count; c++) {
        real value = scale ? scale[c] * data[c] + shift[c] : data[c];
        value = relu ? rectify(value) : value;
        to[c] = value;
        squares += value * value;
    }
    return squares;
}

/* Channels [first, first + count) of one position. */
static real read_channels(const struct view *view, size_t position, int first, int count, real *to) {
    const real *data = view->data + position * (size_t)view->channels + first;
    if (!view->scale)
        return read_values(count, to, data, NULL, NULL, view->relu);
    const real *scale = view->scale + first, *shift = view->shift + first;
    return view->relu ? read_values(count, to, data, scale, shift, true)
                      : read_values(count, to, data, scale, shift, false);
}

static bool is_plain(const struct view *view) {
    return !view->scale && !view->relu;
}

void view_read(const struct view *view, size_t position, int count, real *to, real *squares) {
    size_t channels = (size_t)view->channels;
    if (is_plain(view) && !squares) {
        memcpy(to, view->data + position * channels, (size_t)count * channels * sizeof *to);
        return;
    }
    for (int p = 0; p < count; p++) {
        real sum = read_channels(view, position + (size_t)p, 0, view->channels, to + (size_t)p * channels);
        if (squares)
            squares[p] = sum;
    }
}

/* to[rows][columns]: channels [first, first + columns) of some positions. */
static void read_block(const struct view *view, size_t position, int rows, int first, int columns, real *to) {
    size_t channels = (size_t)view->channels;
    for (int row = 0; row < rows; row++, position++, to += columns) {
        if (is_plain(view))
            memcpy(to, view->data + position * channels + first, (size_t)columns * sizeof *to);
        else
            read_channels(view, position, first, columns, to);
    }
}

/* Several positions at a time or, when one is too large, some of its channels. */
void view_sum(const struct view *a, const struct view *b, size_t position, int count, real *to) {
    real sum[PIECE], added[PIECE];
    int channels = a->channels, width = smaller(channels, PIECE), positions = PIECE / width;
    for (int p = 0; p < count; p += positions) {
        int rows = smaller(positions, count - p);
        for (int first = 0; first < channels; first += width) {
            int columns = smaller(width, channels - first);
            read_block(a, position + (size_t)p, rows, first, columns, sum);
            read_block(b, position + (size_t)p, rows, first, columns, added);
#pragma omp simd
            for (int i = 0; i < rows * columns; i++)
                sum[i] += added[i]; /* NOLINT(clang-analyzer-core.uninitialized.Assign): read_block sets it */
            vector_stream(to + (size_t)p * (size_t)channels + first, sum, (size_t)(rows * columns));
        }
    }
}
