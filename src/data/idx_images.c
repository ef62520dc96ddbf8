#include "data/idx_images.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"

enum { SIDE_MAX = 1024, BLOCK_BYTES = 1 << 20, LABELS_AT_ONCE = 1 << 12 };
enum { TYPICAL_RATE = 8 };           /* bytes that a gzipped byte of pictures becomes, at most but for rare ones */
static const double rounding = 1e-6; /* of black and white, which decimal fractions are not exact */

static double white_of(const struct idx_layout *layout, int type) {
    double most = type == IDX_FLOAT || type == IDX_DOUBLE ? 1 : UINT8_MAX;
    return layout->black != layout->white ? layout->white : most;
}

/* --- Shapes ------------------------------------------------------------------------------------------------------ */

struct sides {
    uint64_t height, width, channels;
};

/* Of records that are one row of values. */
static struct sides sides_of_row(const struct idx_layout *layout, uint64_t values) {
    struct sides sides = {(uint64_t)layout->height, (uint64_t)layout->width, (uint64_t)layout->channels};
    if (!sides.channels)
        sides.channels = sides.height && sides.width ? values / (sides.height * sides.width) : 1;
    if (!sides.channels)
        return sides;
    uint64_t pixels = values / sides.channels, square = (uint64_t)llrint(sqrt((double)pixels));
    if (!sides.height)
        sides.height = sides.width ? pixels / sides.width : square;
    if (!sides.width)
        sides.width = sides.height ? pixels / sides.height : 0;
    return sides;
}

static struct sides sides_of(const struct idx_layout *layout, const struct idx_file *idx) {
    const uint32_t *sizes = idx->sizes + 1;
    if (idx->dimensions == 2)
        return sides_of_row(layout, sizes[0]);
    bool first = layout->channels_first && idx->dimensions == 4;
    uint64_t a = sizes[first], b = sizes[first + 1], channels = first ? sizes[0] : sizes[2];
    return layout->transposed ? (struct sides){b, a, channels} : (struct sides){a, b, channels};
}

static bool agrees(int key, uint64_t size) {
    return !key || (uint64_t)key == size;
}

static bool refuse_sides(const struct idx_layout *layout, const struct idx_file *idx, struct sides sides,
                         struct error *err) {
    struct text wanted = {0};
    const char *numbers[] = {"height", "width", "channels"};
    const int keys[] = {layout->height, layout->width, layout->channels};
    for (int i = 0; i < 3; i++)
        if (keys[i])
            text_printf(&wanted, "%s%s %d", wanted.length ? ", " : "", numbers[i], keys[i]);
    error_set(err, "%s: its images are %llux%llu with %llu channel%s, but the spec has %s", idx->file.path,
              (unsigned long long)sides.height, (unsigned long long)sides.width, (unsigned long long)sides.channels,
              sides.channels == 1 ? "" : "s", wanted.data);
    text_free(&wanted);
    return false;
}

bool idx_complete(struct idx_layout *layout, const struct idx_file *idx, struct error *err) {
    if (idx->dimensions < 2)
        return error_set(err, "%s: has one dimension, as labels have; images have 2 to 4", idx->file.path);
    struct sides sides = sides_of(layout, idx);
    if (sides.height > SIDE_MAX || sides.width > SIDE_MAX || sides.channels > CHANNELS_MAX || !sides.height ||
        !sides.width || !sides.channels)
        return error_set(err, "%s: its images are %llux%llu with %llu channels; 1x1 to %dx%d with 1 to %d are read%s",
                         idx->file.path, (unsigned long long)sides.height, (unsigned long long)sides.width,
                         (unsigned long long)sides.channels, SIDE_MAX, SIDE_MAX, CHANNELS_MAX,
                         idx->dimensions == 4 ? " (data.channels_first says where channels are)" : "");
    if (idx->record_bytes / idx->element_bytes != sides.height * sides.width * sides.channels)
        return error_set(err,
                         "%s: its rows of %zu values are no images of %llux%llu with %llu channel%s; set "
                         "data.height, data.width and data.channels",
                         idx->file.path, idx->record_bytes / idx->element_bytes, (unsigned long long)sides.height,
                         (unsigned long long)sides.width, (unsigned long long)sides.channels,
                         sides.channels == 1 ? "" : "s");
    if (!agrees(layout->height, sides.height) || !agrees(layout->width, sides.width) ||
        !agrees(layout->channels, sides.channels))
        return refuse_sides(layout, idx, sides, err);
    layout->height = (int)sides.height;
    layout->width = (int)sides.width;
    layout->channels = (int)sides.channels;
    return true;
}

/* Of `count` records: some, or one that is large. */
static int records_at_once(const struct idx_file *idx, int count) {
    return smaller(count, (int)(BLOCK_BYTES / size_smaller(idx->record_bytes, BLOCK_BYTES)));
}

/* --- Pixels ------------------------------------------------------------------------------------------------------ */

/* From a record to an image. */
struct conversion {
    const struct idx_layout *layout;
    int type;
    size_t element_bytes, record_bytes;
    size_t row_step, column_step, channel_step; /* in elements, from one pixel or channel to the next */
    double black, factor;
    bool bytes;  /* values are the pixels */
    bool copied; /* and they lie as in memory */
};

static struct conversion conversion_of(const struct idx_layout *layout, const struct idx_file *idx) {
    size_t height = (size_t)layout->height, width = (size_t)layout->width, channels = (size_t)layout->channels;
    size_t between = layout->channels_first ? 1 : channels; /* neighbours in the file's rows */
    double white = white_of(layout, idx->type);
    struct conversion c = {
        .layout = layout,
        .type = idx->type,
        .element_bytes = idx->element_bytes,
        .record_bytes = idx->record_bytes,
        .row_step = layout->transposed ? between : width * between,
        .column_step = layout->transposed ? height * between : between,
        .channel_step = layout->channels_first ? height * width : 1,
        .black = layout->black,
        .factor = UINT8_MAX / (white - layout->black),
        .bytes = idx->type == IDX_UINT8 && layout->black == 0 && white == UINT8_MAX,
    };
    c.copied = c.bytes && !layout->transposed && (!layout->channels_first || channels == 1);
    return c;
}

/* False where the value is none from black to white. */
static bool convert_value(const struct conversion *c, const uint8_t *element, uint8_t *pixel) {
    double value = c->bytes ? *element : (idx_value(c->type, element) - c->black) * c->factor;
    if (!(value >= -rounding * UINT8_MAX && value <= (1 + rounding) * UINT8_MAX)) /* NaN too */
        return false;
    *pixel = (uint8_t)lrint(value);
    return true;
}

/* The element of the first value that cannot be converted; NULL: all were. */
static const uint8_t *convert(const struct conversion *c, const uint8_t *record, uint8_t *pixels) {
    const struct idx_layout *layout = c->layout;
    if (c->copied) {
        memcpy(pixels, record, c->record_bytes);
        return NULL;
    }
    for (int y = 0; y < layout->height; y++)
        for (int x = 0; x < layout->width; x++)
            for (int k = 0; k < layout->channels; k++) {
                size_t at = (size_t)y * c->row_step + (size_t)x * c->column_step + (size_t)k * c->channel_step;
                const uint8_t *element = record + at * c->element_bytes;
                if (!convert_value(c, element, pixels++))
                    return element;
            }
    return NULL;
}

static bool refuse_value(const struct idx_file *idx, const struct conversion *c, int image, const uint8_t *element,
                         struct error *err) {
    return error_set(err,
                     "%s: image %d has the value %.9g, which is none from %.9g to %.9g; data.black and data.white "
                     "say which values become pixels 0 and 255",
                     idx->file.path, image, idx_value(idx->type, element), c->black, white_of(c->layout, idx->type));
}

/* Images first, first + 1, ... of records in memory, for which there is room. */
static bool convert_all(struct dataset *dataset, int split, const struct idx_file *idx, const struct conversion *c,
                        const uint8_t *records, int count, struct error *err) {
    struct split *images = &dataset->splits[split];
    size_t image_bytes = dataset_image_bytes(dataset);
    uint8_t *pixels = image_arrays_pixels(dataset, split) + (size_t)images->count * image_bytes;
    int bad = INT_MAX;
#pragma omp parallel for schedule(static) reduction(min : bad)
    for (int i = 0; i < count; i++)
        if (convert(c, records + (size_t)i * c->record_bytes, pixels + (size_t)i * image_bytes))
            bad = smaller(bad, i);
    if (bad < INT_MAX)
        return refuse_value(idx, c, images->count + bad,
                            convert(c, records + (size_t)bad * c->record_bytes, pixels + (size_t)bad * image_bytes),
                            err);
    images->count += count;
    return true;
}

/* Room for `more` images after those that there are, of `count` in all. */
static bool make_room(struct dataset *dataset, int split, const struct idx_file *idx, int more, int count,
                      struct error *err) {
    const struct image_arrays *arrays = dataset->images;
    int present = dataset->splits[split].count, room = arrays ? arrays->splits[split].capacity : 0;
    if (present + more <= room)
        return true;
    size_t typical = (idx->file.compressed ? TYPICAL_RATE : 1) * idx->file.on_disk / idx->record_bytes + 1;
    size_t wanted = size_larger((size_t)(present + more), size_larger(typical, 2 * (size_t)room));
    return image_arrays_reserve(dataset, split, (int)size_smaller(wanted, (size_t)count), err);
}

static bool load_blocks(struct dataset *dataset, int split, struct idx_file *idx, const struct idx_layout *layout,
                        uint8_t *block, int at_once, int count, struct error *err) {
    struct conversion c = conversion_of(layout, idx);
    for (int left = count, part; left > 0; left -= part) {
        part = smaller(left, at_once);
        if (!idx_read(idx, block, (size_t)part, err) || !make_room(dataset, split, idx, part, count, err) ||
            !convert_all(dataset, split, idx, &c, block, part, err))
            return false;
    }
    return true;
}

static bool load_images(struct dataset *dataset, int split, struct idx_file *idx, const struct idx_layout *layout,
                        int limit, struct error *err) {
    if (!idx_begin(idx, err))
        return false;
    int count = idx->sizes[0] < (uint32_t)limit ? (int)idx->sizes[0] : limit;
    int at_once = records_at_once(idx, count);
    uint8_t *block = mem_block((size_t)at_once * idx->record_bytes);
    if (!block)
        return error_set_code(err, ERROR_NO_MEMORY, "%s: not enough memory to read it (%zu bytes)", idx->file.path,
                              (size_t)at_once * idx->record_bytes);
    bool good = load_blocks(dataset, split, idx, layout, block, at_once, count, err) && idx_end(idx, err);
    free(block);
    return good;
}

/* --- Labels ------------------------------------------------------------------------------------------------------ */

static bool take_labels(struct idx_labels *labels, const struct idx_file *idx, const uint8_t *records, int count,
                        struct error *err) {
    for (int i = 0; i < count; i++) {
        const uint8_t *record = records + (size_t)i * idx->record_bytes;
        double value = idx_value(idx->type, record + (size_t)labels->column * idx->element_bytes);
        if (!(value >= INT32_MIN && value <= INT32_MAX && value == rint(value)))
            return error_set(err, "%s: record %d: %.9g is no label, which is a whole number", idx->file.path,
                             labels->count, value);
        labels->labels[labels->count++] = (int32_t)value;
    }
    return true;
}

/* A plain file has been found to be as long as its header says; a gzipped one has yet to show it. */
static bool grow_labels(struct idx_labels *labels, int *room, const struct idx_file *idx, struct error *err) {
    int count = (int)idx->sizes[0], next = *room < INT_MAX / 2 ? 2 * *room : INT_MAX;
    if (labels->count < *room)
        return true;
    *room = idx->file.compressed ? smaller(count, larger(next, LABELS_AT_ONCE)) : count;
    int32_t *moved = realloc(labels->labels, (size_t)*room * sizeof *moved);
    if (!moved)
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory for %d labels", *room);
    labels->labels = moved;
    return true;
}

static bool read_all(struct idx_labels *labels, struct idx_file *idx, uint8_t *block, int at_once, struct error *err) {
    int room = 0, count = (int)idx->sizes[0];
    while (labels->count < count) {
        if (!grow_labels(labels, &room, idx, err))
            return false;
        int part = smaller(room - labels->count, at_once);
        if (!idx_read(idx, block, (size_t)part, err) || !take_labels(labels, idx, block, part, err))
            return false;
    }
    return idx_end(idx, err);
}

static bool check_columns(const struct idx_labels *labels, const struct idx_file *idx, struct error *err) {
    struct text found = {0};
    bool good = idx->dimensions == 1 || idx->dimensions == 2;
    if (!good)
        error_set(err, "%s: holds %s; labels have 1 or 2", idx->file.path,
                  idx_describe(&found, idx->type, idx->dimensions));
    text_free(&found);
    if (!good || (uint32_t)labels->column < idx->sizes[1])
        return good;
    return error_set(err, "%s: has %u column%s of labels, so there is no column %d, counted from 0", idx->file.path,
                     idx->sizes[1], idx->sizes[1] == 1 ? "" : "s", labels->column);
}

bool idx_read_labels(struct idx_labels *labels, struct idx_file *idx, struct error *err) {
    labels->labels = NULL;
    labels->count = 0;
    if (!check_columns(labels, idx, err) || !idx_begin(idx, err))
        return false;
    if (idx->sizes[0] > INT_MAX)
        return error_set(err, "%s: holds %u labels, more than are read", idx->file.path, idx->sizes[0]);
    int at_once = records_at_once(idx, (int)idx->sizes[0]);
    uint8_t *block = mem_block((size_t)at_once * idx->record_bytes);
    bool good = block ? read_all(labels, idx, block, at_once, err)
                      : error_set_code(err, ERROR_NO_MEMORY, "%s: not enough memory to read it", idx->file.path);
    free(block);
    if (!good) {
        free(labels->labels);
        labels->labels = NULL;
    }
    return good;
}

/* --- Splits ------------------------------------------------------------------------------------------------------ */

/* Those of the images that were loaded. */
static bool take_split_labels(struct split *split, const struct idx_labels *labels, const struct idx_file *idx,
                              const struct idx_request *request, int classes, struct error *err) {
    int first = request->first_label;
    assert(labels->labels && labels->count >= split->count);
    for (int i = 0; i < split->count; i++) {
        int64_t label = (int64_t)labels->labels[i] - first;
        if (label < 0 || label >= classes)
            return first ? error_set(err, "%s: record %d: label %d is none from %d to %lld%s", idx->file.path, i,
                                     labels->labels[i], first, (long long)first + classes - 1, request->classes_hint)
                         : error_set(err, "%s: record %d: label %d is not below %d%s", idx->file.path, i,
                                     labels->labels[i], classes, request->classes_hint);
        split->labels[i] = (int32_t)label;
    }
    return true;
}

static bool load_labels(struct dataset *dataset, int split, const struct idx_folder *folder,
                        const struct idx_request *request, uint32_t images, struct error *err) {
    struct idx_labels labels = {.column = request->label_column};
    struct idx_file idx;
    if (!idx_open(&idx, folder->path, folder->names[split][IDX_LABELS], request->advice, err))
        return false;
    bool good = idx_read_labels(&labels, &idx, err);
    if (good && idx.sizes[0] != images)
        good = error_set(err, "%s: holds %u labels, but there are %u images", idx.file.path, idx.sizes[0], images);
    good = good && take_split_labels(&dataset->splits[split], &labels, &idx, request, dataset->classes, err);
    free(labels.labels);
    idx_close(&idx);
    return good;
}

bool idx_load_split(struct dataset *dataset, int split, const struct idx_folder *folder,
                    const struct idx_request *request, struct error *err) {
    struct idx_layout layout = request->layout;
    struct idx_file idx;
    layout.height = dataset->height;
    layout.width = dataset->width;
    layout.channels = dataset->channels;
    if (!idx_open(&idx, folder->path, folder->names[split][IDX_IMAGES], request->advice, err))
        return false;
    bool good = idx_complete(&layout, &idx, err) && load_images(dataset, split, &idx, &layout, request->limit, err);
    uint32_t images = idx.sizes[0];
    idx_close(&idx); /* before the next is read */
    return good && load_labels(dataset, split, folder, request, images, err);
}
