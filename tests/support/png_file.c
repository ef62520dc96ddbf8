#include "support/png_file.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/folder.h"
#include "support/suite.h"

void make_folders(const char *path) {
    char *copy = arena_string(&arena, path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(copy, 0777);
        *slash = '/';
    }
}

void png_write(const char *path, const uint8_t *pixels, int height, int width, int channels) {
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)width, .height = (png_uint_32)height};
    image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    make_folders(path);
    ck_assert_msg(png_image_write_to_file(&image, path, 0, pixels, 0, NULL), "%s: %s", path, image.message);
}

void png_write_plain(const char *path, int height, int width, int red, int green, int blue) {
    const uint8_t pixel[] = {(uint8_t)red, (uint8_t)green, (uint8_t)blue};
    uint8_t *pixels = mem_alloc((size_t)(height * width) * sizeof pixel);
    for (int i = 0; i < height * width; i++)
        memcpy(pixels + (size_t)i * sizeof pixel, pixel, sizeof pixel);
    png_write(path, pixels, height, width, 3);
    free(pixels);
}
