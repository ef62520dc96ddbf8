/* PNG, by libpng. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "picture/exif.h"
#include "picture/format.h"

#define NO_MEMORY "%s: there is no memory to decode it"

enum { SIGNATURE_BYTES = 8, NUMBER_BYTES = 4, CHUNK_BYTES = 12 /* length, type and checksum */ };

struct reader {
    png_structp png;
    png_infop info;
    jmp_buf escape;
    const struct picture_file *file;
    size_t at;  /* bytes of the file that were read */
    int passes; /* over the rows: 1 or, interlaced, 7 */
    int pass;   /* the present one of several, from 1; 0: there is one */
    int rows;   /* that were read whole in the present pass */
    struct picture *picture;
    struct picture_want want;
    bool lacks_memory; /* which libpng tells in no one way */
    struct error *err;
};

/* --- Errors ------------------------------------------------------------------------------------------------------ */

/* libpng calls it, and it does not return. */
static void fail(png_structp png, png_const_charp text) {
    struct reader *reader = png_get_error_ptr(png);
    if (reader->lacks_memory)
        error_set_code(reader->err, ERROR_NO_MEMORY, NO_MEMORY, reader->file->name);
    else
        error_set_code(reader->err, ERROR_DAMAGED, "%s: this PNG picture cannot be read: %s", reader->file->name, text);
    longjmp(reader->escape, 1);
}

static void say_nothing(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void *take_memory(png_structp png, png_alloc_size_t bytes) {
    struct reader *reader = png_get_mem_ptr(png);
    void *memory = malloc(bytes);
    reader->lacks_memory |= !memory;
    return memory;
}

static void give_memory(png_structp png, void *memory) {
    (void)png;
    free(memory);
}

static void fail_cut_off(struct reader *reader) {
    const char *name = reader->file->name;
    if (!reader->picture || !reader->picture->pixels)
        error_set_code(reader->err, ERROR_DAMAGED, "%s: this PNG picture is cut off in its header", name);
    else if (reader->pass > 0)
        error_set_code(reader->err, ERROR_DAMAGED, "%s: this PNG picture is cut off in pass %d of 7", name,
                       reader->pass);
    else
        error_set_code(reader->err, ERROR_DAMAGED, "%s: this PNG picture is cut off after row %d of %d", name,
                       reader->rows, reader->picture->height);
    longjmp(reader->escape, 1);
}

static void read_bytes(png_structp png, png_bytep bytes, size_t count) {
    struct reader *reader = png_get_io_ptr(png);
    if (count > reader->file->count - reader->at)
        fail_cut_off(reader);
    memcpy(bytes, reader->file->bytes + reader->at, count);
    reader->at += count;
}

/* Whether the step came to its end. All that a step changes is in the reader, not in the frame that is returned to. */
static bool attempt(struct reader *reader, void (*step)(struct reader *reader)) {
    if (setjmp(reader->escape))
        return false;
    step(reader);
    return true;
}

/* --- Header ------------------------------------------------------------------------------------------------------ */

static size_t number_at(const struct picture_file *file, size_t at) {
    return png_get_uint_32(file->bytes + at);
}

/* Of the first eXIf chunk, wherever it is: libpng would not tell of one that follows the pixels before these are read.
 */
static int orientation_of(const struct picture_file *file) {
    size_t at = SIGNATURE_BYTES;
    while (at <= file->count && file->count - at >= CHUNK_BYTES) {
        size_t length = number_at(file, at), left = file->count - at - CHUNK_BYTES;
        if (length > left)
            break;
        if (!memcmp(file->bytes + at + NUMBER_BYTES, "eXIf", 4))
            return exif_orientation(file->bytes + at + 2 * NUMBER_BYTES, length);
        at += CHUNK_BYTES + length;
    }
    return 1;
}

static void read_header(struct reader *reader) {
    png_structp png = reader->png;
    png_set_read_fn(png, reader, read_bytes);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* texts, profiles: nothing that is used */
    png_set_option(png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);     /* some encoders understate theirs */
    png_set_benign_errors(png, 1);
    png_read_info(png, reader->info);
}

static bool open_reader(struct reader *reader, struct picture_header *header) {
    reader->png =
        png_create_read_struct_2(PNG_LIBPNG_VER_STRING, reader, fail, say_nothing, reader, take_memory, give_memory);
    reader->info = reader->png ? png_create_info_struct(reader->png) : NULL;
    if (!reader->info)
        return error_set_code(reader->err, ERROR_NO_MEMORY, NO_MEMORY, reader->file->name);
    if (!attempt(reader, read_header))
        return false;
    *header =
        (struct picture_header){(int)png_get_image_width(reader->png, reader->info),
                                (int)png_get_image_height(reader->png, reader->info), orientation_of(reader->file)};
    return true;
}

bool png_probe(struct picture_header *header, const struct picture_file *file, struct error *err) {
    struct reader reader = {.file = file, .err = err};
    bool good = open_reader(&reader, header);
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    return good;
}

/* --- Pixels ------------------------------------------------------------------------------------------------------ */

/* Rows of 8 bits, of one channel where the file is grey and one is wanted, else of three. */
static void choose_transformations(struct reader *reader) {
    png_structp png = reader->png;
    png_byte type = png_get_color_type(png, reader->info);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(png);
    if (!(type & PNG_COLOR_MASK_COLOR) && reader->want.channels == 3)
        png_set_gray_to_rgb(png);
    reader->passes = png_set_interlace_handling(png);
    png_read_update_info(png, reader->info);
}

static void read_rows(struct reader *reader) {
    size_t row_bytes = png_get_rowbytes(reader->png, reader->info);
    for (int pass = 0; pass < reader->passes; pass++) {
        reader->pass = reader->passes > 1 ? pass + 1 : 0;
        for (reader->rows = 0; reader->rows < reader->picture->height; reader->rows++)
            png_read_row(reader->png, reader->picture->pixels + (size_t)reader->rows * row_bytes, NULL);
    }
    png_read_end(reader->png, NULL);
}

static bool prepare(struct reader *reader, const struct picture_header *header) {
    if (!picture_check_size(reader->file, header->width, header->height, reader->err) ||
        !attempt(reader, choose_transformations))
        return false;
    *reader->picture =
        (struct picture){header->width, header->height, png_get_channels(reader->png, reader->info), 1, NULL};
    return picture_allocate(reader->picture, 0, reader->file->name, reader->err);
}

bool png_decode(struct picture *picture, struct picture_header *header, const struct picture_file *file,
                struct picture_want want, struct error *err) {
    struct reader reader = {.file = file, .picture = picture, .want = want, .err = err};
    bool good = open_reader(&reader, header) && prepare(&reader, header) && attempt(&reader, read_rows);
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    return good;
}
