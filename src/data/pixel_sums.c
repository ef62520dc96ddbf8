#include "data/pixel_sums.h"

#include <math.h>

void pixel_sums_add(struct pixel_sums *sums, const uint8_t *pixels, int count, int channels) {
    sums->count += (uint64_t)count;
    for (int i = 0; i < count; i++, pixels += channels) {
        for (int c = 0; c < channels; c++) {
            sums->values[c] += pixels[c];
            sums->squares[c] += (uint64_t)pixels[c] * pixels[c];
        }
    }
}

void pixel_sums_join(struct pixel_sums *all, const struct pixel_sums *part) {
    all->count += part->count;
    for (int c = 0; c < CHANNELS_MAX; c++) {
        all->values[c] += part->values[c];
        all->squares[c] += part->squares[c];
    }
}

double pixel_sums_mean(const struct pixel_sums *sums, int channel) {
    return (double)sums->values[channel] / (double)sums->count;
}

double pixel_sums_deviation(const struct pixel_sums *sums, int channel) {
    unsigned __int128 square = (unsigned __int128)sums->values[channel] * sums->values[channel];
    unsigned __int128 spread = (unsigned __int128)sums->count * sums->squares[channel] - square;
    return sqrt((double)spread) / (double)sums->count; /* spread: count^2 times the variance */
}
