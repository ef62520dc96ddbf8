#include "base/rng.h"

#include <math.h>

static uint64_t splitmix64(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct rng rng_stream(uint64_t seed, enum rng_purpose purpose, uint64_t a, uint64_t b) {
    const uint64_t names[] = {seed, (uint64_t)purpose, a, b};
    uint64_t key = 0;
    for (int i = 0; i < 4; i++) {
        key ^= names[i];
        key = splitmix64(&key);
    }
    struct rng rng;
    for (int i = 0; i < 4; i++)
        rng.state[i] = splitmix64(&key);
    return rng;
}

static uint64_t rotate_left(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

uint64_t rng_bits(struct rng *rng) {
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* Lemire's multiplication method with rejection. */
uint32_t rng_below(struct rng *rng, uint32_t bound) {
    uint32_t threshold = -bound % bound;
    for (;;) {
        uint64_t product = (rng_bits(rng) >> 32) * bound;
        if ((uint32_t)product >= threshold)
            return (uint32_t)(product >> 32);
    }
}

double rng_uniform(struct rng *rng) {
    return (double)(rng_bits(rng) >> 11) * 0x1p-53;
}

/* Box-Muller; the second value is dropped, which keeps the stream stateless. */
double rng_normal(struct rng *rng) {
    double radius = sqrt(-2.0 * log(1.0 - rng_uniform(rng)));
    return radius * cos(6.283185307179586 * rng_uniform(rng));
}
