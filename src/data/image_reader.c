#include "data/image_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "data/image_cut.h"
#include "picture/resize.h"

enum { GREY = 128 };

/* A file in memory. */
struct file_bytes {
    uint8_t *bytes;
    size_t size;
};

#define FILE_MAX_BYTES ((off_t)1 << 30)
enum { LARGE_BYTES = 1 << 24 }; /* worth asking the system for */

/* All bytes of an open file. Its size is known before memory is taken. */
static bool read_open(struct file_bytes *file, int fd, const char *path, struct error *err) {
    struct stat status;
    ssize_t got = 1;
    if (fstat(fd, &status))
        return error_set_errno(err, "%s", path);
    if (!S_ISREG(status.st_mode) || status.st_size > FILE_MAX_BYTES)
        return error_set(err, "%s: is no picture: %s", path,
                         S_ISREG(status.st_mode)   ? "it is too large"
                         : S_ISDIR(status.st_mode) ? "it is a folder"
                                                   : "no file");
    bool fits = status.st_size < LARGE_BYTES || (size_t)status.st_size < mem_available("");
    file->bytes = fits ? malloc((size_t)status.st_size + 1) : NULL;
    if (!file->bytes)
        return error_set_code(err, ERROR_NO_MEMORY, "%s: not enough memory to read it", path);
    while (got > 0 && file->size < (size_t)status.st_size) {
        got = read(fd, file->bytes + file->size, (size_t)status.st_size - file->size);
        if (got > 0)
            file->size += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    return got >= 0 || error_set_errno(err, "%s: cannot be read", path);
}

/* path: as the system takes it; shown: as people may see it. */
static bool read_file(struct file_bytes *file, const char *path, const char *shown, struct error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(err, "%s: cannot be read", shown);
    bool good = read_open(file, fd, shown, err);
    close(fd);
    return good;
}

/* --- From pictures to images -------------------------------------------------------------------------------------- */

/* A JPEG may be decoded at a fraction of its size as long as the part still has so many times the image's size, so that
 * what resizes it sees enough to average over. Pillow's thumbnails take the same. */
#define REDUCING_GAP 2

static struct picture_want want_for(const struct image_cut *cut, const struct picture_size *size, int channels) {
    return (struct picture_want){
        .channels = channels,
        .enough_width = (int)fmin(ceil(REDUCING_GAP * size->width * (cut->to_width / cut->width)), size->width),
        .enough_height = (int)fmin(ceil(REDUCING_GAP * size->height * (cut->to_height / cut->height)), size->height),
    };
}

/* The part, in the pixels of the picture as it was decoded. */
static struct picture_box box_of(const struct image_cut *cut, const struct picture_size *size,
                                 const struct picture *picture) {
    double right = (double)picture->width / size->width, down = (double)picture->height / size->height;
    struct picture_box box = {cut->left * right, cut->top * down, cut->width * right, cut->height * down};
    box.width = fmin(box.width, picture->width - box.left);
    box.height = fmin(box.height, picture->height - box.top);
    return box;
}

/* The part of the picture, resized, without what is around it in the image. */
static bool resize(uint8_t *part, const struct images_config *config, const struct image_cut *cut,
                   const struct picture_size *size, const struct picture *picture, struct error *err) {
    struct resize_scratch scratch = {0};
    struct picture_box box = box_of(cut, size, picture);
    bool good = picture_resize(part, cut->to_width, cut->to_height, picture, box, (enum picture_filter)config->filter,
                               &scratch, err);
    resize_scratch_free(&scratch);
    return good;
}

/* Grey, and the part where it belongs. */
static void place(uint8_t *pixels, const struct images_config *config, const struct image_cut *cut,
                  const uint8_t *part) {
    size_t row = (size_t)(config->width * config->channels), part_row = (size_t)(cut->to_width * config->channels);
    memset(pixels, GREY, (size_t)config->height * row);
    for (int y = 0; y < cut->to_height; y++)
        memcpy(pixels + (size_t)(cut->to_top + y) * row + (size_t)(cut->to_left * config->channels),
               part + (size_t)y * part_row, part_row);
}

static bool make_image(uint8_t *pixels, const struct images_config *config, const struct image_cut *cut,
                       const struct picture_size *size, const struct picture *picture, struct error *err) {
    if (cut->to_height == config->height && cut->to_width == config->width)
        return resize(pixels, config, cut, size, picture, err);
    uint8_t *part = malloc((size_t)cut->to_height * (size_t)cut->to_width * (size_t)config->channels);
    if (!part)
        return error_set_code(err, ERROR_NO_MEMORY, "data: not enough memory for an image");
    bool good = resize(part, config, cut, size, picture, err);
    if (good)
        place(pixels, config, cut, part);
    free(part);
    return good;
}

/* A file in memory. `name` is for messages. */
static bool decode(uint8_t *pixels, const struct images_config *config, const struct file_bytes *file, const char *name,
                   const struct augment_context *context, struct error *err) {
    struct picture_size size;
    struct picture picture = {0};
    if (!picture_probe(&size, file->bytes, file->size, name, err))
        return false;
    struct image_cut cut = image_cut(config, size.height, size.width, context);
    bool good = picture_decode(&picture, file->bytes, file->size, name, want_for(&cut, &size, config->channels), err) &&
                make_image(pixels, config, &cut, &size, &picture, err);
    picture_free(&picture);
    return good;
}

/* --- Images ------------------------------------------------------------------------------------------------------ */

/* With crop_scale the part differs each time, so the cache holds the file; else it holds the image. */
static bool keeps_files(const struct images_config *config) {
    return config->crop_scale > 0;
}

static bool read_and_decode(struct images *images, int number, const char *shown, const struct augment_context *context,
                            uint8_t *pixels, struct error *err) {
    const struct images_config *config = &images->config;
    struct file_bytes file = {0};
    struct text path = {0};
    image_index_path(&path, &images->index, number);
    bool good = read_file(&file, path.data, shown, err) && decode(pixels, config, &file, shown, context, err);
    if (good && keeps_files(config))
        image_cache_keep(&images->cache, number, file.bytes, file.size);
    free(file.bytes);
    text_free(&path);
    return good;
}

bool image_read(struct images *images, int file, const struct augment_context *context, uint8_t *pixels,
                struct error *err) {
    const struct images_config *config = &images->config;
    size_t bytes = (size_t)config->height * (size_t)config->width * (size_t)config->channels;
    const struct kept *kept = image_cache_find(&images->cache, file);
    if (kept && !keeps_files(config)) {
        memcpy(pixels, kept->bytes, bytes);
        return true;
    }
    struct text shown = {0};
    image_index_shown(&shown, &images->index, file);
    bool good = kept ? decode(pixels, config, &(struct file_bytes){(uint8_t *)kept->bytes, kept->size}, shown.data,
                              context, err)
                     : read_and_decode(images, file, shown.data, context, pixels, err);
    if (good && !keeps_files(config))
        image_cache_keep(&images->cache, file, pixels, bytes);
    text_free(&shown);
    return good;
}

bool image_examine(const struct images *images, int file, int *height, int *width, uint8_t *pixels, struct error *err) {
    struct file_bytes bytes = {0};
    struct picture_size size;
    struct text path = {0}, shown = {0};
    image_index_path(&path, &images->index, file);
    image_index_shown(&shown, &images->index, file);
    bool good = read_file(&bytes, path.data, shown.data, err) &&
                picture_probe(&size, bytes.bytes, bytes.size, shown.data, err) &&
                decode(pixels, &images->config, &bytes, shown.data, NULL, err);
    if (good) {
        *height = size.height;
        *width = size.width;
    }
    free(bytes.bytes);
    text_free(&path);
    text_free(&shown);
    return good;
}

bool image_read_file(const struct images_config *config, const char *path, uint8_t *pixels, struct error *err) {
    struct file_bytes file = {0};
    struct text shown = {0};
    text_printf(&shown, "%s", path);
    text_defuse_line(shown.data);
    bool good = read_file(&file, path, shown.data, err) && decode(pixels, config, &file, shown.data, NULL, err);
    free(file.bytes);
    text_free(&shown);
    return good;
}
