#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "train/experiment.h"

enum { MOST_OVERRIDES = 8 };

#define OVERRIDE "--set "

/* The overrides are cut off the text's beginning, line by line. */
static const char *take_overrides(char *text, const char **overrides, int *count) {
    char *end;
    for (*count = 0;
         *count < MOST_OVERRIDES && !strncmp(text, OVERRIDE, strlen(OVERRIDE)) && (end = strchr(text, '\n'));
         text = end + 1) {
        *end = '\0';
        overrides[(*count)++] = text + strlen(OVERRIDE);
    }
    return text;
}

static void check_round_trip(const struct experiment *experiment) {
    struct experiment again;
    struct text first = {0}, second = {0};
    struct diagnostics diags = {0};
    experiment_emit(&first, experiment);
    bool good = experiment_parse(&again, "resolved.yaml", first.data, NULL, 0, &diags);
    fuzz_require(good, "a resolved spec is good");
    experiment_emit(&second, &again);
    fuzz_require(!strcmp(first.data, second.data), "a resolved spec resolves to itself");
    experiment_free(&again);
    text_free(&first);
    text_free(&second);
}

void fuzz_spec_input(const uint8_t *data, size_t size) {
    char *text = mem_alloc(size + 1);
    memcpy(text, data, size);
    const char *overrides[MOST_OVERRIDES];
    int count;
    const char *spec = take_overrides(text, overrides, &count);
    struct experiment experiment;
    struct diagnostics diags = {0};
    bool good = experiment_parse(&experiment, "fuzz.yaml", spec, overrides, count, &diags);
    fuzz_require(good == (diags.count == 0) && (good || diags.text.length), "what is refused has a reason");
    if (good)
        check_round_trip(&experiment);
    experiment_free(&experiment);
    text_free(&diags.text);
    free(text);
}

size_t fuzz_spec_mutate(uint8_t *data, size_t size, size_t most, unsigned seed, fuzz_mutate *mutate) {
    (void)seed;
    return mutate(data, size, most);
}
