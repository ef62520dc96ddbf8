/* Random numbers that are a pure function of what they are for.
 *
 * A stream is named by the run's seed, a purpose and two counters (say epoch and image); it needs no state between
 * uses. So a resumed run draws what the uninterrupted one would have drawn, whatever the number of threads. */
#ifndef SPHERENET_BASE_RNG_H
#define SPHERENET_BASE_RNG_H

#include <stdint.h>

enum rng_purpose {
    RNG_INITIAL_WEIGHTS = 1,
    RNG_SHUFFLE,
    RNG_AUGMENT,
    RNG_SYNTHETIC,
    RNG_TEST,
    RNG_DROPOUT,
    RNG_STOCHASTIC_DEPTH,
    RNG_VALIDATION,
    RNG_TEST_SHARE,
    RNG_SEARCH
};

struct rng {
    uint64_t state[4]; /* xoshiro256++ (Blackman and Vigna), seeded by splitmix64 */
};

struct rng rng_stream(uint64_t seed, enum rng_purpose purpose, uint64_t a, uint64_t b);
uint64_t rng_bits(struct rng *rng);
uint32_t rng_below(struct rng *rng, uint32_t bound); /* uniform in [0, bound), bound > 0 */
double rng_uniform(struct rng *rng);                 /* in [0, 1) */
double rng_normal(struct rng *rng);                  /* mean 0, deviation 1 */

#endif
