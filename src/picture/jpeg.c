/* JPEG, by libjpeg-turbo. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "picture/exif.h"
#include "picture/format.h"

enum { EXIF_MARKER = JPEG_APP0 + 1, MARKER_BYTES = 0xffff };
/* A scan of some bytes takes as long as one of all coefficients; encoders write about ten. */
enum { MOST_SCANS = 500 };

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const struct picture_file *file;
    struct picture *picture;
    struct picture_want want;
    struct error *err;
};

/* --- Errors ------------------------------------------------------------------------------------------------------ */

static struct reader *reader_of(j_common_ptr jpeg) {
    return jpeg->client_data;
}

/* libjpeg-turbo calls it, and it does not return. */
static void fail(j_common_ptr jpeg) {
    struct reader *reader = reader_of(jpeg);
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    if (jpeg->err->msg_code == JERR_OUT_OF_MEMORY)
        error_set_code(reader->err, ERROR_NO_MEMORY, "%s: there is no memory to decode it", reader->file->name);
    else
        error_set_code(reader->err, ERROR_DAMAGED, "%s: this JPEG picture cannot be read: %s", reader->file->name,
                       text);
    longjmp(reader->escape, 1);
}

/* The file ends where there should be more. */
static void fail_cut_off(struct reader *reader) {
    const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    const char *name = reader->file->name;
    if (!reader->picture || !reader->picture->pixels)
        error_set_code(reader->err, ERROR_DAMAGED, "%s: this JPEG picture is cut off in its header", name);
    else if (jpeg_has_multiple_scans(&reader->jpeg))
        error_set_code(reader->err, ERROR_DAMAGED, "%s: this JPEG picture is cut off in its scan %d", name,
                       jpeg->input_scan_number);
    else
        error_set_code(reader->err, ERROR_DAMAGED, "%s: this JPEG picture is cut off after row %u of %u", name,
                       jpeg->output_scanline, jpeg->output_height);
    longjmp(reader->escape, 1);
}

/* level: -1 for a warning, of which only those that tell of wrong pixels stop; trace messages are not wanted. */
static void hear(j_common_ptr jpeg, int level) {
    if (level >= 0)
        return;
    switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
        fail_cut_off(reader_of(jpeg));
        break;
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
        fail(jpeg);
        break;
    default:
        break;
    }
}

static void say_nothing(j_common_ptr jpeg) {
    (void)jpeg;
}

static void limit_scans(j_common_ptr jpeg) {
    struct reader *reader = reader_of(jpeg);
    if (reader->jpeg.input_scan_number <= MOST_SCANS)
        return;
    error_set_code(reader->err, ERROR_DAMAGED, "%s: this JPEG picture has more than %d scans", reader->file->name,
                   MOST_SCANS);
    longjmp(reader->escape, 1);
}

/* Whether the step came to its end. All that a step changes is in the reader, not in the frame that is returned to. */
static bool attempt(struct reader *reader, void (*step)(struct reader *reader)) {
    if (setjmp(reader->escape))
        return false;
    step(reader);
    return true;
}

/* --- Steps ------------------------------------------------------------------------------------------------------- */

static void read_header(struct reader *reader) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &reader->progress;
    jpeg_mem_src(jpeg, reader->file->bytes, reader->file->count);
    jpeg_save_markers(jpeg, EXIF_MARKER, MARKER_BYTES);
    jpeg_read_header(jpeg, TRUE);
}

static void start(struct reader *reader) {
    jpeg_start_decompress(&reader->jpeg);
}

static void read_rows(struct reader *reader) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    size_t row_bytes = (size_t)reader->picture->width * (size_t)reader->picture->channels;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = reader->picture->pixels + jpeg->output_scanline * row_bytes;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
}

/* --- Header ------------------------------------------------------------------------------------------------------ */

static int orientation_of(const struct jpeg_decompress_struct *jpeg) {
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next)
        if (marker->marker == EXIF_MARKER && marker->data_length >= 6 && !memcmp(marker->data, "Exif\0", 6))
            return exif_orientation(marker->data, marker->data_length);
    return 1;
}

static bool open_reader(struct reader *reader, struct picture_header *header) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg->err = jpeg_std_error(&reader->errors);
    jpeg->client_data = reader;
    reader->errors.error_exit = fail;
    reader->errors.emit_message = hear;
    reader->errors.output_message = say_nothing;
    reader->progress.progress_monitor = limit_scans;
    if (!attempt(reader, read_header))
        return false;
    *header = (struct picture_header){(int)jpeg->image_width, (int)jpeg->image_height, orientation_of(jpeg)};
    return true;
}

bool jpeg_probe(struct picture_header *header, const struct picture_file *file, struct error *err) {
    struct reader reader = {.file = file, .err = err};
    bool good = open_reader(&reader, header);
    jpeg_destroy_decompress(&reader.jpeg);
    return good;
}

/* --- Pixels ------------------------------------------------------------------------------------------------------ */

/* The largest of 1, 2, 4 and 8 by which both sides may be divided. */
static unsigned reduction_of(const struct picture_header *header, struct picture_want want) {
    bool swaps = exif_swaps_sides(header->orientation);
    int width = swaps ? want.enough_height : want.enough_width, height = swaps ? want.enough_width : want.enough_height;
    unsigned reduction = 8;
    if (width <= 0 && height <= 0)
        return 1;
    while (reduction > 1 &&
           ((int64_t)width * reduction > header->width || (int64_t)height * reduction > header->height))
        reduction /= 2;
    return reduction;
}

/* The space that the library converts to, by the number of components and, of three, by markers that it knows. */
static bool choose_colours(struct reader *reader) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    switch (jpeg->jpeg_color_space) {
    case JCS_GRAYSCALE:
        jpeg->out_color_space = reader->want.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
        return true;
    case JCS_RGB:
    case JCS_YCbCr:
        jpeg->out_color_space = JCS_RGB;
        return true;
    case JCS_CMYK:
    case JCS_YCCK:
        jpeg->out_color_space = JCS_CMYK;
        return true;
    default:
        return error_set(reader->err, "%s: this JPEG picture has %d components, not 1, 3 or 4", reader->file->name,
                         jpeg->num_components);
    }
}

/* What libjpeg-turbo keeps where a picture comes in several scans: every coefficient. */
static size_t coefficient_bytes(struct jpeg_decompress_struct *jpeg) {
    return jpeg_has_multiple_scans(jpeg)
               ? sizeof(JCOEF) * jpeg->image_width * jpeg->image_height * (size_t)jpeg->num_components
               : 0;
}

static bool prepare(struct reader *reader, const struct picture_header *header) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (!picture_check_size(reader->file, header->width, header->height, reader->err) || !choose_colours(reader))
        return false;
    jpeg->scale_num = 1;
    jpeg->scale_denom = reduction_of(header, reader->want);
    jpeg_calc_output_dimensions(jpeg);
    *reader->picture = (struct picture){(int)jpeg->output_width, (int)jpeg->output_height, jpeg->output_components,
                                        (int)jpeg->scale_denom, NULL};
    return picture_allocate(reader->picture, coefficient_bytes(jpeg), reader->file->name, reader->err);
}

bool jpeg_decode(struct picture *picture, struct picture_header *header, const struct picture_file *file,
                 struct picture_want want, struct error *err) {
    struct reader reader = {.file = file, .picture = picture, .want = want, .err = err};
    bool good = open_reader(&reader, header) && prepare(&reader, header) && attempt(&reader, start) &&
                attempt(&reader, read_rows);
    jpeg_destroy_decompress(&reader.jpeg);
    return good;
}
