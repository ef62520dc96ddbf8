#include "picture/not_picture.h"

#include <stdbool.h>
#include <string.h>

#include "base/number.h"
#include "storage/file_kind.h"

#define CONVERT(FORMAT) "is " FORMAT ", which is not read: convert it to PNG or JPEG, say by ImageMagick's `mogrify`"

static const struct file_mark marks[] = {
    {0, 4, "GIF8", CONVERT("a GIF picture")},
    {8, 4, "WEBP", CONVERT("a WebP picture")},
    {0, 4, "II*\0", CONVERT("a TIFF picture")},
    {0, 4, "MM\0*", CONVERT("a TIFF picture")},
    {4, 8, "ftypavif", CONVERT("an AVIF picture")},
    {4, 8, "ftypavis", CONVERT("an AVIF picture")},
    {4, 7, "ftyphei", CONVERT("a HEIC picture")},
    {4, 7, "ftyphev", CONVERT("a HEIC picture")},
    {4, 8, "ftypmif1", CONVERT("a HEIF picture")},
    {4, 8, "ftypmsf1", CONVERT("a HEIF picture")},
    {4, 4, "ftyp", "is a video, not a picture"},
    {4, 4, "jP  ", CONVERT("a JPEG 2000 picture")},
    {4, 4, "JXL ", CONVERT("a JPEG XL picture")},
    {0, 2, "\xff\x0a", CONVERT("a JPEG XL picture")},
    {0, 4, "8BPS", CONVERT("a picture of Photoshop")},
    {0, 4, "\0\0\1\0", CONVERT("an icon")},
    {0, 5, "%PDF-", "is a PDF document: extract its pictures, say by `pdfimages`"},
    {0, 2, "P5", CONVERT("a PGM picture")},
    {0, 2, "P6", CONVERT("a PPM picture")},
    {0, 2, "BM", CONVERT("a BMP picture")},
    {0, 2, "\x1f\x8b", "is compressed by gzip: unpack it"},
    {0, 4, "\0\5\x16\7", "is what macOS keeps beside a file (AppleDouble), not a picture: delete it"},
    {0, 8, "\0\0\0\0\0\0\0\0", "begins with zeros: it was not written to its end, or is damaged"},
};

/* An XML document or none, whose first element may come after comments and declarations. */
static bool is_svg(const uint8_t *bytes, size_t count) {
    char text[FILE_KIND_BYTES + 1] = {0};
    memcpy(text, bytes, size_smaller(count, FILE_KIND_BYTES));
    const char *svg = strstr(text, "<svg");
    return svg && text[0] == '<' && !strstr(text, "<html");
}

bool not_picture_explain(const char *name, const uint8_t *bytes, size_t count, struct error *err) {
    if (count == 0)
        return error_set(err, "%s: is an empty file", name);
    const char *what = file_kind_find(marks, sizeof marks / sizeof *marks, bytes, count);
    if (!what && is_svg(bytes, count))
        what = CONVERT("an SVG drawing");
    if (!what)
        what = file_kind_foreign(bytes, count);
    return error_set(err, "%s: %s", name, what ? what : "is neither a JPEG nor a PNG picture");
}
