#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "picture/picture.h"
#include "picture/resize.h"

/* Of the input; the file follows. */
struct request {
    uint8_t want;          /* GREY, BICUBIC */
    uint8_t enough;        /* of width and height */
    uint8_t width, height; /* to resize to */
    uint8_t box[4];        /* left and top, then width and height of what that leaves, in parts of 256 */
};

enum { GREY = 1, BICUBIC = 2 };
enum { MOST_PIXELS = 1 << 18 }; /* that a slow program decodes in no time */
enum { SIGNATURE_BYTES = 8, CHUNK_BYTES = 12 };

static bool is_turned(const struct picture *picture, const struct picture_size *size) {
    return picture->width != picture->height && (picture->width < picture->height) != (size->width < size->height);
}

static void check_size(const struct picture *picture, const struct picture_size *size, struct picture_want want) {
    int reduction = picture->reduction;
    fuzz_require(picture->channels == want.channels, "a picture has the channels that are wanted");
    fuzz_require(!is_turned(picture, size) && picture->width == (size->width + reduction - 1) / reduction &&
                     picture->height == (size->height + reduction - 1) / reduction,
                 "a picture has the size that its header tells");
    fuzz_require(reduction == 1 || (picture->width >= want.enough_width && picture->height >= want.enough_height),
                 "a picture is as large as is wanted");
}

static void resize(const struct picture *picture, const struct request *request) {
    struct resize_scratch scratch = {0};
    struct error err;
    double left = request->box[0] / 256.0 * picture->width, top = request->box[1] / 256.0 * picture->height;
    const struct picture_box box = {left, top, (request->box[2] + 1) / 256.0 * (picture->width - left),
                                    (request->box[3] + 1) / 256.0 * (picture->height - top)};
    int width = request->width + 1, height = request->height + 1;
    uint8_t *out = mem_alloc((size_t)width * (size_t)height * (size_t)picture->channels);
    fuzz_require(picture_resize(out, width, height, picture, box,
                                request->want & BICUBIC ? PICTURE_BICUBIC : PICTURE_BILINEAR, &scratch, &err),
                 "a picture can be resized");
    free(out);
    resize_scratch_free(&scratch);
}

void fuzz_picture_input(const uint8_t *data, size_t size) {
    struct request request;
    struct picture picture;
    struct picture_size told;
    struct error err = {0};
    if (size < sizeof request)
        return;
    memcpy(&request, data, sizeof request);
    data += sizeof request;
    size -= sizeof request;
    const struct picture_want want = {request.want & GREY ? 1 : 3, request.enough, request.enough};
    bool known = picture_probe(&told, data, size, "fuzz", &err);
    fuzz_require(known || *err.text, "what is refused has a reason");
    if (known && (int64_t)told.width * told.height > MOST_PIXELS)
        return;
    bool good = picture_decode(&picture, data, size, "fuzz", want, &err);
    fuzz_require(known || !good, "a picture has a header");
    fuzz_require(good || (*err.text && !picture.pixels), "what is refused has a reason, and leaves nothing");
    if (!good)
        return;
    check_size(&picture, &told, want);
    resize(&picture, &request);
    picture_free(&picture);
}

static size_t number_at(const uint8_t *bytes) {
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

/* Gives the chunks of a PNG their checksums. */
static void seal(uint8_t *file, size_t size) {
    for (size_t at = SIGNATURE_BYTES; at + CHUNK_BYTES <= size;) {
        size_t length = number_at(file + at);
        if (length > size - at - CHUNK_BYTES)
            return;
        uint32_t sum = (uint32_t)crc32(0, file + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            file[at + 8 + length + (size_t)i] = (uint8_t)(sum >> 8 * (3 - i));
        at += CHUNK_BYTES + length;
    }
}

size_t fuzz_picture_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate) {
    size_t before = sizeof(struct request);
    size = mutate(data, size, most);
    if (seed % 8 && size > before + SIGNATURE_BYTES && !memcmp(data + before, "\x89PNG", 4))
        seal(data + before, size - before);
    return size;
}
