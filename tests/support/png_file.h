/* Small PNG files. */
#ifndef SPHERENET_TESTS_SUPPORT_PNG_FILE_H
#define SPHERENET_TESTS_SUPPORT_PNG_FILE_H

#include <stdint.h>

/* pixels [height][width][channels], 1 or 3 channels. Makes the folders that the path names. */
void png_write(const char *path, const uint8_t *pixels, int height, int width, int channels);

/* One of red, green and blue in all its pixels. */
void png_write_plain(const char *path, int height, int width, int red, int green, int blue);

/* Makes the folders that the path names, but for its last part. */
void make_folders(const char *path);

#endif
